"""`rulekit rules` from end to end: remarks, changes and their cost, counts."""

import polars as pl
import pytest

import rulekit as rk
from rulekit.rating.store import Store
from tests.cli.words import refused, run
from tests.rating.helpers import FEW, RULES, HashJudge, some_pairs

GOOD = """rules:
- {id: states-cause, text: The response states a cause of the problem.}
- {id: asks-question, text: The response asks the person a question.}
"""
BAD = """rules:
- {id: best, text: The response is the best answer one could give.}
- {id: two, text: The response is polite and it names a source.}
- {id: states-cause, text: The response states a cause of the problem.}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)


def test_rules_without_a_remark_end_with_status_0():
    ran = run("rules", "check", "good.yaml", "--no-near-duplicates")
    assert ran.status == 0
    assert ran.out.splitlines()[0] == "2 rules, nothing to remark"
    assert "next: rulekit annotate PAIRS --rules good.yaml" in ran.out


def test_remarks_end_with_status_1_and_stand_in_the_table():
    ran = run("rules", "check", "bad.yaml", "--no-near-duplicates", "-o", "remarks.csv")
    assert ran.status == 1
    assert ran.err == ""
    assert "best: comparison (best)\n" in ran.out
    assert "two: two-rules" in ran.out
    assert "remarks on 2 of 3 rules" in ran.out
    table = pl.read_csv("remarks.csv")
    told = run("rules", "check", "bad.yaml", "--no-near-duplicates", "--json")
    assert told.status == 1
    assert told.json["remarks"] == table.to_dicts()
    assert (told.json["rules"], told.json["remarked"]) == (3, 2)
    quiet = run("rules", "check", "bad.yaml", "--no-near-duplicates", "-q")
    assert (quiet.status, quiet.out, quiet.err) == (1, "", "")


def test_near_duplicates_are_found_by_the_encoder_unless_told_not_to(tmp_path):
    (tmp_path / "rules.txt").write_text(
        "The response asks the person a question.\nThe response asks the user a question.\n"
    )
    ran = run("rules", "check", "rules.txt")
    assert ran.status == 1, ran.out
    assert "near-duplicate" in ran.out
    assert run("rules", "check", "rules.txt", "--no-near-duplicates").status == 0


def versions() -> None:
    """Twelve rules; of the new ones one is reworded, one gone, one renamed, two are new."""
    RULES.save("old.yaml")
    kept = list(RULES.rules[3:])
    reworded = rk.Rule("r000", RULES[0].text.replace("keeps", "breaks"))
    renamed = rk.Rule("other-name", RULES[1].text)
    added = [rk.Rule(f"new-{i}", f"The response names number {i}.") for i in range(2)]
    rk.RuleSet((reworded, renamed, *kept, *added)).save("new.yaml")


def test_changes_are_told_by_rule():
    versions()
    ran = run("rules", "diff", "old.yaml", "new.yaml", "-o", "changes.parquet")
    assert ran.status == 0
    lines = ran.out.splitlines()
    assert lines[0] == "reworded  r000: The response [-keeps-] {+breaks+} promise number 0."
    assert lines[1].startswith("renamed   other-name: id r001 → other-name")
    assert "added     new-0: The response names number 0." in lines
    assert "removed   r002: The response keeps promise number 2." in lines
    assert (
        "3 rules to rate anew, 1 rating a response each; --store or --pairs says how many"
        in ran.out
    )
    counts = run("rules", "diff", "old.yaml", "new.yaml", "--json").json["counts"]
    assert counts == {"unchanged": 9, "added": 2, "reworded": 1, "renamed": 1, "removed": 1}
    assert len(pl.read_parquet("changes.parquet")) == 14


def test_without_ratings_the_pairs_say_how_many_are_needed():
    versions()
    some_pairs(10).write_ndjson("pairs.jsonl")
    told = run("rules", "diff", "old.yaml", "new.yaml", "--pairs", "pairs.jsonl", "--json").json
    (needs,) = told["ratings"]
    assert needs["responses"] == 15  # ten pairs, five of whose responses occur twice
    assert needs["rules"] == {"r000": 15, "new-0": 15, "new-1": 15}
    assert (needs["ratings"], needs["cost"]) == (45, None)


def test_a_store_says_which_ratings_are_missing_and_what_they_cost():
    versions()
    pairs = some_pairs(20)
    rk.annotate(pairs, RULES, HashJudge(), store="ratings.sqlite", price=0.5)
    rk.annotate(pairs[:6], rk.RuleSet.load("new.yaml"), HashJudge(), store="ratings.sqlite")
    words = ["rules", "diff", "old.yaml", "new.yaml", "--store", "ratings.sqlite"]
    (needs,) = run(*words, "--json").json["ratings"]
    with Store("ratings.sqlite") as store:
        spent = store.spending(needs["judge"])
    lacks = 30 - 9  # responses of all pairs without those of the first six
    assert needs["rules"] == {"r000": lacks, "new-0": lacks, "new-1": lacks}
    assert needs["ratings"] == 3 * lacks
    assert needs["cost"] == pytest.approx(3 * lacks * spent["cost"] / spent["rated"])
    said = run(*words).out
    assert (
        "hash of the texts: 63 ratings to make anew, 3 rules over 30 responses; cost about" in said
    )
    pairs[:6].write_ndjson("few.jsonl")
    ran = run(*words, "--pairs", "few.jsonl")
    assert "hash of the texts: nothing to rate anew" in ran.out
    some_pairs(22)[20:].write_ndjson("more.jsonl")
    (needs,) = run(*words, "--pairs", "more.jsonl", "--json").json["ratings"]
    assert needs["ratings"] == 3 * 13  # three responses that nobody rated, under all rules


def test_the_ratings_that_are_told_are_those_that_annotate_makes():
    versions()
    pairs, judge, new = some_pairs(20), HashJudge(), rk.RuleSet.load("new.yaml")
    rk.annotate(pairs, RULES, judge, store="ratings.sqlite")
    words = ["rules", "diff", "old.yaml", "new.yaml", "--store", "ratings.sqlite", "--json"]
    (needs,) = run(*words).json["ratings"]
    judge.asked.clear()
    rk.annotate(pairs, new, judge, store="ratings.sqlite")
    assert needs["ratings"] == len(judge.asked)
    (needs,) = run(*words).json["ratings"]
    assert needs["ratings"] == 0


@pytest.mark.real_data
def test_ratings_of_a_judge_that_compares_are_counted_as_it_makes_them():
    rules = rk.RuleSet.load("hh-rule-votes")
    rk.RuleSet(rules.rules[:5]).save("five.yaml")
    rk.RuleSet(rules.rules[:7]).save("seven.yaml")
    pairs = rk.load_pairs("hh-rule-votes")[:8]
    pairs.write_ndjson("pairs.jsonl")
    judge = rk.judge("recorded", source="hh-rule-votes")
    rk.annotate(pairs, rk.RuleSet.load("five.yaml"), judge, store="ratings.sqlite")
    words = ["--store", "ratings.sqlite", "--pairs", "pairs.jsonl", "--json"]
    (needs,) = run("rules", "diff", "five.yaml", "seven.yaml", *words).json["ratings"]
    assert (needs["responses"], needs["ratings"]) == (16, 32)  # eight pairs, in either order


def test_counts_of_a_rule_set():
    told = run("rules", "stats", "embedded", "--json").json
    assert told["rules"] == 100
    assert sum(told["categories"].values()) == 100
    said = run("rules", "stats", "good.yaml").out
    assert "rules: 2\n" in said
    assert "uncategorised" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "none.yaml"], "no such file: none.yaml"),
        (["stats", "none.yaml"], "no such file: none.yaml"),
        (["diff", "good.yaml", "none.yaml"], "no such file: none.yaml"),
        (["diff", "good.yaml", "bad.yaml", "--store", "n.sqlite"], "no such file: n.sqlite"),
        (["diff", "good.yaml", "bad.yaml", "--store", "bad.yaml"], "allowed: a store of ratings"),
        (["diff", "good.yaml", "bad.yaml", "--pairs", "n.jsonl"], "no such file: n.jsonl"),
        (["diff", "good.yaml", "bad.yaml", "-o", "x.txt"], "x.txt: unknown ending; allowed: "),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(words, message):
    assert message in refused("rules", *words)


def test_a_store_without_ratings_is_refused():
    Store("empty.sqlite").close()
    FEW.save("few.yaml")
    line = refused("rules", "diff", "few.yaml", "few.yaml", "--store", "empty.sqlite")
    assert "no judge has rated into it" in line

"""The data set folder of a store."""

import numpy as np
import polars as pl
import pytest
import yaml

import rulekit as rk
from rulekit.rating import export
from rulekit.rating.annotation import annotate
from rulekit.rating.store import Store, keys, response_key, rule_key
from tests.rating.helpers import CELLS, RULES, HashJudge, some_pairs


def card_and_tables(folder):
    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    tables = {c["config_name"]: pl.read_parquet(folder / c["data_files"]) for c in front["configs"]}
    return card, tables


@pytest.fixture
def rated(tmp_path):
    """A store of ten pairs, and their scores."""
    with Store(tmp_path / "ratings.sqlite") as store:
        yield store, annotate(some_pairs(10), RULES, HashJudge(), store=store)


def test_the_data_set_folder_holds_every_rating_and_a_card(tmp_path, rated):
    store, scores = rated
    pairs, judge = some_pairs(10), HashJudge.identity
    folder = export.write_dataset(pairs, RULES, store, tmp_path / "set", judge=judge)
    card, tables = card_and_tables(folder)
    assert {n: len(t) for n, t in tables.items()} == {
        "ratings": 15 * CELLS,
        "responses": 15,
        "pairs": 10,
        "rules": CELLS,
    }
    assert f"`{judge}`" in card
    assert RULES.hash in card
    wide = tables["ratings"].pivot("rule_id", index="response_id", values="score")
    a = tables["pairs"].join(
        wide, left_on="response_id_a", right_on="response_id", maintain_order="left"
    )
    assert np.array_equal(a.select(RULES.ids).to_numpy(), scores.a)
    assert tables["pairs"]["comparison_id"].is_null().all()


def test_the_data_set_folder_loads_with_datasets(tmp_path, rated):
    datasets = pytest.importorskip("datasets")
    folder = str(
        export.write_dataset(
            some_pairs(10), RULES, rated[0], tmp_path / "set", judge=HashJudge.identity
        )
    )
    for name, n in (("ratings", 15 * CELLS), ("responses", 15), ("pairs", 10), ("rules", CELLS)):
        found = datasets.load_dataset(folder, name, split="train", cache_dir=str(tmp_path / "c"))
        assert len(found) == n


def test_a_store_alone_gives_the_same_ratings_texts_and_rules_without_the_pairs(tmp_path, rated):
    pairs, judge = some_pairs(10), HashJudge.identity
    folder = export.write_dataset(pairs, RULES, rated[0], tmp_path / "set", judge=judge)
    _, given = card_and_tables(folder)
    folder = export.write_stored(rated[0], tmp_path / "set")
    _, stored = card_and_tables(folder)
    assert set(stored) == {"ratings", "responses", "rules"}
    assert not (folder / "data/pairs.parquet").exists()  # those of what was there before
    for name in ("ratings", "responses"):
        by = stored[name].columns[:2]
        assert stored[name].sort(by).equals(given[name].sort(by))
    assert stored["rules"]["rule_id", "text"].equals(given["rules"]["rule_id", "text"])


def test_rules_of_one_id_or_none_are_told_apart_by_their_keys(tmp_path):
    changed = rk.RuleSet((rk.Rule("r000", "Another text."), *RULES.rules[1:2]))
    unnoted = rule_key("Nobody noted this one.")
    with Store(tmp_path / "ratings.sqlite") as store:
        for rules in (RULES, changed):
            annotate(some_pairs(2), rules, HashJudge(), store=store)
        third = np.full((1, 1, 3), 1 / 3)
        store.add(
            HashJudge.identity, store.responses(HashJudge.identity)[:1], keys([unnoted]), third
        )
        _, tables = card_and_tables(export.write_stored(store, tmp_path / "set"))
    ids = tables["rules"]["rule_id"].to_list()
    assert len(set(ids)) == CELLS + 2
    assert f"r000-{rule_key('Another text.').hex()[:8]}" in ids
    assert f"rule-{unnoted.hex()[:8]}" in ids
    assert set(tables["ratings"]["rule_id"]) == set(ids)


def test_the_judge_must_be_named_where_there_are_several_and_be_there(tmp_path, rated):
    store, _ = rated
    with pytest.raises(ValueError, match=r"judge 'nobody' has no ratings; allowed: 'hash of the t"):
        export.write_dataset(some_pairs(10), RULES, store, tmp_path / "set", judge="nobody")
    other = HashJudge()
    other.identity = "another"
    annotate(some_pairs(2), RULES, other, store=store)
    with pytest.raises(ValueError, match=r"no judge is named; allowed: 'hash .*', 'another'"):
        export.write_stored(store, tmp_path / "set")
    _, tables = card_and_tables(export.write_stored(store, tmp_path / "set", judge="another"))
    assert len(tables["ratings"]) == 3 * CELLS


def test_two_responses_that_were_compared_are_exported_as_a_comparison(tmp_path):
    pairs = some_pairs(3)
    compared = keys([response_key(*pairs.row(0)[1:2], pairs.row(0)[2:4])])
    with Store(tmp_path / "ratings.sqlite") as store:
        rule = keys([rule_key(RULES.texts[0])])
        store.add("comparing", compared, rule, np.full((1, 1, 3), 1 / 3))
        folder = export.write_dataset(pairs, RULES, store, tmp_path / "set", judge="comparing")
    _, tables = card_and_tables(folder)
    assert tables["pairs"]["comparison_id"].is_null().to_list() == [False, True, True]
    assert (
        tables["ratings"]["response_id"].to_list() == tables["pairs"]["comparison_id"][:1].to_list()
    )
    assert '["answer 0", "answer 0 again"]' in tables["responses"]["response"]


WILD = """`a` ``b`` | c
---
configs: []
# heading <script>alert(1)</script> [x](http://y) {"model": "/home/me/models/tiny"} C:\\me\\tiny"""


def test_the_card_obeys_nothing_that_it_prints_and_holds_no_local_path(tmp_path):
    judge = HashJudge()
    judge.identity = WILD
    figures = {
        "Cut\n# of": "1 | `2`\n\n<b>3</b>",
        "read": "from ~/runs/a/b and ./x/y, not http://h/v1",
    }
    with Store(tmp_path / "ratings.sqlite") as store:
        annotate(some_pairs(2), RULES, judge, store=store)
        folder = export.write_dataset(
            some_pairs(2), RULES, store, tmp_path / "set", judge=WILD, figures=figures
        )
    card, tables = card_and_tables(folder)
    assert len(tables) == 4
    (said,) = (line for line in card.splitlines() if line.startswith("Judge: "))
    shown = said.removeprefix("Judge: ")
    assert shown.startswith("``` `a`")  # a fence longer than any inside
    assert shown.endswith("tiny ```")
    assert shown.count("```") == 2
    assert "- `Cut # of`: ``1 | `2` <b>3</b>``" in card
    for hidden in ("/home", "models/", "\\me", "~/", "runs/a", str(tmp_path)):
        assert hidden not in card, hidden
    assert "http://h/v1" in card
    assert "http://y" in card
    outside = [line for line in card.splitlines() if "script" in line]
    assert outside == [said]

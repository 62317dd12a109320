"""`rulekit label` from end to end: from a table or a store to labels, measured where preferences are known."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs.pairs import check_pairs
from tests.cli.words import refused, run
from tests.rating.helpers import CELLS, RULES, HashJudge, expected, filled, some_pairs

N = 60


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder with ratings of 60 pairs, of which 40 are known: what the sum of all rules says."""
    monkeypatch.chdir(tmp_path)
    pairs, scores = check_pairs(some_pairs(N)), expected(N)
    known = np.sign(scores.discrepancy.sum(axis=1)).astype(int)
    pairs.drop("preference").write_ndjson("pairs.jsonl")
    pl.DataFrame({"pair_id": pairs["pair_id"], "preference": known})[:40].write_csv("known.csv")
    RULES.save("rules.yaml")
    scores.write("scores.parquet")


def test_a_table_of_scores_becomes_labels():
    ran = run("label", "scores.parquet", "-k", 3, "-o", "out/l.parquet")
    assert ran.status == 0, ran.err
    scores = expected(N)
    wanted = rk.label(scores, rk.select(scores, 3))
    labels = rk.Labels.read("out/l.parquet")
    assert np.array_equal(labels.margin, wanted.margin)
    assert labels.identity.pair_ids == scores.pair_ids
    first, second = ((wanted.preference == y).sum() for y in (1, -1))
    said, measured, following = ran.out.splitlines()
    assert said.startswith(
        f"60 pairs: the first response is preferred in {first}, the second in {second}"
    )
    assert measured.startswith("how often labels are right is not measured: none is known")
    assert following.startswith("labels: out/l.parquet; next: ")


def test_labels_are_measured_by_the_known_preferences():
    words = ["label", "scores.parquet", "--pairs", "pairs.jsonl", "--labels", "known.csv"]
    told = run(*words, "--select", "all", "--json").json["accuracy"]
    assert told["value"] == 1.0
    assert (told["n"], told["n_groups"]) == (40, 20)  # two pairs a prompt
    ran = run(*words, "--select", "all")
    assert "right in 100.0% of 40 known pairs of 20 prompts (95 % interval " in ran.out
    assert "fold" not in ran.out


def test_a_method_that_learns_is_measured_on_what_it_has_not_seen():
    rng = np.random.default_rng(0)
    drawn = {"pair_id": some_pairs(N)["pair_id"], "preference": rng.choice([-1, 1], N)}
    pl.DataFrame(drawn).write_csv("drawn.csv")
    words = ["label", "scores.parquet", "--pairs", "pairs.jsonl", "--labels", "drawn.csv"]
    for options in (["--select", "adaptive"], ["--select", "jmi"], ["--method", "weighted"]):
        ran = run(*words, *options)
        assert ran.status == 0, ran.err
        assert (
            "each fifth by what the others taught (5-fold): not told apart from chance" in ran.out
        )
    pairs, scores = rk.load_pairs("pairs.jsonl"), expected(N)
    pairs = rk.inputs.add_preferences(pairs, "drawn.csv")
    selection, fold_of = rk.select(scores, 12), np.array(rk.inputs.folds(pairs))
    margin = np.zeros(N)
    for fold in range(5):
        held = fold_of == fold
        taught = rk.estimate(scores, np.where(held, 0, pairs["preference"].to_numpy()))
        label = rk.label(scores, selection, "weighted", estimates=taught)
        margin[held] = label.margin[held]
    wanted = rk.accuracy(margin, pairs).value
    told = run(*words, "--method", "weighted", "-k", 12, "--json").json["accuracy"]["value"]
    assert told == wanted
    all_taught = rk.estimate(scores, pairs)
    seen = rk.accuracy(rk.label(scores, selection, "weighted", estimates=all_taught), pairs)
    assert seen.value > told + 0.1  # measured on what it was learned from


def test_few_known_preferences_are_not_called_an_accuracy():
    pl.read_csv("known.csv")[:19].write_csv("few.csv")
    ran = run("label", "scores.parquet", "--labels", "few.csv")
    assert "not measured: 19 preferences are known, and it takes 20 of 5 prompts" in ran.out
    assert run("label", "scores.parquet", "--labels", "few.csv", "--json").json["accuracy"] is None


@pytest.mark.parametrize("rules", [[], ["--rules", "rules.yaml"]], ids=["noted", "file"])
def test_a_store_becomes_the_same_labels_as_its_table(rules):
    filled("ratings.sqlite", N)
    assert run("label", "scores.parquet", "-o", "table.parquet").status == 0
    ran = run("label", "ratings.sqlite", "--pairs", "pairs.jsonl", *rules, "-o", "store.parquet")
    assert ran.status == 0, ran.err
    table, store = (rk.Labels.read(f"{name}.parquet") for name in ("table", "store"))
    assert np.array_equal(table.preference, store.preference)


def test_some_pairs_and_rules_of_a_table():
    some_pairs(N)[10:20].write_ndjson("some.jsonl")
    rk.RuleSet(RULES.rules[3:8]).save("some.yaml")
    words = ["--pairs", "some.jsonl", "--rules", "some.yaml", "--select", "all", "--json"]
    told = run("label", "scores.parquet", *words).json
    assert (told["pairs"], told["k"]) == (10, 5)
    wanted = expected(N).discrepancy[10:20, 3:8].sum(axis=1)
    assert np.allclose(rk.Labels.read("labels.parquet").margin, wanted, atol=1e-5)


def test_pairs_with_targets_are_what_training_reads():
    words = ["--pairs", "pairs.jsonl", "--for-training", "labelled.parquet"]
    ran = run("label", "scores.parquet", *words)
    assert ran.out.splitlines()[-1].endswith("next: rulekit train reward -p train labelled.parquet")
    pairs, labels = rk.load_pairs("labelled.parquet"), rk.Labels.read("labels.parquet")
    assert np.array_equal(pairs["target"].to_numpy(), (labels.preference > 0).astype(float))
    assert np.allclose(pairs["evidence"].to_numpy(), np.abs(labels.margin))
    plan = run(
        "train", "reward", "--config", "encoder-frozen", "-p", "train", "labelled.parquet", "--plan"
    )
    assert plan.status == 0, plan.err


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_labels_in_other_formats(ending):
    path = f"labels.{ending}"
    assert run("label", "scores.parquet", "-o", path).status == 0
    read = {"csv": pl.read_csv, "json": pl.read_json, "jsonl": pl.read_ndjson}[ending]
    assert read(path).columns == ["pair_id", "margin", "preference", "confidence", "target"]


def test_ratings_of_named_rules_are_labelled_by_all_that_were_rated():
    scores = expected(N)
    rated = np.zeros((N, CELLS), bool)
    rated[:, :4] = True
    a, b = (np.where(rated, x, np.nan) for x in (scores.a, scores.b))
    rk.Scores(a, b, identity=scores.identity, rated=rated).write("some.parquet")
    told = run("label", "some.parquet", "--json").json
    assert told["select"] == "all that were rated"
    wanted = scores.discrepancy[:, :4].sum(axis=1)
    assert np.allclose(rk.Labels.read("labels.parquet").margin, wanted, atol=1e-5)


@pytest.mark.parametrize("select", rk.selectors())
@pytest.mark.parametrize("labels", [[], ["--labels", "known.csv"]], ids=["unknown", "known"])
def test_every_selector_works_or_says_what_it_needs(select, labels):
    words = ["label", "scores.parquet", "--select", select, *labels]
    if "relevance" in select:
        assert "needs scores with a relevance" in refused(*words)
    elif select in ("cmim", "greedy_cmi", "jmi", "mrmr") and not labels:
        assert refused(*words) == f"method {select!r} needs known preferences: --labels FILE"
    else:
        assert run(*words).status == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.parquet"], "no such file: none.parquet; allowed: a scores.parquet or a store"),
        (["scores.parquet", "--labels", "none.csv"], "no such file: none.csv"),
        (["scores.parquet", "--pairs", "none.jsonl"], "no such file: none.jsonl"),
        (["scores.parquet", "--method", "vote"], "unknown method 'vote'; allowed: sum, majority"),
        (["scores.parquet", "--select", "top"], "unknown method 'top'; allowed: adaptive"),
        (["scores.parquet", "-k", "99"], "k is 99; allowed: 1 to 12, the number of rules"),
        (["scores.parquet", "--tie", "toss"], "unknown tie policy 'toss'; allowed: abstain"),
        (["scores.parquet", "--beta", "0"], "beta is 0.0; allowed: a positive number"),
        (["scores.parquet", "-o", "labels.txt"], "labels.txt: unknown ending; allowed: .parquet"),
        (["scores.parquet", "--rules", "rules.yaml"], "--rules needs --pairs"),
        (["scores.parquet", "--for-training", "t.parquet"], "--for-training needs --pairs"),
        (
            ["pairs.jsonl", "--pairs", "pairs.jsonl"],
            "pairs.jsonl holds no ratings; allowed: a table",
        ),
        (["known.csv"], "known.csv holds no ratings; allowed: a table of scores"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(words, message):
    assert message in refused("label", *words)


def test_a_store_of_several_judges_is_refused_with_their_names():
    filled("ratings.sqlite", 4)
    other = HashJudge()
    other.identity = "another"
    rk.annotate(some_pairs(4), RULES, other, store="ratings.sqlite")
    line = refused("label", "ratings.sqlite", "--pairs", "pairs.jsonl")
    assert "ratings of 2 judges (hash of the texts, another)" in line


def test_a_store_that_lacks_ratings_says_which():
    filled("ratings.sqlite", 4)
    line = refused("label", "ratings.sqlite", "--pairs", "pairs.jsonl")
    assert "ratings are not in it" in line
    assert line.endswith("; `rulekit annotate` rates them")
    assert refused("label", "ratings.sqlite").endswith("which knows no pairs: --pairs PATH")

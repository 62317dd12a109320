"""Readings of real responses: what the files hold, how grades become scores, what is refused."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs import readings

pytestmark = pytest.mark.filterwarnings("ignore:.*rows skipped")
SOURCES = tuple(readings.READ)


def test_every_response_of_600_pairs_has_a_first_reading_and_two_verdicts():
    first = readings.grades().filter(pl.col("pass") == "first")
    responses = first.unique(["source", "pair_id", "side"])
    assert responses["source"].value_counts(sort=True)["count"].to_list() == [600, 600]
    counts = readings.verdicts().group_by("source", "pair_id").len()
    assert counts["len"].to_list() == [2] * 600
    orders = readings.verdicts().group_by("source", "pair_id").agg(pl.col("reader").n_unique())
    assert (orders["reader"] == 2).all()  # either order by another reader


def test_grades_are_of_the_kits_rules_and_of_five_values():
    table = readings.grades()
    assert set(table["grade"]) == {-2, -1, 0, 1, 2}
    assert set(table["rule"]) <= set(rk.RuleSet.load("embedded").ids)
    assert set(table["pass"]) == set(readings.PASSES)
    assert table.unique(["source", "pair_id", "side", "rule", "reader"]).height == table.height


def test_both_responses_of_a_pair_were_checked_under_the_same_rules_by_different_readers():
    first = readings.grades().filter(pl.col("pass") == "first")
    sides = first.group_by("source", "pair_id", "side").agg(
        pl.col("rule").sort(), pl.col("reader").first()
    )
    both = sides.filter(pl.col("side") == "a").join(
        sides.filter(pl.col("side") == "b"), on=["source", "pair_id"], suffix="_b"
    )
    assert (both["rule"] == both["rule_b"]).all()
    assert (both["reader"] != both["reader_b"]).all()
    assert both["rule"].list.len().is_between(12, 25).all()


def test_second_readers_have_a_quarter_of_the_responses_and_are_others():
    table = readings.grades()
    names = {p: set(table.filter(pl.col("pass") == p)["reader"]) for p in readings.PASSES}
    assert not names["first"] & names["second"]
    texts = table.unique(["source", "sha256", "pass"])["pass"].value_counts()
    count = dict(texts.iter_rows())
    assert 0.2 < count["second"] / count["first"] < 0.3


def test_an_unknown_source_and_an_unknown_pass_are_refused():
    with pytest.raises(ValueError, match="unknown source 'hh'; allowed: hh-read, xstest-read"):
        readings.grades("hh")
    with pytest.raises(ValueError, match="unknown source"):
        readings.verdicts("xstest")
    with pytest.raises(ValueError, match="unknown pass 'fourth'; allowed: first, second"):
        readings.read_scores(pl.DataFrame(), rk.RuleSet.load("embedded"), "hh-read", by="fourth")


@pytest.mark.real_data
def test_the_pairs_drawn_anew_are_those_that_were_read(real_data):
    found = readings.drawn(rk.load_pairs("hh-rule-votes"), rk.load_pairs("xstest"))
    for source in SOURCES:
        assert set(found[source]) == set(readings.grades(source)["pair_id"])
        assert len(set(found[source])) == len(found[source]) == 300
    assert rk.load_pairs("xstest-read")["subset"].value_counts()["count"].to_list() == [150, 150]
    assert rk.inputs.prompt_groups(rk.load_pairs("hh-read")).n_unique() == 300


@pytest.mark.real_data
@pytest.mark.parametrize("source", SOURCES)
def test_a_score_is_half_the_grade_or_half_the_median_where_the_batch_was_read_again(
    real_data, source
):
    pairs, (rules, scores) = rk.load_pairs(source), rk.sources.load_ratings(source)
    scores = scores.of(pairs)
    row = {name: i for i, name in enumerate(pairs["pair_id"])}
    column = {name: j for j, name in enumerate(rules.ids)}
    wanted = {side: np.zeros(scores.a.shape) for side in "ab"}
    table = readings.grades(source).filter(pl.col("pass") != "again")
    batch = table.filter(pl.col("pass") == "third").select("pair_id", "side").unique()
    batch = set(batch.iter_rows())
    assert 0 < len(batch) <= 28
    read: dict[tuple, list[int]] = {}
    for pair, side, rule, grade, kind in table.select(
        "pair_id", "side", "rule", "grade", "pass"
    ).iter_rows():
        if kind == "first" or (pair, side) in batch:
            read.setdefault((pair, side, rule), []).append(grade)
    for (pair, side, rule), grades in read.items():
        wanted[side][row[pair], column[rule]] = np.median(grades) / 2
    for side in "ab":
        assert np.array_equal(getattr(scores, side), wanted[side])
    assert max(map(len, read.values())) == 3


@pytest.mark.real_data
def test_a_second_reading_leaves_unread_pairs_unrated(real_data):
    pairs, rules = rk.load_pairs("hh-read"), rk.RuleSet.load("hh-read")
    scores = readings.read_scores(pairs, rules, "hh-read", by="second")
    per_pair = scores.rated.sum(axis=1)
    assert set(per_pair) == {0, 100}


@pytest.mark.real_data
def test_a_text_that_is_not_the_one_read_is_named(real_data):
    pairs = rk.load_pairs("hh-read")
    name = pairs["pair_id"][3]
    changed = pairs.with_columns(
        response_b=pl.when(pl.col("pair_id") == name).then(pl.lit("x")).otherwise("response_b")
    )
    with pytest.raises(ValueError, match=f"response B of pair '{name}' is not the text"):
        readings.read_rows(changed, "hh-read")
    with pytest.raises(ValueError, match="299 of the 300 pairs that were read"):
        readings.read_rows(pairs.head(299), "hh-read")

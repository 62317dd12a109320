"""Which rules are right, and which are said to point the wrong way."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import rulekit as rk


@pytest.fixture(scope="module")
def case():
    """200 pairs: a rule that is right on 90 %, one that is on 10 %, a coin, one that hardly votes."""
    rng = np.random.default_rng(0)
    n = 200
    y = rng.choice([-1, 1], n)
    right = [np.where(rng.random(n) < p, y, -y) for p in (0.9, 0.1, 0.5)]
    rare = np.where(np.arange(n) < 5, y, 0)
    delta = np.stack([*right, rare], axis=1) * 0.8
    names = [f"p{i}" for i in range(n)]
    scores = rk.Scores.from_discrepancy(
        delta, rule_ids=["good", "turned", "coin", "rare"], pair_ids=names
    )
    pairs = pl.DataFrame(
        {
            "pair_id": names,
            "prompt": [f"question {i}" for i in range(n)],
            "response_a": ["one"] * n,
            "response_b": ["two"] * n,
            "preference": y,
        }
    )
    return pairs, scores


def test_rules_stand_in_the_order_of_their_accuracy_and_a_rare_one_is_left_out(case):
    found = rk.studies.rule_accuracies(*case)
    assert found["name"].to_list() == ["good", "coin", "turned"]
    assert found["value"][0] == pytest.approx(0.9, abs=0.05)
    assert found["wrong_way"].to_list() == [False, False, True]


def test_a_rule_that_points_the_wrong_way_is_named_and_a_coin_is_not(case):
    said = rk.studies.rule_accuracy_findings(rk.studies.rule_accuracies(*case), 4)
    assert "the votes of 1 are right" in said
    assert "**1 points the wrong way**: `turned`" in said
    assert "coin`" not in said
    straight = rk.studies.rule_accuracies(*case).filter(~pl.col("wrong_way"))
    assert "None can be shown to point the wrong way." in rk.studies.rule_accuracy_findings(
        straight, 4
    )


def test_pairs_in_another_order_give_the_same(case):
    pairs, scores = case
    turned = pairs.sort("preference", "pair_id")
    assert_frame_equal(
        rk.studies.rule_accuracies(turned, scores), rk.studies.rule_accuracies(*case)
    )


def test_without_votes_nothing_is_claimed(case):
    pairs, scores = case
    few = rk.studies.rule_accuracies(pairs.head(4), scores)
    assert few.is_empty()
    assert "No rule has 10 votes" in rk.studies.rule_accuracy_findings(few, 4)


def test_equally_loud_votes_of_different_rules_are_compared_where_there_are_some(case):
    pairs, scores = case
    delta = scores.discrepancy.copy()
    delta[:60, :3] /= 2  # quiet: fewer than those that stay at .8
    mixed = rk.Scores.from_discrepancy(
        delta, rule_ids=list(scores.names), pair_ids=pairs["pair_id"].to_list()
    )
    found = rk.studies.equally_loud(pairs, mixed)
    assert found["size"].unique().to_list() == [pytest.approx(0.8)]
    assert found["name"].to_list() == ["good", "coin", "turned"]
    assert set(found["votes"]) == {140}
    y, at = pairs["preference"].to_numpy(), np.arange(200) >= 60
    assert found["value"][0] == pytest.approx((mixed.votes[at, 0] == y[at]).mean())
    said = rk.studies.equally_loud_said(found)
    assert said.startswith(
        "At |δ| = 0.8 alone, of the 3 rules with most such votes, `good` is right"
    )
    assert "(n = 140). One curve does not fit both." in said


def test_one_curve_is_not_contradicted_by_intervals_that_overlap(case):
    pairs, scores = case
    alike = rk.Scores.from_discrepancy(
        scores.discrepancy[:, [0, 0]], pair_ids=pairs["pair_id"].to_list()
    )
    said = rk.studies.equally_loud_said(rk.studies.equally_loud(pairs, alike))
    assert "of the two rules" in said
    assert "Their intervals overlap: this settles nothing." in said


def test_ratings_that_hardly_repeat_have_no_equally_loud_votes(case):
    pairs, scores = case
    smooth = rk.Scores.from_discrepancy(
        scores.discrepancy * np.linspace(0.5, 1, 200)[:, None], pair_ids=pairs["pair_id"].to_list()
    )
    found = rk.studies.equally_loud(pairs, smooth)
    assert found.is_empty()
    assert "No two rules have 10 votes of the same loudness" in rk.studies.equally_loud_said(found)


def test_only_the_ends_are_drawn_where_there_are_many():
    many = pl.DataFrame({"name": [f"r{i}" for i in range(40)], "value": np.linspace(1, 0, 40)})
    assert rk.studies.ends_of(many, 3)["name"].to_list() == ["r0", "r1", "r2", "r37", "r38", "r39"]
    assert len(rk.studies.ends_of(many.head(6), 3)) == 6
    assert "the 3 most and the 3 least accurate of 40 rules" in rk.studies.ends_title(many, 3)
    assert rk.studies.ends_title(many.head(6), 3).endswith("of 6 rules")

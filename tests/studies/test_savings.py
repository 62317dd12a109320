"""What rating fewer rules costs: curves whose ends are known, and sentences that intervals allow."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.studies.savings import CHANCE, LARGEST, NAMED


@pytest.fixture(scope="module")
def planted():
    """80 pairs of 40 prompts; rule 0 alone is always right, and the other five are coins."""
    rng = np.random.default_rng(3)
    truth = rng.choice([-1, 1], 80)
    delta = np.column_stack([truth * 1.0, rng.choice([-0.5, 0.5], (80, 5))]).astype(np.float32)
    pairs = pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(80)],
            "prompt": [f"Question {i // 2}?" for i in range(80)],
            "response_a": [f"Yes {i}." for i in range(80)],
            "response_b": [f"No {i}." for i in range(80)],
            "preference": truth.astype(np.int8),
        }
    )
    pairs = rk.inputs.check_pairs(pairs)
    return pairs, rk.Scores.from_discrepancy(delta)


def at(curve: pl.DataFrame, series: str, k: int) -> float:
    return curve.filter(pl.col("series") == series, pl.col("k") == k)["y"][0]


def test_all_orders_meet_where_all_rules_are_rated_and_one_that_names_the_right_rule_is_right(
    planted,
):
    pairs, scores = planted
    names_it = np.tile([0.9, 0.1, 0.1, 0.1, 0.1, 0.1], (80, 1))
    curve = rk.studies.savings_curve(pairs, scores, names_it, draws=4)
    assert at(curve, NAMED, 1) == at(curve, LARGEST, 1) == 1.0
    assert at(curve, CHANCE, 1) == pytest.approx((1 + 5 / 2) / 6, abs=0.08)
    assert at(curve, NAMED, 6) == pytest.approx(at(curve, CHANCE, 6))
    assert at(curve, NAMED, 6) == pytest.approx(at(curve, LARGEST, 6))
    assert (curve["x"] == 2 * curve["k"]).all()
    assert (curve["least_draw"] <= curve["y"] + 1e-9).all()
    assert "up to 0.0 points, one of the random order" in rk.studies.draws_said(curve)
    title = rk.studies.savings_title(curve, 1, 6)
    assert title.startswith("1 of 6 rules: 100.0 % if the adapter names them")


def test_without_known_preferences_the_curve_ends_in_full_agreement(planted):
    pairs, scores = planted
    unknown = pairs.with_columns(preference=pl.lit(None, dtype=pl.Int8))
    curve = rk.studies.savings_curve(unknown, scores, np.zeros((80, 6)), known=False, draws=2)
    assert at(curve, CHANCE, 6) == 1.0
    assert rk.studies.savings_curve(unknown, scores, np.zeros((80, 6)), draws=2).is_empty()
    assert rk.studies.draws_said(pl.DataFrame()) == ""


def test_a_loss_is_claimed_where_there_is_one_and_not_elsewhere(planted):
    pairs, scores = planted
    wrong = rk.training.top_rules(np.tile([0, 0, 0, 0, 0, 1.0], (80, 1)), 1, scores.identity)
    assert "Saving costs accuracy" in rk.studies.saving_said(pairs, scores, wrong, True)
    right = rk.training.top_rules(np.tile([1.0, 0, 0, 0, 0, 0], (80, 1)), 1, scores.identity)
    said = rk.studies.saving_said(pairs, scores, right, True)
    assert "costs" not in said
    assert "100.0 %" in said
    assert "Saving changes labels" in rk.studies.saving_said(pairs, scores, wrong, False)


def test_one_pair_tells_which_named_rules_were_wanted_and_what_they_sum_to():
    scores = rk.Scores.from_discrepancy(np.array([[2.0, -2.0, 0.0, 1.0, 0.5]], np.float32))
    named = rk.training.top_rules(np.array([[0.9, 0.8, 0.7, 0.1, 0.1]]), 3, scores.identity)
    frame = rk.studies.named_rules(scores, named, 0)
    assert frame["named"].to_list() == [True, True, True, False]
    assert frame["largest"].to_list() == [True, True, False, True]
    said = rk.studies.named_rules_said(frame, 1)
    assert "2 are among the 3 of largest |δ|, and 1 say nothing here" in said
    assert "Their sum is 0: the label is neither" in said
    assert said.endswith("Known is A.")


def test_an_adapter_has_paid_when_half_of_all_ratings_are_saved():
    said = rk.studies.training_cost_said(100, 100, 10)
    assert "20,000 ratings" in said
    new = 125  # 100 · 100 + 125 · 10 = (100 + 125) · 100 / 2
    assert f"From {new} new pairs on" in said
    assert "half is never saved" in rk.studies.training_cost_said(100, 12, 6)

"""Whether votes are right more often where |δ| is larger: worlds in which they are, and are not."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from tests.studies.test_real_labels import pairs_of, scores_of

studies = rk.studies
SIZES = np.array([0.5, 1.0, 1.5, 2.0]) / 2


def world(right, n=400, seed=0):
    """Rules right with `right[rule](size)`."""
    rng = np.random.default_rng(seed)
    y, size = rng.choice([-1, 1], n), rng.choice(SIZES, (n, len(right)))
    p = np.stack([f(size[:, j]) for j, f in enumerate(right)], axis=1)
    sign = np.where(rng.random(size.shape) < p, y[:, None], -y[:, None])
    return pairs_of(y), scores_of(sign * size)


def slope(pairs, scores, name):
    return studies.premise_slopes(pairs, scores).row(
        by_predicate=pl.col("name") == name, named=True
    )


def test_the_curve_is_counted_by_size():
    delta = np.array([[0.5, -1.0], [0.5, 1.0], [-0.5, 0.0]])
    curve = studies.premise_curve(pairs_of([1, 1, 1]), scores_of(delta), (0, 0.75, 2))
    assert curve["value"].to_list() == pytest.approx([2 / 3, 1 / 2])
    assert curve["n"].to_list() == [3, 2]
    assert curve["size"].to_list() == [0.5, 1.0]


def test_votes_that_are_right_more_often_where_they_are_louder_have_a_slope():
    pairs, scores = world([lambda s: 0.5 + 0.4 * s] * 6)
    row = slope(pairs, scores, "within rules")
    assert row["low"] < 0.4 < row["high"]
    assert row["low"] > 0


def test_loud_rules_that_are_right_make_a_curve_and_no_slope_within_rules():
    rng = np.random.default_rng(3)
    n, m = 300, 8
    y, good = rng.choice([-1, 1], n), np.arange(m) < m / 2
    loud = rng.random((n, m)) < np.where(good, 0.8, 0.2)
    right = rng.random((n, m)) < np.where(good, 0.9, 0.55)
    delta = np.where(right, y[:, None], -y[:, None]) * np.where(loud, 1.0, 0.25)
    pairs, scores = pairs_of(y), scores_of(delta)
    assert slope(pairs, scores, "all votes")["low"] > 0
    inside = slope(pairs, scores, "within rules")
    assert inside["low"] < 0 < inside["high"]


def test_rules_are_told_by_their_direction():
    rng = np.random.default_rng(0)
    y = np.ones(200, int)
    delta = np.zeros((200, 5))
    delta[:, 0] = np.where(rng.random(200) < 0.8, 0.5, -0.5)
    delta[:, 1] = np.where(rng.random(200) < 0.2, 0.5, -0.5)
    delta[:, 2] = np.tile([0.5, -0.5], 100)
    delta[:3, 3] = 1.0
    found = dict(
        studies.rule_directions(pairs_of(y), scores_of(delta)).select("rule", "says").iter_rows()
    )
    assert found == {
        "r0": "with people",
        "r1": "against people",
        "r2": "cannot be told",
        "r3": "few votes",
        "r4": "never votes",
    }


def test_a_rule_that_is_right_where_it_is_loud_has_a_rise_of_its_own():
    pairs, scores = world([lambda s: 0.1 + 0.8 * s, lambda s: np.full(len(s), 0.7)])
    found = {r["rule"]: r for r in studies.rule_directions(pairs, scores).to_dicts()}
    assert found["r0"]["rise_low"] > 0.4
    assert found["r1"]["rise_low"] < 0 < found["r1"]["rise_high"]


def test_knowing_the_rules_beats_maximum_discrepancy_where_loud_rules_are_wrong():
    rng = np.random.default_rng(1)
    y = rng.choice([-1, 1], 300)
    good = np.where(rng.random((300, 5)) < 0.8, y[:, None], -y[:, None]) * 0.4
    bad = rng.choice([-1.0, 1.0], (300, 5))
    pairs, scores = pairs_of(y), scores_of(np.concatenate([good, bad], axis=1))
    found = {r["name"]: r for r in studies.best_five(pairs, scores, orders=3).to_dicts()}
    assert found["known from other prompts"]["over_low"] > 0
    assert found["in hindsight"]["value"] >= found["known from other prompts"]["value"] - 0.03
    assert found["maximum discrepancy"]["over"] is None


def test_edges_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="allowed: rising numbers from 0"):
        studies.premise_curve(pairs_of([1]), scores_of(np.ones((1, 1))), (0.5, 1))

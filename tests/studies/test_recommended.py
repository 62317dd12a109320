"""Recommended labels: weighted from a few labelled pairs, and never from those of their own fold."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk

N, M = 200, 8
RULES = rk.RuleSet.from_texts([f"The response keeps promise {j}." for j in range(M)])


@pytest.fixture(scope="module")
def planted():
    """Rules 0 to 2 are right, rules 5 to 7 wrong more often than right, and as loud."""
    rng = np.random.default_rng(0)
    y = rng.choice([-1, 1], N)
    quality = np.array([0.9, 0.9, 0.9, 0.5, 0.5, 0.15, 0.15, 0.15])
    right = rng.random((N, M)) < quality
    delta = np.where(right, 1, -1) * y[:, None] * rng.uniform(0.5, 1, (N, M))
    pairs = pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(N)],
            "prompt": [f"question {i // 2}" for i in range(N)],
            "response_a": [f"answer {i}" for i in range(N)],
            "response_b": [f"another answer {i}" for i in range(N)],
            "preference": y.astype(np.int8),
        }
    )
    return pairs, rk.Scores.from_discrepancy(delta, identity=rk.Identity.of(RULES, pairs))


def test_rules_that_point_the_wrong_way_help_once_they_are_weighted(planted):
    pairs, scores = planted
    found = rk.studies.recommended_labels(pairs, scores, k=3, n_labelled=60)
    table = rk.studies.recommended_table(pairs, scores, found)
    value = dict(table.select("name", "value").iter_rows())
    assert rk.accuracy(rk.label(scores), pairs).value < 0.75  # the plain sum
    assert value["all rules, weighted"] > 0.95
    assert value["deciding rules, weighted"] > 0.9
    assert value["rules the adapter names, weighted"] > 0.8


def test_a_fold_s_own_preferences_change_nothing_about_its_labels(planted):
    pairs, scores = planted
    first = rk.studies.recommended_labels(pairs, scores, k=3, n_labelled=30)
    turned = pairs.with_columns(
        preference=pl.when(pl.Series(first.fold == 2))
        .then(-pl.col("preference"))
        .otherwise(pl.col("preference"))
    )
    again = rk.studies.recommended_labels(turned, scores, k=3, n_labelled=30)
    assert np.array_equal(first.every[2].margin, again.every[2].margin)
    assert np.array_equal(first.named[2].margin, again.named[2].margin)
    assert not np.array_equal(first.every[1].margin, again.every[1].margin)
    own = first.fold == 2
    a, b = (
        rk.studies.recommended_rewards(p, f.every, f.fold)[own]
        for p, f in ((pairs, first), (turned, again))
    )
    np.testing.assert_allclose(a, b)

"""The comparison tables of the notebooks, on planted data whose answers are known."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk


def planted(n_prompts=60, n_rules=8, seed=0):
    """Six pairs a prompt; rule 0 alone says the preference, the others vote at random."""
    rng = np.random.default_rng(seed)
    n = 6 * n_prompts
    y = rng.choice([-1, 1], n)
    delta = rng.choice([-1.0, 1.0], (n, n_rules))
    delta[:, 0] = y
    prompts = np.repeat([f"prompt {i}" for i in range(n_prompts)], 6)
    pairs = pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "prompt": prompts,
            "response_a": [f"a{i}" for i in range(n)],
            "response_b": [f"b{i}" for i in range(n)],
            "preference": y,
        }
    )
    return pairs, rk.Scores.from_discrepancy(delta, relevance=rng.random(delta.shape))


def row(frame, name, k=None):
    found = frame.filter(pl.col("name") == name)
    return (found if k is None else found.filter(pl.col("k") == k)).row(0, named=True)


def test_accuracy_does_not_hang_on_the_order_in_which_rules_are_listed():
    """All |δ| tie: the first rule of the list is right always, but is chosen in 1 of 8 orders."""
    pairs, scores = planted()
    labels = rk.studies.rule_orders(pairs, scores, 1, "max_discrepancy", orders=200)
    right = (labels == pairs["preference"].to_numpy()).mean()
    assert right == pytest.approx(1 / 8 + 7 / 8 / 2, abs=0.05)
    backwards = scores.columns(np.arange(8)[::-1])
    mirrored = rk.studies.rule_orders(pairs, backwards, 1, "max_discrepancy", orders=200)
    assert (mirrored == pairs["preference"].to_numpy()).mean() == pytest.approx(right, abs=0.06)


def test_the_grid_finds_the_rule_that_other_prompts_vouch_for():
    pairs, scores = planted()
    test = np.arange(len(pairs)) >= 240
    grid = rk.studies.selection_grid(pairs, scores, test, ks=(1, 8), orders=10)
    static = row(grid, "static", 1)
    assert static["value"] == 1.0
    assert static["information"] == pytest.approx(1.0, abs=0.01)
    assert static["over_max_discrepancy_low"] > 0.2
    assert static["over_max_discrepancy_q"] < 0.01
    assert static["n"] == 120
    same = row(grid, "max_discrepancy", 1)
    assert (same["over_max_discrepancy"], same["over_max_discrepancy_p"]) == (0.0, 1.0)
    assert same["order_low"] < same["value"] < same["order_high"]
    # With every rule chosen there is nothing to choose: all methods are one.
    assert grid.filter(pl.col("k") == 8)["value"].n_unique() == 1


def test_static_in_the_table_never_sees_the_preferences_of_its_own_prompt():
    """Preferences without a rule that says them: cross-fitted choice is no better than chance."""
    pairs, scores = planted()
    noise = scores.columns(np.arange(1, 8))
    table = rk.studies.selection_table(pairs, noise, k=1, orders=10)
    assert row(table, "static")["low"] < 0.5
    assert row(rk.studies.selection_table(pairs, scores, k=1, orders=3), "static")["value"] == 1


def test_pairs_without_a_preference_count_nowhere():
    pairs, scores = planted()
    some = pairs.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0)
        .then(None)
        .otherwise("preference")
        .alias("preference")
    )
    table = rk.studies.selection_table(some, scores, k=3, orders=2)
    assert set(table["n"]) == {180}
    grid = rk.studies.selection_grid(some, scores, np.arange(360) >= 240, ks=(3,), orders=2)
    assert set(grid["n"]) == {60}

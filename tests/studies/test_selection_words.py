"""Sentences about selection: made of the frame's figures, and claimed only where they allow it."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from tests.studies.test_selection_accuracy import planted


def grid_of(q=0.001, gain=0.1, low=0.05, all_low=0.6):
    """Figures of a grid at two k, of three methods, as `selection_grid` has them."""
    rows = []
    for k in (1, 3):
        for name in ("all", "random", "max_discrepancy"):
            row = {
                "name": name,
                "k": k,
                "value": 0.7,
                "low": all_low,
                "high": 0.8,
                "n": 40,
                "n_groups": 10,
                "order_low": 0.69,
                "order_high": 0.71,
            }
            for other in ("all", "max_discrepancy"):
                mine = name == "max_discrepancy" and other == "all"
                row |= {
                    f"over_{other}": gain if mine else 0.0,
                    f"over_{other}_low": low if mine else -0.1,
                    f"over_{other}_high": gain + 0.05 if mine else 0.1,
                    f"over_{other}_q": q if mine else 1.0,
                }
            rows.append(row)
    return pl.DataFrame(rows)


def test_a_gain_beyond_chance_is_claimed_with_its_size_and_a_loss_as_a_loss():
    said = rk.studies.selection_findings(grid_of())
    assert "Maximum discrepancy is above the sum of all rules at k = 1, 3" in said
    assert "10.0 points [5.0, 15.0] more" in said
    lost = rk.studies.selection_findings(grid_of(gain=-0.1, low=-0.15))
    assert "Maximum discrepancy is below the sum of all rules" in lost
    assert "less" in lost
    assert "above the sum" not in lost


def test_a_gain_within_chance_cannot_be_told_apart():
    said = rk.studies.selection_findings(grid_of(q=0.2, low=-0.02))
    assert "Maximum discrepancy and the sum of all rules cannot be told apart at any k" in said
    assert "above the sum of all rules" not in said
    assert "largest difference +10.0 points [−2.0, +15.0]" in said


def test_a_gain_whose_interval_holds_zero_is_not_claimed_whatever_its_p_value():
    said = rk.studies.selection_findings(grid_of(q=0.001, low=-0.02))
    assert (
        "Maximum discrepancy against the sum of all rules is not settled at k = 1, 3: q speaks for a "
        "difference, the interval does not (at k = 1 +10.0 points [−2.0, +15.0]; at k = 3"
    ) in said
    assert "Maximum discrepancy and the sum of all rules cannot be told apart" not in said
    assert "above the sum of all rules" not in said


def test_nor_is_one_whose_interval_leaves_zero_out_while_q_does_not():
    said = rk.studies.selection_findings(grid_of(q=0.2, low=0.01))
    assert "Maximum discrepancy and the sum of all rules cannot be told apart" not in said
    assert "is not settled at k = 1, 3: the interval speaks for a difference, q does not" in said


@pytest.mark.parametrize(
    ("figures", "verdict", "q"),
    [
        ({}, "above", "0.001"),
        ({"gain": -0.1, "low": -0.2, "q": 0.0001}, "below", "<.001"),
        ({"low": -0.02}, "not settled", "0.001"),
        ({"q": 0.2}, "not settled", "0.200"),
        ({"q": 0.2, "low": -0.02}, "not told apart", "0.200"),
    ],
)
def test_the_table_of_gains_gives_the_verdict_of_the_sentences(figures, verdict, q):
    found = rk.studies.grid_gains(grid_of(**figures))
    assert found["verdict"].to_list() == [verdict] * 2
    assert found["q"].to_list() == [q] * 2


def test_nothing_is_called_minus_zero():
    found = rk.studies.grid_gains(grid_of(gain=-0.0001, low=-0.0002, q=0.2))
    assert str(found["difference"][0]) == "0.0"
    assert str(found["low"][0]) == "0.0"
    said = rk.studies.selection_findings(grid_of(gain=-0.0001, low=-0.0002, q=0.2))
    assert "0.0 points [0.0, +5.0]" in said
    assert "−0.0" not in said
    assert "+0.0" not in said


def test_the_least_k_that_is_as_accurate_as_all_rules_is_told_where_there_is_one():
    assert "as many of these pairs" not in rk.studies.selection_findings(grid_of())
    grid = grid_of(q=0.2, gain=0.001, low=-0.02)
    said = rk.studies.selection_findings(grid)
    assert "The loudest rule is right on about as many of these pairs as all rules" in said
    late = grid.with_columns(over_all=pl.when(pl.col("k") == 1).then(-0.05).otherwise("over_all"))
    said = rk.studies.selection_findings(late)
    assert (
        "The 3 loudest rules are right on about as many of these pairs as all rules. The difference "
        "is +0.1 points [−2.0, +5.1]" in said
    )
    surely = grid_of(q=0.001, gain=0.004, low=0.002)
    assert "as many of these pairs" not in rk.studies.selection_findings(surely)


def test_labels_that_cannot_be_told_from_a_coin_are_called_so():
    assert "more often than a coin" in rk.studies.selection_findings(grid_of())
    assert "a coin at any k" not in rk.studies.selection_findings(grid_of())
    said = rk.studies.selection_findings(grid_of(all_low=0.45))
    assert "it cannot be told from a coin" in said
    assert "No other method is above a coin at any k." in said


def test_a_method_above_a_coin_where_the_sum_is_not_is_told_with_how_many_were_looked_at():
    lifted = grid_of(all_low=0.45).with_columns(
        low=pl.when((pl.col("name") == "random") & (pl.col("k") == 3)).then(0.6).otherwise("low")
    )
    said = rk.studies.selection_findings(lifted)
    assert (
        "Of 4 other figures 1 has an interval above a coin, the highest `random` at k = 3" in said
    )


def test_the_spread_over_draws_is_told_where_there_is_one():
    assert "Tied rules matter: at k = 1" in rk.studies.selection_findings(grid_of())
    level = grid_of().with_columns(order_high=pl.col("order_low"))
    assert "Tied rules" not in rk.studies.selection_findings(level)


def test_findings_of_a_grid_tell_the_rule_that_other_prompts_vouch_for():
    pairs, scores = planted()
    grid = rk.studies.selection_grid(pairs, scores, np.ones(len(pairs), bool), ks=(1, 3), orders=5)
    said = rk.studies.selection_findings(grid)
    assert "One choice for all pairs (`static`) is above maximum discrepancy at k = 1" in said
    assert "100.0 %" in said


def test_without_pairs_left_over_the_fixed_choice_is_cross_fitted():
    pairs, scores = planted()
    noise = scores.columns(np.arange(1, 8))
    grid = rk.studies.selection_grid(pairs, noise, np.ones(len(pairs), bool), ks=(1,), orders=5)
    static = grid.filter(pl.col("name") == "static").row(0, named=True)
    assert static["low"] < 0.5
    assert static["n"] == len(pairs)


def test_scores_without_a_relevance_are_compared_by_what_needs_none():
    pairs, scores = planted()
    bare = rk.Scores.from_discrepancy(scores.discrepancy)
    grid = rk.studies.selection_grid(pairs, bare, np.ones(len(pairs), bool), ks=(1,), orders=2)
    assert set(grid["name"]) == {"all", "random", "static", "max_discrepancy"}
    table = rk.studies.selection_table(pairs, bare, k=2, orders=2)
    assert set(table["name"]) == {"all", "random", "static", "max_discrepancy"}
    found = rk.studies.selection_agreement(pairs, bare, (1, 3), orders=2)
    assert set(found["name"]) == {"random", "max_discrepancy"}


def test_agreement_needs_no_preference_and_is_whole_where_all_rules_are_chosen():
    pairs, scores = planted()
    unknown = pairs.with_columns(preference=pl.lit(None, pl.Int8))
    found = rk.studies.selection_agreement(unknown, scores, (1, 8), orders=5)
    last = found.filter(pl.col("k") == 8)
    assert (last["value"] == 1).all()
    one = found.filter((pl.col("k") == 1) & (pl.col("name") == "max_discrepancy"))
    assert 0.5 < one["value"][0] < 0.9


def agreement_of(loud, chance, width=0.05):
    rows = [
        {"name": name, "k": k, "value": v, "low": v - width, "high": v + width}
        for k in (1, 5)
        for name, v in (("max_discrepancy", loud), ("random", chance))
    ]
    return pl.DataFrame(rows)


def test_agreement_is_told_apart_only_where_intervals_lie_apart():
    apart = rk.studies.agreement_findings(agreement_of(0.96, 0.6), 2, 50)
    assert "All rules together leave 2 of 50 pairs tied." in apart
    assert "A random choice agrees less often at k = 1, 5" in apart
    assert "From k = 1 on" in apart
    close = rk.studies.agreement_findings(agreement_of(0.66, 0.6), 0, 50)
    assert "cannot be told from a random choice" in close
    assert "agrees less often" not in close
    assert "From k" not in close
    assert "tied" not in close


def test_where_every_pair_is_tied_that_is_said():
    pairs, _ = planted(n_prompts=2)
    silent = rk.Scores.from_discrepancy(np.zeros((12, 3)))
    found = rk.studies.selection_agreement(pairs, silent, (1,))
    assert found.is_empty()
    assert "nothing to compare" in rk.studies.agreement_findings(found, 12, 12)

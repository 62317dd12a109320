"""Agreement with known preferences, alone and paired."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from rulekit import measures


def test_a_pair_without_a_known_strict_preference_counts_nowhere():
    preference = [1, -1, None, float("nan"), 0, 1]
    found = measures.pairwise_accuracy([1, 1, 1, 1, 1, 0], preference, list("abcdef"))
    assert (found.value, found.n, found.ties) == (0.5, 3, 1)
    series = pl.Series([1, -1, None, None, 0, 1], dtype=pl.Int8)
    same = measures.pairwise_accuracy([1, 1, 1, 1, 1, 0], series, list("abcdef"))
    assert same == found


def test_a_null_preference_is_no_preference_for_the_first_response_in_a_paired_difference():
    first, second = np.array([1, 1, 1, 1.0]), np.array([-1, -1, -1, -1.0])
    found = measures.paired_difference(first, second, [None, float("nan"), 0, -1])
    assert (found.n, found.value) == (1, -1.0)
    with pytest.raises(ValueError, match="no pair has a known strict preference"):
        measures.paired_difference(first, second, [None] * 4)


def test_gains_of_one_prompt_are_no_independent_evidence():
    gain = np.r_[np.ones(30), -np.ones(10)]
    alone = measures.mean_difference(gain)
    together = measures.mean_difference(gain, np.repeat(np.arange(8), 5))
    assert alone.p_value < 0.01 < together.p_value
    assert (alone.n_groups, together.n_groups) == (40, 8)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=30), st.integers(0, 9))
def test_exchanging_all_responses_changes_no_accuracy(margin, seed):
    preference = np.random.default_rng(seed).choice([-1, 1], len(margin))
    one = measures.pairwise_accuracy(margin, preference)
    other = measures.pairwise_accuracy(-np.array(margin), -preference)
    assert one.value == pytest.approx(other.value)
    assert one.ties == other.ties


def test_wilson_stands_beside_the_interval_that_allows_for_prompts():
    margin, preference = np.r_[np.ones(37), -np.ones(23)], np.ones(60)
    found = measures.pairwise_accuracy(margin, preference)
    interval = binomtest(37, 60).proportion_ci(method="wilson")
    assert (found.wilson_low, found.wilson_high) == pytest.approx((interval.low, interval.high))
    exact = binomtest(37, 60).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    assert found.n_groups == 60
    shared = measures.pairwise_accuracy(margin, preference, np.repeat(np.arange(10), 6))
    assert (shared.wilson_low, shared.wilson_high) == (found.wilson_low, found.wilson_high)
    assert shared.low < found.low < found.high < shared.high
    assert shared.n_groups == 10


def test_all_right_and_all_alike_still_have_intervals_with_width():
    found = measures.pairwise_accuracy(np.ones(6), np.ones(6), [0, 0, 1, 1, 2, 2])
    assert (found.value, found.high) == (1, 1)
    assert found.low < 0.4
    wrong = measures.pairwise_accuracy(-np.ones(6), np.ones(6), [0, 0, 1, 1, 2, 2])
    assert (wrong.low, wrong.high) == pytest.approx((0, 1 - found.low))
    for gain, (low, high) in ((1.0, (-0.5, 1)), (-1.0, (-1, 0.5)), (0.0, (-0.8, 0.8))):
        same = measures.mean_difference([gain] * 6, [0, 0, 1, 1, 2, 2])
        assert low - 0.1 < same.low <= gain <= same.high < high + 0.1
        assert same.high - same.low > 0.5


@pytest.mark.parametrize(
    ("margin", "preference", "message"),
    [
        ([1, 2], [1], "margin has shape"),
        ([1, np.nan], [1, 1], "margin, row 1 is nan; allowed: numbers"),
        ([1, None], [1, 1], "margin, row 1 is nan"),
        (["a", "b"], [1, 1], "margin holds <U1"),
        (["0.5", None], [1, 1], "margin holds object"),
        ([[1, 2]], np.ones((1, 2)), r"margin has shape \(1, 2\)"),
        (np.ma.array([1.0, 2.0], mask=[False, True]), [1, 1], "margin, row 1 is nan"),
        ([1, 2], [1, 2], r"preference, row 1 is 2.0; allowed: \+1, -1, 0 or null"),
        ([1, 2], [True, False], "preference holds True and False"),
        ([1, 2], [True, None], "preference holds True and False"),
        ([1, 2], [None, 0], "no pair has a known strict preference"),
    ],
)
def test_margins_that_do_not_fit_are_refused(margin, preference, message):
    with pytest.raises(ValueError, match=message):
        measures.pairwise_accuracy(margin, preference)


def test_paired_margins_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="second has shape"):
        measures.paired_difference([1, 2], [1], [1, 1])
    with pytest.raises(ValueError, match=r"groups have shape \(1,\); allowed: \(2,\)"):
        measures.paired_difference([1, 2], [1, 3], [1, 1], ["a"])


def test_four_equal_gains_are_as_extreme_in_two_of_sixteen_flips():
    assert measures.mean_difference([0.5] * 4).p_value == pytest.approx(2 / 16)
    assert measures.mean_difference([0.3] * 4).p_value == pytest.approx(2 / 16)


def test_an_accuracy_as_a_dictionary_keeps_its_figures():
    found = measures.pairwise_accuracy([1, -1, 0], [1, 1, 1], [0, 1, 2]).as_dict()
    assert (found["value"], found["n"], found["ties"]) == (0.5, 3, 1)
    assert 0 <= found["low"] < found["wilson_low"] < found["wilson_high"] < found["high"] <= 1
    gain = measures.mean_difference([1.0, 0.0, 1.0], resamples=10).as_dict()
    assert gain["value"] == pytest.approx(2 / 3)
    assert set(gain) == {"value", "low", "high", "p_value", "n", "n_groups"}


def test_a_margin_that_is_no_number_is_refused_and_never_significant():
    with pytest.raises(ValueError, match="first, row 1 is nan; allowed: numbers"):
        measures.paired_difference([1, np.nan], [1, 1], [1, 1])
    with pytest.raises(ValueError, match="second, row 0 is nan"):
        measures.paired_difference([1, 1], [np.nan, 1], [1, 1])
    with pytest.raises(ValueError, match=r"gain has shape \(0,\)"):
        measures.mean_difference([])
    for gain in ([0.5, np.nan], [0.5, 1.5]):
        with pytest.raises(ValueError, match=r"gain, row 1 is .*; allowed: gains from -1 to 1"):
            measures.mean_difference(gain)
    for right in ([0.5, np.nan], [0.5, 1.5]):
        with pytest.raises(ValueError, match=r"right, row 1 is .*; allowed: shares from 0 to 1"):
            measures.mean_accuracy(right)
    with pytest.raises(ValueError, match="resamples is 0"):
        measures.mean_difference([0.5], resamples=0)


def test_the_order_of_rows_and_the_names_of_prompts_change_nothing():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 90))
    truth, prompts = rng.choice([-1, 1], 90), np.repeat(np.arange(30), 3)
    found = measures.paired_difference(first, second, truth, prompts)
    order = rng.permutation(90)
    again = measures.paired_difference(
        first[order], second[order], truth[order], [f"prompt {99 - g}" for g in prompts[order]]
    )
    assert again.as_dict() == pytest.approx(found.as_dict())


def test_a_share_that_rounding_put_outside_its_range_is_taken_as_its_end():
    found = measures.mean_accuracy([1 + 1e-12] * 3)
    assert (found.value, found.high, found.wilson_high) == (1, 1, 1)

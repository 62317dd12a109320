"""Agreement with known preferences, alone and paired."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test

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


def test_the_least_p_value_is_one_over_the_number_of_flips_and_one():
    gain = np.ones(60)
    assert measures.mean_difference(gain, resamples=99).p_value == pytest.approx(0.01)
    assert measures.mean_difference(gain, resamples=999).p_value == pytest.approx(0.001)
    assert measures.mean_difference(np.zeros(60), resamples=99).p_value == 1.0


def test_the_p_value_is_that_of_scipys_sign_flips_over_groups():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 3)
    gain = rng.choice([-1, 0, 0, 1, 1], 120) / 2
    total = np.bincount(groups, gain)
    theirs = permutation_test(
        (total,), np.sum, permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    ours = measures.mean_difference(gain, groups, resamples=20_000).p_value
    assert ours == pytest.approx(theirs, abs=0.015)


def test_gains_of_one_prompt_are_no_independent_evidence():
    gain = np.r_[np.ones(30), -np.ones(10)]
    alone = measures.mean_difference(gain)
    together = measures.mean_difference(gain, np.repeat(np.arange(8), 5))
    assert alone.p_value < 0.01 < together.p_value
    assert (alone.n_groups, together.n_groups) == (40, 8)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_the_paired_interval_covers_a_known_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for repeat in range(200):
        base = rng.normal(0.2, 1, 100)  # one gain a prompt, mean 0.2
        found = measures.mean_difference(base, seed=repeat, resamples=1000)
        covered += found.low <= 0.2 <= found.high
    assert 0.90 <= covered / 200 <= 0.985  # .95 in the mean, standard error .015


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=30), st.integers(0, 9))
def test_exchanging_all_responses_changes_no_accuracy(margin, seed):
    preference = np.random.default_rng(seed).choice([-1, 1], len(margin))
    one = measures.pairwise_accuracy(margin, preference)
    other = measures.pairwise_accuracy(-np.array(margin), -preference)
    assert one.value == pytest.approx(other.value)
    assert one.ties == other.ties


def test_wilson_and_prompt_intervals_are_told_apart_and_nan_without_prompts():
    margin, preference = np.r_[np.ones(37), -np.ones(23)], np.ones(60)
    found = measures.pairwise_accuracy(margin, preference)
    interval = binomtest(37, 60).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert np.isnan([found.cluster_low, found.cluster_high]).all()
    assert found.as_dict()["cluster_low"] is None


@pytest.mark.parametrize(
    ("margin", "preference", "message"),
    [
        ([1, 2], [1], "margin has shape"),
        ([1, np.nan], [1, 1], "margin, row 1 is NaN"),
        ([1, 2], [None, 0], "no pair has a known strict preference"),
    ],
)
def test_margins_that_do_not_fit_are_refused(margin, preference, message):
    with pytest.raises(ValueError, match=message):
        measures.pairwise_accuracy(margin, preference)


def test_paired_margins_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="margins have shapes"):
        measures.paired_difference([1, 2], [1], [1, 1])


def test_intervals_and_flips_follow_their_seed_and_number():
    rng = np.random.default_rng(0)
    margin, other = rng.normal(size=(2, 60))
    truth, groups = rng.choice([-1, 1], 60), np.repeat(np.arange(20), 3)

    def accuracy(seed, resamples=200):
        found = measures.pairwise_accuracy(margin, truth, groups, seed=seed, resamples=resamples)
        return found.cluster_low, found.cluster_high

    def difference(seed, resamples=200):
        found = measures.paired_difference(
            margin, other, truth, groups, seed=seed, resamples=resamples
        )
        return found.low, found.high, found.p_value

    for figures in (accuracy, difference):
        assert figures(1) == figures(1) != figures(2)
    assert accuracy(1, resamples=1)[0] == accuracy(1, resamples=1)[1]
    assert difference(1, resamples=1)[0] == difference(1, resamples=1)[1]


def test_four_equal_gains_are_as_extreme_in_two_of_sixteen_flips():
    found = measures.mean_difference([0.5] * 4, resamples=40_000)
    assert found.p_value == pytest.approx(2 / 16, abs=0.006)


def test_an_accuracy_as_a_dictionary_keeps_its_figures():
    found = measures.pairwise_accuracy([1, -1, 0], [1, 1, 1], [0, 1, 2]).as_dict()
    assert (found["value"], found["n"], found["ties"]) == (0.5, 3, 1)
    assert 0 <= found["low"] < found["cluster_high"] <= 1
    gain = measures.mean_difference([1.0, 0.0, 1.0], resamples=10).as_dict()
    assert gain["value"] == pytest.approx(2 / 3)
    assert set(gain) == {"value", "low", "high", "p_value", "n", "n_groups"}


def test_a_margin_that_is_no_number_is_refused_and_never_significant():
    with pytest.raises(ValueError, match="first, row 1 is NaN"):
        measures.paired_difference([1, np.nan], [1, 1], [1, 1])
    with pytest.raises(ValueError, match="second, row 0 is NaN"):
        measures.paired_difference([1, 1], [np.nan, 1], [1, 1])
    for gain in ([], [0.5, np.nan]):
        with pytest.raises(ValueError, match="gain has shape"):
            measures.mean_difference(gain)

"""Sign flips counted exactly: McNemar's test, every way to sign a few totals, tiny p-values."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test

from rulekit import measures
from rulekit.measures.sign_flips import sign_flip_p


def by_hand(total) -> float:
    """The share of all signs whose sum is at least as far from 0."""
    reached = abs(sum(total)) - 1e-9
    signed = [
        abs(sum(s * x for s, x in zip(signs, total, strict=True)))
        for signs in product((-1, 1), repeat=len(total))
    ]
    return float(np.mean([s >= reached for s in signed]))


@pytest.mark.parametrize(
    ("won", "lost"), [(5, 1), (1, 0), (10, 10), (0, 4), (100, 50), (3000, 1000)]
)
def test_independent_pairs_without_ties_have_mcnemars_exact_p_value(won, lost):
    first = np.r_[np.ones(won), -np.ones(lost), np.ones(20)]
    second = np.r_[-np.ones(won), np.ones(lost), np.ones(20)]
    found = measures.paired_difference(first, second, np.ones(won + lost + 20))
    expected = binomtest(won, won + lost).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9, abs=0)


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=10))
def test_totals_in_halves_are_counted_exactly(halves):
    total = [x / 2 for x in halves]
    assert sign_flip_p(total, resamples=1, seed=0) == pytest.approx(by_hand(total), abs=1e-12)


@given(st.lists(st.integers(-3000, 3000), min_size=1, max_size=9))
def test_few_totals_of_any_size_are_enumerated(thousandths):
    total = [x / 1000 for x in thousandths]
    found = sign_flip_p(total, resamples=1, seed=0)
    assert found == pytest.approx(by_hand(total), abs=1e-12)


def test_a_tiny_p_value_keeps_its_digits_and_is_never_zero():
    total = np.r_[np.full(60, 2.5), np.full(300, 0.5), -np.ones(4)]
    ways = {0: 1}  # sums in halves, by Python's whole numbers
    for size in (2 * np.abs(total)).astype(int).tolist():
        longer = {}
        for reached, times in ways.items():
            for sign in (-size, size):
                longer[reached + sign] = longer.get(reached + sign, 0) + times
        ways = longer
    reached = round(2 * total.sum())
    exact = Fraction(sum(t for s, t in ways.items() if abs(s) >= reached), 2 ** len(total))
    assert sign_flip_p(total, resamples=1, seed=0) == pytest.approx(float(exact), rel=1e-9, abs=0)
    assert 0 < sign_flip_p(np.ones(5000), resamples=1, seed=0) < 1e-300


def test_many_totals_that_are_no_halves_are_drawn_as_scipy_draws_them():
    total = np.random.default_rng(0).normal(0.15, 1, 60)
    theirs = permutation_test(
        (total,), np.sum, permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    ours = [sign_flip_p(total, resamples=20_000, seed=seed) for seed in (0, 0, 1)]
    assert ours == pytest.approx([theirs] * 3, abs=0.015)
    assert ours[0] == ours[1] != ours[2]


def test_the_least_p_value_drawn_is_one_over_the_number_of_flips_and_one():
    gain = np.linspace(0.5, 1, 60)
    assert measures.mean_difference(gain, resamples=99).p_value == pytest.approx(0.01)
    assert measures.mean_difference(gain, resamples=999).p_value == pytest.approx(0.001)


def test_totals_of_zero_say_nothing():
    for nothing in (0.0, 1e-17, 5e-10):
        assert sign_flip_p(np.full(60, nothing), resamples=99, seed=0) == 1
    some = [0.5, 0.5, 1.0, -0.5]
    assert sign_flip_p(some + [0.0] * 30, resamples=1, seed=0) == pytest.approx(by_hand(some))


def test_a_drawn_sum_as_far_from_zero_as_the_one_seen_counts():
    """Any signs of 17 times .3 reach as far as the least there is, whatever rounding says."""
    assert sign_flip_p([0.3] * 9 + [-0.3] * 8, resamples=500, seed=0) == 1

"""Sums over vote patterns against their plain twins, to fifty digits where that is the question."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulekit.kernels import theory as kernel
from tests import oracles

quick = settings(max_examples=20, deadline=None, derandomize=True)
accuracies = st.lists(st.floats(0, 1), min_size=0, max_size=6)
priors = st.one_of(st.sampled_from([0.0, 1e-6, 0.5, 1.0]), st.floats(0, 1))
PATTERNS = [[], [0.5], [1.0], [0.0, 0.7], [0.9, 0.6, 0.55], [0.3, 1.0, 0.5, 0.8], [0.51] * 5]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "size", [0.0, 1e-300, 1e-18, 1e-9, 1e-3, 0.049999, 0.05, 0.050001, 0.3, 0.999999, 1.0]
)
def test_excess_keeps_its_relative_precision(size, sign):
    expected = float(oracles.excess(sign * size))
    precision = 4e-16 if size <= 0.05 else 2e-14  # the series loses nothing
    assert kernel.excess(sign * size) == pytest.approx(expected, rel=precision, abs=0)


def test_excess_of_large_ratios_and_past_the_end():
    for x in (3.0, 1e6, 1e200):
        assert kernel.excess(x) == pytest.approx(float(oracles.excess(x)), rel=1e-15)
    assert kernel.excess(-1.0 - 1e-16) == 1.0
    assert kernel.excess(-1.0000001) == 1.0  # rounding may take a ratio past -1


@pytest.mark.parametrize("prior", [0.0, 1e-9, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("a", [0.0, 1e-250, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("b", [0.0, 1e-200, 0.2, 0.5 + 2**-40, 1.0])
def test_divergence_of_an_outcome_is_that_of_fifty_digits(a, b, prior):
    found = kernel.divergence(a, b, a - b, prior)
    assert found >= 0
    if prior * a + (1 - prior) * b > 0:
        expected = float(oracles.divergence(Decimal(a), Decimal(b), prior))
        assert found == pytest.approx(expected, rel=1e-11, abs=1e-270)
    else:
        assert found == 0


@pytest.mark.parametrize("mass", [0.0, 1e-290, 5e-324])
def test_outcomes_too_improbable_for_their_ratios_are_left_out(mass):
    assert kernel.divergence(mass, 0.0, mass, 0.5) == 0


def test_the_sum_of_many_small_terms_is_compensated():
    """2^17 outcomes of one size after a large one: a plain sum is off by 1e-14 and more."""
    a, b = np.full(2**17, 1e-7), np.full(2**17, 0.7e-7)
    a[0], b[0] = 1.0, 0.01
    one = [kernel.divergence(a[i], b[i], a[i] - b[i], 0.3) for i in (0, 1)]
    exact = Decimal(one[0]) + (2**17 - 1) * Decimal(one[1])
    found = kernel.information(a, b, a - b, 0.3)
    assert abs(Decimal(found) - exact) / exact < Decimal("3e-16")


def test_no_outcomes_tell_nothing():
    assert kernel.information(*np.zeros((3, 0)), 0.5) == 0


@pytest.mark.parametrize("p", PATTERNS)
def test_patterns_are_those_written_out(p):
    weights = np.arange(1, len(p) + 1) / 4
    scale = 2 ** len(p)
    a, b, d, total = kernel.patterns(np.array(p, float), weights)
    expected = np.array(oracles.patterns(p, weights)).T
    assert a / scale == pytest.approx(expected[0], rel=1e-14, abs=0)
    assert b / scale == pytest.approx(expected[1], rel=1e-14, abs=0)
    assert d / scale == pytest.approx(expected[0] - expected[1], rel=1e-13, abs=1e-16)
    assert total.tolist() == expected[2].tolist()


def test_the_difference_of_a_pattern_keeps_the_digits_that_subtraction_loses():
    p = 0.5 + 2.0**-50
    _, _, d, _ = kernel.patterns(np.array([p]), np.ones(1))
    assert d.tolist() == [2.0**-48, -(2.0**-48)]
    _, _, d, _ = kernel.patterns(np.array([p, p]), np.ones(2))
    assert d.tolist() == [2.0**-47, 0, 0, -(2.0**-47)]


def halves(p, weights):
    middle = len(p) // 2
    p, weights = np.array(p, float), np.array(weights, float)
    return (kernel.patterns(p[s], weights[s]) for s in (slice(middle), slice(middle, None)))


@quick
@given(accuracies, priors)
def test_enumerated_information_is_that_of_fifty_digits(p, prior):
    found = kernel.enumerated_information(*halves(p, p), prior)
    assert found == pytest.approx(float(oracles.exact_votes(p, prior)), abs=1e-13)


@pytest.mark.parametrize("offset", [2.0**-10, 2.0**-30, 2.0**-50])
def test_enumerated_information_is_exact_near_one_half(offset):
    p = [0.5 + offset, 0.5 - offset, 0.5 + 2 * offset]
    expected = float(oracles.exact_votes(p, 0.3))
    assert kernel.enumerated_information(*halves(p, p), 0.3) == pytest.approx(expected, rel=1e-13)


@quick
@given(accuracies, st.integers(-3, 3), st.data())
def test_enumerated_labels_are_those_written_out(p, bias, data):
    """Weights in eighths: sums are exact, and many are ties or at the very edge of one."""
    n = len(p)
    weights = [w / 8 for w in data.draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n))]
    for tie in (0.0, 1e-9, 0.125):
        found = kernel.enumerated_label(*halves(p, weights), bias / 8, tie)
        expected = oracles.label_masses(p, weights, bias / 8, tie)
        assert found == pytest.approx(expected, abs=1e-13)


def log_odds_moves(low, share, error_low, error_high):
    moves = []
    for step, high, e0, e1 in zip(low, share, error_low, error_high, strict=True):
        near, far = 1 - high, high
        moves.append(
            [
                (step, near * (1 - e0)),
                (-step, near * e0),
                (step + 1, far * (1 - e1)),
                (-step - 1, far * e1),
            ]
        )
    return moves


@pytest.mark.parametrize("low", [[], [0], [3], [0, 0], [2, 0, 5], [1, 1, 1, 1], [7, 3, 3]])
def test_the_log_odds_lattice_is_the_law_of_the_sum(low):
    rng = np.random.default_rng(len(low))
    share, error_low, error_high = rng.random((3, len(low))) * [[1], [0.5], [0.4]]
    share[:1] = 0.0
    found = kernel.log_odds_lattice(np.array(low, np.int64), share, error_low, error_high)
    moves = log_odds_moves(low, share, error_low, error_high)
    expected = oracles.sum_distribution(moves, sum(low) + len(low))
    assert found == pytest.approx(expected, rel=1e-13, abs=1e-18)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "steps", [[], [0], [3], [-3], [1, 1], [2, -1, 0], [5, 4, 3, 2], [1] * 6, [-2, -2, 7]]
)
def test_the_sum_lattice_is_the_law_of_the_weighted_votes(steps):
    p = np.random.default_rng(len(steps)).random(len(steps))
    p[:1] = 1.0
    found = kernel.sum_lattice(np.array(steps, np.int64), p)
    reach = sum(map(abs, steps))
    votes = list(zip(steps, p.tolist(), strict=True))
    a = oracles.sum_distribution([[(s, q), (-s, 1 - q)] for s, q in votes], reach)
    b = oracles.sum_distribution([[(s, 1 - q), (-s, q)] for s, q in votes], reach)
    assert found == pytest.approx(np.array([a, b, a - b]), abs=1e-15)


def best(first, epsilon, k):
    epsilon = np.array(epsilon, float)
    single = np.array([kernel.divergence(1 + e, 1 - e, 2 * e, 0.5) for e in epsilon])
    value, subset = kernel.best_with_first(first, epsilon, single, k)
    return value, subset.tolist()


@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "epsilon",
    [
        [0.8, 0.5, 0.3, 0.2, 0.1, 0.05],
        [0.05, 0.1, 0.2, 0.3, 0.5, 0.8],  # any order: the search uses none
        [0.4, 0.0, 0.9, 0.4, 0.0, 0.4],
        [1.0, 0.5, 1.0, 0.2, 0.0],
    ],
)
def test_the_best_subset_with_a_first_rule_is_that_of_every_subset(epsilon, k):
    for first in range(len(epsilon) - k + 1):
        value, subset = best(first, epsilon, k)
        expected, reached_by = oracles.best_with_first(first, epsilon, k)
        assert value == pytest.approx(float(expected), abs=1e-14)
        assert subset in reached_by


@pytest.mark.parametrize("size", [0.0, 0.25])
@pytest.mark.parametrize("k", [2, 3, 4])
def test_of_equal_subsets_the_first_is_kept(k, size):
    for first in range(6 - k + 1):
        assert best(first, [size] * 6, k)[1] == list(range(first, first + k))


def test_the_whole_set_is_a_subset():
    epsilon = [0.6, 0.1, 0.4]
    value, subset = best(0, epsilon, 3)
    assert subset == [0, 1, 2]
    expected = oracles.exact_votes([(1 + e) / 2 for e in epsilon], 0.5)
    assert value == pytest.approx(float(expected), abs=1e-15)

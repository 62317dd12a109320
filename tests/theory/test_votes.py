"""What votes tell: enumeration against a plain twin, bounds that hold to fifty digits, best subsets."""

import math
from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rulekit import theory
from tests.oracles import exact_votes, votes_and_labels
from tests.theory.drawn import accuracies, entropy, priors, quick


@quick
@given(accuracies, priors, st.data())
def test_enumeration_equals_the_plain_twin(p, prior, data):
    steps = data.draw(st.lists(st.integers(-20, 20), min_size=len(p), max_size=len(p)))
    weights = [s / 10 for s in steps]
    votes, label, accuracy = votes_and_labels(p, prior, weights)
    quality = theory.label_quality(p, weights, prior)
    assert theory.vote_information(p, prior) == pytest.approx(votes, abs=1e-12)
    assert quality.information == pytest.approx(label, abs=1e-12)
    assert quality.accuracy == pytest.approx(accuracy, abs=1e-12)
    assert quality.channel.sum(axis=1) == pytest.approx([1, 1])


@quick
@given(accuracies, priors, st.integers(0, 10**6))
def test_the_lattice_keeps_its_stated_error(p, prior, seed):
    rng = np.random.default_rng(seed)
    exact = theory.vote_information(p, prior, method="enumerate")
    for tolerance in (1e-4, 1e-7):
        found = theory.vote_information(p, prior, method="lattice", tolerance=tolerance)
        assert found.error <= tolerance + 1e-12
        assert abs(found - exact) <= found.error + exact.error
    for weights in ("majority", "optimal", rng.random(len(p)), rng.integers(1, 9, len(p)) / 10):
        exact = theory.label_quality(p, weights, prior, method="enumerate")
        found = theory.label_quality(p, weights, prior, method="lattice")
        for name in ("accuracy", "information"):
            one, other = getattr(exact, name), getattr(found, name)
            assert abs(one - other) <= one.error + other.error


@pytest.mark.parametrize("method", ["lattice", "enumerate"])
@pytest.mark.parametrize("prior", [0.5, 0.1])
@pytest.mark.parametrize("width", [0.49, 0.2, 1e-2, 1e-4, 1e-6, 1e-9, 1e-12])
def test_the_stated_error_is_a_bound_to_fifty_digits(width, prior, method):
    """No slack: fractions of one unit in the last place count, whatever the tolerance."""
    rng = np.random.default_rng(6)
    for k in (1, 1, 2, 3, 5, 8):
        signs = rng.choice([-1, 1], k)
        for offset in (width * signs, width * rng.uniform(-1, 1, k)):
            p = (0.5 + offset).tolist()
            exact = exact_votes(p, prior)
            for tolerance in (1e-3, 1e-5, 1e-7):
                found = theory.vote_information(p, prior, "nats", method, tolerance)
                assert abs(Decimal(float(found)) - exact) <= Decimal(found.error)
                assert Decimal(found.low) <= exact <= Decimal(found.high)


@pytest.mark.parametrize("p", [[1e-17, 0.3], [1e-300, 0.6, 0.9], [1 - 2.0**-53, 0.55, 0.5]])
def test_the_stated_error_is_a_bound_where_a_vote_is_all_but_sure(p):
    for prior in (0.5, 1e-6):
        exact = exact_votes(p, prior)
        for method in ("lattice", "enumerate"):
            found = theory.vote_information(p, prior, "nats", method)
            assert abs(Decimal(float(found)) - exact) <= Decimal(found.error)


def test_the_lattice_keeps_its_stated_error_at_twenty_rules():
    rng = np.random.default_rng(3)
    for width in (0.01, 0.2, 0.5):
        p, weights = 0.5 + width * rng.uniform(-1, 1, 20), rng.random(20)
        exact = theory.vote_information(p)
        found = theory.vote_information(p, method="lattice")
        assert abs(found - exact) <= found.error + exact.error
        exact = theory.label_quality(p, weights)
        found = theory.label_quality(p, weights, method="lattice")
        assert found.undecided.max() > 0
        assert found.information.error < 1e-3
        assert abs(found.information - exact.information) <= found.information.error
        assert abs(found.accuracy - exact.accuracy) <= found.accuracy.error


def test_a_hundred_rules_have_the_binomial_values_of_the_majority():
    from scipy.stats import binom

    right = binom(101, 0.55).sf(50)
    found = theory.label_quality(np.full(101, 0.55))
    assert found.accuracy == pytest.approx(right, abs=1e-12)
    assert found.information == pytest.approx(1 - entropy(right), abs=1e-12)
    count = np.arange(102)
    a, b = binom(101, 0.55).pmf(count), binom(101, 0.45).pmf(count)
    exact = ((a * np.log2(2 * a / (a + b)) + b * np.log2(2 * b / (a + b))) / 2).sum()
    votes = theory.vote_information(np.full(101, 0.55))
    assert abs(votes - exact) <= votes.error
    assert votes.error < 1e-7


@pytest.mark.parametrize("p", [0.0, 1e-12, 0.3, 0.5, 0.9, 1.0])
def test_one_vote_carries_one_less_the_binary_entropy(p):
    for method in ("enumerate", "lattice"):
        found = theory.vote_information([p], method=method)
        assert abs(found - (1 - entropy(p))) <= found.error + 1e-12
        nats = theory.vote_information([p], unit="nats", method=method)
        assert nats == pytest.approx(found * math.log(2), abs=1e-7)


def test_nothing_cancels_near_one_half():
    """I = ε²/2 nats + O(ε⁴) for one vote of accuracy (1 + ε) / 2, and votes add up."""
    for offset in (2.0**-20, 2.0**-30, 2.0**-50):
        expected = (2 * offset) ** 2 / 2
        one = theory.vote_information([0.5 + offset], unit="nats")
        three = theory.vote_information([0.5 + offset] * 3, unit="nats")
        majority = theory.label_information([0.5 + offset] * 3, unit="nats")
        assert one == pytest.approx(expected, rel=1e-11)
        assert three == pytest.approx(3 * expected, rel=1e-11)
        assert majority == pytest.approx(2.25 * expected, rel=1e-10)


def test_a_sure_rule_tells_everything_and_a_certain_preference_leaves_nothing():
    for method in ("enumerate", "lattice"):
        for sure in (0.0, 1.0):
            found = theory.vote_information([0.6, sure, 0.7], 0.3, method=method)
            assert found == pytest.approx(entropy(0.3), abs=1e-12)
            quality = theory.label_quality([0.6, sure, 0.7], "optimal", 0.3, method=method)
            assert quality.accuracy == pytest.approx(1)
            assert quality.information == pytest.approx(entropy(0.3))
        assert theory.vote_information([0.6, 0.9], 1.0, method=method) == 0
        assert theory.label_accuracy([0.6, 0.9], "optimal", 0.0, method) == pytest.approx(1)


@quick
@given(accuracies, priors, st.floats(0, 1), st.integers(0, 10**6))
def test_more_rules_and_better_rules_never_tell_less(p, prior, extra, seed):
    j = seed % len(p)
    stronger = p.copy()
    stronger[j] = p[j] * 0.5 if p[j] < 0.5 else 0.5 + p[j] / 2
    value = theory.vote_information(p, prior)
    assert theory.vote_information([*p, extra], prior) >= value - 1e-12
    assert theory.vote_information(stronger, prior) >= value - 1e-12
    assert theory.vote_information([1 - x for x in p], prior) == pytest.approx(value, abs=1e-9)
    assert value <= entropy(prior) + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_of_every_five_of_twenty_rules_the_largest_distances_from_one_half_are_best(seed):
    p = np.random.default_rng(seed).random(20)
    found, bits = theory.best_subset(p, 5)
    assert (found == np.sort(np.argsort(-np.abs(p - 0.5))[:5])).all()
    assert bits == pytest.approx(theory.vote_information(p[found]), abs=1e-12)


@quick
@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.data())
def test_brute_force_in_the_kernel_equals_brute_force_by_enumeration(p, data):
    k = data.draw(st.integers(1, len(p)))
    values = {s: theory.vote_information([p[j] for j in s]) for s in combinations(range(len(p)), k)}
    found, bits = theory.best_subset(p, k)
    assert bits == pytest.approx(max(values.values()), abs=1e-12)
    assert values[tuple(found.tolist())] == pytest.approx(bits, abs=1e-12)


def test_equal_rules_go_to_the_lowest_positions():
    assert theory.best_subset([0.6, 0.75, 0.25, 0.75, 0.6, 0.25], 3)[0].tolist() == [1, 2, 3]
    assert theory.best_subset([0.5] * 6, 4)[0].tolist() == [0, 1, 2, 3]

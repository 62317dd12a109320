"""Theory: enumeration against a plain twin, bounds that hold, theorems, and where they end."""

import math
from decimal import Decimal
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rulekit as rk
from rulekit import theory
from tests.oracles import exact_votes, votes_and_labels

accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=9)
priors = st.floats(0, 1)
quick = settings(max_examples=60, deadline=None)


def entropy(p: float) -> float:
    return -sum(x * math.log2(x) for x in (p, 1 - p) if x > 0)


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


@quick
@given(accuracies, priors, st.integers(0, 10**6))
def test_no_label_tells_more_than_its_votes_nor_hits_more_than_the_optimal(p, prior, seed):
    weights = np.random.default_rng(seed).random(len(p))
    best = theory.label_accuracy(p, "optimal", prior)
    assert best >= max(prior, 1 - prior) - 1e-9
    for label in ("majority", "optimal", weights):
        quality = theory.label_quality(p, label, prior)
        assert quality.information <= theory.vote_information(p, prior) + 1e-12
        assert quality.accuracy <= best + 1e-9


def test_with_bradley_terry_accuracies_the_sum_label_is_the_bayes_decision():
    delta = np.random.default_rng(4).uniform(0, 2, 9)
    p = 1 / (1 + np.exp(-1.7 * delta))
    found, best = (theory.label_quality(p, w) for w in (delta, "optimal"))
    assert found.accuracy == pytest.approx(best.accuracy, abs=1e-13)
    assert found.channel == pytest.approx(best.channel, abs=1e-13)


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


def test_gaussian_closed_forms_agree_with_simulated_labels():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    mu, cov = rng.normal(size=6) / 2, root @ root.T + np.eye(6)
    y = rng.choice([-1, 1], 200_000)
    delta = y[:, None] * mu + rng.multivariate_normal(np.zeros(6), cov, len(y))
    subset, w = np.array([4, 0, 3]), np.array([1.0, -0.5, 2.0])
    cases = [
        (theory.gaussian_log_odds(delta, mu, cov), theory.gaussian_accuracy(mu, cov)),
        (
            theory.gaussian_log_odds(delta, mu, cov, subset),
            theory.gaussian_accuracy(mu, cov, subset=subset),
        ),
        (delta[:, subset] @ w, theory.gaussian_accuracy(mu, cov, w, subset)),
    ]
    for margin, accuracy in cases:
        assert (np.sign(margin) == y).mean() == pytest.approx(accuracy, abs=0.005)
    log_odds, _ = cases[0]
    assert (1 / (1 + np.exp(-log_odds))).mean() == pytest.approx(0.5, abs=0.005)
    loss = np.logaddexp(0, -y * log_odds).mean() / math.log(2)
    assert 1 - loss == pytest.approx(theory.gaussian_information(mu, cov), abs=0.01)


@pytest.mark.parametrize("d", [1e-6, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("prior", [0.5, 0.1])
def test_gaussian_information_equals_adaptive_quadrature_and_exceeds_its_sign(d, prior):
    from scipy.integrate import quad
    from scipy.stats import norm

    def integrand(z: float) -> float:
        a, b = norm.pdf(z - d), norm.pdf(z + d)
        m = prior * a + (1 - prior) * b
        return prior * a * math.log2(a / m) + (1 - prior) * b * math.log2(b / m)

    found = theory.gaussian_information([d], [[1.0]], prior=prior)
    assert found == pytest.approx(quad(integrand, -d - 9, d + 9, limit=200)[0], abs=1e-9)
    accuracy = theory.gaussian_accuracy([d], [[1.0]])
    assert found >= theory.vote_information([accuracy], prior)


def test_small_gaussian_information_does_not_cancel():
    found = theory.gaussian_information([1e-7], [[1.0]], unit="nats")
    assert found == pytest.approx(0.5e-14, rel=1e-9)


def test_duplicated_rules_are_picked_and_add_nothing():
    example = theory.dependent_rules()
    assert (example.picked, example.best) == ((0, 1), (0, 2))
    assert example.information_picked == pytest.approx(1 - entropy(0.8))
    assert example.information_best == pytest.approx(votes_and_labels([0.8, 0.7], 0.5, [1, 1])[0])
    assert example.vote_information([0, 1]) == pytest.approx(example.vote_information([0]))


def test_a_loud_noisy_rule_is_picked_before_a_quiet_good_one():
    example = theory.unequal_noise()
    assert (example.picked, example.best) == ((0,), (1,))
    assert example.information_picked == pytest.approx(1 - entropy(0.6))
    assert example.information_best == pytest.approx(1 - entropy(0.9))


def test_a_reversed_rule_leaves_the_sum_label_with_nothing_though_the_votes_tell_most():
    example = theory.reversed_rules()
    p, size = [0.9, 0.1, 0.7], [1.0, 1.0, 0.5]
    by_hand = {
        s: votes_and_labels([p[j] for j in s], 0.5, [size[j] for j in s])
        for s in combinations(range(3), 2)
    }
    assert example.picked == (0, 1) == max(by_hand, key=lambda s: by_hand[s][0])
    assert example.best == (0, 2) == max(by_hand, key=lambda s: by_hand[s][1])
    for subset, (votes, label, accuracy) in by_hand.items():
        assert example.vote_information(subset) == pytest.approx(votes)
        assert example.label_information(subset) == pytest.approx(label, abs=1e-15)
        assert example.label_accuracy(subset) == pytest.approx(accuracy)
    assert example.information_picked == pytest.approx(0, abs=1e-15)
    assert example.label_accuracy(example.picked) == pytest.approx(0.5)


def test_a_rule_chosen_after_seeing_it_has_an_information_no_fixed_rule_has():
    example = theory.selection_after_seeing()
    loud, quiet = 1 - entropy(0.9), 1 - entropy(0.6)
    assert example.information_fixed == pytest.approx([(loud + quiet) / 2] * 2)
    assert example.information_selected == pytest.approx(0.75 * loud + 0.25 * quiet)
    assert example.information_vote == pytest.approx(1 - entropy(0.75 * 0.9 + 0.25 * 0.6))
    both = [votes_and_labels([a, b], 0.5, [1, 1])[0] for a in (0.9, 0.6) for b in (0.9, 0.6)]
    assert example.information_all == pytest.approx(np.mean(both))


def test_the_majority_is_not_monotone_in_the_number_of_rules():
    example = theory.majority_not_monotone()
    assert example.majority == pytest.approx((0.9, 0.75, 0.792))
    assert theory.label_accuracy(example.accuracy) == pytest.approx(0.792)
    assert theory.label_accuracy(example.accuracy, "optimal") == pytest.approx(0.9)


REFERENCE = {  # design.md: all, random, max_discrepancy, log_odds, best_fixed, optimal
    "equal": (0.977, 0.672, 0.857, 0.857, 0.668, 0.977),
    "sparse": (0.841, 0.585, 0.711, 0.969, 0.870, 0.987),
    "unequal_noise": (0.919, 0.642, 0.684, 0.998, 0.909, 1.0),
    "shared_noise": (0.694, 0.681, 0.891, 0.894, 0.752, 0.976),
    "reversed": (0.910, 0.613, 0.657, 0.997, 0.964, 1.0),
}


def test_five_regimes_give_the_reference_accuracies():
    """60,000 pairs: the reference's own noise is 0.0035, so ours should not add to it."""
    table = theory.regime_table(n_pairs=60_000)
    assert table["regime"].to_list() == list(theory.REGIMES) == list(REFERENCE)
    for name, *found in table.iter_rows():
        assert found == pytest.approx(REFERENCE[name], abs=0.01), name


@pytest.mark.parametrize("name", theory.REGIMES)
def test_simulated_pairs_have_the_planted_moments_and_closed_form_accuracy(name):
    s = theory.simulate(name, 20_000, seed=1)
    centred = s.preference[:, None] * s.scores.discrepancy
    spread = np.sqrt(np.diag(s.cov))
    assert np.abs((centred.mean(axis=0) - s.mu) / spread).max() < 5 / np.sqrt(20_000)
    error = np.cov(centred.T) - s.cov
    assert np.abs(error / np.outer(spread, spread)).max() < 8 / np.sqrt(20_000)
    assert np.abs(s.scores.discrepancy).max() < 2
    every = rk.label(s.scores, rk.select(s.scores, 5, "all")).preference
    expected = theory.gaussian_accuracy(s.mu, s.cov, np.ones(100))
    assert (every == s.preference).mean() == pytest.approx(expected, abs=0.015)
    again = theory.simulate(name, 20_000, seed=1)
    assert (again.scores.a == s.scores.a).all()
    assert (theory.simulate(name, 20_000, seed=2).scores.a != s.scores.a).any()


def test_the_best_fixed_rules_of_independent_noise_are_those_of_largest_signal_to_noise():
    rng = np.random.default_rng(5)
    mu, spread = rng.normal(size=12), rng.uniform(0.5, 2, 12)
    found = theory.best_gaussian_subset(mu, np.diag(spread**2), 4)
    assert set(found) == set(np.argsort(-np.abs(mu / spread))[:4])


def test_the_greedy_gaussian_subset_of_two_starts_from_the_best_rule_and_cannot_be_improved():
    """Against brute force: every first rule, and every partner of it."""
    rng = np.random.default_rng(7)
    for _ in range(20):
        root = rng.normal(size=(6, 6))
        mu, cov = rng.normal(size=6), root @ root.T + np.eye(6) / 2
        values = {
            s: theory.gaussian_accuracy(mu, cov, subset=s)
            for size in (1, 2)
            for s in combinations(range(6), size)
        }
        first = max((s for s in values if len(s) == 1), key=values.get)
        pairs = [s for s in values if len(s) == 2 and set(first) < set(s)]
        assert tuple(theory.best_gaussian_subset(mu, cov, 1)) == first
        assert tuple(theory.best_gaussian_subset(mu, cov, 2)) == max(pairs, key=values.get)


def test_log_odds_selection_takes_the_largest_evidence_one_pair_after_the_other():
    rng = np.random.default_rng(8)
    delta, mu, variance = rng.normal(size=(40, 7)), rng.normal(size=7), rng.uniform(0.2, 3, 7)
    found = theory.log_odds_selection(delta, mu, np.diag(variance), 3)
    for row, chosen in zip(delta, found, strict=True):
        evidence = [abs(m * d) / v for m, d, v in zip(mu, row, variance, strict=True)]
        assert chosen.tolist() == sorted(range(7), key=lambda j, e=evidence: -e[j])[:3]
    assert found.dtype == np.int32


ROW = np.ones((1, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.vote_information([0.5, 1.2]), "accuracy of rule 1 is 1.2; allowed: 0 to 1"),
        (lambda: theory.vote_information([np.nan]), "accuracy of rule 0 is nan"),
        (lambda: theory.vote_information([]), "accuracy has shape (0,)"),
        (lambda: theory.vote_information([0.6], 1.5), "prior is 1.5; allowed: 0 to 1"),
        (lambda: theory.vote_information([0.6], unit="dB"), "unknown unit 'dB'; allowed: bits"),
        (lambda: theory.vote_information([0.6], method="mc"), "unknown method 'mc'; allowed: auto"),
        (lambda: theory.vote_information([0.6] * 21, method="enumerate"), "21 rules; allowed: 20"),
        (lambda: theory.vote_information([0.6] * 50, tolerance=1e-15), "lattice cells; allowed"),
        (lambda: theory.label_quality([0.6], "best"), "unknown weights 'best'; allowed: majority"),
        (lambda: theory.label_quality([0.6], [1, 2]), "weights have shape (2,); allowed: (1,)"),
        (lambda: theory.best_subset([0.6, 0.7], 3), "k is 3; allowed: 1 to 2"),
        (lambda: theory.gaussian_accuracy([1, 1], np.ones((2, 2))), "not positive definite"),
        (lambda: theory.gaussian_accuracy([1.0], np.eye(2)), "mu and cov have shapes"),
        (lambda: theory.gaussian_accuracy([1, 1], np.eye(2), subset=[2]), "allowed: distinct"),
        (lambda: theory.best_subset([0.6, 0.7], 1.5), "k is 1.5; allowed: 1 to 2"),
        (lambda: theory.best_gaussian_subset([1, 1], np.eye(2), 1.5), "k is 1.5; allowed: 1 to 2"),
        (lambda: theory.best_gaussian_subset([1, 1], np.eye(2), "2"), "k is '2'; allowed: 1 to 2"),
        (lambda: theory.best_gaussian_subset([1, 1], np.eye(2), 3), "k is 3; allowed: 1 to 2"),
        (lambda: theory.log_odds_selection(ROW, [1, 1], np.eye(2), 1.5), "k is 1.5; allowed"),
        (lambda: theory.log_odds_selection(ROW, [1, 1], np.eye(2), True), "k is True; allowed"),
        (lambda: theory.log_odds_selection(ROW, [1, 1], np.eye(2), "2"), "k is '2'; allowed"),
        (
            lambda: theory.log_odds_selection(ROW * np.nan, [1, 1], np.eye(2), 1),
            "delta, row 0, rule",
        ),
        (
            lambda: theory.log_odds_selection(ROW[:, :1], [1, 1], np.eye(2), 1),
            "allowed: (n_pairs, 2)",
        ),
        (
            lambda: theory.log_odds_selection(ROW, [1, 1], np.diag([1, 0]), 1),
            "cov of rule 1 is 0.0",
        ),
        (lambda: theory.log_odds_selection(ROW, [1, np.nan], np.eye(2), 1), "allowed: finite"),
        (lambda: theory.gaussian_log_odds(ROW * np.nan, [1, 1], np.eye(2)), "row 0, rule 0 is nan"),
        (lambda: theory.gaussian_log_odds(ROW[:, :1], [1, 1], np.eye(2)), "allowed: (n_pairs, 2)"),
        (lambda: theory.gaussian_information([1, 1], np.eye(2), unit="dB"), "unknown unit 'dB'"),
        (lambda: theory.simulate("equal", n_pairs=1.5), "n_pairs is 1.5; allowed: 1 or more"),
        (lambda: theory.simulate("loud"), "unknown regime 'loud'; allowed: equal, sparse"),
        (lambda: theory.simulate("equal", n_rules=5), "n_rules is 5; allowed: 20 or more"),
        (lambda: theory.joint_information([[0]], [[0.4, 0.4]]), "with sum 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call()
    assert message in str(error.value)

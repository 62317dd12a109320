"""The Gaussian model: closed forms against simulation, quadrature and brute force."""

import math
import time
from itertools import combinations

import numpy as np
import pytest

from rulekit import theory


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


@pytest.mark.parametrize("prior", [0.5, 0.1, 1e-6, 1e-30, 1 - 1e-9, 0.0, 1.0])
def test_gaussian_information_equals_that_of_the_log_odds_and_never_exceeds_the_entropy(prior):
    """The log-odds are N(±2d², 4d²), to be integrated where the classes overlap."""
    import mpmath

    with mpmath.workdps(40):
        p = mpmath.mpf(prior)
        entropy = -sum(q * mpmath.log(q, 2) for q in (p, 1 - p) if q)
        for d in (0.05, 0.9, 1.0, 1.1, 2.5, 6.0, 20.0, 39.0, 41.0, 60.0, 1e3, 1e6):
            found = theory.gaussian_information([d], [[1.0]], prior=prior)
            assert 0 <= found <= float(entropy) * (1 + 1e-15)
            lost = mpmath.mpf(0)
            if d < 50 and p not in (0, 1):
                lean = mpmath.log(p / (1 - p))
                centre = max(-d, min(d, float(-lean / (2 * d))))

                def doubt(z, d=d, lean=lean):
                    odds = 2 * d * z + lean
                    one = p * mpmath.npdf(z, d) * mpmath.log1p(mpmath.exp(-odds))
                    return one + (1 - p) * mpmath.npdf(z, -d) * mpmath.log1p(mpmath.exp(odds))

                edges = [centre + x for x in (-14, -5, -1.5, -0.3, 0, 0.3, 1.5, 5, 14)]
                lost = mpmath.quad(doubt, edges) / mpmath.log(2)
            assert found == pytest.approx(float(entropy - lost), rel=1e-9, abs=1e-12)


def test_gaussian_information_of_sixty_and_a_thousand_standard_errors_is_one_bit_at_once():
    start = time.process_time()
    for d in (60.0, 1e3, 1e6, 1e200):
        assert theory.gaussian_information([d], [[1.0]]) == 1.0
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e-160, 1.0, 1e160, 1e300])
def test_only_the_direction_of_weights_matters_however_small_or_large(size):
    mu, cov = [0.8, 0.3], [[1.0, 0.2], [0.2, 2.0]]
    for figure in (theory.gaussian_accuracy, theory.gaussian_information):
        plain = figure(mu, cov, weights=[1.0, 2.0])
        assert figure(mu, cov, weights=[size, 2 * size]) == pytest.approx(plain, rel=1e-3)
    assert theory.gaussian_accuracy(mu, cov, weights=[0.0, 0.0]) == 0.5
    assert theory.gaussian_information(mu, cov, weights=[0.0, 0.0]) == 0.0


@pytest.mark.parametrize(("size", "accuracy"), [(1e-200, 0.5), (1e200, 1.0), (0.0, 0.5)])
def test_means_whose_squares_are_no_floats_have_an_accuracy(size, accuracy):
    assert theory.gaussian_accuracy([size, size], np.eye(2)) == accuracy
    assert theory.gaussian_information([size, size], np.eye(2)) == round(2 * accuracy - 1)


def test_small_gaussian_information_does_not_cancel():
    found = theory.gaussian_information([1e-7], [[1.0]], unit="nats")
    assert found == pytest.approx(0.5e-14, rel=1e-9)


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

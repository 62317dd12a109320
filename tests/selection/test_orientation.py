"""A few labels turn the rules round only with evidence, many always do."""

import numpy as np
import pytest

import rulekit as rk
from rulekit.selection import estimators
from rulekit.selection.orientation import above_half, side
from rulekit.selection.rule_model import Reference
from tests import oracles
from tests.selection.drawn import planted

METHODS = [m for m in estimators() if m != "auto"]


def weak(n: int, seed: int, m: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Discrepancies of rules whose best label is right in two of three pairs, and Y."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], n)
    delta = 0.27 * y[:, None] + 0.5 * rng.standard_normal((n, 1)) + rng.standard_normal((n, m))
    return np.clip(delta / 6, -1, 1), y


def shares_reversed(delta, y, labels: int, draws: int, method: str) -> tuple[float, float]:
    """Share of draws of labels after which labels are wrong in most pairs; mean accuracy."""
    scores, hits = rk.Scores.from_discrepancy(delta), []
    for draw in range(draws):
        known = np.zeros(len(y))
        seen = np.random.default_rng(draw).permutation(len(y))[:labels]
        known[seen] = y[seen]
        e = rk.estimate(scores, known, method, power=1.0)
        rest = known == 0
        margin = e.transform(delta[rest]) @ e.weights()
        hits.append(((np.sign(margin) * y[rest] + 1) / 2).mean())
    return float((np.array(hits) < 0.5).mean()), float(np.mean(hits))


@pytest.mark.parametrize("method", METHODS)
def test_ten_labels_do_not_turn_weak_rules_round(method):
    """By the majority of ten labels alone one draw in ten would come out reversed."""
    delta, y = weak(240, 6)
    turned, accuracy = shares_reversed(delta, y, 10, 60, method)
    assert turned <= 0.04
    assert accuracy > 0.6


@pytest.mark.parametrize("method", METHODS)
def test_ten_labels_do_not_turn_real_ratings_round(method, real_data):
    _, scores = rk.sources.load_ratings("hh-rule-votes")
    flip = np.random.default_rng(3).choice([-1, 1], scores.n_pairs)
    delta = (scores.discrepancy * flip[:, None])[:600]
    turned, accuracy = shares_reversed(delta, flip[:600], 10, 25, method)
    assert turned <= 0.04
    assert accuracy > 0.58


@pytest.mark.parametrize("method", METHODS)
def test_labels_turn_rules_that_are_wrong_in_sum(method):
    s, y = planted(1500, np.full(10, 0.3), 4)
    known = np.where(np.arange(1500) < 40, y, 0)
    assert (rk.estimate(s, known, method).mu < 0).all()
    if method not in ("bradley_terry", "moments"):
        assert (rk.estimate(s, None, method).mu > 0).all()  # without a label nothing can tell


def test_the_side_turns_at_the_stated_odds():
    s = planted(400, np.full(5, 0.9), 5)[0]
    reference = Reference.of(s, 1.0)
    mu = np.ones(5)
    told = np.sign(reference.z @ np.linalg.solve(reference.second, mu))
    for n, turns_at in ((3, 4), (4, 4), (10, 8), (30, 20)):
        for wrong in range(n + 1):
            known = np.zeros(400)
            known[:n] = told[:n] * np.where(np.arange(n) < wrong, -1, 1)
            for way in (1, -1):  # μ and -μ stand for the same rules
                expected = way * (-1 if wrong >= turns_at else 1)
                assert side(way * mu, reference, known) == expected, (n, wrong)


def test_the_chance_of_more_right_than_wrong_is_the_integral_of_the_likelihood():
    from scipy.integrate import quad

    for right, wrong in ((0, 0), (1, 0), (2, 8), (11, 19)):

        def law(p, right=right, wrong=wrong):
            return p**right * (1 - p) ** wrong

        expected = quad(law, 0.5, 1)[0] / quad(law, 0, 1)[0]
        assert above_half(right, wrong) == pytest.approx(expected, rel=1e-9)


def test_moments_keep_to_the_side_that_is_more_probable_and_shrink_along_it():
    """Three of ten labels agree: not enough to turn, enough to leave little of the prior."""
    delta, _ = weak(300, 6)
    s = rk.Scores.from_discrepancy(delta)
    told = np.sign(delta.sum(axis=1))
    known = np.zeros(300)
    known[:10] = told[:10] * np.where(np.arange(10) < 7, -1, 1)
    e = rk.estimate(s, known, "moments")
    rms = np.sqrt((s.discrepancy.astype(float) ** 2).mean(axis=0))
    prior = rk.estimate(s).mu / rms
    second = (e.cov + np.outer(e.mu, e.mu)) / np.outer(rms, rms)
    right = s.discrepancy[:10] / rms * known[:10, None]
    assert e.mu / rms == pytest.approx(oracles.shrunk_means(right, prior, second, True), abs=1e-8)
    assert e.mu @ prior > 0 > right.mean(axis=0) @ prior
    known[:10] = -told[:10]
    e = rk.estimate(s, known, "moments")
    right = s.discrepancy[:10] / rms * known[:10, None]
    expected = np.array(oracles.shrunk_means(right, prior, second, False))
    assert (e.mu / e.mu[0]) == pytest.approx(expected / expected[0] * rms / rms[0], abs=1e-7)
    assert e.mu @ prior < 0

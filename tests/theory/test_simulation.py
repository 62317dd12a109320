"""Planted truth: the five regimes have their moments and their reference accuracies."""

import numpy as np
import pytest

import rulekit as rk
from rulekit import theory

REFERENCE = {  # label accuracy of a reference run: all, random, max_discrepancy, log_odds, best_fixed, optimal
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

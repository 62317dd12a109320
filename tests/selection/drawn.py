"""Scores, votes with a planted preference, and Gaussian models, drawn with a seed."""

import numpy as np

import rulekit as rk


def random_model(m: int, seed: int) -> rk.Estimates:
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((m, m + 3))
    return rk.Estimates(rng.standard_normal(m), mix @ mix.T / m + 0.1 * np.eye(m), 7, "drawn")


def random_scores(n: int, m: int, seed: int) -> rk.Scores:
    rng = np.random.default_rng(seed)
    delta = rng.uniform(-1, 1, (n, m)) * rng.choice([0, 1], (n, m))
    return rk.Scores.from_discrepancy(delta, rng.integers(11, size=(n, m)) / 10)


def planted(n: int, accuracy, seed: int = 0) -> tuple[rk.Scores, np.ndarray]:
    """Votes ±1 of independent rules, and Y."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], n)
    right = rng.random((n, len(accuracy))) < accuracy
    return rk.Scores.from_discrepancy(np.where(right, y[:, None], -y[:, None])), y

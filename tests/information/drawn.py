"""Votes, discrepancies and Gaussians of known information, drawn with a seed."""

import numpy as np
from scipy.stats import norm


def planted(n: int, m: int, seed: int = 0, abstain: float = 0.2, zero: bool = False):
    """Votes of m rules, from useless to good, and the preference."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 0, 1] if zero else [-1, 1], n)
    right = rng.random((n, m)) < np.linspace(0.5, 0.8, m)
    votes = np.where(right, 1, -1) * np.where(y == 0, rng.choice([-1, 1], n), y)[:, None]
    return np.where(rng.random((n, m)) < abstain, 0, votes), y


def gaussian_classes(n: int, shift: float, seed: int, zeros: float = 0.0):
    """δ ~ N(shift·y, 1), set to 0 with chance `zeros` whatever y is."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], n)
    x = rng.standard_normal(n) + shift * y
    return np.where(rng.random(n) < zeros, 0.0, x), y


def two_gaussians(shift: float) -> float:
    """I(δ; Y) in nats of N(±shift, 1) by quadrature."""
    t = np.linspace(-12, 12, 20_001)
    p, q = norm.pdf(t - shift), norm.pdf(t + shift)
    integrand = p * np.log(np.maximum(2 * p, 1e-300) / np.maximum(p + q, 1e-300))
    return float(np.trapezoid(integrand, t))


def correlated(rng, rho=0.6):
    x, z = rng.standard_normal((2, 200))
    return x, rho * x + np.sqrt(1 - rho**2) * z

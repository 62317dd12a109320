"""Pairs with planted truth, and the five regimes in which selectors are compared.

The name of a regime comes in; scores with their hidden preference, means and covariance go out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rulekit.information.checks import check_count
from rulekit.inputs.scores import Scores
from rulekit.kernels import selection
from rulekit.theory.gaussian import best_gaussian_subset, gaussian_log_odds, log_odds_selection

REGIMES = ("equal", "sparse", "unequal_noise", "shared_noise", "reversed")


@dataclass(frozen=True, eq=False)
class Simulation:
    """Pairs whose preference, means and noise are known.

    Attributes
    ----------
    scores
        Scores of n_pairs pairs under n_rules rules; a - b = δ = Yμ + noise, b = -a.
    preference
        The hidden Y, -1 or +1, int8 (n_pairs,).
    mu
        Mean of δ given Y = +1, (n_rules,), in the units of the scores.
    cov
        Covariance of δ given Y, (n_rules, n_rules), in the square of these units.
    regime
        Name of the regime.
    """

    scores: Scores
    preference: np.ndarray  # (n_pairs,)
    mu: np.ndarray  # (n_rules,)
    cov: np.ndarray  # (n_rules, n_rules)
    regime: str


def regime(name: str, n_rules: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of each rule's δ, its own noise and its share of a common noise, before scaling.

    Parameters
    ----------
    name
        ``equal``: μ = 0.2, unit noise. ``sparse``: μ = 0.5 for a fifth of the rules, pure noise
        in the rest. ``unequal_noise``: μ = 0.3, noise 0.5 in one half and 3 in the other.
        ``shared_noise``: μ = 0.3; 60 % of the rules share one unit noise and have 0.2 of their
        own, the others have unit noise. ``reversed``: μ = -0.8 for 15 % of the rules, 0.3 for
        the others, unit noise.
    n_rules
        20 or more, so that every group has a rule.

    Returns
    -------
    mu, spread, shared, (n_rules,) each: δ = Yμ + spread · ε_j + shared · ε with standard normal
    ε_j a rule and ε a pair, so Σ = diag(spread²) + shared sharedᵀ.

    Raises
    ------
    ValueError
        For an unknown name, or fewer than 20 rules.
    """
    if name not in REGIMES:
        raise ValueError(f"unknown regime {name!r}; allowed: {', '.join(REGIMES)}")
    if check_count("n_rules", n_rules) < 20:
        raise ValueError(f"n_rules is {n_rules}; allowed: 20 or more")
    position = np.arange(n_rules) / n_rules
    mu, spread, shared = np.full(n_rules, 0.3), np.ones(n_rules), np.zeros(n_rules)
    if name == "equal":
        mu[:] = 0.2
    elif name == "sparse":
        mu = np.where(position < 0.2, 0.5, 0.0)
    elif name == "unequal_noise":
        spread = np.where(position < 0.5, 0.5, 3.0)
    elif name == "shared_noise":
        shared = (position < 0.6).astype(float)
        spread = np.where(position < 0.6, 0.2, 1.0)
    else:
        mu = np.where(position < 0.15, -0.8, 0.3)
    return mu, spread, shared


def simulate(name: str, n_pairs: int = 20_000, n_rules: int = 100, seed: int = 0) -> Simulation:
    """Draw pairs from a regime: δ = Yμ + noise, Y = ±1 equiprobable.

    Parameters
    ----------
    name
        One of `REGIMES`; see `regime`.
    n_pairs
        1 or more.
    n_rules
        20 or more.
    seed
        Of the generator; the result depends on nothing else.

    Returns
    -------
    Simulation. All δ of a regime are multiplied by one constant c, c (8 σ_max + |μ|_max) = 2, so
    that they fit scores in [-1, 1] and every selection stays what it was; what lies beyond,
    fewer than one in 10^14, is clipped.
    """
    mu, spread, shared = regime(name, n_rules)
    check_count("n_pairs", n_pairs)
    rng = np.random.default_rng(seed)
    y = rng.choice(np.array([-1, 1], dtype=np.int8), n_pairs)
    noise = rng.standard_normal((n_pairs, n_rules))
    noise *= spread
    if shared.any():
        noise += shared * rng.standard_normal((n_pairs, 1))
    cov = np.diag(spread**2) + np.outer(shared, shared)
    scale = 2 / (8 * np.sqrt(np.diag(cov).max()) + np.abs(mu).max())
    half = np.clip((y[:, None] * mu + noise) * (scale / 2), -1.0, 1.0)
    return Simulation(Scores(half, -half), y, mu * scale, cov * scale**2, name)


def regime_table(
    n_pairs: int = 20_000, n_rules: int = 100, k: int = 5, seed: int = 0
) -> pl.DataFrame:
    """Label accuracy in every regime when μ and Σ are known, or not needed.

    Parameters
    ----------
    n_pairs, n_rules, seed
        As `simulate`.
    k
        Rules per pair.

    Returns
    -------
    A row a regime. Sum of δ over ``all`` rules, k at ``random``, the k of ``max_discrepancy``;
    ``log_odds``, the sum of μ_j δ_j / σ_j² over the k rules where it is largest in size;
    ``best_fixed``, the best weights on the best k rules for all pairs; ``optimal``, the best
    weights on all. Accuracies on the simulated pairs, so with a standard error of at most
    0.5 / √n_pairs.
    """
    k, rows = check_count("k", k, n_rules), []
    for name in REGIMES:
        s = simulate(name, n_pairs, n_rules, seed)
        delta = s.scores.discrepancy.astype(np.float64)
        evidence = delta * (s.mu / np.diag(s.cov))
        chance = selection.top_k(selection.RANDOM, s.scores.a, s.scores.b, None, k, seed)
        loud = selection.top_k(selection.DISCREPANCY, s.scores.a, s.scores.b, None, k)
        fixed = best_gaussian_subset(s.mu, s.cov, k)
        margins = {
            "all": delta.sum(axis=1),
            "random": _chosen_sum(delta, chance),
            "max_discrepancy": _chosen_sum(delta, loud),
            "log_odds": _chosen_sum(evidence, log_odds_selection(delta, s.mu, s.cov, k)),
            "best_fixed": gaussian_log_odds(delta, s.mu, s.cov, fixed),
            "optimal": gaussian_log_odds(delta, s.mu, s.cov),
        }
        hits = {m: float((np.sign(v) * s.preference + 1).mean() / 2) for m, v in margins.items()}
        rows.append({"regime": name, **hits})
    return pl.DataFrame(rows)


def _chosen_sum(values: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, indices, axis=1).sum(axis=1)

"""The Gaussian model of discrepancies, δ | Y ~ N(Yμ, Σ): closed forms, and planted truth.

Means and covariances come in, accuracies and information go out; `simulate` draws pairs from
five regimes in which selectors are compared. `rulekit.theory` offers all of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from rulekit.criteria import discriminant, largest
from rulekit.kernels import selection
from rulekit.kernels import theory as kernel
from rulekit.scores import Scores
from rulekit.variables import check_count, unit_size

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


def gaussian_accuracy(mu, cov, weights=None, subset=None) -> float:
    """Accuracy of a linear label sign(w'δ), or of the best one, in [0, 1].

    Parameters
    ----------
    mu
        Mean of δ given Y = +1, (n_rules,).
    cov
        Covariance of δ given Y, (n_rules, n_rules), positive definite.
    weights
        w, (n_rules,) or (k,) with a subset; default: the best, Σ⁻¹μ.
    subset
        Positions of the rules to use, (k,); default: all.

    Returns
    -------
    Φ(w'μ / √(w'Σw)); for the best weights Φ(√(μ'Σ⁻¹μ)). No ties: 0.5 where w'Σw is 0.

    Raises
    ------
    ValueError
        For shapes that do not fit, values that are not finite, or a Σ not positive definite.

    Notes
    -----
    Y is equiprobable or the threshold is zero: both classes are then hit equally often.
    """
    return float(norm.cdf(_separation(mu, cov, weights, subset)))


def gaussian_log_odds(delta, mu, cov, subset=None) -> np.ndarray:
    """Posterior log-odds of Y = +1 over -1, equiprobable before: 2 μ'Σ⁻¹δ, (n_pairs,).

    Parameters
    ----------
    delta
        Discrepancies, (n_pairs, n_rules).
    mu, cov, subset
        As `gaussian_accuracy`; only the subset's columns of δ are looked at.

    Returns
    -------
    Log-odds in nats, (n_pairs,).

    Raises
    ------
    ValueError
        As `gaussian_accuracy`; for a δ of another shape, or one that is not finite in a column
        that is looked at.
    """
    n_rules = np.size(mu)
    mu, cov, chosen = _model(mu, cov, subset)
    delta = _discrepancies(delta, n_rules, chosen)
    return 2 * delta[:, chosen] @ np.linalg.solve(cov, mu)


def gaussian_information(
    mu, cov, weights=None, subset=None, prior: float = 0.5, unit: str = "bits"
) -> float:
    """Information of the value of a linear score w'δ about Y, by quadrature.

    Parameters
    ----------
    mu, cov, weights, subset
        As `gaussian_accuracy`. With the default weights the score is sufficient, so this is
        I(δ_S; Y), what the discrepancies of the rules carry together.
    prior
        P(Y = +1), in [0, 1].
    unit
        ``bits`` or ``nats``.

    Returns
    -------
    The information in the unit, ≥ 0.

    Raises
    ------
    ValueError
        As `gaussian_accuracy`; for a prior out of range or an unknown unit.

    Notes
    -----
    Standardised, the score is N(Yd, 1) with d = w'μ / √(w'Σw). The trapezoidal rule on an
    analytic integrand that vanishes at both ends converges geometrically; its error is below
    1e-12 nats. The information of the sign alone, the label, is
    `vote_information([gaussian_accuracy(...)], prior)`.
    """
    nats = unit_size(unit)
    if not 0 <= prior <= 1:
        raise ValueError(f"prior is {prior}; allowed: 0 to 1")
    d = abs(_separation(mu, cov, weights, subset))
    step = 0.02 / max(1.0, d)
    z = np.arange(-(d + 12), d + 12, step)
    a, b = step * norm.pdf(z - d), step * norm.pdf(z + d)
    return kernel.information(a, b, (a + b) * np.tanh(z * d), float(prior)) / nats


def best_gaussian_subset(mu, cov, k: int) -> np.ndarray:
    """The k rules of largest μ_S'Σ_SS⁻¹μ_S, found greedily, int64 (k,), ascending.

    Parameters
    ----------
    mu, cov
        As `gaussian_accuracy`.
    k
        1 to n_rules.

    Returns
    -------
    Positions, int64 (k,), ascending.

    Raises
    ------
    ValueError
        As `gaussian_accuracy`, and for a k out of range.

    Notes
    -----
    Exact for independent rules, where it takes the largest |μ_j| / σ_j; otherwise forward
    selection. Ties go to the lowest position.
    """
    mu, cov, _ = _model(mu, cov, None)
    return np.sort(discriminant(mu, cov, check_count("k", k, len(mu))))


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


def log_odds_selection(delta, mu, cov, k: int = 5) -> np.ndarray:
    """The k rules of largest evidence |μ_j δ_j| / σ_j² for each pair, int32 (n_pairs, k).

    Parameters
    ----------
    delta
        Discrepancies, (n_pairs, n_rules).
    mu, cov
        Known mean given Y = +1 and covariance; of the covariance only the diagonal is used.
    k
        1 to n_rules.

    Returns
    -------
    Positions, int32 (n_pairs, k), the largest evidence first.

    Raises
    ------
    ValueError
        For shapes that do not fit, a k out of range, values that are not finite, or a variance
        that is not positive.

    Notes
    -----
    2 μ_j δ_j / σ_j² is rule j's own log-odds. Summing it over the chosen rules is the posterior
    log-odds when rules are independent. Ties go to the lowest position.
    """
    mu, cov = _moments(mu, cov)
    variance = np.diag(cov)
    if not (variance > 0).all():
        raise ValueError(f"cov of rule {int(variance.argmin())} is {variance.min()}; allowed: > 0")
    k = check_count("k", k, len(mu))
    delta = _discrepancies(delta, len(mu), np.arange(len(mu)))
    return largest(np.abs(delta * (mu / variance)), k).astype(np.int32)


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


def _separation(mu, cov, weights, subset) -> float:
    mu, cov, chosen = _model(mu, cov, subset)
    if weights is None:
        return float(np.sqrt(mu @ np.linalg.solve(cov, mu)))
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (len(chosen),) or not np.isfinite(w).all():
        raise ValueError(f"weights have shape {w.shape}; allowed: {(len(chosen),)}, finite numbers")
    spread = w @ cov @ w
    return float(w @ mu / np.sqrt(spread)) if spread > 0 else 0.0


def _discrepancies(delta, n_rules: int, chosen: np.ndarray) -> np.ndarray:
    """δ as float64 (n_pairs, n_rules), finite in the columns that are looked at."""
    delta = np.asarray(delta, dtype=np.float64)
    if delta.ndim != 2 or delta.shape[1] != n_rules:
        raise ValueError(f"delta has shape {delta.shape}; allowed: (n_pairs, {n_rules})")
    bad = np.argwhere(~np.isfinite(delta[:, chosen]))
    if len(bad):
        row, rule = bad[0, 0], chosen[bad[0, 1]]
        raise ValueError(
            f"delta, row {row}, rule {rule} is {delta[row, rule]}; allowed: finite numbers"
        )
    return delta


def _moments(mu, cov) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance, checked."""
    mu, cov = np.asarray(mu, dtype=np.float64), np.asarray(cov, dtype=np.float64)
    if mu.ndim != 1 or cov.shape != (len(mu), len(mu)) or len(mu) == 0:
        raise ValueError(
            f"mu and cov have shapes {mu.shape}, {cov.shape}; allowed: (n_rules,) and "
            "(n_rules, n_rules)"
        )
    if not (np.isfinite(mu).all() and np.isfinite(cov).all() and np.allclose(cov, cov.T)):
        raise ValueError("mu and cov: allowed: finite numbers, cov symmetric")
    return mu, cov


def _model(mu, cov, subset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, covariance and positions of the subset, checked."""
    mu, cov = _moments(mu, cov)
    chosen = np.arange(len(mu)) if subset is None else np.asarray(subset)
    if chosen.ndim != 1 or not np.issubdtype(chosen.dtype, np.integer) or len(chosen) == 0:
        raise ValueError(f"subset has shape {chosen.shape}; allowed: integers (k,), not empty")
    if not (chosen.min() >= 0 and chosen.max() < len(mu) and len(set(chosen)) == len(chosen)):
        raise ValueError(f"subset {chosen.tolist()}; allowed: distinct, 0 to {len(mu) - 1}")
    cov = cov[np.ix_(chosen, chosen)]
    try:
        np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        raise ValueError("cov is not positive definite on the subset") from None
    return mu[chosen], cov, chosen

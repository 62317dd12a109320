"""The Gaussian model of discrepancies, δ | Y ~ N(Yμ, Σ), in closed form.

Means and covariances come in, accuracies, log-odds and information go out. `simulation` draws from
the same model.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlog1py, xlogy
from scipy.stats import norm

from rulekit.information.checks import check_count, unit_size
from rulekit.kernels import theory as kernel
from rulekit.selection.criteria import discriminant, largest


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
    prior, unit
        As for `rulekit.theory.vote_information`.

    Returns
    -------
    The information in the unit, 0 to the entropy of Y, within 1e-9.

    Raises
    ------
    ValueError
        As `gaussian_accuracy`; for a prior out of range or an unknown unit.

    Notes
    -----
    Standardised, the score is N(Yd, 1) with d = w'μ / √(w'Σw). The trapezoidal rule on an
    analytic integrand that vanishes at both ends converges geometrically. The information of the
    sign alone, the label, is `vote_information([gaussian_accuracy(...)], prior)`.
    """
    nats = unit_size(unit)
    if not 0 <= prior <= 1:
        raise ValueError(f"prior is {prior}; allowed: 0 to 1")
    d = abs(_separation(mu, cov, weights, subset))
    entropy = -float(xlogy(prior, prior) + xlog1py(1 - prior, -prior))
    if d > 1:
        return max(0.0, entropy - _uncertainty(d, float(prior))) / nats
    z = np.arange(-(d + 12), d + 12, 0.02)
    a, b = 0.02 * norm.pdf(z - d), 0.02 * norm.pdf(z + d)
    found = kernel.information(a, b, (a + b) * np.tanh(z * d), float(prior))
    return min(found, entropy) / nats


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


def _uncertainty(d: float, prior: float) -> float:
    """H(Y | z) in nats, z | Y ~ N(Yd, 1), for a d that leaves little of it.

    What the information lacks is then added up, and not what it is: it cannot exceed H(Y). Y is in
    doubt between the two means, most where both are as probable, and ever less over a width of 1.
    """
    if prior in (0.0, 1.0) or d > 40:  # φ(40) is below the least float
        return 0.0
    lean = np.log(prior) - np.log1p(-prior)
    step = 0.1 / d
    z = np.clip(-lean / (2 * d), -d, d) + np.arange(-13.0, 13.0, step)
    odds = 2 * d * z + lean  # log-odds of Y = +1
    doubt = prior * norm.pdf(z - d) * np.logaddexp(0, -odds)
    doubt += (1 - prior) * norm.pdf(z + d) * np.logaddexp(0, odds)
    return float(doubt.sum() * step)


def _separation(mu, cov, weights, subset) -> float:
    mu, cov, chosen = _model(mu, cov, subset)
    if weights is None:
        size = np.abs(mu).max()
        mu = mu / size if size > 0 else mu  # squares of 1e-200 and 1e200 are no floats
        return float(size * np.sqrt(mu @ np.linalg.solve(cov, mu)))
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (len(chosen),) or not np.isfinite(w).all():
        raise ValueError(f"weights have shape {w.shape}; allowed: {(len(chosen),)}, finite numbers")
    if not w.any():
        return 0.0
    w = w / np.abs(w).max()  # only the direction matters
    return float(w @ mu / np.sqrt(w @ cov @ w))


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

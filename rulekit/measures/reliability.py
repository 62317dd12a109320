"""Agreement of readers who give ordered grades: weighted κ and Krippendorff's α.

Grades come in, one figure goes out. What ends in ``resampled`` takes the weights of
`rulekit.measures.intervals.bootstrap` and gives one value a draw.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rulekit.measures.checks import numbers

LEVELS = ("nominal", "ordinal", "interval")


def weighted_kappa(first, second) -> float:
    """Agreement of two readers' grades beyond chance, a difference of grades counting squared.

    Parameters
    ----------
    first, second
        The grade that each reader gave, numbers, (n,).

    Returns
    -------
    κ, at most 1; 0 is chance. NaN if both gave one and the same grade throughout.

    Raises
    ------
    ValueError
        For shapes that differ, a grade that is NaN, or none.

    Notes
    -----
    1 - E[(x - y)²] / E[(x - y')²], y' drawn from the second reader's grades at random.

    References
    ----------
    J. Cohen, "Weighted kappa", Psychological Bulletin 70 (1968), 213-220.
    """
    kappa = weighted_kappa_resampled(first, second)
    return float(kappa(np.ones((1, np.size(first))))[0])


def weighted_kappa_resampled(first, second) -> Callable[[np.ndarray], np.ndarray]:
    """`weighted_kappa` of weighted rows: a function of weights (draws, n) that gives (draws,).

    Raises
    ------
    ValueError
        As `weighted_kappa`.
    """
    x, y = numbers("first", first), numbers("second", second)
    if x.shape != y.shape or x.ndim != 1 or not x.size:
        raise ValueError(f"{x.size} and {y.size} grades; allowed: as many, (n,), not none")
    moments = np.stack([(x - y) ** 2, x, y, x * x, y * y], axis=1)  # (n, 5)

    def kappa(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            apart, mx, my, xx, yy = (weights @ moments / weights.sum(axis=1)[:, None]).T
            chance = xx + yy - 2 * mx * my
            return np.where(chance > 1e-12, 1 - apart / chance, np.nan)

    return kappa


def krippendorff_alpha(grades, level: str = "ordinal") -> float:
    """Agreement of any number of readers beyond chance, where some may not have read all.

    Parameters
    ----------
    grades
        Numbers, (n_units, n_readers), NaN where a reader did not grade; a unit with fewer than two
        grades tells nothing and does not count.
    level
        ``nominal``: grades differ or not. ``ordinal``: by the number of grades given between two.
        ``interval``: by their difference, squared.

    Returns
    -------
    α, at most 1; 0 is chance. NaN if all grades are one and the same.

    Raises
    ------
    ValueError
        For an unknown level, grades of another shape, infinite ones, or no unit with two.

    References
    ----------
    K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011),
    repository.upenn.edu/handle/20.500.14332/2088.
    """
    alpha = alpha_resampled(grades, level)
    return float(alpha(np.ones((1, len(grades))))[0])


def alpha_resampled(grades, level: str = "ordinal") -> Callable[[np.ndarray], np.ndarray]:
    """`krippendorff_alpha` of weighted units: a function of weights (draws, n_units) that gives (draws,).

    Parameters
    ----------
    grades, level
        As for `krippendorff_alpha`.

    Raises
    ------
    ValueError
        As `krippendorff_alpha`.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; allowed: {', '.join(LEVELS)}")
    grades = np.asarray(grades, dtype=np.float64)
    if grades.ndim != 2 or np.isinf(grades).any():
        raise ValueError(f"grades have shape {grades.shape}; allowed: finite, (n_units, n_readers)")
    values = np.unique(grades[~np.isnan(grades)])
    counts = (grades[:, :, None] == values).sum(axis=1).astype(np.float64)  # (n_units, n_values)
    read = counts.sum(axis=1)
    if not (read > 1).any():
        raise ValueError("no unit has two grades; allowed: one or more")
    n = len(values)
    pairs = counts[:, :, None] * counts[:, None] - counts[:, :, None] * np.eye(n)
    pairs /= np.maximum(read - 1, 1)[:, None, None]
    pairs = pairs.reshape(len(grades), n * n)  # those of a unit with one grade are 0

    def alpha(weights: np.ndarray) -> np.ndarray:
        met = (weights @ pairs).reshape(-1, n, n)  # coincidences
        often = met.sum(axis=2)
        apart = _distances(values, often, level)
        total = often.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            observed = (met * apart).sum(axis=(1, 2)) / total
            chance = np.einsum("di,dj,dij->d", often, often, apart) / (total * (total - 1))
            return np.where(chance > 1e-12, 1 - observed / chance, np.nan)

    return alpha


def _distances(values: np.ndarray, often: np.ndarray, level: str) -> np.ndarray:
    """Squared distances of two values, (draws, n_values, n_values)."""
    if level == "ordinal":
        middle = np.cumsum(often, axis=1) - often / 2
        return (middle[:, :, None] - middle[:, None]) ** 2
    apart = values[:, None] - values
    apart = apart**2 if level == "interval" else (apart != 0).astype(float)
    return np.broadcast_to(apart, (len(often), *apart.shape))

"""Intervals: the bootstrap over groups that every measure uses, and those of shares and of an AUC."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_CELLS = 2**22  # weights held at a time


def bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    groups: Sequence,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> np.ndarray:
    """Percentile bootstrap interval of any statistic of rows, whole groups drawn together.

    Parameters
    ----------
    statistic
        Called with weights, float64 (draws, n): how often each row was drawn. Gives one value a
        draw, (draws,), or m of them, (draws, m). NaN says that a draw has none: it does not count.
    groups
        What each row belongs to, such as its prompt, (n,).
    resamples
        Number of draws.
    seed
        Of the draws; the same groups and seed give the same draws to every statistic.
    level
        Between 0 and 1.

    Returns
    -------
    Lower and upper end, (2,) or (2, m); NaN where no draw has a value.

    Raises
    ------
    ValueError
        For no rows, fewer than one resample, or a level out of range.

    References
    ----------
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    groups = np.asarray(groups)
    if groups.ndim != 1 or not len(groups):
        raise ValueError(f"groups: none, or of shape {groups.shape}; allowed: one a row, (n,)")
    _, group = np.unique(groups, return_inverse=True)
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(
            f"resamples is {resamples}, level {level}; allowed: 1 or more, and between 0 and 1"
        )
    n = int(group.max()) + 1
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // len(group))
    found = []
    for start in range(0, resamples, step):
        drawn = rng.integers(n, size=(min(step, resamples - start), n))
        cells = drawn + n * np.arange(len(drawn))[:, None]
        times = np.bincount(cells.ravel(), minlength=len(drawn) * n).reshape(len(drawn), n)
        found.append(statistic(times[:, group].astype(np.float64)))
    values = np.concatenate(found)
    ends = np.full((2, *values.shape[1:]), np.nan)
    known = ~np.isnan(values).all(axis=0)
    tail = (1 - level) / 2
    ends[:, known] = np.nanquantile(values[:, known], (tail, 1 - tail), axis=0)
    return ends


def mean_interval(
    values, groups, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """`bootstrap` interval of a mean when values of one group belong together.

    Parameters
    ----------
    values
        Numbers, (n,).
    groups, seed, resamples, level
        As for `bootstrap`.
    """
    values = np.asarray(values, dtype=np.float64)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    total, size = np.bincount(group, weights=values), np.bincount(group)
    low, high = bootstrap(
        lambda weights: weights @ total / (weights @ size),
        np.arange(len(size)),
        resamples=resamples,
        seed=seed,
        level=level,
    )
    return float(low), float(high)


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion.

    Parameters
    ----------
    successes
        0 to n; halves for ties are allowed.
    n
        Cases, 1 or more.
    level
        Between 0 and 1.

    Raises
    ------
    ValueError
        For successes or n out of range.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    from scipy.stats import norm

    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} successes; allowed: 0 to n, n at least 1")
    z, p = norm.ppf((1 + level) / 2), successes / n
    centre, spread = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return float(max(0.0, (centre - spread) / scale)), float(min(1.0, (centre + spread) / scale))


def newcombe(value: float, m: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Score-type interval of an AUC of m positives and n negatives, with some width even at 1.

    Parameters
    ----------
    value
        The AUC, in [0, 1].
    m, n
        Cases of either kind, 1 or more.
    level
        Between 0 and 1.

    Raises
    ------
    ValueError
        For an AUC out of range, or no case of a kind.

    References
    ----------
    R. G. Newcombe, Statistics in Medicine 25 (2006), 559-573, method 5.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    if not 0 <= value <= 1 or m < 1 or n < 1:
        raise ValueError(f"{value} of {m} and {n} cases; allowed: 0 to 1 of 1 or more each")
    z, size = norm.ppf((1 + level) / 2), (m + n) / 2 - 1

    def distance(theta: float, sign: int) -> float:
        variance = theta * (1 - theta) / (m * n)
        variance *= 1 + size * (1 - theta) / (2 - theta) + size * theta / (1 + theta)
        return theta + sign * z * np.sqrt(variance) - value

    # The limits are where the observed AUC lies just z standard errors of theirs away.
    # At 0 and 1 that error is 0, which is a root but not the limit.
    low = 0.0 if value <= 0 else brentq(distance, 0, min(value, 1 - 1e-12), args=(1,))
    high = 1.0 if value >= 1 else brentq(distance, max(value, 1e-12), 1, args=(-1,))
    return float(low), float(high)

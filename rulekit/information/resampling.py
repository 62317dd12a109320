"""The interval of any estimate by resampling its rows, and its p-value by permuting one variable.

A function with the columns it takes comes in; the ends of an interval or a p-value go out.
`rulekit.information` offers both, `rulekit.information.rule_tests` has faster ways for votes and
discrepancies. Every draw has its own seeded generator.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np

from rulekit.information import checks, mutual


def interval(
    function: Callable,
    *columns,
    weights=None,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    **options,
) -> np.ndarray:
    """Interval of any estimate, (2,): entropy, mutual, conditional, joint, or one's own.

    Parameters
    ----------
    function
        Called with the columns, `weights` where given, and the options; returns a number. Such
        as `rulekit.information.conditional_information`.
    columns
        What the function takes, (n_rows, ...) each; rows are drawn together.
    weights
        Non-negative, (n_rows,); drawn with their rows.
    n
        Number of resamples.
    level
        Between 0 and 1.
    seed
        Resample i is drawn by ``default_rng([seed, i])``.
    options
        Of the function, such as ``estimator="ksg"``. What its ``auto`` means is settled once, on
        all rows.

    Returns
    -------
    Lower and upper end, in the function's unit.

    Raises
    ------
    ValueError
        What the function raises; for n or level out of range; for fewer than 4 rows.

    Notes
    -----
    The estimate's error is taken from halves of the rows without replacement, whose spread about
    their mean is that of the full estimate. Rows drawn with replacement would repeat, which
    estimates by neighbours take for atoms; for estimates from counts halves are as good (coverage
    .93 to .96 against .91 to .95). The estimate's own bias is taken for granted, and where the
    information is 0 `p_value` is the thing to report.
    Coverage of 95 % intervals in simulation, N = 200, 400 data sets (standard error .01):
    entropy of five values .93 to .94, joint information of two votes .96, conditional
    information of votes .93, of discrepancies .94; KSG .97 at ρ = .6 and .94 at ρ = .9;
    ``mixed`` with half of the rows weighted double .93.

    References
    ----------
    D. Politis and J. Romano, "Large sample confidence regions based on subsamples under minimal
    assumptions", Annals of Statistics 22 (1994).
    """
    sides = percentiles(n, level)
    options = _settled(function, columns, options)
    whole = _call(function, columns, weights, options)
    columns = [np.asarray(c) for c in columns]
    weights = None if weights is None else np.asarray(weights)
    rows = len(columns[0])
    if rows < 4:
        raise ValueError(f"{rows} rows; allowed: 4 or more for an interval")
    found = np.empty(n)
    for i in range(n):
        chosen = np.random.default_rng([seed, i]).permutation(rows)[: rows // 2]
        part = None if weights is None else weights[chosen]
        found[i] = _call(function, [c[chosen] for c in columns], part, options)
    return whole + np.percentile(found - found.mean(), sides) * half_scale(rows)


def p_value(
    function: Callable, x, y, given=None, weights=None, n: int = 1000, seed: int = 0, **options
) -> float:
    """How often chance alone would show as much dependence of x and y as an estimate shows.

    Parameters
    ----------
    function
        Called with x, y, `given` and `weights` where given, and the options; returns a number
        that is larger where x and y depend more. Such as
        `rulekit.information.mutual_information`, `joint_information` or, with `given`,
        `conditional_information`. Entropy has no independence to test.
    x
        What the function takes first, (n_rows, ...).
    y
        (n_rows,); it is what is permuted.
    given
        Discrete, (n_rows,): y is permuted among the rows of equal values only, so that the null
        is independence given them.
    weights
        Non-negative, (n_rows,). They stay with x: the null is that y is independent of both.
    n
        Number of permutations; the least p is 1 / (n + 1).
    seed
        Permutation i is drawn by ``default_rng([seed, i])``.
    options
        Of the function, as for `interval`.

    Returns
    -------
    p, in (0, 1]; under the null P(p ≤ α) ≤ α for every α.

    Raises
    ------
    ValueError
        What the function raises; for n below 1.

    References
    ----------
    B. Phipson and G. Smyth, "Permutation p-values should never be zero", SAGMB 9 (2010).
    """
    checks.check_count("n", n)
    columns = [x, y] if given is None else [x, y, given]
    options = _settled(function, columns, options)
    found = _call(function, columns, weights, options)
    y = np.asarray(y)
    strata = np.zeros(len(y), np.int64) if given is None else checks.codes(np.asarray(given))
    groups = [np.flatnonzero(strata == s) for s in range(strata.max() + 1)]
    null = np.empty(n)
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        shuffled = y.copy()
        for rows in groups:
            shuffled[rows] = y[rng.permutation(rows)]
        null[i] = _call(function, [x, shuffled, *columns[2:]], weights, options)
    return float(tail(found, null))


def _settled(function: Callable, columns, options: dict) -> dict:
    """Options in which what `auto` means on all rows is said."""
    takes = inspect.signature(function).parameters
    if not {"estimator", "discrete"} <= set(takes):
        return options
    given = {name: options.get(name, takes[name].default) for name in ("estimator", "discrete")}
    x, y = (checks.checked(name, c) for name, c in zip("xy", columns, strict=False))
    estimator, discrete = mutual.settled(x, y, **given)
    return {**options, "estimator": estimator, "discrete": discrete}


def _call(function: Callable, columns, weights, options: dict) -> float:
    if weights is None:
        return float(function(*columns, **options))
    return float(function(*columns, weights=weights, **options))


def percentiles(n: int, level: float) -> tuple[float, float]:
    """Percentiles of the ends of an interval from n resamples."""
    checks.check_count("n", n)
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; allowed: between 0 and 1")
    return 50 - 50 * level, 50 + 50 * level


def half_scale(rows: int) -> float:
    """Var(half - whole) = (1/half - 1/rows) sd², and the whole's own is sd²/rows."""
    half = rows // 2
    return float(np.sqrt(half / (rows - half)))


def tail(found, null: np.ndarray):
    """Share of draws, the observed one included, that reach what was found; up to rounding."""
    return (1 + (null >= found - 1e-12).sum(axis=0)) / (1 + len(null))

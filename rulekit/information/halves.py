"""How far an estimate by neighbours may be off, from how far halves of the rows differ.

Quantities and a discrete variable, or two quantities, come in; intervals in nats go out.
`rulekit.information.rule_tests` calls it. Resampling with replacement would repeat rows, which
neighbours take for atoms; halves repeat none.
"""

from __future__ import annotations

import numpy as np

from rulekit.information import neighbours
from rulekit.information.resampling import percentiles
from rulekit.kernels.threads import in_chunks

HALVINGS = 20  # Student's t then is 2.09 for 95 %, where many more would make it 1.96
UNSEEN = 2.0  # over n, in nats: the standard error that no agreement of halves takes away


def column_intervals(
    x: np.ndarray, labels: np.ndarray, estimator: str, k: int, level: float, seed: int
) -> np.ndarray:
    """Intervals of the information of each column with a discrete variable, nats, (m, 2).

    Parameters
    ----------
    x
        Finite numbers, (n, m).
    labels
        Class numbers, (n,).
    estimator, k
        As for `rulekit.information.neighbours.class_information`.
    level
        Between 0 and 1.
    seed
        Halving i is drawn by ``default_rng([seed, i])``, the same for every column.

    Returns
    -------
    Lower and upper end, about the estimate of `class_information`.

    Raises
    ------
    ValueError
        For fewer than 4 rows, and where half of them has a single row of every class.

    Notes
    -----
    The two halves of a halving are independent samples. So the square of how far their estimates
    are apart is on average, h being a half, (1/h + 1/(n - h)) n times the variance of the estimate
    from all rows.
    """
    rows, m = x.shape
    halves = [[neighbours.Classes(labels, half) for half in pair] for pair in _halvings(rows, seed)]
    whole = neighbours.class_information(x, labels, estimator, "nats", k)
    apart = np.empty((m, len(halves)))
    bounded = estimator != "ross"
    for n in {half.n for pair in halves for half in pair}:
        neighbours.digammas(n)

    def run(start: int, stop: int) -> None:
        for j, column in enumerate(np.ascontiguousarray(x[:, start:stop].T), start):
            for i, pair in enumerate(halves):
                one, other = (half.nats(column, k, bounded)[0] for half in pair)
                apart[j, i] = one - other

    in_chunks(run, m, rows * HALVINGS, None)
    half = rows // 2
    variance = np.square(apart).mean(axis=1) * half * (rows - half) / rows**2
    return _ends(whole, variance, rows, level)


def pair_interval(
    x: np.ndarray, y: np.ndarray, estimator: str, k: int, level: float, seed: int
) -> np.ndarray:
    """Interval of the information of two quantities, (n,) each, nats, (2,); as `column_intervals`.

    Notes
    -----
    The variance is that of the halves about their mean, which is the larger by what two halves of
    one halving have in common: from how far they are apart alone, intervals covered .931 to .945
    where the quantities depend.
    """

    def nats(rows) -> float:
        return neighbours.pair_information(x[rows], y[rows], estimator, "nats", k)

    rows = len(x)
    found = np.array([[nats(half) for half in pair] for pair in _halvings(rows, seed)])
    variance = found.var() * (rows // 2) / (rows - rows // 2)
    return _ends(np.array([nats(slice(None))]), np.array([variance]), rows, level)[0]


def _halvings(rows: int, seed: int):
    """Rows of both halves of each halving."""
    if rows < 4:
        raise ValueError(f"{rows} rows; allowed: 4 or more for an interval")
    for i in range(HALVINGS):
        shuffled = np.random.default_rng([seed, i]).permutation(rows)
        yield shuffled[: rows // 2], shuffled[rows // 2 :]


def _ends(whole: np.ndarray, variance: np.ndarray, rows: int, level: float) -> np.ndarray:
    """whole ± t √(variance + (2 / n)²), t Student's with as many degrees of freedom as halvings."""
    from scipy.stats import t

    _, upper = percentiles(1, level)
    width = t.ppf(upper / 100, HALVINGS) * np.sqrt(variance + (UNSEEN / rows) ** 2)
    return np.stack([whole - width, whole + width], axis=1)

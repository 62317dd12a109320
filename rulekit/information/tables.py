"""Intervals and p-values of contingency tables, and tables of quantities cut into classes.

Counts come in, or quantities with a discrete variable; ends of intervals and p-values go out.
`rulekit.information.rule_tests` calls it. Every draw has its own seeded generator, so that thread
counts change nothing.
"""

from __future__ import annotations

import numpy as np

from rulekit.information import checks, counts
from rulekit.kernels import votes as kernel
from rulekit.kernels.threads import in_chunks

_LEAST_IN_CELLS = 5  # rows in a cell of a quantity's table, on average


def intervals(tables, estimator, unit, n, sides, seed) -> np.ndarray:
    """Percentiles of each table's information over n multinomial resamples of it, (t, 2)."""
    out = np.empty((len(tables), 2))
    for j, table in enumerate(tables):
        total = round(table.sum())
        cells = np.flatnonzero(table)
        draws = np.zeros((n, table.size))
        chances = table.ravel()[cells] / table.sum()
        draws[:, cells] = np.random.default_rng([seed, j]).multinomial(total, chances, n)
        found = counts.information_of(draws.reshape(n, *table.shape), estimator, unit)
        out[j] = np.percentile(found, sides)
    return out


def quantity_tables(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts of each column, cut into classes of about equal size, with a discrete variable.

    Parameters
    ----------
    x
        Finite numbers, (n, m).
    labels
        Class numbers, (n,).

    Returns
    -------
    Counts, int64 (m, b, n_labels), b as Mann and Wald have it, 2 n^(2/5), where that leaves 5 rows
    a cell on average. Equal values stay together, so classes may be empty.

    References
    ----------
    H. Mann, A. Wald, "On the choice of the number of class intervals in the application of the chi
    square test", Annals of Mathematical Statistics 13 (1942).
    """
    n, m = x.shape
    sizes = np.bincount(labels)
    rows, ends = np.argsort(labels, kind="stable"), np.cumsum(sizes)
    tables = np.empty((m, _n_cuts(n, len(sizes)) + 1, len(sizes)), np.int64)

    def run(start: int, stop: int) -> None:
        for j, column in enumerate(np.ascontiguousarray(x[:, start:stop].T), start):
            cuts = _cuts(np.sort(column), tables.shape[1] - 1)
            for label, values in enumerate(np.split(column[rows], ends[:-1])):
                below = np.searchsorted(np.sort(values), cuts)
                tables[j, :, label] = np.diff(below, prepend=0, append=len(values))

    in_chunks(run, m, n, None)
    return tables


def quantity_codes(x: np.ndarray, n_labels: int) -> np.ndarray:
    """The class of each value, as `quantity_tables` counts it, int32 (m, n)."""
    n, m = x.shape
    found = np.empty((m, n), np.int32)
    for j in range(m):
        cuts = _cuts(np.sort(x[:, j]), _n_cuts(n, n_labels))
        found[j] = np.searchsorted(cuts, x[:, j], side="right")
    return found


def _n_cuts(n: int, n_labels: int) -> int:
    return max(1, min(round(2 * n**0.4), n // (_LEAST_IN_CELLS * n_labels)) - 1)


def _cuts(ordered: np.ndarray, n_cuts: int) -> np.ndarray:
    """The first value of every class but the lowest: that whose middle rank is past the bound."""
    n = len(ordered)
    bounds = np.arange(1, n_cuts + 1) * n / (n_cuts + 1)
    value = ordered[np.minimum(bounds.astype(np.int64), n - 1)]
    first = np.searchsorted(ordered, value, "left")
    end = np.searchsorted(ordered, value, "right")
    later = np.append(ordered, np.inf)[end]
    return np.where((first + end) / 2 >= bounds, value, later)


def p_values(tables: np.ndarray, n: int, seed: int) -> np.ndarray:
    """p-values of tables with both margins fixed, (t,): exact where 2 × 2, else sampled."""
    from scipy.special import gammaln

    total = int(tables[0].sum())
    plogp, p = _plogp_table(total), np.ones(len(tables))
    rows, columns = (tables.sum(axis=2) > 0).sum(axis=1), (tables.sum(axis=1) > 0).sum(axis=1)
    small = np.flatnonzero((rows == 2) & (columns == 2))
    if len(small):
        inner = np.array([t[np.ix_(t.any(axis=1), t.any(axis=0))] for t in tables[small]])
        tails = np.empty(len(small))
        kernel.exact_tail(inner, plogp, gammaln(np.arange(total + 1) + 1.0), tails)
        p[small] = tails
    others = np.flatnonzero((rows > 1) & (columns > 1) & (rows + columns > 4))

    def run(start: int, stop: int) -> None:
        for j in others[start:stop]:
            table = tables[j][np.ix_(tables[j].any(axis=1), tables[j].any(axis=0))]
            draws = _under_shuffles(table, n, np.random.default_rng([seed, j]))
            found, null = plogp[table].sum(), plogp[draws].sum(axis=(1, 2))
            p[j] = (1 + (null >= found - 1e-12 * max(1.0, found)).sum()) / (1 + n)

    in_chunks(run, len(others), n * tables[0].size, None)
    return p


def _under_shuffles(table: np.ndarray, n: int, rng) -> np.ndarray:
    """Tables with the margins of `table` as shuffles of one variable give them, (n, r, c)."""
    if table.shape[1] == 2:
        sizes, wanted = table.sum(axis=1), int(table[:, 0].sum())
        draws = rng.multivariate_hypergeometric(sizes, wanted, n, method="marginals")
        return np.stack([draws, sizes - draws], axis=2)
    draws = np.zeros((n, *table.shape), np.int64)
    left = np.tile(table.sum(axis=1), (n, 1))  # of each row, not yet given to a column
    for column, wanted in enumerate(table.sum(axis=0)[:-1]):
        need = np.full(n, wanted)
        for row in range(len(table)):
            below = left[:, row + 1 :].sum(axis=1)
            drawn = rng.hypergeometric(left[:, row], below, need)
            draws[:, row, column] = drawn
            need -= drawn
        left -= draws[:, :, column]
    draws[:, :, -1] = left
    return draws


def vote_null(votes, y, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Plug-in information of votes in nats, (n_rules,), and under each shuffle of y, (n, n_rules)."""
    planes, rows = checks.vote_planes("votes", votes)
    side = checks.preference_planes(y, rows)
    y = np.asarray(y).astype(np.int8)
    tables = kernel.class_tables(planes, side, rows)
    nats = _with_margins_of(tables)
    null = np.empty((n, planes.shape[1]))

    def run(start: int, stop: int) -> None:
        for i in range(start, stop):
            shuffled = np.random.default_rng([seed, i]).permutation(y)
            null[i] = nats(kernel.class_tables(planes, kernel.pack_one(shuffled), rows))

    in_chunks(run, n, planes.size, None)
    return nats(tables), null


def quantity_null(x: np.ndarray, labels: np.ndarray, n: int, seed: int):
    """As `vote_null` for the tables of quantities, each less its first-order bias."""
    tables = quantity_tables(x, labels)
    classes = quantity_codes(x, tables.shape[2])
    nats = _with_margins_of(tables)
    freedom = (tables.any(axis=2).sum(axis=1) - 1) * (tables.shape[2] - 1)
    null = np.empty((n, len(tables)))

    def run(start: int, stop: int) -> None:
        drawn = np.empty_like(tables)
        for i in range(start, stop):
            shuffled = np.random.default_rng([seed, i]).permutation(labels)
            kernel.coded_tables(classes, shuffled, drawn)
            null[i] = nats(drawn)

    in_chunks(run, n, classes.size, None)
    bias = freedom / (2 * len(x))
    return nats(tables) - bias, null - bias


def _with_margins_of(tables: np.ndarray):
    """The function that gives the plug-in information in nats of tables with equal margins."""
    rows = int(tables[0].sum())
    plogp = _plogp_table(rows)
    # The margins stay: Σ c log c over the cells, less a constant of each rule, is n I.
    margins = plogp[tables.sum(axis=1)].sum(axis=1) + plogp[tables.sum(axis=2)].sum(axis=1)
    return lambda drawn: (plogp[drawn].sum(axis=(1, 2)) - margins + plogp[rows]) / rows


def _plogp_table(n: int) -> np.ndarray:
    """c log c of every count that n rows can give, (n + 1,)."""
    return counts.plogp(np.arange(n + 1, dtype=np.float64))

"""Estimators of information: from contingency tables, and from values by nearest neighbours.

Tables or arrays that `rulekit.variables` has checked come in; estimates in bits or nats go out,
never clipped: near zero an estimate may be negative. `information` is the public face of this
file, `significance` adds intervals and p-values.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rulekit.kernels import neighbours
from rulekit.kernels import votes as kernel
from rulekit.kernels.selection import in_chunks
from rulekit.variables import (
    check_count,
    codes,
    is_discrete,
    is_whole,
    preference_planes,
    unit_size,
    vote_planes,
)

DISCRETE = ("plugin", "miller_madow", "shrinkage")
CONTINUOUS = ("mixed", "ross", "ksg")
_MOST_CELLS = 10**8
_THINNINGS = 32
_LEAST_ROWS = 10  # that weights must leave of a sample


def check_estimator(estimator: str, allowed: tuple[str, ...]) -> None:
    if not isinstance(estimator, str) or estimator not in ("auto", *allowed):
        raise ValueError(f"unknown estimator {estimator!r}; allowed: auto, {', '.join(allowed)}")


def settled(
    x: np.ndarray, y: np.ndarray, estimator: str, discrete: tuple[bool, bool] | None = None
) -> tuple[str, tuple[bool, bool]]:
    """The estimator that ``auto`` stands for, and whether x and y are categories.

    A part of the rows has fewer values and other ties than the whole; what is decided here on all
    rows is passed on, so that strata and resamples are estimated as the whole is.
    """
    check_estimator(estimator, DISCRETE + CONTINUOUS)
    if discrete is None:
        discrete = is_discrete(x), is_discrete(y)
        if estimator == "ross" and not any(discrete):
            discrete = (False, True) if is_whole(y) else (is_whole(x), False)
    elif np.shape(discrete) != (2,) or not all(isinstance(d, bool | np.bool_) for d in discrete):
        raise ValueError(f"discrete is {discrete!r}; allowed: None, or True or False for x and y")
    if estimator == "auto":
        estimator = "miller_madow" if all(discrete) else "mixed"
    return estimator, tuple(discrete)


def mutual(
    x,
    y,
    estimator: str = "auto",
    unit: str = "bits",
    weights: np.ndarray | None = None,
    k: int = 3,
    discrete: tuple[bool, bool] | None = None,
) -> float:
    """`rulekit.information.mutual_information` of checked variables and weights."""
    check_count("k", k)
    estimator, discrete = settled(x, y, estimator, discrete)
    if estimator in DISCRETE:
        table, _ = counted([codes(x), codes(y)], weights)
        return float(table_information(table[None], estimator, unit)[0])

    if estimator == "mixed":
        x, y = (x if discrete[0] else _spread(x, 1)), (y if discrete[1] else _spread(y, 2))

    def part(rows) -> float:
        return neighbour_information(x[rows], y[rows], estimator, unit, k, discrete)

    if weights is None or (weights == weights[0]).all():
        return part(slice(None))
    return float(np.mean([part(rows) for rows in _thinnings(weights)]))


def _spread(values: np.ndarray, seed: int) -> np.ndarray:
    """Whole numbers, each moved by less than one half, uniformly; values with fractions as they are.

    Rounding gives the numbers back, so no information is won or lost; but neighbours at equal
    distances, which an estimate by neighbours counts wrongly, are gone.
    """
    if values.dtype.kind not in "iuf" or not is_whole(values):
        return values
    return values + (np.random.default_rng(seed).random(len(values)) - 0.5)


def _thinnings(weights: np.ndarray):
    """Rows kept in each of `_THINNINGS` thinnings, a row with chance weight / largest weight.

    The kept rows are a sample, without repetitions, of the law that the weights describe. Over
    the thinnings a row's uniform number goes once round the circle, so a row is kept as often as
    its chance says; the numbers come from a fixed seed.
    """
    chance = weights / weights.max()
    if chance.sum() < _LEAST_ROWS:
        raise ValueError(
            f"weights leave {chance.sum():.1f} rows (their sum over the largest); allowed for "
            f"estimates by neighbours: {_LEAST_ROWS} or more"
        )
    uniform = np.random.default_rng(0).random(len(weights))
    for turn in np.arange(_THINNINGS) / _THINNINGS:
        yield np.flatnonzero((uniform + turn) % 1.0 < chance)


def counted(columns: list[np.ndarray], weights: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Contingency table of codes, one axis a variable, and the effective number of observations.

    With weights the table holds their sums scaled to Kish's effective size (Σw)² / Σw².
    """
    shape = [int(c.max()) + 1 for c in columns]
    if np.prod([float(s) for s in shape]) > _MOST_CELLS:
        raise ValueError(f"the table would have {shape} cells; allowed: {_MOST_CELLS:,} in all")
    cells = np.ravel_multi_index(columns, shape)
    table = np.bincount(cells, weights, minlength=int(np.prod(shape))).astype(np.float64)
    n = float(len(cells))
    if weights is not None:
        n = weights.sum() ** 2 / np.square(weights).sum()
        table *= n / weights.sum()
    return table.reshape(shape), n


def table_information(tables: np.ndarray, estimator: str, unit: str) -> np.ndarray:
    """I(X; Y), or I(X; Y | Z), of each contingency table, (t,).

    Parameters
    ----------
    tables
        Counts, (t, X, Y) or (t, X, Y, Z), each of one observation or more.
    estimator
        ``plugin``: maximum likelihood. ``miller_madow``: less the first-order bias
        (K_xyz - K_xz - K_yz + K_z) / 2n, K the numbers of occupied cells. ``shrinkage``: from the
        James–Stein estimate of the joint distribution, shrunk towards the uniform one over the
        occurring values of X × Y × Z. ``auto``: ``miller_madow``.
    unit
        ``bits`` or ``nats``.

    References
    ----------
    G. Miller, "Note on the bias of information estimates" (1955). J. Hausser and K. Strimmer,
    "Entropy inference and the James-Stein estimator", JMLR 10 (2009).
    """
    size = unit_size(unit)
    check_estimator(estimator, DISCRETE)
    if tables.ndim == 3:
        tables = tables[..., None]
    if estimator == "shrinkage":
        tables = _shrunk(tables)
    n = tables.sum(axis=(1, 2, 3))
    margins = [tables, tables.sum(axis=2), tables.sum(axis=1), tables.sum(axis=(1, 2))]
    signs = 1, -1, -1, 1
    nats = sum(s * _mean_log(c, n) for s, c in zip(signs, margins, strict=True))
    if estimator in ("auto", "miller_madow"):
        nats = nats - sum(s * _occupied(c) for s, c in zip(signs, margins, strict=True)) / (2 * n)
    return nats / size


def table_entropy(tables: np.ndarray, estimator: str, unit: str) -> np.ndarray:
    """H(X) of each row of counts, (t, X) → (t,); estimators as for `table_information`."""
    size = unit_size(unit)
    check_estimator(estimator, DISCRETE)
    if estimator == "shrinkage":
        tables = _shrunk(tables[:, :, None, None])[:, :, 0, 0]
    n = tables.sum(axis=1)
    nats = -_mean_log(tables, n)
    if estimator in ("auto", "miller_madow"):
        nats = nats + (_occupied(tables) - 1) / (2 * n)
    return nats / size


def plogp(p: np.ndarray) -> np.ndarray:
    """p log p, 0 where p is 0."""
    return p * np.log(np.where(p > 0, p, 1.0))


def _mean_log(counts: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Σ p log p over the cells of each table, p its counts over n, (t,)."""
    return plogp(counts.reshape(len(counts), -1) / n[:, None]).sum(axis=1)


def _occupied(counts: np.ndarray) -> np.ndarray:
    return (counts.reshape(len(counts), -1) > 0).sum(axis=1)


def _shrunk(tables: np.ndarray) -> np.ndarray:
    """Counts of the James–Stein estimate p* = λ/K + (1 - λ) p, over the values that occur."""
    inside = np.ones(tables.shape, bool)
    for axis in (1, 2, 3):
        others = tuple(a for a in (1, 2, 3) if a != axis)
        inside &= (tables.sum(axis=others, keepdims=True)) > 0
    n = tables.sum(axis=(1, 2, 3), keepdims=True)
    p, target = tables / n, inside / inside.sum(axis=(1, 2, 3), keepdims=True)
    variance = 1 - np.square(p).sum(axis=(1, 2, 3), keepdims=True)
    distance = (n - 1) * np.square(target - p).sum(axis=(1, 2, 3), keepdims=True)
    share = np.ones_like(n)
    np.divide(variance, distance, out=share, where=distance > 0)
    share = np.minimum(share, 1.0)
    return n * (share * target + (1 - share) * p)


@lru_cache(maxsize=4)
def digammas(n: int) -> np.ndarray:
    """ψ(0 … n), the first unused, (n + 1,)."""
    from scipy.special import digamma

    table = digamma(np.arange(n + 1, dtype=np.float64))
    table.flags.writeable = False
    return table


class Classes:
    """The rows of each class of a discrete variable, for many continuous columns on the same rows.

    Classes of a single point have no neighbour: they are left out, as in scikit-learn.
    """

    def __init__(self, y: np.ndarray):
        y = codes(y)
        counts = np.bincount(y)
        rows = np.argsort(y, kind="stable")
        self.rows = rows[counts[y[rows]] > 1]
        self.counts = counts[counts > 1]
        if len(self.rows) == 0:
            raise ValueError("y has one row in every class; allowed: a class of two rows or more")
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])
        self.n = int(self.starts[-1])

    def sorted(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`x` sorted within each class, and sorted as a whole."""
        values = x[self.rows].astype(np.float64, copy=False)
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            values[start:stop].sort()
        return values, np.sort(values, kind="stable")  # which merges the sorted classes

    def nats(self, values: np.ndarray, everyone: np.ndarray, k: int) -> tuple[float, int]:
        """Estimate of I(x; y) and the number of tied points."""
        return _walk(values, self.starts, everyone, k)


def sorted_nats(everyone: np.ndarray, labels: np.ndarray, k: int) -> float:
    """I(x; y) in nats of sorted values, float64 (n,), and the class number of each, (n,)."""
    counts = np.bincount(labels)
    if (counts == 1).any():
        kept = counts[labels] > 1
        everyone, labels = everyone[kept], labels[kept]
        counts[counts == 1] = 0
    if len(labels) == 0:
        raise ValueError("y has one row in every class; allowed: a class of two rows or more")
    starts = np.concatenate([[0], np.cumsum(counts)])
    values = np.empty(len(everyone))
    neighbours.split_classes(everyone, labels, starts, values)
    return _walk(values, starts, everyone, k)[0]


def _walk(values, starts, everyone, k: int) -> tuple[float, int]:
    n, counts = len(everyone), np.diff(starts)
    table = digammas(n)
    starts = starts[np.concatenate([[True], counts > 0])]  # a class left empty begins nowhere
    total, tied = neighbours.class_walk(values, starts, everyone, k, table)
    counts = counts[counts > 0]
    return float(table[n] + (total - np.sum(counts * table[counts])) / n), tied


def class_information(x, y, estimator: str, unit: str, k: int, threads=None) -> np.ndarray:
    """I(x_j; y) of each continuous column with a discrete variable, (m,).

    Parameters
    ----------
    x
        Finite floats, (n, m).
    y
        Categories, (n,).
    estimator
        ``mixed`` or ``auto``; ``ross`` refuses atoms of more than k tied values in a class.
    k
        Neighbours, 1 or more.

    Notes
    -----
    ψ(N) + ⟨ψ(k) - ψ(n_y) - ψ(m)⟩, m the points nearer than the k-th neighbour in the class, the
    point itself included. In an atom ψ(k) and ψ(m) become ψ(c_y) and ψ(c), its counts in the class
    and in all, which are the counts of Gao et al.; where they write log N this has ψ(N), so that
    without ties it is Ross' estimator exactly, and with atoms only, Miller–Madow's to first order.
    Classes count as infinitely far apart.
    As with Gao et al., the few points whose k-th neighbour is an atom they are not in count it
    as one neighbour: a bias upwards of order 1/N (with 40 % zeros and a truth of .171 bits, .086 at
    N = 100, .019 at 500, .004 at 2,000; standard errors .002, .001, .0003).

    References
    ----------
    B. C. Ross, PLoS ONE 9(2) (2014). W. Gao, S. Kannan, S. Oh, P. Viswanath, "Estimating mutual
    information for discrete-continuous mixtures", NeurIPS (2017).
    """
    size, classes = unit_size(unit), Classes(y)
    k = check_count("k", k)
    n, m = x.shape
    nats, tied = np.empty(m), np.zeros(m, np.int64)
    digammas(classes.n)

    def run(start: int, stop: int) -> None:
        columns = np.ascontiguousarray(x[:, start:stop].T)
        for j, column in enumerate(columns, start):
            nats[j], tied[j] = classes.nats(*classes.sorted(column), k)

    in_chunks(run, m, n, threads)
    if estimator == "ross" and tied.any():
        refuse_ties("ross", int(tied.max()))
    return nats / size


def pair_information(
    x: np.ndarray, y: np.ndarray, estimator: str, unit: str, k: int, threads=None
) -> float:
    """I(x; y) of two continuous variables, (n,) each, by nearest neighbours in the larger distance.

    Notes
    -----
    ψ(N) + ⟨ψ(k) - ψ(n_x) - ψ(n_y)⟩, n_x and n_y the points nearer than the k-th joint neighbour,
    the point itself included: the first estimator of Kraskov et al. Where that neighbour is at
    distance 0, ``mixed`` takes the counts of the atom, as Gao et al.; ``ksg`` refuses.

    References
    ----------
    A. Kraskov, H. Stögbauer, P. Grassberger, "Estimating mutual information", PRE 69 (2004).
    """
    size, n = unit_size(unit), len(x)
    k = check_count("k", k)
    if n < 2:
        raise ValueError("x has one row; allowed: two or more")
    k = min(k, n - 1)
    order = np.lexsort((y, x))
    x, y = x[order].astype(np.float64), y[order].astype(np.float64)
    first, end = _runs(np.diff(x) != 0)
    radius = np.empty(n)

    def run(start: int, stop: int) -> None:
        neighbours.joint_radii(x, y, first, end, k, start, stop, radius)

    in_chunks(run, n, int(np.sqrt(k * n)), threads)
    tied = radius == 0
    if estimator == "ksg" and tied.any():
        refuse_ties("ksg", int(tied.sum()))
    table = digammas(n)
    first, end = _runs((np.diff(x) != 0) | (np.diff(y) != 0))
    joint = np.where(tied, end - first, k)
    total = table[joint]
    near = np.empty(n, np.int64)
    for values in (x, y):
        neighbours.within(np.sort(values), values, radius, near)
        total = total - table[near]
    return float(table[n] + total.mean()) / size


def _runs(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Begin and end of the run that each sorted value is in, (n,) each, from where values step."""
    first = np.flatnonzero(np.concatenate([[True], steps]))
    lengths = np.diff(np.append(first, len(steps) + 1))
    return np.repeat(first, lengths), np.repeat(first + lengths, lengths)


def neighbour_information(
    x, y, estimator: str, unit: str, k: int, discrete: tuple[bool, bool]
) -> float:
    """I(x; y) by ``mixed``, ``ross`` or ``ksg`` of two checked variables, (n,) each."""
    if estimator == "ross" and not any(discrete):
        raise ValueError("x and y are both continuous; ross allows: one of them discrete")
    classes = estimator != "ksg" and any(discrete)
    if classes and not discrete[1]:
        x, y = y, x
    for name, values in (("x", x), ("y", y))[: 1 if classes else 2]:
        if values.dtype.kind not in "biuf":
            raise ValueError(
                f"{estimator} measures distances, and {name} holds {values.dtype}; allowed: "
                f"numbers, or estimators {', '.join(DISCRETE)}"
            )
    if classes:
        return float(class_information(x[:, None], y, estimator, unit, k)[0])
    return pair_information(x, y, estimator, unit, k)


def refuse_ties(estimator: str, tied: int) -> None:
    raise ValueError(
        f"x has {tied} values whose nearest neighbours are equal to them; {estimator} has no "
        "meaning on atoms; allowed: estimator 'mixed'"
    )


def vote_tables(votes, preference) -> np.ndarray:
    """Counts of each rule's vote with the preference, int64 (n_rules, 3, 3), order -1, 0, +1.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules).
    preference
        -1, 0 or +1, (n_pairs,).

    Returns
    -------
    Counts. Those of blocks of pairs add up to those of all pairs, so `table_information` of the
    sum is the estimate from all of them.

    Raises
    ------
    ValueError
        For shapes that do not fit, and for other values, by row and rule.
    """
    planes, n = vote_planes("votes", votes)
    return kernel.class_tables(planes, preference_planes(preference, n), n)

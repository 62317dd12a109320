"""Mutual information of quantities, by nearest neighbours, and what becomes of ties.

Checked arrays come in; estimates in bits or nats go out, never clipped. The walks over sorted
values are in `rulekit.kernels.neighbours`; `rulekit.information.mutual` chooses the estimator.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rulekit.information.checks import check_count, codes, unit_size
from rulekit.information.counts import DISCRETE
from rulekit.kernels import neighbours as kernel
from rulekit.kernels.threads import in_chunks

_SHIFT = 1e-3  # of the distance to the next value: how far a tie is moved apart at most


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

    def __init__(self, labels: np.ndarray, rows: np.ndarray | None = None):
        """Of the class numbers `labels`, (n,), those at `rows`, or all."""
        labels = labels if rows is None else labels[rows]
        counts = np.bincount(labels)
        order = np.argsort(labels, kind="stable")
        order = order[counts[labels[order]] > 1]
        self.rows = order if rows is None else rows[order]
        self.counts = counts[counts > 1]
        if len(self.rows) == 0:
            raise ValueError("y has one row in every class; allowed: a class of two rows or more")
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])
        self.n = int(self.starts[-1])

    def sorted(self, x: np.ndarray) -> np.ndarray:
        """`x` of these rows, sorted within each class, float64 (self.n,)."""
        values = x[self.rows].astype(np.float64, copy=False)
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            values[start:stop].sort()
        return values

    def nats(self, x: np.ndarray, k: int, bounded: bool) -> tuple[float, int]:
        """Estimate of I(x; y) in nats, and the number of tied points."""
        values, table = self.sorted(x), digammas(self.n)
        everyone = np.sort(values, kind="stable")  # which merges the sorted classes
        total, tied = kernel.class_walk(values, self.starts, everyone, k, bounded, table)
        share = np.sum(self.counts * table[self.counts])
        return float(table[self.n] + (total - share) / self.n), tied


def class_information(x, y, estimator: str, unit: str, k: int, threads=None) -> np.ndarray:
    """I(x_j; y) of each column of quantities with a discrete variable, (m,).

    Parameters
    ----------
    x
        Finite numbers, (n, m).
    y
        Categories, (n,).
    estimator
        ``mixed`` or ``auto``; ``ross`` refuses atoms of more than k tied values in a class.
    unit
        ``bits`` or ``nats``.
    k
        Neighbours, 1 or more.
    threads
        At most so many; None takes the cores there are, and changes nothing else.

    Raises
    ------
    ValueError
        For an unknown unit, a k below 1, or ties that ``ross`` refuses.

    Notes
    -----
    Both are ψ(N) + ⟨ψ(k) - ψ(n_y) - ψ(m)⟩: m counts the points nearer than the k-th neighbour in
    the class, the point itself included. Two things are made of that where it does not hold.

    *Ties.* ψ(k) - ψ(m) is right on average if the points stand in an order of distance that says
    nothing of their class. Points at one distance stand in none, so ψ(m) is its mean over all
    their orders, in closed form: no noise is added and no seed is needed. An atom of c_y > k
    points in the class and c in all thus gives ψ(c_y) - ψ(c), as with Gao et al.; a count of
    what is nearer than a tied radius, which they take elsewhere, finds .3 bits in a coin and
    1,000 values in steps of .01.

    *The bound of* ``mixed``. Where a class is rare, its k-th neighbour is far, in a place that
    tells something else: with Ross a bias upwards, of .01 bits and more at N = 200. ``mixed``
    looks no further than the ⌈k N / n_y⌉ nearest points. If it finds 1 ≤ a < k others of the class
    there, it takes ψ(a + 1) - ψ(points there), and if none, the first one beyond. Both are the
    mean of the term of k = 1 given what lies within the bound, so nothing is lost on average.

    Hence the mean over all permutations of y is exactly 0, whatever the values of x; no estimate is
    above ψ(N) - ⟨ψ(n_y)⟩, which is Miller and Madow's entropy of y but for terms of 1/N²; and
    constants give 0. Classes count as infinitely far apart. `rulekit.information.trials` measures
    bias and coverage.

    References
    ----------
    B. C. Ross, "Mutual information between discrete and continuous data sets", PLoS ONE 9(2)
    (2014). W. Gao, S. Kannan, S. Oh, P. Viswanath, "Estimating mutual information for
    discrete-continuous mixtures", NeurIPS (2017). M. Girshick, F. Mosteller, L. Savage, "Unbiased
    estimates for certain binomial sampling problems", Annals of Mathematical Statistics 17 (1946),
    for counts that end at whichever bound comes first.
    """
    size, classes = unit_size(unit), Classes(codes(y))
    k = check_count("k", k)
    n, m = x.shape
    nats, tied = np.empty(m), np.zeros(m, np.int64)
    digammas(classes.n)

    def run(start: int, stop: int) -> None:
        columns = np.ascontiguousarray(x[:, start:stop].T)
        for j, column in enumerate(columns, start):
            nats[j], tied[j] = classes.nats(column, k, estimator != "ross")

    in_chunks(run, m, n, threads)
    if estimator == "ross" and tied.any():
        raise ValueError(
            f"x has {tied.max()} values whose nearest neighbours are equal to them; "
            "ross has no meaning on atoms; allowed: estimator 'mixed'"
        )
    return nats / size


def pair_information(
    x: np.ndarray, y: np.ndarray, estimator: str, unit: str, k: int, threads=None
) -> float:
    """I(x; y) of two quantities, (n,) each, by nearest neighbours in the larger distance.

    Parameters
    ----------
    x, y
        Finite numbers, (n,) each.
    estimator
        ``mixed`` or ``auto``; ``ksg`` refuses values that repeat.
    unit, k, threads
        As for `class_information`.

    Raises
    ------
    ValueError
        For an unknown unit, a k below 1, a single row, or ties that ``ksg`` refuses.

    Notes
    -----
    ψ(N) + ⟨ψ(k) - ψ(n_x) - ψ(n_y)⟩, n_x and n_y the points nearer than the k-th joint neighbour,
    the point itself included: the first estimator of Kraskov et al.

    With ``mixed``, an atom of c > k equal pairs gives ψ(c) - ψ(c_x) - ψ(c_y), the counts of its
    values, as with Gao et al. Other ties are broken, since a count of what is nearer than a tied
    radius finds .4 to 1 bit in independent steps: every value of a variable that has some is moved
    by less than a thousandth of its distance to the next. That takes away and adds no information,
    as rounding undoes it. The moves are from a fixed seed in the order of the sorted pairs, so the
    order of rows, and which variable comes first, change nothing. Without ties ``mixed`` is
    ``ksg``.

    References
    ----------
    A. Kraskov, H. Stögbauer, P. Grassberger, "Estimating mutual information", PRE 69 (2004).
    W. Gao et al., as for `class_information`.
    """
    size, n = unit_size(unit), len(x)
    k = check_count("k", k)
    if n < 2:
        raise ValueError("x has one row; allowed: two or more")
    k = min(k, n - 1)
    if estimator == "ksg":
        _refuse_repeats(x, y)
    x, y = _in_order(x.astype(np.float64), y.astype(np.float64))
    near_x, near_y = (x, y) if estimator == "ksg" else (_untied(x, 1), _untied(y, 2))
    changes = np.diff(x) != 0
    joint, of_x, of_y = _run_lengths(changes | (np.diff(y) != 0)), _run_lengths(changes), _counts(y)
    if near_y is not y:
        order = np.lexsort((near_y, x))  # equal pairs stay together
        x, near_x, near_y = x[order], near_x[order], near_y[order]
    end = np.searchsorted(x, x, "right")
    first, single = np.searchsorted(x, x, "left"), joint <= k
    radius = np.empty(n)

    def run(start: int, stop: int) -> None:
        kernel.joint_radii(x, near_x, near_y, first, end, single, _SHIFT, k, start, stop, radius)

    in_chunks(run, n, int(np.sqrt(k * n)), threads)
    table = digammas(n)
    terms = table[joint] - table[of_x] - table[of_y]
    terms[single] = table[k]
    for values in (near_x, near_y):
        near = np.empty(int(single.sum()), np.int64)
        kernel.within(np.sort(values), values[single], radius[single], near)
        terms[single] -= table[near]
    return float(table[n] + terms.mean()) / size


def _in_order(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sorted pairs, of (x, y) or of (y, x), whichever come first as wholes."""
    one, other = np.sort(x), np.sort(y)
    if (one == other).all():  # the same values: the order of their partners decides
        one, other = y[np.lexsort((y, x))], x[np.lexsort((x, y))]
    unequal = np.flatnonzero(one != other)
    if len(unequal) and one[unequal[0]] > other[unequal[0]]:
        x, y = y, x
    order = np.lexsort((y, x))
    return x[order], y[order]


def _untied(values: np.ndarray, seed: int) -> np.ndarray:
    """The values, each moved by less than `_SHIFT` of its distance to the next, where any are tied.

    Values are tied that are equal or, being evenly spaced, equally far from one between them.
    """
    distinct, place = np.unique(values, return_inverse=True)
    gaps = np.diff(distinct)
    even = np.abs(np.diff(gaps)) <= 1e-9 * gaps[1:]
    if len(distinct) == len(values) and not even.any():
        return values
    if len(gaps) == 0:
        gaps = np.ones(1)
    to_next = np.minimum(np.append(gaps[0], gaps), np.append(gaps, gaps[-1]))
    uniform = np.random.default_rng(seed).random(len(values)) - 0.5
    return values + _SHIFT * uniform * to_next[place]


def _run_lengths(steps: np.ndarray) -> np.ndarray:
    """Length of the run that each sorted value is in, (n,), from where values step."""
    lengths = np.diff(np.flatnonzero(np.concatenate([[True], steps, [True]])))
    return np.repeat(lengths, lengths)


def _counts(values: np.ndarray) -> np.ndarray:
    """How many values are equal to each, (n,)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return counts[place]


def _refuse_repeats(x: np.ndarray, y: np.ndarray) -> None:
    for name, values in (("x", x), ("y", y)):
        repeated = int((_counts(values) > 1).sum())
        if repeated:
            raise ValueError(
                f"{name} has {repeated} values that occur more than once; ksg has no meaning on "
                "ties; allowed: estimator 'mixed'"
            )


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

"""Entropy and mutual information of votes and discrepancies, as plain functions on arrays.

Arrays of values, or votes (n_pairs, n_rules), come in; estimates in bits or nats go out, never
clipped. Notebooks and users call it. Intervals and p-values (`rulekit.significance`,
`rulekit.resampling`) and what rules share (`rulekit.redundancy`) are offered here too; the
formulas are in `rulekit.estimators`, the counting in `rulekit.kernels`.
"""

from __future__ import annotations

import numpy as np

from rulekit import estimators as est
from rulekit import variables as var
from rulekit.estimators import vote_tables
from rulekit.kernels import votes as kernel
from rulekit.redundancy import (
    effective_rules,
    normalised_redundancy,
    redundancy_clusters,
    redundancy_matrix,
)
from rulekit.resampling import interval, p_value
from rulekit.significance import (
    benjamini_hochberg,
    bootstrap_interval,
    permutation_test,
    rule_information,
)

__all__ = [
    "benjamini_hochberg",
    "bootstrap_interval",
    "conditional_information",
    "effective_rules",
    "entropy",
    "interval",
    "joint_information",
    "joint_matrix",
    "mutual_information",
    "normalised_redundancy",
    "p_value",
    "permutation_test",
    "redundancy_clusters",
    "redundancy_matrix",
    "rule_information",
    "rule_tables",
    "table_information",
    "vote_information",
    "vote_tables",
]


def mutual_information(
    x,
    y,
    estimator: str = "auto",
    unit: str = "bits",
    weights=None,
    k: int = 3,
    discrete: tuple[bool, bool] | None = None,
) -> float:
    """Mutual information of two variables from n joint observations.

    Parameters
    ----------
    x, y
        Values, (n,). What is missing (NaN, None, NaT, masked) is refused: 'not rated' is no value.
    estimator
        Of two categories: ``plugin``, ``miller_madow`` or ``shrinkage``; see
        `rulekit.estimators.table_information`. Of quantities, by nearest neighbours:
        ``ross`` (x a quantity, y categories or the reverse), ``ksg`` (both quantities), both
        without ties, and ``mixed``, equal to them without ties and right with atoms.
        ``auto``: ``miller_madow`` for two categories, else ``mixed``.
    unit
        ``bits`` or ``nats``.
    weights
        Non-negative, (n,): the estimate is of the law in which a row counts by its weight.
    k
        Neighbours, 1 or more, for quantities.
    discrete
        Whether x and y are categories. Default: what is no number is; numbers are where they have
        no fraction and repeat, with at most √n distinct values, or 5. So votes, classes and
        ratings in few steps are categories, a count or a position is a quantity. ``mixed`` spreads
        whole numbers that are quantities evenly over ±½, which changes no information.

    Returns
    -------
    The estimate; it may be negative and is returned as it is.

    Raises
    ------
    ValueError
        For lengths that differ, missing values, an unknown estimator or unit, ties where they
        have no meaning, or weights that leave fewer than ten rows to look for neighbours in.

    Notes
    -----
    Weighted tables hold sums of weights; Kish's effective number of observations, (Σw)² / Σw²,
    takes the place of n in the corrections. Weighted estimates by neighbours are the mean over 32
    thinnings, each of which keeps a row with chance w / max w: the kept rows are a sample of the
    weighted law without repetitions, which neighbours could not bear. So the bias is that of
    n · mean(w) / max(w) rows; equal weights keep every row and change nothing. Thinnings and
    spreads are from fixed seeds: equal arrays give equal estimates.

    References
    ----------
    At the estimators: `rulekit.estimators.table_information`, `class_information`,
    `pair_information`.
    """
    x = var.checked("x", x)
    y = var.checked("y", y, len(x))
    weights = var.checked_weights(weights, len(x))
    return est.mutual(x, y, estimator, unit, weights, k, discrete)


def entropy(x, estimator: str = "auto", unit: str = "bits", weights=None) -> float:
    """Entropy of a discrete variable from n observations.

    Parameters
    ----------
    x
        Discrete values, (n,).
    estimator
        ``plugin``, ``miller_madow`` (adds (K - 1) / 2n, K the values that occur) or
        ``shrinkage``; ``auto`` is ``miller_madow``.
    unit, weights
        As for `mutual_information`.

    Returns
    -------
    The estimate, ≥ 0 in the unit.

    Raises
    ------
    ValueError
        For missing values, an unknown estimator or unit, or weights that are negative or all zero.

    References
    ----------
    G. Miller, "Note on the bias of information estimates" (1955). J. Hausser and K. Strimmer,
    "Entropy inference and the James-Stein estimator", JMLR 10 (2009).
    """
    x = var.checked("x", x)
    table, _ = est.counted([var.codes(x)], var.checked_weights(weights, len(x)))
    return float(est.table_entropy(table[None], estimator, unit)[0])


def conditional_information(
    x,
    y,
    given,
    estimator: str = "auto",
    unit: str = "bits",
    weights=None,
    k: int = 3,
    discrete: tuple[bool, bool] | None = None,
) -> float:
    """I(x; y | given), `given` discrete, from n joint observations.

    Parameters
    ----------
    x, y, given
        Values, (n,).
    estimator, unit, weights, k, discrete
        As for `mutual_information`. An estimate by neighbours is averaged over the values of
        `given`, each with its share of the observations or of their weights.

    Returns
    -------
    The estimate; it may be negative and is returned as it is.

    Raises
    ------
    ValueError
        As for `mutual_information`; for a continuous `given`; and, naming the value of `given`,
        where its rows do not allow the estimate, such as a single row.

    Notes
    -----
    From counts, I(X; Y | Z) = H(X, Z) + H(Y, Z) - H(X, Y, Z) - H(Z), each with its correction.

    References
    ----------
    T. Cover and J. Thomas, "Elements of Information Theory" (2006), section 2.5; of the
    estimators, as for `mutual_information`.
    """
    x = var.checked("x", x)
    y, given = var.checked("y", y, len(x)), var.checked("given", given, len(x))
    weights = var.checked_weights(weights, len(x))
    if not var.is_whole(given):
        raise ValueError("given is continuous; allowed: discrete values")
    estimator, discrete = est.settled(x, y, estimator, discrete)
    if estimator in est.DISCRETE:
        columns = [var.codes(x), var.codes(y), var.codes(given)]
        table, _ = est.counted(columns, weights)
        return float(est.table_information(table[None], estimator, unit)[0])
    mass = np.ones(len(x)) if weights is None else weights
    total = 0.0
    for value in np.unique(given[mass > 0]):
        rows = given == value
        part = None if weights is None else weights[rows]
        try:
            found = est.mutual(x[rows], y[rows], estimator, unit, part, k, discrete)
        except ValueError as error:
            raise ValueError(f"where given is {value}: {error}") from error
        total += mass[rows].sum() / mass.sum() * found
    return float(total)


def joint_information(votes, y, estimator: str = "auto", unit: str = "bits", weights=None) -> float:
    """I(v_S; y): what the votes of a set of rules, taken together, tell about y.

    Parameters
    ----------
    votes
        Discrete values of the rules of S, (n_pairs, |S|), 1 ≤ |S|.
    y
        Discrete values, (n_pairs,).
    estimator, unit, weights
        As for `mutual_information`; discrete estimators only.

    Returns
    -------
    The estimate; it may be negative and is returned as it is.

    Raises
    ------
    ValueError
        As for `mutual_information`, naming the rule.

    Notes
    -----
    A set of k rules has up to 3^k vote patterns: where they are not few beside n_pairs, every
    estimate from counts is biased upwards, the plug-in most.

    References
    ----------
    As for `rulekit.estimators.table_information`.
    """
    votes = np.asanyarray(votes)  # a mask stays, to be refused
    if votes.ndim != 2 or 0 in votes.shape:
        raise ValueError(f"votes have shape {votes.shape}; allowed: (n_pairs, n_rules), not empty")
    est.check_estimator(estimator, est.DISCRETE)
    y = var.checked("y", y, len(votes))
    pattern = np.zeros(len(votes), np.int64)
    for j in range(votes.shape[1]):
        column = var.codes(var.checked(f"votes of rule {j}", votes[:, j]))
        # Patterns are numbered anew at every rule, so the number never outgrows n_pairs.
        pattern = var.codes(pattern * (column.max() + 1) + column)
    estimator = "miller_madow" if estimator == "auto" else estimator
    return est.mutual(pattern, y, estimator, unit, var.checked_weights(weights, len(y)))


def vote_information(
    votes, preference, estimator: str = "auto", unit: str = "bits", weights=None
) -> np.ndarray:
    """Mutual information of each rule's vote with the preference, (n_rules,).

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules), such as the sign of the discrepancies.
    preference
        -1, 0 or +1, (n_pairs,).
    estimator, unit, weights
        As for `mutual_information`; discrete estimators only.

    Returns
    -------
    The estimates, (n_rules,); they may be negative and are returned as they are.

    Raises
    ------
    ValueError
        For shapes that do not fit, other values than votes (by row and rule), an unknown
        estimator or unit, or weights that are negative or all zero.

    References
    ----------
    As for `rulekit.estimators.table_information`.
    """
    tables = vote_tables(votes, preference)
    if weights is not None:
        tables = _weighted_tables(np.asarray(votes), np.asarray(preference), weights)
    return table_information(tables, estimator, unit)


def rule_tables(votes) -> np.ndarray:
    """Counts of each rule's vote with each other's, int64 (n_rules, n_rules, 3, 3), order -1, 0, +1.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules). Counts of blocks of pairs add up, as `vote_tables`;
        `table_information` with ``plugin`` makes the `redundancy_matrix` of the sum.
    """
    return kernel.pair_tables(*var.vote_planes("votes", votes))


def table_information(tables, estimator: str = "auto", unit: str = "bits") -> np.ndarray:
    """Mutual information of rows and columns of contingency tables, (...).

    Parameters
    ----------
    tables
        Counts, (..., X, Y), finite and non-negative, each table of one observation or more.
    estimator, unit
        As for `mutual_information`; discrete estimators only.
    """
    tables = np.asarray(tables, np.float64)
    if tables.ndim < 2 or 0 in tables.shape:
        raise ValueError(f"tables have shape {tables.shape}; allowed: (..., X, Y), not empty")
    sums = tables.sum(axis=(-2, -1))
    if not (np.isfinite(sums).all() and tables.min() >= 0 and sums.min() > 0):
        raise ValueError("tables: allowed: finite, non-negative counts, one or more in each table")
    flat = tables.reshape(-1, *tables.shape[-2:])
    return est.table_information(flat, estimator, unit).reshape(sums.shape)


def joint_matrix(votes, preference, estimator: str = "auto", unit: str = "bits") -> np.ndarray:
    """I(v_i, v_j; preference) of each pair of rules, (n_rules, n_rules); one rule's on the diagonal.

    Parameters
    ----------
    votes, preference, estimator, unit
        As for `vote_information`.

    Returns
    -------
    The estimates, (n_rules, n_rules), symmetric.

    Raises
    ------
    ValueError
        As for `vote_information`.

    Notes
    -----
    With it I(v_i; Y | v_j) = I(v_i, v_j; Y) - I(v_j; Y), which the criteria of the joint and
    conditional selectors need.

    References
    ----------
    As for `rulekit.estimators.table_information`. H. Yang and J. Moody, "Data visualization and
    feature selection", NIPS (1999), for its use.
    """
    planes, n = var.vote_planes("votes", votes)
    side = var.preference_planes(preference, n)
    m = planes.shape[1]
    whole = kernel.pair_tables(planes, n)
    tables = np.empty((m, m, 3, 3, 3))
    for cell, plane in ((2, side[0]), (0, side[1])):
        inside = int(kernel.count(np.stack([plane, plane]))[0, 0])
        tables[..., cell] = kernel.pair_tables(planes & plane[None], inside)
    tables[..., 1] = whole - tables[..., 0] - tables[..., 2]
    return est.table_information(tables.reshape(m * m, 9, 3), estimator, unit).reshape(m, m)


def _weighted_tables(votes: np.ndarray, preference: np.ndarray, weights) -> np.ndarray:
    weights = var.checked_weights(weights, len(votes))
    scale = weights.sum() / np.square(weights).sum()
    sides = np.array([(preference == y) * weights * scale for y in (-1, 0, 1)])
    return np.stack([(sides @ (votes == v)).T for v in (-1, 0, 1)], axis=1)

"""Entropy and mutual information of votes and discrepancies, as plain functions on arrays.

Arrays of values, or votes (n_pairs, n_rules), come in; estimates in bits or nats go out, never
clipped. Notebooks, selectors and `rulekit.significance` (intervals and p-values, offered here
too) call it; the formulas are in `rulekit.estimators`, the counting in `rulekit.kernels`.
"""

from __future__ import annotations

import numpy as np

from rulekit import estimators as est
from rulekit.kernels import votes as kernel
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
    "joint_information",
    "joint_matrix",
    "mutual_information",
    "normalised_redundancy",
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
    x, y, estimator: str = "auto", unit: str = "bits", weights=None, k: int = 3
) -> float:
    """Mutual information of two variables from n joint observations.

    Parameters
    ----------
    x, y
        Values, (n,). NaN is refused: it means 'not rated', not a value.
    estimator
        Of two discrete variables: ``plugin``, ``miller_madow`` or ``shrinkage``; see
        `rulekit.estimators.table_information`. Of continuous ones, by nearest neighbours:
        ``ross`` (x continuous, y discrete or the reverse), ``ksg`` (both continuous), both
        without ties, and ``mixed``, equal to them without ties and right with atoms.
        ``auto``: ``miller_madow`` for two discrete variables, else ``mixed``. Discrete is what is
        no float, and floats without a fraction.
    unit
        ``bits`` or ``nats``.
    weights
        Non-negative, (n,), for the discrete estimators; Kish's effective number of observations
        then takes the place of n in their corrections.
    k
        Neighbours, 1 or more, for the continuous estimators.

    Returns
    -------
    The estimate; it may be negative and is returned as it is.

    Raises
    ------
    ValueError
        For lengths that differ, NaN, an unknown estimator or unit, or ties where they have no
        meaning.

    References
    ----------
    At the estimators: `rulekit.estimators.table_information`, `class_information`,
    `pair_information`.
    """
    x = est.checked("x", x)
    y = est.checked("y", y, len(x))
    est.check_estimator(estimator, est.DISCRETE + est.CONTINUOUS)
    if estimator == "auto":
        discrete = est.is_discrete(x) and est.is_discrete(y)
        estimator = "miller_madow" if discrete else "mixed"
    if estimator in est.DISCRETE:
        table, _ = est.counted([est.codes(x), est.codes(y)], est.checked_weights(weights, len(x)))
        return float(est.table_information(table[None], estimator, unit)[0])
    if weights is not None:
        raise ValueError(
            f"weights with estimator {estimator!r}; allowed: {', '.join(est.DISCRETE)}"
        )
    return est.neighbour_information(x, y, estimator, unit, k)


def entropy(x, estimator: str = "auto", unit: str = "bits", weights=None) -> float:
    """Entropy of a discrete variable from n observations.

    Parameters
    ----------
    x
        Discrete values, (n,).
    estimator
        ``plugin``, ``miller_madow`` (adds (K - 1) / 2n) or ``shrinkage``; ``auto`` is
        ``miller_madow``.
    unit, weights
        As for `mutual_information`.
    """
    x = est.checked("x", x)
    table, _ = est.counted([est.codes(x)], est.checked_weights(weights, len(x)))
    return float(est.table_entropy(table[None], estimator, unit)[0])


def conditional_information(
    x, y, given, estimator: str = "auto", unit: str = "bits", weights=None, k: int = 3
) -> float:
    """I(x; y | given), `given` discrete, from n joint observations.

    Parameters
    ----------
    x, y, given
        Values, (n,).
    estimator, unit, weights, k
        As for `mutual_information`. A continuous estimator is averaged over the values of
        `given`, each with its share of the observations.

    Raises
    ------
    ValueError
        As for `mutual_information`, and for a continuous `given`.
    """
    x = est.checked("x", x)
    y, given = est.checked("y", y, len(x)), est.checked("given", given, len(x))
    est.check_estimator(estimator, est.DISCRETE + est.CONTINUOUS)
    if not est.is_discrete(given):
        raise ValueError("given is continuous; allowed: discrete values")
    if estimator == "auto":
        discrete = est.is_discrete(x) and est.is_discrete(y)
        estimator = "miller_madow" if discrete else "mixed"
    strata = est.codes(given)
    if estimator in est.DISCRETE:
        columns = [est.codes(x), est.codes(y), strata]
        table, _ = est.counted(columns, est.checked_weights(weights, len(x)))
        return float(est.table_information(table[None], estimator, unit)[0])
    total = 0.0
    for stratum in range(strata.max() + 1):
        rows = strata == stratum
        part = mutual_information(x[rows], y[rows], estimator, unit, weights, k)
        total += rows.mean() * part
    return total


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

    Notes
    -----
    A set of k rules has up to 3^k vote patterns: where they are not few beside n_pairs, every
    estimate from counts is biased upwards, the plug-in most.
    """
    votes = np.asarray(votes)
    if votes.ndim != 2 or 0 in votes.shape:
        raise ValueError(f"votes have shape {votes.shape}; allowed: (n_pairs, n_rules), not empty")
    est.check_estimator(estimator, est.DISCRETE)
    pattern = np.zeros(len(votes), np.int64)
    for j in range(votes.shape[1]):
        column = est.codes(est.checked(f"votes of rule {j}", votes[:, j]))
        # Patterns are numbered anew at every rule, so the number never outgrows n_pairs.
        pattern = est.codes(pattern * (column.max() + 1) + column)
    estimator = "miller_madow" if estimator == "auto" else estimator
    return mutual_information(pattern, y, estimator, unit, weights)


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
    """
    tables = vote_tables(votes, preference)
    if weights is not None:
        tables = _weighted_tables(np.asarray(votes), np.asarray(preference), weights)
    return table_information(tables, estimator, unit)


def vote_tables(votes, preference) -> np.ndarray:
    """Counts of each rule's vote with the preference, int64 (n_rules, 3, 3), order -1, 0, +1.

    Parameters
    ----------
    votes, preference
        As for `vote_information`. The counts of blocks of pairs add up to those of all pairs, so
        `table_information` of the sum is the estimate from all of them.
    """
    planes, n = est.vote_planes("votes", votes)
    return kernel.class_tables(planes, est.preference_planes(preference, n), n)


def rule_tables(votes) -> np.ndarray:
    """Counts of each rule's vote with each other's, int64 (n_rules, n_rules, 3, 3), order -1, 0, +1.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules). Counts of blocks of pairs add up, as `vote_tables`;
        `table_information` with ``plugin`` makes the `redundancy_matrix` of the sum.
    """
    return kernel.pair_tables(*est.vote_planes("votes", votes))


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
        As for `vote_information`. With it I(v_i; Y | v_j) = I(v_i, v_j; Y) - I(v_j; Y), which the
        criteria of the joint and conditional selectors need.
    """
    planes, n = est.vote_planes("votes", votes)
    side = est.preference_planes(preference, n)
    m = planes.shape[1]
    whole = kernel.pair_tables(planes, n)
    tables = np.empty((m, m, 3, 3, 3))
    for cell, plane in ((2, side[0]), (0, side[1])):
        inside = int(kernel.count(np.stack([plane, plane]))[0, 0])
        tables[..., cell] = kernel.pair_tables(planes & plane[None], inside)
    tables[..., 1] = whole - tables[..., 0] - tables[..., 2]
    return est.table_information(tables.reshape(m * m, 9, 3), estimator, unit).reshape(m, m)


def redundancy_matrix(votes, unit: str = "bits") -> np.ndarray:
    """Mutual information of each pair of rules' votes, (n_rules, n_rules); entropies on the diagonal.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules).
    unit
        ``bits`` or ``nats``. The plug-in estimate, so that the diagonal is the entropy.
    """
    found = table_information(rule_tables(votes), "plugin", unit)
    return (found + found.T) / 2  # the two orders of summation differ in the last digit


def normalised_redundancy(votes) -> np.ndarray:
    """I(v_i; v_j) / max(H_i, H_j), 0 to 1, (n_rules, n_rules), 1 on the diagonal.

    Notes
    -----
    One less this is a metric. A rule that always votes alike shares nothing with any other.

    References
    ----------
    A. Kraskov, H. Stögbauer, R. Andrzejak, P. Grassberger, "Hierarchical clustering using mutual
    information", Europhysics Letters 70 (2005).
    """
    shared = redundancy_matrix(votes, "nats")
    larger = np.maximum.outer(np.diag(shared), np.diag(shared))
    found = np.divide(shared, larger, out=np.zeros_like(shared), where=larger > 1e-12)
    np.fill_diagonal(found, 1.0)
    return np.clip(found, 0.0, 1.0)  # rounding only: the plug-in estimate is within


def redundancy_clusters(votes, threshold: float = 0.5) -> np.ndarray:
    """Groups of rules whose votes repeat each other, int (n_rules,), numbered by their first rule.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules).
    threshold
        Least average `normalised_redundancy` between two groups that are joined, 0 to 1.

    Notes
    -----
    Average-linkage hierarchical clustering (scipy) of 1 - normalised redundancy.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; allowed: 0 to 1")
    distance = 1 - normalised_redundancy(votes)
    if len(distance) == 1:
        return np.zeros(1, np.int64)
    tree = linkage(squareform(distance, checks=False), "average")
    groups = fcluster(tree, 1 - threshold + 1e-12, "distance")
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group]


def effective_rules(votes=None, *, correlation=None) -> float:
    """Effective number of rules, 1 to n_rules: the participation ratio of correlation eigenvalues.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules). Rules that always vote alike are left out.
    correlation
        Instead of votes, their (n_rules, n_rules) correlation matrix.

    Notes
    -----
    (Σλ)² / Σλ², λ the eigenvalues of the correlation matrix R: n_rules² / Σ R_ij². Independent
    rules count in full, copies (reversed ones too) once. The estimate from n pairs of independent
    rules is low by a factor 1 + (n_rules - 1) / n.
    """
    if (votes is None) == (correlation is None):
        raise ValueError("allowed: either votes or correlation")
    if correlation is None:
        correlation = _vote_correlation(votes)
    correlation = np.asarray(correlation, np.float64)
    m = len(correlation)
    if correlation.shape != (m, m) or not np.allclose(np.diag(correlation), 1):
        raise ValueError("correlation: allowed: square, finite, ones on the diagonal")
    if not (np.abs(correlation) <= 1 + 1e-9).all() or m == 0:
        raise ValueError("correlation: allowed: at least one rule, all values -1 to 1")
    return float(m**2 / np.square(correlation).sum())


def _vote_correlation(votes) -> np.ndarray:
    planes, n = est.vote_planes("votes", votes)
    tables = kernel.pair_tables(planes, n)
    product = tables[..., 2, 2] + tables[..., 0, 0] - tables[..., 0, 2] - tables[..., 2, 0]
    plus, minus = kernel.count(planes)
    mean = (plus - minus) / n
    covariance = product / n - np.outer(mean, mean)
    kept = (np.maximum(plus, minus) < n) & (plus + minus > 0)
    if not kept.any():
        raise ValueError("votes: every rule always votes alike; allowed: one that does not")
    deviation = np.sqrt(np.diag(covariance)[kept])
    return covariance[np.ix_(kept, kept)] / np.outer(deviation, deviation)


def _weighted_tables(votes: np.ndarray, preference: np.ndarray, weights) -> np.ndarray:
    weights = est.checked_weights(weights, len(votes))
    scale = weights.sum() / np.square(weights).sum()
    sides = np.array([(preference == y) * weights * scale for y in (-1, 0, 1)])
    return np.stack([(sides @ (votes == v)).T for v in (-1, 0, 1)], axis=1)

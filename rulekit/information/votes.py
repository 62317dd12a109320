"""Information of the votes of many rules at once.

Votes (n_pairs, n_rules) and a preference come in; counts and estimates, one a rule or a pair of
rules, go out. Counts of blocks of pairs add up, for more pairs than memory holds.
"""

from __future__ import annotations

import numpy as np

from rulekit.information import checks, counts
from rulekit.information.counts import vote_tables
from rulekit.kernels import votes as kernel


def rule_mutual_information(
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
    As for `rulekit.information.counts.information_of`.
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
    return kernel.pair_tables(*checks.vote_planes("votes", votes))


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
    return counts.information_of(flat, estimator, unit).reshape(sums.shape)


def joint_matrix(votes, preference, estimator: str = "auto", unit: str = "bits") -> np.ndarray:
    """I(v_i, v_j; preference) of each pair of rules, (n_rules, n_rules); one rule's on the diagonal.

    Parameters
    ----------
    votes, preference, estimator, unit
        As for `rule_mutual_information`.

    Returns
    -------
    The estimates, (n_rules, n_rules), symmetric.

    Raises
    ------
    ValueError
        As for `rule_mutual_information`.

    Notes
    -----
    With it I(v_i; Y | v_j) = I(v_i, v_j; Y) - I(v_j; Y), which the criteria of the joint and
    conditional selectors need.

    References
    ----------
    As for `rulekit.information.counts.information_of`. H. Yang and J. Moody, "Data visualization and
    feature selection", NIPS (1999), for its use.
    """
    planes, n = checks.vote_planes("votes", votes)
    side = checks.preference_planes(preference, n)
    m = planes.shape[1]
    whole = kernel.pair_tables(planes, n)
    tables = np.empty((m, m, 3, 3, 3))
    for cell, plane in ((2, side[0]), (0, side[1])):
        inside = int(kernel.count(np.stack([plane, plane]))[0, 0])
        tables[..., cell] = kernel.pair_tables(planes & plane[None], inside)
    tables[..., 1] = whole - tables[..., 0] - tables[..., 2]
    return counts.information_of(tables.reshape(m * m, 9, 3), estimator, unit).reshape(m, m)


def _weighted_tables(votes: np.ndarray, preference: np.ndarray, weights) -> np.ndarray:
    weights = checks.checked_weights(weights, len(votes))
    scale = weights.sum() / np.square(weights).sum()
    sides = np.array([(preference == y) * weights * scale for y in (-1, 0, 1)])
    return np.stack([(sides @ (votes == v)).T for v in (-1, 0, 1)], axis=1)

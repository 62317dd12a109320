"""What rules share: redundancy of votes, groups of rules that repeat each other, their number.

Votes (n_pairs, n_rules) come in; matrices over the rules, groups and one number go out.
`rulekit.information` offers all of it.
"""

from __future__ import annotations

import numpy as np

from rulekit.information import checks, counts
from rulekit.kernels import votes as kernel


def redundancy_matrix(votes, unit: str = "bits") -> np.ndarray:
    """Mutual information of each pair of rules' votes, (n_rules, n_rules); entropies on the diagonal.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules).
    unit
        ``bits`` or ``nats``. The plug-in estimate, so that the diagonal is the entropy.
    """
    tables = kernel.pair_tables(*checks.vote_planes("votes", votes))
    m = len(tables)
    found = counts.information_of(tables.reshape(m * m, 3, 3), "plugin", unit).reshape(m, m)
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

    Raises
    ------
    ValueError
        For a threshold out of range, and for other values than votes, by row and rule.

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

    Raises
    ------
    ValueError
        Unless one of the two is given; for a matrix that is none of correlations, for other values
        than votes, and where every rule always votes alike.

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
    planes, n = checks.vote_planes("votes", votes)
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

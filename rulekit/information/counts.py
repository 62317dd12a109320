"""Entropy and mutual information of categories, from contingency tables.

Tables of counts come in; estimates in bits or nats go out, never clipped: near zero an estimate may
be negative.
"""

from __future__ import annotations

import numpy as np

from rulekit.information.checks import preference_planes, unit_size, vote_planes
from rulekit.kernels import votes as kernel

DISCRETE = ("plugin", "miller_madow", "shrinkage")
_MOST_CELLS = 10**8


def check_estimator(estimator: str, allowed: tuple[str, ...]) -> None:
    if not isinstance(estimator, str) or estimator not in ("auto", *allowed):
        raise ValueError(f"unknown estimator {estimator!r}; allowed: auto, {', '.join(allowed)}")


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


def information_of(tables: np.ndarray, estimator: str, unit: str) -> np.ndarray:
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


def entropy_of(tables: np.ndarray, estimator: str, unit: str) -> np.ndarray:
    """H(X) of each row of counts, (t, X) → (t,); estimators as for `information_of`."""
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
    Counts. Those of blocks of pairs add up to those of all pairs, so
    `rulekit.information.table_information` of the sum is the estimate from all of them.

    Raises
    ------
    ValueError
        For shapes that do not fit, and for other values, by row and rule.
    """
    planes, n = vote_planes("votes", votes)
    return kernel.class_tables(planes, preference_planes(preference, n), n)

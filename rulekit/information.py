"""Mutual information between discrete variables, as plain functions on arrays."""

from __future__ import annotations

import numpy as np

_UNITS = {"bits": np.log(2.0), "nats": 1.0}


def mutual_information(x, y, estimator: str = "auto", unit: str = "bits") -> float:
    """Mutual information of two discrete variables from n joint observations.

    Parameters
    ----------
    x, y
        Discrete values, (n,). NaN is refused: it means 'not rated', not a value.
    estimator
        ``plugin``, the maximum-likelihood estimate, or ``miller_madow``, the plug-in less its
        first-order bias (K_xy - K_x - K_y + 1) / 2n, K the numbers of occupied cells. ``auto``
        is ``miller_madow``.
    unit
        ``bits`` or ``nats``.

    Returns
    -------
    The estimate; ``miller_madow`` may be negative and is returned as it is.

    Raises
    ------
    ValueError
        For lengths that differ, NaN, or an unknown estimator or unit.

    References
    ----------
    G. Miller, "Note on the bias of information estimates" (1955).
    """
    x, y = _discrete("x", x), _discrete("y", y)
    if len(x) != len(y):
        raise ValueError(f"x has {len(x)} values and y {len(y)}; allowed: the same number")
    table = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(table, (x, y), 1)
    return float(_from_tables(table[None], estimator, unit)[0])


def vote_information(votes, preference, estimator: str = "auto", unit: str = "bits") -> np.ndarray:
    """Mutual information of each rule's vote with the preference, (n_rules,).

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules), such as the sign of the discrepancies.
    preference
        -1, 0 or +1, (n_pairs,).
    estimator, unit
        As for `mutual_information`.
    """
    votes, preference = np.asarray(votes), np.asarray(preference)
    if votes.ndim != 2 or preference.shape != votes.shape[:1]:
        raise ValueError(
            f"votes have shape {votes.shape}, preference {preference.shape}; allowed: "
            "(n_pairs, n_rules) and (n_pairs,)"
        )
    for name, values in (("votes", votes), ("preference", preference)):
        if not np.isin(values, (-1, 0, 1)).all():
            raise ValueError(f"{name} hold other values than -1, 0 and +1")
    sides = (-1, 0, 1)
    cells = [[(votes[preference == y] == v).sum(axis=0) for y in sides] for v in sides]
    return _from_tables(np.moveaxis(np.array(cells, dtype=float), 2, 0), estimator, unit)


def redundancy_matrix(votes, unit: str = "bits") -> np.ndarray:
    """Mutual information of each pair of rules' votes, (n_rules, n_rules); entropies on the diagonal.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules).
    unit
        ``bits`` or ``nats``. The plug-in estimate, so that the diagonal is the entropy.
    """
    votes = np.asarray(votes)
    if votes.ndim != 2 or not np.isin(votes, (-1, 0, 1)).all():
        raise ValueError("votes: allowed: -1, 0 and +1 in shape (n_pairs, n_rules)")
    hot = [(votes == v).astype(np.float64) for v in (-1, 0, 1)]
    cells = np.array([[u.T @ v for v in hot] for u in hot])  # (3, 3, n_rules, n_rules)
    n = votes.shape[1]
    tables = cells.reshape(3, 3, n * n).transpose(2, 0, 1)
    return _from_tables(tables, "plugin", unit).reshape(n, n)


def _from_tables(tables: np.ndarray, estimator: str, unit: str) -> np.ndarray:
    """Mutual information of each contingency table, (t, rows, columns) → (t,)."""
    if unit not in _UNITS:
        raise ValueError(f"unknown unit {unit!r}; allowed: {', '.join(_UNITS)}")
    if estimator not in ("auto", "plugin", "miller_madow"):
        raise ValueError(f"unknown estimator {estimator!r}; allowed: auto, plugin, miller_madow")
    n = tables.sum(axis=(1, 2))
    rows, columns = tables.sum(axis=2), tables.sum(axis=1)

    def plogp(counts: np.ndarray, axes) -> np.ndarray:
        p = counts / n.reshape(-1, *[1] * (counts.ndim - 1))
        return np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=axes)

    nats = plogp(tables, (1, 2)) - plogp(rows, 1) - plogp(columns, 1)
    if estimator != "plugin":
        occupied = (
            (tables > 0).sum(axis=(1, 2)) - (rows > 0).sum(axis=1) - (columns > 0).sum(axis=1)
        )
        nats = nats - (occupied + 1) / (2 * n)
    return nats / _UNITS[unit]


def _discrete(name: str, values) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or len(values) == 0:
        raise ValueError(f"{name} has shape {values.shape}; allowed: (n,), not empty")
    if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
        raise ValueError(
            f"{name}, row {np.isnan(values).argmax()} is NaN; allowed: discrete values"
        )
    return np.unique(values, return_inverse=True)[1]

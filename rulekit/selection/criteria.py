"""The criteria behind `rulekit.select`: plain arrays come in, positions of rules go out.

Per pair: largest evidence, diversity, determinants. Per data set: greedy information of votes, and
the Gaussian discriminant. Every choice goes through `steps`: criteria in the same step of 1e-6 are
tied, and the rule that comes first is taken, as `rulekit.kernels.selection` does it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import chi2

from rulekit.kernels import RESOLUTION

_ROWS = 4096  # pairs at a time, so that temporaries stay small
_ALPHA = 0.05
_NOTHING = 1e-12  # share of a rule's variance that the rules chosen leave: no more than rounding


def steps(criterion: np.ndarray) -> np.ndarray:
    """A criterion in whole steps of 1e-6, rounded, as floats: equal steps are tied, same shape."""
    return np.floor(criterion / RESOLUTION + 0.5)


def largest(criterion: np.ndarray, k: int) -> np.ndarray:
    """Positions of the k largest of each row in `steps`, best first, (n, k)."""
    return np.argsort(-steps(criterion), axis=1, kind="stable")[:, :k]


def first_largest(criterion: np.ndarray) -> np.ndarray:
    """Position of the largest along the last axis in `steps`, the first of those tied."""
    return np.argmax(steps(criterion), axis=-1)


def correlation(second: np.ndarray) -> np.ndarray:
    """Second moments scaled to a unit diagonal; a rule that never votes is related to none."""
    size = np.sqrt(np.diag(second))
    size = np.where(size > 0, size, 1.0)
    rho = np.clip(second / np.outer(size, size), -1.0, 1.0)
    np.fill_diagonal(rho, 1.0)
    return rho


def diverse(size: np.ndarray, rho: np.ndarray, k: int) -> np.ndarray:
    """Greedily the largest size_j (1 - mean |ρ_js|), s over the rules chosen before, (n, k).

    Parameters
    ----------
    size
        |δ|, (n_pairs, n_rules).
    rho
        Correlations, (n_rules, n_rules).
    k
        1 to n_rules.
    """
    out = np.empty((len(size), k), np.int32)
    redundancy = np.abs(rho)
    for start in range(0, len(size), _ROWS):
        q = size[start : start + _ROWS].astype(np.float64)
        rows, overlap = np.arange(len(q)), np.zeros_like(q)
        free = np.ones(q.shape, bool)
        for r in range(k):
            j = first_largest(np.where(free, q * (1 - overlap / max(r, 1)), -np.inf))
            out[start : start + _ROWS, r] = j
            free[rows, j] = False
            overlap += redundancy[j]
    return out


def determinantal(size: np.ndarray, rho: np.ndarray, k: int) -> np.ndarray:
    """Greedy maximum of det L_S, L_ij = size_i ρ_ij size_j, by updates of a Cholesky factor.

    A rule multiplies the determinant by the square of its size times what the rules chosen before
    leave of it; the root, which is in units of size, is compared.

    Parameters
    ----------
    size
        Quality of each rule, ≥ 0, (n_pairs, n_rules).
    rho
        Positive semi-definite, unit diagonal, (n_rules, n_rules).
    k
        1 to n_rules. Where every remaining gain is zero the lowest positions follow.

    Returns
    -------
    int32 (n_pairs, k), in the order of choice.

    References
    ----------
    L. Chen, G. Zhang, H. Zhou, NeurIPS 2018, algorithm 1.
    """
    n, m = size.shape
    out = np.empty((n, k), np.int32)
    for start in range(0, n, _ROWS):
        q = size[start : start + _ROWS].astype(np.float64)
        rows = np.arange(len(q))
        left, factor = np.ones_like(q), np.zeros((len(q), k, m))
        free = np.ones(q.shape, bool)
        for r in range(k):
            j = first_largest(np.where(free, q * np.sqrt(left), -np.inf))
            out[start : start + _ROWS, r] = j
            free[rows, j] = False
            pivot = left[rows, j]
            seen = factor[rows, :r, j]  # (rows, r)
            row = rho[j] - np.einsum("nr,nrm->nm", seen, factor[:, :r])
            row *= np.where(pivot > 0, 1 / np.sqrt(np.where(pivot > 0, pivot, 1.0)), 0.0)[:, None]
            factor[:, r] = row
            left -= row**2
            left[left <= _NOTHING] = 0.0
    return out


def discriminant(mu: np.ndarray, cov: np.ndarray, k: int) -> np.ndarray:
    """Forward selection by μ_S' Σ_SS⁻¹ μ_S, (k,), in the order of choice."""
    left_mu, left_cov, picked = mu.copy(), cov.copy(), []
    for _ in range(k):
        spread = np.diag(left_cov)
        usable = spread > 1e-12 * np.diag(cov)
        gain = np.where(usable, left_mu**2 / np.where(usable, spread, 1.0), 0.0)
        gain[picked] = -np.inf
        j = int(first_largest(gain))
        picked.append(j)
        if usable[j]:
            slope = left_cov[:, j] / left_cov[j, j]
            left_mu = left_mu - slope * left_mu[j]
            left_cov = left_cov - np.outer(slope, left_cov[j])
    return np.array(picked)


def greedy_information(votes: np.ndarray, y: np.ndarray, k: int, method: str) -> np.ndarray:
    """Greedy choice by pairwise informations of the votes, (k,), in the order of choice.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules).
    y
        -1 or +1, (n_pairs,).
    k
        1 to n_rules.
    method
        ``static``, ``mrmr``, ``jmi`` or ``cmim``; formulas in `notebooks/METHODS.md`.
    """
    single = _informations(np.zeros(len(y), np.int64), 0, votes, y)["relevance"]
    before, picked = [], []
    for r in range(k):
        gain = _CRITERIA[method](single, before) if r else single.copy()
        gain[picked] = -np.inf
        j = int(first_largest(gain))
        picked.append(j)
        if method != "static":
            before.append(_informations(votes[:, j].astype(np.int64) + 1, 1, votes, y))
    return np.array(picked)


def greedy_conditional(votes: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Greedily the rule of largest I(v_j; Y | v_S) while one is significant, (1 to k,).

    Notes
    -----
    The G-test of conditional independence compares 2n I (in nats) with χ² on Σ_s (V_s - 1)
    degrees of freedom, V_s the votes that occur in state s of the rules chosen; Bonferroni over
    the rules left. The first rule is taken whether significant or not.
    """
    m = votes.shape[1]
    state, picked = np.zeros(len(y), np.int64), []
    for r in range(k):
        found = _informations(state, r, votes, y)
        gain, freedom = found["relevance"].copy(), found["freedom"]
        gain[picked] = -np.inf
        p = chi2.sf(2 * len(y) * np.maximum(gain, 0.0), np.maximum(freedom, 1))
        if r and p[np.isfinite(gain)].min() * (m - r) > _ALPHA:
            break
        # Strength beyond what chance gives: a vote with more values gains more by chance alone.
        gain = gain - freedom / (2 * len(y))
        j = int(first_largest(gain))
        picked.append(j)
        state = 3 * state + votes[:, j].astype(np.int64) + 1
    return np.array(picked)


_CRITERIA: dict[str, Callable[[np.ndarray, list[dict]], np.ndarray]] = {
    "static": lambda single, before: single.copy(),
    "mrmr": lambda single, before: single - np.mean([b["redundancy"] for b in before], axis=0),
    "jmi": lambda single, before: np.sum([b["relevance"] for b in before], axis=0),
    "cmim": lambda single, before: np.min([b["relevance"] for b in before], axis=0),
}


def _informations(
    state: np.ndarray, n_digits: int, votes: np.ndarray, y: np.ndarray
) -> dict[str, np.ndarray]:
    """Of each rule, in nats: I(v_j; Y | state), I(v_j; state) and the former's degrees of freedom.

    Each pair counts half as it is and half with its responses exchanged, which turns votes and Y
    round; `state` codes the votes -1, 0, +1 of `n_digits` rules as digits 0, 1, 2, so that the
    exchange is a reflection, and a state and its reflection are one for the degrees of freedom.
    I(v_j, v_s; Y) is I(v_s; Y) + I(v_j; Y | v_s): for a given s both rank rules alike, and `jmi`
    needs the conditional term only.
    """
    n, last = len(y), 3**n_digits - 1
    codes, state = np.unique(np.concatenate([state, last - state]), return_inverse=True)
    n_states = len(codes)
    cell = 2 * state + (np.concatenate([y, -y]) > 0)
    hot = csr_array((np.full(2 * n, 0.5), (cell, np.arange(2 * n))), shape=(2 * n_states, 2 * n))
    v = np.concatenate([votes, -votes])
    table = np.stack(
        [hot @ (v == x).astype(np.float64) for x in (-1, 0, 1)]
    )  # (vote, state and y, rule)
    table = table.reshape(3, n_states, 2, -1)
    vote_state = table.sum(axis=2)
    state_y = table.sum(axis=0)[..., 0]
    state_n = state_y.sum(axis=1)

    def plogp(counts: np.ndarray, axes) -> np.ndarray:
        p = counts / n
        return np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=axes)

    relevance = (
        plogp(table, (0, 1, 2))
        - plogp(vote_state, (0, 1))
        - plogp(state_y, (0, 1))
        + plogp(state_n, 0)
    )
    redundancy = plogp(vote_state, (0, 1)) - plogp(vote_state.sum(axis=1), 0) - plogp(state_n, 0)
    used = (vote_state > 0).sum(axis=0) - 1  # (state, rule)
    used = np.where((codes == last - codes)[:, None], np.ceil(used / 2), used / 2)
    freedom = (used * ((state_y > 0).sum(axis=1) - 1)[:, None]).sum(axis=0)
    return {"relevance": relevance, "redundancy": redundancy, "freedom": freedom}

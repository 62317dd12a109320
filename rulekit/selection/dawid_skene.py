"""Dawid and Skene's model of votes: how often each rule is right, told from agreement alone.

Votes come in, P(Y = +1) of each pair goes out, to the label model and the estimator of that name.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from rulekit.selection.serial import serial_blas

_TOLERANCE = 1e-11  # largest change of a probability in a step of EM that counts as none
_MOST = 50_000  # steps
_REACH = (
    64.0  # how many steps ahead an extrapolation may always look, and further while it succeeds
)
_CERTAIN = 1e-9  # no rule, and no posterior, is nearer to 0 or 1


def dawid_skene_posterior(votes) -> np.ndarray:
    """P(Y = +1) of each pair from agreement between votes, strictly inside (0, 1), (n_pairs,).

    Parameters
    ----------
    votes
        -1, 0 (abstention) or +1, (n_pairs, n_rules).

    Returns
    -------
    The posterior at the maximum of the likelihood that EM from the majority's shares comes to,
    within 1e-6; clipped to [1e-9, 1 - 1e-9]. ½ where no rule votes. Of the two mirror images of
    the solution, the one that the majority agrees with.

    Raises
    ------
    ValueError
        For other shapes or values; or where agreement cannot tell how often a rule is right, as
        with one or two rules.

    Notes
    -----
    Rule j votes right with one probability p_j whichever response is the better, so which came
    first does not matter and Y is equiprobable. With a_j = 2 p_j - 1 and n_j votes of rule j a step
    of EM is a_j ← Σ_i v_ij tanh(Σ_k v_ik atanh a_k) / n_j. Steps are squared extrapolations that
    may not lower the likelihood. Two rules tell only the product a_1 a_2, of a third that meets
    both the three products tell each: a rule that votes must, through rules that vote on the same
    pairs, belong to an odd cycle of such rules.

    References
    ----------
    A. Dawid, A. Skene, Applied Statistics 28 (1979). R. Varadhan, C. Roland, "Simple and globally
    convergent methods for accelerating the convergence of any EM algorithm", Scand. J. Statistics
    35 (2008).
    """
    votes = np.asarray(votes, dtype=np.float64)
    if votes.ndim != 2 or not ((votes == 0) | (np.abs(votes) == 1)).all():
        raise ValueError(f"votes {votes.shape}: allowed: -1, 0 and +1, (n_pairs, n_rules)")
    with serial_blas(votes.size):
        _identified(votes)
        _, lean = _fit(votes)
    if lean @ votes.sum(axis=1) < 0:
        lean = -lean
    return np.clip((1 + lean) / 2, _CERTAIN, 1 - _CERTAIN)


def _identified(votes: np.ndarray) -> None:
    """Refuse votes from which no accuracy can be told, naming the rule."""
    cast = np.abs(votes)
    met = cast.T @ cast
    active = np.flatnonzero(np.diag(met))
    met = met[np.ix_(active, active)] > 0
    np.fill_diagonal(met, False)
    n = len(active)
    # A graph has an odd cycle where its double cover joins the two copies of a node.
    cover = csr_array(np.block([[np.zeros_like(met), met], [met, np.zeros_like(met)]]))
    part = connected_components(cover, directed=False)[1] if n else np.zeros(0)
    alone = active[part[:n] != part[n:]]
    if len(alone):
        raise ValueError(
            f"dawid_skene: {n} of {votes.shape[1]} rules vote, and agreement cannot tell how often "
            f"rule {alone[0]} is right; allowed: three rules or more that vote on the same pairs"
        )


def _fit(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a_j = 2 p_j - 1 of each rule and 2 P(Y = +1) - 1 of each pair, at convergence."""
    cast = np.maximum(np.abs(votes).sum(axis=0), 1)
    limit = 1 - 2 * _CERTAIN

    def step(a: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """The next a, the lean of each pair under a, and the log-likelihood of a."""
        half = votes @ np.arctanh(a)
        lean = np.tanh(half)
        likelihood = np.logaddexp(half, -half).sum() + cast @ np.log1p(-a * a) / 2
        return np.clip(votes.T @ lean / cast, -limit, limit), lean, float(likelihood)

    share = votes.sum(axis=1) / np.maximum(np.abs(votes).sum(axis=1), 1)
    a = np.clip(votes.T @ share / cast, -limit, limit)
    one, before, _ = step(a)
    reach = _REACH
    for _ in range(_MOST // 3):
        two, lean, likelihood = step(one)
        if np.abs(lean - before).max(initial=0.0) <= 2 * _TOLERANCE:
            return one, lean
        first, bend = one - a, two - one - (one - a)
        length = min(np.sqrt((first @ first) / max(bend @ bend, 1e-300)), reach)
        if length > 1:
            jump = np.clip(a + 2 * length * first + length**2 * bend, -limit, limit)
            ahead, lean, reached = step(jump)
            if reached >= likelihood - 1e-11 * abs(likelihood):
                a, one, before = jump, ahead, lean
                reach = 4 * reach if length == reach else reach
                continue
            reach = max(length / 4, _REACH)
        a = two
        one, before, _ = step(a)
    warnings.warn(f"dawid_skene: not converged in {_MOST:,} steps", RuntimeWarning, stacklevel=3)
    return one, before

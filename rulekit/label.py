"""Label models: scores and selected rules come in, a preference with its confidence goes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rulekit.kernels import selection as kernel
from rulekit.scores import Scores
from rulekit.select import Selection

METHODS = ("sum",)
TIE_POLICIES = {
    "abstain": "a tied pair gets preference 0 and no training target",
    "soft": "every pair gets the target P(A is preferred), a tied pair 0.5",
    "drop": "tied pairs are left out; `index` says which rows are kept",
}


@dataclass(frozen=True, eq=False)
class Labels:
    """A label for each pair.

    Attributes
    ----------
    margin
        Evidence for the first response, (n,): the sum of discrepancies over the chosen rules.
    preference
        +1 the first response, -1 the second, 0 a tie, int8 (n,).
    confidence
        Probability in [0.5, 1] of the preferred side, σ(β |margin|), (n,).
    target
        What a reward model is trained on, P(A is preferred) in [0, 1], (n,): 1 or 0 under
        `abstain` and `drop`, NaN where a tie abstains, σ(β margin) under `soft`.
    index
        Row of the scores each label belongs to, (n,).
    tie
        The tie policy in force.
    """

    margin: np.ndarray
    preference: np.ndarray
    confidence: np.ndarray
    target: np.ndarray
    index: np.ndarray
    tie: str


def label(
    scores: Scores,
    selection: Selection,
    method: str = "sum",
    tie: str = "abstain",
    *,
    beta: float = 1.0,
) -> Labels:
    """Label each pair from the scores of its selected rules.

    Parameters
    ----------
    scores
        Scores of n_pairs pairs under n_rules rules.
    selection
        Rules chosen from these scores, (n_pairs, k).
    method
        ``sum``: the response with the larger sum of scores over the chosen rules is preferred.
    tie
        What becomes of a margin of zero: ``abstain``, ``soft`` or ``drop``. Margins within
        k · 5e-7 of zero are ties: float32 scores cannot tell them apart.
    beta
        Slope of the confidence, positive: how much evidence one unit of discrepancy is. It is a
        probability only as far as β fits the judge.

    Raises
    ------
    ValueError
        For an unknown method or tie policy, a β that is not positive, or a selection that does
        not belong to the scores.

    Notes
    -----
    If rule j votes sign(δ_j), is right with probability σ(β|δ_j|) and votes are independent
    given Y, the posterior log-odds of Y are β Σ_{j∈S} δ_j: the sum is then the Bayes decision.

    References
    ----------
    X. Li et al., arXiv 2501.15453 (2025): the sum label of the authors' code.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(METHODS)}")
    if tie not in TIE_POLICIES:
        raise ValueError(f"unknown tie policy {tie!r}; allowed: {', '.join(TIE_POLICIES)}")
    if not (np.isfinite(beta) and beta > 0):
        raise ValueError(f"beta is {beta}; allowed: a positive number")
    if (len(selection.indices), selection.n_rules) != (scores.n_pairs, scores.n_rules):
        raise ValueError(
            f"the selection is of {len(selection.indices)} pairs and {selection.n_rules} rules; "
            f"allowed: {scores.n_pairs} and {scores.n_rules}, as the scores"
        )
    margin = kernel.margins(scores.a, scores.b, selection.indices)
    tied = np.abs(margin) <= selection.k * kernel.RESOLUTION / 2
    margin[tied] = 0.0
    preference = np.sign(margin).astype(np.int8)
    confidence = 1.0 / (1.0 + np.exp(-beta * np.abs(margin)))
    soft = np.where(margin >= 0, confidence, 1.0 - confidence)
    target = soft if tie == "soft" else np.where(tied, np.nan, preference > 0)
    index = np.arange(scores.n_pairs)
    kept = index[~tied] if tie == "drop" else index
    return Labels(margin[kept], preference[kept], confidence[kept], target[kept], kept, tie)

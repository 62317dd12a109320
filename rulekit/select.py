"""Rule selection: scores come in, the rules to look at for each pair go out.

One function, one registry. Per-pair selectors look at the pair's own scores; `static` picks one
set of rules for the whole data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rulekit.kernels import selection as kernel
from rulekit.scores import Scores


@dataclass(frozen=True, eq=False)
class Selection:
    """The rules chosen for each pair.

    Attributes
    ----------
    indices
        Rule positions, int32 (n_pairs, k), best first.
    method
        Name of the selector.
    n_rules
        Size of the rule set that was selected from.
    """

    indices: np.ndarray  # (n_pairs, k)
    method: str
    n_rules: int

    def __post_init__(self) -> None:
        indices = np.asarray(self.indices)
        if indices.ndim != 2 or not np.issubdtype(indices.dtype, np.integer):
            raise ValueError(
                f"indices are {indices.dtype} {indices.shape}; allowed: int (n_pairs, k)"
            )
        if indices.size and not (indices.min() >= 0 and indices.max() < self.n_rules):
            raise ValueError(f"indices are out of range; allowed: 0 to {self.n_rules - 1}")
        object.__setattr__(self, "indices", indices)

    @property
    def k(self) -> int:
        return self.indices.shape[1]

    def mask(self) -> np.ndarray:
        """Multi-label target: bool (n_pairs, n_rules), True where a rule was chosen."""
        chosen = np.zeros((len(self.indices), self.n_rules), dtype=bool)
        np.put_along_axis(chosen, self.indices, True, axis=1)
        return chosen


def select(
    scores: Scores,
    k: int = 5,
    method: str = "max_discrepancy",
    *,
    seed: int = 0,
    reference: Scores | None = None,
    preference: np.ndarray | None = None,
) -> Selection:
    """Choose k rules for each pair.

    Parameters
    ----------
    scores
        Scores of n_pairs pairs under n_rules rules.
    k
        Rules per pair, 1 to n_rules; `all` takes every rule whatever k is.
    method
        One of `selectors()`.
    seed
        For `random`; other methods are deterministic.
    reference, preference
        For `static`: other pairs, (n_reference, n_rules), and the known preference of each
        (+1, 0, -1), to choose the rules by. Choosing by the pairs that are then labelled would
        overstate the result.

    Returns
    -------
    Selection with indices int32 (n_pairs, k), best first. Criteria closer than 1e-6 are tied,
    and ties go to the rule that comes first in the set.

    Raises
    ------
    ValueError
        For an unknown method, a k out of range, or a method that needs what was not given.

    Notes
    -----
    `max_discrepancy` takes the k largest |δ_j|, δ_j = score_j(A) - score_j(B): the choice that
    maximises I(votes; Y) when rules vote independently and are right with a probability that
    does not fall with |δ_j|. `relevance_discrepancy` is the criterion of the authors' code,
    relevance + |δ_j| / 2.

    References
    ----------
    X. Li, M. Gao, Z. Zhang, J. Fan, W. Li, "Data-adaptive Safety Rules for Training Reward
    Models", arXiv 2501.15453 (2025).
    """
    if method not in _SELECTORS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(selectors())}")
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= scores.n_rules:
        if method != "all":
            raise ValueError(f"k is {k!r}; allowed: 1 to {scores.n_rules}, the number of rules")
    elif method == "static" and (reference is None) != (preference is None):
        raise ValueError("method 'static': give both reference and preference, or neither")
    indices = _SELECTORS[method](scores, int(k or 0), seed, reference, preference)
    return Selection(indices, method, scores.n_rules)


def selectors() -> list[str]:
    """The names that `select` takes as its method."""
    return sorted(_SELECTORS)


def _max_discrepancy(scores: Scores, k: int, *_) -> np.ndarray:
    return kernel.top_k(kernel.DISCREPANCY, scores.a, scores.b, None, k)


def _relevance_discrepancy(scores: Scores, k: int, *_) -> np.ndarray:
    if scores.relevance is None:
        raise ValueError("method 'relevance_discrepancy' needs scores with a relevance")
    return kernel.top_k(kernel.RELEVANCE_DISCREPANCY, scores.a, scores.b, scores.relevance, k)


def _random(scores: Scores, k: int, seed: int, *_) -> np.ndarray:
    return kernel.top_k(kernel.RANDOM, scores.a, scores.b, None, k, seed=seed)


def _all(scores: Scores, *_) -> np.ndarray:
    every = np.arange(scores.n_rules, dtype=np.int32)
    return np.broadcast_to(every, (scores.n_pairs, scores.n_rules))


def _static(
    scores: Scores, k: int, _seed: int, reference: Scores | None, preference: np.ndarray | None
) -> np.ndarray:
    """The same k rules for every pair.

    With labelled reference pairs, the rules of largest mutual information between vote and
    preference; without, the rules of largest mean |δ| over the pairs themselves.
    """
    if reference is None:
        quality = np.abs(scores.discrepancy).mean(axis=0, dtype=np.float64)
    else:
        from rulekit.information import vote_information

        if reference.n_rules != scores.n_rules:
            raise ValueError(
                f"reference has {reference.n_rules} rules; allowed: {scores.n_rules}, as scores"
            )
        quality = vote_information(np.sign(reference.discrepancy), preference)
    best = np.argsort(-quality, kind="stable")[:k].astype(np.int32)
    return np.broadcast_to(best, (scores.n_pairs, k))


_SELECTORS: dict[str, Callable[..., np.ndarray]] = {
    "all": _all,
    "max_discrepancy": _max_discrepancy,
    "random": _random,
    "relevance_discrepancy": _relevance_discrepancy,
    "static": _static,
}

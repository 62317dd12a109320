"""Measures with intervals: accuracy on pairs, paired comparison, recall and F1 of a Rule Adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Accuracy:
    """Share of pairs on which the right response is preferred.

    Attributes
    ----------
    value
        Accuracy in [0, 1]; a tie counts one half.
    low, high
        Wilson 95 % interval, pairs taken as independent.
    cluster_low, cluster_high
        95 % percentile bootstrap over prompts (pairs of one prompt resampled together); NaN
        when no groups were given.
    n, ties
        Pairs counted, and how many of them were tied.
    """

    value: float
    low: float
    high: float
    cluster_low: float
    cluster_high: float
    n: int
    ties: int

    def as_dict(self) -> dict[str, float | int | None]:
        """As plain values for JSON, NaN as None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def pairwise_accuracy(
    margin, preference, groups: Sequence | None = None, *, seed: int = 0, resamples: int = 2000
) -> Accuracy:
    """Agreement of margins (or ±1 labels) with known preferences.

    Parameters
    ----------
    margin
        Evidence for the first response, (n,): a label's margin or preference, or the difference
        of two rewards. Positive prefers A, zero is a tie.
    preference
        +1, 0, -1 or null (None, NaN), (n,). Pairs without a known strict preference are left out.
    groups
        The prompt of each pair, (n,), for the cluster bootstrap.
    seed, resamples
        Of the bootstrap.

    Raises
    ------
    ValueError
        If lengths differ, a margin is NaN, or no pair has a preference.
    """
    margin = np.asarray(margin, dtype=np.float64)
    known = np.array([np.nan if p is None else p for p in preference], dtype=np.float64)
    if margin.shape != known.shape or margin.ndim != 1:
        raise ValueError(
            f"margin has shape {margin.shape}, preference {known.shape}; allowed: (n,)"
        )
    if np.isnan(margin).any():
        raise ValueError(f"margin, row {np.isnan(margin).argmax()} is NaN; allowed: numbers")
    strict = np.isfinite(known) & (known != 0)
    if not strict.any():
        raise ValueError("no pair has a known strict preference")
    right = (np.sign(margin[strict]) * np.sign(known[strict]) + 1) / 2  # 0, ½ or 1
    low, high = wilson(right.sum(), len(right))
    cluster = (np.nan, np.nan)
    if groups is not None:
        cluster = cluster_interval(right, np.asarray(groups)[strict], seed, resamples)
    ties = int((margin[strict] == 0).sum())
    return Accuracy(float(right.mean()), low, high, *cluster, len(right), ties)


def wilson(successes: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion; `successes` may hold halves for ties.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference" (1927).
    """
    from scipy.stats import norm

    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} successes; allowed: 0 to n, n at least 1")
    z, p = norm.ppf((1 + confidence) / 2), successes / n
    centre, spread = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return float(max(0.0, (centre - spread) / scale)), float(min(1.0, (centre + spread) / scale))


def cluster_interval(
    values, groups, seed: int = 0, resamples: int = 2000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean when values of one group belong together."""
    values = np.asarray(values, dtype=np.float64)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    total = np.bincount(group, weights=values)
    size = np.bincount(group)
    draws = np.random.default_rng(seed).integers(len(size), size=(resamples, len(size)))
    means = total[draws].sum(axis=1) / size[draws].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


def adapter_metrics(probabilities, target, k: int) -> dict[str, float]:
    """How well a Rule Adapter names the rules that a selector chose.

    Parameters
    ----------
    probabilities
        The adapter's score of every rule, (n_pairs, n_rules); the k largest are its choice.
    target
        The chosen rules, bool (n_pairs, n_rules).
    k
        Rules named per pair.

    Returns
    -------
    ``recall_at_k``, ``micro_f1``, ``macro_f1`` (over the rules that occur in the target), and
    ``random_recall_at_k``, the expectation of a random choice, k / n_rules.
    """
    scores, target = np.asarray(probabilities, dtype=np.float64), np.asarray(target, dtype=bool)
    if scores.shape != target.shape or scores.ndim != 2:
        raise ValueError(
            f"probabilities have shape {scores.shape}, target {target.shape}; allowed: "
            "(n_pairs, n_rules) both"
        )
    named = np.zeros_like(target)
    np.put_along_axis(named, np.argsort(-scores, axis=1, kind="stable")[:, :k], True, axis=1)
    hit = (named & target).sum(axis=0)
    wanted, given = target.sum(axis=0), named.sum(axis=0)
    occurs = wanted > 0
    f1 = 2 * hit[occurs] / (wanted + given)[occurs]
    per_pair = (named & target).sum(axis=1) / np.maximum(target.sum(axis=1), 1)
    return {
        "recall_at_k": float(per_pair.mean()),
        "random_recall_at_k": k / target.shape[1],
        "micro_f1": float(2 * hit.sum() / (wanted.sum() + given.sum())),
        "macro_f1": float(f1.mean()),
    }


def auc(score, positive) -> tuple[float, float, float]:
    """Area under the ROC curve with a 95 % interval: (value, low, high).

    Parameters
    ----------
    score
        Larger means more likely positive, (n,).
    positive
        bool (n,), with both values present.

    References
    ----------
    J. A. Hanley, B. J. McNeil, Radiology 143 (1982): the standard error of the interval.
    """
    from scipy.stats import norm, rankdata

    score, positive = np.asarray(score, dtype=np.float64), np.asarray(positive, dtype=bool)
    m, n = int(positive.sum()), int((~positive).sum())
    if score.shape != positive.shape or not m or not n:
        raise ValueError(f"{m} positives and {n} negatives; allowed: at least one of each")
    value = (rankdata(score)[positive].sum() - m * (m + 1) / 2) / (m * n)
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (m - 1) * (q1 - value**2) + (n - 1) * (q2 - value**2)
    spread = norm.ppf(0.975) * np.sqrt(variance / (m * n))
    return float(value), float(max(0, value - spread)), float(min(1, value + spread))


def judge_metrics(probabilities, truth, prior) -> dict[str, float]:
    """A judge against annotations, beside the floor of each rule's own frequencies.

    Parameters
    ----------
    probabilities
        P(no), P(irrelevant), P(yes), (n_responses, n_rules, 3).
    truth
        -1, 0, +1, (n_responses, n_rules).
    prior
        The floor: each rule's frequencies on the training responses, (n_rules, 3).

    Returns
    -------
    ``log_loss`` in nats and ``floor_log_loss``; ``relevant_auc``, does it know which rules matter,
    and ``satisfied_auc``, among the relevant, does it know which are satisfied, each beside the
    same for the floor.
    """
    p, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(truth).astype(int)
    floor = np.broadcast_to(prior, p.shape)
    relevant = truth != 0
    out = {}
    for name, q in (("", p), ("floor_", floor)):
        picked = np.take_along_axis(q, (truth + 1)[..., None], axis=2)
        out[f"{name}log_loss"] = float(-np.log(picked.clip(1e-9)).mean())
        out[f"{name}relevant_auc"] = auc(1 - q[..., 1].ravel(), relevant.ravel())[0]
        score = (q[..., 2] - q[..., 0])[relevant]
        out[f"{name}satisfied_auc"] = auc(score, truth[relevant] > 0)[0]
    return out

"""Measures with intervals: accuracy on pairs, paired comparison, recall and F1 of a Rule Adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl


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
    ties = int((margin[strict] == 0).sum())
    return mean_accuracy(
        right, None if groups is None else np.asarray(groups)[strict], ties, seed, resamples
    )


def mean_accuracy(
    right, groups: Sequence | None = None, ties: int = 0, seed: int = 0, resamples: int = 2000
) -> Accuracy:
    """`Accuracy` of shares in [0, 1], (n,): how often each pair's right response is preferred."""
    right = np.asarray(right, dtype=np.float64)
    low, high = wilson(right.sum(), len(right))
    cluster = (np.nan, np.nan)
    if groups is not None:
        cluster = cluster_interval(right, groups, seed, resamples)
    return Accuracy(float(right.mean()), low, high, *cluster, len(right), ties)


@dataclass(frozen=True)
class Difference:
    """How much more often one margin is right than another on the same pairs.

    Attributes
    ----------
    value
        Accuracy of the first less that of the second; a tie counts one half.
    low, high
        95 % percentile bootstrap interval over groups.
    p_value
        Two-sided sign-flip permutation test over groups.
    n, n_groups
        Pairs and groups counted.
    """

    value: float
    low: float
    high: float
    p_value: float
    n: int
    n_groups: int

    def as_dict(self) -> dict[str, float | int]:
        """As plain values for JSON."""
        return asdict(self)


def paired_difference(
    first,
    second,
    preference,
    groups: Sequence | None = None,
    *,
    seed: int = 0,
    resamples: int = 10_000,
) -> Difference:
    """Paired comparison of two margins on the same pairs, whole prompts at a time.

    Parameters
    ----------
    first, second, preference
        As for `pairwise_accuracy`, (n,) each.
    groups
        The prompt of each pair, (n,); without, every pair is a group of its own.
    seed, resamples
        Of bootstrap and permutation.

    Notes
    -----
    Under the hypothesis of no difference, the sign of a prompt's sum of differences is a coin
    flip: the p-value is the share of flips at least as extreme, itself counted among them.
    """
    known = np.array([np.nan if p is None else p for p in preference], dtype=np.float64)
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if not first.shape == second.shape == known.shape:
        raise ValueError(
            f"margins have shapes {first.shape} and {second.shape}, preference {known.shape}; "
            "allowed: (n,) all"
        )
    strict = np.isfinite(known) & (known != 0)
    if not strict.any():
        raise ValueError("no pair has a known strict preference")
    gain = (np.sign(first) - np.sign(second))[strict] * np.sign(known[strict]) / 2
    group = None if groups is None else np.asarray(groups)[strict]
    return mean_difference(gain, group, seed=seed, resamples=resamples)


def mean_difference(
    gain, groups: Sequence | None = None, *, seed: int = 0, resamples: int = 10_000
) -> Difference:
    """`Difference` of gains in [-1, 1], (n,): one accuracy less another on each pair.

    `groups`, `seed`, `resamples` and the test are those of `paired_difference`.
    """
    gain = np.asarray(gain, dtype=np.float64)
    group = np.arange(len(gain)) if groups is None else np.asarray(groups)
    low, high = cluster_interval(gain, group, seed, resamples)
    total = np.bincount(np.unique(group, return_inverse=True)[1], weights=gain)
    flips = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, len(total)))
    extreme = np.abs(flips @ total) >= abs(total.sum()) - 1e-9
    p_value = (extreme.sum() + 1) / (resamples + 1)
    return Difference(float(gain.mean()), low, high, float(p_value), len(gain), len(total))


def cohen_kappa(first, second) -> float:
    """Agreement of two readers beyond chance, at most 1; 0 is chance.

    Parameters
    ----------
    first, second
        The category that each reader gave, same shape; any values.

    Notes
    -----
    (p_o - p_e) / (1 - p_e), p_o the share of agreements, p_e that of two readers who give the same
    categories as often and at random. NaN if both gave one and the same category throughout.

    References
    ----------
    J. Cohen, "A coefficient of agreement for nominal scales" (1960).
    """
    first, second = np.asarray(first).ravel(), np.asarray(second).ravel()
    if first.shape != second.shape or not len(first):
        raise ValueError(f"{first.size} and {second.size} categories; allowed: as many, not none")
    observed = (first == second).mean()
    values = np.union1d(first, second)
    chance = sum((first == v).mean() * (second == v).mean() for v in values)
    return float((observed - chance) / (1 - chance)) if chance < 1 else float("nan")


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


def calibration(probability, outcome, bins: int = 10) -> pl.DataFrame:
    """How often what was given a probability came true.

    Parameters
    ----------
    probability
        P(A is preferred) of each pair, (n,), in [0, 1], such as `Labels.target` under ``soft``.
    outcome
        The known preference, -1 or +1, (n,).
    bins
        Bins of equal count over the confidence, the probability of the preferred side.

    Returns
    -------
    A row a bin: ``n``, mean ``confidence``, ``accuracy`` (a tie counts half) with its Wilson 95 %
    interval ``low``, ``high``, and ``gap`` = accuracy - confidence. The expected calibration
    error is the mean of |gap| weighted by n.

    Raises
    ------
    ValueError
        For shapes that differ, probabilities out of range or outcomes other than ±1.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(outcome)
    if p.ndim != 1 or p.shape != y.shape or len(p) == 0:
        raise ValueError(f"probability {p.shape} and outcome {y.shape}; allowed: (n,) both")
    if not ((p >= 0) & (p <= 1)).all() or not np.isin(y, (-1, 1)).all():
        raise ValueError("allowed: probabilities in [0, 1], outcomes -1 and +1")
    confidence = np.maximum(p, 1 - p)
    right = (np.sign(p - 0.5) * y + 1) / 2
    order = np.argsort(confidence, kind="stable")
    rows = []
    for part in np.array_split(order, min(bins, len(p))):
        low, high = wilson(right[part].sum(), len(part))
        mean, hit = float(confidence[part].mean()), float(right[part].mean())
        rows.append((len(part), mean, hit, low, high, hit - mean))
    names = ("n", "confidence", "accuracy", "low", "high", "gap")
    return pl.DataFrame(rows, schema=names, orient="row")


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


def reliability(probability, outcome, bins: int = 10) -> pl.DataFrame:
    """Observed frequency against predicted probability, in bins of equal count.

    Parameters
    ----------
    probability
        Predicted, in [0, 1], (n,).
    outcome
        bool, (n,).
    bins
        Number of bins; equal predictions stay together, so there may be fewer.

    Returns
    -------
    One row a bin: predicted (mean), observed, low and high (Wilson 95 %), n.
    """
    probability, outcome = np.asarray(probability, np.float64), np.asarray(outcome, bool)
    if probability.shape != outcome.shape or probability.ndim != 1 or not len(outcome):
        raise ValueError(
            f"probability has shape {probability.shape}, outcome {outcome.shape}; allowed: (n,) "
            "both, not empty"
        )
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, bins + 1)))
    which = np.searchsorted(edges[1:-1], probability, side="right")
    rows = []
    for b in np.unique(which):
        mine = which == b
        low, high = wilson(outcome[mine].sum(), mine.sum())
        rows.append(
            {
                "predicted": probability[mine].mean(),
                "observed": outcome[mine].mean(),
                "low": low,
                "high": high,
                "n": int(mine.sum()),
            }
        )
    return pl.DataFrame(rows)


def calibration_error(probability, outcome, bins: int = 10) -> float:
    """Expected calibration error over bins of equal count: mean |predicted - observed|, in [0, 1]."""
    frame = reliability(probability, outcome, bins)
    gap = (frame["predicted"] - frame["observed"]).abs()
    return float((gap * frame["n"]).sum() / frame["n"].sum())


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

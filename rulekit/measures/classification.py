"""Right and wrong classes: AUC, Cohen's κ, what a Rule Adapter names, what a judge tells.

Scores or classes and the truth come in, figures go out. What ends in ``resampled`` takes the weights
of `rulekit.measures.intervals.bootstrap` and gives one value a draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rulekit.measures.checks import categories, groups_of, numbers, truths
from rulekit.measures.intervals import bootstrap, newcombe


def auc(score, positive) -> tuple[float, float, float]:
    """Area under the ROC curve with a 95 % interval: (value, low, high).

    Parameters
    ----------
    score
        Larger means more likely positive, (n,).
    positive
        bool, or 0 and 1, (n,), with both values present.

    Raises
    ------
    ValueError
        For shapes that differ, a score that is NaN, or one kind only.

    Notes
    -----
    The interval is `newcombe`'s, which has some width at 1 too. It takes the cases as independent;
    where they share prompts, take `bootstrap` of `auc_resampled`.
    """
    score, positive = numbers("score", score), truths("positive", positive)
    if score.shape != positive.shape or score.ndim != 1:
        raise ValueError(
            f"score has shape {score.shape}, positive {positive.shape}; allowed: (n,) both"
        )
    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        raise ValueError(f"{m} positives and {n} negatives; allowed: at least one of each")
    value = float(auc_resampled(score, positive)(np.ones((1, m + n)))[0])
    return value, *newcombe(value, m, n)


def auc_resampled(score, positive) -> Callable[[np.ndarray], np.ndarray]:
    """The AUC of weighted rows: a function of weights (draws, n) that gives (draws,).

    All draws are counted at once: scikit-learn's weighted AUC, which it equals, takes a
    millisecond and more for each. NaN where a draw has one kind only.
    """
    score, positive = numbers("score", score), truths("positive", positive)
    order = np.argsort(score, kind="stable")
    first = np.flatnonzero(np.diff(score[order], prepend=-np.inf) != 0)  # of each distinct score
    up = positive[order]

    def area(weights: np.ndarray) -> np.ndarray:
        if not len(order):
            return np.full(len(weights), np.nan)
        weights = weights[:, order]
        above = np.add.reduceat(weights * up, first, axis=1)
        below = np.add.reduceat(weights * ~up, first, axis=1)
        under = np.cumsum(below, axis=1) - below / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return (above * under).sum(axis=1) / (above.sum(axis=1) * below.sum(axis=1))

    return area


def cohen_kappa(first, second) -> float:
    """Agreement of two readers beyond chance, at most 1; 0 is chance.

    Parameters
    ----------
    first, second
        The category that each reader gave, same shape; any values but NaN and null.

    Returns
    -------
    κ; NaN if both gave one and the same category throughout.

    Raises
    ------
    ValueError
        For shapes that differ, a missing category, or none.

    Notes
    -----
    (p_o - p_e) / (1 - p_e), p_o the share of agreements, p_e that of two readers who give the same
    categories as often and at random.

    References
    ----------
    J. Cohen, "A coefficient of agreement for nominal scales" (1960).
    """
    first, second = categories("first", first), categories("second", second)
    if first.shape != second.shape or not first.size:
        raise ValueError(f"{first.size} and {second.size} categories; allowed: as many, not none")
    kappa = kappa_resampled(first.ravel(), second.ravel())
    return float(kappa(np.ones((1, first.size)))[0])


def kappa_resampled(first, second) -> Callable[[np.ndarray], np.ndarray]:
    """Cohen's κ of weighted rows: a function of weights (draws, n) that gives (draws,)."""
    both = np.stack([categories("first", first), categories("second", second)])
    values, codes = np.unique(both, return_inverse=True)
    k = len(values)
    a, b = codes.reshape(2, -1)
    a, b = a[:, None] == np.arange(k), b[:, None] == np.arange(k)  # (n, k) each
    same = (a & b).any(axis=1)

    def kappa(weights: np.ndarray) -> np.ndarray:
        n = weights.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            observed = weights @ same / n
            chance = ((weights @ a) * (weights @ b)).sum(axis=1) / n**2
            return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)

    return kappa


def adapter_metrics(
    probabilities,
    target,
    k: int,
    groups: Sequence | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, float]:
    """How well a Rule Adapter names the rules that a selector chose.

    Parameters
    ----------
    probabilities
        The adapter's score of every rule, (n_pairs, n_rules); the k largest are its choice.
    target
        The chosen rules, bool (n_pairs, n_rules).
    k
        Rules named per pair.
    groups
        The prompt of each pair, (n_pairs,): adds 95 % bootstrap intervals over prompts.
    seed, resamples
        Of the bootstrap.

    Returns
    -------
    ``recall_at_k``, ``micro_f1``, ``macro_f1`` (over the rules that occur in the target), each
    with ``…_low`` and ``…_high`` if there are groups, and ``random_recall_at_k``, the expectation
    of a random choice, k / n_rules.

    Raises
    ------
    ValueError
        For shapes that differ, a score that is NaN, or a k out of range.
    """
    scores, target = numbers("probabilities", probabilities), truths("target", target)
    if scores.shape != target.shape or scores.ndim != 2:
        raise ValueError(
            f"probabilities have shape {scores.shape}, target {target.shape}; allowed: "
            "(n_pairs, n_rules) both"
        )
    if not 1 <= k <= target.shape[1]:
        raise ValueError(f"k is {k}; allowed: 1 to {target.shape[1]}, the number of rules")
    named = np.zeros_like(target)
    np.put_along_axis(named, np.argsort(-scores, axis=1, kind="stable")[:, :k], True, axis=1)
    both = named & target
    recall = both.sum(axis=1) / np.maximum(target.sum(axis=1), 1)

    def measures(weights: np.ndarray) -> np.ndarray:  # (draws, n_pairs) → (draws, 3)
        hit, wanted, given = (weights @ x for x in (both, target, named))  # (draws, n_rules)
        f1 = np.divide(2 * hit, wanted + given, out=np.zeros_like(hit), where=wanted > 0)
        return np.stack(
            [
                weights @ recall / weights.sum(axis=1),
                2 * hit.sum(axis=1) / (wanted + given).sum(axis=1),
                f1.sum(axis=1) / (wanted > 0).sum(axis=1),
            ],
            axis=1,
        )

    names = ("recall_at_k", "micro_f1", "macro_f1")
    found = dict(zip(names, measures(np.ones((1, len(target))))[0].tolist(), strict=True))
    found["random_recall_at_k"] = k / target.shape[1]
    if groups is not None:
        each = groups_of(groups, len(target))
        ends = bootstrap(measures, each, resamples=resamples, seed=seed)
        for name, low, high in zip(names, *ends.tolist(), strict=True):
            found |= {f"{name}_low": low, f"{name}_high": high}
    return found


def judge_metrics(
    probabilities,
    truth,
    prior,
    groups: Sequence | None = None,
    *,
    seed: int = 0,
    resamples: int = 200,
) -> dict[str, float]:
    """A judge against annotations, beside the floor of each rule's own frequencies.

    Parameters
    ----------
    probabilities
        P(no), P(irrelevant), P(yes), (n_responses, n_rules, 3).
    truth
        -1, 0, +1, (n_responses, n_rules).
    prior
        The floor: each rule's frequencies on the training responses, (n_rules, 3).
    groups
        The prompt of each response, (n_responses,): adds 95 % bootstrap intervals over prompts.
    seed, resamples
        Of the bootstrap.

    Returns
    -------
    ``log_loss`` in nats and ``floor_log_loss``; ``relevant_auc``, does it know which rules matter,
    and ``satisfied_auc``, among the relevant, does it know which are satisfied, each beside the
    same for the floor. With groups, all with ``…_low`` and ``…_high``.

    Raises
    ------
    ValueError
        For shapes that differ, or a probability or annotation that is NaN or out of range.
    """
    p, prior = (
        numbers(name, x, "0 to 1", 0, 1)
        for name, x in (("probabilities", probabilities), ("prior", prior))
    )
    truth = numbers("truth", truth, "-1, 0 and +1", -1, 1).astype(int)
    if p.shape != (*truth.shape, 3):
        raise ValueError(f"probabilities have shape {p.shape}; allowed: {(*truth.shape, 3)}")
    out, names = {}, ("log_loss", "relevant_auc", "satisfied_auc")
    for prefix, q in (("", p), ("floor_", np.broadcast_to(prior, p.shape))):
        measures = _judge_measures(q, truth)
        values = measures(np.ones((1, len(truth))))[0].tolist()
        out |= {f"{prefix}{name}": v for name, v in zip(names, values, strict=True)}
        if groups is not None:
            each = groups_of(groups, len(truth))
            ends = bootstrap(measures, each, resamples=resamples, seed=seed)
            for name, low, high in zip(names, *ends.tolist(), strict=True):
                out |= {f"{prefix}{name}_low": low, f"{prefix}{name}_high": high}
    return out


def _judge_measures(p: np.ndarray, truth: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Log-loss and the two AUCs of weighted responses: weights (draws, n_responses) → (draws, 3)."""
    picked = np.take_along_axis(p, (truth + 1)[..., None], axis=2)[..., 0]
    loss = -np.log(picked.clip(1e-9)).mean(axis=1)
    row = np.broadcast_to(np.arange(len(truth))[:, None], truth.shape)
    relevant = truth != 0
    areas = (
        (auc_resampled(1 - p[..., 1].ravel(), relevant.ravel()), row.ravel()),
        (auc_resampled((p[..., 2] - p[..., 0])[relevant], truth[relevant] > 0), row[relevant]),
    )

    def measures(weights: np.ndarray) -> np.ndarray:
        found = [weights @ loss / weights.sum(axis=1)]
        # Row by row: the cells of all draws at once would be too many.
        for area, of in areas:
            found.append(np.array([area(w[None, of])[0] for w in weights]))
        return np.stack(found, axis=1)

    return measures

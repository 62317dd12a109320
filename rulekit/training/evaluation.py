"""Held-out measures of a run: logits and examples come in, figures with 95 % intervals go out."""

from __future__ import annotations

import numpy as np
import torch

from rulekit.measures import adapter_metrics, wilson
from rulekit.training.batches import Examples
from rulekit.training.config import TrainingConfig
from rulekit.training.objectives import losses


def held_out_metrics(
    logits: np.ndarray, examples: Examples, config: TrainingConfig
) -> dict[str, float]:
    """Loss, and accuracy or the adapter's measures with their intervals.

    Parameters
    ----------
    logits
        (n_examples, 2) rewards or (n_examples, n_rules).
    examples
        What they are of.
    config
        Names task, objective and `k`.

    Notes
    -----
    The interval of an accuracy is Wilson's, over pairs; those of an adapter's measures are
    bootstrapped over prompts. Ties of two rewards count as half; pairs with the target ½ have no
    right answer and are left out of the accuracy.
    """
    batch = {
        "target": torch.from_numpy(examples.target),
        "evidence": torch.from_numpy(examples.evidence),
    }
    flat = torch.from_numpy(logits if config.task == "adapter" else logits.reshape(-1, 1))
    metrics = {"loss": float(losses(flat, batch, config).mean()), "n": len(examples)}
    if config.task == "adapter":
        target = examples.target > 0.5
        metrics |= adapter_metrics(logits, target, config.k)
        for name, (low, high) in adapter_intervals(
            logits, target, config.k, examples.groups
        ).items():
            metrics |= {f"{name}_low": low, f"{name}_high": high}
        return metrics
    margin = (logits[:, 0] - logits[:, 1]).astype(np.float64)
    side = np.sign(examples.target - 0.5)
    decided = side != 0
    right = (np.sign(margin[decided] * side[decided]) + 1) / 2
    low, high = wilson(float(right.sum()), int(decided.sum()))
    return metrics | {
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "n_decided": int(decided.sum()),
        "margin": float((margin * side)[decided].mean()),
        "mean_reward": float(logits.mean()),
    }


def adapter_intervals(
    scores: np.ndarray,
    target: np.ndarray,
    k: int,
    groups: list[str],
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over prompts, 95 %, of what `rulekit.measures.adapter_metrics` measures.

    Parameters
    ----------
    scores
        Score of every rule, (n_pairs, n_rules).
    target
        The chosen rules, bool (n_pairs, n_rules).
    k
        Rules named per pair.
    groups
        Prompt of each pair, (n_pairs,): pairs of one prompt are drawn together.

    Returns
    -------
    ``recall_at_k``, ``micro_f1``, ``macro_f1`` → (low, high).
    """
    named = np.zeros_like(target)
    np.put_along_axis(named, np.argsort(-scores, axis=1, kind="stable")[:, :k], True, axis=1)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    n = int(group.max()) + 1

    def per_group(values: np.ndarray) -> np.ndarray:  # (n_pairs, m) → (n_groups, m)
        out = np.zeros((n, values.shape[1]))
        np.add.at(out, group, values)
        return out

    recall = (named & target).sum(axis=1) / np.maximum(target.sum(axis=1), 1)
    parts = [per_group(x) for x in (named & target, target, named)]
    parts.append(per_group(np.stack([recall, np.ones(len(recall))], axis=1)))
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples)
    hit, wanted, given, pairs = (draws @ part for part in parts)  # (resamples, n_rules or 2)
    with np.errstate(invalid="ignore"):
        each = np.where(wanted > 0, 2 * hit / (wanted + given), np.nan)
    found = {
        "recall_at_k": pairs[:, 0] / pairs[:, 1],
        "micro_f1": 2 * hit.sum(axis=1) / (wanted + given).sum(axis=1),
        "macro_f1": np.nanmean(each, axis=1),
    }
    return {name: tuple(map(float, np.quantile(x, (0.025, 0.975)))) for name, x in found.items()}

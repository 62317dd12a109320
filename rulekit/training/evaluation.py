"""Held-out measures of a run: logits and examples come in, figures with 95 % intervals go out."""

from __future__ import annotations

import numpy as np
import torch

from rulekit.measures import adapter_metrics, mean_accuracy
from rulekit.training.batches import Examples
from rulekit.training.config import TrainingConfig
from rulekit.training.objectives import losses


def held_out_metrics(
    logits: np.ndarray, examples: Examples, config: TrainingConfig
) -> dict[str, float]:
    """Loss, and accuracy or the adapter's measures with their intervals, as far as they can be had.

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
    The interval of an accuracy allows for pairs of one prompt being alike; those of an
    adapter's measures are bootstrapped over prompts. Ties of two rewards count as half; pairs with the target ½ have no
    right answer and are left out of accuracy and margin, which are absent where no pair has one.
    ``truncated`` and ``tokens_cut`` count sequences that were cut, and the tokens that they lost.
    """
    batch = {
        "target": torch.from_numpy(examples.target),
        "evidence": torch.from_numpy(examples.evidence),
    }
    flat = torch.from_numpy(logits if config.task == "adapter" else logits.reshape(-1, 1))
    metrics = {"loss": float(losses(flat, batch, config).mean()), "n": len(examples)}
    if examples.truncation:
        metrics |= {name: examples.truncation[name] for name in ("truncated", "tokens_cut")}
    if config.task == "adapter":
        target = examples.target > 0.5
        metrics |= adapter_metrics(logits, target, config.k, examples.groups)
        return metrics
    margin = (logits[:, 0] - logits[:, 1]).astype(np.float64)
    side = np.sign(examples.target - 0.5)
    decided = side != 0
    metrics |= {"n_decided": int(decided.sum()), "mean_reward": float(logits.mean())}
    if not decided.any():
        return metrics
    right = (np.sign(margin[decided] * side[decided]) + 1) / 2
    groups = np.asarray(examples.groups)[decided] if examples.groups else None
    found = mean_accuracy(right, groups)
    return metrics | {
        "accuracy": found.value,
        "accuracy_low": found.low,
        "accuracy_high": found.high,
        "margin": float((margin * side)[decided].mean()),
    }

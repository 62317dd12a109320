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
        metrics |= adapter_metrics(logits, target, config.k, examples.groups)
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

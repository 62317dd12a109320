"""Held-out measures of a run: an adapter's intervals."""

import numpy as np
import pytest

from rulekit.measures import adapter_metrics, mean_interval
from rulekit.training.batches import Examples
from rulekit.training.config import TrainingConfig
from rulekit.training.evaluation import held_out_metrics

NAMES = ("recall_at_k", "micro_f1", "macro_f1")


def intervals(scores, target, groups) -> dict[str, tuple[float, float]]:
    """What a run reports of an adapter that named three rules a pair, a measure."""
    sequences, nothing = [()] * len(target), np.zeros(len(target), np.float32)
    examples = Examples(sequences, target.astype(np.float32), nothing, groups, groups=groups)
    metrics = held_out_metrics(
        scores.astype(np.float32), examples, TrainingConfig(task="adapter", k=3)
    )
    return {name: (metrics[f"{name}_low"], metrics[f"{name}_high"]) for name in NAMES}


def test_an_adapters_intervals_are_over_prompts():
    """Copies of a pair under its prompt add nothing; under prompts of their own they seem to."""
    rng = np.random.default_rng(0)
    target = np.argsort(np.argsort(rng.random((120, 12)), axis=1), axis=1) < 3
    scores = rng.random((120, 12)) + 0.3 * target
    groups = [f"prompt {i // 2}" for i in range(120)]
    found = intervals(scores, target, groups)
    copies = [np.repeat(x, 4, axis=0) for x in (scores, target)]
    again = intervals(*copies, list(np.repeat(groups, 4)))
    for name, interval in found.items():
        assert again[name] == pytest.approx(interval)
    measures = adapter_metrics(scores, target, 3)
    for name, (low, high) in found.items():
        assert low < measures[name] < high
    named = np.argsort(np.argsort(-scores, axis=1), axis=1) < 3
    recall = (named & target).sum(1) / 3
    assert found["recall_at_k"] == pytest.approx(mean_interval(recall, groups), abs=0.01)
    alone = intervals(*copies, [str(i) for i in range(480)])
    for name, (low, high) in alone.items():
        assert high - low < 0.7 * (found[name][1] - found[name][0])

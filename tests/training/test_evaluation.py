"""Held-out measures of a run: an adapter's intervals, measures that cannot be had, when they are taken."""

import json

import numpy as np
import pytest

from rulekit.measures import adapter_metrics, mean_interval
from rulekit.training.batches import Examples
from rulekit.training.config import TrainingConfig
from rulekit.training.engine import train
from rulekit.training.evaluation import held_out_metrics
from rulekit.training.reward_model import RewardModel
from rulekit.training.trainer import PackedTrainer
from tests.training.helpers import settings, some_pairs

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


@pytest.mark.parametrize("kind", ["frozen", "engine"])
def test_pairs_of_which_none_is_decided_have_a_loss_and_no_accuracy(base, tmp_path, kind):
    config = "encoder-frozen" if kind == "frozen" else settings(base, max_steps=1)
    done = train(
        some_pairs(12),
        np.ones(12),
        config,
        output=tmp_path / "run",
        objective="soft",
        evaluation=some_pairs(5, seed=7),
        evaluation_target=np.full(5, 0.5),
    )
    assert (done.metrics["n"], done.metrics["n_decided"]) == (5, 0)
    assert np.isfinite(done.metrics["loss"])
    assert not {"accuracy", "accuracy_low", "margin"} & done.metrics.keys()
    assert RewardModel.load(done.model_folder).metrics == done.metrics
    card = (done.model_folder / "README.md").read_text()
    assert "- n decided: 0" in card
    assert "- accuracy" not in card


def test_the_model_is_there_before_it_is_measured_and_the_same_call_measures_it(
    base, tmp_path, monkeypatch
):
    given = {"output": tmp_path / "run", "evaluation": some_pairs(5, seed=7)}
    config = settings(base, max_steps=1)

    def broken(*_):
        raise MemoryError("while measuring")

    monkeypatch.setattr(PackedTrainer, "evaluate", broken)
    with pytest.raises(MemoryError, match="while measuring"):
        train(some_pairs(12), config=config, **given)
    model = RewardModel.load(tmp_path / "run" / "model")
    rewards = model.rewards(some_pairs(4))
    assert model.metrics == {}
    assert "None: they were not taken" in (model.folder / "README.md").read_text()
    assert not (tmp_path / "run" / "result.json").exists()
    monkeypatch.undo()
    monkeypatch.setattr(PackedTrainer, "train", lambda *a, **k: pytest.fail("trained again"))
    done = train(some_pairs(12), config=config, **given)
    again = RewardModel.load(done.model_folder)
    assert again.metrics == done.metrics
    assert (again.rewards(some_pairs(4)) == rewards).all()
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"] == done.metrics
    assert "- accuracy: " in (done.model_folder / "README.md").read_text()

"""Rule Adapter and reward model over the frozen encoder, on planted rewards and unseen prompts."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.training import RewardModelConfig, RuleAdapter, cross_fit_adapter
from rulekit.training.reward_model import RewardModel


@pytest.fixture(scope="module")
def embedded():
    pairs = rk.sources.load("embedded")
    return pairs, *rk.sources.load_ratings("embedded")


def test_adapter_beats_random_on_unseen_prompts_ignores_sides_and_survives_the_disk(
    embedded, tmp_path
):
    pairs, _, scores = embedded
    chosen = rk.select(scores, 5)
    figures, table = rk.studies.adapter_report(pairs, scores, cross_fit_adapter(pairs, chosen))
    assert figures["recall_at_k"] > 3 * figures["random_recall_at_k"]
    assert set(table["name"]) == {"oracle", "rule_adapter", "random"}
    adapter = rk.training.train_rule_adapter(pairs, chosen)
    swapped = pairs.rename({"response_a": "response_b", "response_b": "response_a"})
    assert adapter.probabilities(pairs) == pytest.approx(adapter.probabilities(swapped), abs=1e-5)
    back = RuleAdapter.load(adapter.save(tmp_path / "a.npz"))
    assert (back.select(pairs, 7).indices == adapter.select(pairs, 7).indices).all()
    assert back.select(pairs, 7).k == 7


def test_frozen_reward_model_learns_a_planted_reward():
    """Polite answers are preferred; unseen topics are judged right."""
    topics = [
        f"the {t}"
        for t in (
            "train",
            "garden",
            "printer",
            "recipe",
            "loan",
            "cat",
            "roof",
            "bus",
            "exam",
            "piano",
            "visa",
            "oven",
            "river",
            "novel",
            "salad",
            "bike",
        )
    ]
    rows = [
        {
            "pair_id": t,
            "prompt": t,
            "preference": 1,
            "response_a": f"Thank you for asking kindly about {t}, I am glad to help you.",
            "response_b": f"Stop bothering me with {t}, you fool.",
        }
        for t in topics
    ]
    pairs = pl.DataFrame(rows)
    model = rk.training.train_reward_model(pairs[:10], np.ones(10))
    assert (model.margin(pairs[10:]) > 0).all()


@pytest.mark.parametrize("layers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_reward_model_survives_the_disk_and_takes_soft_and_missing_targets(
    embedded, tmp_path, layers
):
    size = pl.col("response_a").str.len_bytes() + pl.col("response_b").str.len_bytes()
    pairs = embedded[0].sort(size, "pair_id")[:12]
    target = np.where(np.arange(12) % 3 == 0, np.nan, 0.8)
    settings = {"layers": layers, "epochs": 5, "learning_rate": 1e-3}
    model = rk.training.train_reward_model(pairs, target, **settings)
    back = RewardModel.load(model.save(tmp_path / "m.pt"))
    assert back.config == RewardModelConfig(**settings)
    assert back.margin(pairs) == pytest.approx(model.margin(pairs), abs=1e-6)
    assert model.margin(pairs)[1:3].mean() > 0


def test_reward_model_refuses_bad_targets_and_unknown_settings(embedded):
    pairs = embedded[0][:3]
    for target, message in (
        ([1, 0], "target has shape"),
        ([1, 2, 0], "outside of"),
        ([np.nan] * 3, "tie"),
    ):
        with pytest.raises(ValueError, match=message):
            rk.training.train_reward_model(pairs, target)
    with pytest.raises(ValueError, match="dropout"):
        rk.training.train_reward_model(pairs, [1, 0, 1], dropout=0.1)

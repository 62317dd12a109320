"""The engine's rule adapter on planted rules."""

import numpy as np
import polars as pl
import pytest
from transformers import AutoModelForSequenceClassification

from rulekit.training.engine import train
from tests.training.helpers import WORDS, make_model, settings


def test_the_engine_trains_an_adapter_that_names_planted_rules(tmp_path):
    """Rule j is to be named where word j occurs; the plain folder gives the same logits."""
    from rulekit.selection.registry import Selection

    rng = np.random.default_rng(0)
    named = np.sort(np.argsort(rng.random((400, 6)), axis=1)[:, :2], axis=1)  # two rules a pair
    rows = [
        {
            "pair_id": str(i),
            "prompt": "people",
            "preference": 1,
            "response_a": WORDS[a],
            "response_b": f"{WORDS[b]} no",
        }
        for i, (a, b) in enumerate(named)
    ]
    pairs, selection = pl.DataFrame(rows), Selection(named, "planted", 6)
    config = settings(
        make_model(tmp_path / "base"),
        task="adapter",
        epochs=12,
        pairs_per_step=20,
        k=2,
        token_budget=1024,
        learning_rate=4e-3,
        evaluation_share=0.0,
    )
    ids = [f"rule-{j}" for j in range(6)]
    done = train(
        config,
        pairs[:300],
        Selection(named[:300], "planted", 6),
        output=tmp_path / "run",
        evaluation=pairs[300:],
        evaluation_target=Selection(named[300:], "planted", 6),
        rule_ids=ids,
    )
    assert done.metrics["micro_f1"] > 0.95
    swapped = pairs.rename({"response_a": "response_b", "response_b": "response_a"})
    assert done.probabilities(swapped[300:]) == pytest.approx(
        done.probabilities(pairs[300:]), abs=1e-6
    )
    plain = AutoModelForSequenceClassification.from_pretrained(done.model_folder)
    assert plain.config.id2label == dict(enumerate(ids))
    assert plain.config.problem_type == "multi_label_classification"
    with pytest.raises(ValueError, match="not a Selection"):
        train(config, pairs[:3], selection, output=tmp_path / "x")

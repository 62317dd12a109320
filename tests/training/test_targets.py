"""Pairs and targets of a run: frames are checked before anything is trained, shared prompts are told."""

import json

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.training import cross_fit_rewards, train, train_adapter, train_reward
from tests.training.helpers import settings, some_pairs

FAULTS = {
    "null response": (
        lambda f: f.with_columns(response_a=pl.Series([None, *f["response_a"][1:]])),
        r"column 'response_a', row 0 is empty; allowed: ",
    ),
    "empty response": (
        lambda f: f.with_columns(response_b=pl.Series([*f["response_b"][:7], " "])),
        r"column 'response_b', row 7 is empty; allowed: ",
    ),
    "missing column": (lambda f: f.drop("preference"), "column 'preference' is missing"),
    "preference 2": (
        lambda f: f.with_columns(preference=pl.Series([1, 2] * 4)),
        r"column 'preference', row 1 \(and 3 more rows\) is out of range; allowed: ",
    ),
    "duplicate id": (
        lambda f: f.with_columns(pair_id=pl.Series([*f["pair_id"][:7], "p0"])),
        "column 'pair_id', row 7 occurs twice; allowed: ",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", ["frozen", "engine"])
def test_a_frame_is_checked_as_when_it_is_loaded(base, tmp_path, fault, kind):
    spoil, message = FAULTS[fault]
    config = "encoder-frozen" if kind == "frozen" else settings(base, max_steps=1)
    good, bad = some_pairs(8), spoil(some_pairs(8))
    given = {"config": config, "output": tmp_path / "run"}
    for call in (
        lambda: train(bad, np.ones(8), **given),
        lambda: train_reward(bad, np.ones(8), **given),
        lambda: train_adapter(bad, rk.Selection(np.zeros((8, 1), int), "x", 1), **given),
        lambda: cross_fit_rewards(bad, np.ones(8), 2, config=config),
    ):
        with pytest.raises(ValueError, match=f"^pairs: {message}"):
            call()
    with pytest.raises(ValueError, match=f"^evaluation: {message}"):
        train(good, np.ones(8), evaluation=bad, evaluation_target=np.ones(8), **given)
    assert not (tmp_path / "run").exists()


def test_prompts_that_are_trained_on_and_measured_on_are_told(base, tmp_path):
    pairs = some_pairs(12).with_columns(prompt=pl.format("question {}", pl.col("pair_id")))
    held = pairs[:4].with_columns(
        pair_id="h" + pl.col("pair_id"),
        prompt=pl.Series([pairs["prompt"][0], pairs["prompt"][1].upper(), "other", "more"]),
        response_a=pl.Series([pairs["response_b"][0], "never", "never", "never"]),
        response_b=pl.Series([pairs["response_a"][0], "always", "always", "always"]),
    )
    told = r"2 of 4 pairs of evaluation have a prompt that is trained on, 1 of them with the same"
    for config in ("encoder-frozen", settings(base, max_steps=1)):
        output = tmp_path / type(config).__name__
        with pytest.warns(UserWarning, match=told):
            model = train_reward(pairs, None, config, evaluation=held, output=output)
        assert f"- note: {told}" in (model.folder / "README.md").read_text()
        assert told in json.loads((output / "result.json").read_text())["remarks"][0]

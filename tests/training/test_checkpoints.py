"""Checkpoints: a resumed run ends in the same bits, and a full disk costs only the newest."""

import contextlib
import json
import shutil

import pytest
import torch

from rulekit.cli import main
from rulekit.training import models
from rulekit.training.callbacks import MetricsFile
from rulekit.training.engine import train
from rulekit.training.trainer import PackedTrainer
from tests.training.helpers import (
    assert_bit_equal,
    command,
    forget_after,
    make_model,
    no_room_for,
    settings,
    some_pairs,
    weights,
)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("llama", {}),
        ("bert", {"dropout": True}),
        ("llama", {"precision": "bf16-stochastic"}),
        ("llama", {"optimizer_states": "bf16", "schedule": "linear"}),
    ],
)
def test_a_resumed_run_ends_in_the_same_bits(kind, fields, tmp_path):
    """In the middle of the first epoch and of the second, and between; with dropout and rounding."""
    config = settings(
        make_model(tmp_path / "base", kind), epochs=2, save_every=2, keep_checkpoints=9, **fields
    )
    pairs = some_pairs(16)  # 4 steps an epoch
    whole = train(pairs, config=config, output=tmp_path / "whole")
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").open()]
    for step in (2, 4, 6):
        again = tmp_path / f"again{step}"
        shutil.copytree(tmp_path / "whole", again)
        forget_after(again, step)
        resumed = train(pairs, config=config, output=again)
        assert_bit_equal(resumed.model_folder, whole.model_folder)
        found = [json.loads(line) for line in (again / "metrics.jsonl").open()]
        assert [r["loss"] for r in found if "loss" in r] == [r["loss"] for r in rows if "loss" in r]
    assert not torch.equal(
        weights(whole.model_folder)["classifier.weight" if kind == "bert" else "score.weight"],
        weights(tmp_path / "base")["classifier.weight" if kind == "bert" else "score.weight"],
    )


def test_a_run_does_not_go_on_from_another_ones_checkpoint(base, tmp_path):
    config = settings(base, max_steps=2, save_every=1)
    train(some_pairs(8), config=config, output=tmp_path / "run")
    for changed, pairs in (
        ("learning_rate", some_pairs(8)),
        ("data_sha256", some_pairs(8, seed=1)),
    ):
        fields = {"learning_rate": 1e-4} if changed == "learning_rate" else {}
        with pytest.raises(ValueError, match=f"another {changed}"):
            train(pairs, config=config, output=tmp_path / "run", **fields)
    train(some_pairs(8), config=config, output=tmp_path / "run", learning_rate=1e-4, resume=False)


def test_what_only_saves_memory_may_change_when_a_run_goes_on(base, tmp_path):
    config = settings(base, max_steps=4, save_every=2, keep_checkpoints=9)
    whole = train(some_pairs(16), config=config, output=tmp_path / "run")
    before = weights(whole.model_folder)
    forget_after(tmp_path / "run", 2)
    fields = {"checkpointed_layers": "all", "token_budget": 128}
    resumed = train(some_pairs(16), config=config, output=tmp_path / "run", **fields)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    for name, weight in weights(resumed.model_folder).items():
        torch.testing.assert_close(weight, before[name], atol=1e-4, rtol=1e-4)


def test_a_run_leaves_a_checkpoint_every_tenth_and_at_its_end(base, tmp_path):
    for save_every, expected in (
        (None, {2, 4, 6, 8, 10, 12, 14, 16, 18, 20}),
        (0, {20}),
        (15, {15, 20}),
    ):
        config = settings(base, epochs=5, save_every=save_every, keep_checkpoints=99)
        train(some_pairs(16), config=config, output=tmp_path / str(save_every))
        found = (tmp_path / str(save_every) / "checkpoints").iterdir()
        assert {int(p.name.split("-")[1]) for p in found} == expected


def test_a_full_disk_at_the_very_end_leaves_the_checkpoint_to_go_on_from(
    base, tmp_path, monkeypatch
):
    config = settings(base, max_steps=3)
    former = models.save_plain

    def save_plain(*given):
        with no_room_for(20_000):
            return former(*given)

    monkeypatch.setattr(models, "save_plain", save_plain)
    with pytest.raises(
        OSError, match=r"the final model could not be written .* checkpoint of step 3"
    ):
        train(some_pairs(8), config=config, output=tmp_path / "run")
    assert not {".model", "model", "result.json"} & {p.name for p in (tmp_path / "run").iterdir()}
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-3").is_dir()
    monkeypatch.undo()
    monkeypatch.setattr(PackedTrainer, "train", lambda *a, **k: pytest.fail("trained again"))
    train(some_pairs(8), config=config, output=tmp_path / "run")
    monkeypatch.undo()
    assert_bit_equal(
        tmp_path / "run" / "model",
        train(some_pairs(8), config=config, output=tmp_path / "whole").model_folder,
    )


def test_a_full_disk_leaves_the_last_good_checkpoint(
    command_line_run, tmp_path, monkeypatch, capsys
):
    """From the second checkpoint on."""
    former = MetricsFile.on_log
    run = command(
        command_line_run, tmp_path / "run", "-p", "save_every", "3", "-p", "max_steps", "9"
    )
    with contextlib.ExitStack() as full:

        def on_log(self, args, state, control, logs=None, **kwargs):
            former(self, args, state, control, logs=logs, **kwargs)
            if state.global_step == 6 and "loss" in logs:  # a checkpoint comes behind it
                full.enter_context(no_room_for(20_000))

        monkeypatch.setattr(MetricsFile, "on_log", on_log)
        assert main(run) == 1
    assert "the checkpoint of step 6 could not be written" in capsys.readouterr().err
    home = tmp_path / "run" / "checkpoints"
    assert [p.name for p in home.iterdir()] == ["checkpoint-3"]
    monkeypatch.undo()
    assert main(run) == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()

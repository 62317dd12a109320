"""A run of the engine: what it does not depend on, what it returns, what stops it."""

import functools
import json
import shutil

import numpy as np
import pytest
import torch
import yaml

from rulekit.cli import main
from rulekit.inputs.pairs import split_pairs
from rulekit.training.engine import train
from rulekit.training.reward_model import RewardModel
from rulekit.training.trainer import PackedTrainer
from tests.training.helpers import engine_parts, settings, some_pairs, weights


def test_training_does_not_depend_on_the_token_budget_or_on_recomputation(base, tmp_path):
    models_ = {}
    for name, fields in {
        "wide": {"token_budget": 2000},
        "narrow": {"token_budget": 128},
        "again": {"checkpointed_layers": "all"},
        "half": {"checkpointed_layers": 1},
    }.items():
        done = train(
            some_pairs(16), config=settings(base, max_steps=4, **fields), output=tmp_path / name
        )
        models_[name] = weights(done.model_folder)
    for name in ("narrow", "again", "half"):
        for key, weight in models_["wide"].items():
            torch.testing.assert_close(models_[name][key], weight, atol=1e-4, rtol=1e-4)


def test_compiled_layers_learn_the_same_with_layers_computed_again_too(base, tmp_path, monkeypatch):
    graphs = torch.compile  # traced whole, as for a GPU; its kernels would take a minute here
    monkeypatch.setattr(torch, "compile", functools.partial(graphs, backend="aot_eager"))
    found = []
    for compiled in (False, True):
        config = settings(base, max_steps=2, checkpointed_layers=1, compiled_layers=compiled)
        output = tmp_path / str(compiled)
        found.append(weights(train(some_pairs(12), config=config, output=output).model_folder))
    plain, compiled = found
    assert compiled.keys() == plain.keys()  # names as they are, with nothing of the compiler's
    for key, weight in plain.items():
        torch.testing.assert_close(compiled[key], weight, atol=1e-5, rtol=1e-4)


def test_layers_that_cannot_be_compiled_are_announced_and_trained_as_they_are(
    base, tmp_path, monkeypatch
):
    def fails(*given, **more):
        raise RuntimeError("no C compiler found\nand more")

    monkeypatch.setattr(torch, "compile", fails)
    config = settings(base, max_steps=1, compiled_layers=True)
    with pytest.warns(UserWarning, match="layers are not compiled, .* no C compiler found$"):
        train(some_pairs(8), config=config, output=tmp_path / "run")


def test_the_same_call_returns_the_finished_run_and_measures_anew_on_other_pairs(
    base, tmp_path, monkeypatch
):
    config = settings(base, epochs=2)
    given = {"output": tmp_path / "run", "evaluation": some_pairs(9, seed=1)}
    first = train(some_pairs(16), config=config, **given)
    stamps = {p.name: p.stat().st_mtime_ns for p in first.model_folder.iterdir()}
    monkeypatch.setattr(PackedTrainer, "train", lambda *a, **k: pytest.fail("trained again"))
    again = train(some_pairs(16), config=config, **given)
    assert again.metrics == first.metrics
    assert {p.name: p.stat().st_mtime_ns for p in first.model_folder.iterdir()} == stamps
    other = train(some_pairs(16), config=config, **given | {"evaluation": some_pairs(12, seed=2)})
    assert other.metrics["n"] == 12
    for fields, message in (({"learning_rate": 1e-4}, "another learning_rate"),):
        shutil.rmtree(tmp_path / "run" / "checkpoints", ignore_errors=True)
        with pytest.raises(ValueError, match=message):
            train(some_pairs(16), config=config, **given, **fields)
    (tmp_path / "run" / "identity.json").unlink()  # of which run the result is, nobody knows now
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        train(some_pairs(16), config=config, **given)
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        train(some_pairs(16), config=config, **given, resume=False)
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_loss_or_gradient_that_is_not_finite_stops_with_the_pairs_named(base, tmp_path):
    pairs = some_pairs(12)
    config = settings(base, save_every=1, pairs_per_step=2, schedule="constant", warmup=0)
    model, tokenizer, examples = engine_parts(config, pairs)
    word = tokenizer("zebra", add_special_tokens=False)["input_ids"][0]
    bad = 7
    a, b = examples.sequences[bad]
    examples.sequences[bad] = (np.concatenate([a[:-1], [word], a[-1:]]).astype(np.int32), b)
    with torch.no_grad():
        model.get_input_embeddings().weight[word] = torch.nan
    before = {n: p.clone() for n, p in model.named_parameters()}
    trainer = PackedTrainer(config, model, tokenizer, examples, None, tmp_path / "run")
    with pytest.raises(
        FloatingPointError, match=r"loss of step \d+ is not finite; pairs: p7\. "
    ) as told:
        trainer.train()
    step = trainer.state.global_step  # of the last good one
    assert step > 0
    good = tmp_path / "run" / "checkpoints" / f"checkpoint-{step}"
    assert str(good) in str(told.value)
    saved = weights(good)
    for name, weight in model.named_parameters():  # the step that failed has changed nothing
        assert torch.equal(weight.nan_to_num(), saved[name].nan_to_num()), name
        assert torch.isfinite(weight).all() or "embed" in name
    assert not torch.equal(saved["score.weight"], before["score.weight"])

    model, tokenizer, examples = engine_parts(config, pairs)
    before = {n: p.clone() for n, p in model.named_parameters()}
    model.score.weight.register_hook(lambda g: g * torch.inf)
    trainer = PackedTrainer(config, model, tokenizer, examples, None, tmp_path / "other")
    with pytest.raises(
        FloatingPointError, match=r"gradient of step 1 is not finite.* no checkpoint yet"
    ):
        trainer.train()
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


@pytest.mark.parametrize("fields", [{"objective": "margin", "margin_scale": 2.0}, {"center": 0.05}])
def test_margin_and_centring_run_from_files_with_a_column_of_evidence(
    base, fields, tmp_path, capsys
):
    rng = np.random.default_rng(0)
    frames = {"train": some_pairs(24), "held": some_pairs(10, seed=1)}
    for name, frame in frames.items():
        frames[name] = frame.with_columns(evidence=rng.random(len(frame)))
        frames[name].write_parquet(tmp_path / f"{name}.parquet")
    config = settings(
        base,
        train=str(tmp_path / "train.parquet"),
        epochs=6,
        evaluation=str(tmp_path / "held.parquet"),
        **fields,
    )
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    run = ["train", "reward", "--config", str(tmp_path / "run.yaml"), "--output"]
    assert main([*run, str(tmp_path / "run")]) == 0, capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    curve = [row["loss"] for row in rows if "loss" in row]
    assert curve[-1] < 0.7 * curve[0]
    model = RewardModel.load(tmp_path / "run" / "model")
    rewards = torch.from_numpy(model.rewards(frames["held"]))
    evidence = torch.tensor(frames["held"]["evidence"].to_list())
    margin = rewards[:, 0] - rewards[:, 1] - (2.0 * evidence if "objective" in fields else 0)
    expected = torch.nn.functional.softplus(-margin) + fields.get("center", 0) * rewards.sum(1) ** 2
    result = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert result["loss"] == pytest.approx(expected.mean().item(), abs=1e-5)
    if "objective" in fields:
        frames["held"].drop("evidence").write_parquet(tmp_path / "held.parquet")
        assert main([*run, str(tmp_path / "other")]) == 2
        assert "there is no evidence; allowed: " in capsys.readouterr().err


def test_a_package_that_is_missing_is_named_before_anything_is_read(tmp_path, monkeypatch, capsys):
    import importlib.util

    former = importlib.util.find_spec
    for fields, package in (
        ({"lora": {"rank": 2}}, "peft"),
        ({"optimizer_states": "int8"}, "bitsandbytes"),
        ({"lora": {"quantize": True}}, "bitsandbytes"),
    ):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, p=package: None if name == p else former(name)
        )
        with pytest.raises(ValueError, match=rf"needs the package {package}: .*rulekit\[gpu\]"):
            train(
                some_pairs(4), config=settings("no such model", **fields), output=tmp_path / "run"
            )
    some_pairs(4).write_ndjson(tmp_path / "pairs.jsonl")
    options = ["-p", "train", str(tmp_path / "pairs.jsonl"), "-p", "lora", "{quantize: true}"]
    assert main(["train", "reward", "--config", "encoder-cpu", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install 'rulekit[gpu]'" in error


def test_tensorboard_files_are_written_when_asked_for(base, tmp_path):
    config = settings(base, max_steps=1, tensorboard=True)
    train(some_pairs(4), config=config, output=tmp_path / "run")
    assert list((tmp_path / "run").rglob("events.out.tfevents.*"))


def test_pairs_that_were_split_with_the_same_seed_are_held_out_again(base, tmp_path):
    train_pairs, _ = split_pairs(some_pairs(80), 0.2, seed=0)
    done = train(
        train_pairs, config=settings(base, max_steps=1, evaluation_share=0.1), output=tmp_path / "r"
    )
    assert 2 <= done.metrics["n"] <= 16

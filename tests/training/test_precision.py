"""Reduced precision and low-rank matrices learn what float32 learns."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from rulekit.training.engine import train
from rulekit.training.memory_plan import FOUR_BITS, plan
from rulekit.training.reward_model import RewardModel
from tests.training.helpers import (
    assert_bit_equal,
    engine_parts,
    forget_after,
    make_model,
    packed_gradients,
    settings,
    some_pairs,
    weights,
)


@pytest.mark.parametrize(
    "fields",
    [
        {"precision": "bf16-stochastic", "optimizer_states": "bf16"},
        {"precision": "bf16-stochastic"},
        {"precision": "bf16"},
        {"optimizer_states": "bf16"},
    ],
)
def test_reduced_precision_learns_what_float32_learns(base, fields, tmp_path):
    pairs = some_pairs(48)
    common = {"epochs": 4, "pairs_per_step": 8, "token_budget": 1024, "learning_rate": 3e-3}
    curves = []
    for name, more in (("exact", {}), ("reduced", fields)):
        train(pairs, config=settings(base, **common, **more), output=tmp_path / name)
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").open()]
        curves.append([row["loss"] for row in rows if "loss" in row])
    assert curves[0][-1] < 0.3 * curves[0][0]
    assert np.abs(np.subtract(*curves)).max() < 0.05


def test_lora_trains_little_resumes_and_leaves_a_plain_merged_model(base, tmp_path):
    config = settings(
        base, lora={"rank": 4}, epochs=2, save_every=2, keep_checkpoints=9, learning_rate=1e-2
    )
    pairs = some_pairs(16)
    model, _, examples = engine_parts(config, pairs)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == plan(config).trainable < 6000
    rewards, gradients = packed_gradients(model, examples, config, budget=256)
    assert any("score" in name for name in gradients)

    whole = train(pairs, config=config, output=tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    forget_after(tmp_path / "again", 2)
    assert_bit_equal(
        train(pairs, config=config, output=tmp_path / "again").model_folder, whole.model_folder
    )
    names = weights(whole.model_folder).keys()
    assert names == weights(base).keys()
    plain = AutoModelForSequenceClassification.from_pretrained(whole.model_folder).eval()
    ids = torch.from_numpy(examples.sequences[0][0].astype(np.int64))[None]
    assert plain(ids).logits.item() == pytest.approx(
        RewardModel.load(whole.model_folder).rewards(pairs)[0, 0], abs=1e-5
    )
    assert abs(plain(ids).logits.item() - rewards[0, 0].item()) > 1e-3


@pytest.mark.parametrize("quantize", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_low_rank_matrices_have_the_type_of_the_weights_and_learn_in_bfloat16(quantize, tmp_path):
    folder = make_model(tmp_path / "base", hidden_size=64, intermediate_size=128)
    pairs = some_pairs(48)
    common = {
        "epochs": 4,
        "pairs_per_step": 8,
        "token_budget": 1024,
        "learning_rate": 3e-3,
        "lora": {"rank": 4, "quantize": quantize},
        "checkpointed_layers": 1,
    }
    curves = []
    for precision, dtype in (("float32", torch.float32), ("bf16-stochastic", torch.bfloat16)):
        config = settings(folder, **common, precision=precision)
        model, _, _ = engine_parts(config, pairs)
        assert {p.dtype for p in model.parameters() if p.requires_grad} == {dtype}
        layers = model.base_model.model.model.layers
        assert [layer.gradient_checkpointing for layer in layers] == [True, False]
        assert all(
            not p.requires_grad
            for n, p in model.named_parameters()
            if "lora" not in n and "score" not in n
        )
        train(pairs, config=config, output=tmp_path / precision)
        rows = [json.loads(line) for line in (tmp_path / precision / "metrics.jsonl").open()]
        curves.append([row["loss"] for row in rows if "loss" in row])
    assert curves[0][-1] < 0.5 * curves[0][0]
    assert np.abs(np.subtract(*curves)).max() < 0.1


def test_a_model_trained_in_4_bits_is_saved_whole_with_its_matrices_merged(tmp_path):
    import bitsandbytes

    folder = make_model(tmp_path / "base", hidden_size=64, intermediate_size=128)
    config = settings(
        folder,
        lora={"rank": 4, "quantize": True},
        precision="bf16-stochastic",
        epochs=4,
        save_every=3,
        keep_checkpoints=9,
        learning_rate=1e-2,
    )
    pairs = some_pairs(16)
    model, _, _ = engine_parts(config, pairs)
    held = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(held) == 14
    kept = 0
    for layer in held:
        scales = layer.weight.quant_state
        kept += sum(x.nbytes for x in (layer.weight.data, scales.absmax, scales.state2.absmax))
    n = sum(2 * layer.weight.nelement() for layer in held)  # two to a byte
    assert kept == pytest.approx(n * FOUR_BITS, rel=0.02)
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert not isinstance(model.score, bitsandbytes.nn.Linear4bit)

    whole = train(pairs, config=config, output=tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    forget_after(tmp_path / "again", 3)
    again = train(pairs, config=config, output=tmp_path / "again")
    assert_bit_equal(again.model_folder, whole.model_folder)
    saved = json.loads((whole.model_folder / "config.json").read_text())
    assert "quantization_config" not in saved
    assert saved["dtype"] == "bfloat16"
    last = tmp_path / "whole" / "checkpoints" / "checkpoint-16"
    from safetensors.torch import load_file

    learned = load_file(last / "adapter_model.safetensors")
    base, merged = weights(folder), weights(whole.model_folder)
    assert merged.keys() == base.keys()
    name = "model.layers.0.mlp.up_proj"
    a, b = (learned[f"base_model.model.{name}.lora_{x}.weight"].float() for x in "AB")
    change = 32.0 / 4 * b @ a  # alpha / rank
    assert change.abs().max() > 0.01
    exact = base[f"{name}.weight"].bfloat16().float() + change
    found = merged[f"{name}.weight"].float()
    assert ((found - exact).abs() <= exact.abs() / 100 + 1e-3).all()
    plain = AutoModelForSequenceClassification.from_pretrained(whole.model_folder)
    assert plain.dtype == torch.bfloat16
    assert (RewardModel.load(whole.model_folder).margin(pairs) > 0).mean() > 0.8
    assert "had the base in 4 bits" in (whole.model_folder / "README.md").read_text()

"""What stands for a local judge's weights in its identity: a folder, an adapter on it, a name of the hub."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from rulekit import models
from rulekit.judges import LocalJudge
from tests.judges.tiny_judge import save_tiny_judge

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    return save_tiny_judge(tmp_path / "tiny")


def changed(folder) -> None:
    """Other weights in the same folder."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    save_file({k: v + 1e-3 for k, v in weights.items()}, file, metadata={"format": "pt"})


def identity(folder) -> str:
    return LocalJudge.load(folder, device="cpu").identity


def test_an_adapter_on_other_weights_is_another_judge(folder, tmp_path):
    network = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(0)
    tuned = get_peft_model(network, LoraConfig(r=2, init_lora_weights=False))
    adapter = tmp_path / "adapter"
    tuned.save_pretrained(adapter)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(folder / name, adapter)
    plain, before = identity(folder), identity(adapter)
    assert before != plain
    assert identity(adapter) == before
    changed(folder)
    assert identity(folder) != plain
    assert identity(adapter) != before


def test_a_model_of_the_hub_is_named_by_its_commit(folder, tmp_path):
    home = tmp_path / "hub/models--me--tiny"
    shutil.copytree(folder, home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs/main").write_text(COMMIT)
    program = (
        "from rulekit.judges import LocalJudge\n"
        "for revision in (None, 'main', '" + COMMIT + "'):\n"
        "    print(LocalJudge.load('me/tiny', revision=revision, device='cpu').identity)\n"
    )
    offline = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    said = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | offline,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert len(said) == 3
    assert len(set(said)) == 1
    assert said[0].startswith(f"local me/tiny@{COMMIT} float32 ")


def test_what_cannot_be_loaded_is_named(folder, monkeypatch):
    with pytest.raises(ValueError, match="unknown model 'smollm2-135'; allowed: 'smollm2-135m'"):
        LocalJudge.load("smollm2-135")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device is 'cuda:0', and torch finds no GPU"):
        LocalJudge.load(folder, device="cuda:0")
    (folder / "judge_template.json").write_text("{")
    with pytest.raises(
        ValueError, match=r"judge_template\.json: .*allowed: the JSON of a template"
    ):
        LocalJudge.load(folder, device="cpu")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"model .*tiny: .*allowed: weights that are whole"):
        LocalJudge.load(folder, device="cpu")


def test_a_name_that_is_nearly_a_models_is_refused_and_paths_and_other_names_are_not():
    for near in ("smollm2-135", "smolm2-135m", "smollm2-360m"):
        with pytest.raises(ValueError, match="allowed: 'smollm2-135m', a folder, or a hub's name"):
            models.path(near)
    for other in ("gpt2", "distilgpt2", "HuggingFaceTB/SmolLM2-135M-Instruct", "./smollm2-135"):
        assert models.path(other) == other

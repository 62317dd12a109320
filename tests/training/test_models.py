"""Models and tokenizers are read from a base, or it is said why not."""

import json
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import rulekit as rk
from rulekit.training import RewardModel, models, train_adapter, train_reward
from tests.training.helpers import (
    WORDS,
    forget_after,
    make_model,
    make_tokenizer,
    settings,
    some_pairs,
    weights,
)


def test_a_model_that_neither_the_disk_nor_the_hub_has_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match=r"model 'nobody/nothing' could not be read .*; allowed: 'minilm'"
    ):
        models.load_tokenizer(settings("nobody/nothing"))
    with pytest.raises(FileNotFoundError, match="model 'no such model' could not be read"):
        models.load_tokenizer(settings("no such model"))


def test_a_first_run_from_a_base_without_a_head_is_quiet(tmp_path, caplog, capfd):
    from transformers import LlamaModel
    from transformers.utils import logging

    folder = make_model(tmp_path / "base")
    LlamaModel.from_pretrained(folder).save_pretrained(folder)
    capfd.readouterr()
    caplog.clear()
    level = logging.get_verbosity()
    models.load_model(settings(folder), models.load_tokenizer(settings(folder)), ["reward"])
    assert "LOAD REPORT" not in caplog.text + "".join(capfd.readouterr())
    assert logging.get_verbosity() == level
    state = load_file(folder / "model.safetensors")
    lost = next(name for name in state if "up_proj" in name)
    del state[lost]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"weights missing: .*up_proj.*; allowed: only the head"):
        models.load_model(settings(folder), models.load_tokenizer(settings(folder)), ["reward"])


def shrunk(folder):
    """The model with an embedding of 300 rows under its tokenizer of 320 tokens."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.resize_token_embeddings(300)
    model.config.pad_token_id = 4
    model.save_pretrained(folder)
    return folder


def test_a_tokenizer_larger_than_the_embedding_is_refused_with_both_sizes(tmp_path):
    size = len(make_tokenizer("<pad>"))
    folder = shrunk(make_model(tmp_path / "base"))
    message = rf"the tokenizer has {size} tokens, the embedding 300 rows: .*; allowed: "
    with pytest.raises(ValueError, match=message):
        train_reward(some_pairs(8), None, settings(folder, max_steps=1), output=tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        RewardModel.load(folder).rewards(some_pairs(4))


def test_an_added_token_without_an_embedding_is_refused_only_where_a_text_holds_it(tmp_path):
    folder = make_model(tmp_path / "base")
    tokenizer = make_tokenizer("<pad>")
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(folder)
    model, pairs = RewardModel.load(folder), some_pairs(4)
    assert np.isfinite(model.rewards(pairs)).all()
    with_image = pairs.with_columns(response_a=pairs["response_a"] + " <image>")
    message = rf"embedding {rows} rows: ids from {rows} on have none, '<image>' of the texts"
    with pytest.raises(ValueError, match=message):
        model.rewards(with_image)
    with pytest.raises(ValueError, match=message):
        train_reward(with_image, None, settings(folder, max_steps=1), output=tmp_path / "run")


def test_a_head_of_another_size_is_dropped_with_a_warning_and_a_line_in_the_card(tmp_path, base):
    pairs = some_pairs(8)
    rules = rk.RuleSet.from_texts([f"The response mentions {word}." for word in WORDS[:3]])
    identity = rk.inputs.Identity.of(rules, pairs)
    chosen = rk.Selection(np.arange(8)[:, None] % 3, "x", 3, identity=identity)
    with pytest.warns(UserWarning, match=r"has 1 logits, wanted are 3: it was dropped"):
        adapter = train_adapter(
            pairs, chosen, settings(base, max_steps=1), output=tmp_path / "adapter"
        )
    card = (adapter.model.folder / "README.md").read_text()
    assert "has 1 logits, wanted are 3" in card
    assert "/" not in card.split("- note: ")[1].splitlines()[0]  # no path of this machine
    remarks = json.loads((tmp_path / "adapter" / "result.json").read_text())["remarks"]
    assert len(remarks) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        train_reward(pairs, None, settings(base, max_steps=1), output=tmp_path / "reward")


def test_a_low_rank_checkpoint_holds_no_embedding_also_where_padding_is_a_new_token(tmp_path):
    folder = make_model(tmp_path / "base", pad=None)
    fields = {"max_steps": 2, "save_every": 1, "lora": {"rank": 2}, "learning_rate": 1e-2}
    held = some_pairs(5, seed=7)
    given = {"config": settings(folder, **fields), "evaluation": held, "output": tmp_path / "run"}
    model = train_reward(some_pairs(8), **given)
    # Measured is what is saved, with the matrices merged.
    assert model.metrics["margin"] == pytest.approx(model.margin(held).mean(), abs=1e-6)
    checkpoint = tmp_path / "run" / "checkpoints" / "checkpoint-1" / "adapter_model.safetensors"
    saved = load_file(checkpoint)
    assert saved
    assert all("lora_" in name or "score" in name for name in saved)
    grown, before = weights(model.folder), weights(folder)
    name = "model.embed_tokens.weight"
    assert len(grown[name]) == len(before[name]) + 1
    assert torch.equal(grown[name][:-1], before[name])
    rewards = model.rewards(some_pairs(4))
    # Gone on from behind the first step, it comes to the same.
    forget_after(tmp_path / "run", 1)
    again = train_reward(some_pairs(8), **given)
    assert again.rewards(some_pairs(4)) == pytest.approx(rewards, abs=1e-5)

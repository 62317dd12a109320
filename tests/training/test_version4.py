"""Saved models name their settings for transformers 4 too, and read back as they were."""

import json

import pytest
from transformers import AutoConfig, AutoTokenizer

from rulekit.training import models
from tests.training.helpers import CHAT, make_model, settings

LLAMA31 = {
    "rope_type": "llama3",
    "rope_theta": 500_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
SCALING = {key: value for key, value in LLAMA31.items() if key != "rope_theta"}


@pytest.mark.parametrize(
    ("rotary", "theta", "scaling"),
    [
        (LLAMA31, 500_000.0, SCALING),
        ({"rope_type": "default", "rope_theta": 100_000.0}, 100_000.0, None),
    ],
    ids=["llama 3.1", "another base"],
)
def test_the_rotary_embedding_is_named_for_both_versions(tmp_path, rotary, theta, scaling):
    config = settings(make_model(tmp_path / "base", rope_parameters=rotary))
    tokenizer = models.load_tokenizer(config)
    model = models.load_model(config, tokenizer, ["reward"])
    folder = models.save_plain(model, tokenizer, tmp_path / "saved")
    said = json.loads((folder / "config.json").read_text())
    assert (said["rope_theta"], said["rope_scaling"]) == (theta, scaling)
    assert said["torch_dtype"] == said["dtype"] == "float32"
    assert AutoConfig.from_pretrained(folder).rope_parameters == rotary


def test_the_tokenizer_has_a_class_that_both_versions_know_and_keeps_its_tokens(tmp_path):
    base = make_model(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|user|>", "<|assistant|>"]})
    model = models.load_model(settings(base), tokenizer, ["reward"])
    folder = models.save_plain(model, tokenizer, tmp_path / "saved")
    said = json.loads((folder / "tokenizer_config.json").read_text())
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert said["additional_special_tokens"] == ["<|user|>", "<|assistant|>"]
    assert "extra_special_tokens" not in said  # a list under this name version 4 cannot read
    assert said["model_input_names"] == ["input_ids", "attention_mask"]
    back = AutoTokenizer.from_pretrained(folder)
    text = "<|user|>a kind answer<|assistant|>never</s>"
    assert back(text).input_ids == tokenizer(text).input_ids
    assert back.extra_special_tokens == tokenizer.extra_special_tokens
    assert back.chat_template == CHAT

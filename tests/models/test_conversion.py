"""A model's file becomes the model that was put into it, and reads texts as its makers' own."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rulekit.files import sha256_file
from rulekit.models import catalogue, conversion
from tests.judges.tiny_judge import save_gguf


def test_weights_come_back_as_they_went_into_the_file(tiny_judge, tmp_path):
    """Written under the names and in the order of GGUF, by its own library; no other tokenizer passes."""
    file = save_gguf(tiny_judge, tmp_path / "tiny.gguf")
    source = catalogue.source("smollm2-135m")
    with pytest.raises(ValueError, match="the tokenizer has sha256"):
        conversion.convert(source, file, tmp_path)
    found, put = (load_file(f / "model.safetensors") for f in (tmp_path, tiny_judge))
    assert found.keys() == put.keys()
    assert all(torch.equal(found[name], put[name]) for name in put)


def test_the_folder_is_the_pinned_model_with_the_tokenizer_of_its_makers(smollm2):
    source = catalogue.source("smollm2-135m")
    assert sha256_file(smollm2 / "model.safetensors") == source.weights
    assert sha256_file(smollm2 / "tokenizer.json") in conversion._RELEASED_TOKENIZER.values()
    conversion.check(source, smollm2)
    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    # As GPT-2's it would leave one space to the digits.
    assert tokenizer.tokenize("a  2024") == ["a", "ĠĠ", "2", "0", "2", "4"]
    ends = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token)
    assert ends == ("<|im_start|>", "<|im_end|>", "<|im_end|>", "<|endoftext|>")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    config = json.loads((smollm2 / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 100_000
    model = AutoModelForCausalLM.from_pretrained(smollm2)
    assert model.dtype == torch.float32
    assert model.lm_head.weight is model.model.embed_tokens.weight
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
    )["input_ids"]
    said = tokenizer.decode(model.generate(ids, max_new_tokens=12, do_sample=False)[0])
    assert "Paris" in said.rsplit("assistant\n", 1)[1]


def test_a_model_that_is_read_in_another_way_is_found_out(smollm2, tmp_path):
    """As by a version that does not know the base of its rotary embedding."""
    for file in smollm2.iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((smollm2 / "config.json").read_text())
    config["rope_parameters"]["rope_theta"] = config["rope_theta"] = 10_000.0
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="this version of transformers reads the model in another"):
        conversion.check(catalogue.source("smollm2-135m"), tmp_path)

"""Small models, pairs and settings for the tests of training."""

import contextlib
import shutil
import time

import numpy as np
import polars as pl
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from rulekit.training import batches, models, objectives
from rulekit.training.config import TrainingConfig

CHAT = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{{ eos_token }}{% endfor %}"
)
TEXT = "the a kind rude answer helps hurts people with care and no thanks please never always"
WORDS = TEXT.split()
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
CONFIGS = {
    "llama": (LlamaConfig, {"num_key_value_heads": 2}),
    "qwen2": (Qwen2Config, {"num_key_value_heads": 2}),
    "qwen3": (Qwen3Config, {"num_key_value_heads": 2, "head_dim": 8}),
    "mistral": (MistralConfig, {"num_key_value_heads": 2, "sliding_window": 8}),
    "bert": (BertConfig, {"hidden_dropout_prob": 0.1}),
}


def make_tokenizer(pad: str | None) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on the spot, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<pad>"]
    raw.train_from_iterator(
        [TEXT] * 20,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special if pad == "<pad>" else special[:-1],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token=pad
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def make_model(folder, kind="llama", pad="<pad>", seed=0, **settings):
    """A small model from its configuration and its tokenizer, written to a folder."""
    tokenizer = make_tokenizer(pad)
    config_class, own = CONFIGS[kind]
    torch.manual_seed(seed)
    config = config_class(
        **(SIZES | own | settings),
        vocab_size=len(tokenizer),
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForSequenceClassification.from_config(config)
    for name, weight in model.named_parameters():  # of a trained model's size: rewards differ
        if weight.ndim > 1 and "score" not in name:
            weight.data.mul_(40.0 if "embed" in name else 6.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def some_pairs(n, seed=0, longest=9) -> pl.DataFrame:
    rng = np.random.default_rng(seed)

    def text():
        return " ".join(rng.choice(WORDS, rng.integers(1, longest)))

    rows = [
        {
            "pair_id": f"p{i}",
            "prompt": text(),
            "response_a": f"{text()} yes",
            "response_b": f"{text()} no",
            "preference": 1,
        }
        for i in range(n)
    ]
    return pl.DataFrame(rows)


def settings(folder, **fields) -> TrainingConfig:
    """Small and quick; what a test is about it sets itself."""
    small = {
        "model": str(folder),
        "max_tokens": 64,
        "token_budget": 256,
        "pairs_per_step": 4,
        "learning_rate": 1e-3,
        "evaluation_share": 0.0,
    }
    return TrainingConfig(**(small | fields))


def engine_parts(config, pairs, labels=("reward",)):
    tokenizer = models.load_tokenizer(config)
    model = models.load_model(config, tokenizer, list(labels))
    target = (np.arange(len(pairs)) % 3 > 0).astype(float)
    examples = batches.preference_examples(
        pairs, target, tokenizer, max_tokens=config.max_tokens, too_long=config.too_long
    )
    return model, tokenizer, examples


def packed_gradients(model, examples, config, budget):
    """Rewards (n, 2) and gradients of one step over all examples."""
    model.zero_grad()
    rewards = torch.full((len(examples), 2), torch.nan)
    rows = np.arange(len(examples))
    for part in batches.passes(rows, examples.tokens, budget)[0]:
        batch = batches.pack(examples, part)
        logits = model(**models.packed_inputs(batch))
        rewards[part.rows] = logits.detach().view(-1, 2)
        (objectives.losses(logits, batch, config) * batch["weight"]).sum().backward()
    return rewards, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def weights(folder) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def assert_bit_equal(a, b):
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


def forget_after(folder, step: int) -> None:
    """Bring a run's folder back to when its checkpoint of this step was the newest."""
    shutil.rmtree(folder / "model")
    for checkpoint in (folder / "checkpoints").glob("checkpoint-*"):
        if int(checkpoint.name.split("-")[1]) > step:
            shutil.rmtree(checkpoint)


def command(folder, output, *more) -> list[str]:
    return ["train", "reward", "--config", str(folder / "run.yaml"), "--output", str(output), *more]


def wait_for(condition, process=None, seconds=240):
    """Until it holds; a process that ends before, or a long time, is a failure."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


@contextlib.contextmanager
def no_room_for(n_bytes: int):
    """A real limit on the size of files stands for a full disk."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

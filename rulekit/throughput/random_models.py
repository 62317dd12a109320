"""Models of random weights in the sizes of real ones, and what they read.

Speed and memory depend on shapes and lengths, not on what a model has learned: an 8B model needs a
configuration here, and no download.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch

from rulekit import encoder
from rulekit.inputs import sources
from rulekit.inputs.pairs import prompt_text
from rulekit.judges import LocalJudge
from rulekit.training import batches, load_config, models

MAX_TOKENS = 1024
TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 32_000,
}
# Llama 3.1 8B, as its configuration is published.
LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
}
SIZES = {"8b": LLAMA_8B, "tiny": TINY}
_MARKS = ["<|begin|>", "<|header|>", "<|close|>", "<|turn|>"]
_CHAT = (  # Llama 3's form: four tokens open the answer
    "<|begin|>{% for m in messages %}<|header|>{{ m['role'] }}<|close|>\n\n{{ m['content'] | trim }}"
    "<|turn|>{% endfor %}{% if add_generation_prompt %}<|header|>assistant<|close|>\n\n{% endif %}"
)


def device() -> torch.device:
    """The GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def write_classifier(
    folder: Path, pairs: pl.DataFrame, sizes: dict, *, vocabulary: int = 8192, weights: bool = False
) -> Path:
    """Write a Llama's configuration and a tokenizer trained on the pairs.

    Parameters
    ----------
    folder
        Where to; made if it is not there.
    pairs
        Columns `response_a` and `response_b`.
    sizes
        Fields of `transformers.LlamaConfig`; `vocab_size` is the embedding's.
    vocabulary
        Tokens of the tokenizer, at most.
    weights
        Write random weights too, in float32.

    Returns
    -------
    The folder, which `AutoTokenizer` and `AutoModelForSequenceClassification` read.
    """
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers import models as kinds
    from transformers import (
        AutoModelForSequenceClassification,
        LlamaConfig,
        PreTrainedTokenizerFast,
    )

    raw = Tokenizer(kinds.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.train_from_iterator(
        pairs["response_a"].to_list() + pairs["response_b"].to_list(),
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>"],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
        "{{ eos_token }}{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    described = LlamaConfig(
        **sizes,
        num_labels=1,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=0,
        eos_token_id=1,
    )
    if weights:
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(described).save_pretrained(folder)
    else:
        described.save_pretrained(folder)
    return folder


def first_examples(pairs: pl.DataFrame, folder: Path, n: int) -> batches.Examples:
    """The first n usable pairs as a model's tokens, response A as the preferred one."""
    tokenizer = models.load_tokenizer(load_config({"model": str(folder)}))
    found = batches.preference_examples(
        pairs[: n + 50],
        np.ones(len(pairs[: n + 50])),
        tokenizer,
        max_tokens=MAX_TOKENS,
        too_long="drop",
    )
    return found.take(range(n))


def random_judge(sizes: dict, dtype: torch.dtype, where: torch.device, **settings) -> LocalJudge:
    """A causal Llama of random weights as a judge, with the encoder's tokens and chat marks."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(encoder.folder())
    tokenizer.add_special_tokens({"additional_special_tokens": _MARKS})
    tokenizer.chat_template, tokenizer.model_max_length = _CHAT, 10**6
    torch.manual_seed(0)
    described = LlamaConfig(**sizes, max_position_embeddings=8192, dtype=dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with where:
            model = LlamaForCausalLM(described)
    finally:
        torch.set_default_dtype(before)
    return LocalJudge(model.eval(), tokenizer, "random", least_mass=0, **settings)


def corpus_words() -> list[str]:
    """All words of the embedded corpus's prompts and first responses, in their order."""
    pairs = sources.load("embedded")
    texts = zip(pairs["prompt"], pairs["response_a"], strict=True)
    return [word for p, r in texts for word in f"{prompt_text(p)} {r}".split()]


def conversations(tokenizer, words: list[str], tokens: int, n: int) -> tuple[list[str], list[str]]:
    """n prompts of a quarter and n responses of three quarters of `tokens`, of words by chance."""
    rng = np.random.default_rng(0)

    def text(size: int) -> str:
        drawn = " ".join(rng.choice(words, 2 * size))
        return tokenizer.decode(tokenizer.encode(drawn, add_special_tokens=False)[:size])

    return [text(tokens // 4) for _ in range(n)], [text(tokens - tokens // 4) for _ in range(n)]

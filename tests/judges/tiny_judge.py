"""A causal language model small enough to be made in a test, on disk as any other model is."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast

from rulekit.judges.prompts import TEMPLATES

ANSWER_WORDS = ("yes", "no", "irrelevant", "Yes", "No", "Irrelevant", "YES", "NO")
_CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def save_tiny_judge(folder: Path, seed: int = 0) -> Path:
    """A Llama of random weights with its own tokenizer, in the format of `save_pretrained`.

    The weights are scaled so that the answers hold most of the first token's probability, differ
    from prompt to prompt, and are followed by the end of the turn. Sampling is on and plain, as
    some servers sample only if the model's own settings say so.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = [w for word in ANSWER_WORDS for w in (word, f" {word}")] * 50
    text = [t.messages("Hello", "Hi", "It greets.")[0]["content"] for t in TEMPLATES.values()]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|end|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(words + text, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    wrapped.chat_template = _CHAT
    wrapped.save_pretrained(folder)

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=2048,
        eos_token_id=wrapped.eos_token_id,
        bos_token_id=None,
        initializer_range=0.08,
        tie_word_embeddings=False,
        dtype="float32",
    )
    model = AutoModelForCausalLM.from_config(config).float()
    answers = [i for t, i in wrapped.get_vocab().items() if t.lstrip("Ġ") in ANSWER_WORDS]
    with torch.no_grad():
        model.lm_head.weight *= 0.1
        model.lm_head.weight[answers] *= 45.0
        direction = torch.nn.functional.normalize(torch.randn(config.hidden_size), dim=0)
        model.model.embed_tokens.weight[answers] += 30 * direction
        model.lm_head.weight[wrapped.eos_token_id] = 3 * direction
    model.generation_config.update(do_sample=True, temperature=1.0, top_p=1.0, top_k=0)
    model.save_pretrained(folder)
    return folder


@cache
def _loaded(folder: Path):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return AutoTokenizer.from_pretrained(folder), model


def first_token_distribution(folder: Path, messages: list[dict]) -> list[tuple[str, float]]:
    """Tokens and probabilities of the first answer token, likeliest first, by transformers alone."""
    tokenizer, model = _loaded(folder)
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        p = model(ids).logits[0, -1].double().softmax(-1)
    return [(tokenizer.decode([i]), float(p[i])) for i in p.argsort(descending=True).tolist()]


def by_model(folder: Path):
    """Answers of the faulty server that are the model's: its 20 likeliest first tokens."""
    return lambda body: dict(first_token_distribution(folder, body["messages"])[:20])


def save_gguf(folder: Path, path: Path, half: bool = False) -> Path:
    """A Llama in llama.cpp's format, in full precision or with its matrices in bfloat16."""
    import gguf

    tokenizer, model = _loaded(folder)
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)

    bpe = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda t: t[1])
    special = set(tokenizer.added_tokens_decoder)
    kinds = [gguf.TokenType.CONTROL if i in special else gguf.TokenType.NORMAL for _, i in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([t for t, _ in tokens])
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in bpe["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokenizer.chat_template)

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if "q_proj" in name or "k_proj" in name:  # rotary pairs lie side by side over there
            n = tensor.shape[0] // config.head_dim
            tensor = (
                tensor.view(n, 2, config.head_dim // 2, -1).transpose(1, 2).reshape(tensor.shape)
            )
        named, values = names.get_name(name, (".weight",)), tensor.contiguous().numpy()
        if half and values.ndim == 2:
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(named, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(named, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

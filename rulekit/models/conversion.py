"""A GGUF file becomes a folder that transformers loads: weights, configuration, tokenizer.

The weights are what the file's blocks of a few bits stand for, in float32, and nothing else is
rounded. Written without transformers' own reader, which takes SmolLM's tokenizer for GPT-2's and
keeps the quantised model from being saved. `folders.fetch` calls this.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from rulekit import loading
from rulekit.files import sha256, sha256_file
from rulekit.models.catalogue import PROMPT, Source

_LAYER = {  # names of a layer's tensors, and those of transformers
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_FEED_FORWARD_NORM = {  # the norm before it: Gemma has others around it
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}
_OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_TOLERANCE = 0.02  # of a pinned logit: another processor adds in another order
_CONTROL = 3  # type of a token that is no text
_RELEASED_TOKENIZER = {  # SHA-256 of the tokenizer.json that its makers released
    "smollm": "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c"
}
_GEMMA_CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + ('model' if "
    "message['role'] == 'assistant' else message['role']) + '\n' + message['content'] | trim + "
    "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}"
    "{% endif %}"
)


def convert(source: Source, file: Path, folder: Path) -> None:
    """Write the folder of a model.

    Parameters
    ----------
    source
        The model.
    file
        Its GGUF file.
    folder
        Empty.

    Raises
    ------
    ModuleNotFoundError
        If the package that reads GGUF files is not installed.
    ValueError
        If the weights or the tokenizer are not the pinned ones.
    """
    try:
        import gguf
    except ModuleNotFoundError as error:
        told = "GGUF files are read by the package gguf: pip install 'rulekit[offline]'"
        raise ModuleNotFoundError(told, name="gguf") from error
    from safetensors.numpy import save_file

    reader = gguf.GGUFReader(file)
    metadata = _Metadata(reader)
    kind = metadata["general.architecture"]
    config = _CONFIGS[kind](metadata)
    weights = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        weights[_name(tensor.name, kind)] = _plain(tensor.name, values, config)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # a cache may be shared; written for its owner only
    _write(folder / "config.json", config)
    ends = ("bos_token_id", "eos_token_id", "pad_token_id")
    _write(folder / "generation_config.json", {key: config[key] for key in ends if key in config})
    _TOKENIZERS[kind](metadata, file, folder)
    if source.weights and (digest := sha256_file(folder / "model.safetensors")) != source.weights:
        raise ValueError(f"weights of {source.name}: sha256 {digest}; allowed: {source.weights}")


class _Metadata:
    """What a GGUF file says of itself, each read when it is asked for: some hold 262,144 texts."""

    def __init__(self, reader) -> None:
        self.reader = reader

    def __getitem__(self, name: str):
        return self.reader.fields[name].contents()

    @property
    def tensors(self) -> dict:
        """By name."""
        return {tensor.name: tensor for tensor in self.reader.tensors}

    @property
    def ends(self) -> dict[str, int]:
        """Numbers of the special tokens that it names, by what transformers calls them."""
        keys = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
        named = {name: f"tokenizer.ggml.{key}_token_id" for name, key in keys.items()}
        return {name: self[key] for name, key in named.items() if key in self.reader.fields}


def check(source: Source, folder: Path) -> None:
    """Run the model as this installation reads it, and compare a few logits with the pinned ones.

    Raises
    ------
    ValueError
        If one differs by more than what rounding can do.
    """
    found = logits(folder, list(source.logits))
    for token, logit in source.logits.items():
        if not abs(found[token] - logit) <= _TOLERANCE:
            raise ValueError(
                f"{source.name}: the logit of token {token} is {found[token]:.3f}; allowed: "
                f"{logit:.3f}; this version of transformers reads the model in another way"
            )


def logits(folder: Path, tokens: list[int]) -> dict[int, float]:
    """Logits of the first answer token behind the pinned prompt, in float32, by token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with loading.ALONE:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    finally:
        if bars:
            logging.enable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [{"role": "user", "content": PROMPT}]
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.inference_mode():
        last = model.eval()(ids, use_cache=False).logits[0, -1]
    return {token: float(last[token]) for token in tokens}


def _name(name: str, kind: str) -> str:
    if match := re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name):
        known = _LAYER | _FEED_FORWARD_NORM[kind]
        return f"model.layers.{match[1]}.{known[match[2]]}.weight"
    return f"{_OUTSIDE[name.removesuffix('.weight')]}.weight"


def _plain(name: str, values: np.ndarray, config: dict) -> np.ndarray:
    """A tensor as transformers has it: float32, of shape (outputs, inputs) or (width,)."""
    values = np.ascontiguousarray(values, np.float32)
    if config["model_type"] == "gemma3_text":  # its norms are kept as 1 + weight
        return values - np.float32(1) if name.endswith("norm.weight") else values
    heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
    if (of := heads.get(name.split(".")[-2])) is None:
        return values
    # Rotary pairs lie side by side over there, half a head apart here.
    apart = values.reshape(config[of], config["head_dim"] // 2, 2, -1).swapaxes(1, 2)
    return np.ascontiguousarray(apart.reshape(values.shape))


def _shared(kind: str, metadata: _Metadata) -> dict:
    """What both architectures call by the same names."""

    def of(key: str):
        return metadata[f"{kind}.{key}"]

    return {
        "vocab_size": int(metadata.tensors["token_embd.weight"].shape[1]),
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": of("attention.head_count"),
        "num_key_value_heads": of("attention.head_count_kv"),
        "max_position_embeddings": of("context_length"),
        "rms_norm_eps": float(f"{of('attention.layer_norm_rms_epsilon'):.3g}"),
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": "output.weight" not in metadata.tensors,
        **{f"{name}_token_id": i for name, i in metadata.ends.items() if name != "unk"},
        "use_cache": True,
        "dtype": "float32",
        "torch_dtype": "float32",  # the name that version 4 of transformers reads
    }


def _llama(metadata: _Metadata) -> dict:
    base = metadata["llama.rope.freq_base"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **_shared("llama", metadata),
        "head_dim": metadata["llama.rope.dimension_count"],
        "hidden_act": "silu",
        "mlp_bias": False,
        "initializer_range": 0.041666666666666664,  # of SmolLM2: new heads begin with it
        "rope_parameters": {"rope_theta": base, "rope_type": "default"},
        "rope_theta": base,
        "rope_scaling": None,
    }


def _gemma3(metadata: _Metadata) -> dict:
    base, local = metadata["gemma3.rope.freq_base"], 10_000.0
    layers = range(metadata["gemma3.block_count"])
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        **_shared("gemma3", metadata),
        "head_dim": metadata["gemma3.attention.key_length"],
        "query_pre_attn_scalar": metadata["gemma3.attention.key_length"],
        "hidden_activation": "gelu_pytorch_tanh",
        "sliding_window": metadata["gemma3.attention.sliding_window"],
        "layer_types": [f"{'sliding' if (n + 1) % 6 else 'full'}_attention" for n in layers],
        "rope_parameters": {
            "full_attention": {"rope_theta": base, "rope_type": "default"},
            "sliding_attention": {"rope_theta": local, "rope_type": "default"},
        },
        "rope_theta": base,
        "rope_local_base_freq": local,
        "rope_scaling": None,
    }


def _smollm_tokenizer(metadata: _Metadata, file: Path, folder: Path) -> None:
    """The tokenizer as it was released, to the byte: digits apart, then bytes, then merges."""
    tokens = metadata["tokenizer.ggml.tokens"]
    kinds = metadata["tokenizer.ggml.token_type"]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    into_bytes = {"type": "ByteLevel", "add_prefix_space": False}
    back = {"trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    value = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": token, **plain, "special": True}
            for i, (token, of) in enumerate(zip(tokens, kinds, strict=True))
            if of == _CONTROL
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, into_bytes | back]},
        "post_processor": None,
        "decoder": {**into_bytes, "add_prefix_space": True, **back},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": metadata["tokenizer.ggml.merges"],
        },
    }
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if (digest := sha256(text)) != (released := _RELEASED_TOKENIZER["smollm"]):
        raise ValueError(f"the tokenizer has sha256 {digest}; allowed: {released}")
    (folder / "tokenizer.json").write_bytes(text.encode())
    special = {f"{name}_token": tokens[i] for name, i in metadata.ends.items()}
    settings = {
        # GPT2Tokenizer, as it was released, would drop the splitting of digits in transformers 5.
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "model_max_length": metadata["llama.context_length"],
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "chat_template": metadata["tokenizer.chat_template"],
    }
    _write(folder / "tokenizer_config.json", settings)


def _gemma_tokenizer(metadata: _Metadata, file: Path, folder: Path) -> None:
    """As transformers makes it of the file; with a chat template, which a base model has not."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.chat_template = _GEMMA_CHAT
    tokenizer.save_pretrained(folder)


def _write(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


_CONFIGS = {"llama": _llama, "gemma3": _gemma3}
_TOKENIZERS = {"llama": _smollm_tokenizer, "gemma3": _gemma_tokenizer}

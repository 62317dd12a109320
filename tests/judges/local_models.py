"""Models of many architectures with random weights, and conversations, for the local judge."""

import numpy as np
import torch
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssConfig,
    GptOssForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    Qwen3NextConfig,
    Qwen3NextForCausalLM,
)

from rulekit.judges.local.shared_pass import Tree

CHAT = (
    "<s>{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] | trim }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIAL = ["<s>", "<|user|>", "<|assistant|>", "<|end|>"]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
    "attention_dropout": 0.0,
}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 4}),
    "llama grouped-query": (LlamaForCausalLM, LlamaConfig, {"num_key_value_heads": 2}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {"num_key_value_heads": 2}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"num_key_value_heads": 1, "head_dim": 8}),
    "gemma2 capped, window 24": (
        Gemma2ForCausalLM,
        Gemma2Config,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "sliding_window": 24,
            "query_pre_attn_scalar": 8,
            "attn_logit_softcapping": 2.0,
        },
    ),
    "gemma3 window 24": (
        Gemma3ForCausalLM,
        Gemma3TextConfig,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "sliding_window": 24,
            "query_pre_attn_scalar": 8,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
    ),
    "mistral window 24": (
        MistralForCausalLM,
        MistralConfig,
        {"num_key_value_heads": 2, "sliding_window": 24},
    ),
    "mistral, a window that holds all": (
        MistralForCausalLM,
        MistralConfig,
        {"num_key_value_heads": 2, "sliding_window": 500},
    ),
    "deepseek3, values narrower than keys": (
        DeepseekV3ForCausalLM,
        DeepseekV3Config,
        {
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 2,
        },
    ),
    "qwen3 mixture of experts": (
        Qwen3MoeForCausalLM,
        Qwen3MoeConfig,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
        },
    ),
    "gpt2": (GPT2LMHeadModel, GPT2Config, None),
}
UNSHARED = {
    "sinks": (
        GptOssForCausalLM,
        GptOssConfig,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "sliding_window": 24,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
        },
        "its attention takes s_aux",
    ),
    "chunks": (
        Llama4ForCausalLM,
        Llama4TextConfig,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "attention_chunk_size": 32,
            "num_local_experts": 2,
            "intermediate_size_mlp": 48,
            "no_rope_layers": [1, 1, 1, 0],
        },
        "it has layers of type chunked_attention",
    ),
    "recurrence": (
        Qwen3NextForCausalLM,
        Qwen3NextConfig,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
            "layer_types": ["linear_attention", "full_attention"] * 2,
        },
        "it has layers of type linear_attention",
    ),
}


def build(name: str, vocabulary: int = 300):
    """A model with random weights large enough that attention matters to its logits."""
    kind, config, extra, *_ = (MODELS | UNSHARED)[name]
    sizes = {"n_embd": 32, "n_layer": 3, "n_head": 4} if extra is None else {**SIZES, **extra}
    torch.manual_seed(0)
    model = kind(config(vocab_size=vocabulary, **sizes)).eval()
    with torch.no_grad():
        for n, w in model.named_parameters():
            if w.ndim == 2 and "embed" not in n:
                w.mul_(6)
    return model


PROMPTS = [
    "How do I fix a bike?",
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Good day."},
        {"role": "user", "content": "Is it safe to mix these two cleaning agents?"},
    ],
    "Why?",
]
RESPONSES = ["Turn it over and take off the wheel.", "No. " * 30 + "Open a window.", "Because."]


def random_trees(n_trees: int = 3, n_suffixes: int = 12):
    rng = np.random.default_rng(0)

    def ids(n):
        return rng.integers(5, 300, n).tolist()

    return [
        Tree(ids(int(rng.integers(20, 90))), [ids(int(n)) for n in rng.integers(1, 40, n_suffixes)])
        for _ in range(n_trees)
    ]

"""Sequence classifiers for packed batches: loading, reading rewards, and writing plain checkpoints.

What is loaded is transformers' own class; only its `forward` is replaced on the instance, so that
what is saved loads without this kit.
"""

from __future__ import annotations

import re
import types
from pathlib import Path

import torch
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rulekit.training import attention
from rulekit.training.config import TrainingConfig

# Tokens that released tokenizers set aside for padding, or for nothing.
SPARE_TOKENS = ("<|finetune_right_pad_id|>", "<|pad|>", "<pad>", "[PAD]", "<|reserved_special_token_0|>")  # fmt: skip
PLAIN_TEMPLATE = (
    "{{ bos_token or cls_token or '' }}"
    "{% for message in messages %}{% if not loop.first %}{{ '\n\n' }}{% endif %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] }}{% endfor %}"
    "{{ eos_token or sep_token or '' }}"
)
_DTYPES = {"float32": torch.float32, "bf16": torch.float32, "bf16-stochastic": torch.bfloat16}


def load_tokenizer(config: TrainingConfig) -> PreTrainedTokenizerBase:
    """The model's tokenizer with a chat template and a padding token that nothing else uses.

    A model without a template of its own gets `PLAIN_TEMPLATE`. Where padding and end of text
    share a token, a classifier reads the reward from the token before the end as soon as it is
    loaded by others, so padding gets another one.
    """
    tokenizer = AutoTokenizer.from_pretrained(_path(config.model), revision=config.revision)
    if tokenizer.chat_template is None:
        tokenizer.chat_template = PLAIN_TEMPLATE
    set_pad_token(tokenizer)
    return tokenizer


def set_pad_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the tokenizer a padding token other than the one a text ends in, if it has none."""
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "a"}]
    text = tokenizer.apply_chat_template(turn, tokenize=False)
    used = {*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id}
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in used:
        return
    vocabulary = tokenizer.get_vocab()
    spare = (t for t in SPARE_TOKENS if t in vocabulary and vocabulary[t] not in used)
    tokenizer.add_special_tokens({"pad_token": next(spare, "<|pad|>")})


def load_model(
    config: TrainingConfig,
    tokenizer: PreTrainedTokenizerBase,
    labels: list[str],
    device: torch.device | str = "cpu",
) -> PreTrainedModel:
    """A sequence classifier whose `forward` takes packed batches and gives a row a sequence.

    Parameters
    ----------
    config
        Model, precision, attention, adaptation.
    tokenizer
        From `load_tokenizer`; the embedding grows if its padding token is new.
    labels
        Names of the logits: ``["reward"]``, or the rules' ids.
    device
        Where it will run, which decides the attention implementation.

    Raises
    ------
    ValueError
        If the model takes fewer tokens than `max_tokens`, is of a kind without a known place to
        read from, or asks for a package that is not installed.
    """
    torch.manual_seed(config.seed)
    settings = {
        "id2label": dict(enumerate(labels)),
        "label2id": {name: i for i, name in enumerate(labels)},
    }
    if config.task == "adapter":
        settings["problem_type"] = "multi_label_classification"
    kwargs = {
        "dtype": _DTYPES[config.precision],
        "attn_implementation": attention.choose(config.attention, device),
    }
    path = _path(config.model)
    if config.random_weights:
        described = AutoConfig.from_pretrained(path, revision=config.revision, **settings)
        model = AutoModelForSequenceClassification.from_config(described, **kwargs)
    else:
        if config.lora and config.lora.quantize:
            kwargs["quantization_config"] = _four_bits()
        model, report = AutoModelForSequenceClassification.from_pretrained(
            path, revision=config.revision, ignore_mismatched_sizes=True, output_loading_info=True,
            **settings, **kwargs,
        )  # fmt: skip
        # A head of another size starts anew; nothing else may.
        other = [str(k) for k in report["mismatched_keys"] if not re.search(r"score|classifier", str(k))]  # fmt: skip
        if other:
            raise ValueError(f"{config.model}: weights of another shape: {', '.join(other[:3])}")
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and config.max_tokens > limit:
        raise ValueError(f"max_tokens is {config.max_tokens}; allowed: {limit}, the model's limit")
    if tokenizer.pad_token_id >= model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.pad_token_id = tokenizer.pad_token_id
    # The embedding of `padding_idx` gets no gradient: it must not stay on the end of text.
    model.get_input_embeddings().padding_idx = tokenizer.pad_token_id
    model.config.use_cache = False
    if not config.dropout:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    read_packed(model)
    _checkpoint_layers(model, config)
    return _with_lora(model, config) if config.lora else model


def read_packed(model: PreTrainedModel) -> PreTrainedModel:
    """Replace `forward` on this instance by one that takes a packed batch; returns the model.

    The reward is read where transformers' own class reads it: behind the last token of each
    sequence, or for BERT-like encoders from the first.
    """
    if hasattr(model, "score"):
        read = _read_last
    elif hasattr(model, "classifier") and getattr(model.base_model, "pooler", None) is not None:
        read = _read_pooled_first
    else:
        raise ValueError(
            f"{type(model).__name__} has neither a `score` layer (decoders) nor a pooler and a "
            "`classifier` (BERT-like encoders); allowed: a model of one of these kinds"
        )

    def forward(
        self, input_ids, position_ids, cu_seq_lens_q, cu_seq_lens_k, max_length_q, max_length_k, **_
    ):
        """Logits of each sequence, float32 (n_sequences, n_labels)."""
        hidden = self.base_model(
            input_ids=input_ids,
            position_ids=position_ids,
            cu_seq_lens_q=cu_seq_lens_q,
            cu_seq_lens_k=cu_seq_lens_k,
            max_length_q=max_length_q,
            max_length_k=max_length_k,
        ).last_hidden_state[0]  # (n_tokens, hidden_size)
        return read(self, hidden, cu_seq_lens_q.long())

    model.forward = types.MethodType(forward, model)
    return model


def _read_last(model, hidden: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    return _float32(model.score, hidden[bounds[1:] - 1])


def _read_pooled_first(model, hidden: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    pooled = model.dropout(model.base_model.pooler(hidden[bounds[:-1]][:, None]))
    return _float32(model.classifier, pooled)


def _float32(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """A head's product in float32: bfloat16 would round rewards around 4 to steps of 1/32."""
    with torch.autocast(x.device.type, enabled=False):
        bias = None if layer.bias is None else layer.bias.float()
        return functional.linear(x.float(), layer.weight.float(), bias)


PACKED_KEYS = ("input_ids", "position_ids", "cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k")  # fmt: skip


def packed_inputs(batch: dict, device: torch.device | str = "cpu") -> dict:
    """The part of a packed batch that goes into `forward`, on a device."""
    return {
        k: batch[k].to(device, non_blocking=True) if torch.is_tensor(batch[k]) else batch[k]
        for k in PACKED_KEYS
    }


def save_plain(
    model, tokenizer: PreTrainedTokenizerBase, folder: str | Path, state: dict | None = None
) -> Path:
    """Write a folder that AutoModelForSequenceClassification and AutoTokenizer load as they are.

    Low-rank matrices are merged into the base. Loaded elsewhere, the model takes padded batches
    and gives the rewards that it gave here on packed ones.

    Parameters
    ----------
    model, tokenizer
        From this module.
    folder
        Where to.
    state
        The weights, where the model's own are sharded (without low-rank matrices).
    """
    folder = Path(folder)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.config.use_cache = True
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    return folder


def _checkpoint_layers(model: PreTrainedModel, config: TrainingConfig) -> None:
    """Recompute the activations of the first so many layers in the backward pass."""
    if config.checkpointed_layers == 0:
        return
    # The name that transformers 5 began with, and the one that it goes on with.
    old = model.gradient_checkpointing_enable
    getattr(model, "activation_checkpointing_enable", old)({"use_reentrant": False})
    layers = [m for m in model.modules() if hasattr(m, "gradient_checkpointing") and m is not model]
    blocks = [m for m in layers if type(m).__name__.endswith(("Layer", "Block"))]
    if config.checkpointed_layers != "all":
        for layer in blocks[config.checkpointed_layers :]:
            layer.gradient_checkpointing = False


def _with_lora(model: PreTrainedModel, config: TrainingConfig):
    try:
        import peft
    except ImportError as error:
        raise ValueError("lora needs the package peft: pip install 'rulekit[gpu]'") from error
    if config.lora.quantize:
        model = peft.prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=config.checkpointed_layers != 0
        )
    targets = config.lora.targets
    settings = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    return peft.get_peft_model(model, settings)


def _four_bits():
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )


def _path(model: str) -> str:
    """`minilm` is the kit's pinned encoder; anything else is a folder or a name on the hub."""
    if model != "minilm":
        return model
    from rulekit.encoder import folder

    return str(folder())

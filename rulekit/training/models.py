"""Sequence classifiers for packed batches: loading, reading rewards, and writing plain checkpoints.

What is loaded is transformers' own class; only its `forward` is replaced on the instance, so that
what is saved loads without this kit.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import types
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from huggingface_hub.errors import HFValidationError
from safetensors import SafetensorError
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from rulekit import loading
from rulekit.models import path as folder_of
from rulekit.training import attention, layers
from rulekit.training.config import TrainingConfig
from rulekit.training.version4 import name_for_version4

# Tokens that released tokenizers set aside for padding, or for nothing.
SPARE_TOKENS = (
    "<|finetune_right_pad_id|>",
    "<|pad|>",
    "<pad>",
    "[PAD]",
    "<|reserved_special_token_0|>",
)
PLAIN_TEMPLATE = (
    "{{ bos_token or cls_token or '' }}"
    "{% for message in messages %}{% if not loop.first %}{{ '\n\n' }}{% endif %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] }}{% endfor %}"
    "{{ eos_token or sep_token or '' }}"
)
HEADS = ("score", "classifier")  # names that transformers gives to the layer of the logits
DTYPES = {"float32": torch.float32, "bf16": torch.float32, "bf16-stochastic": torch.bfloat16}


def check_packages(config: TrainingConfig) -> None:
    """Refuse settings that need a package which is not installed.

    Raises
    ------
    ValueError
        Naming the setting, the package and the extra that brings it.
    """
    needed = {
        "lora": ("peft", config.lora is not None),
        "lora.quantize": ("bitsandbytes", config.lora is not None and config.lora.quantize),
        "optimizer_states 'int8'": ("bitsandbytes", config.optimizer_states == "int8"),
    }
    for name, (package, wanted) in needed.items():
        if wanted and importlib.util.find_spec(package) is None:
            raise ValueError(f"{name} needs the package {package}: pip install 'rulekit[gpu]'")


def load_tokenizer(config: TrainingConfig) -> PreTrainedTokenizerBase:
    """The model's tokenizer with a chat template and a padding token that nothing else uses.

    A model without a template of its own gets `PLAIN_TEMPLATE`. Where padding and end of text
    share a token, a classifier reads the reward from the token before the end as soon as it is
    loaded by others, so padding gets another one.

    Raises
    ------
    FileNotFoundError
        If the model is neither a folder nor one that the hub gives.
    """
    tokenizer = read(AutoTokenizer, config)
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
        read from, its files lack weights other than the head's, or the tokenizer is larger than the
        embedding.
    FileNotFoundError
        If the model is neither a folder nor one that the hub gives.
    """
    torch.manual_seed(config.seed)
    settings = {
        "id2label": dict(enumerate(labels)),
        "label2id": {name: i for i, name in enumerate(labels)},
    }
    if config.task == "adapter":
        settings["problem_type"] = "multi_label_classification"
    described = read(AutoConfig, config, **settings)
    kwargs = {
        "dtype": DTYPES[config.precision],
        "attn_implementation": attention.choose(config.attention, device, described),
    }
    if config.random_weights:
        model = AutoModelForSequenceClassification.from_config(described, **kwargs)
    else:
        if config.lora and config.lora.quantize:
            kwargs["quantization_config"] = _four_bits(config)
        model = _read_weights(config, **settings, **kwargs)
    limit = getattr(model.config, "max_position_embeddings", None)
    if limit is not None and config.max_tokens > limit:
        raise ValueError(f"max_tokens is {config.max_tokens}; allowed: {limit}, the model's limit")
    refuse_larger_tokenizer(model, tokenizer, config.model)
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
    layers.recompute(model, config.checkpointed_layers)
    if config.compiled_layers:
        layers.compile_in_place(model, device)
    return with_lora(model, config) if config.lora else model


def refuse_larger_tokenizer(
    model, tokenizer: PreTrainedTokenizerBase, name: object, sequences: Iterable[tuple] = ()
) -> None:
    """Refuse a tokenizer with ids that the model has no embedding of.

    Tokens that were added to its vocabulary and that no text holds, such as those for images beside
    a language model, may be beyond.

    Parameters
    ----------
    model, tokenizer
        From this module.
    name
        What an error calls the model.
    sequences
        Token ids of the texts that it is to read, arrays.

    Raises
    ------
    ValueError
        Naming both sizes.
    """
    rows = model.get_input_embeddings().num_embeddings
    highest = max((int(ids.max()) for group in sequences for ids in group), default=0)
    if max(highest + 1, tokenizer.vocab_size) > rows:
        of = f", {tokenizer.convert_ids_to_tokens(highest)!r} of the texts among them"
        raise ValueError(
            f"{name}: the tokenizer has {len(tokenizer)} tokens, the embedding {rows} rows: ids from "
            f"{rows} on have none{of if highest >= rows else ''}; allowed: a tokenizer that is no "
            "larger than the embedding"
        )


def dropped_head(config: TrainingConfig, labels: list[str]) -> list[str]:
    """What is to be said of a classifier of another size, which starts anew: nothing, or a sentence."""
    described = read(AutoConfig, config)
    kinds = described.architectures or ()
    classifies = any(kind.endswith("ForSequenceClassification") for kind in kinds)
    if config.random_weights or not classifies or described.num_labels == len(labels):
        return []
    return [
        f"the head of {config.model} has {described.num_labels} logits, wanted are {len(labels)}: it "
        "was dropped, and a new one began at random"
    ]


def read(kind, config: TrainingConfig, /, **kwargs):
    """What a class of transformers reads from the model of the settings.

    Parameters
    ----------
    kind
        `AutoConfig`, `AutoTokenizer`, `AutoModelForSequenceClassification`.
    config
        Names model and revision.
    kwargs
        For its `from_pretrained`.

    Raises
    ------
    FileNotFoundError
        If the model is neither a folder nor one that the hub gives.
    """
    path = path_of(config.model)
    try:
        with loading.ALONE:
            return kind.from_pretrained(path, revision=config.revision, **kwargs)
    except (OSError, HFValidationError, SafetensorError) as error:
        reason = str(error).split("\n")[0]
        raise FileNotFoundError(
            f"model {config.model!r} could not be read ({reason}); allowed: 'minilm', a folder "
            "with a model, or the name of one on the hub"
        ) from error


def _read_weights(config: TrainingConfig, **kwargs) -> PreTrainedModel:
    """The pretrained classifier; a head that is new or of another size starts at random."""
    with without_report():
        model, report = read(
            AutoModelForSequenceClassification,
            config,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **kwargs,
        )
    for problem in ("missing_keys", "mismatched_keys"):
        other = [
            str(k) for k in report[problem] if not re.search(r"score|classifier|pooler", str(k))
        ]
        if other:
            what = "missing" if problem == "missing_keys" else "of another shape"
            raise ValueError(
                f"{config.model}: weights {what}: {', '.join(sorted(other)[:3])}; allowed: only the "
                "head (and a pooler) may start anew"
            )
    return model


@contextlib.contextmanager
def without_report() -> Iterator[None]:
    """No report of weights found and missing: what counts of it, the kit says itself."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def read_packed(model: PreTrainedModel) -> PreTrainedModel:
    """Replace `forward` on this instance by one that takes a packed batch; returns the model.

    The reward is read where transformers' own class reads it: behind the last token of each
    sequence, or for BERT-like encoders from the first.
    """
    read = reward_reader(model)

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


def reward_reader(model: PreTrainedModel):
    """What reads the logits of a model of this kind, called with it, hidden states and boundaries.

    Hidden states are (n_tokens, hidden_size), those of one sequence behind those of another;
    boundaries int64 (n_sequences + 1,).

    Raises
    ------
    ValueError
        If it is of neither kind.
    """
    if hasattr(model, "score"):
        return _read_last
    if hasattr(model, "classifier") and getattr(model.base_model, "pooler", None) is not None:
        return _read_pooled_first
    raise ValueError(
        f"{type(model).__name__} has neither a `score` layer (decoders) nor a pooler and a "
        "`classifier` (BERT-like encoders); allowed: a model of one of these kinds"
    )


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


PACKED_KEYS = (
    "input_ids",
    "position_ids",
    "cu_seq_lens_q",
    "cu_seq_lens_k",
    "max_length_q",
    "max_length_k",
)


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
        From this module. A model held in 4 bits goes through `whole_precision` first: rounding to
        4 bits once more would lose most of what was learned.
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
    model.config.use_cache = False
    tokenizer.save_pretrained(folder)
    name_for_version4(folder, tokenizer.model_input_names)
    return folder


def whole_precision(
    state: dict[str, torch.Tensor],
    config: TrainingConfig,
    tokenizer: PreTrainedTokenizerBase,
    labels: list[str],
):
    """A low-rank model on the CPU with its base read again, not in 4 bits and not sharded.

    Parameters
    ----------
    state
        Of the trained model: the low-rank matrices and the head, other weights are passed over.
    config, tokenizer, labels
        As for `load_model`; a base that was held in 4 bits is read in bfloat16.
    """
    if config.lora.quantize:
        lora = config.lora.model_copy(update={"quantize": False})
        config = config.model_copy(update={"lora": lora, "precision": "bf16-stochastic"})
    model = load_model(config, tokenizer, labels)
    learned = {n: w for n, w in state.items() if re.search(r"lora_|modules_to_save", n)}
    left = model.load_state_dict(learned, strict=False).unexpected_keys
    if left or not learned:
        raise ValueError(f"the low-rank matrices {left[:3]} do not belong to {config.model}")
    return model


def with_lora(model: PreTrainedModel, config: TrainingConfig):
    """Low-rank matrices beside the linear layers, in the type of the weights."""
    import peft

    targets = config.lora.targets
    settings = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    # Matrices in float32 beside a bfloat16 base would cast every layer's input up and down again;
    # in bfloat16 their updates are rounded at random like any other.
    model = peft.get_peft_model(model, settings, autocast_adapter_dtype=False)
    # A vocabulary that grew by a padding token, which is never trained, is no part of a checkpoint.
    model.save_pretrained = functools.partial(model.save_pretrained, save_embedding_layers=False)
    for weight in model.parameters():
        if weight.requires_grad:  # beside 4-bit layers peft makes them float32
            weight.data = weight.data.to(DTYPES[config.precision])
    return model


def _four_bits(config: TrainingConfig):
    """NF4 with quantised scales; the head and whatever is no linear layer stay as they are."""
    from transformers import BitsAndBytesConfig

    exact = config.precision == "float32"
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.float32 if exact else torch.bfloat16,
        bnb_4bit_use_double_quant=True,
        llm_int8_skip_modules=list(HEADS),
    )


def path_of(model: str) -> str:
    """Where transformers reads a model from: `minilm` is the kit's pinned encoder; anything else is a folder or a name on the hub."""
    if model == "minilm":
        from rulekit.encoder import folder

        return str(folder())
    model = str(folder_of(model))  # smollm2-135m and its like
    local = Path(model).expanduser()
    looks_local = local.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1
    if looks_local and os.sep in model and not local.is_dir():
        raise FileNotFoundError(
            f"model {model!r} is no folder; allowed: 'minilm', a folder with a model, or the name of one on the hub"
        )
    return str(local) if local.is_dir() else model

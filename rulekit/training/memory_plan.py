"""What a run will need, before it starts: memory by purpose, floating-point operations, time.

`plan(config)` counts a model that is never allocated; `check` refuses what cannot fit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from rulekit.training.config import TrainingConfig

# Dense bfloat16 peak in floating-point operations a second, from the vendors' data sheets.
PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
}
UTILISATION = 0.4  # share of the peak that the time estimate counts on
_OVERHEAD = 1.0e9  # CUDA context, allocator slack, temporaries of the optimiser
# Bytes of a weight in NF4: 4 bits, a byte of scale for 64 of them, a float32 for 256 scales.
FOUR_BITS = 1 / 2 + 1 / 64 + 4 / (64 * 256)
_GB = 1e9


@dataclass(frozen=True)
class Plan:
    """Expected cost of a run; memory in GB (10⁹ bytes) of one device.

    Attributes
    ----------
    parameters, trainable
        Of the model; of what is trained.
    weights_gb, gradients_gb, optimizer_gb, activations_gb, overhead_gb
        Their parts of the memory at the peak of a step. Weights include the bfloat16 copies of
        ``precision: bf16`` and what sharded processes gather; gradients include the buckets in
        which unsharded processes exchange them.
    available_gb
        Memory of the device.
    steps, tokens
        Optimiser steps of the run and tokens it passes; None without data.
    flops
        Floating-point operations of the run, recomputation left out; None without data.
    seconds
        Of training and of measuring the held-out pairs: on a GPU at `UTILISATION` of its peak, on a
        CPU as a block of the model took here in the precision that is trained; None without data or
        for a device of unknown peak.
    timed
        What the time rests on, in words.
    """

    parameters: int
    trainable: int
    weights_gb: float
    gradients_gb: float
    optimizer_gb: float
    activations_gb: float
    overhead_gb: float
    available_gb: float
    steps: int | None
    tokens: int | None
    flops: float | None
    seconds: float | None
    timed: str = ""

    @property
    def total_gb(self) -> float:
        """Everything together."""
        return sum(
            (
                self.weights_gb,
                self.gradients_gb,
                self.optimizer_gb,
                self.activations_gb,
                self.overhead_gb,
            )
        )

    def check(self) -> Plan:
        """Return the plan, or refuse it.

        Raises
        ------
        ValueError
            If it needs more memory than the device has; names what would lower the need.
        """
        if self.total_gb > self.available_gb:
            raise ValueError(
                f"the run needs about {self.total_gb:.1f} GB and the device has "
                f"{self.available_gb:.1f} GB; allowed: less. Of it weights {self.weights_gb:.1f}, "
                f"gradients {self.gradients_gb:.1f}, optimiser {self.optimizer_gb:.1f}, activations "
                f"{self.activations_gb:.1f}. Lower: precision 'bf16-stochastic', optimizer_states "
                "'bf16', checkpointed_layers 'all', token_budget, lora"
            )
        return self

    def __str__(self) -> str:
        lines = [
            f"parameters   {self.parameters:>15,}   trained {self.trainable:,}",
            *(
                f"{name:<12} {getattr(self, name + '_gb'):>12.2f} GB"
                for name in ("weights", "gradients", "optimizer", "activations", "overhead")
            ),
            f"{'together':<12} {self.total_gb:>12.2f} GB of {self.available_gb:.1f} GB",
        ]
        if self.tokens is not None:
            lines.append(
                f"run          {self.steps:>15,} steps, {self.tokens:,} tokens, {self.flops:.2e} operations"
            )
        if self.seconds is not None:
            lines.append(f"time         {self.seconds / 60:>12.1f} min {self.timed}")
        return "\n".join(lines)


def plan(
    config: TrainingConfig,
    tokens: np.ndarray | None = None,
    *,
    held_out: np.ndarray | None = None,
    n_labels: int = 1,
    processes: int = 1,
) -> Plan:
    """Expected memory and time of a run.

    Parameters
    ----------
    config
        Settings of the run; only the model's configuration is read, no weights.
    tokens
        Tokens of each training example, (n,); None leaves steps and time out.
    held_out
        Tokens of each held-out example, (n,), which are read once each time they are measured.
    n_labels
        Logits of the model.
    processes
        Devices that share the run.

    Notes
    -----
    Memory a parameter: weights 4 bytes in float32, else 2; under QLoRA `FOUR_BITS` for those of
    the linear layers, whereas embedding, norms and head stay whole; gradients and low-rank
    matrices as the weights; AdamW's two moments 8, 4 or 2 bytes. See `weight_bytes`,
    `gradient_bytes` and `activation_bytes`. Operations a token: 6 for each parameter outside of
    the embedding (4 with a fixed base), plus attention.

    Each process reads the whole model into the host's memory first; with `fsdp` only its shards
    reach the device, without it one copy does.

    Raises
    ------
    ValueError
        For a head on the frozen encoder, which takes seconds.
    """
    if config.frozen:
        raise ValueError("config is frozen; allowed: a model that is fine-tuned")
    from transformers import AutoConfig

    from rulekit.training.models import read

    labels = {i: str(i) for i in range(n_labels)}
    described = read(AutoConfig, config, id2label=labels).get_text_config()
    counts = count_parameters(described, config)
    shards = processes if config.fsdp else 1
    moments = {"float32": 8, "bf16": 4, "int8": 2}[config.optimizer_states]
    activations = config.token_budget * activation_bytes(described, config)
    device, available, peak = _device(config)
    flops = seconds = steps = passed = None
    timed = ""
    if tokens is not None:
        per_epoch = -(-len(tokens) // config.pairs_per_step)
        steps = config.max_steps or int(np.ceil(config.epochs * per_epoch))
        passed = int(np.sum(tokens) * steps / per_epoch)
        lengths = float(np.mean(tokens)) / (2 if config.task == "reward" else 1)
        attention = 2 * described.num_hidden_layers * described.hidden_size * lengths
        per_token = (4 if config.lora else 6) * (counts.total - counts.embedding) + 3 * attention
        flops = float(per_token) * passed
        measured = 1 + (steps // config.evaluate_every if config.evaluate_every else 0)
        read = 0 if held_out is None else int(np.sum(held_out)) * measured
        if device == "cpu" and config.device_memory_gb is None:  # else another is planned for
            times = _unit_times(described, config, tokens)
            layers = described.num_hidden_layers
            seconds = times.run(
                layers=layers,
                again=layers - _kept_layers(layers, config),
                tokens=-(-passed // processes),
                held_out=-(-read // processes),
                steps=steps,
                trainable=counts.trainable,
            )
            timed = f"as one block takes here in {_PRODUCTS[config.precision]}"
        elif peak is not None:
            whole = flops * (1 + read / passed / 3)  # a third of training's is the forward pass
            seconds = whole / (peak * UTILISATION * processes)
            timed = f"at {UTILISATION:.0%} of the device's peak"
    return Plan(
        parameters=counts.total,
        trainable=counts.trainable,
        weights_gb=weight_bytes(counts, config, processes) / _GB,
        gradients_gb=gradient_bytes(counts, config, processes) / _GB,
        optimizer_gb=counts.trainable * moments / shards / _GB,
        activations_gb=activations / _GB,
        overhead_gb=(0.3e9 if device == "cpu" and config.device_memory_gb is None else _OVERHEAD)
        / _GB,
        available_gb=available / _GB,
        steps=steps,
        tokens=passed,
        flops=flops,
        seconds=seconds,
        timed=timed,
    )


_PRODUCTS = {"float32": "float32", "bf16": "bfloat16", "bf16-stochastic": "bfloat16"}


def _unit_times(described, config: TrainingConfig, tokens: np.ndarray):
    """Of a block on this CPU; the state of the random numbers stays as it is."""
    import torch

    from rulekit.training.step_time import unit_times

    with torch.random.fork_rng(devices=[]):
        return unit_times(described, config, tokens)


@dataclass(frozen=True)
class Counts:
    """Parameters of a sequence classifier, low-rank matrices left out of all but `trainable`.

    Attributes
    ----------
    total, embedding
        Of the model; of its input embedding.
    linear
        Of the linear layers without the head: what QLoRA holds in 4 bits.
    layers
        Number of blocks.
    trainable
        What is trained: everything, or low-rank matrices and the head.
    """

    total: int
    embedding: int
    linear: int
    layers: int
    trainable: int


def count_parameters(described, config: TrainingConfig) -> Counts:
    """Count the sequence classifier of a configuration, which is never allocated."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from rulekit.training.models import HEADS

    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(described)
    linear = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    head = sum(p.numel() for name in HEADS if name in linear for p in linear.pop(name).parameters())
    total = trainable = sum(p.numel() for p in model.parameters())
    if config.lora:
        targets = config.lora.targets
        wanted = [
            m
            for name, m in linear.items()
            if targets == "all-linear" or name.split(".")[-1] in targets
        ]
        trainable = head + config.lora.rank * sum(m.in_features + m.out_features for m in wanted)
    return Counts(
        total=total,
        embedding=model.get_input_embeddings().weight.numel(),
        linear=sum(m.weight.numel() for m in linear.values()),
        layers=described.num_hidden_layers,
        trainable=trainable,
    )


def weight_bytes(counts: Counts, config: TrainingConfig, processes: int = 1) -> float:
    """Bytes of the weights on one device, with their copies.

    Notes
    -----
    Under ``precision: bf16`` every float32 weight has a bfloat16 copy until the backward pass is
    over; of a fixed base only in the layers that are not computed again, and in one that is. With
    `fsdp` a device gathers the embedding for the whole step and two blocks at a time.
    """
    size, lora = _size(config), config.lora
    four_bits = counts.linear if lora and lora.quantize else 0
    held = four_bits * FOUR_BITS + (counts.total - four_bits) * size
    held += counts.trainable * size if lora else 0
    copies = 0.0
    if config.precision == "bf16":
        share = 1.0
        if lora:
            kept = _kept_layers(counts.layers, config)
            share = min(1.0, (kept + 1) / counts.layers)
        copies = 2 * share * (counts.total - counts.embedding - four_bits)
    if not config.fsdp or processes == 1:
        return held + copies
    block = (counts.total - counts.embedding) / counts.layers
    gathered = size * (counts.embedding + min(2, counts.layers) * block)
    return held / processes + gathered + copies * min(1.0, 2 / counts.layers)


def gradient_bytes(counts: Counts, config: TrainingConfig, processes: int = 1) -> float:
    """Bytes of the gradients on one device, in the type of the weights.

    Several processes without `fsdp` exchange them in buckets, which are as large once more.
    """
    whole = counts.trainable * _size(config)
    if processes == 1:
        return whole
    return whole / processes if config.fsdp else 2 * whole


def _size(config: TrainingConfig) -> int:
    """Bytes of a weight that is not held in 4 bits."""
    return 2 if config.precision == "bf16-stochastic" else 4


def _kept_layers(layers: int, config: TrainingConfig) -> int:
    """Layers whose activations are kept."""
    again = config.checkpointed_layers
    return 0 if again == "all" else max(0, layers - again)


def activation_bytes(described, config: TrainingConfig) -> float:
    """Bytes that one token keeps for the backward pass.

    A layer kept whole holds, in the type of the products, its two normed inputs, query, key and
    value before and after rotation, the attention's output and four vectors of the feed-forward
    part; its normalisations hold float32 copies. A layer that is computed again holds its input,
    and at the peak one such layer is whole.
    """
    size = 4 if config.precision == "float32" else 2
    hidden, layers = described.hidden_size, described.num_hidden_layers
    heads = described.num_attention_heads
    keys = (getattr(described, "num_key_value_heads", None) or heads) * (
        getattr(described, "head_dim", None) or hidden // heads
    )
    whole = size * (5 * hidden + 3 * keys + 4 * _inner(described)) + 2 * 8 * hidden
    whole += 4 * heads  # the attention's normalisers, float32
    again = layers - _kept_layers(layers, config)
    kept = layers - again + (1 if again else 0)
    return kept * whole + again * size * hidden + 12 * hidden


def _inner(described) -> int:
    """Width of the feed-forward part; four times the model's where the configuration has no word for it."""
    return getattr(described, "intermediate_size", None) or 4 * described.hidden_size


def _device(config: TrainingConfig) -> tuple[str, float, float | None]:
    """Kind, bytes of memory, and bfloat16 peak of the device that a run would take."""
    import torch

    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        known = next(
            (v for k, v in PEAKS.items() if k in properties.name.replace("-", " ").split()), None
        )
        found = ("cuda", float(properties.total_memory), known)
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        found = ("cpu", float(memory), None)
    if config.device_memory_gb is not None:
        return found[0], config.device_memory_gb * _GB, found[2]
    return found

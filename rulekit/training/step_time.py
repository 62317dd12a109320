"""How long a training run takes on a CPU: one block of the model is timed as it will be trained.

Settings and the lengths of the texts come in, seconds of a token and of a weight go out.
`memory_plan` calls it where there is no GPU: a product in bfloat16 is three times quicker than one in
float32 on one CPU and slower on the next, so that no data sheet helps.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification

from rulekit.training import attention, batches, models
from rulekit.training.config import TrainingConfig

_OPERATIONS = 2e11  # of a timed pass at most: a few seconds on any CPU
_REPEATS = 3


@dataclass(frozen=True)
class UnitTimes:
    """Seconds on this machine, the quickest of a few.

    Attributes
    ----------
    trained
        Of a token in one block, forward and backward.
    read
        Of a token in one block, forward without gradients.
    updated
        Of a trained weight in the optimiser's step.
    """

    trained: float
    read: float
    updated: float

    def run(
        self, *, layers: int, again: int, tokens: int, held_out: int, steps: int, trainable: int
    ) -> float:
        """Seconds of a run.

        Parameters
        ----------
        layers, again
            Blocks of the model; those that are computed again in the backward pass.
        tokens, held_out
            Tokens that are trained on, and that are only read, over the whole run.
        steps, trainable
            Optimiser steps; weights that each changes.
        """
        each = self.trained * layers + self.read * again
        return tokens * each + held_out * layers * self.read + steps * trainable * self.updated


def unit_times(described, config: TrainingConfig, tokens: np.ndarray) -> UnitTimes:
    """Time one block of a model on this machine's CPU.

    Parameters
    ----------
    described
        Configuration of the model.
    config
        Settings of the run: precision, attention, low-rank matrices and optimiser are its own.
    tokens
        Tokens of each training example, (n,): the block reads sequences of their mean length.
    """
    model = block(described, config)
    base = base_of(model)
    weights = [p for p in model.parameters() if p.requires_grad]
    length = max(1, int(np.mean(tokens)) // (2 if config.task == "reward" else 1))
    operations = 6 * sum(p.numel() for p in model.parameters())
    room = int(min(config.token_budget, max(length, _OPERATIONS / operations)))
    inputs = _inputs(described, length, max(1, room // length), next(model.parameters()).dtype)
    n = inputs["position_ids"].shape[1]

    def train() -> None:
        with precision_of(config):
            hidden = base(**inputs).last_hidden_state
        hidden.float().mean().backward()

    def read() -> None:
        with torch.no_grad(), precision_of(config):
            base(**inputs)

    trained, passed = _quickest(train), _quickest(read)
    return UnitTimes(trained / n, passed / n, _quickest(_update(weights, config)) / _count(weights))


def block(described, config: TrainingConfig) -> torch.nn.Module:
    """A classifier of one block of the model, of random weights, in the type that is trained.

    Parameters
    ----------
    described
        Configuration of the model.
    config
        Settings of the run.
    """
    small = {"num_hidden_layers": 1, "vocab_size": 8, "pad_token_id": 0}
    if getattr(described, "layer_types", None):
        small["layer_types"] = described.layer_types[:1]
    one = type(described).from_dict(described.to_dict() | small)
    model = AutoModelForSequenceClassification.from_config(
        one,
        dtype=models.DTYPES[config.precision],
        attn_implementation=attention.choose(config.attention, "cpu", described),
    )
    model = models.with_lora(model, config) if config.lora else model
    for weight in model.get_input_embeddings().parameters():  # states go in, no tokens
        weight.requires_grad_(False)
    return model.train()


def base_of(model) -> torch.nn.Module:
    """What gives the hidden states, low-rank matrices in it."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    return whole.base_model


def precision_of(config: TrainingConfig):
    """What the trainer does its products in."""
    if config.precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _inputs(described, length: int, sequences: int, dtype: torch.dtype) -> dict:
    """A packed row of states, as the embedding would give them."""
    ids = np.zeros(length, np.int32)
    blank = np.zeros(sequences, np.float32)
    examples = batches.Examples([(ids,)] * sequences, blank, blank, [""] * sequences)
    part = batches.Pass(np.arange(sequences), np.ones(sequences))
    inputs = models.packed_inputs(batches.pack(examples, part))
    del inputs["input_ids"]
    states = torch.randn(1, length * sequences, described.hidden_size, dtype=dtype)
    return inputs | {"inputs_embeds": states.requires_grad_()}


def _update(weights: list[torch.nn.Parameter], config: TrainingConfig) -> Callable[[], object]:
    """A step of the optimiser on the block's weights, which have their gradients."""
    if config.precision == "bf16-stochastic" or config.optimizer_states == "bf16":
        from rulekit.training.optimizers import StochasticAdamW

        states = torch.bfloat16 if config.optimizer_states == "bf16" else torch.float32
        optimizer = StochasticAdamW(weights, lr=0.0, state_dtype=states)
    else:
        optimizer = torch.optim.AdamW(weights, lr=0.0)

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
        optimizer.step()

    return update


def _count(weights: list[torch.nn.Parameter]) -> int:
    return sum(p.numel() for p in weights if p.grad is not None)


def _quickest(call: Callable[[], object]) -> float:
    """Seconds of the quickest of a few calls, behind one that is not counted."""
    call()
    found = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)

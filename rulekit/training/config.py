"""Settings of a training run: one frozen, documented value, from a preset, a YAML file or a dict.

The trainer, the plan and the command line read it; papermill parameters override its fields.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictInt, ValidationError, model_validator

from rulekit.encoder import MAX_TOKENS
from rulekit.training.presets import PRESETS


class LoraConfig(BaseModel):
    """Low-rank adaptation: the base stays fixed, small matrices beside it are trained (peft).

    Attributes
    ----------
    rank
        Rank of the added matrices, positive.
    alpha
        Scale of the added product is alpha / rank, positive.
    dropout
        On the input of the added matrices, in [0, 1).
    targets
        Names of the linear layers that get one; ``all-linear`` is every one but the head.
    quantize
        Hold the linear layers of the fixed base in 4 bits (QLoRA; needs bitsandbytes). The saved
        model has them in bfloat16 again, with the matrices merged.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(16, ge=1)
    alpha: float = Field(32.0, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    quantize: bool = False


class TrainingConfig(BaseModel):
    """Settings of one training run; an unknown key is an error.

    Attributes
    ----------
    task
        ``reward``: one scalar a response, trained on pairs. ``adapter``: one logit a rule, trained
        on the rules selected for a pair.
    frozen
        Fit only a head, in seconds: on the vectors of the kit's encoder by `l2` for rewards, by
        `epochs`, `learning_rate` and `weight_decay` for an adapter; for rewards also on the states
        of any other `model`, one pass over the texts, which is kept. Of the other settings only
        those that `applied` names go with it.
    l2
        Ridge penalty on the head of a frozen reward model, positive.
    layer
        Blocks that the states of a frozen language model have passed; None takes the layer with the
        least loss in a cross-validation inside the pairs that are trained on.
    model
        Name or folder that `AutoModelForSequenceClassification` and `AutoTokenizer` load;
        ``minilm`` is the kit's offline encoder.
    revision
        Commit or tag of a model from the hub; None takes its main branch.
    random_weights
        Read only the model's configuration and start from random weights: for benchmarks.
    objective
        ``bradley_terry``: hard labels. ``margin``: the rewards must differ by the label's evidence.
        ``soft``: the target is P(A is preferred).
    margin_scale
        Reward units per unit of evidence under ``margin``, not negative.
    center
        Weight of the mean squared sum of a pair's two rewards, which keeps rewards around zero;
        0 is off.
    max_tokens
        Longest sequence, chat template included.
    too_long
        Pairs with a longer sequence: ``drop`` leaves them out and says how many, ``truncate`` cuts
        each sequence on the left behind its first token, so that the response stays.
    pairs_per_step
        Pairs of one optimiser step, over all processes.
    token_budget
        Tokens of one forward pass; a step takes as many passes as it needs. Bounds memory and
        changes nothing else: the gradient does not depend on it.
    epochs
        Passes over the data, positive; may be a fraction.
    max_steps
        Stop after this many optimiser steps; None leaves it to `epochs`.
    learning_rate, weight_decay, betas, max_grad_norm
        Of AdamW; the gradient is clipped to `max_grad_norm`.
    schedule
        Of the learning rate after the warm-up: ``cosine``, ``linear`` (both to 0) or ``constant``.
    warmup
        Steps of linear warm-up: a whole number from 1, or a share of all steps below 1.
    dropout
        Keep the model's own dropout; off by default, as usual for reward models.
    precision
        ``float32``; ``bf16``: float32 weights, products in bfloat16; ``bf16-stochastic``: weights
        and gradients in bfloat16, updates rounded up or down at random so that they are right on
        average. Low-rank matrices have the type of the weights.
    optimizer_states
        ``float32``; ``bf16``: rounded at random likewise; ``int8``: blockwise, by bitsandbytes.
    lora
        Train low-rank matrices instead of all weights.
    checkpointed_layers
        Layers whose activations are computed again in the backward pass instead of kept: ``all``,
        or the number of them counted from the first; 0 keeps everything.
    compiled_layers
        Compile each layer for the GPU: on an H100 an 8B model took 20 seconds more for the first
        step and a sixth less for each of the others. Where it cannot be done it is said once, and
        the run goes on without.
    attention
        ``auto`` takes flash attention on a GPU if installed, otherwise ``segments`` (one attention
        call a sequence on a CPU, PyTorch's variable-length kernel on a GPU); any name that
        transformers knows and that supports packed sequences.
    fsdp
        Shard weights, gradients and optimiser states over the processes of ``torchrun``. Each
        process reads the whole model into the host's memory and puts its shards on its device.
    train, evaluation
        Files or named sources of pairs for the command line; without `evaluation`,
        `evaluation_share` of the training prompts is held out.
    evaluation_share
        Share of prompts held out when there is no `evaluation`, in [0, 1).
    rules
        Rule-set file whose texts name the logits of an adapter.
    k
        How many rules an adapter learns to name for a pair.
    evaluate_every, log_every
        In optimiser steps; 0 is only at the end (for logs: never).
    save_every
        Optimiser steps between checkpoints; None is a tenth of the run, 0 only the end. The last
        step always leaves one, before the model is written.
    keep_checkpoints
        How many checkpoints stay on disk, the newest. Each holds weights and optimiser states:
        46 GB for an 8B model in bfloat16 with bfloat16 states.
    tensorboard
        Write TensorBoard files too (needs the package tensorboard).
    device_memory_gb
        Memory of one device in GB (10⁹ bytes) for the plan; None asks the device. With it the plan
        is for another device, so a CPU here tells no time.
    seed
        Of initial weights, order, dropout and rounding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["reward", "adapter"] = "reward"
    frozen: bool = False
    l2: float = Field(30.0, gt=0)
    layer: int | None = Field(None, ge=1)
    model: str = "minilm"
    revision: str | None = None
    random_weights: bool = False

    objective: Literal["bradley_terry", "margin", "soft"] = "bradley_terry"
    margin_scale: float = Field(1.0, ge=0)
    center: float = Field(0.0, ge=0)

    max_tokens: int = Field(1024, ge=8)
    too_long: Literal["drop", "truncate"] = "truncate"
    pairs_per_step: int = Field(32, ge=1)
    token_budget: int = Field(16_384, ge=16)

    epochs: float = Field(1.0, gt=0)
    max_steps: int | None = Field(None, ge=1)
    learning_rate: float = Field(2e-5, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(1.0, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(0.05, ge=0)
    dropout: bool = False

    precision: Literal["float32", "bf16", "bf16-stochastic"] = "float32"
    optimizer_states: Literal["float32", "bf16", "int8"] = "float32"
    lora: LoraConfig | None = None
    checkpointed_layers: Literal["all"] | StrictInt = 0
    compiled_layers: bool = False
    attention: str = "auto"
    fsdp: bool = False

    train: str | None = None
    evaluation: str | None = None
    evaluation_share: float = Field(0.1, ge=0, lt=1)
    rules: str | None = None
    k: int = Field(5, ge=1)

    evaluate_every: int = Field(0, ge=0)
    save_every: int | None = Field(None, ge=0)
    log_every: int = Field(1, ge=0)
    keep_checkpoints: int = Field(2, ge=1)
    tensorboard: bool = False
    device_memory_gb: float | None = Field(None, gt=0)
    seed: int = 0

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        longest = (2 if self.task == "reward" else 1) * self.max_tokens
        if self.token_budget < longest:
            raise ValueError(
                f"token_budget is {self.token_budget}; allowed: at least {longest}, the "
                "longest pair (or text) of max_tokens must fit in one forward pass"
            )
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise ValueError(f"warmup is {self.warmup}; allowed: a share below 1 or whole steps")
        if not all(0 <= b < 1 for b in self.betas):
            raise ValueError(f"betas is {self.betas}; allowed: two numbers in [0, 1)")
        if isinstance(self.checkpointed_layers, int) and self.checkpointed_layers < 0:
            raise ValueError(
                f"checkpointed_layers is {self.checkpointed_layers}; allowed: 'all', 0 or more"
            )
        if self.precision == "bf16-stochastic" and self.optimizer_states == "int8":
            raise ValueError(
                "optimizer_states is 'int8' with precision 'bf16-stochastic'; allowed: 'float32' "
                "or 'bf16', bitsandbytes does not round at random"
            )
        if self.lora and self.lora.quantize and (self.fsdp or self.random_weights):
            other = "fsdp" if self.fsdp else "random_weights"
            raise ValueError(
                f"{other} with lora.quantize; allowed: one of them, only weights that are read can "
                "be held in 4 bits, and they stay whole"
            )
        if self.compiled_layers and (self.lora or self.fsdp):
            other = "lora" if self.lora else "fsdp"
            raise ValueError(
                f"compiled_layers with {other}; allowed: one of them, such layers take minutes to "
                "compile"
            )
        if self.frozen and self.objective == "margin":
            raise ValueError("objective 'margin' with frozen; allowed: 'soft' or 'bradley_terry'")
        if self.reads_states and self.task == "adapter":
            raise ValueError(
                f"model {self.model!r} with frozen and task 'adapter'; allowed: 'minilm', or task "
                "'reward'"
            )
        if self.frozen and self.epochs != int(self.epochs):
            raise ValueError(f"epochs is {self.epochs} with frozen; allowed: whole numbers")
        fields = type(self).model_fields
        self.refuse_unused([n for n, f in fields.items() if getattr(self, n) != f.default])
        return self

    @property
    def reads_states(self) -> bool:
        """Whether a head is fitted to the states of a frozen language model."""
        return self.frozen and self.model != "minilm"

    @property
    def reading(self) -> tuple[int, str]:
        """Longest sequence, and whether a longer one is cut at its ``start`` or its ``end``."""
        encoder = self.frozen and not self.reads_states
        return (MAX_TOKENS, "end") if encoder else (self.max_tokens, "start")

    def applied(self) -> dict:
        """The settings that this run uses: those of its task, frozen or not."""
        return {n: v for n, v in self.model_dump(mode="json").items() if self._uses(n)}

    def refuse_unused(self, names: Iterable[str]) -> None:
        """Refuse settings that this run would not look at.

        Raises
        ------
        ValueError
            Naming them.
        """
        for name in names:
            if self._uses(name):
                continue
            allowed = f"with {_BELONGS.get(name)}"
            if self.frozen:
                allowed = ", ".join(sorted(self._of_a_head()))
            kind = " on a frozen model" if self.frozen else ""
            raise ValueError(f"{name}: not used by task {self.task!r}{kind}; allowed: {allowed}")

    def _uses(self, name: str) -> bool:
        if self.frozen:
            return name in self._of_a_head()
        here = {f"task {self.task!r}", f"objective {self.objective!r}"}
        return name not in _BELONGS or _BELONGS[name] in here

    def _of_a_head(self) -> set[str]:
        """Settings that go with a head on a frozen model."""
        return _FROZEN[self.task] | (_OF_STATES if self.reads_states else set())


# What belongs to one task, objective or way alone. A preset's values that do not apply are left
# out, so that every preset serves both tasks.
_BELONGS = {
    "l2": "frozen",
    "layer": "frozen",
    "objective": "task 'reward'",
    "margin_scale": "objective 'margin'",
    "center": "task 'reward'",
    "too_long": "task 'reward'",
    "rules": "task 'adapter'",
    "k": "task 'adapter'",
}
_ALWAYS = {"task", "frozen", "model", "evaluation_share", "train", "evaluation", "seed"}
_FROZEN = {
    "reward": _ALWAYS | {"objective", "l2"},
    "adapter": _ALWAYS | {"epochs", "learning_rate", "weight_decay", "rules", "k"},
}
_OF_STATES = {"layer", "revision", "max_tokens", "too_long", "token_budget", "precision"}


def load_config(
    source: str | Path | dict | TrainingConfig | None = None,
    /,
    *,
    unset: Collection[str] = (),
    **overrides,
) -> TrainingConfig:
    """Settings from a preset, a YAML file, a dict or another config, with fields overridden.

    Parameters
    ----------
    source
        Name of a preset, path of a ``.yaml`` file (its key `preset` names what it starts from), a
        dict, a `TrainingConfig`; None is the preset ``encoder-frozen``. What a preset says of the
        other task alone, such as `objective` of rewards, is left out.
    unset
        Fields to set to None, such as `lora`.
    overrides
        Fields to set; None leaves a field as it is, so that papermill parameters may default to
        it.

    Raises
    ------
    ValueError
        For an unknown preset, a file that is no YAML, an unknown or badly typed field, fields that
        do not go together, or one that the run would not look at.
    FileNotFoundError
        If the YAML file does not exist.

    Examples
    --------
    >>> load_config("h200-8b", epochs=2).epochs
    2.0
    """
    values = _values(source)
    preset = values.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; allowed: {', '.join(PRESETS)}")
    given = {name: value for name, value in overrides.items() if value is not None}
    given |= dict.fromkeys(unset)
    values |= given
    base = PRESETS.get(preset, {})
    kind = TrainingConfig.model_construct(
        task="adapter" if values.get("task") == "adapter" else "reward",
        frozen=values.get("frozen", base.get("frozen", False)),
        model=values.get("model", base.get("model", "minilm")),
    )
    base = {name: value for name, value in base.items() if kind._uses(name)}
    try:
        config = TrainingConfig(**(base | values))
    except ValidationError as error:
        raise ValueError("; ".join(map(_reason, error.errors()))) from None
    config.refuse_unused(given)
    return config


def _values(source: str | Path | dict | TrainingConfig | None) -> dict:
    """The fields that a source sets, its key `preset` among them."""
    if isinstance(source, TrainingConfig):
        return source.model_dump(exclude_unset=True)
    if isinstance(source, dict):
        return dict(source)
    if source is None or str(source) in PRESETS:
        return {"preset": str(source or "encoder-frozen")}
    if not str(source).endswith((".yaml", ".yml")):
        raise ValueError(
            f"config {str(source)!r} is unknown; allowed: {', '.join(PRESETS)} or a .yaml file"
        )
    values = read_yaml(Path(source).read_text(encoding="utf-8"), str(source)) or {}
    if not isinstance(values, dict):
        raise ValueError(f"{source} holds {type(values).__name__}; allowed: a mapping of settings")
    return values


def read_yaml(text: str, name: str):
    """The value of a YAML text; a `ValueError` that names it if there is none."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name}: {' '.join(str(error).split())}; allowed: YAML") from None


def _reason(error: dict) -> str:
    """One of pydantic's errors in a line; an unknown field beside the nearest known one."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    path = [str(part) for part in error["loc"]]
    if error["type"] != "extra_forbidden":
        return f"{'.'.join(path) or 'settings'}: {error['msg']}"
    known = LoraConfig.model_fields if path[0] == "lora" else TrainingConfig.model_fields
    near = difflib.get_close_matches(path[-1], known, n=1)
    allowed = f"{'.'.join([*path[:-1], *near])!r}, " if near else ""
    return f"unknown setting {'.'.join(path)!r}; allowed: {allowed}what help(rulekit.training.TrainingConfig) lists"

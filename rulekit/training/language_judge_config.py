"""Settings of a language-model judge's training: one frozen value, from a preset, a YAML file or a dict.

`language_judge` and `rulekit train judge` read it. Fields that a run of the other tasks has too carry
the names and meanings of `rulekit.training.TrainingConfig`.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from rulekit.judges.prompts import DEFAULT, Template, template_named
from rulekit.training.config import LoraConfig, read_yaml

# A model that is trained needs no instruction, and every token of the prompt costs a step time.
BRIEF = {
    "name": "brief",
    "order": "conversation_first",
    "instruction": "Does the response satisfy the rule? Answer {answers}.",
    "question": "",
}
PRESETS: dict[str, dict] = {
    # A 135M model on one CPU core: low-rank matrices in the upper half, products in bfloat16.
    "smollm2-judge": {
        "model": "smollm2-135m",
        "train": ("embedded:train", "hh-read", "xstest-read"),
        "evaluation": ("embedded:validation",),
        "template": BRIEF,
        "max_tokens": 448,
        "token_budget": 1536,
        "conversations_per_step": 4,
        "learning_rate": 1e-3,
        "precision": "bf16-stochastic",
        "trained_layers": 15,
        "lora": {"rank": 16, "alpha": 32},
        "save_every": 20,
    },
    # An 8B model on one GPU.
    "llama-8b-judge": {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "train": ("embedded:train", "hh-read", "xstest-read"),
        "evaluation": ("embedded:validation",),
        "max_tokens": 2048,
        "token_budget": 16_384,
        "conversations_per_step": 16,
        "rules_at_once": 32,
        "learning_rate": 1e-4,
        "precision": "bf16-stochastic",
        "lora": {"rank": 16, "alpha": 32},
        "checkpointed_layers": "all",
    },
}


class LanguageJudgeConfig(BaseModel):
    """Settings of one run of `rulekit train judge`; an unknown key is an error.

    Attributes
    ----------
    model, revision
        Name or folder of a causal language model; commit or tag of one from the hub.
    template
        The words of the prompt: a registered template's name, or a template's fields. It is saved
        with the model. Rules must come last, so that those of a conversation share its tokens.
    train, evaluation
        Recorded ratings: names of `rulekit.training.language_judge_data.RATINGS`. Prompts that both
        hold are left out of the first.
    irrelevant
        Irrelevant ratings that are learned for each relevant one, drawn by the seed; None learns
        all, which costs time and gives probabilities of relevance as frequent as in the data.
    rules_at_once
        Rules of a conversation in one pass; the others come in passes of their own.
    left_out
        Rules, drawn by the seed, that are not learned, to be measured on.
    max_tokens
        Longest prompt in tokens, cut as the local judge cuts it.
    conversations_per_step
        Conversations, each with up to `rules_at_once` rules, of one optimiser step.
    token_budget
        Tokens of one forward pass; bounds memory and changes nothing else.
    trained_layers
        Only so many of the last layers learn, so that gradients stop there; None is all of them.
    epochs, max_steps, learning_rate, weight_decay, betas, max_grad_norm, schedule, warmup
        As in `rulekit.training.TrainingConfig`.
    precision, optimizer_states, lora, checkpointed_layers
        Likewise; `lora` without 4-bit weights.
    evaluate_every, save_every, log_every, keep_checkpoints, tensorboard, seed
        Likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: ClassVar[str] = "judge"
    fsdp: ClassVar[bool] = False

    model: str
    revision: str | None = None
    template: str | dict = DEFAULT

    train: tuple[str, ...] = Field(("embedded:train",), min_length=1)
    evaluation: tuple[str, ...] = ()
    irrelevant: float | None = Field(0.5, ge=0)
    rules_at_once: int = Field(16, ge=1)
    left_out: int = Field(0, ge=0)

    max_tokens: int = Field(1024, ge=64)
    conversations_per_step: int = Field(8, ge=1)
    token_budget: int = Field(4096, ge=64)
    trained_layers: int | None = Field(None, ge=1)

    epochs: float = Field(1.0, gt=0)
    max_steps: int | None = Field(None, ge=1)
    learning_rate: float = Field(2e-5, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(1.0, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(0.05, ge=0)

    precision: Literal["float32", "bf16", "bf16-stochastic"] = "float32"
    optimizer_states: Literal["float32", "bf16"] = "float32"
    lora: LoraConfig | None = None
    checkpointed_layers: Literal["all"] | StrictInt = 0

    evaluate_every: int = Field(0, ge=0)
    save_every: int | None = Field(None, ge=0)
    log_every: int = Field(1, ge=0)
    keep_checkpoints: int = Field(2, ge=1)
    tensorboard: bool = False
    seed: int = 0

    @field_validator("train", "evaluation", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> LanguageJudgeConfig:
        template = self.words
        if template.shared != "conversation":
            raise ValueError(
                f"template {template.name!r} begins with the rule; allowed: one in which the "
                "conversation comes first, its rules share a pass"
            )
        if self.lora and (self.lora.quantize or self.lora.dropout):
            raise ValueError(
                "lora.quantize or lora.dropout; allowed: neither in a judge's training"
            )
        if self.warmup >= 1 and self.warmup != int(self.warmup):
            raise ValueError(f"warmup is {self.warmup}; allowed: a share below 1 or whole steps")
        if isinstance(self.checkpointed_layers, int) and self.checkpointed_layers < 0:
            raise ValueError(
                f"checkpointed_layers is {self.checkpointed_layers}; allowed: 'all', 0 or more"
            )
        return self

    @property
    def words(self) -> Template:
        """The template."""
        return template_named(self.template)

    @property
    def pairs_per_step(self) -> int:
        """What the trainer calls the examples of a step."""
        return self.conversations_per_step

    def applied(self) -> dict:
        """All settings, as YAML and JSON hold them."""
        return self.model_dump(mode="json")


def load_judge_config(
    source: str | Path | dict | LanguageJudgeConfig | None = None,
    /,
    *,
    unset: Collection[str] = (),
    **overrides,
) -> LanguageJudgeConfig:
    """Settings from a preset, a YAML file, a dict or another config, with fields overridden.

    Parameters
    ----------
    source
        Name of a preset, path of a ``.yaml`` file (its key `preset` names what it starts from), a
        dict or a `LanguageJudgeConfig`; None is ``smollm2-judge``.
    unset
        Fields to set to None, such as `lora`.
    overrides
        Fields to set; None leaves a field as it is.

    Raises
    ------
    ValueError
        For an unknown preset or field, a file that is no YAML, or fields that do not go together.
    FileNotFoundError
        If the YAML file does not exist.

    Examples
    --------
    >>> load_judge_config("smollm2-judge", left_out=20).left_out
    20
    """
    if isinstance(source, LanguageJudgeConfig):
        values = source.model_dump(exclude_unset=True)
    elif isinstance(source, dict):
        values = dict(source)
    elif source is None or str(source) in PRESETS:
        values = {"preset": str(source or "smollm2-judge")}
    elif str(source).endswith((".yaml", ".yml")):
        values = read_yaml(Path(source).read_text(encoding="utf-8"), str(source)) or {}
        if not isinstance(values, dict):
            raise ValueError(f"{source} holds {type(values).__name__}; allowed: a mapping")
    else:
        allowed = ", ".join(PRESETS)
        raise ValueError(f"config {str(source)!r} is unknown; allowed: {allowed} or a .yaml file")
    preset = values.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"preset {preset!r} is unknown; allowed: {', '.join(PRESETS)}")
    given = {name: value for name, value in overrides.items() if value is not None}
    values = PRESETS.get(preset, {}) | values | given | dict.fromkeys(unset)
    try:
        return LanguageJudgeConfig(**values)
    except ValidationError as error:
        raise ValueError("; ".join(map(_told, error.errors()))) from None


def _told(error: dict) -> str:
    """One of pydantic's errors in the house's words."""
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{name}: no such setting; allowed: {', '.join(LanguageJudgeConfig.model_fields)}"
    if error["type"] == "missing":
        return f"{name} is missing; allowed: the name or folder of a causal language model"
    return f"{name} is {error['input']!r}: {error['msg']}"

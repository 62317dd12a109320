"""The cases of `rulekit bench gpu`: a name comes in, figures as plain values go out.

Each case runs in a process of its own (`python -m rulekit.throughput CASE …`), so that what one
leaves in memory, or its failure, is not the next one's.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from rulekit.inputs import load_pairs
from rulekit.throughput.clock import matrix_peak, peak_memory_gb, rate
from rulekit.throughput.random_models import MAX_TOKENS, SIZES, first_examples, write_classifier
from rulekit.throughput.rating_speed import one_by_one, shared_pass
from rulekit.throughput.training_steps import rulekit_steps, trainer_of, trl_steps
from rulekit.training import load_config, plan
from rulekit.training.presets import PRESETS

WARM_UP = 2  # steps
# A step is that of the preset h200-8b; a tiny one takes the same way.
STEPS = {
    "8b": {name: PRESETS["h200-8b"][name] for name in ("pairs_per_step", "token_budget")},
    "tiny": {"pairs_per_step": 4, "token_budget": 2 * MAX_TOKENS},
}
FULL = {
    "random_weights": True,
    "precision": "bf16-stochastic",
    "optimizer_states": "bf16",
    "checkpointed_layers": "all",
    "learning_rate": 5e-6,
}
LORA = FULL | {"lora": {"rank": 16}, "learning_rate": 1e-4}
QLORA = LORA | {"random_weights": False, "lora": {"rank": 16, "quantize": True}}


@dataclass(frozen=True)
class Setting:
    """What every case is given: the size, `8b` or `tiny`; a source of pairs; the matrix peak."""

    size: str
    pairs: str
    peak: float | None = None  # operations a second, bfloat16
    steps: int = 8


@dataclass(frozen=True)
class Case:
    """What is measured, and the minutes it is expected to take on a GPU of 80 GB."""

    what: str
    minutes: float
    run: Callable[[Setting], dict]


class Refused(ValueError):
    """The plan says that the device has too little memory; nothing was started."""


def _peak(setting: Setting) -> dict:
    return {"peak_tflops": matrix_peak(256 if setting.size == "tiny" else 8192) / 1e12}


def _trained(fields: dict, fewest: bool = False) -> Callable[[Setting], dict]:
    """The kit's trainer with these settings: tokens a second, share of the peak, memory.

    With `fewest` a pass is as short as it must be for few layers to be computed again.
    """

    def run(setting: Setting) -> dict:
        step = STEPS[setting.size]
        with tempfile.TemporaryDirectory() as name:
            folder, examples = _written(Path(name), setting)
            if fewest:
                step = step | _fewest(folder, examples, fields | step, SIZES[setting.size])
            expected = _planned(folder, examples, fields | step)
            if "random_weights" in fields and not fields["random_weights"]:
                _write_weights(folder)
            seconds, _ = rulekit_steps(folder, examples, **fields | step)
        layers = (fields | step)["checkpointed_layers"]
        return _figures(seconds, examples, expected, setting) | {
            "planned_gb": round(expected.total_gb, 1),
            "tokens_per_pass": step["token_budget"],
            "layers_again": SIZES[setting.size]["num_hidden_layers"] if layers == "all" else layers,
        }

    return run


def _by_trl(fields: dict, lora_rank: int | None = None) -> Callable[[Setting], dict]:
    """TRL's trainer on the same pairs, in passes that padded to 1,024 fill the token budget."""

    def run(setting: Setting) -> dict:
        step = STEPS[setting.size]
        pairs, budget = step["pairs_per_step"], step["token_budget"]
        with tempfile.TemporaryDirectory() as name:
            folder, examples = _written(Path(name), setting)
            expected = _planned(folder, examples, (LORA if lora_rank else FULL) | step)
            seconds = trl_steps(
                folder,
                examples,
                pairs,
                budget,
                half=True,
                passes=2 * pairs * MAX_TOKENS // budget,
                lora_rank=lora_rank,
                **fields,
            )
        return _figures(seconds, examples, expected, setting)

    return run


def _loss(setting: Setting) -> dict:
    """Mean loss of the first and the last tenth of 200 steps, on responses that end in yes or no."""
    import polars as pl

    steps, learning_rate = (40, 1e-2) if setting.size == "tiny" else (200, 2e-5)
    ends = [
        (pl.col(f"response_{side}") + word).alias(f"response_{side}")
        for side, word in (("a", " Yes."), ("b", " No."))
    ]
    with tempfile.TemporaryDirectory() as name:
        pairs = _pairs(setting).with_columns(ends)
        folder = write_classifier(Path(name), pairs, SIZES[setting.size])
        examples = first_examples(pairs, folder, steps // 4 * 8)
        step = {"pairs_per_step": 8, "token_budget": STEPS[setting.size]["token_budget"]}
        fields = FULL | step | {"max_steps": steps, "learning_rate": learning_rate}
        _planned(folder, examples, fields)
        seconds, log = rulekit_steps(folder, examples, **fields)
    losses, tenth = [row["loss"] for row in log], steps // 10
    first, last = statistics.mean(losses[:tenth]), statistics.mean(losses[-tenth:])
    if not last < first:
        raise ArithmeticError(f"the loss did not fall: {first:.4f} to {last:.4f}")
    return {
        "steps": len(log),
        "first_loss": round(first, 4),
        "last_loss": round(last, 4),
        "seconds_a_step": round(statistics.median(seconds), 3),
    }


def _resume(setting: Setting) -> dict:
    """Four steps whole, and two of them again from the checkpoint behind the second."""
    step = STEPS[setting.size]
    fields = LORA | step | {"max_steps": 4, "save_every": 2, "keep_checkpoints": 2}
    with tempfile.TemporaryDirectory() as name:
        folder, examples = _written(Path(name) / "model", setting, 4)
        _planned(folder, examples, fields)
        output = Path(name) / "run"
        trainer, _ = trainer_of(folder, examples, output, **fields)
        trainer.train()
        whole = [row["loss"] for row in trainer.state.log_history if "loss" in row]
        del trainer
        checkpoint = output / "checkpoints" / "checkpoint-2"
        size = sum(p.stat().st_size for p in checkpoint.rglob("*") if p.is_file())
        again, _ = trainer_of(folder, examples, output, **fields)
        again.train(resume_from_checkpoint=str(checkpoint))
    resumed = [row["loss"] for row in again.state.log_history if "loss" in row]
    if resumed[-2:] != whole[-2:]:
        raise ArithmeticError(f"losses of steps 3 and 4: {whole[-2:]}, resumed {resumed[-2:]}")
    return {"losses": [round(loss, 6) for loss in whole], "checkpoint_gb": round(size / 1e9, 3)}


def _pairs(setting: Setting):
    found = load_pairs(setting.pairs).sample(fraction=1.0, shuffle=True, seed=0)
    return found.head(400) if setting.size == "tiny" else found


def _written(folder: Path, setting: Setting, steps: int | None = None):
    """A model's folder, and the pairs of all steps."""
    pairs = _pairs(setting)
    write_classifier(folder, pairs, SIZES[setting.size])
    n = (steps or setting.steps) * STEPS[setting.size]["pairs_per_step"]
    return folder, first_examples(pairs, folder, n)


def _write_weights(folder: Path) -> None:
    """Random weights in bfloat16: only weights that are read can be held in 4 bits."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from rulekit.throughput.random_models import device

    described = AutoConfig.from_pretrained(folder)
    with device():
        model = AutoModelForSequenceClassification.from_config(described, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _fewest(folder: Path, examples, fields: dict, sizes: dict) -> dict:
    """The fewest layers to compute again that fit into the memory, in the longest passes that allow it."""
    layers = sizes["num_hidden_layers"]
    budgets = [fields["token_budget"] // part for part in (1, 2, 4, 8)]
    for again in range(0, layers + 1, max(1, layers // 8)):
        for budget in (b for b in budgets if b >= 2 * MAX_TOKENS):
            step = {"token_budget": budget, "checkpointed_layers": again}
            given = {"model": str(folder), "max_tokens": MAX_TOKENS, "evaluation_share": 0.0}
            expected = plan(load_config(given | fields | step), examples.tokens)
            if expected.total_gb < 0.95 * expected.available_gb:
                return step
    return {}


def _planned(folder: Path, examples, fields: dict):
    """The plan; too little memory is a refusal, before anything is allocated."""
    given = {"model": str(folder), "max_tokens": MAX_TOKENS, "evaluation_share": 0.0}
    expected = plan(load_config(given | fields), examples.tokens)
    try:
        return expected.check()
    except ValueError as error:
        raise Refused(str(error)) from None


def _figures(seconds: list[float], examples, expected, setting: Setting) -> dict:
    found = rate(seconds, int(examples.tokens.sum()), skip=WARM_UP)
    done = {
        "tokens_per_second": round(found, 1),
        "seconds_a_step": round(statistics.median(seconds[WARM_UP:]), 3),
        "steps": len(seconds) - WARM_UP,
        "peak_memory_gb": peak_memory_gb(),
    }
    if setting.peak:
        done["share_of_peak"] = round(found * expected.flops / expected.tokens / setting.peak, 4)
    return done


CASES: dict[str, Case] = {
    "peak": Case("the largest bfloat16 matrix product", 0.3, _peak),
    "rating": Case("100 rules in one pass behind a conversation of 300 tokens", 1.2, shared_pass),
    "rating-one-by-one": Case("the same, one pass a rule, at its best batch", 1.5, one_by_one),
    "full": Case("all weights, every layer's activations computed again", 1.5, _trained(FULL)),
    "full-fewest": Case(
        "the same, in short passes with as few layers computed again as the memory allows",
        1,
        _trained(FULL, fewest=True),
    ),
    "full-compiled": Case(
        "the same, and each layer compiled",
        1,
        _trained(FULL | {"compiled_layers": True}, fewest=True),
    ),
    "lora": Case("low-rank matrices of rank 16", 1, _trained(LORA)),
    "lora-fewest": Case("the same, few layers computed again", 1, _trained(LORA, fewest=True)),
    "qlora": Case("the same over a base in 4 bits", 3, _trained(QLORA)),
    "trl": Case("TRL's RewardTrainer, all weights, dynamic padding", 1.2, _by_trl({})),
    "trl-padded": Case("TRL's, padded to 1,024", 3.5, _by_trl({"pad_to_multiple_of": MAX_TOKENS})),
    "trl-lora": Case("TRL's, low-rank matrices of rank 16", 1.2, _by_trl({}, lora_rank=16)),
    "loss": Case("200 steps in which the loss falls", 4, _loss),
    "resume": Case("a checkpoint, and the same steps again from it", 2, _resume),
}

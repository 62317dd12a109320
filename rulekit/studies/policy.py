"""A policy trained against a saved reward model: prompts come in, rewards step by step go out.

TRL's trainers take the folder as it is, so nothing of this kit stands between policy and reward;
what they saw is read once more here, to be compared. Notebook 20 shows it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

METHODS = ("grpo", "rloo")


@dataclass(frozen=True, eq=False)
class PolicyRun:
    """What a few steps of policy optimisation left.

    Attributes
    ----------
    steps
        A row a step: ``step``, ``reward``, the mean over its completions, ``low`` and ``high``, a
        95 % interval over them, and ``words``, their mean length.
    completions
        A row a completion: ``step``, ``prompt``, ``completion``, ``reward`` as the trainer took it.
    """

    steps: pl.DataFrame
    completions: pl.DataFrame


def optimise_policy(
    model: str | Path,
    reward: str | Path,
    prompts: Sequence[str],
    *,
    method: str = "grpo",
    steps: int = 6,
    group: int = 4,
    max_new_tokens: int = 24,
    learning_rate: float = 1e-5,
    seed: int = 0,
) -> PolicyRun:
    """Train a language model for a few steps to write what a reward model likes.

    Parameters
    ----------
    model
        The policy: a name of `rulekit models list`, or a folder.
    reward
        Folder of a saved reward model.
    prompts
        What is asked, one or more; a step takes the next one, and begins again behind the last.
    method
        One of `METHODS`.
    steps
        Steps of the optimiser.
    group
        Completions of a prompt, 2 or more: each is held against the others' mean.
    max_new_tokens
        Longest completion.
    learning_rate
        Of AdamW.
    seed
        Of what is drawn.

    Returns
    -------
    The run; the policy itself is not kept.

    Raises
    ------
    ValueError
        For an unknown method, no prompt, or a group of one.
    ImportError
        If the package trl is not installed.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}; allowed: {', '.join(METHODS)}")
    if not prompts or group < 2:
        raise ValueError(
            f"{len(prompts)} prompts, group {group}; allowed: one prompt or more, 2 or more a group"
        )
    import torch
    import trl
    from datasets import Dataset
    from transformers.trainer_callback import PrinterCallback

    from rulekit.training.models import path_of

    kind, settings = {
        "grpo": (trl.GRPOTrainer, trl.GRPOConfig),
        "rloo": (trl.RLOOTrainer, trl.RLOOConfig),
    }[method]
    asked = [[{"role": "user", "content": prompts[i % len(prompts)]}] for i in range(steps)]
    with tempfile.TemporaryDirectory() as output:
        trainer = kind(
            model=path_of(str(model)),
            reward_funcs=str(reward),
            args=settings(
                output_dir=output,
                per_device_train_batch_size=group,
                num_generations=group,
                max_completion_length=max_new_tokens,
                max_steps=steps,
                learning_rate=learning_rate,
                lr_scheduler_type="constant",
                shuffle_dataset=False,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                seed=seed,
                bf16=False,
                use_cpu=not torch.cuda.is_available(),
            ),
            train_dataset=Dataset.from_list([{"prompt": turns} for turns in asked]),
        )
        trainer.remove_callback(PrinterCallback)  # its lines say what the frame says
        seen = _watched(trainer)
        trainer.train()
    rows = [
        {"step": step, "prompt": prompt, "completion": text, "reward": value}
        for step, batch in enumerate(seen, start=1)
        for prompt, text, value in batch
    ]
    frame = pl.DataFrame(rows)
    return PolicyRun(_by_step(frame), frame)


def _watched(trainer) -> list[list[tuple[str, str, float]]]:
    """Prompts, completions and rewards of each step, as the trainer's own function gives them."""
    seen: list = []
    plain = trainer._calculate_rewards

    def kept(inputs, prompts, completions, *more):
        found = plain(inputs, prompts, completions, *more)
        texts = [c[0]["content"] for c in completions]
        asked = [p[-1]["content"] for p in prompts]
        seen.append(list(zip(asked, texts, found[:, 0].tolist(), strict=True)))
        return found

    trainer._calculate_rewards = kept
    return seen


def _by_step(frame: pl.DataFrame) -> pl.DataFrame:
    """Mean reward of each step with its interval, and the completions' length."""
    by = frame.group_by("step", maintain_order=True).agg(
        pl.col("reward").mean(),
        half=1.96 * pl.col("reward").std() / pl.len().sqrt(),
        words=pl.col("completion").str.split(" ").list.len().mean(),
    )
    return by.select(
        "step",
        "reward",
        low=pl.col("reward") - pl.col("half"),
        high=pl.col("reward") + pl.col("half"),
        words="words",
    )


def policy_gap(run: PolicyRun, reward: str | Path) -> float:
    """The largest difference between the rewards that a trainer took and those that the kit reads.

    Parameters
    ----------
    run
        From `optimise_policy`.
    reward
        The same reward model.
    """
    from rulekit.training import RewardModel

    texts = run.completions.filter(pl.col("completion").str.strip_chars() != "")
    pairs = texts.select(
        pl.format("{}", pl.int_range(pl.len())).alias("pair_id"),
        "prompt",
        pl.col("completion").alias("response_a"),
        pl.col("completion").alias("response_b"),
    )
    found = RewardModel.load(reward).rewards(pairs)[:, 0]
    return float(np.abs(found - texts["reward"].to_numpy()).max())


def policy_findings(run: PolicyRun, gap: float) -> str:
    """What the few steps showed, in sentences made of their figures.

    Parameters
    ----------
    run
        From `optimise_policy`.
    gap
        From `policy_gap`.

    Returns
    -------
    Markdown.
    """
    first, last = run.steps.row(0, named=True), run.steps.row(-1, named=True)
    apart = last["low"] > first["high"] or last["high"] < first["low"]
    moved = "rose" if last["reward"] > first["reward"] else "fell"
    told = (
        f"it {moved} beyond what chance explains"
        if apart
        else "so few steps and completions cannot tell that from chance"
    )
    return "\n".join(
        [
            f"- Mean reward of the first step {first['reward']:+.3f}, of the last "
            f"{last['reward']:+.3f}: {told}.",
            f"- Completions have {first['words']:.0f} words at first and {last['words']:.0f} at the end.",
            f"- The trainer's rewards are those of the kit{f' to {gap:.0e}' if gap else ''}.",
        ]
    )

"""A language model that learns to rate: recorded ratings come in, a plain model folder goes out.

The model is asked with the very prompt of `rulekit.judges.local`, and learns by cross-entropy which
token answers; of a judge that compared it learns by how much more likely yes is for the better
response. Several rules of one conversation share a pass. `rulekit train judge` calls
`train_language_judge`; any server loads what it leaves.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from rulekit.encoder import quiet_when_headless
from rulekit.files import write_atomically, write_json
from rulekit.inputs.identity import Identity
from rulekit.judges.local import LocalJudge
from rulekit.judges.local.weights import TEMPLATE_FILE
from rulekit.judges.prompts import ANSWERS
from rulekit.training import language_judge_data as recorded
from rulekit.training import layers, models, run_folder
from rulekit.training.engine import TrainingRun
from rulekit.training.language_judge_config import LanguageJudgeConfig, load_judge_config
from rulekit.training.language_judge_data import JudgeExamples, Ratings
from rulekit.training.version4 import name_for_version4

_DTYPES = {"float32": torch.float32, "bf16": torch.float32, "bf16-stochastic": torch.bfloat16}


def train_language_judge(
    config: LanguageJudgeConfig | str | Path | dict | None = None,
    ratings: Ratings | Sequence[Ratings] | None = None,
    *,
    output: str | Path,
    evaluation: Ratings | Sequence[Ratings] | None = None,
    provenance: dict | None = None,
    resume: bool = True,
    **overrides,
) -> TrainingRun:
    """Teach a causal language model to rate as recorded ratings do.

    Parameters
    ----------
    config, overrides
        What `load_judge_config` takes.
    ratings, evaluation
        To learn, and to measure on; by default those that the settings name.
    output
        Folder of the run; the judge is in ``model`` below it, with its template beside it, so that
        ``rulekit.judge("local", model=FOLDER)`` asks it as it was taught.
    provenance
        For the card: what was learned.
    resume
        Go on from the newest complete checkpoint in `output`; a run that has finished there is
        returned as it is. False begins anew.

    Returns
    -------
    The run, `stopped` after a SIGTERM or SIGINT.

    Raises
    ------
    ValueError
        For bad settings or ratings, a model whose layers a shared pass cannot show, a package that
        is not installed, or a folder with another run.
    FileNotFoundError
        If the model or the texts are not to be had.
    FloatingPointError
        If a loss or gradient is not finite; the last good checkpoint stays.
    OSError
        If a checkpoint or the model cannot be written; earlier checkpoints stay.
    """
    from rulekit.training.callbacks import MetricsFile, ProgressBar, StopOnSignal
    from rulekit.training.language_judge_trainer import LanguageJudgeTrainer

    config, output = load_judge_config(config, **overrides), Path(output)
    models.check_packages(config)
    quiet_when_headless()
    model, judge, examples, measured = _prepared(config, ratings, evaluation)
    identity = run_folder.identity_of(config, examples.digest(), list(ANSWERS), Identity())
    run_folder.refuse_another(output, identity)
    told = {"data_sha256": identity["data_sha256"]}
    told |= {"evaluation_sha256": measured.digest()} if measured else {}
    if resume and (done := run_folder.finished(output, identity, told)) is not None:
        return TrainingRun(output, config, done)
    if main := int(os.environ.get("RANK", "0")) == 0:
        run_folder.begin(output, config, identity, resume)
    with StopOnSignal() as stop:
        trainer = LanguageJudgeTrainer(
            config,
            model,
            judge.tokenizer,
            examples,
            measured,
            output,
            [MetricsFile(output), ProgressBar(), stop],
            spellings=judge.spellings,
        )
        checkpoint = run_folder.newest_checkpoint(output) if resume else None
        if checkpoint is not None and run_folder.is_last(checkpoint):
            trainer.take_up(checkpoint)
        else:
            trainer.train(resume_from_checkpoint=checkpoint)
        if stop.asked and trainer.state.global_step < trainer.state.max_steps:
            return TrainingRun(output, config, stopped=True)
        trained = trainer.accelerator.unwrap_model(trainer.model)
        trained = trained.merge_and_unload() if config.lora else trained
        trainer.model = trainer.model_wrapped = trained
        metrics = {}
        if measured is not None:
            metrics = {k.removeprefix("eval_"): v for k, v in trainer.evaluate().items()}
    if main:
        told = told | {"ratings": examples.n_ratings} | (provenance or {})
        _leave(output, config, trained, judge, metrics, told)
    trainer.accelerator.wait_for_everyone()
    return TrainingRun(output, config, metrics)


def plan_language_judge(
    config: LanguageJudgeConfig | str | Path | dict | None = None,
    ratings: Ratings | Sequence[Ratings] | None = None,
    **overrides,
) -> str:
    """What a run will read and hold, in words; activations, which `token_budget` bounds, come on top.

    Parameters
    ----------
    config, ratings, overrides
        As for `train_language_judge`; raises what it raises.
    """
    config = load_judge_config(config, **overrides)
    models.check_packages(config)
    model, _, examples, _ = _prepared(config, ratings, None)
    sizes = [(p.numel(), p.element_size(), p.requires_grad) for p in model.parameters()]
    total, learned = (sum(n for n, _, t in sizes if t or every) for every in (True, False))
    state = 4 if config.optimizer_states == "float32" else 2
    held = sum(n * b for n, b, _ in sizes)
    held += sum(n * (b + 2 * state) for n, b, t in sizes if t)
    steps = config.max_steps or int(
        np.ceil(config.epochs * np.ceil(len(examples) / config.conversations_per_step))
    )
    passes = steps * config.conversations_per_step
    tokens = int(examples.tokens.mean() * passes)
    alone = np.mean(
        [sum((len(t.prefix) * (len(t.suffixes) - 1)) for t in ts) for ts in examples.trees]
    )
    return "\n".join(
        [
            f"parameters   {total:>15,}   trained {learned:,}",
            f"together     {held / 1e9:>12.2f} GB of weights, gradients and optimiser states",
            f"ratings      {examples.n_ratings:>15,} in {len(examples):,} conversations with rules",
            f"run          {steps:>15,} steps, {tokens:,} tokens; one rating a pass would read "
            f"{int(tokens + alone * passes):,}",
        ]
    )


def _prepared(config: LanguageJudgeConfig, ratings, evaluation):
    """The model, the judge that asks it, and examples to learn and to measure on."""
    learned = _given(ratings, config.train)
    held = _given(evaluation, config.evaluation)
    learned = [recorded.without_prompts(part, held) for part in learned] if held else learned
    if config.left_out:
        learned = [_fewer(part, config) for part in learned]
    model, judge = load_causal(config)
    make = {"rules_at_once": config.rules_at_once, "irrelevant": config.irrelevant}
    examples = recorded.judge_examples(learned, judge, seed=config.seed, **make)
    measured = recorded.judge_examples(held, judge, seed=config.seed, **make) if held else None
    for part in (examples, measured):
        _refuse_long(part, config.token_budget)
    return model, judge, examples, measured


def load_causal(config: LanguageJudgeConfig) -> tuple[nn.Module, LocalJudge]:
    """The model that is to learn, and a judge that asks it with the prompt of the settings.

    Parameters
    ----------
    config
        Model, words, precision, adaptation.

    Raises
    ------
    ValueError
        If a shared pass cannot show the model's layers, or it has fewer than `trained_layers`.
    FileNotFoundError
        If the model is neither a folder nor one that can be had.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rulekit.judges.local.shared_pass import refusal

    torch.manual_seed(config.seed)
    tokenizer = models.read(AutoTokenizer, config)
    model = models.read(AutoModelForCausalLM, config, dtype=_DTYPES[config.precision])
    if reason := refusal(model):
        raise ValueError(f"{config.model}: {reason}; allowed: full and sliding-window attention")
    model.config.use_cache = False
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.0
    limit = {"max_tokens": config.max_tokens, "attention": "separate"}
    judge = LocalJudge(model, tokenizer, config.model, config.words, **limit)
    blocks = _blocks(model)
    n = len(blocks) if config.trained_layers is None else config.trained_layers
    if n > len(blocks):
        raise ValueError(f"trained_layers is {n}; allowed: 1 to {len(blocks)}, the model's layers")
    if config.trained_layers is not None:
        model.requires_grad_(False)
        for block in blocks[len(blocks) - n :]:
            block.requires_grad_(True)
    layers.recompute(model, config.checkpointed_layers)
    return (_with_lora(model, blocks, n, config) if config.lora else model), judge


def _given(ratings, names: Sequence[str]) -> list[Ratings]:
    if ratings is None:
        return [recorded.load_recorded(name) for name in names]
    return [ratings] if isinstance(ratings, Ratings) else list(ratings)


def _fewer(part: Ratings, config: LanguageJudgeConfig) -> Ratings:
    out = recorded.left_out_rules(part.rules, config.left_out, config.seed)
    return part.under(np.setdiff1d(np.arange(len(part.rules)), out))


def _refuse_long(examples: JudgeExamples | None, budget: int) -> None:
    if examples is not None and (longest := int(examples.tokens.max())) > budget:
        raise ValueError(
            f"token_budget is {budget}; allowed: at least {longest}, the longest conversation with "
            "its rules, or a smaller rules_at_once or max_tokens"
        )


def _blocks(model: nn.Module) -> nn.ModuleList:
    """The model's layers, from the first."""
    n = model.config.get_text_config().num_hidden_layers
    return next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == n)


def _with_lora(model: nn.Module, blocks: nn.ModuleList, n: int, config: LanguageJudgeConfig):
    """Low-rank matrices beside the linear layers of the last n layers, in the type of the weights."""
    import peft

    targets = config.lora.targets
    if isinstance(targets, str):
        names = (name for name, m in blocks.named_modules() if isinstance(m, nn.Linear))
        targets = sorted({name.rsplit(".", 1)[-1] for name in names})
    settings = peft.LoraConfig(
        task_type=peft.TaskType.CAUSAL_LM,
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        target_modules=list(targets),
        layers_to_transform=list(range(len(blocks) - n, len(blocks))),
    )
    return peft.get_peft_model(model, settings, autocast_adapter_dtype=False)


def _leave(output: Path, config, model, judge: LocalJudge, metrics: dict, told: dict) -> None:
    """The plain model with its template and card: all of the folder or none of it; then the result."""
    staging, target = output / ".model", output / "model"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        model.config.use_cache = True
        model.save_pretrained(staging)
        judge.tokenizer.save_pretrained(staging)
        name_for_version4(staging, judge.tokenizer.model_input_names)
        write_json(staging / TEMPLATE_FILE, config.words.model_dump(mode="json"))
        card = _card(config, metrics, told)
        write_atomically(staging / "README.md", lambda p: p.write_text(card, encoding="utf-8"))
        (output / "result.json").unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
        write_json(output / "result.json", {"metrics": metrics, "provenance": told})
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise OSError(
            f"the judge could not be written to {target} ({error}); the last checkpoint is "
            "untouched: the same call goes on from it"
        ) from error


def _card(config: LanguageJudgeConfig, metrics: dict, told: dict) -> str:
    """What the folder says of itself."""
    base = config.model if "/" not in config.model else Path(config.model).name
    lines = [
        "# A judge of single responses under written rules",
        "",
        f"A causal language model that answers yes, no or irrelevant, trained from `{base}` by rulekit "
        "on recorded ratings. Its template lies beside it and is part of it: asked in other words it "
        "was not trained.",
        "",
        "```python",
        'rulekit.judge("local", model=FOLDER)',
        "```",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {k} | {v} |" for k, v in config.applied().items() if k not in ("model", "template")),
        "",
        "| told | value |",
        "|---|---|",
        *(f"| {k} | {v} |" for k, v in {**told, **metrics}.items()),
        "",
        "Measures without an interval by prompt treat ratings of one prompt as independent. The "
        "licence is that of the base model, and of the texts for what was learned from them.",
        "",
    ]
    return "\n".join(lines)

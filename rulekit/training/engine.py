"""One training run from pairs to a folder that others load.

Pairs, targets and settings come in, a `TrainingRun` goes out. `train_reward`, `train_adapter` and the
command line call it; open it first.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import torch
from safetensors import SafetensorError

from rulekit.encoder import quiet_when_headless
from rulekit.files import write_json
from rulekit.inputs.identity import Identity
from rulekit.inputs.rules import numbered_ids
from rulekit.labels import Labels
from rulekit.selection.registry import Selection
from rulekit.training import frozen, frozen_language, models, run_folder, targets
from rulekit.training.batches import Examples
from rulekit.training.card import write_card
from rulekit.training.config import TrainingConfig, load_config
from rulekit.training.memory_plan import Plan, plan
from rulekit.training.plain_model import Note

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingRun:
    """A finished (or stopped) run.

    Attributes
    ----------
    folder
        Of the run: ``model`` (the plain model and its card), ``config.yaml``, ``result.json``; of a
        run with steps ``metrics.jsonl`` and ``checkpoints`` too.
    config
        Settings of the run.
    metrics
        Held-out measures at the end; empty if nothing was held out.
    stopped
        SIGTERM or SIGINT came: there is a checkpoint to go on from, and no model yet.
    """

    folder: Path
    config: TrainingConfig
    metrics: dict = field(default_factory=dict)
    stopped: bool = False

    @property
    def model_folder(self) -> Path:
        return self.folder / "model"


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Everything of a run but the model."""

    config: TrainingConfig
    output: Path
    data: targets.Data
    held: targets.Data | None
    tokenizer: object
    examples: Examples
    held_examples: Examples | None
    rules: Identity
    labels: list[str]
    digests: dict[str, str]
    remarks: list[str]

    @property
    def truncation(self) -> dict[str, dict[str, int]]:
        """What was cut of the texts, as `rulekit.training.sequences.counted` says it."""
        parts = {"train": self.examples, "evaluation": self.held_examples}
        return {name: part.truncation for name, part in parts.items() if part is not None}

    @property
    def identity(self) -> dict:
        data = self.digests["data_sha256"]
        return run_folder.identity_of(self.config, data, self.labels, self.rules)

    def note(self, metrics: dict) -> Note:
        max_tokens, cut = self.config.reading
        return Note(
            task=self.config.task,
            max_tokens=max_tokens,
            cut=cut,
            token_budget=self.config.token_budget,
            attention=self.config.attention,
            metrics=metrics,
            rule_ids=self.rules.rule_ids,
            rule_digests=self.rules.rule_digests,
        )


def train(
    pairs: pl.DataFrame,
    target: Labels | Selection | np.ndarray | None = None,
    config: TrainingConfig | str | Path | dict | None = None,
    *,
    output: str | Path,
    evidence: np.ndarray | None = None,
    evaluation: pl.DataFrame | None = None,
    evaluation_target: Labels | Selection | np.ndarray | None = None,
    evaluation_evidence: np.ndarray | None = None,
    provenance: dict | None = None,
    resume: bool = True,
    on_plan: Callable[[Plan], object] | None = None,
    only_plan: bool = False,
    **overrides,
) -> TrainingRun:
    """Train a reward model or a Rule Adapter.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows, as `rulekit.load_pairs` gives it; checked as there.
    target
        Reward: `Labels`, found by the ids of their pairs; or P(A is preferred), (n_pairs,), in
        [0, 1], NaN leaves a pair out; None takes the column `preference` (ties and unknowns are left
        out). Adapter: the `Selection` to be named.
    config, overrides
        What `load_config` takes.
    output
        Folder of the run.
    evidence
        Evidence of each label, (n_pairs,), for the objective ``margin``; `Labels` bring their own.
    evaluation, evaluation_target, evaluation_evidence
        Held-out pairs, their target and evidence as above; None holds out `evaluation_share` of
        the prompts.
    provenance
        For the model card: `data`, `rule_set`, `label_method`, `selector`, …
    resume
        Go on from the newest complete checkpoint in `output`, if there is one; a run that has
        finished there is returned as it is. False removes the checkpoints and begins anew.
    on_plan, only_plan
        Called with the plan before anything is loaded, such as ``print``; stop behind it. A head on
        a frozen model has no plan.

    Returns
    -------
    The run, `stopped` after a SIGTERM or SIGINT.

    Raises
    ------
    ValueError
        For bad settings or data, a package that is not installed, a run that cannot fit into the
        device's memory, or a checkpoint of a run with other settings or data.
    FileNotFoundError
        If the model cannot be found.
    FloatingPointError
        If a loss or gradient is not finite; the last good checkpoint stays.
    OSError
        If a checkpoint or the model cannot be written; earlier checkpoints stay.
    """
    if isinstance(target, Selection):
        overrides.setdefault("task", "adapter")
    config = load_config(config, **overrides)
    if "k" not in config.model_fields_set and isinstance(target, Selection):
        config = config.model_copy(update={"k": target.k})
    held = (evaluation, evaluation_target, evaluation_evidence)
    if evaluation is None and any(given is not None for given in held[1:]):
        raise ValueError("evaluation_target without evaluation; allowed: the pairs that it is of")
    if evaluation is not None and "evaluation_share" in overrides:
        raise ValueError("evaluation and evaluation_share are given; allowed: one of them")
    if not only_plan:
        models.check_packages(config)
    quiet_when_headless()
    run = _prepared(
        config, Path(output), targets.aligned(config.task, pairs, target, evidence), held
    )
    if not config.frozen:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        held_out = None if run.held_examples is None else run.held_examples.tokens
        tokens, labels = run.examples.tokens, len(run.labels)
        expected = plan(config, tokens, held_out=held_out, n_labels=labels, processes=processes)
        if on_plan is not None:
            on_plan(expected)
        expected.check()
    if only_plan:
        return TrainingRun(run.output, config)
    if resume and (done := _finished(run)) is not None:
        return done
    for remark in run.remarks:
        warnings.warn(remark, stacklevel=2)
    told = run.digests | (provenance or {})
    return _fit_head(run, resume, told) if config.frozen else _train_model(run, resume, told)


def trained(
    make: Callable[[Path], T],
    pairs: pl.DataFrame,
    target: Labels | Selection | np.ndarray | None,
    config: TrainingConfig | str | Path | dict | None,
    *,
    output: str | Path | None,
    **given,
) -> T:
    """What `make`, such as `RewardModel`, reads from the model folder of a run that has finished.

    Arguments are those of `train`; without an `output` a temporary folder goes with what was made.

    Raises
    ------
    RuntimeError
        If SIGTERM or SIGINT stopped the run.
    """
    on = "nothing is left: name an output"
    if output is not None:
        on = f"the same call goes on from {output}"
    folder = Path(tempfile.mkdtemp(prefix="rulekit-") if output is None else output)
    try:
        run = train(pairs, target, config, output=folder, **given)
        if run.stopped:
            raise RuntimeError(f"stopped; {on}")
        made = make(run.model_folder)
    except BaseException:
        if output is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if output is None:
        shutil.rmtree(folder / run_folder.CHECKPOINTS, ignore_errors=True)
        weakref.finalize(made, shutil.rmtree, folder, ignore_errors=True)
    return made


def _prepared(config: TrainingConfig, output: Path, data: targets.Data, evaluation) -> _Prepared:
    """Tokenised examples to train on and to measure on, and what the logits are called."""
    encoder = config.frozen and not config.reads_states
    tokenizer = frozen.load_tokenizer(config.task) if encoder else models.load_tokenizer(config)
    rules = Identity() if config.task == "reward" else data.target.identity.rules
    held = None
    if evaluation[0] is not None:
        if len(evaluation[0]):
            held = targets.aligned(config.task, *evaluation, rules, "evaluation")
    elif config.evaluation_share > 0:
        data, held = targets.held_out(data, config.evaluation_share, config.seed)
    labels = ["reward"]
    if config.task == "adapter":
        labels = list(rules.rule_ids or numbered_ids(data.target.n_rules))
    examples = targets.examples(data, config, tokenizer)
    digests = {"data_sha256": run_folder.data_digest(examples)}
    held_examples, remarks = None, []
    if held is not None:
        held_examples = targets.examples(held, config, tokenizer)
        digests["evaluation_sha256"] = run_folder.data_digest(held_examples)
        remarks = targets.shared(data.pairs, held.pairs)
    if not config.frozen:
        remarks += models.dropped_head(config, labels)
    return _Prepared(
        config=config,
        output=output,
        data=data,
        held=held,
        tokenizer=tokenizer,
        examples=examples,
        held_examples=held_examples,
        rules=rules,
        labels=labels,
        digests=digests,
        remarks=remarks,
    )


def _finished(run: _Prepared) -> TrainingRun | None:
    """The run as it was left, if it has finished; a folder with another run is refused."""
    run_folder.refuse_another(run.output, run.identity)
    metrics = run_folder.finished(run.output, run.identity, run.digests)
    return None if metrics is None else TrainingRun(run.output, run.config, metrics)


def _fit_head(run: _Prepared, resume: bool, told: dict) -> TrainingRun:
    """A head on a frozen model; there is nothing to go on from but states that were read before."""
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise ValueError(f"{processes} processes with frozen; allowed: 1, it takes seconds")
    run_folder.begin(run.output, run.config, run.identity, resume)
    kind = frozen_language if run.config.reads_states else frozen
    head, metrics = kind.fit(run.config, run.data.pairs, run.examples), {}

    def write(folder: Path, note: Note) -> None:
        kind.write(folder, head, note, run.config)

    _leave(run, told, write, "what was there is untouched")
    if run.held is not None:
        metrics = kind.held_out(head, run.config, run.held.pairs, run.held_examples)
    _report(run, metrics, told, write if run.config.task == "adapter" else _write_note)
    return TrainingRun(run.output, run.config, metrics)


def _train_model(run: _Prepared, resume: bool, told: dict) -> TrainingRun:
    """The loop over steps, and the model that it leaves."""
    from rulekit.training.callbacks import MetricsFile, ProgressBar, StopOnSignal
    from rulekit.training.trainer import PackedTrainer  # seconds to import: a head needs none of it

    config, output = run.config, run.output
    if int(os.environ.get("RANK", "0")) == 0:
        run_folder.begin(output, config, run.identity, resume)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = models.load_model(config, run.tokenizer, run.labels, device)
    for part in (run.examples, run.held_examples):
        if part is not None:
            models.refuse_larger_tokenizer(model, run.tokenizer, config.model, part.sequences)
    with StopOnSignal() as stop:
        trainer = PackedTrainer(
            config,
            model,
            run.tokenizer,
            run.examples,
            run.held_examples,
            output,
            [MetricsFile(output), ProgressBar(), stop],
        )
        checkpoint = run_folder.newest_checkpoint(output) if resume else None
        if checkpoint is not None and run_folder.is_last(checkpoint):
            trainer.take_up(checkpoint)
        else:
            trainer.train(resume_from_checkpoint=checkpoint)
        if stop.asked and trainer.state.global_step < trainer.state.max_steps:
            return TrainingRun(output, config, stopped=True)
        # The model first: what then goes wrong costs the measures, and the same call takes them.
        state = trainer.whole_state()  # all processes take part
        write, main = _plain_writer(trainer, run, state), trainer.args.should_save
        if main:
            left = (
                f"the checkpoint of step {trainer.state.global_step} is untouched: the same call "
                "goes on from it"
            )
            _leave(run, told, write, left)
        trainer.accelerator.wait_for_everyone()
        metrics = {}
        if run.held_examples is not None:
            metrics = {k.removeprefix("eval_"): v for k, v in trainer.evaluate().items()}
    if main:
        _report(run, metrics, told, _write_note)
    trainer.accelerator.wait_for_everyone()  # a process that is ahead would not find the model
    return TrainingRun(output, config, metrics)


_Write = Callable[[Path, Note], object]  # into a model's folder


def _write_note(folder: Path, note: Note) -> None:
    note.write(folder)


def _plain_writer(trainer, run: _Prepared, state: dict | None) -> _Write:
    """What writes the trained model."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    lora = run.config.lora
    if lora and (state is not None or lora.quantize):
        if not trainer.args.should_save:  # the whole state is the main process's alone
            return _write_note
        state = state or model.state_dict()
        model = models.whole_precision(state, run.config, run.tokenizer, run.labels)
        state = None
    elif lora:  # in every process, so that all measure what is saved
        model = model.merge_and_unload()

    def write(folder: Path, note: Note) -> None:
        models.save_plain(model, run.tokenizer, folder, state)
        note.write(folder)

    return write


def _leave(run: _Prepared, told: dict, write: _Write, left: str) -> None:
    """The model with its card, not measured yet: all of the folder or none of it."""
    staging, target = run.output / ".model", run.output / "model"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    try:
        _describe(run, staging, None, told, write)
        (run.output / "result.json").unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise OSError(
            f"the final model could not be written to {target} ({error}); {left}"
        ) from error


def _report(run: _Prepared, metrics: dict, told: dict, write: _Write) -> None:
    """The held-out measures, into the model's folder and as the result, which ends the run."""
    try:
        _describe(run, run.output / "model", metrics, told, write)
        result = {"metrics": metrics, "truncation": run.truncation, "remarks": run.remarks}
        write_json(run.output / "result.json", result | {"provenance": told})
    except OSError as error:
        raise OSError(
            f"the measures could not be written to {run.output} ({error}); the model there is "
            "whole, the same call measures it again"
        ) from error


def _describe(
    run: _Prepared, folder: Path, metrics: dict | None, told: dict, write: _Write
) -> None:
    """What is written with the note of a model, and its card; measures are None until taken."""
    write(folder, run.note(metrics or {}))
    write_card(
        folder,
        run.config,
        metrics=metrics,
        n_train=len(run.examples),
        left_out=run.examples.left_out,
        provenance=told,
        n_labels=len(run.labels),
        truncation=run.truncation,
        remarks=run.remarks,
    )

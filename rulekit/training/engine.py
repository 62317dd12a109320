"""One training run from pairs to a folder that others load: `train`, and the model that it gives.

Settings, pairs and targets come in, a `TrainedModel` goes out. Notebooks, `reward_model` and the
command line call it; open it first.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import torch
import yaml
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import get_last_checkpoint

from rulekit.encoder import quiet_when_headless
from rulekit.files import sha256, write_atomically, write_json
from rulekit.inputs.pairs import split_pairs
from rulekit.inputs.rules import numbered_ids
from rulekit.selection.registry import Selection
from rulekit.training import batches, models
from rulekit.training.callbacks import MetricsFile, ProgressBar, StopOnSignal
from rulekit.training.card import write_card
from rulekit.training.config import TrainingConfig, load_config
from rulekit.training.memory_plan import Plan, plan
from rulekit.training.trainer import CHECKPOINTS, PackedTrainer

# Fields that a resumed run may change: they steer the run and not what is learned.
_FREE = {
    "evaluate_every",
    "save_every",
    "log_every",
    "keep_checkpoints",
    "tensorboard",
    "device_memory_gb",
    "token_budget",
    "attention",
    "train",
    "evaluation",
}


@dataclass(frozen=True)
class TrainedModel:
    """A finished (or stopped) run.

    Attributes
    ----------
    folder
        Of the run: ``model`` (plain checkpoint and card), ``metrics.jsonl``, ``config.yaml``,
        ``checkpoints``.
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

    def rewards(self, pairs: pl.DataFrame) -> np.ndarray:
        """Rewards of both responses of each pair, float32 (n_pairs, 2)."""
        return model_logits(self.model_folder, pairs, self.config)

    def margin(self, pairs: pl.DataFrame) -> np.ndarray:
        """reward(A) - reward(B) of each pair, float32 (n_pairs,)."""
        both = self.rewards(pairs)
        return both[:, 0] - both[:, 1]

    def probabilities(self, pairs: pl.DataFrame) -> np.ndarray:
        """P(rule is among the selected) of an adapter, (n_pairs, n_rules)."""
        return 1 / (
            1 + np.exp(-model_logits(self.model_folder, pairs, self.config).astype(np.float64))
        )


def train(
    config: TrainingConfig | str | Path | dict | None,
    pairs: pl.DataFrame,
    target: np.ndarray | Selection | None = None,
    *,
    output: str | Path,
    evidence: np.ndarray | None = None,
    evaluation: pl.DataFrame | None = None,
    evaluation_target: np.ndarray | Selection | None = None,
    evaluation_evidence: np.ndarray | None = None,
    rule_ids: list[str] | None = None,
    provenance: dict | None = None,
    resume: bool = True,
    on_plan: Callable[[Plan], object] | None = None,
    only_plan: bool = False,
    **overrides,
) -> TrainedModel:
    """Train a reward model or a Rule Adapter with the engine.

    Parameters
    ----------
    config, overrides
        What `load_config` takes.
    pairs
        Canonical frame, n_pairs rows.
    target
        Reward: P(A is preferred), (n_pairs,), in [0, 1], NaN leaves a pair out; None takes the
        column `preference` (ties and unknowns are left out). Adapter: the `Selection` to be named.
    output
        Folder of the run.
    evidence
        Evidence of each label, (n_pairs,), for the objective ``margin``.
    evaluation, evaluation_target, evaluation_evidence
        Held-out pairs, their target and evidence as above; None holds out `evaluation_share` of
        the prompts.
    rule_ids
        Names of an adapter's logits.
    provenance
        For the model card: `data`, `rule_set`, `label_method`, `selector`, …
    resume
        Go on from the newest complete checkpoint in `output`, if there is one; a run that has
        finished there is returned as it is. False removes the checkpoints and begins anew.
    on_plan, only_plan
        Called with the plan before anything is loaded, such as ``print``; stop behind it.

    Returns
    -------
    The trained model, or `stopped` after a SIGTERM or SIGINT.

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
    config, output = load_config(config, **overrides), Path(output)
    if not only_plan:
        models.check_packages(config)
    quiet_when_headless()
    tokenizer = models.load_tokenizer(config)
    if evaluation is None and config.evaluation_share > 0:
        shares = {"train": 1 - config.evaluation_share, "held out": config.evaluation_share}
        held = (split_pairs(pairs, shares, config.seed)["split"] == "held out").to_numpy()
        target = _target(config, pairs, target)
        evaluation, evaluation_target = pairs.filter(pl.Series(held)), _rows(target, held)
        pairs, target = pairs.filter(pl.Series(~held)), _rows(target, ~held)
        evidence, evaluation_evidence = _rows(evidence, ~held), _rows(evidence, held)
    examples = _examples(config, pairs, target, tokenizer, evidence, "evidence")
    held_out = None
    if evaluation is not None and len(evaluation):
        held_out = _examples(
            config,
            evaluation,
            evaluation_target,
            tokenizer,
            evaluation_evidence,
            "evaluation_evidence",
        )
    labels = ["reward"] if config.task == "reward" else _rule_names(target, rule_ids)

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    expected = plan(config, examples.tokens, n_labels=len(labels), processes=processes)
    if on_plan is not None:
        on_plan(expected)
    expected.check()
    if only_plan:
        return TrainedModel(output, config)
    digests = {"data_sha256": _digest(examples)}
    if held_out is not None:
        digests["evaluation_sha256"] = _digest(held_out)
    identity = _identity(config, digests["data_sha256"], labels)
    if resume:
        _refuse_another(output, identity)
        if (metrics := _finished(output, identity, digests)) is not None:
            return TrainedModel(output, config, metrics)
    if int(os.environ.get("RANK", "0")) == 0:
        _begin(output, config, identity, resume)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = models.load_model(config, tokenizer, labels, device)
    with StopOnSignal() as stop:
        trainer = PackedTrainer(
            config,
            model,
            tokenizer,
            examples,
            held_out,
            output,
            [MetricsFile(output), ProgressBar(), stop],
        )
        checkpoint = _newest(output) if resume else None
        if checkpoint is not None and _is_last(checkpoint):
            trainer.take_up(checkpoint)
        else:
            trainer.train(resume_from_checkpoint=checkpoint)
        if stop.asked and trainer.state.global_step < trainer.state.max_steps:
            return TrainedModel(output, config, stopped=True)
        metrics = {}
        if held_out is not None:
            metrics = {k.removeprefix("eval_"): v for k, v in trainer.evaluate().items()}
    told = digests | (provenance or {})
    _finish(trainer, tokenizer, output, metrics, examples, told, labels)
    trainer.accelerator.wait_for_everyone()  # a process that is ahead would not find the model
    return TrainedModel(output, config, metrics)


def model_logits(
    folder: str | Path, pairs: pl.DataFrame, config: TrainingConfig | None = None
) -> np.ndarray:
    """Logits of a plain model folder on pairs by packed passes, float32 (n_pairs, n).

    Parameters
    ----------
    folder
        That `AutoModelForSequenceClassification` loads.
    pairs
        Canonical frame; texts over `max_tokens` are cut on the left.
    config
        Gives `task`, `max_tokens`, `token_budget` and `attention`; None takes defaults.
    """
    config = config or TrainingConfig()
    config = config.model_copy(
        update={
            "model": str(folder),
            "revision": None,
            "random_weights": False,
            "lora": None,
            "checkpointed_layers": 0,
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    described = AutoConfig.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation=models.attention.choose(config.attention, device, described)
    )
    model = models.read_packed(model.eval().to(device))
    if config.task == "reward":
        sequences, _ = batches.tokenize(pairs, tokenizer, config.max_tokens, "truncate")
    else:
        sequences = batches.adapter_sequences(pairs, tokenizer, config.max_tokens)
    n = len(pairs)
    blank = np.zeros(n, np.float32)
    examples = batches.Examples(sequences, blank, blank, [""] * n)
    out = np.empty((n, model.config.num_labels * len(sequences[0])), dtype=np.float32)
    for part in batches.in_order(examples.tokens, config.token_budget):
        inputs = models.packed_inputs(batches.pack(examples, part), device)
        with torch.inference_mode():
            out[part.rows] = model(**inputs).view(len(part.rows), -1).cpu().numpy()
    return out


def _target(config: TrainingConfig, pairs: pl.DataFrame, target):
    """The target as given, or from the column `preference`."""
    if target is not None:
        return target
    if config.task == "adapter":
        raise ValueError(
            "target is None; allowed: for task 'adapter' a Selection, the rules to be named"
        )
    preference = pairs["preference"].cast(pl.Float64).fill_null(0.0).to_numpy()
    return np.where(preference == 0, np.nan, (preference + 1) / 2)


def _examples(config, pairs, target, tokenizer, evidence, name: str) -> batches.Examples:
    target = _target(config, pairs, target)
    if config.task == "adapter":
        return batches.adapter_examples(pairs, target, tokenizer, max_tokens=config.max_tokens)
    if config.objective == "margin" and evidence is None:
        raise ValueError(
            f"{name} is None; allowed: with objective 'margin' one number a pair, from a file its column 'evidence'"
        )
    return batches.preference_examples(
        pairs,
        target,
        tokenizer,
        max_tokens=config.max_tokens,
        too_long=config.too_long,
        evidence=evidence,
        hard=config.objective != "soft",
    )


def _rows(values, mask: np.ndarray):
    if values is None:
        return None
    if isinstance(values, Selection):
        return Selection(values.indices[mask], values.method, values.n_rules)
    return np.asarray(values)[mask]


def _rule_names(target: Selection, rule_ids: list[str] | None) -> list[str]:
    names = list(rule_ids) if rule_ids else numbered_ids(target.n_rules)
    if len(names) != target.n_rules:
        raise ValueError(f"rule_ids has {len(names)} names; allowed: {target.n_rules}, one a rule")
    return names


def _digest(examples: batches.Examples) -> str:
    """Hash of what is trained on: token ids, targets and evidence."""
    parts = [examples.target.tobytes(), examples.evidence.tobytes()]
    for group in examples.sequences:
        parts += [len(ids).to_bytes(4, "little") + ids.tobytes() for ids in group]
    return sha256(b"".join(parts))


def _newest(output: Path) -> str | None:
    home = output / CHECKPOINTS
    return get_last_checkpoint(str(home)) if home.is_dir() else None


def _is_last(checkpoint: str) -> bool:
    """Whether nothing is left to train behind a checkpoint."""
    state = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME))
    return state.global_step >= state.max_steps


def _identity(config: TrainingConfig, data_sha256: str, labels: list[str]) -> dict:
    """What two calls must share to be one run: data, and the settings that decide what is learned."""
    settings = {k: v for k, v in config.model_dump(mode="json").items() if k not in _FREE}
    return settings | {"data_sha256": data_sha256, "labels": labels}


def _read_json(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _refuse_another(output: Path, identity: dict) -> None:
    """Refuse to go on from, or write over, a run with other settings or data."""
    before = _read_json(output / "identity.json")
    if before is None or not (_newest(output) or (output / "model").is_dir()):
        return
    other = sorted(k for k in identity if before.get(k) != identity[k])
    if other:
        raise ValueError(
            f"{output} holds a run with another {', '.join(other)}; allowed: the same settings "
            "and data, resume=False, or another folder"
        )


def _finished(output: Path, identity: dict, digests: dict[str, str]) -> dict | None:
    """The held-out measures of this very run if it has left its model; None if it has not."""
    result = _read_json(output / "result.json")
    if result is None or _read_json(output / "identity.json") != identity:
        return None
    told = {name: result["provenance"].get(name) for name in ("data_sha256", "evaluation_sha256")}
    same = told == {"data_sha256": None, "evaluation_sha256": None} | digests
    return result["metrics"] if same and (output / "model").is_dir() else None


def _begin(output: Path, config: TrainingConfig, identity: dict, resume: bool) -> None:
    """Note what run this is; without `resume` drop what another left."""
    output.mkdir(parents=True, exist_ok=True)
    if not resume:
        shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)
        for name in ("metrics.jsonl", "result.json"):
            (output / name).unlink(missing_ok=True)
    write_json(output / "identity.json", identity)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    write_atomically(output / "config.yaml", lambda p: p.write_text(text, encoding="utf-8"))


def _finish(trainer, tokenizer, output: Path, metrics, examples, told, labels: list[str]) -> None:
    """Write the plain model with its card: all of the folder or none of it."""
    state = trainer.whole_state()  # all processes take part
    if not trainer.args.should_save:
        return
    config, staging, target = trainer.config, output / ".model", output / "model"
    shutil.rmtree(staging, ignore_errors=True)
    model = trainer.accelerator.unwrap_model(trainer.model)
    if config.lora and (state is not None or config.lora.quantize):
        model = models.whole_precision(state or model.state_dict(), config, tokenizer, labels)
        state = None
    try:
        models.save_plain(model, tokenizer, staging, state)
        write_card(
            staging,
            config,
            metrics=metrics,
            n_train=len(examples),
            left_out=examples.left_out,
            provenance=told,
            n_labels=len(labels),
            dtype=str(model.dtype).removeprefix("torch."),
        )
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
        write_json(output / "result.json", {"metrics": metrics, "provenance": told})
    except (OSError, SafetensorError) as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise OSError(
            f"the final model could not be written to {target} ({error}); the checkpoint of step "
            f"{trainer.state.global_step} is untouched: the same call goes on from it"
        ) from error

"""What a run leaves in its folder to be known again: its identity, checkpoints and result.

`engine` asks here whether to begin, to go on, or to return what has finished.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from rulekit.files import sha256, write_atomically, write_json
from rulekit.inputs.identity import Identity
from rulekit.training.batches import Examples
from rulekit.training.config import TrainingConfig

CHECKPOINTS = "checkpoints"
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
    "checkpointed_layers",
    "compiled_layers",
    "train",
    "evaluation",
}


def data_digest(examples: Examples) -> str:
    """Hash of what is trained on: token ids, targets and evidence."""
    parts = [examples.target.tobytes(), examples.evidence.tobytes()]
    for group in examples.sequences:
        parts += [len(ids).to_bytes(4, "little") + ids.tobytes() for ids in group]
    return sha256(b"".join(parts))


def newest_checkpoint(output: Path) -> str | None:
    """Folder of the newest complete checkpoint; None where there is none."""
    home = output / CHECKPOINTS
    if not home.is_dir():
        return None
    from transformers.trainer_utils import get_last_checkpoint  # with it comes the whole Trainer

    return get_last_checkpoint(str(home))


def is_last(checkpoint: str) -> bool:
    """Whether nothing is left to train behind a checkpoint."""
    from transformers.trainer import TRAINER_STATE_NAME
    from transformers.trainer_callback import TrainerState

    state = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME))
    return state.global_step >= state.max_steps


def identity_of(config: TrainingConfig, data_sha256: str, labels: list[str], of: Identity) -> dict:
    """What two calls must share to be one run: data, and the settings that decide what is learned."""
    settings = {k: v for k, v in config.model_dump(mode="json").items() if k not in _FREE}
    digests = None if of.rule_digests is None else list(of.rule_digests)
    return settings | {"data_sha256": data_sha256, "labels": labels, "rule_digests": digests}


def refuse_another(output: Path, identity: dict) -> None:
    """Refuse to go on from, or write over, a run with other settings or data.

    Raises
    ------
    ValueError
        Naming what differs.
    """
    if not (newest_checkpoint(output) or (output / "model").is_dir()):
        return
    if other := _other(output, identity):
        raise ValueError(
            f"{output} holds a run with another {', '.join(other)}; allowed: the same settings "
            "and data, another folder, or to begin anew (resume=False, --restart)"
        )


def finished(output: Path, identity: dict, digests: dict[str, str]) -> dict | None:
    """The held-out measures of this very run if it has left its model; None if it has not."""
    result = _read_json(output / "result.json")
    if result is None or not (output / "identity.json").is_file() or _other(output, identity):
        return None
    told = {name: result["provenance"].get(name) for name in ("data_sha256", "evaluation_sha256")}
    same = told == {"data_sha256": None, "evaluation_sha256": None} | digests
    return result["metrics"] if same and (output / "model").is_dir() else None


def begin(output: Path, config: TrainingConfig, identity: dict, resume: bool) -> None:
    """Note what run this is; without `resume` drop what another left."""
    output.mkdir(parents=True, exist_ok=True)
    if not resume:
        shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)
        for name in ("metrics.jsonl", "result.json"):
            (output / name).unlink(missing_ok=True)
    write_json(output / "identity.json", identity)
    text = yaml.safe_dump(config.applied(), sort_keys=False)
    write_atomically(output / "config.yaml", lambda p: p.write_text(text, encoding="utf-8"))


def _other(output: Path, identity: dict) -> list[str]:
    """In what the run that the folder holds, if one, is another."""
    before = _read_json(output / "identity.json") or identity
    return sorted(k for k in identity if before.get(k) != identity[k])


def _read_json(path: Path) -> dict | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

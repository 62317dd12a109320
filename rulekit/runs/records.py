"""What a run leaves besides its notebooks: figures, tables, and where they come from.

Notebooks hand figures and frames to `save_metrics` and `save_table`; `execution` collects them and
writes the provenance.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import distribution, version
from pathlib import Path

from rulekit.files import resource, sha256_file, write_atomically, write_json
from rulekit.runs.recipe import FILE_NAME, READ

_PACKAGES = ("rulekit", "numpy", "numba", "polars", "torch", "transformers", "altair", "papermill")


def save_metrics(artefacts: str | Path, step: str, metrics: dict) -> None:
    """Record the metrics of one step; nothing is written when `artefacts` is empty.

    Raises
    ------
    ValueError
        If the step's name is no name of a file.
    """
    if str(artefacts):
        write_json(Path(artefacts) / "metrics" / f"{_file_name(step)}.json", metrics)


def save_table(frame, artefacts: str | Path, name: str) -> None:
    """Write a Polars frame under a name as Parquet, atomically; nothing when `artefacts` is empty.

    Raises
    ------
    ValueError
        If the name is no name of a file.
    """
    if str(artefacts):
        write_atomically(Path(artefacts) / f"{_file_name(name)}.parquet", frame.write_parquet)


def save_notes(artefacts: str | Path, name: str, notes: Iterable[str]) -> None:
    """Keep what a reader of the figures has to know, for the report; nothing when `artefacts` is empty.

    Parameters
    ----------
    artefacts
        Folder of the run.
    name
        Of these notes; those that were kept under it before are replaced.
    notes
        Sentences, in Markdown.

    Raises
    ------
    ValueError
        If the name is no name of a file.
    """
    if str(artefacts):
        write_json(Path(artefacts) / "notes" / f"{_file_name(name)}.json", list(notes))


def collect_notes(folder: str | Path) -> list[str]:
    """All notes of a run, each once."""
    files = sorted(Path(folder).glob("artefacts/notes/*.json"))
    each = (note for file in files for note in json.loads(file.read_text(encoding="utf-8")))
    return list(dict.fromkeys(each))


def _file_name(name: str) -> str:
    if not FILE_NAME.fullmatch(name):
        raise ValueError(f"name {name!r}; allowed: letters, digits, ., - and _, no path")
    return name


def collect_metrics(folder: str | Path) -> dict:
    """All figures of a run: step → figures."""
    files = sorted(Path(folder).glob("artefacts/metrics/*.json"))
    metrics: dict[str, dict] = {}
    for file in files:
        step = file.stem.removesuffix(".seconds")
        metrics.setdefault(step, {}).update(json.loads(file.read_text(encoding="utf-8")))
    return metrics


def provenance(recipe: str, steps: list[dict]) -> dict:
    """Where a run comes from: recipe, parameters, commit, data, versions, command."""
    return {
        "recipe": recipe,
        "steps": steps,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": kit_commit(),
        "data_sha256": data_read(steps),
        "versions": versions(),
        "command": sys.argv,
    }


def data_read(steps: list[dict]) -> dict[str, str]:
    """Hash of each file that the parameters of steps name, and of the kit's own pairs and rules."""
    data = {f"data/{n}": _hash(resource(f"data/{n}")) for n in ("pairs.jsonl", "rules.yaml")}
    given = [step["parameters"].get(name) for step in steps for name in READ]
    return data | {path: _hash(Path(path)) for path in given if path and Path(path).is_file()}


def _hash(path: Path) -> str:
    stat = path.stat()
    return _hashed(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _hashed(path: Path, *version: int) -> str:
    """Hash of a file, read once as long as it is the same."""
    return sha256_file(path)


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that runs rest on."""
    return {"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}}


def run_record(
    name: str, recipe: str, steps: list[dict], parameters: dict, swept: dict | None = None
) -> dict:
    """What `run.json` says of a run: the outcomes of its steps, and their sums.

    Parameters
    ----------
    name
        Of the run.
    recipe
        Of the recipe or notebook.
    steps
        ``name``, ``status``, ``error``, ``seconds``, ``peak_memory``, ``judge_calls`` and
        ``judge_cost`` of each, in order.
    parameters
        All that were given.
    swept
        Those of a sweep that differ between its runs.

    Returns
    -------
    ``seconds`` are those of all its steps, shared ones too: what the run costs alone.
    """
    peaks = [s["peak_memory"] for s in steps if s.get("peak_memory") is not None]
    status = {s["status"] for s in steps}
    at = next((word for word in ("failed", "interrupted", "running") if word in status), "done")
    started = min((s["started"] for s in steps if s.get("started")), default=None)
    return {
        "name": name,
        "recipe": recipe,
        "status": at,
        "swept": swept or {},
        "parameters": parameters,
        "started": started,
        "seconds": round(sum(s.get("seconds") or 0 for s in steps), 2),
        "peak_memory": max(peaks, default=None),
        "judge_calls": sum(s.get("judge_calls") or 0 for s in steps),
        "judge_cost": round(sum(s.get("judge_cost") or 0 for s in steps), 6),
        "error": next((s["error"] for s in steps if s.get("error")), None),
        "steps": steps,
    }


def kit_commit() -> str | None:
    """The git commit of the kit itself: of its checkout, or that it was installed from.

    None where there is none, or no git. A repository that one happens to stand in, or that holds
    the environment which the kit is installed in, is not looked at.
    """
    root = Path(__file__).resolve().parents[2]
    if (root / ".git").exists() and (root / "pyproject.toml").is_file():
        head = _git(root, "rev-parse", "HEAD")
        return head and head + (", with changes" if _git(root, "status", "--porcelain") else "")
    installed = distribution("rulekit").read_text("direct_url.json")
    told = json.loads(installed) if installed else {}
    return told.get("vcs_info", {}).get("commit_id")


def _git(root: Path, *words: str) -> str | None:
    """What git says of a checkout; None where there is no git, or nothing to say."""
    try:
        found = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() or None

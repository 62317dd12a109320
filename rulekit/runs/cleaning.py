"""Runs taken away: what is to go comes in, a checked list and then the space that is free go out.

`rulekit runs clean` calls it. A folder goes only if it is a run or a sweep and holds nothing that
no run leaves.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rulekit.runs.found import (
    FAILED,
    INTERRUPTED,
    STATUS,
    is_run,
    is_sweep,
    read_json,
    read_run,
    time_of,
)
from rulekit.runs.sweep_progress import sweep_state

_OF_RUN = {
    ".ipynb_checkpoints",
    "artefacts",
    "html",
    "metrics.json",
    "notebooks",
    "provenance.json",
    "report.html",
    "run.json",
    "runs",  # of the engine, where a notebook was run without artefacts
}
_OF_SWEEP = {".claims", "report.html", "runs", "slurm", "steps", "sweep.json"}


@dataclass(frozen=True)
class Removal:
    """A folder that may go.

    Attributes
    ----------
    folder
        Its path.
    kind
        ``run`` or ``sweep``.
    status
        Of the run; of a sweep ``done`` where all of its runs are.
    size
        Bytes that it takes on the disk, hard links counted once.
    reason
        Why it stays; empty: it may go.
    """

    folder: Path
    kind: str
    status: str
    size: int
    reason: str = ""


def removable(
    folders: str | Path | Iterable[str | Path] = "runs",
    *,
    status: Collection[str] = (FAILED, INTERRUPTED),
    older: float = 0.0,
) -> list[Removal]:
    """Runs and sweeps of a status, each with what it would free, or why it has to stay.

    Parameters
    ----------
    folders
        Each a run, a sweep, or a folder of runs and sweeps; or one of them. The runs of a sweep go
        with it alone, since they share their steps.
    status
        Of the runs that may go; one that is running never does.
    older
        Days since its start, 0 or more.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        For an unknown status, or days below 0.
    """
    unknown = [s for s in status if s not in STATUS or s == "running"]
    if unknown or older < 0:
        what = f"status {unknown[0]!r}" if unknown else f"older is {older}"
        raise ValueError(f"{what}; allowed: done, failed, interrupted, and days from 0 on")
    before = datetime.now(UTC) - timedelta(days=older)
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    found: dict[Path, Removal] = {}
    for one in map(Path, given):
        if not one.is_dir():
            raise FileNotFoundError(
                f"no such folder: {one}; allowed: a run, a sweep or a folder of them"
            )
        for path in [one] if is_run(one) or is_sweep(one) else sorted(one.iterdir()):
            if not path.is_dir() or not (is_run(path) or is_sweep(path)):
                continue
            about = _about(path, before if older else None)
            if about.status in status or about.status == "running":
                found.setdefault(path.resolve(), about)
    return list(found.values())


def remove(removal: Removal) -> int:
    """Take a folder away; returns the bytes that are free.

    Raises
    ------
    ValueError
        If it has to stay, or is no longer the run that it was.
    """
    again = _about(removal.folder, None)
    reason = removal.reason or again.reason
    if reason or again.status != removal.status:
        raise ValueError(f"{removal.folder} stays: {reason or 'it has changed meanwhile'}")
    gone = removal.folder.with_name(f".{removal.folder.name}.removed")
    removal.folder.rename(gone)  # what is interrupted here is no half a run
    shutil.rmtree(gone)
    return removal.size


def _about(folder: Path, before: datetime | None) -> Removal:
    sweep = is_sweep(folder)
    status, started = _sweep(folder) if sweep else _run(folder)
    reason = ""
    if folder.is_symlink():
        reason = "it is a link"
    elif not sweep and is_sweep(folder.resolve().parent.parent):
        reason = "it is of a sweep, whose runs share their steps"
    elif status == "running":
        reason = "it is running"
    elif before is not None and (started is None or started > before):
        reason = "it is not so old"
    elif strange := _strange(folder, _OF_SWEEP if sweep else _OF_RUN):
        reason = f"no run leaves {strange}"
    return Removal(folder, "sweep" if sweep else "run", status, _size(folder), reason)


def _run(folder: Path) -> tuple[str, datetime | None]:
    run = read_run(folder)
    return run.status, run.started


def _sweep(folder: Path) -> tuple[str, datetime | None]:
    started = read_json(folder / "sweep.json").get("started")
    return sweep_state(folder).status, time_of(started)


def _strange(folder: Path, allowed: set[str]) -> str:
    """The first entry that no run leaves."""
    for path in sorted(folder.iterdir()):
        name = path.name
        notebook = name.startswith(("failed-", ".running-")) and name.endswith(".ipynb")
        if name not in allowed and not notebook:
            return name
    return ""


def _size(folder: Path) -> int:
    seen: dict[tuple[int, int], int] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            stat = path.stat()
            seen[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(seen.values())

"""Steps that several runs of a sweep share: each is executed once in a folder of its own.

A step sees the artefacts of the steps that it comes after, and no others: what it may depend on is
what it is given. `assemble` lays the folders of a run's steps over each other.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

from rulekit.files import write_json
from rulekit.runs.kernel import Forked
from rulekit.runs.records import collect_metrics
from rulekit.runs.step import execute

_CHANGES = (".sqlite", ".sqlite-wal", ".sqlite-shm", ".db")  # files that programs write into


def step_folder(sweep: Path, address: str) -> Path:
    """Where a step that is done lies."""
    return sweep / "steps" / address


def running_folder(sweep: Path, address: str) -> Path:
    """Where a step lies while it runs, or after it was interrupted."""
    return sweep / "steps" / f".{address}"


def failed_folder(sweep: Path, address: str) -> Path:
    """Where a step that failed lies."""
    return sweep / "steps" / f"{address}.failed"


def execute_step(
    sweep: str, address: str, step: dict, before: list[str], forked: Forked | None = None
) -> dict:
    """Execute a step of a sweep; its folder has its final name once it is whole.

    Parameters
    ----------
    sweep
        Folder of the sweep.
    address
        Of the step.
    step
        ``notebook`` (path), ``name``, ``nth``, ``parameters``, ``artefacts`` (whether it takes them).
    before
        Addresses of the steps whose artefacts it gets, in their order.
    forked
        A kernel that waits to begin.

    Returns
    -------
    The outcome of `rulekit.runs.step.execute`, which is also its `step.json`.
    """
    folder = running_folder(Path(sweep), address)
    remove(failed_folder(Path(sweep), address))
    folder.mkdir(parents=True, exist_ok=True)
    given = _put(folder / "artefacts", (step_folder(Path(sweep), a) / "artefacts" for a in before))
    parameters = dict(step["parameters"])
    if step["artefacts"]:
        parameters["artefacts"] = str(folder / "artefacts")
    os.chdir(folder)
    begun = time.time()
    outcome = execute(
        Path(step["notebook"]), step["name"], parameters, folder, nth=step["nth"], forked=forked
    )
    told = {"name": step["name"], "address": address, "started": begun, **outcome}
    told["node"] = os.environ.get("RULEKIT_NODE", os.uname().nodename)
    os.chdir(sweep)
    if outcome["status"] == "done":
        _take_back(given)
        write_json(folder / "step.json", told)
        _move(folder, step_folder(Path(sweep), address))
    elif outcome["status"] == "failed":
        write_json(folder / "step.json", told)
        _move(folder, failed_folder(Path(sweep), address))
    return told


def record_failure(sweep: Path, address: str, name: str, outcome: dict) -> None:
    """Note that a step failed which could not note it itself."""
    folder = running_folder(sweep, address)
    folder.mkdir(parents=True, exist_ok=True)
    told = {"name": name, "address": address, **outcome, "status": "failed"}
    write_json(folder / "step.json", told)
    remove(failed_folder(sweep, address))
    _move(folder, failed_folder(sweep, address))


def assemble(sweep: str, run: dict, about: dict, forked: Forked | None = None) -> dict:
    """Make the folder of a run from those of its steps; it appears whole.

    Parameters
    ----------
    sweep
        Folder of the sweep.
    run
        What `run.json` is to say; its `steps` have addresses.
    about
        The run's `provenance.json`.
    forked
        Not needed.

    Returns
    -------
    ``status``: done.
    """
    from rulekit.runs.report import write_report

    base = Path(sweep)
    final = base / "runs" / run["name"]
    made = final.with_name(f".{run['name']}")
    remove(made)
    made.mkdir(parents=True)
    for step in run["steps"]:
        done, failed = (f(base, step["address"]) for f in (step_folder, failed_folder))
        _link(done if step["status"] == "done" else failed, made)
    write_json(made / "provenance.json", about)
    write_json(made / "metrics.json", collect_metrics(made))
    write_json(made / "run.json", run)
    if (made / "notebooks").is_dir() and any((made / "notebooks").glob("*.ipynb")):
        write_report(made)
    if final.exists():
        _move(final, final.with_name(f".{run['name']}-{uuid.uuid4().hex[:8]}"), gone=True)
    _move(made, final)
    return {"status": "done"}


def _put(artefacts: Path, sources: Iterable[Path]) -> dict[Path, tuple[int, int]]:
    """Copy artefacts of earlier steps; returns each file's size and time, by which a change shows.

    What a step that was interrupted had written itself stays.
    """
    artefacts.mkdir(exist_ok=True)
    given: dict[Path, tuple[int, int]] = {}
    for source in sources:
        for file in sorted(p for p in source.rglob("*") if p.is_file()):
            target = artefacts / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target not in given and target.exists():
                continue
            shutil.copy2(file, target)
            given[target] = _stamp(target)
    return given


def _take_back(given: dict[Path, tuple[int, int]]) -> None:
    """Delete the copies that the step has not changed; folders that are empty then go too."""
    for path, stamp in given.items():
        if path.is_file() and _stamp(path) == stamp:
            path.unlink()
    for folder in sorted({p.parent for p in given}, key=lambda p: -len(p.parts)):
        while folder.is_dir() and folder.name != "artefacts" and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _link(source: Path, target: Path) -> None:
    """Lay one folder's files over another's: hard links, but copies of files that programs write into."""
    for file in sorted(p for p in source.rglob("*") if p.is_file() and p.name != "step.json"):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if file.suffix in _CHANGES:
            shutil.copy2(file, place)
            continue
        try:
            os.link(file, place)
        except OSError:  # a file system without links
            shutil.copy2(file, place)


def _move(source: Path, target: Path, gone: bool = False) -> None:
    source.replace(target)
    if gone:
        remove(target)


def remove(folder: Path) -> None:
    """Delete a folder, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)

"""Runs on the disk: folders come in, what each run says of itself goes out.

`run_table` and `comparison` read them, `cleaning` takes them away. A folder is a run if it has
`run.json`, or, from before there was one, `provenance.json`; a sweep if it has `sweep.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

DONE, FAILED, RUNNING, INTERRUPTED = "done", "failed", "running", "interrupted"
STATUS = (DONE, FAILED, RUNNING, INTERRUPTED)


@dataclass(frozen=True)
class RunFolder:
    """A run as it stands on the disk.

    Attributes
    ----------
    folder
        Its path.
    name
        Its own name, unique beside its neighbours.
    recipe
        What was run.
    status
        One of `STATUS`.
    started
        In UTC; None where it is not told.
    parameters
        Those that were given.
    swept
        Those of them that the sweep varies; empty outside of one.
    sweep
        Name of the sweep's folder; empty outside of one.
    steps
        Names of its steps.
    told
        All that `run.json` holds; empty for runs from before there was one.
    provenance
        All that `provenance.json` holds.
    """

    folder: Path
    name: str
    recipe: str
    status: str
    started: datetime | None
    parameters: dict
    swept: dict = field(default_factory=dict)
    sweep: str = ""
    steps: tuple[str, ...] = ()
    told: dict = field(default_factory=dict)
    provenance: dict = field(default_factory=dict)

    @property
    def report(self) -> Path | None:
        """Its report; None where there is none yet."""
        path = self.folder / "report.html"
        return path if path.is_file() else None

    @property
    def metrics(self) -> dict:
        """Its figures: step → figures."""
        return read_json(self.folder / "metrics.json")

    def notebook(self, step: str) -> Path | None:
        """The executed notebook of a step, as far as it came; None where there is none."""
        for path in (f"notebooks/{step}.ipynb", f"failed-{step}.ipynb"):
            if (self.folder / path).is_file():
                return self.folder / path
        return None


def is_run(folder: Path) -> bool:
    """Whether a folder is a run."""
    if is_sweep(folder):
        return False
    return any("recipe" in read_json(folder / n) for n in ("run.json", "provenance.json"))


def is_sweep(folder: Path) -> bool:
    """Whether a folder is a sweep."""
    return (folder / "sweep.json").is_file()


def find_runs(folders: str | Path | Iterable[str | Path] = "runs") -> list[RunFolder]:
    """The runs in folders, in the order of the folders, in each by their start.

    Parameters
    ----------
    folders
        Each a run, a sweep, or a folder of runs and sweeps; or one of them.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there is no run in one of them.
    """
    given = [folders] if isinstance(folders, str | Path) else list(folders)
    found: dict[Path, RunFolder] = {}
    for one in map(Path, given):
        if not one.is_dir():
            raise FileNotFoundError(
                f"no such folder: {one}; allowed: a run, a sweep or a folder of them"
            )
        here = [read_run(path) for path in _runs_in(one)]
        if not here:
            raise ValueError(f"{one}: no run in it; allowed: a run, a sweep or a folder of them")
        first = datetime.min.replace(tzinfo=UTC)
        here.sort(key=lambda run: (run.started or first, run.name))
        found |= {run.folder.resolve(): run for run in here if run.folder.resolve() not in found}
    return list(found.values())


def _runs_in(folder: Path) -> Iterator[Path]:
    if is_run(folder):
        yield folder
    elif is_sweep(folder):
        yield from _visible(folder / "runs")
    else:
        for path in _visible(folder, every=True):
            if is_sweep(path):
                yield from _visible(path / "runs")
            elif is_run(path):
                yield path


def _visible(folder: Path, every: bool = False) -> list[Path]:
    if not folder.is_dir():
        return []
    there = (p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return sorted(p for p in there if every or is_run(p))


def read_run(folder: str | Path) -> RunFolder:
    """One run.

    Raises
    ------
    ValueError
        If the folder is no run.
    """
    folder = Path(folder)
    if not is_run(folder):
        raise ValueError(f"{folder} is no run: there is no run.json or provenance.json in it")
    told = read_json(folder / "run.json")
    provenance = read_json(folder / "provenance.json")
    about = provenance | told
    of_sweep = folder.resolve().parent.parent
    steps = _steps(folder, told, provenance)
    given: dict = {}
    for step in provenance.get("steps") or ():
        given |= step.get("parameters") or {}
    return RunFolder(
        folder,
        str(told.get("name") or folder.resolve().name),
        str(about["recipe"]),
        told.get("status") or _status(folder, steps),
        time_of(about.get("started")),
        told.get("parameters") or given,
        told.get("swept") or {},
        of_sweep.name if is_sweep(of_sweep) else "",
        steps,
        told,
        provenance,
    )


def _steps(folder: Path, told: dict, provenance: dict) -> tuple[str, ...]:
    """Names of the steps; the second of a notebook is NAME-2."""
    named = [s["name"] for s in told.get("steps") or () if s.get("name")]
    if named:
        return tuple(named)
    times: dict[str, int] = {}
    found = []
    for step in provenance.get("steps") or ():
        stem = Path(step["notebook"]).name.removesuffix(".ipynb")
        times[stem] = times.get(stem, 0) + 1
        found.append(stem if times[stem] == 1 else f"{stem}-{times[stem]}")
    return tuple(found)


def _status(folder: Path, steps: Iterable[str]) -> str:
    """Of a run from before there was `run.json`."""
    if all((folder / "notebooks" / f"{name}.ipynb").is_file() for name in steps):
        return DONE
    return FAILED if next(folder.glob("failed-*.ipynb"), None) else INTERRUPTED


def time_of(text: object) -> datetime | None:
    """A time as `run.json` and `sweep.json` tell it, in UTC; None where it is none."""
    if isinstance(text, int | float):  # seconds since 1970
        return datetime.fromtimestamp(text, UTC)
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def read_json(path: Path) -> dict:
    """A JSON object of a file; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

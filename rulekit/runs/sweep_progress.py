"""How far a sweep is: its folder comes in, a `SweepState` goes out. Whoever carries it out may be elsewhere.

A page or a notebook polls `sweep_state`; `sweeping` shows it while it works.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import polars as pl

from rulekit.runs import claims
from rulekit.runs.shared import failed_folder, step_folder
from rulekit.runs.sweep_plan import Plan, plain

DONE, FAILED, RUNNING, WAITING = "done", "failed", "running", "waiting"


@dataclass(frozen=True)
class SweepState:
    """A sweep as its folder tells it at one moment.

    Attributes
    ----------
    name
        Of the sweep.
    folder
        Its path.
    status
        running; done; failed: all has ended and some runs failed; interrupted: nobody works on it.
    runs
        Name of a run → done, failed, running or waiting.
    plan
        What is carried out.
    steps_done
        Number of distinct steps that are done.
    seconds_left
        By the seconds of the steps so far; None where a notebook has not been timed.
    at
        Name of a run → the step that it is at.
    """

    name: str
    folder: Path
    status: str
    runs: dict[str, str]
    plan: Plan
    steps_done: int
    seconds_left: float | None
    at: dict[str, str]

    @property
    def steps(self) -> int:
        """Number of distinct steps."""
        return len(self.plan.steps)

    @property
    def counts(self) -> dict[str, int]:
        """Number of runs that are done, failed, running and waiting."""
        states = list(self.runs.values())
        return {word: states.count(word) for word in (DONE, FAILED, RUNNING, WAITING)}

    def __str__(self) -> str:
        counts = self.counts
        more = [f"{counts[word]} {word}" for word in (FAILED, RUNNING) if counts[word]]
        said = f"{self.name}: {counts[DONE]} of {len(self.runs)} runs done"
        said = ", ".join([said, *more])
        if self.status == RUNNING:
            return f"{said}; {duration(self.seconds_left)} left"
        return f"{said}; interrupted" if self.status == "interrupted" else said

    def frame(self) -> pl.DataFrame:
        """One row a run: run, its swept parameters, status, step, seconds, error."""
        rows = []
        for run in self.plan.runs:
            told = [_told(str(step_folder(self.folder, a))) for a in run.steps]
            failed = [_told(str(failed_folder(self.folder, a))) for a in run.steps]
            seconds = [one["seconds"] for one in told if one]
            rows.append(
                {
                    "run": run.name,
                    **{name: plain(run.swept.get(name)) for name in self.plan.swept},
                    "status": self.runs[run.name],
                    "step": self.at[run.name] or None,
                    "seconds": round(sum(seconds), 1) if seconds else None,
                    "error": next((one["error"] for one in failed if one), None),
                }
            )
        return pl.DataFrame(rows, strict=False, infer_schema_length=None)


def sweep_state(folder: str | Path) -> SweepState:
    """How far a sweep is, by what lies in its folder.

    Parameters
    ----------
    folder
        Of the sweep; it has `sweep.json`.

    Raises
    ------
    ValueError
        If it is no sweep.
    """
    folder = Path(folder).resolve()
    plan = recorded_plan(folder)
    names = {p.name for p in (folder / "steps").glob("*")}
    done = {a for a in plan.steps if a in names}
    failed = {a for a in plan.steps if f"{a}.failed" in names} - done
    held = claims.fresh(folder)
    runs, at = {}, {}
    for run in plan.runs:
        runs[run.name], now = _state(run.steps, done, failed, held, plan)
        at[run.name] = "" if now is None else plan.steps[now].name
    states = set(runs.values())
    workers = sum(one.get("workers", 0) for name, one in held.items() if "worker-" in name)
    if workers:
        status = RUNNING
    elif states <= {DONE, FAILED}:
        status = FAILED if FAILED in states else DONE
    else:
        status = "interrupted"
    open_ = [a for a in plan.steps if a not in done | failed]
    left = seconds_left(plan, open_, seconds_of(folder, done, plan), workers or 1)
    return SweepState(plan.name, folder, status, runs, plan, len(done), left, at)


def recorded_plan(folder: Path) -> Plan:
    """The plan that a sweep's folder holds.

    Raises
    ------
    ValueError
        If it is no sweep.
    """
    path = folder / "sweep.json"
    if not path.is_file():
        raise ValueError(f"{folder} is no sweep: there is no sweep.json in it")
    return _plan(str(path), path.stat().st_mtime_ns)


def seconds_of(folder: Path, done: set[str], plan: Plan) -> dict[str, list[float]]:
    """Name of a notebook → seconds of its steps that are done."""
    found: dict[str, list[float]] = {}
    for address in done:
        if (told := _told(str(step_folder(folder, address)))) and told.get("seconds"):
            found.setdefault(plan.steps[address].name, []).append(told["seconds"])
    return found


def seconds_left(
    plan: Plan, open_: list[str], seconds: dict[str, list[float]], workers: int
) -> float | None:
    """Seconds that the open steps take, by those of the steps before; None if a notebook has none."""
    usual = {name: statistics.mean(values) for name, values in seconds.items()}
    names = [plan.steps[a].name for a in open_]
    if any(name not in usual for name in names):
        return None
    return sum(usual[name] for name in names) / max(1, min(workers, len(names)))


def duration(seconds: float | None) -> str:
    """A time in words: 40 s, 3 min, 2 h 5 min."""
    if seconds is None:
        return "unknown time"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _state(steps, done, failed, held, plan) -> tuple[str, str | None]:
    """Status of a run, and the step that it is at."""
    if all(a in done for a in steps):
        return DONE, None
    at = next((a for a in steps if a in failed), None)
    lost = {a for a in steps if a in failed or set(plan.steps[a].before) & failed}
    if at is not None and all(a in done or a in lost for a in steps):
        return FAILED, at
    now = next((a for a in steps if a in held), None)
    if now is not None:
        return RUNNING, now
    return WAITING, next(a for a in steps if a not in done)


@lru_cache(maxsize=8)
def _plan(path: str, version: int) -> Plan:
    told = json.loads(Path(path).read_text(encoding="utf-8"))
    return Plan.from_dict(told, Path(path).parent)


def _told(folder: str) -> dict | None:
    path = Path(folder) / "step.json"
    return _step(str(path), path.stat().st_mtime_ns) if path.is_file() else None


@lru_cache(maxsize=8192)
def _step(path: str, version: int) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))

"""What a sweep will execute: a `Sweep` comes in, runs and the distinct steps that they share go out.

`sweeping` carries a plan out; `--dry-run` shows it.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl

from rulekit.runs.addresses import address, code_version, used
from rulekit.runs.recipe import (
    named_steps,
    notebook_path,
    overridden,
    parameters_of,
    takes_artefacts,
)
from rulekit.runs.shared import step_folder
from rulekit.runs.sweep_file import Sweep, load_sweep


@dataclass(frozen=True)
class Step:
    """A step that is executed once, however many runs share it.

    Attributes
    ----------
    name, nth
        Its notebook's name, with -2 and so on for one that comes again, and how often it came.
    notebook
        Absolute path.
    parameters
        Those that are given to it: none that its code does not use.
    artefacts
        Whether it takes the folder.
    before
        Addresses of the steps whose artefacts it gets, in their order.
    """

    name: str
    nth: int
    notebook: str
    parameters: dict[str, Any]
    artefacts: bool
    before: tuple[str, ...]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes
    ----------
    name
        Of its folder.
    swept
        Its values of the parameters that differ between runs.
    parameters
        All that are given to its steps.
    steps
        Addresses, in order.
    """

    name: str
    swept: dict[str, Any]
    parameters: dict[str, Any]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep and the steps that they share.

    Attributes
    ----------
    name, what, recipe, description
        As of the `Sweep`.
    swept
        Names of the parameters that differ between runs.
    runs
        In order.
    steps
        Address → step, each after those that it needs.
    code
        Version of the code.
    folder
        Where it is carried out; None: in a new one.
    runs_folder
        Where earlier runs lie, by whose seconds the time is told.
    """

    name: str
    what: str
    recipe: str
    swept: tuple[str, ...]
    runs: tuple[PlannedRun, ...]
    steps: dict[str, Step]
    code: str
    description: str = ""
    folder: Path | None = None
    runs_folder: Path = field(default_factory=lambda: Path("runs"))

    def shared_by(self) -> Counter[str]:
        """Address → number of runs that have the step."""
        return Counter(a for run in self.runs for a in dict.fromkeys(run.steps))

    def to_run(self) -> list[str]:
        """Addresses of the steps that are not done."""
        if self.folder is None:
            return list(self.steps)
        return [a for a in self.steps if not (step_folder(self.folder, a) / "step.json").is_file()]

    def frame(self) -> pl.DataFrame:
        """One row a run: its name, its swept parameters, and how many of its steps are shared."""
        shared = self.shared_by()
        rows = [
            {
                "run": run.name,
                **{n: plain(run.swept.get(n)) for n in self.swept},
                "steps": len(run.steps),
                "shared": sum(shared[a] > 1 for a in run.steps),
            }
            for run in self.runs
        ]
        return pl.DataFrame(rows, strict=False, infer_schema_length=None)

    def summary(self) -> dict:
        """What carrying it out takes.

        Returns
        -------
        ``runs``, ``steps`` (of all runs together), ``distinct`` (each once), ``to_run`` (of these
        not done), ``seconds`` (of one process, from earlier ones of the same notebooks; None where
        a notebook has not been timed), ``unknown`` (names of those), ``judge_calls`` (judge →
        ratings of one response under one rule that it is asked for, at most).
        """
        to_run = self.to_run()
        earlier = seconds_before(self.runs_folder)
        names = Counter(self.steps[a].name for a in to_run)
        unknown = sorted(n for n in names if n not in earlier)
        told = None if unknown else round(sum(earlier[n] * count for n, count in names.items()), 1)
        return {
            "runs": len(self.runs),
            "steps": sum(len(run.steps) for run in self.runs),
            "distinct": len(self.steps),
            "to_run": len(to_run),
            "seconds": told,
            "unknown": unknown,
            "judge_calls": judge_calls(self.steps, to_run),
        }

    def as_dict(self) -> dict:
        """As plain values for `sweep.json`."""
        return {
            "name": self.name,
            "what": self.what,
            "recipe": self.recipe,
            "description": self.description,
            "swept": list(self.swept),
            "code": self.code,
            "runs": [asdict(run) for run in self.runs],
            "steps": {key: asdict(step) for key, step in self.steps.items()},
        }

    @classmethod
    def from_dict(cls, told: Mapping, folder: Path) -> Plan:
        """A plan as `sweep.json` has it."""
        runs = tuple(PlannedRun(**{**r, "steps": tuple(r["steps"])}) for r in told["runs"])
        steps = {k: Step(**{**s, "before": tuple(s["before"])}) for k, s in told["steps"].items()}
        own = {n: told[n] for n in ("name", "what", "recipe", "code", "description")}
        return cls(
            **own,
            swept=tuple(told["swept"]),
            runs=runs,
            steps=steps,
            folder=folder,
            runs_folder=folder.parent,
        )


def plan_sweep(
    what: str,
    *,
    parameters: Mapping[str, object] | None = None,
    runs: str | Path = "runs",
    resume: str | Path | None = None,
) -> Plan:
    """The runs and steps of a sweep, before anything runs; every value is checked.

    Parameters
    ----------
    what, parameters
        As for `load_sweep`.
    runs
        Folder of earlier runs, by which the time is told.
    resume
        Folder of a sweep: steps that are done there need not run.

    Raises
    ------
    FileNotFoundError
        If a file that is named is not there.
    ValueError
        For an unknown name, a value that is not allowed, or a parameter that changes nothing.
    """
    sweep = load_sweep(what, parameters)
    _refuse_idle(sweep)
    steps: dict[str, Step] = {}
    planned = []
    for name, given in sweep.runs.items():
        addresses = _chain(sweep, given, steps)
        own = {n: given[n] for n in sweep.swept if n in given}
        all_given = {k: v for a in addresses for k, v in steps[a].parameters.items()} | given
        planned.append(PlannedRun(name, own, all_given, addresses))
    folder = None if resume is None else Path(resume).resolve()
    base = Path(runs).resolve() if folder is None else folder.parent
    return Plan(
        sweep.name,
        sweep.what,
        sweep.recipe,
        sweep.swept,
        tuple(planned),
        steps,
        code_version(),
        sweep.description,
        folder,
        base,
    )


def _chain(sweep: Sweep, given: dict, steps: dict[str, Step]) -> tuple[str, ...]:
    """Addresses of a run's steps; new steps are added."""
    found: list[str] = []
    by_name: dict[str, str] = {}
    filled = named_steps(overridden(list(sweep.steps), given))
    for told, (name, nth, step) in zip(sweep.steps, filled, strict=True):
        path = notebook_path(step["notebook"]).resolve()
        uses = used(path)
        own = {k: v for k, v in step["parameters"].items() if uses is None or k in uses}
        after = list(by_name) if told.get("after") is None else told["after"]
        wanted = {by_name[n] for n in after}
        for one in list(wanted):
            wanted |= set(steps[one].before)
        before = tuple(a for a in found if a in wanted)
        key = address(path, name, own, before, sweep.inputs)
        steps.setdefault(key, Step(name, nth, str(path), own, takes_artefacts(path), before))
        by_name[name] = key
        found.append(key)
    return tuple(found)


def _refuse_idle(sweep: Sweep) -> None:
    """Refuse to sweep a parameter that no notebook's code uses: all runs would be the same."""
    paths = [notebook_path(step["notebook"]) for step in sweep.steps]
    for name in sweep.swept:
        takers = [p for p in paths if name in parameters_of(p)]
        if takers and all((uses := used(p)) is not None and name not in uses for p in takers):
            names = ", ".join(dict.fromkeys(p.stem for p in takers))
            raise ValueError(
                f"parameter {name!r} changes nothing: no code of {names} uses it; allowed: one that "
                "is used"
            )


def seconds_before(runs: Path) -> dict[str, float]:
    """Median seconds of each notebook in the steps of earlier runs and sweeps, by name."""
    files = [*runs.glob("*/run.json"), *runs.glob("*/steps/*/step.json")]
    newest = sorted(files, key=lambda p: p.stat().st_mtime)[-2000:]
    found: dict[str, list[float]] = {}
    for file in newest:
        told = json.loads(file.read_text(encoding="utf-8"))
        for step in told.get("steps", [told]):
            if step.get("status") == "done" and step.get("seconds"):
                found.setdefault(step["name"], []).append(step["seconds"])
    return {name: statistics.median(seconds[-50:]) for name, seconds in found.items()}


def judge_calls(steps: Mapping[str, Step], to_run: list[str]) -> dict[str, int]:
    """Judge → ratings of one response under one rule that the steps ask it for, at most.

    Recorded ratings cost nothing, what an earlier step of a run has rated is found in its
    artefacts, and what is in a store of ratings that is shared is rated once.
    """
    wants = {key: _request(step) for key, step in steps.items()}
    asked: Counter[str] = Counter()
    stores: set[str] = set()
    for key in to_run:
        want = wants[key]
        if want is None or any(wants[a] == want for a in steps[key].before):
            continue
        judge, pairs, rules, labels, ratings, _ = json.loads(want)
        if ratings and want in stores:
            continue
        stores.add(want)
        asked[judge] += _cells(pairs, rules, labels)
    return dict(asked)


def _request(step: Step) -> str | None:
    """What a step asks a judge for; None: nothing, as where the judge's name is only told."""
    uses = used(Path(step.notebook))
    takes = set(parameters_of(Path(step.notebook)))
    needs = {"judge"} | ({"options"} & takes)
    if not {"pairs", "judge"} <= takes or (uses is not None and not needs <= uses):
        return None
    given = _defaults(step.notebook) | step.parameters
    if str(given.get("ratings", "")).endswith(".parquet"):
        return None
    names = ("pairs", "rules", "labels", "ratings")
    pairs, rules, labels, ratings = (str(given.get(n) or "") for n in names)
    judge = given.get("judge") or _usual_judge(pairs, rules, labels)
    if judge == "recorded" or (ratings and not given.get("judge")):
        return None
    return json.dumps([judge, pairs, rules, labels, ratings, given.get("options")])


@lru_cache(maxsize=64)
def _defaults(notebook: str) -> dict[str, Any]:
    """Values of the parameters as the notebook has them, where they are plain."""
    import ast

    import papermill

    found = {}
    for name, told in papermill.inspect_notebook(notebook).items():
        try:
            found[name] = ast.literal_eval(told["default"])
        except (SyntaxError, ValueError):
            continue
    return found


@lru_cache(maxsize=64)
def _usual_judge(pairs: str, rules: str, labels: str) -> str:
    from rulekit.runs.inputs import load_inputs

    return "recorded" if load_inputs(pairs or "embedded", rules, labels).has_recorded else "encoder"


@lru_cache(maxsize=64)
def _cells(pairs: str, rules: str, labels: str) -> int:
    """Distinct responses times rules."""
    from rulekit.inputs.pairs import conversation
    from rulekit.runs.inputs import load_inputs

    data = load_inputs(pairs or "embedded", rules, labels)
    prompts = [conversation(prompt) for prompt in data.pairs["prompt"]]
    sides = (data.pairs["response_a"], data.pairs["response_b"])
    return len({one for side in sides for one in zip(prompts, side, strict=True)}) * len(data.rules)


def plain(value: object) -> object:
    """A value as a cell of a table."""
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value)

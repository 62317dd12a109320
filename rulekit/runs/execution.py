"""A recipe's notebooks are executed one after the other into a folder, and resumed there.

A checked recipe comes in, executed notebooks, HTML, artefacts and figures go out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from rulekit.files import write_json
from rulekit.runs.inputs import load_inputs
from rulekit.runs.recipe import load_recipe, named_steps, notebook_path, overridden, takes_artefacts
from rulekit.runs.records import collect_metrics, provenance, run_record
from rulekit.runs.report import write_report
from rulekit.runs.step import broken
from rulekit.runs.workers import Processes

TRIES = 3  # of a step whose kernel ended before any cell ran


class StepFailed(RuntimeError):
    """A cell of a notebook failed; the message names notebook, cell and error."""


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C while notebooks ran; the message says in one line how to go on."""


def run(
    recipe: str,
    *,
    parameters: dict | None = None,
    runs: str | Path = "runs",
    resume: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Execute the notebooks of a recipe one after the other.

    Parameters
    ----------
    recipe
        Name or path, see `load_recipe`.
    parameters
        Override parameters of every step that has them; all are checked before anything runs.
    runs
        Folder in which `NAME-TIME/` is made.
    resume
        A run's folder: its finished steps are skipped, its recorded parameters hold.
    say
        Called with each line of progress.

    Returns
    -------
    The run's folder: `report.html`, executed notebooks, their HTML, `artefacts/`, `metrics.json`,
    `provenance.json`. A notebook that a recipe names again is NAME-2 there, and so are its figures.

    Raises
    ------
    FileNotFoundError
        If a recipe, a notebook, or a file that a parameter names is not there.
    RunInterrupted
        A `KeyboardInterrupt`, for Ctrl-C. What was finished stays, and `resume` goes on from there.
    StepFailed
        If a cell fails. Likewise.
    ValueError
        For an unknown recipe, notebook or parameter, a value that is not allowed, or parameters
        beside `resume`.
    """
    content = load_recipe(recipe)
    if resume is None:
        steps = overridden(content["steps"], parameters or {})
        _read_once(steps)
        folder = new_folder(Path(runs).resolve(), content["name"])
        write_json(folder / "provenance.json", provenance(content["name"], steps))
    else:
        folder = Path(resume).resolve()
        steps = _recorded_steps(folder, content["name"], parameters)
    say(f"{content['name']}: {len(steps)} notebooks → {folder}")
    named = named_steps(steps)
    told = _told(folder)
    try:
        with Processes(notebook_path(step["notebook"]) for step in steps) as workers:
            for number, (name, nth, step) in enumerate(named, start=1):
                head = f"[{number}/{len(steps)}] {name}"
                if (folder / "notebooks" / f"{name}.ipynb").is_file():
                    say(f"{head}: done before")
                    continue
                told[name] = {"name": name, "status": "running", "started": now()}
                _record(folder, content["name"], steps, told)
                told[name] |= _executed(workers, step, folder, name, nth)
                _record(folder, content["name"], steps, told)
                if (error := told[name]["error"]) is not None:
                    raise StepFailed(
                        f"{error}\n"
                        f"the notebook as far as it came: {folder / f'failed-{name}.ipynb'}\n"
                        f"to go on after mending: rulekit run {recipe} --resume {folder}"
                    )
                say(f"{head}: {told[name]['seconds']:.1f} s")
    except KeyboardInterrupt:
        for step in told.values():
            step["status"] = "interrupted" if step["status"] == "running" else step["status"]
        _record(folder, content["name"], steps, told)
        raise RunInterrupted(
            f"interrupted; to go on: rulekit run {recipe} --resume {folder}"
        ) from None
    say(f"report: {write_report(folder)}")
    return folder


def now() -> str:
    """The time, as all records write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _executed(workers: Processes, step: dict, folder: Path, name: str, nth: int) -> dict:
    """The outcome of one step, tried again while its kernel ends before any cell has run."""
    notebook, artefacts = notebook_path(step["notebook"]), folder / "artefacts"
    own = {"artefacts": str(artefacts)} if takes_artefacts(notebook) else {}
    task = {
        "do": "notebook",
        "name": name,
        "notebook": str(notebook.resolve()),
        "parameters": {**step["parameters"], **own},
        "folder": str(folder),
        "nth": nth,
    }
    for _ in range(TRIES):
        workers.start(name, task)
        while not (ended := workers.wait(60)):
            pass
        ((_, outcome),) = ended
        if outcome["status"] == "broken":
            outcome = broken(folder, name, outcome)
        if outcome["status"] != "lost":
            break
    return outcome | {"status": "done" if outcome["error"] is None else "failed"}


def _told(folder: Path) -> dict[str, dict]:
    """What was recorded of steps before."""
    path = folder / "run.json"
    told = json.loads(path.read_text(encoding="utf-8"))["steps"] if path.is_file() else []
    return {step["name"]: step for step in told}


def _record(folder: Path, recipe: str, steps: list[dict], told: dict[str, dict]) -> None:
    given = {k: v for step in steps for k, v in step["parameters"].items()}
    write_json(folder / "run.json", run_record(folder.name, recipe, list(told.values()), given))
    write_json(folder / "metrics.json", collect_metrics(folder))


def _read_once(steps: list[dict]) -> None:
    """Refuse files that cannot be read before a notebook runs, where a word in one line is enough."""
    names = ("pairs", "rules", "labels")
    given = [{n: s["parameters"][n] for n in names if s["parameters"].get(n)} for s in steps]
    for one in {tuple(some.items()): some for some in given}.values():
        if any(Path(value).is_absolute() for value in one.values()):
            load_inputs(**one)


def new_folder(runs: Path, name: str) -> Path:
    """NAME-TIME, or where another run of this second has it, NAME-TIME-2 and so on."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for n in count(1):
        folder = runs / (f"{name}-{stamp}" if n == 1 else f"{name}-{stamp}-{n}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError


def _recorded_steps(folder: Path, name: str, parameters: dict | None) -> list[dict]:
    if not (folder / "provenance.json").is_file():
        raise ValueError(f"{folder} is no run: there is no provenance.json in it")
    if parameters:
        raise ValueError(
            f"parameter {next(iter(parameters))!r} beside --resume; allowed: none, a run keeps the "
            "parameters it began with"
        )
    told = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    if told["recipe"] != name:
        raise ValueError(f"{folder} is a run of {told['recipe']!r}, not {name!r}")
    return told["steps"]

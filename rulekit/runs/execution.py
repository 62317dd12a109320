"""A recipe's notebooks are executed one after the other into a folder, and resumed there.

A checked recipe comes in, executed notebooks, HTML, artefacts and figures go out.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from rulekit.files import write_atomically, write_json
from rulekit.runs.inputs import load_inputs
from rulekit.runs.recipe import load_recipe, notebook_path, overridden, takes_artefacts
from rulekit.runs.records import collect_metrics, provenance, save_metrics
from rulekit.runs.report import write_page, write_report


class StepFailed(RuntimeError):
    """A cell of a notebook failed; the message names notebook, cell and error."""


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
    StepFailed
        If a cell fails. What was finished stays, and `resume` goes on from there.
    ValueError
        For an unknown recipe, notebook or parameter, a value that is not allowed, or parameters
        beside `resume`.
    """
    content = load_recipe(recipe)
    if resume is None:
        steps = overridden(content["steps"], parameters or {})
        _read_once(steps)
        folder = _new_folder(Path(runs).resolve(), content["name"])
        write_json(folder / "provenance.json", provenance(content["name"], steps))
    else:
        folder = Path(resume).resolve()
        steps = _recorded_steps(folder, content["name"], parameters)
    say(f"{content['name']}: {len(steps)} notebooks → {folder}")
    times: Counter[str] = Counter()
    for number, step in enumerate(steps, start=1):
        stem = Path(step["notebook"]).name.removesuffix(".ipynb")
        times[stem] += 1
        nth = times[stem]
        name = stem if nth == 1 else f"{stem}-{nth}"
        head = f"[{number}/{len(steps)}] {name}"
        if (folder / "notebooks" / f"{name}.ipynb").is_file():
            say(f"{head}: done before")
            continue
        start = time.perf_counter()
        with _figures_apart(folder / "artefacts" / "metrics", nth):
            _execute(step, folder, name, recipe)
        seconds = time.perf_counter() - start
        save_metrics(folder / "artefacts", f"{name}.seconds", {"seconds": round(seconds, 1)})
        write_json(folder / "metrics.json", collect_metrics(folder))
        say(f"{head}: {seconds:.1f} s")
    say(f"report: {write_report(folder)}")
    return folder


def _read_once(steps: list[dict]) -> None:
    """Refuse files that cannot be read before a notebook runs, where a word in one line is enough."""
    names = ("pairs", "rules", "labels")
    given = [{n: s["parameters"][n] for n in names if s["parameters"].get(n)} for s in steps]
    for one in {tuple(some.items()): some for some in given}.values():
        if any(Path(value).is_absolute() for value in one.values()):
            load_inputs(**one)


def _new_folder(runs: Path, name: str) -> Path:
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


@contextmanager
def _figures_apart(metrics: Path, nth: int) -> Iterator[None]:
    """Keep the figures of a notebook that runs again under names of their own."""
    before = {p: p.read_bytes() for p in metrics.glob("*.json")} if nth > 1 else {}
    yield
    for path, content in before.items():
        if path.read_bytes() != content and not path.stem.endswith(".seconds"):
            path.rename(path.with_name(f"{path.stem}-{nth}.json"))
            write_atomically(path, lambda p, content=content: p.write_bytes(content))


def _execute(step: dict, folder: Path, name: str, recipe: str) -> None:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    artefacts, notebook = folder / "artefacts", notebook_path(step["notebook"])
    artefacts.mkdir(exist_ok=True)
    own = {"artefacts": str(artefacts)} if takes_artefacts(notebook) else {}
    partial = folder / f"failed-{name}.ipynb"
    given = {"RULEKIT_HEADLESS": "1"}
    if data := os.environ.get("RULEKIT_DATA"):
        given["RULEKIT_DATA"] = str(Path(data).expanduser().resolve())
    try:
        with _environment(given):
            papermill.execute_notebook(
                str(notebook),
                str(partial),
                parameters={**step["parameters"], **own},
                kernel_name="python3",
                progress_bar=False,
                extra_arguments=[
                    "--log-level=50"
                ],  # no warning that a kernel listens on this machine
                cwd=str(folder),
            )
    except PapermillExecutionError as error:
        raise StepFailed(
            f"{name}, cell {error.cell_index + 1}: {error.ename}: {error.evalue}\n"
            f"the notebook as far as it came: {partial}\n"
            f"to go on after mending: rulekit run {recipe} --resume {folder}"
        ) from None
    write_page(partial, folder / "html" / f"{name}.html")
    executed = folder / "notebooks" / f"{name}.ipynb"
    executed.parent.mkdir(exist_ok=True)
    partial.rename(executed)


@contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    """Variables that a kernel inherits, set while it is started and runs."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

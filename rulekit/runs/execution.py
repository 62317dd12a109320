"""A recipe's notebooks are executed one after the other into a folder, and resumed there.

A checked recipe comes in, executed notebooks, HTML, artefacts and figures go out.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from rulekit.files import write_atomically, write_json
from rulekit.runs.recipe import load_recipe, notebook_path, overridden
from rulekit.runs.records import collect_metrics, provenance, save_metrics


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
    The run's folder: executed notebooks, their HTML, `artefacts/`, `metrics.json`,
    `provenance.json`. A notebook that a recipe names again is NAME-2 there, and so are its figures.

    Raises
    ------
    StepFailed
        If a cell fails. What was finished stays, and `resume` goes on from there.
    ValueError
        For an unknown recipe, notebook or parameter, a value that is not allowed, or parameters
        beside `resume`.
    """
    content = load_recipe(recipe)
    if resume is None:
        steps = overridden(content["steps"], parameters or {})
        folder = _new_folder(Path(runs).resolve(), content["name"])
        write_json(folder / "provenance.json", provenance(content["name"], steps))
    else:
        folder = Path(resume).resolve()
        steps = _recorded_steps(folder, content["name"], parameters)
    say(f"{content['name']}: {len(steps)} notebooks → {folder}")
    times: dict[str, int] = {}
    for number, step in enumerate(steps, start=1):
        times[step["notebook"]] = nth = times.get(step["notebook"], 0) + 1
        name = step["notebook"] if nth == 1 else f"{step['notebook']}-{nth}"
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
    return folder


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
    import nbformat
    import papermill
    from nbconvert import HTMLExporter
    from papermill.exceptions import PapermillExecutionError

    artefacts = folder / "artefacts"
    artefacts.mkdir(exist_ok=True)
    partial = folder / f"failed-{name}.ipynb"
    given = {"RULEKIT_HEADLESS": "1"}
    if data := os.environ.get("RULEKIT_DATA"):
        given["RULEKIT_DATA"] = str(Path(data).expanduser().resolve())
    try:
        with _environment(given):
            papermill.execute_notebook(
                str(notebook_path(step["notebook"])),
                str(partial),
                parameters={**step["parameters"], "artefacts": str(artefacts)},
                kernel_name="python3",
                progress_bar=False,
                cwd=str(folder),
            )
    except PapermillExecutionError as error:
        raise StepFailed(
            f"{name}, cell {error.cell_index + 1}: {error.ename}: {error.evalue}\n"
            f"the notebook as far as it came: {partial}\n"
            f"to go on after mending: rulekit run {recipe} --resume {folder}"
        ) from None
    html, _ = HTMLExporter().from_notebook_node(nbformat.read(partial, as_version=4))
    page = folder / "html" / f"{name}.html"
    write_atomically(page, lambda p: p.write_text(html, encoding="utf-8"))
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

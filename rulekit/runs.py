"""Runs: a recipe of parameterized notebooks comes in, a folder of results goes out.

A recipe is a YAML file: `name`, and `steps`, each a notebook with its parameters. Notebooks hand
data on through Parquet files in the run's folder `artefacts/`, and figures through
`save_metrics`. Only the command line calls `run`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import yaml

from rulekit.files import resource, sha256_file, write_atomically, write_json

_PACKAGES = ("rulekit", "numpy", "numba", "polars", "torch", "transformers", "altair", "papermill")


class StepFailed(RuntimeError):
    """A cell of a notebook failed; the message names notebook, cell and error."""


def recipes() -> list[str]:
    """Names of the recipes that come with the kit."""
    return sorted(p.stem for p in resource("notebooks").glob("recipes/*.yaml"))


def load_recipe(name: str) -> dict:
    """A recipe by its name, or by the path of a YAML file.

    Raises
    ------
    ValueError
        If there is no such recipe, it has an unknown key, or a step names a notebook or a
        parameter that does not exist.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else None
    if path is None:
        if name not in recipes():
            raise ValueError(
                f"unknown recipe {name!r}; allowed: {', '.join(recipes())}, or a .yaml file"
            )
        path = resource("notebooks") / "recipes" / f"{name}.yaml"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(recipe, dict) or set(recipe) - {"name", "description", "steps"}:
        raise ValueError(f"{path}: allowed keys: name, description, steps")
    for step in recipe["steps"]:
        if set(step) - {"notebook", "parameters"}:
            raise ValueError(f"{path}: step {step}: allowed keys: notebook, parameters")
        check_parameters(notebook_path(step["notebook"]), step.get("parameters") or {})
    return recipe


def notebook_path(name: str) -> Path:
    """Path of a notebook of the kit by its name without ending.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    path = resource("notebooks") / f"{name}.ipynb"
    if not path.is_file():
        known = sorted(p.stem for p in resource("notebooks").glob("*.ipynb"))
        raise ValueError(f"unknown notebook {name!r}; allowed: {', '.join(known)}")
    return path


def check_parameters(notebook: Path, parameters: dict) -> None:
    """Refuse a parameter that the notebook's `parameters` cell does not have.

    Raises
    ------
    ValueError
        Naming the parameter, and those that are allowed.
    """
    import papermill

    allowed = papermill.inspect_notebook(str(notebook))
    for name in parameters:
        if name not in allowed:
            raise ValueError(
                f"{notebook.stem}: unknown parameter {name!r}; allowed: {', '.join(allowed)}"
            )


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
        Override parameters of every step that has them.
    runs
        Folder in which `NAME-TIME/` is made.
    resume
        A run's folder: its finished steps are skipped, its recorded parameters hold.
    say
        Called with each line of progress.

    Returns
    -------
    The run's folder: executed notebooks, their HTML, `artefacts/`, `metrics.json`,
    `provenance.json`.

    Raises
    ------
    StepFailed
        If a cell fails. What was finished stays, and `resume` goes on from there.
    ValueError
        For an unknown recipe, notebook or parameter.
    """
    content = load_recipe(recipe)
    if resume is None:
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        folder = Path(runs).resolve() / f"{content['name']}-{stamp}"
        folder.mkdir(parents=True)
        steps = _with_overrides(content["steps"], parameters or {})
        write_json(folder / "provenance.json", _provenance(content["name"], steps))
    else:
        folder = Path(resume).resolve()
        if not (folder / "provenance.json").is_file():
            raise ValueError(f"{folder} is no run: there is no provenance.json in it")
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        if provenance["recipe"] != content["name"]:
            raise ValueError(
                f"{folder} is a run of {provenance['recipe']!r}, not {content['name']!r}"
            )
        steps = provenance["steps"]
    say(f"{content['name']}: {len(steps)} notebooks → {folder}")
    for number, step in enumerate(steps, start=1):
        executed = folder / "notebooks" / f"{step['notebook']}.ipynb"
        head = f"[{number}/{len(steps)}] {step['notebook']}"
        if executed.is_file():
            say(f"{head}: done before")
            continue
        start = time.perf_counter()
        _execute(step, folder, executed, recipe)
        seconds = time.perf_counter() - start
        save_metrics(
            folder / "artefacts", f"{step['notebook']}.seconds", {"seconds": round(seconds, 1)}
        )
        write_json(folder / "metrics.json", collect_metrics(folder))
        say(f"{head}: {seconds:.1f} s")
    return folder


def save_metrics(artefacts: str | Path, step: str, metrics: dict) -> None:
    """Record the metrics of one step; nothing is written when `artefacts` is empty."""
    if str(artefacts):
        write_json(Path(artefacts) / "metrics" / f"{step}.json", metrics)


def save_table(frame, artefacts: str | Path, name: str) -> None:
    """Write a Polars frame under a name as Parquet, atomically; nothing when `artefacts` is empty."""
    if str(artefacts):
        write_atomically(Path(artefacts) / f"{name}.parquet", frame.write_parquet)


def collect_metrics(folder: str | Path) -> dict:
    """All figures of a run: step → figures."""
    files = sorted(Path(folder).glob("artefacts/metrics/*.json"))
    metrics: dict[str, dict] = {}
    for file in files:
        step = file.stem.removesuffix(".seconds")
        metrics.setdefault(step, {}).update(json.loads(file.read_text(encoding="utf-8")))
    return metrics


def _with_overrides(steps: list[dict], overrides: dict) -> list[dict]:
    import papermill

    used, out = set(), []
    for step in steps:
        allowed = papermill.inspect_notebook(str(notebook_path(step["notebook"])))
        mine = {k: v for k, v in overrides.items() if k in allowed}
        used |= mine.keys()
        out.append(
            {"notebook": step["notebook"], "parameters": {**(step.get("parameters") or {}), **mine}}
        )
    if unknown := set(overrides) - used:
        raise ValueError(f"no notebook of the recipe has a parameter {sorted(unknown)[0]!r}")
    return out


def _execute(step: dict, folder: Path, executed: Path, recipe: str) -> None:
    import nbformat
    import papermill
    from nbconvert import HTMLExporter
    from papermill.exceptions import PapermillExecutionError

    artefacts = folder / "artefacts"
    artefacts.mkdir(exist_ok=True)
    partial = folder / f"failed-{step['notebook']}.ipynb"
    os.environ["RULEKIT_HEADLESS"] = "1"  # the kernel inherits it
    if data := os.environ.get("RULEKIT_DATA"):
        os.environ["RULEKIT_DATA"] = str(Path(data).expanduser().resolve())
    try:
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
            f"{step['notebook']}, cell {error.cell_index + 1}: {error.ename}: {error.evalue}\n"
            f"the notebook as far as it came: {partial}\n"
            f"to go on after mending: rulekit run {recipe} --resume {folder}"
        ) from None
    html, _ = HTMLExporter().from_notebook_node(nbformat.read(partial, as_version=4))
    write_atomically(
        folder / "html" / f"{step['notebook']}.html", lambda p: p.write_text(html, encoding="utf-8")
    )
    executed.parent.mkdir(exist_ok=True)
    partial.rename(executed)


def _provenance(recipe: str, steps: list[dict]) -> dict:
    git = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    data = {f"data/{n}": sha256_file(resource(f"data/{n}")) for n in ("pairs.jsonl", "rules.yaml")}
    return {
        "recipe": recipe,
        "steps": steps,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git.stdout.strip() or None,
        "data_sha256": data,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}},
        "command": sys.argv,
    }

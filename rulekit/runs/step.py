"""One notebook executed: its path and parameters come in, files in a folder and an outcome go out.

It happens in a process that `template` makes for it and that ends with it, and so does all that the
notebook has left in memory.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from rulekit.files import write_atomically
from rulekit.runs import kernel
from rulekit.runs.records import save_metrics

_gave_up = False  # of this process, which has one task


def give_up() -> None:
    """Let what fails from now on count as interrupted, and stay where it can be gone on with."""
    global _gave_up
    _gave_up = True


def execute(
    notebook: Path,
    name: str,
    parameters: dict,
    folder: Path,
    *,
    nth: int = 1,
    forked: kernel.Forked | None = None,
) -> dict:
    """Execute a notebook; its page, its artefacts and its figures go into a folder.

    Parameters
    ----------
    notebook
        Path of the notebook.
    name
        Of the executed one.
    parameters
        Values of its parameters.
    folder
        Where `notebooks/NAME.ipynb`, `html/NAME.html` and `artefacts/` are written. While it runs
        the notebook is `notebooks/.running-NAME.ipynb`; one that failed is `failed-NAME.ipynb`.
    nth
        How often this notebook has been run there, this time included.
    forked
        A kernel that waits to begin; None starts one.

    Returns
    -------
    ``status`` (done, failed, interrupted, or lost: the kernel ended before any cell ran), ``error``,
    ``seconds``, ``cells`` (seconds of its cells), ``peak_memory`` (MiB, of the kernel),
    ``judge_calls``, ``judge_cost``.
    """
    start = time.perf_counter()
    running = folder / "notebooks" / f".running-{name}.ipynb"
    running.parent.mkdir(parents=True, exist_ok=True)
    (folder / f"failed-{name}.ipynb").unlink(missing_ok=True)
    costs = running.with_suffix(".costs")
    costs.unlink(missing_ok=True)
    os.environ["RULEKIT_COSTS"] = str(costs)
    (artefacts := folder / "artefacts").mkdir(exist_ok=True)
    before = _figures(artefacts / "metrics") if nth > 1 else {}
    error, ran = _papermill(notebook, parameters, running, folder, forked)
    told = {
        "status": "interrupted"
        if _gave_up
        else "done"
        if error is None
        else "failed"
        if ran
        else "lost",
        "error": error and f"{name}, {error}",
        "cells": _seconds_of_cells(running),
        "peak_memory": _peak_memory(),
        **_costs(costs),
    }
    costs.unlink(missing_ok=True)
    if told["status"] == "done":
        _keep_apart(before, nth)
        told["seconds"] = round(time.perf_counter() - start, 2)
        save_metrics(artefacts, f"{name}.seconds", {"seconds": round(told["seconds"], 1)})
        from rulekit.runs.report import write_page

        write_page(running, folder / "html" / f"{name}.html")
        running.replace(running.with_name(f"{name}.ipynb"))
    elif told["status"] == "failed":
        running.replace(folder / f"failed-{name}.ipynb")
    told["seconds"] = round(time.perf_counter() - start, 2)
    return told


def broken(folder: Path, name: str, outcome: dict) -> dict:
    """The outcome of a step whose process broke off: failed, or lost where no cell had begun.

    Parameters
    ----------
    folder
        Where it was executed; a notebook of which a cell had begun becomes `failed-NAME.ipynb`.
    name
        Of the notebook.
    outcome
        ``broken`` says how it ended, ``said`` what it last printed.
    """
    running = folder / "notebooks" / f".running-{name}.ipynb"
    at = _cell_begun(running)
    message = f"its process ended ({outcome['broken']}); out of memory?"
    found = {"cells": _seconds_of_cells(running), "seconds": None, "peak_memory": None}
    found |= _costs(running.with_suffix(".costs"))
    if at is None:
        return found | {"status": "lost", "error": f"{name}: {message} {outcome['said'][-300:]}"}
    _show(running, at, "Ended", f"{message}\n{outcome['said']}")
    running.replace(folder / f"failed-{name}.ipynb")
    return found | {"status": "failed", "error": f"{name}, cell {at + 1}: {message}"}


def _papermill(notebook, parameters, running, folder, forked) -> tuple[str | None, bool]:
    """What went wrong, if anything did, and whether a cell has run."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    manager = type("Manager", (kernel.KernelManager,), {"forked": forked})
    try:
        papermill.execute_notebook(
            str(notebook),
            str(running),
            parameters=parameters,
            kernel_name="python3",
            progress_bar=False,
            kernel_manager_class=manager,
            cwd=str(folder),
        )
    except PapermillExecutionError as error:
        return f"cell {error.cell_index + 1}: {error.ename}: {error.evalue}", True
    except Exception as error:  # of the kernel or of the way to it
        at = _cell_begun(running)
        if at is None:
            return f"the kernel ended before any cell ran: {type(error).__name__}: {error}", False
        _show(running, at, type(error).__name__, str(error))
        return f"cell {at + 1}: {type(error).__name__}: {error}", True
    return None, True


def _show(running: Path, at: int, name: str, message: str) -> None:
    """Put an error that no cell could show below the cell in which it happened."""
    import nbformat

    notebook = nbformat.read(running, as_version=4)
    told = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=[message])
    notebook.cells[at].outputs.append(told)
    nbformat.write(notebook, running)


def _cell_begun(running: Path) -> int | None:
    """Position of the last code cell that was begun."""
    begun = [i for i, cell in enumerate(_code_cells(running)) if cell and cell.get("start_time")]
    return begun[-1] if begun else None


def _seconds_of_cells(running: Path) -> float:
    return round(sum(c.get("duration") or 0 for c in _code_cells(running) if c), 2)


def _code_cells(running: Path) -> list[dict | None]:
    """What papermill noted of each cell; None for one that is no code."""
    try:
        cells = json.loads(running.read_text(encoding="utf-8"))["cells"]
    except (FileNotFoundError, json.JSONDecodeError):  # not begun, or ended while it was written
        return []
    return [c["metadata"].get("papermill", {}) if c["cell_type"] == "code" else None for c in cells]


def _peak_memory() -> float | None:
    """MiB that the kernel, or a process that it waited for, held at most."""
    try:
        import resource
    except ImportError:  # not on this system
        return None
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit, 1)


def _costs(path: Path) -> dict:
    """What judges were asked for, by the lines that `rulekit.rating` has written."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    told = [json.loads(line) for line in lines]
    told = [one for one in told if not one["judge"].startswith("recorded")]
    return {
        "judge_calls": sum(one["calls"] for one in told),
        "judge_cost": round(sum(one["cost"] for one in told), 6),
    }


def _figures(metrics: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in metrics.glob("*.json")}


def _keep_apart(before: dict[Path, bytes], nth: int) -> None:
    """Give the figures of a notebook that ran again names of their own."""
    for path, content in before.items():
        if path.read_bytes() != content and not path.stem.endswith(".seconds"):
            path.rename(path.with_name(f"{path.stem}-{nth}.json"))
            write_atomically(path, lambda p, content=content: p.write_bytes(content))

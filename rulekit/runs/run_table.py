"""Many runs as one table: folders of runs come in, a frame with a row a run goes out.

`comparison` and the run browser read it; `rulekit compare` prints it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from rulekit.files import write_atomically
from rulekit.runs.flattened import as_parameter, flattened, frame_of
from rulekit.runs.found import RunFolder, find_runs

FIXED = (
    "run",
    "sweep",
    "recipe",
    "status",
    "started",
    "seconds",
    "peak_memory",
    "judge_calls",
    "judge_cost",
    "error",
    "folder",
)
_FLOATS = ("seconds", "peak_memory", "judge_cost")


def table(
    folders: str | Path | Iterable[str | Path] = "runs", *, out: str | Path | None = None
) -> pl.DataFrame:
    """Every run's parameters, figures, provenance and cost, a row a run.

    Parameters
    ----------
    folders
        Each a run, a sweep, or a folder of runs and sweeps; or one of them.
    out
        Parquet file to write it to as well.

    Returns
    -------
    Columns ``run``, ``sweep`` (folder; empty outside of one), ``recipe``, ``status`` (done, failed,
    running, interrupted), ``started`` (UTC), ``seconds``, ``peak_memory`` (MiB), ``judge_calls``
    (ratings that a judge was asked for), ``judge_cost`` (in its prices), ``error``, ``folder``; a
    column a parameter, those that were not given with the default of the notebook as it was run,
    as STEP.NAME where the steps of a run do not agree; a column a figure, STEP.FIGURE, nested
    figures by their path; ``commit``, ``version.PACKAGE`` and ``data.FILE`` (SHA-256). What a run has
    not is null. Lists and mappings among parameters are JSON.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If there is no run in one of them.
    """
    kept: dict[tuple[int, int], dict] = {}
    rows = [_row(run, kept) for run in find_runs(folders)]
    parameters, figures, origin = ({} for _ in range(3))
    for row in rows:
        parameters |= dict.fromkeys(row["parameters"])
        figures |= dict.fromkeys(row["figures"])
        origin |= dict.fromkeys(row["origin"])
    order = [*FIXED, *sorted(parameters), *figures, *origin]
    flat = [row["fixed"] | row["parameters"] | row["figures"] | row["origin"] for row in rows]
    times = pl.Series("started", [row["started"] for row in rows], dtype=pl.Datetime("ms", "UTC"))
    frame = frame_of(flat, order).with_columns(
        times, *(pl.col(c).cast(pl.Float64) for c in _FLOATS), pl.col("judge_calls").cast(pl.Int64)
    )
    if out is not None:
        write_atomically(out, frame.write_parquet)
    return frame


def parameters_in(runs: Iterable[RunFolder]) -> list[str]:
    """Names of the columns of `table` that are parameters of these runs, sorted."""
    kept: dict[tuple[int, int], dict] = {}
    return sorted({name for run in runs for name in _parameters(run, kept)})


def _row(run: RunFolder, kept: dict) -> dict[str, dict]:
    told, metrics = run.told, run.metrics
    spent = [figures.get("seconds") for figures in metrics.values() if isinstance(figures, dict)]
    seconds = told.get("seconds", sum(s for s in spent if s is not None) if spent else None)
    fixed = {
        "run": run.name,
        "sweep": run.sweep,
        "recipe": run.recipe,
        "status": run.status,
        "seconds": seconds,
        **{c: told.get(c) for c in ("peak_memory", "judge_calls", "judge_cost", "error")},
        "folder": str(run.folder),
    }
    about = run.provenance
    origin = {"commit": about.get("git_commit")}
    origin |= {f"version.{n}": v for n, v in (about.get("versions") or {}).items()}
    origin |= {f"data.{n}": v for n, v in (about.get("data_sha256") or {}).items()}
    taken = {*FIXED, *origin}
    parameters = {
        f"parameter.{name}" if name in taken else name: value
        for name, value in _parameters(run, kept).items()
    }
    return {
        "fixed": fixed,
        "started": run.started,
        "parameters": parameters,
        "figures": {k: v for k, v in flattened(metrics).items() if k not in parameters},
        "origin": origin,
    }


def _parameters(run: RunFolder, kept: dict) -> dict[str, object]:
    """The parameters of a run, given or not; STEP.NAME where its steps do not agree."""
    of_step = {name: _of_notebook(run, name, kept) for name in run.steps}
    for name, step in zip(run.steps, run.provenance.get("steps") or (), strict=False):
        of_step[name] = of_step[name] | (step.get("parameters") or {})
    found: dict[str, object] = {}
    names = dict.fromkeys([*run.parameters, *(n for some in of_step.values() for n in some)])
    for name in names:
        values = {step: as_parameter(some[name]) for step, some in of_step.items() if name in some}
        if len({json.dumps(v, default=str) for v in values.values()}) > 1:
            found |= {f"{step}.{name}": value for step, value in values.items()}
        elif values:
            found[name] = next(iter(values.values()))
        else:
            found[name] = as_parameter(run.parameters[name])
    return found


def _of_notebook(run: RunFolder, step: str, kept: dict) -> dict[str, object]:
    """What the parameters cell of an executed notebook says; files that are one are read once."""
    path = run.notebook(step)
    if path is None:
        return {}
    stat = path.stat()
    key = (stat.st_dev, stat.st_ino)
    if key not in kept:
        kept[key] = _declared(path)
    return kept[key]


def _declared(path: Path) -> dict[str, object]:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError):
        return {}
    for cell in cells:
        if "parameters" in cell.get("metadata", {}).get("tags", ()):
            return _assigned("".join(cell["source"]))
    return {}


def _assigned(source: str) -> dict[str, object]:
    """Names and plain values that a cell assigns, but for the folder that a run gives."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return {}
    found = {}
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        if isinstance(target, ast.Name) and node.value is not None and target.id != "artefacts":
            try:
                found[target.id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found

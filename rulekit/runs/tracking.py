"""Runs handed to another keeper of experiments: folders come in, its ids of the runs go out.

`rulekit run`, `rulekit sweep` and `rulekit runs list` call it with --log. The folders stay what they
are; a keeper has a copy of parameters, figures and the report.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from rulekit.runs.found import DONE, FAILED, RunFolder, find_runs
from rulekit.runs.run_table import FIXED, parameters_in, table

_TAG = "rulekit.run"
_SPENT = ("seconds", "peak_memory", "judge_calls", "judge_cost")
_NAME = re.compile(r"[^\w\-. :/]")
_LONGEST, _AT_ONCE = 250, 100  # what MLflow takes


def log_runs(
    folders: str | Path | Iterable[str | Path], keeper: str = "mlflow", *, uri: str | None = None
) -> list[str]:
    """Hand runs that have ended to a keeper of experiments; those it has already are left as they are.

    Parameters
    ----------
    folders
        Each a run, a sweep, or a folder of runs and sweeps; or one of them.
    keeper
        ``mlflow``.
    uri
        Where it keeps them, such as ``sqlite:///mlflow.db`` or the address of a server; None: what
        ``MLFLOW_TRACKING_URI`` says, or MLflow's own choice.

    Returns
    -------
    The keeper's id of each run, an experiment a recipe or sweep.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    RuntimeError
        If the keeper is not installed.
    ValueError
        For an unknown keeper, or no run in a folder.
    """
    check_keeper(keeper)
    found = [run for run in find_runs(folders) if run.status in (DONE, FAILED)]
    rows = (
        {row["folder"]: row for row in table([r.folder for r in found]).to_dicts()} if found else {}
    )
    return _KEEPERS[keeper]([(run, _content(run, rows[str(run.folder)])) for run in found], uri)


def check_keeper(keeper: str) -> None:
    """Refuse a keeper that is not known or not installed, before anything is run for it.

    Raises
    ------
    RuntimeError
        If it is not installed.
    ValueError
        If it is unknown.
    """
    if keeper not in _KEEPERS:
        raise ValueError(f"unknown keeper {keeper!r}; allowed: {', '.join(_KEEPERS)}")
    if find_spec(keeper) is None:
        raise RuntimeError(f"{keeper} is not installed; pip install 'rulekit[{keeper}]'")


def _content(run: RunFolder, row: Mapping[str, object]) -> dict[str, dict]:
    """Parameters, figures and tags of a run under names that are allowed and no two share."""
    named = set(parameters_in([run]))
    told = {k: v for k, v in row.items() if v is not None and k not in FIXED}
    numbers = {k: v for k, v in told.items() if k not in named and isinstance(v, int | float)}
    numbers |= {k: row[k] for k in _SPENT if row[k] is not None}
    figures = {k: float(v) for k, v in numbers.items() if math.isfinite(v)}
    about = {k: v for k, v in told.items() if k not in named and k not in numbers}
    return {
        "parameters": _allowed({k: told[k] for k in named if k in told}),
        "figures": _allowed(figures),
        "tags": _allowed({k: v for k, v in about.items() if not isinstance(v, list)}),
    }


def _allowed(values: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in values.items():
        short = _NAME.sub("_", name.replace("=", ":"))[:_LONGEST]
        plain, n = short, 2
        while short in found:
            short, n = f"{plain[: _LONGEST - 6]} {n}", n + 1
        found[short] = value
    return found


def _mlflow(runs: list[tuple[RunFolder, dict]], uri: str | None) -> list[str]:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=uri)
    ids = []
    for run, content in runs:
        experiment = _experiment(client, run.sweep or run.recipe)
        key = f"{run.sweep}/{run.name} {run.started}"
        there = client.search_runs([experiment], f"tags.`{_TAG}` = '{key}'", max_results=1)
        if there and there[0].info.status != "RUNNING":
            ids.append(there[0].info.run_id)
            continue
        if there:  # what was cut off is begun anew
            client.delete_run(there[0].info.run_id)
        begun = _milliseconds(run.started)
        tags = {_TAG: key, "rulekit.folder": str(run.folder.resolve())}
        tags |= {f"rulekit.{k}": str(v)[:5000] for k, v in content["tags"].items()}
        made = client.create_run(experiment, start_time=begun, tags=tags, run_name=run.name)
        name = made.info.run_id
        figures = [Metric(k, v, begun or 0, 0) for k, v in content["figures"].items()]
        parameters = [Param(k, str(v)[:6000]) for k, v in content["parameters"].items()]
        for part in _parts(figures):
            client.log_batch(name, metrics=part)
        for part in _parts(parameters):
            client.log_batch(name, params=part)
        for path in ("report.html", "metrics.json", "provenance.json"):
            if (run.folder / path).is_file():
                client.log_artifact(name, str(run.folder / path))
        spent = content["figures"].get("seconds", 0.0)
        ended = None if begun is None else begun + int(1000 * spent)
        client.set_terminated(name, "FINISHED" if run.status == DONE else "FAILED", ended)
        ids.append(name)
    return ids


def _experiment(client, name: str) -> str:
    there = client.get_experiment_by_name(name)
    return there.experiment_id if there else client.create_experiment(name)


def _milliseconds(time: datetime | None) -> int | None:
    return None if time is None else int(1000 * time.timestamp())


def _parts(values: list) -> list[list]:
    return [values[i : i + _AT_ONCE] for i in range(0, len(values), _AT_ONCE)]


_KEEPERS: dict[str, Callable[[list, str | None], list[str]]] = {"mlflow": _mlflow}

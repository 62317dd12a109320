"""Live curves of a run in a notebook: the run is a process of its own, the notebook reads its metrics.

The process stands in a session of its own: interrupting a cell, and a kernel that is restarted or
lost, take no training run with them. Several GPUs need ``torchrun`` anyway.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import write_atomically, write_json
from rulekit.inputs.identity import Identity
from rulekit.inputs.rules import RuleSet
from rulekit.labels import Labels
from rulekit.selection.registry import Selection
from rulekit.training import targets
from rulekit.training.callbacks import METRICS

CURVES = {
    "loss": "loss",
    "accuracy": "accuracy",
    "margin": "margin (reward units)",
    "learning_rate": "learning rate",
    "tokens_per_second": "tokens a second",
}


def read_metrics(folder: str | Path) -> pl.DataFrame:
    """The metrics of a run so far, one row a log: `step`, `time` and whatever was measured.

    A last line that is still being written is left out. Without a file yet: no rows.
    """
    path = Path(folder) / METRICS
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return pl.DataFrame(rows, infer_schema_length=None)


def training_curves(metrics: pl.DataFrame):
    """Charts of loss, accuracy, margin, learning rate and tokens a second over the steps.

    Parameters
    ----------
    metrics
        From `read_metrics`.

    Returns
    -------
    An Altair chart of small panels.
    """
    import altair as alt

    shown = [name for name in CURVES if name in metrics.columns]
    long = (
        metrics.select("step", *shown).unpivot(index="step", variable_name="measure").drop_nulls()
    )
    panels = [
        alt.Chart(long.filter(pl.col("measure") == name))
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="optimiser step"),
            y=alt.Y("value:Q", title=CURVES[name], scale=alt.Scale(zero=False)),
        )
        .properties(width=180, height=120)
        for name in shown
    ]
    return alt.concat(*panels, columns=3)


def start(*arguments: str, processes: int = 1) -> subprocess.Popen:
    """Start ``python -m rulekit.training`` with these arguments, under torchrun if on several processes.

    The caller's interrupts do not reach it: ``terminate()`` the result to have a checkpoint saved
    and the run stopped.
    """
    command = [sys.executable]
    if processes > 1:
        command += [
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            str(processes),
        ]
    # 30 seconds, torchrun's own patience after a signal, are less than a checkpoint of 8B takes.
    environment = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "600", **os.environ}
    return subprocess.Popen(
        [*command, "-m", "rulekit.training", *map(str, arguments)],
        start_new_session=True,
        env=environment,
    )


def launch(
    pairs: pl.DataFrame,
    target: Labels | Selection | np.ndarray | None = None,
    config: str | Path | None = None,
    *,
    output: str | Path,
    evaluation: pl.DataFrame | None = None,
    evaluation_target: Labels | Selection | np.ndarray | None = None,
    rules: RuleSet | None = None,
    processes: int = 1,
    provenance: dict | None = None,
    **overrides,
) -> subprocess.Popen:
    """Start a run of the engine as a process of its own; `follow` shows it.

    Parameters
    ----------
    pairs, target, evaluation, evaluation_target, provenance
        As for `rulekit.training.train`; they travel as files in `output`. A selection makes it the
        run of an adapter.
    config, overrides
        A preset or a YAML file, and fields overridden.
    output
        Folder of the run; one that is there already goes on, or is found finished.
    rules
        An adapter's rules.
    processes
        One a GPU.

    Returns
    -------
    The process, as `start` gives it.

    Raises
    ------
    ValueError
        For targets of other pairs or rules, or a selection without rules.
    """
    output = Path(output)
    task = "adapter" if isinstance(target, Selection) else "reward"
    given = {name: value for name, value in overrides.items() if value is not None}
    if task == "adapter":
        if rules is None:
            raise ValueError("rules is None; allowed with a selection: the rules that it names")
        given["rules"] = str(rules.save(output / "rules.yaml"))
    for name, frame, of in (
        ("train", pairs, target),
        ("evaluation", evaluation, evaluation_target),
    ):
        if frame is not None:
            frame = _with_target(task, frame, of, rules)
            write_atomically(output / f"{name}.parquet", frame.write_parquet)
            given[name] = str(output / f"{name}.parquet")
    options = [x for name, value in given.items() for x in ("-p", name, json.dumps(value))]
    if config is not None:
        options += ["--config", str(config)]
    if provenance:
        options += ["--provenance", str(write_json(output / "provenance.json", provenance))]
    return start(task, "--output", str(output), *options, processes=processes)


def _with_target(task: str, pairs: pl.DataFrame, target, rules: RuleSet | None) -> pl.DataFrame:
    """The pairs with their target in columns, as the command line reads them."""
    of = None if rules is None else Identity.of(rules)
    data = targets.aligned(task, pairs, target, rules=of)
    if task == "adapter":
        named = [[rules.ids[j] for j in row] for row in data.target.indices.tolist()]
        return pairs.with_columns(rules=pl.Series(named, dtype=pl.List(pl.String)))
    pairs = pairs.drop("target", "evidence", strict=False)
    pairs = pairs.with_columns(target=pl.Series(data.target, nan_to_null=True))
    return pairs if data.evidence is None else pairs.with_columns(evidence=data.evidence)


def follow(process: subprocess.Popen, folder: str | Path, every: float = 5.0) -> int:
    """Show a run's curves, renewed as it goes, until its process ends; returns its exit status.

    Parameters
    ----------
    process
        From `start` or `launch`. Interrupting the cell leaves it running: follow it again.
    folder
        Of the run.
    every
        Seconds between looks.

    Notes
    -----
    Outside of a notebook nothing is drawn, so that headless runs stay quiet.
    """
    handle = _display()
    drawn = 0
    while True:
        ended = process.poll() is not None
        metrics = read_metrics(folder)
        if handle is not None and len(metrics) > drawn:
            handle.update(training_curves(metrics))
            drawn = len(metrics)
        if ended:
            return process.returncode
        time.sleep(every)


def _display():
    """A display that can be renewed, in a notebook; None elsewhere."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return display(display_id=True)

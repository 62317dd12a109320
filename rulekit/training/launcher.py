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

import polars as pl

from rulekit.files import write_atomically, write_json
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
    task: str,
    config: str,
    folder: str | Path,
    train: pl.DataFrame,
    evaluation: pl.DataFrame,
    *,
    processes: int = 1,
    provenance: dict | None = None,
    **overrides,
) -> subprocess.Popen:
    """Start a run of the engine on frames of pairs; `follow` shows it.

    Parameters
    ----------
    task
        ``reward`` or ``adapter``.
    config, overrides
        What `load_config` takes: a preset or a YAML file, and fields overridden.
    folder
        Of the run, for the pairs too; a run that is there already goes on, or is found finished.
    train, evaluation
        Canonical frames. For ``reward`` a column `target`, P(A is preferred), null where the pair
        is left out, takes the place of `preference`, and a column `evidence` holds each label's
        evidence, which the objective ``margin`` needs in both frames; for ``adapter`` a column
        `rules` holds the ids of the selected rules.
    processes
        One a GPU.
    provenance
        As for `rulekit.training.train`; travels as ``provenance.json`` in `folder`.

    Returns
    -------
    The process, as `start` gives it.
    """
    folder = Path(folder)
    overrides = {name: value for name, value in overrides.items() if value is not None}
    for name, frame in (("train", train), ("evaluation", evaluation)):
        write_atomically(folder / f"{name}.parquet", frame.write_parquet)
        overrides[name] = str(folder / f"{name}.parquet")
    options = [x for name, value in overrides.items() for x in ("-p", name, json.dumps(value))]
    if provenance:
        options += ["--provenance", str(write_json(folder / "provenance.json", provenance))]
    return start(task, "--config", config, "--output", str(folder), *options, processes=processes)


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

"""`rulekit runs`: what runs there are, what one holds, and the failed ones taken away."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import (
    WRONG,
    Failed,
    Json,
    Log,
    Quiet,
    Verbose,
    Voice,
    add,
    answer,
    group,
    shown,
    write_table,
)

_LIST = """
  rulekit runs list
  rulekit runs list runs/ablations-20250101-120000 -o runs.parquet
"""
_SHOW = """
  rulekit runs show runs/quickstart-20250101-120000
"""
_CLEAN = """
  rulekit runs clean --dry-run
  rulekit runs clean --status failed --older 7 --yes
"""
Folders = Annotated[
    list[str],
    typer.Argument(metavar="[FOLDER…]", help="Runs, sweeps, or folders of them (default: runs)."),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    runs = group("Runs on the disk: list, show, clean.")
    app.add_typer(runs, name="runs")
    add(runs, "list", _list, _LIST)
    add(runs, "show", _show, _SHOW)
    add(runs, "clean", _clean, _CLEAN)


def _list(
    folders: Folders = (),
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="All parameters, figures and provenance as well: .parquet, .csv, .json or .jsonl.",
        ),
    ] = None,
    log: Log = None,
    to: Annotated[
        str | None, typer.Option(metavar="URI", help="With --log: where it keeps them.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """List runs with their status, parameters that vary, time and cost."""
    return answer(_listed, locals())


def _listed(arguments: SimpleNamespace) -> None:
    from rulekit import runs

    voice = Voice.of(arguments)
    if arguments.to and not arguments.log:
        raise ValueError("--to without --log; allowed: a keeper that it is the address of")
    folders = arguments.folders or ["runs"]
    frame = runs.table(folders)
    files = [write_table(_flat(frame, arguments.out), arguments.out)] if arguments.out else []
    found = runs.find_runs(folders)
    few = ["run", *([] if frame["sweep"].n_unique() == 1 else ["sweep"]), "status", "started"]
    varying = [
        c
        for c in runs.parameters_in(found)
        if c in frame.columns and frame[c].drop_nulls().n_unique() > 1
    ]
    few += varying if arguments.verbose else varying[:6]
    few += [
        c for c in ("seconds", "peak_memory", "judge_calls") if frame[c].null_count() < len(frame)
    ]
    rows = frame.select(few)
    value = {"runs": frame.select(*few, "folder").to_dicts(), "files": files}
    if arguments.log:
        value["logged"] = runs.log_runs(folders, arguments.log, uri=arguments.to)
    voice.result(shown(rows.with_columns(rows["started"].dt.strftime("%Y-%m-%d %H:%M"))), value)
    for path in files:
        voice.note(f"written: {path}, {frame.width} columns")
    if arguments.log:
        voice.note(f"{len(value['logged'])} runs are in {arguments.log}")
    else:
        voice.note("next: rulekit runs show RUN; rulekit compare RUN RUN")


def _flat(frame, path: str):
    """Columns that a text file can hold: lists as JSON."""
    import json

    import polars as pl

    if not path.lower().endswith(".csv"):
        return frame
    lists = [c for c in frame.columns if isinstance(frame.schema[c], pl.List)]
    texts = (
        pl.Series(c, [None if v is None else json.dumps(v.to_list()) for v in frame[c]], pl.String)
        for c in lists
    )
    return frame.with_columns(*texts)


def _show(
    folder: Annotated[
        str, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)
    ],
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Show what a run is of, what came out and where its report is."""
    return answer(_shown, locals())


def _shown(arguments: SimpleNamespace) -> None:
    from rulekit import runs

    voice = Voice.of(arguments)
    run = runs.read_run(arguments.folder)
    row = runs.table(run.folder).row(0, named=True)
    told = {k: v for k, v in row.items() if v not in (None, "")}
    columns = runs.parameters_in([run])
    parameters = {k: told[k] for k in columns if k in told}
    fixed = {k: told[k] for k in runs.FIXED if k in told}
    figures = {
        k: v
        for k, v in told.items()
        if k not in fixed and k not in parameters and not k.startswith(("version.", "data."))
    }
    value = {"run": fixed, "parameters": parameters, "figures": figures, "report": run.report}
    lines = [f"{run.name}: {run.recipe}, {run.status}"]
    lines += [f"  {k}: {v}" for k, v in fixed.items() if k not in ("run", "recipe", "status")]
    for name, some in (("parameters", parameters), ("figures", figures)):
        every = list(some.items())
        few = every if arguments.verbose or name == "parameters" else every[:20]
        lines += [f"{name}:", *(f"  {k}: {v}" for k, v in few)]
        lines += [f"  … {len(every) - len(few):,} more, with -v"] if len(few) < len(every) else []
    voice.result("\n".join(lines), value)
    voice.note(f"report: {run.report}" if run.report else f"notebooks: {run.folder}/notebooks")


def _clean(
    folders: Folders = (),
    status: Annotated[
        str, typer.Option(metavar="STATUS[,STATUS]", help="Which go: failed, interrupted, done.")
    ] = "failed,interrupted",
    older: Annotated[float, typer.Option(metavar="DAYS", help="Only those begun before.")] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Delete runs that failed or were interrupted; asks before, and touches nothing that is no run."""
    return answer(_cleaned, locals())


def _cleaned(arguments: SimpleNamespace) -> None:
    from rulekit import runs

    voice = Voice.of(arguments)
    wanted = [s.strip() for s in arguments.status.split(",") if s.strip()]
    found = runs.removable(arguments.folders or ["runs"], status=wanted, older=arguments.older)
    free = [one for one in found if not one.reason]
    for one in found:
        if one.reason:
            voice.detail(f"{one.folder} stays: {one.reason}")
    size = sum(one.size for one in free)
    what = f"{len(free)} folders, {size / 1e6:,.1f} MB"
    listed = "\n".join(
        f"{one.folder}: {one.kind}, {one.status}, {one.size / 1e6:,.1f} MB" for one in free
    )
    value = {"folders": [one.folder for one in free], "bytes": size, "removed": False}
    if arguments.dry_run or not free:
        voice.result(f"{listed}\n{what} would go" if free else "nothing to take away", value)
        return
    if not arguments.yes:
        print(listed, file=sys.stderr)
        print(f"Delete {what}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Failed("nothing is deleted; --yes does not ask", WRONG)
    for one in free:
        runs.remove(one)
    voice.result(f"deleted: {what}", value | {"removed": True})

"""`rulekit sweep`: a recipe or a notebook run many times, each time with other parameters."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import (
    FAILED,
    INTERRUPTED,
    WRONG,
    Failed,
    Json,
    Log,
    Quiet,
    Verbose,
    Voice,
    add,
    answer,
    named_values,
)

_EXAMPLES = """
  rulekit sweep 03_selection -p k 1,3,5 -p seed 0:5
  rulekit sweep quickstart -p judge recorded,encoder --dry-run
  rulekit sweep ablations -p seed 0:3 --workers 4
  rulekit sweep my-sweep.yaml --on slurm
  rulekit sweep --resume runs/ablations-20250101-120000
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "sweep", _command, _EXAMPLES)


def sweep(arguments: SimpleNamespace) -> int:
    """Do it; returns the exit status: 0 done, 1 a run failed, 2 bad arguments, 130 interrupted."""
    from rulekit import runs

    voice = Voice.of(arguments)
    if arguments.log:
        runs.check_keeper(arguments.log)
    try:
        given = {name: _values(name, text) for name, text in arguments.p}
        if arguments.dry_run:
            _show(voice, _planned(arguments, given))
            return 0
        if arguments.task is not None:
            if arguments.resume is None:
                raise ValueError("--task without --resume; allowed: --resume FOLDER --task I/N")
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            folder = runs.continue_task(arguments.resume, arguments.task, say=voice.progress)
        else:
            folder = runs.sweep(
                arguments.what,
                parameters=given,
                runs=arguments.runs,
                resume=arguments.resume,
                workers=arguments.workers,
                on=arguments.on,
                say=voice.progress,
            )
    except OSError as error:
        raise Failed(str(error), WRONG) from error
    except runs.SweepInterrupted as error:
        raise Failed(str(error), INTERRUPTED) from None
    if arguments.log:
        runs.log_runs(folder, arguments.log)
    state = runs.sweep_state(folder)
    counts = state.counts
    told = {"folder": folder, "status": state.status, "runs": counts, "steps": state.steps}
    if arguments.on == "slurm":
        voice.result(f"sbatch {folder}/sweep.sbatch", told | {"script": folder / "sweep.sbatch"})
        return 0
    voice.result(f"{state}\nrulekit compare {folder} for the table", told)
    if arguments.task is not None:
        return 0
    return FAILED if counts["failed"] else 0


def _command(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="Name of a sweep (ablations), a recipe or a notebook, or path of a .yaml or .ipynb "
            "file; may be left out with --resume.",
            autocompletion=lambda incomplete: _names(incomplete),
            show_default=False,
        ),
    ] = None,
    p: Annotated[
        list[str],
        named_values(
            "-p", "A parameter with its values, such as 1,3,5 or 0:5; one value fixes it."
        ),
    ] = (),
    runs: Annotated[str, typer.Option(help="Folder for the results.")] = "runs",
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Go on with this sweep; with WHAT its runs become those of WHAT."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Steps that run together.  [default: one a core]"),
    ] = None,
    on: Annotated[
        str, typer.Option(metavar="WHERE", help="processes, ray, or slurm: write a script.")
    ] = "processes",
    task: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Do the runs I, I + N, …: a task of a job array."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, how long, and what it costs.")
    ] = False,
    log: Log = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Run a recipe or a notebook many times, and share the steps that do not differ."""
    return answer(sweep, locals())


def _values(name: str, text: str) -> list:
    from rulekit import runs

    try:
        return runs.values_of(text)
    except ValueError as error:
        raise ValueError(f"-p {name}: {error}") from None


def _planned(arguments: SimpleNamespace, given: dict):
    from rulekit import runs

    what, resume = arguments.what, arguments.resume
    if what is None:
        if resume is None:
            raise ValueError("WHAT is missing; allowed: a sweep, a recipe, a notebook or a file")
        what, given = runs.asked_for(resume, given)
    return runs.plan_sweep(what, parameters=given, runs=arguments.runs, resume=resume)


def _show(voice: Voice, plan) -> None:
    """Print what would run."""
    from rulekit import runs

    found = plan.summary()
    together = found["steps"] - found["distinct"]
    time = runs.duration(found["seconds"])
    if found["unknown"]:
        time = f"unknown (not timed yet: {', '.join(found['unknown'])})"
    calls = ", ".join(f"{n:,} of {judge}" for judge, n in found["judge_calls"].items())
    lines = [
        *(f"{run.name}: {_shared(plan, run)}" for run in plan.runs),
        "",
        f"{found['runs']} runs of {plan.recipe}, {found['steps']} steps, of which {together} are "
        f"shared: {found['distinct']} to execute, {found['distinct'] - found['to_run']} done",
        f"time on one core: {time}",
        f"judge calls: {calls or 'none'}",
    ]
    rows = [{"name": r.name, "swept": r.swept, "steps": list(r.steps)} for r in plan.runs]
    voice.result("\n".join(lines), found | {"planned": rows})


def _shared(plan, run) -> str:
    """The steps of a run; those that others have too are marked."""
    shared = plan.shared_by()
    return ", ".join(plan.steps[a].name + ("*" if shared[a] > 1 else "") for a in run.steps)


def _names(incomplete: str) -> list[str]:
    from rulekit.files import resource

    notebooks = resource("notebooks")
    found = [*notebooks.glob("sweeps/*.yaml"), *notebooks.glob("recipes/*.yaml")]
    names = [p.stem for p in (*sorted(found), *sorted(notebooks.glob("*.ipynb")))]
    return [name for name in names if name.startswith(incomplete)]

"""A sweep carried out: a plan comes in, a folder of runs goes out. It can be stopped at any time.

`sweep` is what the command line and notebooks call. Steps that are ready are handed to workers, of
this machine or of several; what lies in the folder is the only state.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from rulekit.files import write_json
from rulekit.runs import shared
from rulekit.runs.claims import Claims, fresh
from rulekit.runs.execution import new_folder, now
from rulekit.runs.records import kit_commit, versions
from rulekit.runs.sweep_plan import Plan, PlannedRun, plan_sweep
from rulekit.runs.sweep_progress import recorded_plan
from rulekit.runs.sweep_shown import Shown
from rulekit.runs.sweep_work import Work, Workers
from rulekit.runs.workers import Processes, cores

PLACES = ("processes", "ray", "slurm")


class SweepInterrupted(KeyboardInterrupt):
    """Ctrl-C while a sweep ran; the message says in one line how to go on."""


def sweep(
    what: str | None = None,
    *,
    parameters: Mapping[str, object] | None = None,
    runs: str | Path = "runs",
    resume: str | Path | None = None,
    workers: int | None = None,
    on: str = "processes",
    say: Callable[[str], None] = print,
) -> Path:
    """Run a recipe or a notebook many times, each time with other parameters.

    Parameters
    ----------
    what
        Name of a sweep, a recipe or a notebook of the kit, or the path of a file of one; None goes
        on with what `resume` was begun with.
    parameters
        Name → value, or list or range of values to be swept, as for `load_sweep`.
    runs
        Folder in which `NAME-TIME/` is made.
    resume
        A sweep's folder: steps that are done there are used as far as nothing they depend on has
        changed, and failed ones are tried again. Where `what` is given too, its runs take their place.
    workers
        How many steps run together; None: as many as there are cores, or what Ray has.
    on
        processes: of this machine. ray: of the Ray cluster that `ray.init` finds, or of a new one
        on this machine; all its nodes have to see the folder. slurm: nothing is run, but a script
        `sweep.sbatch` written, whose array has a task a run.
    say
        Called with lines about how it goes.

    Returns
    -------
    The sweep's folder: `runs/RUN/` of each run as `rulekit.runs.run` leaves one, `steps/` and
    `sweep.json`. A run that failed is there too, its notebook `failed-NAME.ipynb` as far as it came.

    Raises
    ------
    FileNotFoundError
        If a file that is named is not there.
    SweepInterrupted
        A `KeyboardInterrupt`, for Ctrl-C. What is done stays, and `resume` goes on from there.
    ValueError
        For an unknown name, a value that is not allowed, or a folder that is no sweep.
    """
    if on not in PLACES:
        raise ValueError(f"on is {on!r}; allowed: {', '.join(PLACES)}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; allowed: 1 or more")
    plan, given = _planned(what, parameters, runs, resume)
    folder = plan.folder or new_folder(Path(runs).resolve(), plan.name)
    _write_plan(folder, plan, given)
    say(f"{plan.name}: {len(plan.runs)} runs, {len(plan.steps)} steps → {folder}")
    if on == "slurm":
        from rulekit.runs.slurm import write_script

        say(f"to begin: sbatch {write_script(folder, len(plan.runs))}")
        return folder
    carry_out(folder, plan, workers=workers, on=on, say=say)
    return folder


def continue_task(folder: str | Path, task: str, say: Callable[[str], None] = print) -> Path:
    """Do a task of an array: some of a sweep's runs, one step at a time, as its folder has them.

    Parameters
    ----------
    folder
        Of the sweep.
    task
        ``I/N``: the runs I, I + N, I + 2N, …, counted from 0.
    say
        Called with lines about how it goes.

    Returns
    -------
    The sweep's folder, absolute.

    Raises
    ------
    ValueError
        If the folder is no sweep, or the task is not of that form.
    """
    parts = task.split("/")
    if len(parts) != 2 or not all(p.isdigit() for p in parts) or int(parts[0]) >= int(parts[1]):
        raise ValueError(f"task is {task!r}; allowed: I/N, such as 0/500, with I below N")
    folder = Path(folder).resolve()
    plan, (first, step) = recorded_plan(folder), map(int, parts)
    carry_out(folder, plan, only=plan.runs[first::step], workers=1, say=say)
    return folder


def carry_out(
    folder: Path,
    plan: Plan,
    *,
    only: tuple[PlannedRun, ...] | None = None,
    workers: int | None = None,
    on: str = "processes",
    say: Callable[[str], None] = print,
) -> None:
    """Execute the steps of a plan that are not done, and assemble its runs.

    Parameters
    ----------
    folder
        Of the sweep.
    plan
        What is to be done.
    only
        These runs of it; None: all.
    workers, on, say
        As for `sweep`.
    """
    notebooks = {Path(step.notebook) for step in plan.steps.values()}
    if on == "ray":
        from rulekit.runs.cluster import RayWorkers

        pool: Workers = RayWorkers(sorted(notebooks), workers)
        at_once = pool.at_once
    else:
        at_once = workers or cores()
        pool = Processes(sorted(notebooks), None if only else at_once)
    claims = Claims(folder, at_once)
    wanted = plan.runs if only is None else only
    with Shown(folder, plan, wanted, say) as shown:
        work = Work(folder, plan, wanted, pool, claims, shown)
        try:
            work.all(at_once)
        except KeyboardInterrupt:
            pool.close()
            raise SweepInterrupted(
                f"interrupted; to go on: rulekit sweep --resume {folder}"
            ) from None
        finally:
            pool.close()
            claims.close()


def asked_for(folder: str | Path, more: Mapping[str, object] | None = None) -> tuple[str, dict]:
    """What a sweep was begun with: its name or file, and its parameters with others in their place.

    Parameters
    ----------
    folder
        Of the sweep.
    more
        Parameters that replace those of then.

    Raises
    ------
    ValueError
        If it is no sweep.
    """
    recorded_plan(Path(folder).resolve())
    kept = json.loads((Path(folder) / "sweep.json").read_text(encoding="utf-8"))["given"]
    return kept["what"], kept["parameters"] | dict(more or {})


def _planned(what, parameters, runs, resume) -> tuple[Plan, dict]:
    """The plan, and what `sweep.json` keeps of what was asked for."""
    if resume is not None:
        old = recorded_plan(Path(resume).resolve())
        if what is None:
            what, parameters = asked_for(resume, parameters)
    elif what is None:
        raise ValueError("WHAT is missing; allowed: a sweep, a recipe, a notebook or a file")
    if what.endswith((".yaml", ".yml", ".ipynb")):
        what = str(Path(what).expanduser().resolve())
    own = {k: list(v) if isinstance(v, range | tuple) else v for k, v in (parameters or {}).items()}
    plan = plan_sweep(what, parameters=own, runs=runs, resume=resume)
    if resume is not None and plan.name != old.name:
        raise ValueError(f"{resume} is a sweep of {old.name!r}, not {plan.name!r}")
    return plan, {"what": what, "parameters": own}


def _write_plan(folder: Path, plan: Plan, given: dict) -> None:
    started = now()
    if (folder / "sweep.json").is_file():
        started = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))["started"]
    about = {
        "given": given,
        "started": started,
        "git_commit": kit_commit(),
        "versions": versions(),
        "command": sys.argv,
    }
    for name in ("steps", "runs"):
        (folder / name).mkdir(exist_ok=True)
    if not any(name.startswith("worker-") for name in fresh(folder)):
        for left in (*folder.glob("steps/*.failed"), *folder.glob("runs/.*")):
            shared.remove(left)  # failed steps are tried again
    write_json(folder / "sweep.json", plan.as_dict() | about)

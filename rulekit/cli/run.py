"""`rulekit run`: a recipe of notebooks, headless, into a folder of results."""

from __future__ import annotations

import sys
from pathlib import Path
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
  rulekit run quickstart
  rulekit run quickstart -p pairs my.jsonl -p rules my.yaml -p k 3
  rulekit run my-recipe.yaml --runs results
  rulekit run quickstart --resume runs/quickstart-20250101-120000
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "run", _command, _EXAMPLES)


def run(arguments: SimpleNamespace) -> int:
    """Do it; returns the exit status: 0 done, 1 a notebook failed, 2 bad arguments, 130 interrupted."""
    from rulekit import runs

    voice = Voice.of(arguments)
    if arguments.log:
        runs.check_keeper(arguments.log)
    try:
        parameters = {name: _value(name, value) for name, value in arguments.p}
        voice.detail(f"{arguments.recipe} with {parameters or 'its own parameters'}")
        folder = runs.run(
            arguments.recipe,
            parameters=parameters,
            runs=arguments.runs,
            resume=arguments.resume,
            say=voice.progress,
        )
    except runs.StepFailed as error:
        print(f"rulekit: {error}", file=sys.stderr)  # with the lines that say how to go on
        return FAILED
    except OSError as error:
        raise Failed(str(error), WRONG) from error
    except runs.RunInterrupted as error:
        raise Failed(str(error), INTERRUPTED) from None
    if arguments.log:
        runs.log_runs(folder, arguments.log)
    found = _found(folder)
    for warning in found["warnings"]:
        voice.warn(warning)
    page = found["report"] or f"{folder}/html/"
    voice.result(f"open {page} for the results; figures in {folder}/metrics.json", found)
    return 0


def _command(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="Name of a recipe (quickstart, hh-rlhf, …) or path of a .yaml file.",
            autocompletion=lambda incomplete: _recipes(incomplete),
            show_default=False,
        ),
    ],
    p: Annotated[
        list[str], named_values("-p", "Override a parameter; the value is read as YAML.")
    ] = (),
    runs: Annotated[str, typer.Option(help="Folder for the results.")] = "runs",
    resume: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Go on with this run, skip what is done.")
    ] = None,
    log: Log = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Execute a recipe of notebooks, headless, and leave a report."""
    return answer(run, locals())


def _value(name: str, text: str):
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError(f"-p {name}: {text!r} is no YAML; allowed: such as 3 or [1, 2]") from None


def _found(folder: Path) -> dict:
    """What a run has left: its report, its figures, and what it warns of."""
    from rulekit import runs

    report = folder / "report.html"
    return {
        "folder": folder,
        "report": report if report.is_file() else None,
        "metrics": folder / "metrics.json",
        "warnings": runs.collect_notes(folder),
    }


def _recipes(incomplete: str) -> list[str]:
    from rulekit.files import resource

    names = sorted(p.stem for p in resource("notebooks").glob("recipes/*.yaml"))
    return [name for name in names if name.startswith(incomplete)]

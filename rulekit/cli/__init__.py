"""The command line: words come in, files and an exit status go out; one file a command.

Open `console` first: what all commands share. `run`, `sweep`, `runs`, `compare`, `annotate`, `label`, `select`, `rules`, `data`,
`store`, `train`, `evaluate`, `models`, `doctor` and `new` are the commands; each file adds its own to the whole.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

from rulekit import __version__
from rulekit.cli import (
    annotate,
    bench,
    compare,
    console,
    data,
    doctor,
    evaluate,
    label,
    models,
    new,
    rules,
    run,
    runs,
    select,
    store,
    sweep,
    train,
)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status: 0 done, 1 it failed, 2 bad arguments, 130 interrupted."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        main(["--help"])
        return console.WRONG
    try:
        status = typer.main.get_command(app).main(argv, prog_name="rulekit", standalone_mode=False)
    except typer.TyperException as error:
        print(f"rulekit: {console.usage(error)}", file=sys.stderr)
        return console.WRONG
    return status or console.DONE


def _version(asked: bool) -> None:
    if asked:
        print(f"rulekit {__version__}")
        raise typer.Exit


def _rulekit(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Rule-based preference labels: rate, select, label, train."""


class _Whole(TyperGroup):
    """Lists the commands in the order of the work."""

    def list_commands(self, ctx) -> list[str]:
        return list(_COMMANDS)


_COMMANDS = {
    "new": new,
    "run": run,
    "sweep": sweep,
    "runs": runs,
    "compare": compare,
    "data": data,
    "rules": rules,
    "annotate": annotate,
    "select": select,
    "label": label,
    "store": store,
    "train": train,
    "evaluate": evaluate,
    "models": models,
    "bench": bench,
    "doctor": doctor,
}
app = console.group("Rule-based preference labels.", cls=_Whole, add_completion=True)
app.callback()(_rulekit)
for _command in _COMMANDS.values():
    _command.add_to(app)

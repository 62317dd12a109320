"""`rulekit data`: a file of pairs looked at before anything is done with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import Failed, Json, Quiet, Verbose, Voice, add, answer, group, plain

_EXAMPLES = """
  rulekit data describe pairs.jsonl
  rulekit data describe 'pairs/*.parquet' --json
  rulekit data describe embedded -o described.json
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    data = group("Look at files of pairs.")
    add(data, "describe", _describe_command, _EXAMPLES)
    app.add_typer(data, name="data")


def _describe_command(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="File, folder or glob of pairs, or name of a data set.",
            show_default=False,
        ),
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Write the same as JSON.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Say what was read: layout, rows, columns, lengths, duplicates, ties, what was refused and why."""
    return answer(_describe, locals())


def _describe(arguments: SimpleNamespace) -> None:
    from rulekit.files import write_json
    from rulekit.inputs import describe

    voice, found = Voice.of(arguments), describe(arguments.file)
    value = plain(found.as_json())
    if arguments.out:
        write_json(arguments.out, value)
    voice.result(str(found), value)
    written = f"description: {arguments.out}; " if arguments.out else ""
    if not found.pairs:
        raise Failed(f"no pair could be read of {arguments.file}")
    voice.note(f"{written}next: rulekit annotate {arguments.file} --rules RULES")

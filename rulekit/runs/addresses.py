"""The address of a step: a hash of all that it can depend on. Equal addresses are one execution.

A notebook, its parameters, the files that these name, the steps before it and the code come in.
`sweep_plan` gives every step its address.
"""

from __future__ import annotations

import ast
import json
import platform
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rulekit.files import resource, sha256, sha256_file
from rulekit.runs.workers import parsed

_FORMAT = 1  # of what is hashed
_PACKAGES = ("numpy", "numba", "polars", "scipy", "scikit-learn", "torch", "transformers", "peft")
_CACHES = ("store",)  # files that a step adds to: what is in them does not change what comes out
_UNSEEN = {"__main__", "dir", "eval", "exec", "get_ipython", "globals", "locals", "vars"}


def address(
    notebook: Path,
    name: str,
    parameters: Mapping[str, Any],
    before: Iterable[str],
    inputs: Iterable[str] = (),
) -> str:
    """16 hexadecimal digits that differ as soon as a step could give something else.

    Parameters
    ----------
    notebook
        Its path; its cells count, but not their outputs.
    name
        Of the step, which names its figures.
    parameters
        Those that the notebook uses. A path counts with what is in its files; a store of ratings
        with its path alone where a judge is named, for ratings are kept there by judge and text.
    before
        Addresses of the steps whose artefacts it gets.
    inputs
        Paths of files that it reads without a parameter that names them.

    Notes
    -----
    What cannot be seen from here: a file whose path stands in the code of a cell, a module beside
    the notebook, an answer of a server. Name files and modules in `inputs` of the sweep. The data
    sets with names are pinned by the hashes in the code, so their names are enough.
    """
    caches = {*_CACHES, *(("ratings",) if parameters.get("judge") else ())}
    told = {
        "format": _FORMAT,
        "notebook": content_of(notebook),
        "name": name,
        "parameters": dict(parameters),
        "files": [
            fingerprint(path)
            for key, value in sorted(parameters.items())
            if key not in caches
            for path in _paths(value)
        ],
        "before": list(before),
        "inputs": [fingerprint(path) for path in inputs],
        "code": code_version(),
    }
    return sha256(json.dumps(told, sort_keys=True, default=str))[:16]


def content_of(notebook: Path) -> str:
    """Hash of a notebook's cells, without their outputs and numbers."""
    stat = notebook.stat()
    return _content(str(notebook), stat.st_mtime_ns, stat.st_size)


def used(notebook: Path) -> frozenset[str] | None:
    """Names that a notebook's code uses outside of its parameters cell; None: perhaps any.

    A cell that is no plain Python, or that can look names up (`globals`, `eval`, `get_ipython`),
    may use any parameter.
    """
    stat = notebook.stat()
    return _used(str(notebook), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the kit's code and data and of the libraries that compute."""
    package = Path(__file__).resolve().parents[1]
    files = [p for p in package.rglob("*.py") if "resources" not in p.parts]
    data = [p for p in resource("data").rglob("*") if p.suffix in (".jsonl", ".yaml", ".npz")]
    told = {str(p.name): sha256_file(p) for p in data}
    told |= {str(p.relative_to(package)): sha256_file(p) for p in files}
    told |= {name: _version(name) for name in _PACKAGES}
    return sha256(json.dumps(told | {"python": platform.python_version()}, sort_keys=True))[:16]


def fingerprint(path: str) -> list:
    """A path with a hash of its file's content, or with those of a folder's or a pattern's files."""
    found = Path(path)
    if found.is_file():
        return [path, _hash(found)]
    files = sorted(p for p in found.rglob("*") if p.is_file()) if found.is_dir() else _matches(path)
    return [path, sha256(json.dumps([[str(p), _hash(p)] for p in files]))]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


@lru_cache(maxsize=1024)
def _content(notebook: str, *version: int) -> str:
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    told = [[c["cell_type"], "".join(c["source"]), c["metadata"].get("tags")] for c in cells]
    return sha256(json.dumps(told))


@lru_cache(maxsize=1024)
def _used(notebook: str, *version: int) -> frozenset[str] | None:
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    names: set[str] = set()
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tree = parsed("".join(cell["source"]))
        if tree is None:
            return None
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load | ast.Del):
                names.add(node.id)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                names.add(node.target.id)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names |= {alias.name for alias in node.names}
    return None if names & _UNSEEN else frozenset(names)


def _paths(value: object) -> list[str]:
    """Absolute paths of files, folders or patterns in a value, however deep."""
    if isinstance(value, Mapping):
        return [path for key in sorted(value, key=str) for path in _paths(value[key])]
    if isinstance(value, list | tuple):
        return [path for each in value for path in _paths(each)]
    if not isinstance(value, str) or not Path(value).is_absolute():
        return []
    return [value] if Path(value).exists() or _matches(value) else []


def _matches(pattern: str) -> list[Path]:
    path = Path(pattern)
    found = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    return sorted(p for p in found if p.is_file())


def _hash(path: Path) -> str:
    stat = path.stat()
    return _hashed(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4096)
def _hashed(path: str, *version: int) -> str:
    return sha256_file(path)

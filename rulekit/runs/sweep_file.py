"""What a sweep is to run: a YAML file, or values on a command line, come in, a checked `Sweep` goes out.

A sweep runs a recipe or one notebook many times, each time with other parameters. `sweep_plan` makes
steps of its runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from rulekit.files import resource, sha256
from rulekit.runs.recipe import FILE_NAME, absolute, load_recipe, notebook_path, recipes

_KEYS = {"name", "description", "recipe", "notebook", "inputs", "blocks"}
_BLOCK = {"parameters", "grid", "zip", "list"}
_RANGE = re.compile(r"(-?\d+):(-?\d+)(?::(-?\d+))?")
_LONGEST = 80  # characters of a run's name


@dataclass(frozen=True)
class Sweep:
    """What is to be run.

    Attributes
    ----------
    name
        Of the sweep; its folder begins with it.
    what
        Name or path of the sweep, recipe or notebook that was asked for.
    recipe
        Name of the recipe, or of the notebook.
    steps
        Notebook, parameters and perhaps `after` of each, as `load_recipe` gives them.
    runs
        Name → parameters of that run, in order; those of the steps stand below them.
    swept
        Names of the parameters that differ between runs.
    inputs
        Absolute paths of files that notebooks read and no parameter names.
    description
        One line.
    """

    name: str
    what: str
    recipe: str
    steps: tuple[dict, ...]
    runs: dict[str, dict[str, Any]]
    swept: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    description: str = ""


def sweeps() -> list[str]:
    """Names of the sweeps that come with the kit."""
    return sorted(p.stem for p in resource("notebooks").glob("sweeps/*.yaml"))


def load_sweep(what: str, parameters: Mapping[str, object] | None = None) -> Sweep:
    """A sweep by its name or file, or that of a recipe or a notebook with these parameters.

    Parameters
    ----------
    what
        Name of a sweep, of a recipe or of a notebook that comes with the kit, or the path of a
        YAML file (of a sweep or a recipe) or of a notebook.
    parameters
        Name → value, or a list, tuple or range of values to be swept. They replace what the file
        says of that parameter, wherever it does. Paths among them are relative to the working
        directory, those in a file to its folder. For a value that is itself a list, give a list
        of lists.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    ValueError
        For an unknown name, a file that is not of that form, or a value that is not allowed.

    Examples
    --------
    >>> sweep = load_sweep("03_selection", {"k": [1, 3], "seed": range(2)})
    >>> list(sweep.runs)
    ['k-1_seed-0', 'k-1_seed-1', 'k-3_seed-0', 'k-3_seed-1']
    """
    own = {name: _listed(values) for name, values in (parameters or {}).items()}
    content, folder = _content(what)
    try:
        recipe, steps = _steps(content, folder)
        found = _without(content, set(own))
        given = absolute_values(own, Path.cwd())
        fixed = {name: values[0] for name, values in given.items() if len(values) == 1}
        grid = {name: values for name, values in given.items() if len(values) > 1}
        each = [{**run, **fixed} for run in _runs(found, folder)]
        each = [{**run, **more} for run in each for more in _product(grid)]
        name = content.get("name", recipe)
        if not isinstance(name, str) or not FILE_NAME.fullmatch(name):
            raise ValueError(f"name is {name!r}; allowed: letters, digits, ., - and _")
        inputs = tuple(str(_there(folder, path)) for path in content.get("inputs") or ())
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    distinct = list({_key(run): run for run in each}.values())
    swept = _swept(distinct, [*_told(found), *own])
    runs: dict[str, dict] = {}
    for run in distinct:
        runs[_run_name(run, swept, runs)] = run
    about = str(content.get("description", ""))
    return Sweep(name, what, recipe, tuple(steps), runs, swept, inputs, about)


def values_of(text: str) -> list:
    """The values that a text on a command line names: ``1,3,5``, ``0:5`` or ``max,static``.

    Parameters
    ----------
    text
        Values in YAML, with commas between them. ``a:b`` is a, a + 1, …, b − 1, and ``a:b:c`` goes
        in steps of c. A list is one value: ``[1, 3]``; so are words with a comma in quotes.

    Raises
    ------
    ValueError
        If it is no YAML, or names nothing.

    Examples
    --------
    >>> values_of("1,3,5"), values_of("0:3"), values_of("[1, 3]")
    ([1, 3, 5], [0, 1, 2], [[1, 3]])
    """
    try:
        found = yaml.load(f"[{text}]", _Loader)
    except yaml.YAMLError:
        raise ValueError(f"{text!r} is no YAML; allowed: such as 3, 1,3,5, 0:5 or [1, 2]") from None
    return _listed(found)


class _Loader(yaml.SafeLoader):
    """YAML in which 1:6 is a range and not a number to the base 60, and 1e-3 a number."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in pairs if tag.rsplit(":", 1)[1] not in ("int", "float")
    ]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*\.\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.inf)$"),
    list("-+0123456789."),
)
_Loader.add_constructor(
    "tag:yaml.org,2002:float",
    lambda loader, node: float(
        loader.construct_scalar(node).replace("_", "").replace(".inf", "inf")
    ),
)


def _content(what: str) -> tuple[dict, Path]:
    """What a sweep's file says, or what one would for a recipe or notebook, and its folder."""
    if what.endswith(".ipynb"):
        return {"notebook": str(Path(what).expanduser().resolve())}, Path.cwd()
    if not what.endswith((".yaml", ".yml")):
        if what in sweeps():
            path = resource("notebooks") / "sweeps" / f"{what}.yaml"
            return _read(path), path.parent
        if what in recipes():
            return {"recipe": what}, Path.cwd()
        known = sorted(p.stem for p in resource("notebooks").glob("*.ipynb"))
        if what in known:
            return {"notebook": what}, Path.cwd()
        raise ValueError(
            f"unknown sweep {what!r}; allowed: {', '.join(sweeps() or ['(no sweep)'])}, a recipe "
            f"({', '.join(recipes())}), a notebook ({', '.join(known)}), or a .yaml or .ipynb file"
        )
    path = Path(what).expanduser().resolve()
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    content = _read(path)
    return ({"recipe": str(path)} if "steps" in content else content), path.parent


def _read(path: Path) -> dict:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not readable as UTF-8") from None
    is_recipe = isinstance(content, dict) and "steps" in content
    if not isinstance(content, dict) or (set(content) - _KEYS - _BLOCK and not is_recipe):
        more = sorted(map(str, set(content) - _KEYS - _BLOCK)) if isinstance(content, dict) else []
        raise ValueError(
            f"{path}: {', '.join(more) or 'no mapping'}; allowed: a mapping with the keys "
            f"{', '.join(sorted(_KEYS | _BLOCK))}"
        )
    return content


def _steps(content: dict, folder: Path) -> tuple[str, list[dict]]:
    """Name and steps of what is swept."""
    if ("recipe" in content) == ("notebook" in content):
        raise ValueError("allowed: recipe or notebook, one of them")
    if recipe := content.get("recipe"):
        if str(recipe).endswith((".yaml", ".yml")):
            recipe = str(folder / Path(recipe).expanduser())
        loaded = load_recipe(recipe)
        return loaded["name"], loaded["steps"]
    notebook = str(content["notebook"])
    if notebook.endswith(".ipynb"):
        notebook = str(folder / Path(notebook).expanduser())
    return notebook_path(notebook).stem, [{"notebook": notebook, "parameters": {}}]


def _runs(content: dict, folder: Path) -> list[dict]:
    """The runs of a file: every block with what stands outside of the blocks."""
    blocks = content.get("blocks")
    if blocks is None:
        return _block(content, folder)
    if not isinstance(blocks, list) or not blocks:
        raise ValueError(f"blocks is {blocks!r:.60}; allowed: a list of mappings")
    outer, found = _block(content, folder), []
    for number, block in enumerate(blocks, start=1):
        if not isinstance(block, dict) or set(block) - _BLOCK:
            raise ValueError(
                f"block {number}: {block!r:.60}; allowed keys: {', '.join(sorted(_BLOCK))}"
            )
        found += [{**o, **i} for i in _block(block, folder) for o in outer]
    return found


def _block(block: dict, folder: Path) -> list[dict]:
    """Every combination of the entries of `list`, the positions of `zip` and the values of `grid`."""
    fixed = _mapping(block, "parameters")
    told = block.get("list") or [{}]
    if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
        raise ValueError(f"list is {told!r:.60}; allowed: a list of mappings, a run each")
    zipped = {name: _values(name, v) for name, v in _mapping(block, "zip").items()}
    if len({len(values) for values in zipped.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in zipped.items())
        raise ValueError(f"zip: {lengths} values; allowed: as many of each")
    rows = [dict(zip(zipped, row, strict=True)) for row in zip(*zipped.values(), strict=True)]
    grid = {name: _values(name, v) for name, v in _mapping(block, "grid").items()}
    combined = product(told, rows or [{}], _product(grid))
    return [absolute({**fixed, **a, **b, **c}, folder) for a, b, c in combined]


def _mapping(block: dict, key: str) -> dict:
    found = block.get(key) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{key} is {found!r:.60}; allowed: a mapping of parameters")
    return found


def _values(name: str, values: object) -> list:
    try:
        return _listed(values)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _listed(values: object) -> list:
    """A list of values; a range such as ``0:5`` is several of them, anything else alone is one."""
    if isinstance(values, range | tuple):
        values = list(values)
    values = values if isinstance(values, list) else [values]
    found: list = []
    for value in values:
        match = _RANGE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            found.append(value)
            continue
        start, stop, step = (int(part) if part else 1 for part in match.groups())
        if not step or not (within := range(start, stop, step)):
            raise ValueError(f"{value!r} names no number; allowed: such as 0:5, which is 0 to 4")
        found += within
    if not found:
        raise ValueError("no value; allowed: one or more")
    try:
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(f"{found!r:.60}; allowed: numbers, texts, lists and mappings") from None
    return found


def _product(grid: Mapping[str, Sequence]) -> list[dict]:
    return [dict(zip(grid, row, strict=True)) for row in product(*grid.values())]


def absolute_values(given: Mapping[str, list], folder: Path) -> dict[str, list]:
    """Lists of values, with paths that no longer depend on a folder."""
    return {
        name: [absolute({name: value}, folder)[name] for value in values]
        for name, values in given.items()
    }


def _without(content: dict, names: set[str]) -> dict:
    """A file's content without parameters that are given otherwise."""

    def clean(block: dict) -> dict:
        found = dict(block)
        for key in ("parameters", "grid", "zip"):
            if isinstance(block.get(key), dict):
                found[key] = {k: v for k, v in block[key].items() if k not in names}
        if isinstance(block.get("list"), list):
            found["list"] = [
                {k: v for k, v in one.items() if k not in names} if isinstance(one, dict) else one
                for one in block["list"]
            ]
        if isinstance(block.get("blocks"), list):
            found["blocks"] = [clean(b) if isinstance(b, dict) else b for b in block["blocks"]]
        return found

    return clean(content)


def _told(content: dict) -> list[str]:
    """Names of parameters in the order of the file."""
    names: list[str] = []
    for block in (content, *(content.get("blocks") or ())):
        told = block.get("list") or ()
        for part in (*told, block.get("zip") or {}, block.get("grid") or {}):
            names += part
        names += block.get("parameters") or {}
    return list(dict.fromkeys(names))


def _swept(runs: list[dict], order: list[str]) -> tuple[str, ...]:
    """Names whose values are not the same in all runs."""
    values = {name: {_key(run[name]) if name in run else "" for run in runs} for name in order}
    return tuple(name for name, found in values.items() if len(found) > 1)


def _key(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _there(folder: Path, path: str) -> Path:
    found = (folder / Path(path).expanduser()).resolve()
    if not found.exists():
        raise FileNotFoundError(f"inputs: no such file: {found}")
    return found


def _run_name(run: dict, swept: tuple[str, ...], taken: Mapping[str, dict]) -> str:
    """A run's name: its swept parameters; the same for the same values in any sweep."""
    parts, lossy = [], False
    for name in swept:
        if name in run:
            value = run[name]
            said = value if isinstance(value, str) else _key(value)
            short = re.sub(r"[^\w.-]+", "-", Path(said).name or said).strip("-.") or "empty"
            lossy |= short != said
            parts.append(f"{name}-{short}")
    made = "_".join(parts) or "only"
    if lossy or len(made) > _LONGEST or made in taken:
        made = f"{made[:_LONGEST]}_{sha256(_key({n: run.get(n) for n in swept}))[:8]}"
    return made

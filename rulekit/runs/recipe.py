"""Recipes: YAML files that name notebooks and their parameters come in, checked steps go out.

A recipe has a `name`, and `steps`, each a notebook with its parameters: one of the kit by its name,
or one's own by its path. In a sweep a step gets the artefacts of those that it names as `after`, or
else of all before it. `execution` runs it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from rulekit.files import resource

FILE_NAME = re.compile(r"[\w][\w.-]*")  # of a recipe, a step or a table: no path

_Count, _Seed = Annotated[int, Field(ge=1)], Annotated[int, Field(ge=0)]
# What the notebooks' parameters mean, whichever notebook has them.
PARAMETERS: dict[str, Any] = {
    "artefacts": str,
    "checked": _Count,
    "config": str,
    "draws": _Count,
    "full": bool,
    "gpu": str,
    "judge": str,
    "k": _Count,
    "ks": list[_Count],
    "known": _Seed,
    "labelled": list[_Seed],
    "labels": str,
    "method": str,
    "model": str,
    "more_pairs": str,
    "n_gaps": _Count,
    "n_pairs": _Count,
    "n_reference": _Count,
    "n_rules": _Count,
    "n_test": _Count,
    "networks": list[str],
    "options": dict[str, Any],
    "overrides": dict[str, Any],
    "pairs": str,
    "permutations": _Count,
    "processes": _Count,
    "ratings": str,
    "real_data": bool,
    "repeats": _Count,
    "resamples": _Count,
    "rules": str,
    "rules_every": _Count,
    "reward": str,
    "seed": _Seed,
    "seeds": _Count,
    "size": Literal["small", "medium", "large"],
    "source": str,
    "split": Literal["train", "validation", "test", "all"],
    "splits": _Count,
    "steps": _Count,
    "store": str,
    "sweep": str,
    "targets": Literal["hard", "soft"],
    "teachers": list[Literal["people", "sum", "recommended"]],
    "tie": Literal["abstain", "soft"],
}
READ = (
    "pairs",
    "more_pairs",
    "rules",
    "ratings",
    "labels",
    "source",
    "gpu",
)  # files that have to be there, or names
_WRITTEN = ("store",)  # files that may be there


def recipes() -> list[str]:
    """Names of the recipes that come with the kit."""
    return sorted(p.stem for p in resource("notebooks").glob("recipes/*.yaml"))


def load_recipe(name: str) -> dict:
    """A recipe by its name, or by the path of a YAML file.

    Parameters
    ----------
    name
        One of `recipes()`, or a path that ends in .yaml or .yml.

    Returns
    -------
    ``name``, and ``steps``: notebook, parameters and perhaps ``after`` of each. Paths in the file are relative to
    its folder; here they are absolute.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If there is no such recipe, it is not of that form, or a step names a notebook or a
        parameter that does not exist, or gives a value that is not allowed.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else None
    if path is None:
        if name not in recipes():
            raise ValueError(
                f"unknown recipe {name!r}; allowed: {', '.join(recipes())}, or a .yaml file"
            )
        path = resource("notebooks") / "recipes" / f"{name}.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _checked(content, path.resolve().parent)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not readable as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked(recipe: object, folder: Path) -> dict:
    if not isinstance(recipe, dict) or set(recipe) - {"name", "description", "steps"}:
        raise ValueError("allowed: a mapping with the keys name, steps, description")
    name, steps = recipe.get("name"), recipe.get("steps")
    if not isinstance(name, str) or not FILE_NAME.fullmatch(name):
        raise ValueError(
            f"name is {name!r}; allowed: letters, digits, ., - and _, which name a run's folder"
        )
    if not isinstance(steps, list) or not steps:
        raise ValueError("steps is missing or empty; allowed: a list of notebooks")
    found = []
    for number, step in enumerate(steps, start=1):
        keys = set(step) if isinstance(step, dict) else set()
        if not {"notebook"} <= keys <= {"notebook", "parameters", "after"}:
            raise ValueError(
                f"step {number}: {step!r:.60}; allowed keys: notebook, parameters, after"
            )
        given = step.get("parameters") or {}
        if not isinstance(given, dict):
            raise ValueError(f"step {number}: parameters is {given!r:.60}; allowed: a mapping")
        name = step["notebook"]
        if isinstance(name, str) and name.endswith(".ipynb"):
            name = str(folder / Path(name).expanduser())
        check_parameters(notebook_path(name), given)
        told = {"notebook": name, "parameters": absolute(given, folder)}
        found.append(told | ({"after": step["after"]} if "after" in step else {}))
    _check_order(found)
    return recipe | {"steps": found}


def _check_order(steps: list[dict]) -> None:
    """Refuse a step that comes after one that is not before it."""
    earlier: list[str] = []
    for number, (name, _, step) in enumerate(named_steps(steps), start=1):
        after = step.get("after", [])
        if not isinstance(after, list) or any(one not in earlier for one in after):
            listed = ", ".join(earlier) or "none"
            raise ValueError(
                f"step {number}: after is {after!r:.60}; allowed: a list of earlier steps ({listed})"
            )
        earlier.append(name)


def named_steps(steps: list[dict]) -> list[tuple[str, int, dict]]:
    """Name of each step, how often its notebook came till then, and the step.

    Parameters
    ----------
    steps
        Of a recipe; a notebook that comes again is NAME-2, NAME-3 and so on.
    """
    times: Counter[str] = Counter()
    found = []
    for step in steps:
        stem = Path(step["notebook"]).name.removesuffix(".ipynb")
        times[stem] += 1
        name = stem if times[stem] == 1 else f"{stem}-{times[stem]}"
        found.append((name, times[stem], step))
    return found


def notebook_path(name: str) -> Path:
    """Path of a notebook of the kit by its name without ending, or of one's own by its path.

    Parameters
    ----------
    name
        Such as ``03_selection``, or a path that ends in .ipynb.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For an unknown name, or a file whose name no step can have.
    """
    if isinstance(name, str) and name.endswith(".ipynb"):
        path = Path(name)
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        if not FILE_NAME.fullmatch(path.stem):
            raise ValueError(f"notebook {path.name!r}; allowed: letters, digits, ., - and _")
        return path
    known = {p.stem: p for p in sorted(resource("notebooks").glob("*.ipynb"))}
    if name not in known:
        raise ValueError(
            f"unknown notebook {name!r}; allowed: {', '.join(known)}, or a path that ends in .ipynb"
        )
    return known[name]


def check_parameters(notebook: Path, parameters: dict) -> None:
    """Refuse a parameter that the notebook's `parameters` cell does not have, or a wrong value.

    Raises
    ------
    ValueError
        Naming the parameter, and what is allowed.
    """
    allowed = parameters_of(notebook)
    for name, value in parameters.items():
        if name not in allowed:
            listed = ", ".join(allowed) or "none, it has no cell tagged parameters"
            raise ValueError(f"{notebook.stem}: unknown parameter {name!r}; allowed: {listed}")
        try:
            _meaning(name).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ValueError(
                f"{notebook.stem}: parameter {name} is {value!r}; allowed: {reason.lower()}"
            ) from None
    if judge := parameters.get("judge"):
        from rulekit import judges

        if judge not in judges.names():
            allowed = ", ".join(judges.names())
            raise ValueError(f"{notebook.stem}: unknown judge {judge!r}; allowed: {allowed}")


@cache
def _meaning(name: str) -> TypeAdapter:
    return TypeAdapter(PARAMETERS.get(name, Any))


def parameters_of(notebook: Path) -> list[str]:
    """Names of the parameters that a notebook takes, but for the folder that a run gives it."""
    return [name for name in _declared(notebook) if name != "artefacts"]


def takes_artefacts(notebook: Path) -> bool:
    """Whether a notebook has a parameter for the folder that a run gives it."""
    return "artefacts" in _declared(notebook)


def _declared(notebook: Path) -> tuple[str, ...]:
    stat = notebook.stat()
    return _inspected(str(notebook), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _inspected(notebook: str, *version: int) -> tuple[str, ...]:
    """Names of the parameters of a notebook, read once as long as the file is the same."""
    import papermill

    return tuple(papermill.inspect_notebook(notebook))


def absolute(parameters: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Parameters with paths that no longer depend on the folder that they are written for.

    Raises
    ------
    FileNotFoundError
        If there is no such file, and no data set or rule set of that name.
    """
    found = dict(parameters)
    for name in (*READ, *_WRITTEN):
        if value := found.get(name):
            found[name] = _path(name, value, folder)
    options = found.get("options") or {}
    here = {k: str((folder / v).resolve()) for k, v in options.items() if _is_local(v, folder)}
    if here:  # such as the folder of a local model
        found["options"] = options | here
    if str(found.get("config", "")).endswith((".yaml", ".yml")):
        found["config"] = str(folder / Path(found["config"]).expanduser())
    return found


def _path(name: str, value: str, folder: Path) -> str:
    from rulekit.inputs.sources import RATED, SOURCES

    rule_sets = (*RATED, "openai-rbr")
    kinds = dict.fromkeys(("pairs", "more_pairs", "source"), SOURCES) | {"rules": rule_sets}
    names = kinds.get(name, ())
    if value in names:
        return value
    path = (folder / Path(value).expanduser()).resolve()
    there = path.exists() or next(Path(path.anchor).glob(str(path.relative_to(path.anchor))), None)
    if name in READ and not there:
        listed = f", or one of {', '.join(names)}" if names else ""
        raise FileNotFoundError(f"{name}: no such file: {path}; allowed: a file{listed}")
    return str(path)


def _is_local(value: object, folder: Path) -> bool:
    return (
        isinstance(value, str) and "://" not in value and "/" in value and (folder / value).exists()
    )


def overridden(steps: list[dict], overrides: dict) -> list[dict]:
    """The steps with parameters in place of their own, in every step that has them.

    Paths among them are relative to the working directory.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For a parameter that no notebook of the recipe has, a wrong value, or options that do not
        fit the judge.
    """
    takes = [parameters_of(notebook_path(step["notebook"])) for step in steps]
    known = list(dict.fromkeys(name for names in takes for name in names))
    for name in overrides:
        if name not in known:
            raise ValueError(
                f"no notebook of the recipe has a parameter {name!r}; allowed: {', '.join(known)}"
            )
    for step, names in zip(steps, takes, strict=True):
        own = {k: v for k, v in overrides.items() if k in names}
        check_parameters(notebook_path(step["notebook"]), own)
    from rulekit.judges.registry import check_options

    overrides = absolute(overrides, Path.cwd())
    found = []
    for step, names in zip(steps, takes, strict=True):
        given = step["parameters"] | {k: v for k, v in overrides.items() if k in names}
        if given.get("judge"):
            check_options(given["judge"], given.get("options") or {})
        found.append({"notebook": step["notebook"], "parameters": given})
    return found

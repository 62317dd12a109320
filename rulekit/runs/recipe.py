"""Recipes: YAML files that name notebooks and their parameters come in, checked steps go out.

A recipe has a `name`, and `steps`, each a notebook with its parameters. `execution` runs it.
"""

from __future__ import annotations

import re
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
    "config": str,
    "draws": _Count,
    "full": bool,
    "judge": str,
    "k": _Count,
    "ks": list[_Count],
    "labelled": list[_Seed],
    "n_gaps": _Count,
    "n_pairs": _Count,
    "n_reference": _Count,
    "n_rules": _Count,
    "n_test": _Count,
    "networks": list[str],
    "options": str,
    "overrides": dict[str, Any],
    "permutations": _Count,
    "processes": _Count,
    "real_data": bool,
    "repeats": _Count,
    "resamples": _Count,
    "rules_every": _Count,
    "seed": _Seed,
    "seeds": _Count,
    "source": str,
    "split": Literal["train", "validation", "test", "all"],
    "splits": _Count,
    "store": str,
    "tie": Literal["abstain", "soft"],
}


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
    ``name``, and ``steps``: notebook and parameters of each.

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
        return _checked(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not readable as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked(recipe: object) -> dict:
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
        if not isinstance(step, dict) or not {"notebook"} <= set(step) <= {
            "notebook",
            "parameters",
        }:
            raise ValueError(f"step {number}: {step!r:.60}; allowed keys: notebook, parameters")
        given = step.get("parameters") or {}
        if not isinstance(given, dict):
            raise ValueError(f"step {number}: parameters is {given!r:.60}; allowed: a mapping")
        check_parameters(notebook_path(step["notebook"]), given)
        found.append({"notebook": step["notebook"], "parameters": given})
    return recipe | {"steps": found}


def notebook_path(name: str) -> Path:
    """Path of a notebook of the kit by its name without ending.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    known = {p.stem: p for p in sorted(resource("notebooks").glob("*.ipynb"))}
    if name not in known:
        raise ValueError(f"unknown notebook {name!r}; allowed: {', '.join(known)}")
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
            raise ValueError(
                f"{notebook.stem}: unknown parameter {name!r}; allowed: {', '.join(allowed)}"
            )
        try:
            TypeAdapter(PARAMETERS.get(name, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ValueError(
                f"{notebook.stem}: parameter {name} is {value!r}; allowed: {reason.lower()}"
            ) from None


def parameters_of(notebook: Path) -> list[str]:
    """Names of the parameters that a notebook takes, but for the folder that a run gives it."""
    import papermill

    return [n for n in papermill.inspect_notebook(str(notebook)) if n != "artefacts"]


def overridden(steps: list[dict], overrides: dict) -> list[dict]:
    """The steps with parameters in place of their own, in every step that has them.

    Raises
    ------
    ValueError
        For a parameter that no notebook of the recipe has, or a wrong value.
    """
    takes = [parameters_of(notebook_path(step["notebook"])) for step in steps]
    known = list(dict.fromkeys(name for names in takes for name in names))
    for name in overrides:
        if name not in known:
            raise ValueError(
                f"no notebook of the recipe has a parameter {name!r}; allowed: {', '.join(known)}"
            )
    found = []
    for step, names in zip(steps, takes, strict=True):
        given = step["parameters"] | {k: v for k, v in overrides.items() if k in names}
        check_parameters(notebook_path(step["notebook"]), given)
        found.append({"notebook": step["notebook"], "parameters": given})
    return found

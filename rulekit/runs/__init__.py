"""Runs: a recipe of parameterized notebooks comes in, a folder of results goes out.

Open `execution` first; `recipe` checks what is to be run, `records` is what notebooks write
through and a run says of itself. The command line calls `run`.
"""

from rulekit.runs.execution import StepFailed, run
from rulekit.runs.recipe import check_parameters, load_recipe, notebook_path, recipes
from rulekit.runs.records import collect_metrics, kit_commit, save_metrics, save_table

__all__ = [
    "StepFailed",
    "check_parameters",
    "collect_metrics",
    "kit_commit",
    "load_recipe",
    "notebook_path",
    "recipes",
    "run",
    "save_metrics",
    "save_table",
]

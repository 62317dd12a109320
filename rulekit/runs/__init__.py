"""Runs: a recipe of parameterized notebooks comes in, a folder of results goes out.

Open `execution` first; `recipe` checks what is to be run, `records` is what notebooks write
through and a run says of itself. The command line calls `run`.
"""

from rulekit.runs.execution import StepFailed, run
from rulekit.runs.inputs import Inputs, load_inputs
from rulekit.runs.ratings import load_scores, rated_by
from rulekit.runs.recipe import check_parameters, load_recipe, notebook_path, recipes
from rulekit.runs.records import (
    collect_metrics,
    collect_notes,
    kit_commit,
    save_metrics,
    save_notes,
    save_table,
)

__all__ = [
    "Inputs",
    "StepFailed",
    "check_parameters",
    "collect_metrics",
    "collect_notes",
    "kit_commit",
    "load_inputs",
    "load_recipe",
    "load_scores",
    "notebook_path",
    "rated_by",
    "recipes",
    "run",
    "save_metrics",
    "save_notes",
    "save_table",
]

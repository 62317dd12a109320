"""Runs: a recipe of parameterized notebooks comes in, a folder of results goes out.

Open `execution` first; `recipe` checks what is to be run, `records` is what notebooks write
through and a run says of itself. The command line calls `run`.
"""

from rulekit.runs.by_pair import outcomes
from rulekit.runs.cleaning import Removal, removable, remove
from rulekit.runs.comparison import TwoRuns, compare_two
from rulekit.runs.execution import RunInterrupted, StepFailed, run
from rulekit.runs.found import RunFolder, find_runs, read_run
from rulekit.runs.inputs import Inputs, load_inputs
from rulekit.runs.means import ManyRuns, compare
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
from rulekit.runs.run_table import FIXED, parameters_in, table
from rulekit.runs.tracking import log_runs

__all__ = [
    "FIXED",
    "Inputs",
    "RunInterrupted",
    "ManyRuns",
    "Removal",
    "RunFolder",
    "StepFailed",
    "TwoRuns",
    "check_parameters",
    "collect_metrics",
    "collect_notes",
    "compare",
    "compare_two",
    "find_runs",
    "kit_commit",
    "load_inputs",
    "load_recipe",
    "load_scores",
    "log_runs",
    "notebook_path",
    "outcomes",
    "parameters_in",
    "rated_by",
    "read_run",
    "recipes",
    "removable",
    "remove",
    "run",
    "save_metrics",
    "save_notes",
    "save_table",
    "table",
]

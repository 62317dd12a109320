"""Runs: a recipe of parameterized notebooks comes in, a folder of results goes out; many of them, a sweep.

Open `execution` for one run and `sweeping` for many; `recipe` checks what is to be run, `records` is
what notebooks write through. `run_table` makes one frame of runs, `comparison` and `means` hold them
against each other.
"""

from rulekit.runs.by_pair import outcomes
from rulekit.runs.cleaning import Removal, removable, remove
from rulekit.runs.comparison import TwoRuns, compare_two
from rulekit.runs.execution import RunInterrupted, StepFailed, run
from rulekit.runs.exported import latex_table, markdown_table
from rulekit.runs.found import RunFolder, find_runs, read_run
from rulekit.runs.inputs import Inputs, load_inputs
from rulekit.runs.means import ManyRuns, compare, one_factor
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
from rulekit.runs.sweep_file import Sweep, load_sweep, sweeps, values_of
from rulekit.runs.sweep_plan import Plan, plan_sweep
from rulekit.runs.sweep_progress import SweepState, duration, sweep_state
from rulekit.runs.sweeping import SweepInterrupted, asked_for, continue_task, sweep
from rulekit.runs.tracking import check_keeper, log_runs

__all__ = [
    "FIXED",
    "Inputs",
    "ManyRuns",
    "Plan",
    "Removal",
    "RunFolder",
    "RunInterrupted",
    "StepFailed",
    "Sweep",
    "SweepInterrupted",
    "SweepState",
    "TwoRuns",
    "asked_for",
    "check_keeper",
    "check_parameters",
    "collect_metrics",
    "collect_notes",
    "compare",
    "compare_two",
    "continue_task",
    "duration",
    "find_runs",
    "kit_commit",
    "latex_table",
    "load_inputs",
    "load_recipe",
    "load_scores",
    "load_sweep",
    "log_runs",
    "markdown_table",
    "notebook_path",
    "one_factor",
    "outcomes",
    "parameters_in",
    "plan_sweep",
    "rated_by",
    "read_run",
    "recipes",
    "removable",
    "remove",
    "run",
    "save_metrics",
    "save_notes",
    "save_table",
    "sweep",
    "sweep_state",
    "sweeps",
    "table",
    "values_of",
]

"""Charts: a data frame comes in, an Altair chart goes out, which shows itself everywhere as PNG.

Open `looks` first, for what all charts share; `shares` has measures with intervals, `lines` what
changes with a number, `rules` what is about rules, `selectors` two measures by k; `display` makes the picture and its words.
"""

from rulekit.plots.display import as_png, described
from rulekit.plots.lines import accuracy_against_cost, bias, curves, growth
from rulekit.plots.rules import pair_rules, redundancy, rule_use, selection_map, subsets
from rulekit.plots.selectors import selectors_by_k, selectors_redrawn
from rulekit.plots.shares import (
    accuracy,
    calibration_chart,
    counts,
    judge_quality_chart,
    regimes,
    stacked,
)

__all__ = [
    "accuracy",
    "accuracy_against_cost",
    "as_png",
    "bias",
    "calibration_chart",
    "counts",
    "curves",
    "described",
    "growth",
    "judge_quality_chart",
    "pair_rules",
    "redundancy",
    "regimes",
    "rule_use",
    "selection_map",
    "selectors_by_k",
    "selectors_redrawn",
    "stacked",
    "subsets",
]

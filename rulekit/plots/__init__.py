"""Charts: a data frame comes in, an Altair chart goes out, which shows itself everywhere as PNG.

Open `looks` first, for what all charts share; `shares` has measures with intervals, `lines` what
changes with a number, `rules` what is about rules, `selectors` two measures by k, `lessons` one
point each; `display` makes the picture and its words.
"""

from rulekit.plots.display import as_png, described
from rulekit.plots.lessons import noisy_copy, worlds
from rulekit.plots.lines import accuracy_against_cost, bias, curves, growth
from rulekit.plots.one_pair import label_by_order, pair_walk, two_judges, vote_strip
from rulekit.plots.rules import pair_rules, redundancy, rule_use, selection_map, subsets
from rulekit.plots.runs import intervals, run_means
from rulekit.plots.selectors import selectors_by_k, selectors_redrawn
from rulekit.plots.shares import (
    accuracy,
    calibration_chart,
    counts,
    judge_quality_chart,
    regimes,
    scorecard,
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
    "intervals",
    "judge_quality_chart",
    "label_by_order",
    "noisy_copy",
    "pair_rules",
    "pair_walk",
    "redundancy",
    "regimes",
    "rule_use",
    "run_means",
    "scorecard",
    "selection_map",
    "selectors_by_k",
    "selectors_redrawn",
    "stacked",
    "subsets",
    "two_judges",
    "vote_strip",
    "worlds",
]

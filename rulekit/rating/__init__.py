"""A judge over pairs and rules, into a store that outlives interruptions.

Pairs, rules and a judge come in; `Scores`, a ledger and the store go out. Open `annotation` first;
`adaptive` rates less than everything, `quality` measures a judge against labels.
"""

from rulekit.rating.adaptive import (
    AdaptiveRatings,
    AnytimeLabels,
    annotate_adaptive,
    annotate_anytime,
    cost_curve,
)
from rulekit.rating.annotation import annotate, annotate_to_folder
from rulekit.rating.export import write_dataset, write_ratings
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from rulekit.rating.quality import FIGURES, by_rule, judge_quality, rate_labelled
from rulekit.rating.store import Store

__all__ = [
    "FIGURES",
    "AdaptiveRatings",
    "AnytimeLabels",
    "Incomplete",
    "Ledger",
    "Store",
    "annotate",
    "annotate_adaptive",
    "annotate_anytime",
    "annotate_to_folder",
    "by_rule",
    "cost_curve",
    "judge_quality",
    "rate_labelled",
    "write_dataset",
    "write_ratings",
]

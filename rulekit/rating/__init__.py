"""A judge over pairs and rules, into a store that outlives interruptions.

Pairs, rules and a judge come in; `Scores`, a ledger and the store go out. Open `annotation` first;
`quality` measures a judge against labels, `export` writes what others read, `asking` asks people.
"""

from rulekit.rating.annotation import annotate
from rulekit.rating.asking import Asking, Question
from rulekit.rating.export import write_dataset, write_ratings, write_stored
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from rulekit.rating.quality import FIGURES, by_rule, judge_quality, rate_labelled
from rulekit.rating.store import Store
from rulekit.rating.trial import RuleTrial

__all__ = [
    "FIGURES",
    "Asking",
    "Incomplete",
    "Ledger",
    "Question",
    "RuleTrial",
    "Store",
    "annotate",
    "by_rule",
    "judge_quality",
    "rate_labelled",
    "write_dataset",
    "write_ratings",
    "write_stored",
]

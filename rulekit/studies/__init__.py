"""The comparisons that the notebooks show, a frame of figures each.

Pairs, scores and judges come in; tables with intervals go out. Open `selection_accuracy` first; `trained` is
about models, `comparison` about selectors, `costs` about cost, `judges` about judges.
"""

from rulekit.studies.comparison import (
    adaptive_gaps,
    compare_rated,
    compare_simulated,
    label_calibration,
)
from rulekit.studies.costs import cost_curve
from rulekit.studies.judges import (
    cost_ratio,
    distillation_report,
    judge_agreement,
    judge_outcomes,
    judge_report,
    network_table,
    ranking_agreement,
    reader_agreement,
)
from rulekit.studies.new_texts import direction_table, proposition_findings, proposition_table
from rulekit.studies.position import position_audit
from rulekit.studies.recommended import (
    Recommended,
    recommended_labels,
    recommended_rewards,
    recommended_table,
)
from rulekit.studies.rules import near_duplicates
from rulekit.studies.selection_accuracy import (
    accuracy_row,
    explain_pair,
    length_margin,
    rule_orders,
    selection_findings,
    selection_grid,
    selection_table,
)
from rulekit.studies.trained import adapter_report, reward_table

__all__ = [
    "Recommended",
    "accuracy_row",
    "adapter_report",
    "adaptive_gaps",
    "compare_rated",
    "compare_simulated",
    "cost_curve",
    "cost_ratio",
    "direction_table",
    "distillation_report",
    "explain_pair",
    "judge_agreement",
    "judge_outcomes",
    "judge_report",
    "label_calibration",
    "length_margin",
    "near_duplicates",
    "network_table",
    "position_audit",
    "proposition_findings",
    "proposition_table",
    "ranking_agreement",
    "reader_agreement",
    "recommended_labels",
    "recommended_rewards",
    "recommended_table",
    "reward_table",
    "rule_orders",
    "selection_findings",
    "selection_grid",
    "selection_table",
]

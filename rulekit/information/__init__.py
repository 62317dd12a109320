"""What rules tell about the preference, and of each other: entropy and mutual information.

Values, votes or discrepancies come in; estimates in bits or nats, intervals, p-values and redundancy
go out. Open `mutual` first; `counts` and `neighbours` hold the formulas, `trials` measures them.
"""

from rulekit.information.counts import vote_tables
from rulekit.information.mutual import (
    conditional_information,
    entropy,
    joint_information,
    mutual_information,
)
from rulekit.information.redundancy import (
    effective_rules,
    normalised_redundancy,
    redundancy_clusters,
    redundancy_matrix,
)
from rulekit.information.resampling import interval, p_value
from rulekit.information.rule_tests import (
    benjamini_hochberg,
    bootstrap_interval,
    permutation_test,
    rule_information,
)
from rulekit.information.trials import estimator_accuracy
from rulekit.information.votes import (
    joint_matrix,
    rule_mutual_information,
    rule_tables,
    table_information,
)

__all__ = [
    "benjamini_hochberg",
    "bootstrap_interval",
    "conditional_information",
    "effective_rules",
    "entropy",
    "estimator_accuracy",
    "interval",
    "joint_information",
    "joint_matrix",
    "mutual_information",
    "normalised_redundancy",
    "p_value",
    "permutation_test",
    "redundancy_clusters",
    "redundancy_matrix",
    "rule_information",
    "rule_mutual_information",
    "rule_tables",
    "table_information",
    "vote_tables",
]

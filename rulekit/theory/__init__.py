"""What votes tell about the preference, exactly, and where choosing by discrepancy ends.

Accuracies, or means and covariances, come in; information, label accuracy and planted truth go out.
Open `votes` first; `vote_labels`, `gaussian`, `simulation` and `counterexamples` build on it.
"""

from rulekit.theory.counterexamples import (
    CounterExample,
    MajorityExample,
    SelectionAfterSeeing,
    dependent_rules,
    exact_information,
    majority_not_monotone,
    reversed_rules,
    selection_after_seeing,
    unequal_noise,
)
from rulekit.theory.gaussian import (
    best_gaussian_subset,
    gaussian_accuracy,
    gaussian_information,
    gaussian_log_odds,
    log_odds_selection,
)
from rulekit.theory.simulation import REGIMES, Simulation, regime_table, simulate
from rulekit.theory.vote_labels import (
    LabelQuality,
    label_accuracy,
    label_information,
    label_quality,
)
from rulekit.theory.votes import Bounded, best_subset, vote_information

__all__ = [
    "REGIMES",
    "Bounded",
    "CounterExample",
    "LabelQuality",
    "MajorityExample",
    "SelectionAfterSeeing",
    "Simulation",
    "best_gaussian_subset",
    "best_subset",
    "dependent_rules",
    "exact_information",
    "gaussian_accuracy",
    "gaussian_information",
    "gaussian_log_odds",
    "label_accuracy",
    "label_information",
    "label_quality",
    "log_odds_selection",
    "majority_not_monotone",
    "regime_table",
    "reversed_rules",
    "selection_after_seeing",
    "simulate",
    "unequal_noise",
    "vote_information",
]

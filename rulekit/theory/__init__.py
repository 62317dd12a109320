"""What votes tell about the preference, exactly, and where choosing by discrepancy ends.

Accuracies, or means and covariances, come in; information, label accuracy and planted truth go out.
Open `votes` first; `vote_labels`, `gaussian`, `simulation` and `counterexamples` build on it.
"""

from rulekit.theory.counterexamples import (
    CounterExample,
    MajorityExample,
    SelectionAfterSeeing,
    asymmetric_channel,
    dependent_rules,
    exact_information,
    exchanged,
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
from rulekit.theory.worlds import (
    ASSUMPTIONS,
    World,
    broken_assumptions,
    draw_world,
    factor_log_odds,
    world_accuracy,
    world_moments,
)

__all__ = [
    "ASSUMPTIONS",
    "REGIMES",
    "Bounded",
    "CounterExample",
    "LabelQuality",
    "MajorityExample",
    "SelectionAfterSeeing",
    "Simulation",
    "World",
    "asymmetric_channel",
    "best_gaussian_subset",
    "best_subset",
    "broken_assumptions",
    "dependent_rules",
    "draw_world",
    "exact_information",
    "exchanged",
    "factor_log_odds",
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
    "world_accuracy",
    "world_moments",
]

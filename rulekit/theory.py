"""What votes tell about the preference, and where choosing by discrepancy ends: the public face.

Notebooks, benchmarks and tests call it. Independent votes are in `rulekit.vote_theory`, labels
made from them in `rulekit.label_theory`, the Gaussian model in `rulekit.gaussian`, the
assumptions' limits in `rulekit.counterexamples`.
"""

from __future__ import annotations

from rulekit.counterexamples import (
    CounterExample,
    MajorityExample,
    SelectionAfterSeeing,
    dependent_rules,
    joint_information,
    majority_not_monotone,
    reversed_rules,
    selection_after_seeing,
    unequal_noise,
)
from rulekit.gaussian import (
    REGIMES,
    Simulation,
    best_gaussian_subset,
    gaussian_accuracy,
    gaussian_information,
    gaussian_log_odds,
    log_odds_selection,
    regime_table,
    simulate,
)
from rulekit.label_theory import LabelQuality, label_accuracy, label_information, label_quality
from rulekit.vote_theory import Bounded, best_subset, vote_information

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
    "gaussian_accuracy",
    "gaussian_information",
    "gaussian_log_odds",
    "joint_information",
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

"""How good is it? Accuracy, agreement and calibration, each with an interval.

Margins, classes or probabilities and the truth come in; figures go out. Open `preferences` first;
`intervals` has the interval of a mean over prompts and the one bootstrap, `sign_flips` the test of a
difference, `checks` what may be given, `reliability` the agreement of readers,
`classification` and `probabilities` the rest.
"""

from rulekit.measures.classification import (
    adapter_metrics,
    auc,
    auc_resampled,
    cohen_kappa,
    judge_metrics,
    kappa_resampled,
)
from rulekit.measures.intervals import bootstrap, mean_interval, newcombe, wilson
from rulekit.measures.preferences import (
    Accuracy,
    Difference,
    mean_accuracy,
    mean_difference,
    paired_difference,
    pairwise_accuracy,
)
from rulekit.measures.probabilities import (
    Brier,
    brier_score,
    calibration,
    calibration_error,
    calibration_error_resampled,
    confidence,
)
from rulekit.measures.reliability import (
    alpha_resampled,
    krippendorff_alpha,
    weighted_kappa,
    weighted_kappa_resampled,
)

__all__ = [
    "Accuracy",
    "Brier",
    "Difference",
    "adapter_metrics",
    "alpha_resampled",
    "auc",
    "auc_resampled",
    "bootstrap",
    "brier_score",
    "calibration",
    "calibration_error",
    "calibration_error_resampled",
    "cohen_kappa",
    "confidence",
    "judge_metrics",
    "kappa_resampled",
    "krippendorff_alpha",
    "mean_accuracy",
    "mean_difference",
    "mean_interval",
    "newcombe",
    "paired_difference",
    "pairwise_accuracy",
    "weighted_kappa",
    "weighted_kappa_resampled",
    "wilson",
]

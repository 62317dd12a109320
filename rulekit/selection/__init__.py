"""Which rules to look at, and what they are worth.

Scores (and a few preferences, or none) come in; a `Selection` of k rules a pair, or `Estimates`, go
out. Open `registry` first; `criteria` has the formulas, `estimates` what selectors may know.
"""

from rulekit.selection.estimates import (
    Estimates,
    dawid_skene_posterior,
    estimate,
    estimators,
    known_preference,
)
from rulekit.selection.registry import Selection, select, selectors

__all__ = [
    "Estimates",
    "Selection",
    "dawid_skene_posterior",
    "estimate",
    "estimators",
    "known_preference",
    "select",
    "selectors",
]

"""Which rules to look at, and what they are worth.

Scores (and a few preferences, or none) come in; a `Selection` of k rules a pair, or `Estimates`, go
out. Open `registry` first; `criteria` has the formulas, `estimates` what selectors may know, `audit`
which rules point the wrong way,
`active` which pairs to ask people about.
"""

from rulekit.selection.active import Progress, Questions, ask_order, label_progress
from rulekit.selection.audit import sign_audit, sign_audit_errors
from rulekit.selection.dawid_skene import dawid_skene_posterior
from rulekit.selection.estimates import estimate, estimators
from rulekit.selection.preferences import known_preference
from rulekit.selection.registry import Selection, select, selectors
from rulekit.selection.rule_model import Estimates

__all__ = [
    "Estimates",
    "Progress",
    "Questions",
    "Selection",
    "ask_order",
    "dawid_skene_posterior",
    "estimate",
    "estimators",
    "known_preference",
    "label_progress",
    "select",
    "selectors",
    "sign_audit",
    "sign_audit_errors",
]

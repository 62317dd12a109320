"""Which of μ and -μ is meant: agreement between rules cannot tell, a prior and a few labels can.

The estimators that need no label, and `labelled.moments`, call `side`.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betainc

from rulekit.selection.rule_model import Reference

RIGHT_IN_SUM = 20.0  # odds, before a label is seen, that the rules are right in sum more than wrong


def side(mu: np.ndarray, reference: Reference, y: np.ndarray) -> float:
    """+1 where μ is the more probable, -1 where -μ is.

    Parameters
    ----------
    mu
        In standard units, up to its sign, (n_rules,).
    reference
        Of n_pairs pairs.
    y
        -1, 0 (not known) or +1, (n_pairs,).

    Notes
    -----
    Before any label the odds are 20 to 1 that the label of μ goes with the sum of all rules. r
    labels that agree with it and w that do not multiply the odds by P(p > ½) / P(p < ½), p ~
    Beta(1 + r, 1 + w): so ten labels turn the side when eight or more disagree, thirty when twenty
    do.
    """
    z = reference.z
    odds = RIGHT_IN_SUM if (z @ mu) @ z.sum(axis=1) >= 0 else 1 / RIGHT_IN_SUM
    known = y != 0
    if known.any():
        said = np.sign(z[known] @ np.linalg.solve(reference.second, mu)) * y[known]
        right, wrong = (said > 0).sum(), (said < 0).sum()
        return 1.0 if odds * above_half(right, wrong) >= above_half(wrong, right) else -1.0
    return 1.0 if odds >= 1 else -1.0


def above_half(right: float, wrong: float) -> float:
    """P(p > ½) after `right` hits and `wrong` misses, p uniform on [0, 1] before."""
    return float(betainc(wrong + 1, right + 1, 0.5))

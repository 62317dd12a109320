"""Whether a language model answers the question at all: the answer mass, and when it is too little.

Masses and what the model would rather say come in, reasons and one warning go out. `server` and
`local` call it.
"""

from __future__ import annotations

import warnings

import numpy as np

# A judge that answers the question gives its answers nearly all of the probability; a model of 135 M
# parameters that never learned to judge .05 to .6; one that would think or greet first 1e-5, and the
# ratio of its answers is noise.
LEAST_MASS = 0.05
_LOW = 0.5  # a mean mass below it is told


def enough_mass(mass: np.ndarray, least: float) -> np.ndarray:
    """Which answer masses make a rating, bool (n,): those from `least`, but never one of 0."""
    return (mass >= least) & (mass > 0)


def too_little(mass: float, likeliest: str, share: float, least: float) -> str:
    """Why an answer mass that is not enough makes no rating.

    Parameters
    ----------
    mass
        Share of the answer that went to no, irrelevant and yes.
    likeliest, share
        The likeliest token (or vote) and its share.
    least
        The least mass that makes a rating.
    """
    return (
        f"the three answers hold {mass:.1g} of the probability, {likeliest!r:.40} {share:.1g}; "
        f"allowed: a mass from {least:g} (least_mass)"
    )


def warn_if_low(masses: np.ndarray, name: str) -> bool:
    """Warn if the mean of answer masses, (n,), is low; whether that was done."""
    low = len(masses) > 0 and (mean := float(np.mean(masses))) < _LOW
    if low:
        warnings.warn(
            f"the three answers hold {mean:.1%} of the probability: {name} would rather say "
            "something else",
            stacklevel=3,
        )
    return low

"""How good the labels made from independent votes are: exact, with stated error bounds.

Accuracies and weights of rules come in; accuracy and information of sign(Σ w_j vote_j) go out, by
enumeration or on a lattice of sums. The votes' own information is in `rulekit.theory.votes`;
`rulekit.theory` offers both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rulekit.information.checks import unit_size
from rulekit.kernels import theory as kernel
from rulekit.theory.votes import (
    Bounded,
    checked_accuracies,
    checked_prior,
    enumerates,
    halves,
    log_odds,
    relative_rounding,
    rounding,
)

_SUM_CELLS = 2**20
_TIE = 1e-9  # margins within this share of Σ|w| are ties


@dataclass(frozen=True, eq=False)
class LabelQuality:
    """How good a label made from votes is.

    Attributes
    ----------
    accuracy
        P(label = Y), a tie counted as half, in [0, 1].
    information
        I(label; Y) of the label with its three values -1, 0 (tie) and +1, in the unit asked for.
    channel
        P(label | Y), (2, 3): rows Y = -1, +1; columns label -1, 0, +1. Where the lattice cannot
        tell on which side of zero a margin lies, its mass stands under 0.
    undecided
        That mass for Y = -1, +1, (2,); zero whenever ties are exact.
    """

    accuracy: Bounded
    information: Bounded
    channel: np.ndarray
    undecided: np.ndarray


def label_quality(
    accuracy, weights="majority", prior: float = 0.5, unit: str = "bits", method: str = "auto"
) -> LabelQuality:
    """Accuracy and information of the label sign(Σ_j w_j vote_j), ties being a third value.

    Parameters
    ----------
    accuracy, prior, unit
        As for `vote_information`.
    weights
        ``majority``: every weight 1. ``optimal``: log(p/(1-p)), with log(π/(1-π)) added to the
        sum: the Bayes decision. Or numbers, (n_rules,): |δ_j| gives the paper's sum label.
    method
        ``enumerate`` (at most 20 rules), ``lattice`` or ``auto``. The lattice is exact where the
        weights are multiples of one step, such as scores in steps of 0.1; otherwise they are
        rounded to 2^20 cells and margins that rounding could move across zero are undecided.

    Returns
    -------
    LabelQuality. Margins within 1e-9 · Σ|w| of zero are ties.

    Raises
    ------
    ValueError
        As `vote_information`; and for weights of another shape or that are not finite.

    Notes
    -----
    Information is convex in P(label | Y), so over the channels that undecided mass allows its
    largest value is at one of the nine corners and its smallest above the tangent plane: the
    result is the middle of that interval.

    References
    ----------
    X. Li et al., arXiv 2501.15453 (2025): the sum label.
    """
    p = checked_accuracies(accuracy)
    nats = unit_size(unit)
    prior = checked_prior(prior)
    w, bias = _weights(weights, p, prior)
    scale = np.abs(w).sum() + abs(bias)
    if scale > 0:  # only ratios matter
        w, bias, scale = w / scale, bias / scale, 1.0
    if enumerates(method, len(p)):
        one, two = map(kernel.patterns, halves(p), halves(w))
        masses, undecided = kernel.enumerated_label(one, two, bias, _TIE), np.zeros(2)
    else:
        masses, undecided = _lattice_label(p, w, bias)
    channel = np.minimum(masses[[1, 0]], 1.0)
    y = np.array([1 - prior, prior])
    hit = y @ np.array([channel[0, 0] + channel[0, 1] / 2, channel[1, 2] + channel[1, 1] / 2])
    low, high = _information_range(masses, undecided, prior)
    information = (low + high) / 2
    return LabelQuality(
        Bounded(hit, y @ undecided / 2 + relative_rounding(len(p))),
        Bounded(information / nats, ((high - low) / 2 + rounding(information, p)) / nats),
        channel,
        undecided,
    )


def label_accuracy(
    accuracy, weights="majority", prior: float = 0.5, method: str = "auto"
) -> Bounded:
    """P(label = Y), a tie counted as half; parameters as `label_quality`; Bounded."""
    return label_quality(accuracy, weights, prior, "nats", method).accuracy


def label_information(
    accuracy, weights="majority", prior: float = 0.5, unit: str = "bits", method: str = "auto"
) -> Bounded:
    """I(label; Y), never more than `vote_information`; parameters as `label_quality`; Bounded."""
    return label_quality(accuracy, weights, prior, unit, method).information


def _lattice_label(p: np.ndarray, w: np.ndarray, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """a, b, d of the labels, (3, 3), and the undecided mass for Y = -1, +1, (2,)."""
    step = _common_step(np.abs(w))
    exact = not w.any() or step * _SUM_CELLS > 2 * np.abs(w).sum()
    if not exact:
        step = 2 * np.abs(w).sum() / _SUM_CELLS
    steps = np.rint(w / step).astype(np.int64) if step else np.zeros(len(w), np.int64)
    doubt = _TIE if exact else _TIE + np.abs(w - steps * step).sum()
    order = np.argsort(np.abs(steps), kind="stable")
    mass = kernel.sum_lattice(steps[order], p[order])
    reach = len(mass[0]) // 2
    margin = bias + step * np.arange(-reach, reach + 1)
    sides = margin < -doubt, np.abs(margin) <= doubt, margin > doubt
    masses = np.array([[m[side].sum() for side in sides] for m in mass])
    return masses, np.zeros(2) if exact else masses[[1, 0], 1]


def _information_range(masses: np.ndarray, undecided: np.ndarray, prior: float) -> tuple:
    """Smallest and largest I(label; Y) in nats when undecided mass may take any label."""
    if not undecided.any():
        value = kernel.information(*masses, prior)
        return value, value
    y = np.array([1 - prior, prior])
    decided = masses[[1, 0]]
    decided[:, 1] = 0.0

    def value(channel: np.ndarray) -> float:
        return kernel.information(channel[1], channel[0], channel[1] - channel[0], prior)

    corner = np.eye(3)
    corners = [
        value(decided + undecided[:, None] * corner[[i, j]]) for i in range(3) for j in range(3)
    ]
    middle = decided + undecided[:, None] / 3
    total = y @ middle
    slope = y[:, None] * np.log(
        middle / np.where(total > 0, total, 1.0), where=middle > 0, out=np.zeros((2, 3))
    )
    low = value(middle) + ((slope.min(axis=1) - slope.mean(axis=1)) * undecided).sum()
    return max(low, 0.0), max(corners)


def _common_step(sizes: np.ndarray) -> float:
    """The number of which all sizes are multiples (to 1e-12 of the largest), or 0."""
    step = 0.0
    for size in np.unique(sizes[sizes > 0]):
        rest = size
        while rest > 1e-12:
            step, rest = rest, abs(step - rest * np.rint(step / rest))
    return step


def _weights(weights, p: np.ndarray, prior: float) -> tuple[np.ndarray, float]:
    """The weight of each vote, (n_rules,), and what is added to the sum."""
    if isinstance(weights, str):
        if weights not in ("majority", "optimal"):
            raise ValueError(f"unknown weights {weights!r}; allowed: majority, optimal or numbers")
        if weights == "majority":
            return np.ones(len(p)), 0.0
        if prior in (0.0, 1.0):
            return np.zeros(len(p)), 2 * prior - 1
        sure = (p == 0) | (p == 1)
        if sure.any():
            return np.where(sure, 2 * p - 1, 0.0), 0.0
        return log_odds(p, 1 - p), float(log_odds(np.array([prior]), np.array([1 - prior]))[0])
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != p.shape or not np.isfinite(w).all():
        raise ValueError(f"weights have shape {w.shape}; allowed: {p.shape}, finite numbers")
    return w, 0.0

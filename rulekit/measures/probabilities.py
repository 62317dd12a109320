"""Are probabilities true? Predicted ones and what came of them come in, bins and errors go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl

from rulekit.measures.checks import groups_of, numbers
from rulekit.measures.intervals import mean_interval

_OUTCOMES = "bool, or 0 to 1 with ½ for a tie; preferences of -1 and +1 go through `confidence`"


def calibration(
    probability, outcome, bins: int = 10, groups: Sequence | None = None
) -> pl.DataFrame:
    """How often what was given a probability came true, in bins of about equal count.

    Parameters
    ----------
    probability
        Predicted, in [0, 1], (n,); of labels, the confidence that `confidence` gives.
    outcome
        Whether it came true: bool, 0 and 1, or a share in [0, 1], ½ for a tie, (n,).
    bins
        At most so many, 1 or more. Equal predictions share a bin, whatever the order of rows.
    groups
        The prompt of each row, (n,), for the intervals; without, each is a group of its own.

    Returns
    -------
    One row a bin: ``n``, mean ``predicted``, ``observed`` share with its 95 % interval ``low``,
    ``high``, that of `mean_interval` within 0 and 1, and ``gap`` = observed - predicted.

    Raises
    ------
    ValueError
        For shapes that differ, no rows, values out of range or missing, or no bins.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    p, y = _checked(probability, outcome)
    which, group = calibration_bins(p, bins), groups_of(groups, len(p))
    rows = []
    for b in np.unique(which):
        mine = which == b
        low, high = mean_interval(y[mine], group[mine], bounds=(0, 1))
        predicted, observed = float(p[mine].mean()), float(y[mine].mean())
        rows.append((int(mine.sum()), predicted, observed, low, high, observed - predicted))
    names = ("n", "predicted", "observed", "low", "high", "gap")
    return pl.DataFrame(rows, schema=names, orient="row")


def calibration_error(probability, outcome, bins: int = 10) -> float:
    """Expected calibration error, in [0, 1]: the mean |gap| over the bins of `calibration`.

    Parameters
    ----------
    probability, outcome, bins
        As for `calibration`.
    """
    p, y = _checked(probability, outcome)
    return float(calibration_error_resampled(p, y, bins, np.ones((1, len(p))))[0])


@dataclass(frozen=True)
class Brier:
    """Mean squared distance of probabilities from what came of them.

    Attributes
    ----------
    value
        In [0, 1]; 0 is certain and right throughout, ¼ is what ½ throughout has.
    low, high
        95 % interval, that of `mean_interval` within 0 and 1.
    calibration
        The part that a monotone correction of the probabilities would take away, 0 or more. It is
        found on the same rows and so is above 0 by chance too.
    refinement
        The part that stays: what these probabilities cannot tell apart. The two add up to `value`.
    n
        Rows counted.
    """

    value: float
    low: float
    high: float
    calibration: float
    refinement: float
    n: int

    def as_dict(self) -> dict[str, float | int]:
        """As plain values for JSON."""
        return asdict(self)


def brier_score(probability, outcome, groups: Sequence | None = None) -> Brier:
    """Brier score with its interval, and how much of it is calibration.

    Parameters
    ----------
    probability, outcome, groups
        As for `calibration`.

    Notes
    -----
    The mean of (probability - outcome)². Refinement is that of the outcomes' isotonic regression on
    the probabilities, calibration the rest: no bins, and equal probabilities are corrected alike.

    References
    ----------
    G. W. Brier, Monthly Weather Review 78 (1950), 1-3. T. Dimitriadis, T. Gneiting, A. I. Jordan,
    PNAS 118 (2021), e2016191118: the decomposition.
    """
    from sklearn.isotonic import IsotonicRegression

    p, y = _checked(probability, outcome)
    loss = (p - y) ** 2
    low, high = mean_interval(loss, groups, bounds=(0, 1))
    refinement = float(((IsotonicRegression().fit_transform(p, y) - y) ** 2).mean())
    value = float(loss.mean())
    return Brier(value, low, high, max(0.0, value - refinement), refinement, len(p))


def confidence(probability, preference) -> tuple[np.ndarray, np.ndarray]:
    """P(A is preferred) as the confidence of the preferred side, and whether that side is right.

    Parameters
    ----------
    probability
        P(A is preferred) of each pair, (n,), such as `Labels.target` under ``soft``.
    preference
        The known preference, -1 or +1, (n,).

    Returns
    -------
    Confidence in [½, 1], (n,), and 0, ½ (no side is preferred) or 1, (n,): what `calibration` takes.

    Raises
    ------
    ValueError
        For shapes that differ, probabilities out of range, or preferences other than ±1.
    """
    p = numbers("probability", probability, "0 to 1", 0, 1)
    y = numbers("preference", preference, "-1 and +1")
    if p.ndim != 1 or p.shape != y.shape or len(p) == 0:
        raise ValueError(f"probability {p.shape} and preference {y.shape}; allowed: (n,) both")
    if (bad := np.abs(y) != 1).any():
        row = int(bad.argmax())
        raise ValueError(f"preference, row {row} is {y[row]}; allowed: -1 and +1")
    return np.maximum(p, 1 - p), (np.sign(p - 0.5) * y + 1) / 2


def calibration_bins(probability: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each prediction, (n,), by the middle of its rank; equal ones share theirs."""
    if bins < 1:
        raise ValueError(f"bins is {bins}; allowed: 1 or more")
    _, value, count = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) / 2  # rank, from 0
    share = middle / max(len(probability) - 1, 1)
    return np.minimum((bins * share).astype(int), bins - 1)[value]


def calibration_error_resampled(probability, outcome, bins: int, weights: np.ndarray) -> np.ndarray:
    """`calibration_error` of weighted rows, in the bins of all rows, (draws,).

    Parameters
    ----------
    probability, outcome, bins
        As for `calibration`.
    weights
        How often each row was drawn, (draws, n); a draw without a row has NaN.
    """
    p, y = _checked(probability, outcome)
    inside = calibration_bins(p, bins)[:, None] == np.arange(bins)  # (n, bins)
    gaps = weights @ (inside * (y - p)[:, None])
    with np.errstate(invalid="ignore"):  # no row drawn: NaN
        return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


def _checked(probability, outcome) -> tuple[np.ndarray, np.ndarray]:
    p = numbers("probability", probability, "0 to 1", 0, 1)
    y = numbers("outcome", outcome, _OUTCOMES, 0, 1)
    if p.shape != y.shape or p.ndim != 1 or not len(p):
        raise ValueError(
            f"probability has shape {p.shape}, outcome {y.shape}; allowed: (n,) both, not empty"
        )
    return p, y

"""Are probabilities true? Predicted ones and what came of them come in, bins and one error go out."""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.measures.intervals import wilson


def calibration(probability, outcome, bins: int = 10) -> pl.DataFrame:
    """How often what was given a probability came true, in bins of about equal count.

    Parameters
    ----------
    probability
        Predicted, in [0, 1], (n,); of labels, the confidence that `confidence` gives.
    outcome
        Whether it came true: bool, or 0, ½ (a tie) and 1, (n,).
    bins
        At most so many, 1 or more. Equal predictions share a bin.

    Returns
    -------
    One row a bin: ``n``, mean ``predicted``, ``observed`` share with its Wilson 95 % interval
    ``low``, ``high``, and ``gap`` = observed - predicted.

    Raises
    ------
    ValueError
        For shapes that differ, no rows, values out of range or missing, or no bins.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    p, y = _checked(probability, outcome)
    which = calibration_bins(p, bins)
    rows = []
    for b in np.unique(which):
        mine = which == b
        low, high = wilson(y[mine].sum(), int(mine.sum()))
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
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(preference)
    if p.ndim != 1 or p.shape != y.shape or len(p) == 0:
        raise ValueError(f"probability {p.shape} and preference {y.shape}; allowed: (n,) both")
    if not ((p >= 0) & (p <= 1)).all() or not np.isin(y, (-1, 1)).all():
        raise ValueError("allowed: probabilities in [0, 1], preferences -1 and +1")
    return np.maximum(p, 1 - p), (np.sign(p - 0.5) * y + 1) / 2


def calibration_bins(probability: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each prediction, (n,), by the middle of its rank; equal ones share theirs."""
    if bins < 1:
        raise ValueError(f"bins is {bins}; allowed: 1 or more")
    _, value, count = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) / 2  # rank, from 0
    share = middle / max(len(probability) - 1, 1)
    return np.minimum((bins * share).astype(int), bins - 1)[value]


def calibration_error_resampled(
    probability: np.ndarray, outcome: np.ndarray, bins: int, weights: np.ndarray
) -> np.ndarray:
    """`calibration_error` of weighted rows, in the bins of all rows, (draws,).

    Parameters
    ----------
    probability, outcome, bins
        As for `calibration`, checked.
    weights
        How often each row was drawn, (draws, n); a draw without a row has NaN.
    """
    which = calibration_bins(probability, bins)
    inside = which[:, None] == np.arange(bins)  # (n, bins)
    gaps = weights @ (inside * (outcome - probability)[:, None])
    with np.errstate(invalid="ignore"):  # no row drawn: NaN
        return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)


def _checked(probability, outcome) -> tuple[np.ndarray, np.ndarray]:
    p, y = np.asarray(probability, np.float64), np.asarray(outcome, np.float64)
    if p.shape != y.shape or p.ndim != 1 or not len(p):
        raise ValueError(
            f"probability has shape {p.shape}, outcome {y.shape}; allowed: (n,) both, not empty"
        )
    for name, values in (("probability", p), ("outcome", y)):
        if not (bad := (values >= 0) & (values <= 1)).all():
            row = int((~bad).argmax())
            raise ValueError(f"{name}, row {row} is {values[row]}; allowed: 0 to 1")
    return p, y

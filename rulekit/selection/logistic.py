"""Many penalised logistic regressions on the same labels at once, as `labelled.bradley_terry` needs them.

A pass over the labels gives value and slope of every fit by two matrix products, so that sixty fits
cost little more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.special import expit

from rulekit.kernels.threads import cores

_BLOCK = 2048  # labels at a time, so that temporaries stay in the cache
_CURVATURE = 5_000  # labels, evenly spaced, that tell the curvature; the slope is of all
_MEMORY = 10  # steps that the quasi-Newton direction looks back to
_CONVERGED = 1e-10  # squared distance to the maximum, in standard errors


def penalised_logistics(
    right: np.ndarray, centres: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights maximising Σ log σ(right w) - |w - centre|² / 2v, and Laplace's evidence.

    Parameters
    ----------
    right
        z times Y of the labelled pairs, (n, m): right w > 0 where the label is right.
    centres
        Prior mean of the weights of each fit, (n_fits, m).
    variances
        Prior variance v of each weight, (n_fits,).

    Returns
    -------
    Weights (n_fits, m) and log marginal likelihood of the labels (n_fits,). Its curvature is that
    of all labels up to 5,000 and beyond of 5,000, scaled.

    Notes
    -----
    L-BFGS. Its first metric is the bound R'R/4 + I/v of the curvature, one eigenbasis for all
    fits, in which a whole step never overshoots.

    References
    ----------
    D. Böhning, "Multinomial logistic regression algorithm", Ann. Inst. Stat. Math. 44 (1992). J.
    Nocedal, "Updating quasi-Newton matrices with limited storage", Math. Comp. 35 (1980).
    """
    size, basis = np.linalg.eigh(right.T @ right)
    metric = 1 / (np.maximum(size, 0) / 4 + 1 / variances[:, None])  # (n_fits, m), in the basis
    centre = centres @ basis
    found, value = centre.copy(), np.zeros(len(centres))

    def look(at: np.ndarray, fits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value to be minimised and slope of some fits."""
        loss, slope = _loss(right, at @ basis.T)
        off = at - centre[fits]
        precision = 1 / variances[fits]
        return loss + precision * (off**2).sum(1) / 2, slope @ basis + precision[:, None] * off

    fits, at, past = np.arange(len(centres)), centre, []
    now, slope = look(at, fits)
    for _ in range(500):
        direction = _direction(slope, metric[fits], past)
        step, now, new_slope = _step(look, fits, at, now, slope, direction)
        change = new_slope - slope
        curved = (step * change).sum(1)
        weight = np.where(curved > 0, 1 / np.where(curved > 0, curved, 1.0), 0.0)
        past = [*past[1 - _MEMORY :], (step, change, weight)]
        at, slope = at + step, new_slope
        found[fits], value[fits] = at, now
        left = (slope**2 * metric[fits]).sum(1) > _CONVERGED
        if not left.any():
            break
        fits, at, now, slope = fits[left], at[left], now[left], slope[left]
        past = [tuple(part[left] for part in entry) for entry in past]
    weights = found @ basis.T
    return weights, -value - _log_curvature(right, weights, variances) / 2


def _loss(right: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """-Σ log σ(right w) and its slope, of each row of weights, (n_fits,) and (n_fits, m)."""

    def block(start: int) -> tuple[np.ndarray, np.ndarray]:
        rows = right[start : start + _BLOCK]
        margin = np.minimum(rows @ weights.T, 700.0)  # exp of more is no float
        loss = -margin.sum(axis=0)
        odds = np.exp(margin, out=margin)
        odds += 1
        loss += np.log(odds).sum(axis=0)
        return loss, np.reciprocal(odds, out=odds).T @ rows

    loss, slope = 0.0, 0.0
    for one, other in _in_order(block, range(0, len(right), _BLOCK)):
        loss, slope = loss + one, slope - other
    return loss, slope


def _in_order(run, starts: range) -> Iterator:
    """run(start) of each start, in order: sums over them do not depend on the number of threads."""
    if len(starts) < 8 or cores() == 1:
        yield from map(run, starts)
        return
    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(run, starts)


def _direction(slope: np.ndarray, metric: np.ndarray, past: list) -> np.ndarray:
    """The quasi-Newton direction of each fit, by two passes over its past steps."""
    q, shares = slope.copy(), []
    for step, change, weight in reversed(past):
        share = weight * (step * q).sum(1)
        shares.append(share)
        q -= share[:, None] * change
    q *= metric
    if past:
        step, change, weight = past[-1]
        curved = (change**2 * metric).sum(1)
        usable = (weight > 0) & (curved > 0)
        q *= np.where(usable, (step * change).sum(1) / np.where(usable, curved, 1.0), 1.0)[:, None]
    for (step, change, weight), share in zip(past, reversed(shares), strict=True):
        q += (share - weight * (change * q).sum(1))[:, None] * step
    return -q


def _step(look, fits, at, now, slope, direction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A step of each fit that lowers its value, halved where it must be; value and slope there."""
    fall = (slope * direction).sum(1)
    length = np.ones(len(fits))
    new, new_slope = look(at + direction, fits)
    for _ in range(30):
        high = np.flatnonzero(new > now + 1e-4 * length * fall + 1e-12 * np.abs(now))
        if not len(high):
            break
        length[high] /= 2
        tried = at[high] + length[high, None] * direction[high]
        new[high], new_slope[high] = look(tried, fits[high])
    return length[:, None] * direction, new, new_slope


def _log_curvature(right: np.ndarray, weights: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """log det(I + v Σ p (1 - p) r r') of each fit, (n_fits,)."""
    n, m = right.shape
    rows = right[np.linspace(0, n - 1, min(n, _CURVATURE)).astype(int)]
    p = expit(rows @ weights.T)
    p *= (1 - p) * (n / len(rows))
    return np.array(
        [
            np.linalg.slogdet(np.eye(m) + v * ((rows * spread[:, None]).T @ rows))[1]
            for v, spread in zip(variances, p.T, strict=True)
        ]
    )

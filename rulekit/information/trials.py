"""How far off the default estimates are, and how often their intervals hold the truth.

Numbers of pairs and steps of a grid come in; one frame of biases and coverages goes out, from
simulated data whose information is known, with scikit-learn on the same draws. Notebook
`12_estimators` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np

from rulekit.information import checks, counts, halves

SHIFT, CORRELATION = 0.7, 0.6
_FINEST = 0.01  # steps below it tell as much as those of it, to 1e-5 bits
_REACH = 8.0  # standard deviations


def estimator_accuracy(
    repeats: Mapping[int, int],
    steps=(1.0, 0.1, 0.01, 0.001, 1e-6, 0.0),
    zeros=(0.0, 0.4, 0.9),
    level: float = 0.95,
    k: int = 3,
    seed: int = 0,
):
    """Bias and coverage of ``mixed`` where the truth is known, on grids and with exact zeros.

    Parameters
    ----------
    repeats
        How many data sets to draw for each number of pairs, such as ``{200: 300, 1000: 300}``.
    steps
        Widths of the grids that both quantities are rounded to, ≥ 0; 0 is no grid. Standard
        deviations are 1.
    zeros
        Chances that x is set to exactly 0, whatever y is; each from 0 on, below 1.
    level
        Of the intervals, between 0 and 1.
    k
        Neighbours, of both peers.
    seed
        Of all draws. What a case draws depends on the case, not on what else is asked for.

    Returns
    -------
    polars.DataFrame, one row a case: `y` ("coin": x ~ N(±0.7, 1) given it; "quantity": Gaussians
    of correlation 0.6), `dependent` (else 0.7 and 0.6 are 0), `n`, `step`, `zeros`, `repeats`,
    `truth` in bits, `bias` with its standard error `error`, `rmse`, `covers` (share of intervals
    that hold the truth), `width` (their mean), `highest` (the largest estimate) and `peer_bias`,
    that of scikit-learn's `mutual_info_classif` or `mutual_info_regression`, which clips at 0.

    Raises
    ------
    ValueError
        For repeats, steps, zeros or a level out of range.

    References
    ----------
    B. C. Ross, PLoS ONE 9(2) (2014); A. Kraskov, H. Stögbauer, P. Grassberger, PRE 69 (2004);
    W. Gao et al., NeurIPS (2017): see `rulekit.information.neighbours`.
    """
    import polars as pl

    for n, times in repeats.items():
        checks.check_count("pairs", n)
        checks.check_count("repeats", times)
    if min(steps) < 0 or min(zeros) < 0 or max(zeros) >= 1:
        raise ValueError("steps: allowed: 0 or more; zeros: allowed: from 0 on, below 1")
    cases = product(("coin", "quantity"), (False, True), repeats, steps, zeros)
    return pl.DataFrame([_case(*case, repeats[case[2]], level, k, seed) for case in cases])


def _case(y_kind, dependent, n, step, zeros, times, level, k, seed) -> dict:
    coin = y_kind == "coin"
    draw, interval, peer = _coin_peers() if coin else _quantity_peers()
    truth = _truth(coin, dependent, step, zeros)
    found, ends, theirs = np.empty(times), np.empty((times, 2)), np.empty(times)
    of_case = [seed, coin, dependent, n, round(1e9 * step), round(1e9 * zeros)]
    for i in range(times):
        rng = np.random.default_rng([*of_case, i])
        x, y = draw(rng, n, dependent)
        x = np.where(rng.random(n) < zeros, 0.0, x)
        if step:
            x, y = np.rint(x / step) * step, y if coin else np.rint(y / step) * step
        ends[i] = interval(x, y, k, level, i) / np.log(2)
        found[i], theirs[i] = ends[i].mean(), peer(x, y, k) / np.log(2)
    off = found - truth
    return {
        "y": y_kind,
        "dependent": dependent,
        "n": n,
        "step": step,
        "zeros": zeros,
        "repeats": times,
        "truth": truth,
        "bias": off.mean(),
        "error": off.std(ddof=min(1, times - 1)) / np.sqrt(times),
        "rmse": np.sqrt(np.mean(off**2)),
        "covers": np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])),
        "width": np.mean(ends[:, 1] - ends[:, 0]),
        "highest": found.max(),
        "peer_bias": theirs.mean() - truth,
    }


def _coin_peers():
    """Draw, interval in nats and scikit-learn's estimate of a quantity and a coin."""
    from sklearn.feature_selection import mutual_info_classif

    def draw(rng, n, dependent):
        y = rng.integers(2, size=n)
        return rng.standard_normal(n) + SHIFT * dependent * (2 * y - 1), y

    def interval(x, y, k, level, seed):
        return halves.column_intervals(x[:, None], y, "mixed", k, level, seed)[0]

    def peer(x, y, k):
        x = x[:, None]
        return mutual_info_classif(x, y, discrete_features=False, n_neighbors=k, random_state=0)[0]

    return draw, interval, peer


def _quantity_peers():
    from sklearn.feature_selection import mutual_info_regression

    def draw(rng, n, dependent):
        rho = CORRELATION * dependent
        x, noise = rng.standard_normal((2, n))
        return x, rho * x + np.sqrt(1 - rho**2) * noise

    def interval(x, y, k, level, seed):
        return halves.pair_interval(x, y, "mixed", k, level, seed)

    def peer(x, y, k):
        x = x[:, None]
        return mutual_info_regression(x, y, discrete_features=False, n_neighbors=k, random_state=0)[
            0
        ]

    return draw, interval, peer


def _truth(coin: bool, dependent: bool, step: float, zeros: float) -> float:
    """Bits, summed over the cells of the grid."""
    from scipy.stats import norm

    if not dependent:
        return 0.0
    step = max(step, _FINEST)
    half = round(_REACH / step)
    bounds = (np.arange(-half, half + 2) - 0.5) * step
    if coin:
        law = np.stack([np.diff(norm.cdf(bounds - s)) for s in (-SHIFT, SHIFT)], axis=1) / 2
    else:
        # within a cell of x, y is Gaussian about rho x: the mean over a fine grid in the cell
        parts = max(1, round(step / _FINEST))
        law = 0.0
        for part in (np.arange(parts) + 0.5) / parts:
            x = bounds[:-1] + part * step
            given = (bounds - CORRELATION * x[:, None]) / np.sqrt(1 - CORRELATION**2)
            law = law + norm.pdf(x)[:, None] * np.diff(norm.cdf(given), axis=1)
    law = law / law.sum() * (1 - zeros)
    law[half] += zeros * law.sum(axis=0) / law.sum()
    cells, margins = counts.plogp(law).sum(), (law.sum(axis=0), law.sum(axis=1))
    return float(cells - sum(counts.plogp(m).sum() for m in margins)) / np.log(2)

"""What independent votes tell about the preference: exact, with stated error bounds.

Accuracies of rules come in; the information of their votes, of the labels made from them and of
every subset go out. Notebooks, benchmarks and tests call it. The Gaussian model is in
`rulekit.gaussian`, the assumptions' limits in `rulekit.counterexamples`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from rulekit.counterexamples import (
    CounterExample,
    MajorityExample,
    SelectionAfterSeeing,
    dependent_rules,
    joint_information,
    majority_not_monotone,
    reversed_rules,
    selection_after_seeing,
    unequal_noise,
)
from rulekit.gaussian import (
    REGIMES,
    Simulation,
    best_gaussian_subset,
    gaussian_accuracy,
    gaussian_information,
    gaussian_log_odds,
    log_odds_selection,
    regime_table,
    simulate,
)
from rulekit.kernels import theory as kernel

__all__ = [
    "REGIMES",
    "Bounded",
    "CounterExample",
    "LabelQuality",
    "MajorityExample",
    "SelectionAfterSeeing",
    "Simulation",
    "best_gaussian_subset",
    "best_subset",
    "dependent_rules",
    "gaussian_accuracy",
    "gaussian_information",
    "gaussian_log_odds",
    "joint_information",
    "label_accuracy",
    "label_information",
    "label_quality",
    "log_odds_selection",
    "majority_not_monotone",
    "regime_table",
    "reversed_rules",
    "selection_after_seeing",
    "simulate",
    "unequal_noise",
    "vote_information",
]

UNITS = {"bits": np.log(2.0), "nats": 1.0}
METHODS = ("auto", "enumerate", "lattice")
MOST_ENUMERATED = 20
_MOST_CELLS = 2**24  # of a lattice of log-odds: 128 MiB an array
_SUM_CELLS = 2**20
_TIE = 1e-9  # margins within this share of Σ|w| are ties
_EPS = np.finfo(float).eps
_LEFT_OUT = 1e-270  # more than outcomes below kernel.NEGLIGIBLE can add


class Bounded(float):
    """A float that carries the largest distance at which the exact value can lie.

    Attributes
    ----------
    error
        Half width of the interval that holds the exact value, ≥ 0, in the float's own unit.
    """

    error: float

    def __new__(cls, value: float, error: float) -> Bounded:
        self = super().__new__(cls, value)
        self.error = float(error)
        return self

    def __getnewargs__(self) -> tuple[float, float]:
        return float(self), self.error

    @property
    def low(self) -> float:
        return float(self) - self.error

    @property
    def high(self) -> float:
        return float(self) + self.error

    def __repr__(self) -> str:
        return f"{float(self)!r} ± {self.error:.1e}"


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


def vote_information(
    accuracy,
    prior: float = 0.5,
    unit: str = "bits",
    method: str = "auto",
    tolerance: float = 1e-7,
) -> Bounded:
    """Information that the votes of independent rules carry about the preference, I(votes; Y).

    Parameters
    ----------
    accuracy
        Probability that each rule votes for the preferred response, (n_rules,), in [0, 1].
        A rule below ½ is as informative as its mirror image: the votes are known rule by rule.
    prior
        P(Y = +1), in [0, 1].
    unit
        ``bits`` or ``nats``.
    method
        ``enumerate`` sums over every vote pattern (at most 20 rules); ``lattice`` convolves the
        distribution of the log-odds; ``auto`` enumerates as far as 20 rules.
    tolerance
        For ``lattice``: about the width of the interval to return, in the unit; the width
        reached is in the result.

    Returns
    -------
    Bounded: a float with `.error`, a bound on its distance from the exact value.

    Raises
    ------
    ValueError
        For accuracies or a prior out of range, an unknown unit or method, more than 20 rules to
        enumerate, or a tolerance that needs more than 2^24 lattice cells.

    Notes
    -----
    With a and b the probabilities of an outcome given Y = +1 and -1, m = πa + (1 - π)b and
    φ(x) = (1 + x) log(1 + x) - x, I = Σ m [π φ(a/m - 1) + (1 - π) φ(b/m - 1)]: no term is
    negative and nothing cancels near accuracy ½, where 1 - h(p) fails.

    The lattice replaces vote j, of error probability e, by one that errs with e₀ or e₁, the
    error probabilities of the two neighbouring lattice points of log-odds, and tells which; the
    mixture errs with e. Forgetting which gives the vote back, so the lattice value U is not
    below the exact one; and since the votes are independent given Y, by the chain rule it
    exceeds it by at most G = Σ_j [I(replaced vote_j; Y) - I(vote_j; Y)], of second order in the
    step. The result is U - G/2, its error G/2 and an allowance for rounding.

    References
    ----------
    The vote model is that of X. Li et al., arXiv 2501.15453 (2025). Upgraded channels:
    I. Tal, A. Vardy, "How to construct polar codes", IEEE Trans. Inf. Theory 59 (2013).
    """
    p = _accuracies(accuracy)
    nats = _unit(unit)
    prior = _prior(prior)
    if _enumerates(method, len(p)):
        one, two = (kernel.patterns(half, np.zeros(len(half))) for half in _halves(p))
        value = kernel.enumerated_information(one, two, prior)
        error = _rounding(value, p)
    else:
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise ValueError(f"tolerance is {tolerance}; allowed: a positive number")
        value, error = _lattice_information(p, prior, tolerance * nats)
    return Bounded(value / nats, error / nats)


def label_quality(
    accuracy,
    weights="majority",
    prior: float = 0.5,
    unit: str = "bits",
    method: str = "auto",
) -> LabelQuality:
    """Accuracy and information of the label sign(Σ_j w_j vote_j), ties being a third value.

    Parameters
    ----------
    accuracy
        Probability that each rule votes for the preferred response, (n_rules,), in [0, 1].
    weights
        ``majority``: every weight 1. ``optimal``: log(p/(1-p)), with log(π/(1-π)) added to the
        sum: the Bayes decision. Or numbers, (n_rules,): |δ_j| gives the paper's sum label.
    prior
        P(Y = +1), in [0, 1].
    unit
        ``bits`` or ``nats``.
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
    p = _accuracies(accuracy)
    nats = _unit(unit)
    prior = _prior(prior)
    w, bias = _weights(weights, p, prior)
    scale = np.abs(w).sum() + abs(bias)
    if scale > 0:  # only ratios matter
        w, bias, scale = w / scale, bias / scale, 1.0
    if _enumerates(method, len(p)):
        one, two = map(kernel.patterns, _halves(p), _halves(w))
        masses, undecided = kernel.enumerated_label(one, two, bias, _TIE), np.zeros(2)
    else:
        masses, undecided = _lattice_label(p, w, bias)
    channel = np.minimum(masses[[1, 0]], 1.0)
    y = np.array([1 - prior, prior])
    hit = y @ np.array([channel[0, 0] + channel[0, 1] / 2, channel[1, 2] + channel[1, 1] / 2])
    low, high = _information_range(masses, undecided, prior)
    information = (low + high) / 2
    return LabelQuality(
        Bounded(hit, y @ undecided / 2 + _relative_rounding(len(p))),
        Bounded(information / nats, ((high - low) / 2 + _rounding(information, p)) / nats),
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
    """I(label; Y); parameters as `label_quality`. It never exceeds `vote_information`."""
    return label_quality(accuracy, weights, prior, unit, method).information


def best_subset(accuracy, k: int, unit: str = "bits") -> tuple[np.ndarray, float]:
    """The k rules whose votes tell most about an equiprobable Y, by trying every subset.

    Parameters
    ----------
    accuracy
        Probability that each rule votes for the preferred response, (n_rules,), in [0, 1].
    k
        Size of the subset, 1 to n_rules.
    unit
        ``bits`` or ``nats``.

    Returns
    -------
    Positions of the best subset, int64 (k,), ascending, and I(votes; Y). Rules of equal
    |p - ½| are interchangeable and the lowest positions are returned.

    Raises
    ------
    ValueError
        For accuracies or a k out of range, or an unknown unit.

    Notes
    -----
    The theorem this checks: rules that vote independently given Y are best chosen by
    |p_j - ½|, whatever the others are, because the vote of the weaker rule is a degraded copy
    of the stronger one's. If p_j = g(|δ_j|) with g ≥ ½ non-decreasing and the same for all
    rules, those are the k largest |δ_j|. The search uses nothing of it. All cores are used, and
    their number does not change the result.

    References
    ----------
    X. Li et al., arXiv 2501.15453 (2025): maximum discrepancy.
    """
    p = _accuracies(accuracy)
    nats = _unit(unit)
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= len(p):
        raise ValueError(f"k is {k!r}; allowed: 1 to {len(p)}, the number of rules")
    strength = np.abs(2 * p - 1)
    # A fixed order of strengths makes equal multisets equal to the last bit, whatever their order.
    order = np.argsort(-strength, kind="stable")
    epsilon = strength[order]
    single = np.array([kernel.divergence(1 + e, 1 - e, 2 * e, 0.5) for e in epsilon])
    if k == 1:
        return order[:1], float(single[0] / nats)
    firsts = range(len(p) - k + 1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(cores) as pool:
        found = list(pool.map(lambda i: kernel.best_with_first(i, epsilon, single, k), firsts))
    value, subset = max(found, key=lambda item: item[0])  # max keeps the first of equals
    return np.sort(order[subset]), float(value / nats)


def _lattice_information(p: np.ndarray, prior: float, tolerance: float) -> tuple[float, float]:
    """I(votes; Y) in nats and its error."""
    error_rate = np.sort(np.minimum(p, 1 - p))[::-1]  # weakest first: the lattice grows late
    error_rate = error_rate[error_rate < 0.5]
    if len(error_rate) == 0 or prior in (0.0, 1.0):
        return 0.0, 0.0
    if error_rate[-1] == 0.0:
        entropy = -(prior * np.log(prior) + (1 - prior) * np.log1p(-prior))
        return entropy, 4 * _EPS
    error_rate = np.maximum(error_rate, 1e-300)  # far below the rounding; keeps exp in range
    log_odds = _log_odds(1 - error_rate, error_rate)
    step = min(0.1, np.sqrt(8 * tolerance / (error_rate * (1 - error_rate)).sum()))
    low = np.floor(log_odds / step).astype(np.int64)
    cells = 2 * (low + 1).sum() + 1
    if cells > _MOST_CELLS:
        raise ValueError(
            f"tolerance {tolerance:g} nats needs {cells} lattice cells; allowed: {_MOST_CELLS}; "
            "give a larger tolerance"
        )
    error_low, error_high = (expit(-(low + i) * step) for i in (0, 1))
    share = np.clip((error_rate - error_high) / (error_low - error_high), 0.0, 1.0)
    given_plus = kernel.log_odds_lattice(low, share, error_low, error_high)
    given_minus = given_plus[::-1].copy()
    reach = len(given_plus) // 2
    balance = np.tanh(np.arange(-reach, reach + 1) * step / 2)
    upper = kernel.information(given_plus, given_minus, (given_plus + given_minus) * balance, prior)

    def single(errors: np.ndarray) -> np.ndarray:
        plus = np.stack([1 - errors, errors], axis=1)
        minus = plus[:, ::-1].copy()
        parts = zip(plus, minus, plus - minus, strict=True)
        return np.array([kernel.information(a, b, d, prior) for a, b, d in parts])

    gap = share * single(error_low) + (1 - share) * single(error_high) - single(error_rate)
    gap = np.maximum(gap, 0.0).sum()
    return upper - gap / 2, gap / 2 + 40 * len(p) * _EPS * max(upper, gap) + _LEFT_OUT


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
    slope = y[:, None] * np.log(middle / np.where(total > 0, total, 1.0), where=middle > 0,
                                out=np.zeros((2, 3)))  # fmt: skip
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
        return _log_odds(p, 1 - p), float(_log_odds(np.array([prior]), np.array([1 - prior]))[0])
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != p.shape or not np.isfinite(w).all():
        raise ValueError(f"weights have shape {w.shape}; allowed: {p.shape}, finite numbers")
    return w, 0.0


def _log_odds(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """log(p / q) for p + q = 1, also near ½."""
    near = np.abs(p - 0.5) < 0.25
    return np.where(near, 2 * np.arctanh(np.where(near, p - q, 0.0)), np.log(p) - np.log(q))


def _halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = len(values) // 2
    return values[:middle], values[middle:]


def _relative_rounding(n_rules: int) -> float:
    """Relative rounding error of a sum over vote patterns, with room to spare."""
    return (2.0 ** (min(n_rules, MOST_ENUMERATED) / 2) + 100 * n_rules) * _EPS


def _rounding(value: float, p: np.ndarray) -> float:
    """Rounding error of an information in nats.

    |d| ≤ (a + b) tanh(Σ|λ|/2) in every pattern, so d of an outcome is off by r (a + b) times
    that at most; the information, quadratic in d, moves by the two terms beside the relative one.
    """
    r = _relative_rounding(len(p))
    strength = min(1.0, np.arctanh(np.minimum(np.abs(2 * p - 1), 0.9)).sum())
    return r * (value + 2 * strength * np.sqrt(value) + 2 * r * strength**2) + _LEFT_OUT


def _enumerates(method: str, n_rules: int) -> bool:
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(METHODS)}")
    if method == "enumerate" and n_rules > MOST_ENUMERATED:
        raise ValueError(
            f"method 'enumerate': {n_rules} rules; allowed: {MOST_ENUMERATED} or fewer"
        )
    return method != "lattice" and n_rules <= MOST_ENUMERATED


def _accuracies(accuracy) -> np.ndarray:
    p = np.atleast_1d(np.asarray(accuracy, dtype=np.float64))
    if p.ndim != 1 or len(p) == 0:
        raise ValueError(f"accuracy has shape {p.shape}; allowed: (n_rules,), not empty")
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        j = int(bad.argmax())
        raise ValueError(f"accuracy of rule {j} is {p[j]}; allowed: 0 to 1")
    return p


def _prior(prior: float) -> float:
    if not 0 <= prior <= 1:
        raise ValueError(f"prior is {prior}; allowed: 0 to 1")
    return float(prior)


def _unit(unit: str) -> float:
    if unit not in UNITS:
        raise ValueError(f"unknown unit {unit!r}; allowed: {', '.join(UNITS)}")
    return UNITS[unit]

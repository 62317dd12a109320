"""What independent votes tell about the preference: exact, with stated error bounds.

Accuracies of rules come in; the information of their votes, and the best of every subset, go out.
`rulekit.theory.vote_labels` continues with the labels made from votes; `rulekit.theory` offers both.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.special import expit

from rulekit.information.checks import check_count, unit_size
from rulekit.kernels import theory as kernel
from rulekit.kernels.threads import cores

METHODS = ("auto", "enumerate", "lattice")
MOST_ENUMERATED = 20
_MOST_CELLS = 2**24  # of a lattice of log-odds: 128 MiB an array
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
        """Lower end, rounded downwards."""
        return math.nextafter(float(self) - self.error, -math.inf)

    @property
    def high(self) -> float:
        """Upper end, rounded upwards."""
        return math.nextafter(float(self) + self.error, math.inf)

    def __repr__(self) -> str:
        return f"{float(self)!r} ± {self.error:.1e}"


def vote_information(
    accuracy, prior: float = 0.5, unit: str = "bits", method: str = "auto", tolerance: float = 1e-7
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
    p = checked_accuracies(accuracy)
    nats = unit_size(unit)
    prior = checked_prior(prior)
    if enumerates(method, len(p)):
        one, two = (kernel.patterns(half, np.zeros(len(half))) for half in halves(p))
        value = kernel.enumerated_information(one, two, prior)
        error = rounding(value, p)
    else:
        if not (np.isfinite(tolerance) and tolerance > 0):
            raise ValueError(f"tolerance is {tolerance}; allowed: a positive number")
        value, error = _lattice_information(p, prior, tolerance * nats)
    return Bounded(value / nats, error / nats)


def best_subset(accuracy, k: int, unit: str = "bits") -> tuple[np.ndarray, float]:
    """The k rules whose votes tell most about an equiprobable Y, by trying every subset.

    Parameters
    ----------
    accuracy, unit
        As for `vote_information`.
    k
        Size of the subset, 1 to n_rules.

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
    p = checked_accuracies(accuracy)
    nats = unit_size(unit)
    k = check_count("k", k, len(p))
    strength = np.abs(2 * p - 1)
    # A fixed order of strengths makes equal multisets equal to the last bit, whatever their order.
    order = np.argsort(-strength, kind="stable")
    epsilon = strength[order]
    single = np.array([kernel.divergence(1 + e, 1 - e, 2 * e, 0.5) for e in epsilon])
    if k == 1:
        return order[:1], float(single[0] / nats)
    firsts = range(len(p) - k + 1)
    with ThreadPoolExecutor(cores()) as pool:
        found = list(pool.map(lambda i: kernel.best_with_first(i, epsilon, single, k), firsts))
    value, subset = max(found, key=lambda item: item[0])  # max keeps the first of equals
    return np.sort(order[subset]), float(value / nats)


def _lattice_information(p: np.ndarray, prior: float, tolerance: float) -> tuple[float, float]:
    """I(votes; Y) in nats and a bound on its error; both ends are rounded for in `_lattice_rounding`."""
    error_rate = np.sort(np.minimum(p, 1 - p))[::-1]  # weakest first: the lattice grows late
    error_rate = error_rate[error_rate < 0.5]
    if len(error_rate) == 0 or prior in (0.0, 1.0):
        return 0.0, 0.0
    if error_rate[-1] == 0.0:
        entropy = -(prior * np.log(prior) + (1 - prior) * np.log1p(-prior))
        return entropy, 4 * _EPS
    error_rate = np.maximum(error_rate, 1e-300)  # far below the rounding; keeps exp in range
    strength = 1 - 2 * error_rate  # of few digits lost: where the rate is near ½ it is exact
    odds = log_odds(1 - error_rate, error_rate)
    step = min(0.1, np.sqrt(8 * tolerance / (error_rate * (1 - error_rate)).sum()))
    step = float(np.float32(step))  # 24 bits: every multiple of it below is exact
    low = np.floor(odds / step).astype(np.int64)
    cells = 2 * (low + 1).sum() + 1
    if cells > _MOST_CELLS:
        raise ValueError(
            f"tolerance {tolerance:g} nats needs {cells} lattice cells; allowed: {_MOST_CELLS}; "
            "give a larger tolerance"
        )
    error_low, error_high = (expit(-(low + i) * step) for i in (0, 1))
    strength_low, strength_high = (np.tanh((low + i) * step / 2) for i in (0, 1))
    # Near ½ strengths keep the digits that error rates lose, near 0 the reverse.
    digits = error_rate > 0.25
    above = np.where(digits, strength - strength_low, error_low - error_rate)
    width = np.where(digits, strength_high - strength_low, error_low - error_high)
    share = (above / width).clip(0.0, 1.0)
    given_plus = kernel.log_odds_lattice(low, share, error_low, error_high)
    given_minus = given_plus[::-1].copy()
    reach = len(given_plus) // 2
    balance = np.tanh(np.arange(-reach, reach + 1) * step / 2)
    upper = kernel.information(given_plus, given_minus, (given_plus + given_minus) * balance, prior)
    replaced = share * _single(error_high, strength_high, prior)
    replaced += (1 - share) * _single(error_low, strength_low, prior)
    plain = _single(error_rate, strength, prior)
    gap = max(float((replaced - plain).sum()), 0.0)
    rounded = _lattice_rounding(upper, float((replaced + plain).sum()), strength, odds)
    return upper - gap / 2, gap / 2 + rounded


def _single(error_rate: np.ndarray, strength: np.ndarray, prior: float) -> np.ndarray:
    """I(vote; Y) in nats of each vote by itself, (n,), from its error rate e and 1 - 2e."""
    parts = zip(1 - error_rate, error_rate, strength, strict=True)
    return np.array(
        [
            kernel.divergence(a, b, d, prior) + kernel.divergence(b, a, -d, prior)
            for a, b, d in parts
        ]
    )


def _lattice_rounding(
    upper: float, singles: float, strength: np.ndarray, odds: np.ndarray
) -> float:
    """Bound on what rounding moves the interval of `_lattice_information`, in nats.

    The lattice's masses are off by 12 roundings a rule, relative; in `divergence` an error grows
    by a factor of 40 at most, and evaluating it costs 120 roundings at most; its terms are never
    negative and are summed with compensation. That is `upper`'s error, and without the masses
    that of the `singles`. A share that is rounded makes a vote of another accuracy: its strength
    ε is off by 20 roundings, relative, or its error rate e by as many, and by the chain rule I
    moves by no more than the vote's own, whose slopes are ε atanh ε = ε odds / 2 and e odds, once
    for the value and half for the gap. A rounding is half of _EPS.
    """
    masses = 100 + 240 * len(odds)
    shares = 15 * (strength * odds).sum()
    return _EPS * (masses * upper + 100 * singles + shares) + _LEFT_OUT


def log_odds(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """log(p / q) for p + q = 1, also near ½."""
    near = np.abs(p - 0.5) < 0.25
    return np.where(near, 2 * np.arctanh(np.where(near, p - q, 0.0)), np.log(p) - np.log(q))


def halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = len(values) // 2
    return values[:middle], values[middle:]


def relative_rounding(n_rules: int) -> float:
    """Relative rounding error of a sum over vote patterns, with room to spare."""
    return (2.0 ** (min(n_rules, MOST_ENUMERATED) / 2) + 100 * n_rules) * _EPS


def rounding(value: float, p: np.ndarray) -> float:
    """Rounding error of an information in nats.

    |d| ≤ (a + b) tanh(Σ|λ|/2) in every pattern, so d of an outcome is off by r (a + b) times
    that at most; the information, quadratic in d, moves by the two terms beside the relative one.
    """
    r = relative_rounding(len(p))
    strength = min(1.0, np.arctanh(np.minimum(np.abs(2 * p - 1), 0.9)).sum())
    return r * (value + 2 * strength * np.sqrt(value) + 2 * r * strength**2) + _LEFT_OUT


def enumerates(method: str, n_rules: int) -> bool:
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; allowed: {', '.join(METHODS)}")
    if method == "enumerate" and n_rules > MOST_ENUMERATED:
        raise ValueError(
            f"method 'enumerate': {n_rules} rules; allowed: {MOST_ENUMERATED} or fewer"
        )
    return method != "lattice" and n_rules <= MOST_ENUMERATED


def checked_accuracies(accuracy) -> np.ndarray:
    p = np.atleast_1d(np.asarray(accuracy, dtype=np.float64))
    if p.ndim != 1 or len(p) == 0:
        raise ValueError(f"accuracy has shape {p.shape}; allowed: (n_rules,), not empty")
    bad = ~((p >= 0) & (p <= 1))
    if bad.any():
        j = int(bad.argmax())
        raise ValueError(f"accuracy of rule {j} is {p[j]}; allowed: 0 to 1")
    return p


def checked_prior(prior: float) -> float:
    if not 0 <= prior <= 1:
        raise ValueError(f"prior is {prior}; allowed: 0 to 1")
    return float(prior)

"""How often margins agree with known preferences, alone and against each other, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from rulekit.measures.checks import groups_of, numbers, preferences
from rulekit.measures.intervals import mean_interval, wilson
from rulekit.measures.sign_flips import sign_flip_p


@dataclass(frozen=True)
class Accuracy:
    """Share of pairs on which the right response is preferred.

    Attributes
    ----------
    value
        Accuracy in [0, 1]; a tie counts one half.
    low, high
        95 % interval that allows for pairs of one prompt being alike: Korn and Graubard's, as
        `mean_interval` states it. Without groups it is Clopper and Pearson's.
    wilson_low, wilson_high
        Wilson's 95 % interval, pairs taken as independent: too narrow where prompts are shared.
    n, n_groups, ties
        Pairs and prompts counted, and how many pairs were tied.
    """

    value: float
    low: float
    high: float
    wilson_low: float
    wilson_high: float
    n: int
    n_groups: int
    ties: int

    def as_dict(self) -> dict[str, float | int]:
        """As plain values for JSON."""
        return asdict(self)


def pairwise_accuracy(margin, preference, groups: Sequence | None = None) -> Accuracy:
    """Agreement of margins (or ±1 labels) with known preferences.

    Parameters
    ----------
    margin
        Evidence for the first response, (n,): a label's margin or preference, or the difference
        of two rewards. Positive prefers A, zero is a tie.
    preference
        +1, 0, -1 or null (None, NaN), (n,). Pairs without a known strict preference are left out.
    groups
        The prompt of each pair, (n,); without, every pair is a group of its own.

    Raises
    ------
    ValueError
        If lengths differ, a margin is NaN, a preference something else, or no pair has one.
    """
    (margin,), known, strict = _compared({"margin": margin}, preference)
    right = (np.sign(margin[strict]) * known[strict] + 1) / 2  # 0, ½ or 1
    ties = int((margin[strict] == 0).sum())
    return mean_accuracy(right, _of(groups, strict), ties)


def mean_accuracy(right, groups: Sequence | None = None, ties: int = 0) -> Accuracy:
    """`Accuracy` of shares: how often each pair's right response is preferred.

    Parameters
    ----------
    right
        In [0, 1], (n,).
    groups
        As for `pairwise_accuracy`.
    ties
        How many pairs were tied, to be told on.

    Raises
    ------
    ValueError
        For no shares, or one that is NaN or out of range.

    References
    ----------
    E. L. Korn, B. I. Graubard, Survey Methodology 24 (1998), 193-201. E. B. Wilson, Journal of the
    American Statistical Association 22 (1927), 209-212.
    """
    right = _column("right", right, "shares from 0 to 1", 0, 1)
    group = groups_of(groups, len(right))
    interval = mean_interval(right, group, bounds=(0, 1))
    independent = wilson(min(right.sum(), len(right)), len(right))
    n_groups = int(group.max()) + 1
    return Accuracy(float(right.mean()), *interval, *independent, len(right), n_groups, int(ties))


@dataclass(frozen=True)
class Difference:
    """How much more often one margin is right than another on the same pairs.

    Attributes
    ----------
    value
        Accuracy of the first less that of the second; a tie counts one half.
    low, high
        95 % interval, as that of `Accuracy`, on the scale from -1 to 1.
    p_value
        Two-sided sign-flip test over groups.
    n, n_groups
        Pairs and groups counted.
    """

    value: float
    low: float
    high: float
    p_value: float
    n: int
    n_groups: int

    def as_dict(self) -> dict[str, float | int]:
        """As plain values for JSON."""
        return asdict(self)


def paired_difference(first, second, preference, groups: Sequence | None = None) -> Difference:
    """Paired comparison of two margins on the same pairs, whole prompts at a time.

    Parameters
    ----------
    first, second
        Two margins, (n,) each, signed as that of `pairwise_accuracy`.
    preference
        As for `pairwise_accuracy`.
    groups
        The prompt of each pair, (n,); without, every pair is a group of its own.

    Raises
    ------
    ValueError
        If lengths differ, a margin is NaN, a preference something else, or no pair has one.

    Notes
    -----
    Under the hypothesis of no difference, the sign of a prompt's sum of differences is a coin
    flip: the p-value is the share of all flips at least as extreme, counted exactly. Without
    groups and ties it is that of McNemar's exact test.

    References
    ----------
    Q. McNemar, Psychometrika 12 (1947), 153-157. M. P. Fay, The R Journal 2 (2010), 53-58: the
    exact test, and why its interval need not agree with another one to the last digit.
    """
    margins, known, strict = _compared({"first": first, "second": second}, preference)
    gain = (np.sign(margins[0]) - np.sign(margins[1]))[strict] * known[strict] / 2
    return mean_difference(gain, _of(groups, strict))


def mean_difference(
    gain, groups: Sequence | None = None, *, seed: int = 0, resamples: int = 10_000
) -> Difference:
    """`Difference` of gains: one accuracy less another on each pair.

    Parameters
    ----------
    gain
        In [-1, 1], (n,).
    groups
        As for `paired_difference`.
    seed, resamples
        Of the flips drawn where gains are no halves and there are more than 16 groups.

    Raises
    ------
    ValueError
        For no gains, one that is NaN or out of range, or fewer than one resample.

    Notes
    -----
    The test is that of `paired_difference`, counted exactly for gains of 0, ±½ and ±1 and for up to
    16 groups.
    """
    gain = _column("gain", gain, "gains from -1 to 1", -1, 1)
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; allowed: 1 or more")
    group = groups_of(groups, len(gain))
    low, high = mean_interval(gain, group, bounds=(-1, 1))
    total = np.bincount(group, weights=gain)
    p_value = sign_flip_p(total, resamples=resamples, seed=seed)
    return Difference(float(gain.mean()), low, high, p_value, len(gain), len(total))


def _compared(margins: dict, preference) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Margins, known preferences and where these are strict, (n,) each."""
    known = preferences(preference)
    found = [numbers(name, margin) for name, margin in margins.items()]
    for name, margin in zip(margins, found, strict=True):
        if margin.shape != known.shape or margin.ndim != 1:
            raise ValueError(
                f"{name} has shape {margin.shape}, preference {known.shape}; allowed: (n,) both"
            )
    strict = np.abs(known) == 1
    if not strict.any():
        raise ValueError("no pair has a known strict preference; allowed: one or more")
    return found, known, strict


def _of(groups: Sequence | None, strict: np.ndarray) -> np.ndarray | None:
    return None if groups is None else groups_of(groups, len(strict))[strict]


def _column(name: str, values, allowed: str, low: float, high: float) -> np.ndarray:
    found = numbers(name, values, allowed, low, high)
    if found.ndim != 1 or not len(found):
        raise ValueError(f"{name} has shape {found.shape}; allowed: (n,), not empty")
    return found

"""How often margins agree with known preferences, alone and against each other, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from rulekit.measures.intervals import mean_interval, wilson


@dataclass(frozen=True)
class Accuracy:
    """Share of pairs on which the right response is preferred.

    Attributes
    ----------
    value
        Accuracy in [0, 1]; a tie counts one half.
    low, high
        Wilson 95 % interval, pairs taken as independent.
    cluster_low, cluster_high
        95 % percentile bootstrap over prompts (pairs of one prompt resampled together); NaN
        when no groups were given.
    n, ties
        Pairs counted, and how many of them were tied.
    """

    value: float
    low: float
    high: float
    cluster_low: float
    cluster_high: float
    n: int
    ties: int

    def as_dict(self) -> dict[str, float | int | None]:
        """As plain values for JSON, NaN as None."""
        return {k: None if v != v else v for k, v in asdict(self).items()}


def pairwise_accuracy(
    margin, preference, groups: Sequence | None = None, *, seed: int = 0, resamples: int = 2000
) -> Accuracy:
    """Agreement of margins (or ±1 labels) with known preferences.

    Parameters
    ----------
    margin
        Evidence for the first response, (n,): a label's margin or preference, or the difference
        of two rewards. Positive prefers A, zero is a tie.
    preference
        +1, 0, -1 or null (None, NaN), (n,). Pairs without a known strict preference are left out.
    groups
        The prompt of each pair, (n,), for the cluster bootstrap.
    seed, resamples
        Of the bootstrap.

    Raises
    ------
    ValueError
        If lengths differ, a margin is NaN, or no pair has a preference.
    """
    margin, known = np.asarray(margin, dtype=np.float64), _known(preference)
    if margin.shape != known.shape or margin.ndim != 1:
        raise ValueError(
            f"margin has shape {margin.shape}, preference {known.shape}; allowed: (n,)"
        )
    if np.isnan(margin).any():
        raise ValueError(f"margin, row {np.isnan(margin).argmax()} is NaN; allowed: numbers")
    strict = np.isfinite(known) & (known != 0)
    if not strict.any():
        raise ValueError("no pair has a known strict preference")
    right = (np.sign(margin[strict]) * np.sign(known[strict]) + 1) / 2  # 0, ½ or 1
    ties = int((margin[strict] == 0).sum())
    return mean_accuracy(
        right, None if groups is None else np.asarray(groups)[strict], ties, seed, resamples
    )


def mean_accuracy(
    right, groups: Sequence | None = None, ties: int = 0, seed: int = 0, resamples: int = 2000
) -> Accuracy:
    """`Accuracy` of shares: how often each pair's right response is preferred.

    Parameters
    ----------
    right
        In [0, 1], (n,).
    groups, seed, resamples
        As for `pairwise_accuracy`.
    ties
        How many pairs were tied, to be told on.
    """
    right = np.asarray(right, dtype=np.float64)
    low, high = wilson(right.sum(), len(right))
    cluster = (np.nan, np.nan)
    if groups is not None:
        cluster = mean_interval(right, groups, seed, resamples)
    return Accuracy(float(right.mean()), low, high, *cluster, len(right), ties)


@dataclass(frozen=True)
class Difference:
    """How much more often one margin is right than another on the same pairs.

    Attributes
    ----------
    value
        Accuracy of the first less that of the second; a tie counts one half.
    low, high
        95 % percentile bootstrap interval over groups.
    p_value
        Two-sided sign-flip permutation test over groups.
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


def paired_difference(
    first,
    second,
    preference,
    groups: Sequence | None = None,
    *,
    seed: int = 0,
    resamples: int = 10_000,
) -> Difference:
    """Paired comparison of two margins on the same pairs, whole prompts at a time.

    Parameters
    ----------
    first, second
        Two margins, (n,) each, signed as that of `pairwise_accuracy`.
    preference
        As for `pairwise_accuracy`.
    groups
        The prompt of each pair, (n,); without, every pair is a group of its own.
    seed, resamples
        Of bootstrap and permutation.

    Raises
    ------
    ValueError
        If lengths differ, a margin is NaN, or no pair has a preference.

    Notes
    -----
    Under the hypothesis of no difference, the sign of a prompt's sum of differences is a coin
    flip: the p-value is the share of flips at least as extreme, itself counted among them.
    """
    known = _known(preference)
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if not first.shape == second.shape == known.shape:
        raise ValueError(
            f"margins have shapes {first.shape} and {second.shape}, preference {known.shape}; "
            "allowed: (n,) all"
        )
    for name, margin in (("first", first), ("second", second)):
        if np.isnan(margin).any():
            raise ValueError(f"{name}, row {np.isnan(margin).argmax()} is NaN; allowed: numbers")
    strict = np.isfinite(known) & (known != 0)
    if not strict.any():
        raise ValueError("no pair has a known strict preference")
    gain = (np.sign(first) - np.sign(second))[strict] * np.sign(known[strict]) / 2
    group = None if groups is None else np.asarray(groups)[strict]
    return mean_difference(gain, group, seed=seed, resamples=resamples)


def mean_difference(
    gain, groups: Sequence | None = None, *, seed: int = 0, resamples: int = 10_000
) -> Difference:
    """`Difference` of gains: one accuracy less another on each pair.

    Parameters
    ----------
    gain
        In [-1, 1], (n,).
    groups, seed, resamples
        As for `paired_difference`, and so is the test.

    Raises
    ------
    ValueError
        For no gains, or one that is NaN.
    """
    gain = np.asarray(gain, dtype=np.float64)
    if gain.ndim != 1 or not len(gain) or np.isnan(gain).any():
        raise ValueError(f"gain has shape {gain.shape}; allowed: (n,), not empty, without NaN")
    group = np.arange(len(gain)) if groups is None else np.asarray(groups)
    low, high = mean_interval(gain, group, seed, resamples)
    total = np.bincount(np.unique(group, return_inverse=True)[1], weights=gain)
    flips = np.random.default_rng(seed).choice([-1.0, 1.0], size=(resamples, len(total)))
    extreme = np.abs(flips @ total) >= abs(total.sum()) - 1e-9
    p_value = (extreme.sum() + 1) / (resamples + 1)
    return Difference(float(gain.mean()), low, high, float(p_value), len(gain), len(total))


def _known(preference) -> np.ndarray:
    """Preferences as float64, (n,), NaN where none is known."""
    return np.array([np.nan if p is None else p for p in preference], dtype=np.float64)

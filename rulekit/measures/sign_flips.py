"""Is a sum of differences more than chance? Differences come in, a two-sided p-value goes out.

`preferences` calls it with one total a prompt. Under the hypothesis of no difference each total is
as likely to have the other sign, so the p-value is the share of all 2^G ways to sign them whose sum
is at least as far from 0 as the one seen.
"""

from __future__ import annotations

import numpy as np

_ENUMERATED = 16  # totals of any size, all of whose signs are tried
_CELLS = 2**25  # of the exact distribution, and of flips held at a time
_TIE = 1e-9  # sums this close are equal


def sign_flip_p(total, *, resamples: int, seed: int) -> float:
    """Two-sided p-value of a sum of totals under flips of their signs, above 0, at most 1.

    Parameters
    ----------
    total
        A total a group, (n_groups,).
    resamples, seed
        Of the flips drawn where all cannot be counted.

    Notes
    -----
    Totals of ½ and 1, which pairs right, tied and wrong add up to, take few values. There the
    distribution of the sum is a convolution of binomial ones and the p-value is exact, whatever the
    number of groups; with a group a pair it is McNemar's exact test. Other totals are enumerated up
    to 16 groups. With more, flips are drawn; the signs seen count among them, so that the least
    p-value is 1 / (resamples + 1).

    References
    ----------
    R. A. Fisher, "The Design of Experiments" (1935), section 21. Q. McNemar, Psychometrika 12
    (1947), 153-157. U. Keich, Journal of Computational Biology 12 (2005), 416-430.
    """
    size = np.abs(np.asarray(total, np.float64))
    reached = abs(float(np.sum(total)))
    size = size[size > _TIE]
    if reached <= _TIE or not len(size):
        return 1.0
    steps = np.rint(2 * size).astype(np.int64)
    values, count = np.unique(steps, return_counts=True)
    if np.abs(2 * size - steps).max() <= _TIE and len(values) * steps.sum() <= _CELLS:
        return _lattice(values, count, round(2 * reached))
    if len(size) <= _ENUMERATED:
        sums = np.zeros(1)
        for one in size:
            sums = np.concatenate([sums + one, sums - one])
        return float((np.abs(sums) >= reached - _TIE).mean())
    return _drawn(size, reached, resamples, seed)


def _lattice(values: np.ndarray, count: np.ndarray, reached: int) -> float:
    """The exact p-value of `count` totals of each whole value whose sum is `reached`, above 0.

    With X the sum of the totals signed +, the signed sum is 2 X - whole: P(X >= x) is wanted. Signs
    are drawn with the chance that makes x the mean and weighed back (U. Keich, 2005), so that a
    Fourier transform keeps its digits however small the p-value.
    """
    from scipy.fft import irfft, next_fast_len
    from scipy.optimize import brentq
    from scipy.special import expit

    whole = int(values @ count)
    x = (whole + reached) // 2
    if x == whole:
        return float(max(2.0 * 0.5 ** count.sum(), np.finfo(float).tiny))
    tilt = brentq(lambda a: values * count @ expit(a * values) - x, 0, 100)
    length = next_fast_len(whole + 1, real=True)
    frequency = np.arange(length // 2 + 1)
    spectrum, mass = np.ones(len(frequency), complex), 0.0  # mass: log of what the tilt took away
    for value, times in zip(values.tolist(), count.tolist(), strict=True):
        up = expit(tilt * value)
        wave = np.exp(-2j * np.pi / length * (frequency * value % length))
        spectrum *= (1 - up + up * wave) ** times
        mass += times * (np.logaddexp(0, tilt * value) - np.log(2))
    tail = irfft(spectrum, length)[x : whole + 1].clip(0)
    log_p = mass - tilt * x + np.log(tail @ np.exp(-tilt * np.arange(len(tail))))
    return float(np.clip(2 * np.exp(log_p), np.finfo(float).tiny, 1.0))


def _drawn(size: np.ndarray, reached: float, resamples: int, seed: int) -> float:
    """The share of drawn flips that reach as far, the signs seen among them."""
    rng = np.random.default_rng(seed)
    step, extreme = max(1, _CELLS // (8 * len(size))), 0
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        bits = np.frombuffer(rng.bytes(rows * (-(-len(size) // 8))), np.uint8).reshape(rows, -1)
        up = np.unpackbits(bits, axis=1, count=len(size)).astype(np.float64) @ size
        extreme += int((np.abs(2 * up - size.sum()) >= reached - _TIE).sum())
    return (extreme + 1) / (resamples + 1)

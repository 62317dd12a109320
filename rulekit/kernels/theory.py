"""Exact information of independent votes: enumeration, lattices of log-odds, every subset.

`rulekit.theory` calls this. An outcome of the votes is followed through three numbers: its
probabilities a given Y = +1 and b given Y = -1, and their difference d = a - b, all times 2^k
where votes are enumerated. A vote of accuracy p = (1 + ε) / 2 takes d to d ± ε (a + b) and
multiplies a and b by 2p or 2(1 - p). So d is never found by subtracting two nearly equal
probabilities, nor a small probability by subtracting two large ones.
"""

from __future__ import annotations

import math

import numpy as np

from rulekit.kernels.compiled import kernel

NEGLIGIBLE = 1e-280  # outcomes this improbable are left out: their ratios would overflow


@kernel
def excess(x):
    """(1 + x) log(1 + x) - x for x ≥ -1, to full relative precision: about x² / 2 near 0."""
    if x <= -1.0:
        return 1.0
    if abs(x) > 0.05:
        return (1.0 + x) * math.log1p(x) - x
    total = 0.0
    for n in range(12, 1, -1):  # x^n (-1)^n / (n (n - 1)); the first term left out is 1e-16 of it
        total = total * -x + 1.0 / (n * (n - 1))
    return total * x * x


@kernel
def divergence(a, b, d, prior):
    """What one outcome adds to I(outcome; Y), in nats; never negative."""
    mass = prior * a + (1.0 - prior) * b
    if mass < NEGLIGIBLE:
        return 0.0
    up, down = (1.0 - prior) * d / mass, -prior * d / mass
    return mass * (prior * excess(up) + (1.0 - prior) * excess(down))


@kernel
def information(a, b, d, prior):
    """I(outcome; Y) in nats from a, b and d = a - b of each outcome, (n,) each.

    Kahan's sum: the rounding error does not grow with the number of outcomes.
    """
    total, lost = 0.0, 0.0
    for i in range(len(a)):
        term = divergence(a[i], b[i], d[i], prior) - lost
        grown = total + term
        lost = (grown - total) - term
        total = grown
    return total


@kernel
def patterns(p, weights):
    """a, b, d (times 2^k) and the weighted sum of every vote pattern of k rules, (2^k,) each."""
    k = len(p)
    a, b, d, total = np.ones(2**k), np.ones(2**k), np.zeros(2**k), np.zeros(2**k)
    for j in range(k):
        half, right, wrong = 2**j, 2.0 * p[j], 2.0 * (1.0 - p[j])
        epsilon = 2.0 * (p[j] - 0.5)
        for i in range(half):
            drift = epsilon * (a[i] + b[i])
            a[half + i], b[half + i] = a[i] * wrong, b[i] * right
            d[half + i] = d[i] - drift
            total[half + i] = total[i] - weights[j]
            a[i] *= right
            b[i] *= wrong
            d[i] += drift
            total[i] += weights[j]
    return a, b, d, total


@kernel
def enumerated_information(one, two, prior):
    """I(votes; Y) in nats from the `patterns` of two halves of the rules."""
    total = 0.0
    a1, b1, d1, _ = one
    a2, b2, d2, _ = two
    for i in range(len(a1)):
        part = 0.0  # one sum a row keeps the rounding error at the square root of the terms
        for j in range(len(a2)):
            d = (d1[i] * (a2[j] + b2[j]) + (a1[i] + b1[i]) * d2[j]) / 2
            part += divergence(a1[i] * a2[j], b1[i] * b2[j], d, prior)
        total += part
    return total / (len(a1) * len(a2))


@kernel
def enumerated_label(one, two, bias, tie):
    """a, b, d of the labels -1, 0, +1, (3, 3): the sign of bias + sum, 0 within `tie`."""
    masses = np.zeros((3, 3))
    a1, b1, d1, s1 = one
    a2, b2, d2, s2 = two
    part = np.zeros((3, 3))
    for i in range(len(a1)):
        part[:] = 0.0
        for j in range(len(a2)):
            margin = bias + s1[i] + s2[j]
            column = 1 if abs(margin) <= tie else (2 if margin > 0 else 0)
            part[0, column] += a1[i] * a2[j]
            part[1, column] += b1[i] * b2[j]
            part[2, column] += (d1[i] * (a2[j] + b2[j]) + (a1[i] + b1[i]) * d2[j]) / 2
        masses += part
    return masses / (len(a1) * len(a2))


@kernel
def log_odds_lattice(low, share, error_low, error_high):
    """Distribution of the log-odds given Y = +1 on a lattice, (2R + 1,), centre R at zero.

    Vote j has log-odds ±(low[j] + 1) steps with probability share[j], ±low[j] steps otherwise,
    and errs with probability error_high[j] or error_low[j].
    """
    reach = 0
    for j in range(len(low)):
        reach += low[j] + 1
    now, after = np.zeros(2 * reach + 1), np.zeros(2 * reach + 1)
    now[reach] = 1.0
    width = 0
    for j in range(len(low)):
        step = low[j]
        a0, b0 = (1 - share[j]) * (1 - error_low[j]), (1 - share[j]) * error_low[j]
        a1, b1 = share[j] * (1 - error_high[j]), share[j] * error_high[j]
        start, stop = reach - width, reach + width + 1
        width += step + 1
        after[reach - width : reach + width + 1] = 0.0
        _add_shifted(after, now, start, stop, step, a0)
        _add_shifted(after, now, start, stop, -step, b0)
        _add_shifted(after, now, start, stop, step + 1, a1)
        _add_shifted(after, now, start, stop, -step - 1, b1)
        now, after = after, now
    return now


@kernel
def sum_lattice(steps, p):
    """a, b, d of the integer sum Σ ±steps[j], (3, 2R + 1), centre R at zero."""
    reach = 0
    for j in range(len(steps)):
        reach += abs(steps[j])
    now, after = np.zeros((3, 2 * reach + 1)), np.zeros((3, 2 * reach + 1))
    now[0, reach] = now[1, reach] = 1.0
    width = 0
    for j in range(len(steps)):
        step, drift = steps[j], p[j] - 0.5
        start, stop = reach - width, reach + width + 1
        width += abs(step)
        after[:, reach - width : reach + width + 1] = 0.0
        for sign in (1, -1):
            shift = sign * step
            right, wrong = (p[j], 1.0 - p[j]) if sign == 1 else (1.0 - p[j], p[j])
            _add_shifted(after[0], now[0], start, stop, shift, right)
            _add_shifted(after[1], now[1], start, stop, shift, wrong)
            _add_shifted(after[2], now[2], start, stop, shift, 0.5)
            _add_shifted(after[2], now[0], start, stop, shift, sign * drift)
            _add_shifted(after[2], now[1], start, stop, shift, sign * drift)
        now, after = after, now
    return now


@kernel
def _add_shifted(target, source, start, stop, shift, factor):
    out, piece = target[start + shift : stop + shift], source[start:stop]
    for i in range(len(piece)):
        out[i] += factor * piece[i]


@kernel
def best_with_first(first, epsilon, single, k):
    """Best information in nats over all k-subsets whose lowest rule is `first`, and the subset.

    Equiprobable Y, k ≥ 2. I(votes; Y) = Σ_j I(vote_j; Y) - (total correlation of the votes),
    and with u = W - 1 the total correlation is the mean of excess(u) over the vote patterns:
    one logarithm a pattern, half of the patterns by symmetry, and the patterns of the first
    k - 1 rules are shared by every choice of the last.
    """
    n = len(epsilon)
    chosen, best_subset = np.arange(first, first + k), np.empty(k, np.int64)
    best = -1.0
    u, d = np.zeros((k - 1, 2 ** (k - 2))), np.zeros((k - 1, 2 ** (k - 2)))
    base = np.zeros(k - 1)
    d[0, 0], base[0] = epsilon[first], single[first]
    level = 1
    while True:
        for j in range(level, k - 1):  # rebuild the tables from the rule that changed
            e = epsilon[chosen[j]]
            half = 2 ** (j - 1)
            for i in range(half):
                step, drift = e * d[j - 1, i], e * (1.0 + u[j - 1, i])
                u[j, i], u[j, half + i] = u[j - 1, i] + step, u[j - 1, i] - step
                d[j, i], d[j, half + i] = d[j - 1, i] + drift, d[j - 1, i] - drift
            base[j] = base[j - 1] + single[chosen[j]]
        for last in range(chosen[k - 2] + 1, n):
            found = base[k - 2] + single[last] - _correlation(u[k - 2], d[k - 2], epsilon[last])
            if found > best:
                best = found
                best_subset[: k - 1] = chosen[: k - 1]
                best_subset[k - 1] = last
        level = k - 2
        while level > 0 and chosen[level] == n - k + level:
            level -= 1
        if level <= 0:
            return best, best_subset
        chosen[level] += 1
        for j in range(level + 1, k - 1):
            chosen[j] = chosen[j - 1] + 1


@kernel
def _correlation(u, d, e):
    total = 0.0
    for i in range(len(u)):
        step = e * d[i]
        total += _plain_excess(u[i] + step) + _plain_excess(u[i] - step)
    return total / (2 * len(u))


@kernel
def _plain_excess(u):
    """`excess` without its series: u is a product of two ε or more, so nothing is lost."""
    return (1.0 + u) * math.log1p(u) - u if u > -1.0 else 1.0

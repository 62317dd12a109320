"""Nearest-neighbour information in one dimension: sorted values, monotone pointers, digamma sums.

Sorted values come in; a sum of digamma terms goes out. The k-th neighbour within a class is the
best of the k + 1 windows that hold the point, and as the distance to it changes by no more than
the point moves, both ends of its interval only ever move right: one merging walk counts them all.
Points at one distance stand in no order: what would depend on it is its mean over all orders.
"""

from __future__ import annotations

import numpy as np

from rulekit.kernels.compiled import kernel

_STRIDE = 8


@kernel
def class_walk(values, starts, everyone, k, bounded, digamma):
    """Σ over the points of ψ(neighbours in the class) - ψ(neighbours in all), and the tied points.

    Parameters
    ----------
    values
        float64 (n,), sorted within each class.
    starts
        int64 (n_classes + 1,), where each class begins in `values`; a class has ≥ 2 points.
    everyone
        The same values sorted, (n,).
    k
        Neighbours; n_c - 1 in a class of fewer.
    bounded
        Whether to look no further than the ⌈k n / n_c⌉ nearest points, where a class that is
        spread as all points are has k: what it has there is counted, or the first one beyond.
    digamma
        ψ(0 … n), (n + 1,).

    Returns
    -------
    The sum in nats, and how many points have their k-th neighbour at distance 0. Such a point, of
    an atom of c_y points in its class and c in all, itself included, gives ψ(c_y) - ψ(c).
    """
    total, tied = 0.0, 0
    n = len(everyone)
    radius = np.empty(n)
    padded = np.full(n + _STRIDE, np.inf)
    padded[:n] = everyone
    for label in range(len(starts) - 1):
        mine = values[starts[label] : starts[label + 1]]
        size = len(mine)
        near = min(k, size - 1)
        most = (near * n + size - 1) // size if bounded else n + 1
        _radii(mine, near, radius[:size])
        lo, hi, left, i = 0, 0, 0, 0
        while i < size:
            x, r = mine[i], radius[i]
            run = i + 1
            while run < size and mine[run] == x:
                run += 1
            if r > 0:
                lo = _first_nearer(padded, lo, x, r)
                while lo > 0 and x - everyone[lo - 1] < r:  # rounding took it a step too far
                    lo -= 1
                hi = _first_beyond(padded, hi, x, r)
                while everyone[hi - 1] - x >= r:
                    hi -= 1
                if hi - lo >= most:
                    while left + most < n and x - everyone[left] > everyone[left + most] - x:
                        left += 1
                    term = _bounded_term(mine, i, run, everyone, left, left + most, digamma)
                elif _one_at(everyone, lo, hi, x, r):
                    term = digamma[near] - digamma[hi - lo]
                else:
                    term = _mean_term(mine, i, run, everyone, lo, hi, r, near, digamma)
            else:
                while everyone[lo] < x:
                    lo += 1
                while lo > 0 and everyone[lo - 1] == x:
                    lo -= 1
                while hi < n and everyone[hi] <= x:
                    hi += 1
                term = digamma[run - i] - digamma[hi - lo]
                tied += run - i
            total += (run - i) * term
            i = run
    return total, tied


@kernel
def _one_at(values, lo, hi, x, r):
    """Whether one value alone is at distance r of x, those from `lo` to `hi` being nearer."""
    count = 0
    for j in range(max(0, lo - 2), lo):
        count += x - values[j] == r
    for j in range(hi, min(hi + 2, len(values))):
        count += values[j] - x == r
    return count == 1


@kernel
def _mean_term(mine, i, run, everyone, lo, hi, r, k, digamma):
    """ψ(k) - ψ(m), m the points nearer than the k-th of the class, over all orders of those at r.

    Those from `i` to `run` in `mine` are equal to the point; those from `lo` to `hi` in `everyone`
    are nearer than r, and fewer than k of them are of the class.
    """
    x = mine[i]
    first, end = _reach(everyone, lo, hi, x, r)
    at_r = lo - first + end - hi
    lower, upper = i, run
    while lower > 0 and x - mine[lower - 1] < r:
        lower -= 1
    while upper < len(mine) and mine[upper] - x < r:
        upper += 1
    first, end = _reach(mine, lower, upper, x, r)
    mine_at_r = lower - first + end - upper
    wanted = k - (upper - lower - 1)
    return digamma[k] - mean_digamma(hi - lo - 1, at_r, mine_at_r, wanted, digamma)


@kernel
def _bounded_term(mine, i, run, everyone, left, right, digamma):
    """ψ(those of the class) - ψ(all) no further off than the values from `left` to `right`.

    That is the mean of ψ(1) - ψ(m), m counted to the nearest of the class, over all orders of the
    points within; so it is right on average as that is. With none within it is that itself.
    """
    x, n = mine[i], len(everyone)
    r = max(x - everyone[left], everyone[right - 1] - x)
    lo, hi = _reach(everyone, left, right, x, r)
    first, end = _reach(mine, i, run, x, r)
    if end - first > 1:
        return digamma[end - first] - digamma[hi - lo]
    r = np.inf
    if i > 0:
        r = x - mine[i - 1]
    if run < len(mine):
        r = min(r, mine[run] - x)
    while lo > 0 and x - everyone[lo - 1] < r:
        lo -= 1
    while hi < n and everyone[hi] - x < r:
        hi += 1
    return _mean_term(mine, i, run, everyone, lo, hi, r, 1, digamma)


@kernel
def _reach(values, lo, hi, x, r):
    """From the values `lo` to `hi`, none further than r from x, on to all that are not."""
    while lo > 0 and x - values[lo - 1] <= r:
        lo -= 1
    while hi < len(values) and values[hi] - x <= r:
        hi += 1
    return lo, hi


@kernel
def mean_digamma(before, equal, mine, wanted, digamma):
    """The mean of ψ(before + p), p the place of a class's `wanted`-th point in a random order.

    Parameters
    ----------
    before
        Points that come first in every order, 0 or more.
    equal
        Points in random order, after them.
    mine
        How many of those are of the class, 1 to `equal`.
    wanted
        1 to `mine`.
    digamma
        ψ(0 … before + equal), or longer.

    Notes
    -----
    P(p) = C(p - 1, wanted - 1) C(equal - p, mine - wanted) / C(equal, mine), a negative
    hypergeometric law, summed from its mean outwards until nothing more is added. With no point
    before, the mean is ψ(wanted) + ψ(equal + 1) - ψ(mine + 1).
    """
    last = equal - mine + wanted
    middle = min(max(wanted * (equal + 1) // (mine + 1), wanted), last)
    total, mass, weight = digamma[before + middle], 1.0, 1.0
    for p in range(middle, last):
        weight *= p * (last - p) / ((p - wanted + 1.0) * (equal - p))
        total += weight * digamma[before + p + 1]
        mass += weight
        if weight < 1e-17 * mass:
            break
    weight = 1.0
    for p in range(middle - 1, wanted - 1, -1):
        weight *= (p - wanted + 1.0) * (equal - p) / (p * (last - p))
        total += weight * digamma[before + p]
        mass += weight
        if weight < 1e-17 * mass:
            break
    return total / mass


@kernel
def _first_nearer(values, i, x, r):
    """The first position from i on that lies less than r below x or above it.

    Values are sorted, so the misses in a stride of them say how far to go: one predictable
    branch a stride, where a value by value search would guess wrong at every point.
    """
    while True:
        misses = 0
        for o in range(_STRIDE):
            misses += x - values[i + o] >= r
        i += misses
        if misses < _STRIDE:
            return i


@kernel
def _first_beyond(values, i, x, r):
    """The first position from i on that lies r above x or more."""
    while True:
        nearer = 0
        for o in range(_STRIDE):
            nearer += values[i + o] - x < r
        i += nearer
        if nearer < _STRIDE:
            return i


@kernel
def _radii(x, k, radius):
    """Distance of each sorted value to its k-th neighbour: the least reach of a window of k + 1."""
    n = len(x)
    radius[:] = np.inf
    for j in range(k + 1):
        right = k - j
        _narrow(x[: n - k], x[j : n - right], x[k:], radius[j : n - right])


@kernel
def _narrow(left, x, right, radius):
    for i in range(len(x)):
        below, above = x[i] - left[i], right[i] - x[i]
        reach = below if below > above else above
        radius[i] = reach if reach < radius[i] else radius[i]


@kernel
def within(values, x, radius, out):
    """How many of the sorted values are nearer to x than radius; at radius 0, equal to it."""
    n = len(values)
    for i in range(len(x)):
        r = radius[i] if radius[i] > 0 else np.nextafter(0.0, 1.0)
        lo, end = 0, n
        while lo < end:  # the first value that is near enough or lies beyond x
            middle = (lo + end) // 2
            if x[i] - values[middle] >= r:
                lo = middle + 1
            else:
                end = middle
        hi, end = lo, n
        while hi < end:
            middle = (hi + end) // 2
            if values[middle] - x[i] < r:
                hi = middle + 1
            else:
                end = middle
        out[i] = hi - lo


@kernel
def joint_radii(x, near_x, near_y, first, end, wanted, slack, k, start, stop, radius):
    """Distance max(|Δx|, |Δy|) of the wanted points `start` to `stop` to their k-th neighbour.

    Parameters
    ----------
    x
        float64 (n,), sorted.
    near_x
        What Δx is taken of, (n,): x, or x moved so little that the distance of two unequal values
        shrinks by a share of `slack` at most.
    near_y
        What Δy is taken of, (n,), sorted where x is equal.
    first, end
        int64 (n,), where the run of values equal to x begins and ends.
    wanted
        bool (n,), the points to look from.
    slack
        0 or more, below 1.
    k
        Neighbours, below n.
    start, stop
        0 ≤ start ≤ stop ≤ n.
    radius
        float64 (n,), written for the wanted points from `start` to `stop`.

    Notes
    -----
    The scan goes out from the point on both sides until x alone is too far, over about √(k n)
    points; within its own run y alone tells when to stop, and the rest of the run is skipped.
    """
    n = len(x)
    best = np.empty(k)
    for i in range(start, stop):
        if not wanted[i]:
            continue
        best[:] = np.inf
        j = i + 1
        while j < end[i] and near_y[j] - near_y[i] < best[k - 1]:
            _insert(best, max(abs(near_x[j] - near_x[i]), near_y[j] - near_y[i]))
            j += 1
        j = end[i]
        while j < n and (x[j] - x[i]) * (1 - slack) < best[k - 1]:
            _insert(best, max(abs(near_x[j] - near_x[i]), abs(near_y[j] - near_y[i])))
            j += 1
        j = i - 1
        while j >= first[i] and near_y[i] - near_y[j] < best[k - 1]:
            _insert(best, max(abs(near_x[i] - near_x[j]), near_y[i] - near_y[j]))
            j -= 1
        j = first[i] - 1
        while j >= 0 and (x[i] - x[j]) * (1 - slack) < best[k - 1]:
            _insert(best, max(abs(near_x[i] - near_x[j]), abs(near_y[j] - near_y[i])))
            j -= 1
        radius[i] = best[k - 1]


@kernel
def _insert(best, distance):
    """Keep `best` the least distances in order."""
    last = len(best) - 1
    if distance >= best[last]:
        return
    while last > 0 and best[last - 1] > distance:
        best[last] = best[last - 1]
        last -= 1
    best[last] = distance

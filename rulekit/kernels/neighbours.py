"""Nearest-neighbour information in one dimension: sorted values, monotone pointers, digamma sums.

Sorted values come in; a sum of digamma terms goes out. The k-th neighbour within a class is the
best of the k + 1 windows that hold the point, and as the distance to it changes by no more than
the point moves, both ends of the interval only ever move right: one merging walk counts them all.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_STRIDE = 8


@njit(nogil=True, cache=True)
def class_walk(values, starts, everyone, k, digamma):
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
        first, end = starts[label], starts[label + 1]
        k_class = min(k, end - first - 1)
        _radii(values[first:end], k_class, radius[first:end])
        lo, hi, i = 0, 0, first
        while i < end:
            x, r = values[i], radius[i]
            if r > 0:
                lo = _first_nearer(padded, lo, x, r)
                while lo > 0 and x - everyone[lo - 1] < r:  # rounding took it a step too far
                    lo -= 1
                hi = _first_beyond(padded, hi, x, r)
                while everyone[hi - 1] - x >= r:
                    hi -= 1
                total += digamma[k_class] - digamma[hi - lo]
                i += 1
            else:
                run = i
                while run < end and values[run] == x:
                    run += 1
                while everyone[lo] < x:
                    lo += 1
                while lo > 0 and everyone[lo - 1] == x:
                    lo -= 1
                while hi < n and everyone[hi] <= x:
                    hi += 1
                total += (run - i) * (digamma[run - i] - digamma[hi - lo])
                tied += run - i
                i = run
    return total, tied


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _first_beyond(values, i, x, r):
    """The first position from i on that lies r above x or more."""
    while True:
        nearer = 0
        for o in range(_STRIDE):
            nearer += values[i + o] - x < r
        i += nearer
        if nearer < _STRIDE:
            return i


@njit(nogil=True, cache=True)
def _radii(x, k, radius):
    """Distance of each sorted value to its k-th neighbour: the least reach of a window of k + 1."""
    n = len(x)
    radius[:] = np.inf
    for j in range(k + 1):
        right = k - j
        _narrow(x[: n - k], x[j : n - right], x[k:], radius[j : n - right])


@njit(nogil=True, cache=True)
def _narrow(left, x, right, radius):
    for i in range(len(x)):
        below, above = x[i] - left[i], right[i] - x[i]
        reach = below if below > above else above
        radius[i] = reach if reach < radius[i] else radius[i]


@njit(nogil=True, cache=True)
def split_classes(everyone, labels, starts, values):
    """Sorted values and their labels → `values` sorted within each class, as `class_walk` wants."""
    place = starts.copy()
    for i in range(len(everyone)):
        label = labels[i]
        values[place[label]] = everyone[i]
        place[label] += 1


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def joint_radii(x, y, first, end, k, start, stop, radius):
    """Distance max(|Δx|, |Δy|) of points `start` to `stop` to their k-th neighbour among all.

    Parameters
    ----------
    x, y
        float64 (n,), sorted by x and, where x is equal, by y.
    first, end
        int64 (n,), where the run of values equal to x begins and ends.
    k
        Neighbours, below n.
    start, stop
        The points to look from, 0 ≤ start ≤ stop ≤ n.
    radius
        float64 (n,), written from `start` to `stop`.

    Notes
    -----
    The scan goes out from the point on both sides until x alone is too far, over about √(k n)
    points; within its own run y alone tells the distance, and the rest of the run is skipped.
    """
    n = len(x)
    best = np.empty(k)
    for i in range(start, stop):
        best[:] = np.inf
        j = i + 1
        while j < n and x[j] - x[i] < best[k - 1]:
            if _insert(best, max(x[j] - x[i], abs(y[j] - y[i]))) or j >= end[i]:
                j += 1
            else:
                j = end[i]
        j = i - 1
        while j >= 0 and x[i] - x[j] < best[k - 1]:
            if _insert(best, max(x[i] - x[j], abs(y[j] - y[i]))) or j < first[i]:
                j -= 1
            else:
                j = first[i] - 1
        radius[i] = best[k - 1]


@njit(nogil=True, cache=True)
def _insert(best, distance):
    """Keep `best` the least distances in order; whether this one is among them."""
    last = len(best) - 1
    if distance >= best[last]:
        return False
    while last > 0 and best[last - 1] > distance:
        best[last] = best[last - 1]
        last -= 1
    best[last] = distance
    return True

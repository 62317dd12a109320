"""Top-k rules per pair and the sum of what was chosen, in one pass over the score arrays.

A criterion in [0, 2] becomes an integer in steps of `RESOLUTION`, and integer and rule position
are packed into one key a rule, the lower position in the larger key. The k best rules are then k
maxima over one row of keys that never leaves the first-level cache: no branches, no
(n_pairs, n_rules) temporary, and ties go to the lowest position by construction.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from rulekit.kernels import RESOLUTION
from rulekit.kernels.threads import in_chunks

DISCREPANCY, RELEVANCE_DISCREPANCY, RANDOM, LOWEST_DISCREPANCY, RELEVANCE = range(5)
_STEPS = np.float32(1 / RESOLUTION)
_MOST_STEPS = np.int32(2**21 - 2)
_LANES = 32


def top_k(
    mode: int,
    a: np.ndarray,
    b: np.ndarray,
    relevance: np.ndarray | None,
    k: int,
    seed: int = 0,
    threads: int | None = None,
) -> np.ndarray:
    """Positions of the k rules of largest criterion, best first, int32 (n_pairs, k).

    Parameters
    ----------
    mode
        DISCREPANCY |a - b|; LOWEST_DISCREPANCY 2 - |a - b|; RELEVANCE; RELEVANCE_DISCREPANCY
        relevance + |a - b| / 2; RANDOM a hash of (seed, row, rule).
    a, b, relevance
        float32 (n_pairs, n_rules), C-contiguous; relevance only for its modes.
    k
        1 to n_rules.
    seed
        For RANDOM.
    threads
        Default: the cores this process may use. The result does not depend on it.
    """
    n, m = a.shape
    indices = np.empty((n, k), np.int32)
    # 2 / RESOLUTION needs 21 bits, which leaves ten of an int32 for the position.
    bits, key_type = (10, np.int32) if m <= 1024 else (32, np.int64)
    positions = (2**bits - 1 - np.arange(m)).astype(key_type)
    weight = a if relevance is None else relevance
    salt = np.uint64(seed % 2**64)

    def run(start: int, stop: int) -> None:
        rows = slice(start, stop)
        limits = key_type(np.iinfo(key_type).max), key_type(-1)  # above and below every key
        keys = np.full(-(-m // _LANES) * _LANES, limits[1])  # whole vectors, the rest never chosen
        with np.errstate(over="ignore"):  # the hash wraps around; uncompiled, NumPy would warn
            _top_k(
                mode,
                a[rows],
                b[rows],
                weight[rows],
                salt,
                np.uint64(start),
                positions,
                np.int32(bits),
                limits,
                keys,
                indices[rows],
            )

    in_chunks(run, n, m, threads)
    return indices


def margins(a: np.ndarray, b: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Sum of a - b over the chosen rules of each row, accumulated in float64, (n_pairs,)."""
    out = np.empty(len(a), np.float64)

    def run(start: int, stop: int) -> None:
        rows = slice(start, stop)
        _margins(a[rows], b[rows], indices[rows], out[rows])

    in_chunks(run, len(a), indices.shape[1], None)
    return out


@njit(nogil=True, cache=True)
def _top_k(mode, a, b, relevance, salt, first_row, positions, bits, limits, keys, indices):
    n = len(a)
    k = indices.shape[1]
    for i in range(n):
        if mode == DISCREPANCY:
            _discrepancy_keys(a[i], b[i], positions, bits, keys)
        elif mode == RELEVANCE_DISCREPANCY:
            _relevance_discrepancy_keys(a[i], b[i], relevance[i], positions, bits, keys)
        elif mode == LOWEST_DISCREPANCY:
            _lowest_discrepancy_keys(a[i], b[i], positions, bits, keys)
        elif mode == RELEVANCE:
            _relevance_keys(relevance[i], positions, bits, keys)
        else:
            _random_keys(salt, first_row + np.uint64(i), positions, bits, keys)
        last = limits[0]
        for r in range(k):
            last = _largest_below(keys, last, limits[1])
            indices[i, r] = positions[0] - (last & positions[0])


@njit(nogil=True, cache=True)
def _largest_below(keys, last, nothing):
    """The largest key smaller than `last`; keys are distinct, so k calls walk down the k best."""
    best = nothing
    for j in range(len(keys)):
        best = max(best, keys[j] if keys[j] < last else nothing)
    return best


@njit(nogil=True, cache=True)
def _key(steps, bits, position):
    """Steps and position in one integer: shifted in 64 bits, as 32 would lose them in wide keys."""
    return np.int64(steps) << bits | position


@njit(nogil=True, cache=True)
def _steps(criterion):
    """A criterion in [0, 2] in steps of `RESOLUTION`, rounded."""
    return np.int32(criterion * _STEPS + np.float32(0.5))


@njit(nogil=True, cache=True)
def _discrepancy_keys(a, b, positions, bits, keys):
    for j in range(len(positions)):
        keys[j] = _key(_steps(abs(a[j] - b[j])), bits, positions[j])


@njit(nogil=True, cache=True)
def _relevance_discrepancy_keys(a, b, relevance, positions, bits, keys):
    for j in range(len(positions)):
        criterion = relevance[j] + np.float32(0.5) * abs(a[j] - b[j])
        keys[j] = _key(_steps(criterion), bits, positions[j])


@njit(nogil=True, cache=True)
def _lowest_discrepancy_keys(a, b, positions, bits, keys):
    for j in range(len(positions)):
        keys[j] = _key(_steps(np.float32(2) - abs(a[j] - b[j])), bits, positions[j])


@njit(nogil=True, cache=True)
def _relevance_keys(relevance, positions, bits, keys):
    for j in range(len(positions)):
        keys[j] = _key(_steps(relevance[j]), bits, positions[j])


@njit(nogil=True, cache=True)
def _random_keys(salt, row, positions, bits, keys):
    """SplitMix64 of (seed, row, rule): a permutation that no other row or thread can change."""
    m = np.uint64(len(positions))
    for j in range(len(positions)):
        z = salt + (row * m + np.uint64(j)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        steps = np.int32((z ^ (z >> np.uint64(31))) >> np.uint64(43))
        # The largest step at the first position would be the limit itself, which no key may reach.
        keys[j] = _key(min(steps, _MOST_STEPS), bits, positions[j])


@njit(nogil=True, cache=True)
def _margins(a, b, indices, out):
    n, k = indices.shape
    for i in range(n):
        total = 0.0
        for r in range(k):
            j = indices[i, r]
            total += np.float64(a[i, j]) - np.float64(b[i, j])
        out[i] = total

"""Top-k rules per pair and the sum of what was chosen, in one pass over the score arrays.

A criterion in [0, 2] becomes an integer in steps of `RESOLUTION`, and integer and rule position
are packed into one key a rule, the lower position in the larger key. The k best rules are then k
maxima over one row of keys that never leaves the first-level cache: no branches, no
(n_pairs, n_rules) temporary, and ties go to the lowest position by construction. Where rows and
rules have names, a hash of both stands before the position: ties then go by chance, the same
whatever the order of rows and rules.
"""

from __future__ import annotations

import numpy as np

from rulekit.kernels import RESOLUTION
from rulekit.kernels.compiled import kernel
from rulekit.kernels.threads import in_chunks

DISCREPANCY, RELEVANCE_DISCREPANCY, RANDOM, LOWEST_DISCREPANCY, RELEVANCE = range(5)
_STEPS = np.float32(1 / RESOLUTION)
_LANES = 32


def top_k(
    mode: int,
    a: np.ndarray,
    b: np.ndarray,
    relevance: np.ndarray | None,
    k: int,
    seed: int = 0,
    threads: int | None = None,
    names: tuple[np.ndarray, np.ndarray] | None = None,
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
    names
        uint32 of each row, (n_pairs,), and of each rule, (n_rules,), to break ties by; None: ties
        go to the lowest position.
    """
    n, m = a.shape
    indices = np.empty((n, k), np.int32)
    # 2 / RESOLUTION needs 21 bits, which leaves ten of an int32 for the position, and of an int64
    # 32 for a hash between.
    bits, key_type = (10, np.int32) if m <= 1024 and names is None else (32, np.int64)
    place = 10 if m <= 1024 else 22 if names is not None else bits
    if names is not None:
        bits = 42
    positions = (2**place - 1 - np.arange(m)).astype(key_type)
    row_names, rule_names = names or (np.zeros(n, np.uint32), np.zeros(0, np.uint32))
    weight = a if relevance is None else relevance
    spread = 0x9E3779B97F4A7C15 if names is not None else 1
    salt = np.uint64(seed * spread % 2**64)

    def run(start: int, stop: int) -> None:
        rows = slice(start, stop)
        nothing = key_type(-1)  # below every key
        keys = np.full(-(-m // _LANES) * _LANES, nothing)  # whole vectors, the rest never chosen
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
                np.int32(place),
                row_names[rows],
                rule_names,
                np.empty_like(positions),
                nothing,
                keys,
                indices[rows],
            )

    in_chunks(run, n, m, threads)
    return indices


def tied(
    mode: int, a: np.ndarray, b: np.ndarray, relevance: np.ndarray | None, indices: np.ndarray
) -> np.ndarray:
    """Which rows of `top_k` rest on a tie, among the chosen or with one left out, bool (n_pairs,).

    Parameters
    ----------
    mode, a, b, relevance
        As for `top_k`; not RANDOM, where a tie is as good as none.
    indices
        What it gave, (n_pairs, k).
    """
    n, m = a.shape
    out = np.empty(n, bool)
    bits, key_type = (10, np.int32) if m <= 1024 else (32, np.int64)
    positions = (2**bits - 1 - np.arange(m)).astype(key_type)
    weight = a if relevance is None else relevance

    def run(start: int, stop: int) -> None:
        rows = slice(start, stop)
        keys = np.empty(m, key_type)
        found = (indices[rows], out[rows])
        _tied(mode, a[rows], b[rows], weight[rows], positions, np.int32(bits), keys, *found)

    in_chunks(run, n, m, None)
    return out


def margins(a: np.ndarray, b: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Sum of a - b over the chosen rules of each row, accumulated in float64, (n_pairs,)."""
    out = np.empty(len(a), np.float64)

    def run(start: int, stop: int) -> None:
        rows = slice(start, stop)
        _margins(a[rows], b[rows], indices[rows], out[rows])

    in_chunks(run, len(a), indices.shape[1], None)
    return out


@kernel
def _top_k(
    mode,
    a,
    b,
    relevance,
    salt,
    first_row,
    positions,
    bits,
    place,
    row_names,
    rule_names,
    hashed,
    nothing,
    keys,
    indices,
):
    n = len(a)
    k = indices.shape[1]
    last = positions[0]
    for i in range(n):
        if len(rule_names):
            _hashed(salt, row_names[i], rule_names, place, positions, hashed)
            if mode != RANDOM:
                _fill(mode, a[i], b[i], relevance[i], hashed, bits, keys)
            else:  # nothing but ties
                keys[: len(hashed)] = hashed
        elif mode == DISCREPANCY:  # as in `_fill`, whose call would cost a fifth of the time
            _discrepancy_keys(a[i], b[i], positions, bits, keys)
        elif mode == RELEVANCE_DISCREPANCY:
            _relevance_discrepancy_keys(a[i], b[i], relevance[i], positions, bits, keys)
        elif mode == LOWEST_DISCREPANCY:
            _lowest_discrepancy_keys(a[i], b[i], positions, bits, keys)
        elif mode == RELEVANCE:
            _relevance_keys(relevance[i], positions, bits, keys)
        else:
            _random_keys(salt, first_row + np.uint64(i), positions, bits, keys)
        best = _largest(keys, nothing)
        indices[i, 0] = last - (best & last)
        for r in range(1, k):
            best = _largest_below(keys, best, nothing)
            indices[i, r] = last - (best & last)


@kernel
def _hashed(salt, row, rule_names, place, low, positions):
    """Positions with 42 - place bits of a hash of seed, row and rule before them."""
    for j in range(len(low)):
        z = (np.uint64(row) << np.uint64(32) | np.uint64(rule_names[j])) + salt
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        hashed = np.int64(z >> np.uint64(22 + place))
        positions[j] = hashed << place | np.int64(low[j])


@kernel
def _fill(mode, a, b, relevance, positions, bits, keys):
    if mode == DISCREPANCY:
        _discrepancy_keys(a, b, positions, bits, keys)
    elif mode == RELEVANCE_DISCREPANCY:
        _relevance_discrepancy_keys(a, b, relevance, positions, bits, keys)
    elif mode == LOWEST_DISCREPANCY:
        _lowest_discrepancy_keys(a, b, positions, bits, keys)
    else:
        _relevance_keys(relevance, positions, bits, keys)


@kernel
def _tied(mode, a, b, relevance, positions, bits, keys, indices, out):
    n, k = indices.shape
    for i in range(n):
        _fill(mode, a[i], b[i], relevance[i], positions, bits, keys)
        worst, reach = keys[indices[i, k - 1]] >> bits, 0
        for j in range(len(positions)):
            reach += (keys[j] >> bits) >= worst
        out[i] = reach > k
        for r in range(1, k):
            out[i] |= (keys[indices[i, r]] ^ keys[indices[i, r - 1]]) >> bits == 0


@kernel
def _largest(keys, nothing):
    """The largest key."""
    best = nothing
    for j in range(len(keys)):
        best = max(best, keys[j])
    return best


@kernel
def _largest_below(keys, last, nothing):
    """The largest key smaller than `last`; keys are distinct, so calls walk down the best ones."""
    best = nothing
    for j in range(len(keys)):
        best = max(best, keys[j] if keys[j] < last else nothing)
    return best


@kernel
def _key(steps, bits, position):
    """Steps and position in one integer: shifted in 64 bits, as 32 would lose them in wide keys."""
    return np.int64(steps) << bits | position


@kernel
def _steps(criterion):
    """A criterion in [0, 2] in steps of `RESOLUTION`, rounded."""
    return np.int32(criterion * _STEPS + np.float32(0.5))


@kernel
def _discrepancy_keys(a, b, positions, bits, keys):
    for j in range(len(positions)):
        keys[j] = _key(_steps(abs(a[j] - b[j])), bits, positions[j])


@kernel
def _relevance_discrepancy_keys(a, b, relevance, positions, bits, keys):
    for j in range(len(positions)):
        criterion = relevance[j] + np.float32(0.5) * abs(a[j] - b[j])
        keys[j] = _key(_steps(criterion), bits, positions[j])


@kernel
def _lowest_discrepancy_keys(a, b, positions, bits, keys):
    for j in range(len(positions)):
        keys[j] = _key(_steps(np.float32(2) - abs(a[j] - b[j])), bits, positions[j])


@kernel
def _relevance_keys(relevance, positions, bits, keys):
    for j in range(len(positions)):
        keys[j] = _key(_steps(relevance[j]), bits, positions[j])


@kernel
def _random_keys(salt, row, positions, bits, keys):
    """21 bits of SplitMix64 of (seed, row, rule), which no other row or thread can change."""
    m = np.uint64(len(positions))
    for j in range(len(positions)):
        z = salt + (row * m + np.uint64(j)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        steps = np.int32((z ^ (z >> np.uint64(31))) >> np.uint64(43))
        keys[j] = _key(steps, bits, positions[j])


@kernel
def _margins(a, b, indices, out):
    n, k = indices.shape
    for i in range(n):
        total = 0.0
        for r in range(k):
            j = indices[i, r]
            total += np.float64(a[i, j]) - np.float64(b[i, j])
        out[i] = total

"""Votes as two bit planes and their contingency tables by popcount.

Votes -1, 0, +1 of n pairs under m rules come in; a `plus` and a `minus` plane of one bit a pair
go out, and integer tables of a rule with the preference or with another rule are counted from
them, 64 pairs a word. Counts are integers, so no order of work can change a result.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from rulekit.kernels.compiled import kernel
from rulekit.kernels.threads import in_chunks


def pack(votes: np.ndarray, threads: int | None = None) -> tuple[np.ndarray, int]:
    """Bit planes of the votes, uint64 (2, n_rules, n_words), and how many values were no vote.

    Parameters
    ----------
    votes
        -1, 0 or +1, (n_pairs, n_rules), C-contiguous, any number type. Plane 0 marks the +1,
        plane 1 the -1; anything else but 0 is counted as no vote.
    threads
        Default: the cores this process may use. The result does not depend on it.
    """
    n, m = votes.shape
    planes = np.zeros((2, m, (n + 63) // 64), np.uint64)
    bad = []

    def run(start: int, stop: int) -> None:
        bad.append(_pack(votes, start, stop, planes))

    in_chunks(run, planes.shape[2], 64 * m, threads)
    return planes, sum(bad)


def pack_one(votes: np.ndarray) -> np.ndarray:
    """Bit planes of one checked variable, (n,) → uint64 (2, 1, n_words)."""
    whole = np.zeros((2, 1, 8 * ((len(votes) + 63) // 64)), np.uint8)
    for plane, side in zip(whole, (1, -1), strict=True):
        bits = np.packbits(votes == side, bitorder="little")
        plane[0, : len(bits)] = bits
    return whole.view("<u8")


def class_tables(planes: np.ndarray, side: np.ndarray, n: int) -> np.ndarray:
    """Table of each rule with one other variable, int64 (n_rules, 3, 3), rows and columns -1, 0, +1.

    Parameters
    ----------
    planes
        From `pack`, (2, n_rules, n_words).
    side
        The other variable's planes, (2, 1, n_words).
    n
        Number of pairs.
    """
    m = planes.shape[1]
    cross, ours = np.empty((m, 4), np.int64), count(planes)
    _cross_one(planes, side, cross)
    return _complete(cross, ours, np.broadcast_to(count(side), ours.shape), n)


def pair_tables(planes: np.ndarray, n: int, threads: int | None = None) -> np.ndarray:
    """Table of each rule with each other, int64 (n_rules, n_rules, 3, 3), order -1, 0, +1.

    `n` is the number of pairs the planes count: those under a mask where they were masked.
    """
    m = planes.shape[1]
    cross, ours = np.empty((m, m, 4), np.int64), count(planes)

    def run(start: int, stop: int) -> None:
        _cross_all(planes, start, stop, cross)

    in_chunks(run, m, 2 * m * planes.shape[2], threads)
    _mirror(cross)
    rows, columns = np.repeat(ours, m, axis=1), np.tile(ours, (1, m))
    return _complete(cross.reshape(m * m, 4), rows, columns, n).reshape(m, m, 3, 3)


def count(planes: np.ndarray) -> np.ndarray:
    """Set bits of each plane, int64 (2, n_rules)."""
    out = np.empty(planes.shape[:2], np.int64)
    _count(planes, out)
    return out


def _complete(cross, ours, other, n) -> np.ndarray:
    """Tables from the four ± cells, (t, 4), the ± totals of both sides, (2, t), and the pairs."""
    tables = np.empty((len(cross), 3, 3), np.int64)
    tables[:, 2, 2], tables[:, 2, 0], tables[:, 0, 2], tables[:, 0, 0] = cross.T
    for cell, total in ((2, ours[0]), (0, ours[1])):
        tables[:, cell, 1] = total - tables[:, cell, 0] - tables[:, cell, 2]
    for cell, total in ((2, other[0]), (0, other[1])):
        tables[:, 1, cell] = total - tables[:, 0, cell] - tables[:, 2, cell]
    tables[:, 1, 1] = n - ours.sum(axis=0) - tables[:, 1, 0] - tables[:, 1, 2]
    return tables


def _popcount(word):
    """Set bits of a word, as a word; compiled, one instruction of the machine."""
    return np.uint64(np.bitwise_count(word))


@overload(_popcount)
def _compiled_popcount(word):
    return lambda word: _ctpop(word)


@intrinsic
def _ctpop(context, word):
    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


@kernel
def _pack(votes, start, stop, planes):
    n, m = votes.shape
    p, q = np.empty(m, np.uint64), np.empty(m, np.uint64)
    bad = 0
    for w in range(start, stop):
        p[:] = 0
        q[:] = 0
        for r in range(min(64, n - 64 * w)):
            bad += _pack_row(votes[64 * w + r], np.uint64(r), p, q)
        for j in range(m):
            planes[0, j, w] = p[j]
            planes[1, j, w] = q[j]
    return bad


@kernel
def _pack_row(row, bit, p, q):
    bad = 0
    for j in range(len(row)):
        v = row[j]
        p[j] |= np.uint64(v == 1) << bit
        q[j] |= np.uint64(v == -1) << bit
        bad += (v != 1) & (v != -1) & (v != 0)
    return bad


@kernel
def _cross(u, v):
    """Common bits of two rows of words."""
    total = np.uint64(0)
    for w in range(len(u)):
        total += _popcount(u[w] & v[w])
    return np.int64(total)


@kernel
def _cross_one(planes, side, cross):
    for j in range(len(cross)):
        for s in range(4):
            cross[j, s] = _cross(planes[s // 2, j], side[s % 2, 0])


@kernel
def _cross_all(planes, start, stop, cross):
    for i in range(start, stop):
        for j in range(i, planes.shape[1]):
            for s in range(4):
                cross[i, j, s] = _cross(planes[s // 2, i], planes[s % 2, j])


@kernel
def _mirror(cross):
    """The lower triangle from the upper: the same cells with +- and -+ exchanged."""
    for i in range(len(cross)):
        for j in range(i):
            cross[i, j, 0], cross[i, j, 3] = cross[j, i, 0], cross[j, i, 3]
            cross[i, j, 1], cross[i, j, 2] = cross[j, i, 2], cross[j, i, 1]


@kernel
def _count(planes, out):
    for s in range(2):
        for j in range(planes.shape[1]):
            total = np.uint64(0)
            for w in range(planes.shape[2]):
                total += _popcount(planes[s, j, w])
            out[s, j] = total


@kernel
def coded_tables(codes, labels, tables):
    """Count the rows of each class of every rule with each label.

    Parameters
    ----------
    codes
        Class numbers, (n_rules, n).
    labels
        Numbers of the other variable's values, (n,).
    tables
        int64 (n_rules, n_classes, n_labels), overwritten.
    """
    tables[:] = 0
    for j in range(len(codes)):
        for i in range(len(labels)):
            tables[j, codes[j, i], labels[i]] += 1


@kernel
def exact_tail(tables, plogp, log_factorial, out):
    """P(information ≥ that observed) of 2 × 2 tables, (t, 2, 2), under the hypergeometric law.

    Parameters
    ----------
    tables
        int64 (t, 2, 2).
    plogp
        c·log c, (n + 1,).
    log_factorial
        log c!, (n + 1,).
    out
        (t,).

    Notes
    -----
    With both margins fixed the information grows with Σ c·log c over the four cells, so that sum
    is the statistic. Tables within 1e-12 relative of the observed one count as equal to it. A
    chance below the least float is 0.
    """
    for t in range(len(tables)):
        a, b, c, d = tables[t, 0, 0], tables[t, 0, 1], tables[t, 1, 0], tables[t, 1, 1]
        row, column, n = a + b, a + c, a + b + c + d
        observed = plogp[a] + plogp[b] + plogp[c] + plogp[d]
        limit = observed - 1e-12 * max(1.0, observed)
        constant = (
            log_factorial[row]
            + log_factorial[n - row]
            + log_factorial[column]
            + log_factorial[n - column]
            - log_factorial[n]
        )
        tail, whole = 0.0, 0.0
        for a in range(max(0, row + column - n), min(row, column) + 1):
            b, c = row - a, column - a
            d = n - row - c
            chance = np.exp(
                constant - log_factorial[a] - log_factorial[b] - log_factorial[c] - log_factorial[d]
            )
            whole += chance
            if plogp[a] + plogp[b] + plogp[c] + plogp[d] >= limit:
                tail += chance
        out[t] = min(1.0, tail / whole)

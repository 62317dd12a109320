"""Bit planes, contingency tables and exact tails against their plain twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln

from rulekit.kernels import votes as kernel
from tests import oracles

# Rows of a part of a word, of a word, and just past one and past two.
ROWS = [1, 2, 63, 64, 65, 129]
CONSTANT = [np.full((70, 2), v) for v in (-1, 0, 1)]
quick = settings(max_examples=20, deadline=None, derandomize=True)


def drawn(n: int, m: int, seed: int, dtype=np.int8) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1, 2, (n, m)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("n", ROWS)
def test_planes_mark_the_votes_bit_by_bit(n, dtype):
    votes = drawn(n, 3, n, dtype)
    planes, bad = kernel.pack(votes)
    assert planes.dtype == np.uint64
    assert bad == 0
    expected = [[oracles.plane(rule, side) for rule in votes.T] for side in (1, -1)]
    assert planes.tolist() == expected
    for j in range(3):
        assert (kernel.pack_one(votes[:, j])[:, 0] == planes[:, j]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2, -2, 0.5, 1 + 1e-15])
def test_what_is_no_vote_is_counted_and_marks_no_bit(bad):
    votes = drawn(70, 3, 1, np.float64)
    votes[[0, 64, 69], [1, 1, 2]] = bad
    planes, found = kernel.pack(votes)
    assert found == 3
    blank = np.where(np.isin(votes, (-1, 0, 1)), votes, 0)
    assert (planes == kernel.pack(blank)[0]).all()


def test_minus_zero_is_an_abstention():
    planes, bad = kernel.pack(np.array([[-0.0], [0.0]]))
    assert bad == 0
    assert not planes.any()


def test_planes_and_tables_do_not_depend_on_threads(threaded):
    votes = drawn(700, 5, 2, np.float32)
    votes[[3, 699], 2] = 7
    (one, bad), (three, also_bad) = (kernel.pack(votes, threads=t) for t in (1, 3))
    assert (one == three).all()
    assert bad == also_bad == 2
    tables = [kernel.pair_tables(one, 700, threads=t) for t in (1, 3)]
    assert (tables[0] == tables[1]).all()


@quick
@given(st.sampled_from(ROWS), st.integers(1, 5), st.integers(0, 10**6))
def test_tables_are_those_counted_one_by_one(n, m, seed):
    votes, y = drawn(n, m, seed), drawn(n, 1, seed + 1)[:, 0]
    planes, _ = kernel.pack(votes)
    found = kernel.class_tables(planes, kernel.pack_one(y), n)
    assert found.tolist() == [oracles.table(v, y) for v in votes.T]
    pairs = kernel.pair_tables(planes, n)
    assert pairs.tolist() == [[oracles.table(u, v) for v in votes.T] for u in votes.T]
    assert kernel.count(planes).tolist() == [(votes == s).sum(axis=0).tolist() for s in (1, -1)]


@pytest.mark.parametrize("votes", CONSTANT)
@pytest.mark.parametrize("y", CONSTANT)
def test_tables_of_votes_that_are_always_the_same(votes, y):
    planes, _ = kernel.pack(votes)
    found = kernel.class_tables(planes, kernel.pack_one(y[:, 0]), 70)
    assert found.tolist() == [oracles.table(v, y[:, 0]) for v in votes.T]
    assert (kernel.pair_tables(planes, 70)[0, 1] == oracles.table(*votes.T)).all()


def test_every_bit_of_a_word_counts_once():
    words = np.array([[[0, 2**64 - 1, 1, 2**63]], [[2**32, 0x5555555555555555, 0, 3]]], np.uint64)
    assert kernel.count(words).tolist() == [[66], [35]]


def tails(tables: np.ndarray) -> np.ndarray:
    n = np.arange(tables.sum(axis=(1, 2)).max() + 1)
    out = np.full(len(tables), np.nan)
    plogp = n * np.log(np.maximum(n, 1))
    kernel.exact_tail(tables, plogp, gammaln(n + 1.0), out)
    return out


@pytest.mark.parametrize(
    "table",
    [
        [[1, 0], [0, 1]],
        [[0, 1], [1, 0]],
        [[5, 5], [5, 5]],  # the least information there is: every table counts
        [[10, 0], [0, 10]],
        [[0, 10], [10, 0]],
        [[3, 1], [1, 3]],
        [[7, 2], [1, 0]],
        [[8, 1], [0, 1]],  # margins that leave a least count above 0
        [[1, 30], [2, 0]],
        [[40, 10], [10, 40]],
        [[0, 4], [3, 1]],
        [[6, 0], [4, 0]],  # a margin of zero allows one table
        [[0, 0], [0, 6]],
        [[1, 0], [0, 0]],
    ],
)
def test_the_tail_of_a_table_is_that_of_whole_numbers(table):
    assert tails(np.array([table]))[0] == pytest.approx(oracles.exact_tail(table), rel=1e-11)


@quick
@given(st.lists(st.tuples(*[st.integers(0, 12)] * 4).filter(any), min_size=1, max_size=8))
def test_tails_of_any_tables_are_those_of_whole_numbers(cells):
    tables = np.array(cells).reshape(-1, 2, 2)
    expected = [oracles.exact_tail(t) for t in tables.tolist()]
    assert tails(tables) == pytest.approx(expected, rel=1e-11)


def test_the_chance_of_a_table_that_tells_nothing_is_one_exactly():
    sizes = np.arange(1, 60)
    tables = np.broadcast_to(sizes[:, None, None], (59, 2, 2)).copy()
    assert (tails(tables) == 1).all()


def test_tables_mirrored_or_turned_have_the_same_tail():
    table = np.array([[9, 2], [4, 11]])
    turned = np.array([table, table.T, table[::-1], table[:, ::-1], table[::-1, ::-1]])
    assert tails(turned) == pytest.approx(np.full(5, tails(table[None])[0]), rel=1e-12)


def test_a_tail_too_small_for_a_float_is_zero():
    assert tails(np.array([[[900, 0], [0, 900]]]))[0] == 0

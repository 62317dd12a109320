"""Top-k rules and margins against their plain twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rulekit.kernels import RESOLUTION
from rulekit.kernels import selection as kernel
from tests import oracles

# The seed whose SplitMix64 number of row 0, rule 0 has every bit set: the largest that can be.
ALL_BITS = 0xCF9A04AFFA6BADC0
CRITERIA = {
    kernel.DISCREPANCY: lambda a, b, r: np.abs(a - b),
    kernel.LOWEST_DISCREPANCY: lambda a, b, r: 2 - np.abs(a - b),
    kernel.RELEVANCE: lambda a, b, r: r,
    kernel.RELEVANCE_DISCREPANCY: lambda a, b, r: r + np.abs(a - b) / 2,
}
NARROW_AND_WIDE = [1, 31, 32, 33, 1024, 1025, 1100]
quick = settings(max_examples=20, deadline=None, derandomize=True)


def lattice(n: int, m: int, seed: int) -> tuple[np.ndarray, ...]:
    """a, b and relevance in tenths, float64: many ties, which rounding to float32 would break."""
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(-10, 11, (n, m)) / 10 for _ in "ab")
    return a, b, rng.integers(11, size=(n, m)) / 10


def top_k(mode, a, b, relevance, k, **more) -> np.ndarray:
    return kernel.top_k(mode, *(x.astype(np.float32) for x in (a, b, relevance)), k, **more)


@pytest.mark.parametrize("m", NARROW_AND_WIDE)
@pytest.mark.parametrize("mode", CRITERIA)
def test_top_k_is_the_plain_twins_for_any_number_of_rules(mode, m):
    a, b, relevance = lattice(2, m, m)
    k = min(m, 7)
    found = top_k(mode, a, b, relevance, k)
    assert found.dtype == np.int32
    assert (found == oracles.top_k(CRITERIA[mode](a, b, relevance), k)).all()


@quick
@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 10**6), st.data())
def test_every_k_gives_the_plain_twins_ranking(n, m, seed, data):
    a, b, relevance = lattice(n, m, seed)
    k = data.draw(st.integers(1, m))
    for mode, criterion in CRITERIA.items():
        expected = oracles.top_k(criterion(a, b, relevance), k)
        assert (top_k(mode, a, b, relevance, k) == expected).all()


@pytest.mark.parametrize("m", [40, 1025])
@pytest.mark.parametrize("mode", CRITERIA)
def test_all_tied_rules_come_in_the_order_of_their_positions(mode, m):
    for a, b, relevance in ((0, 0, 0), (1, -1, 1), (-1, 1, 1), (0.3, 0.1, 0.7), (-1, -1, 0)):
        arrays = (np.full((2, m), x) for x in (a, b, relevance))
        assert (top_k(mode, *arrays, k=12) == np.arange(12)).all()


@pytest.mark.parametrize("m", NARROW_AND_WIDE)
def test_the_last_rule_is_chosen_where_it_is_the_best(m):
    relevance = np.zeros((1, m))
    relevance[0, -1] = 1.0
    found = top_k(kernel.RELEVANCE, relevance, relevance, relevance, min(m, 2))
    assert found[0].tolist() == [m - 1, 0][: min(m, 2)]


def test_the_least_key_is_a_key_still():
    """Criterion 0 at the last of as many positions as narrow keys hold."""
    zero = np.zeros((1, 1024))
    assert (top_k(kernel.RELEVANCE, zero, zero, zero, 1024) == np.arange(1024)).all()


@pytest.mark.parametrize("m", [64, 1100])
@pytest.mark.parametrize("mode", CRITERIA)
def test_the_ends_of_the_range_and_one_step_from_them_are_told_apart(mode, m):
    """Criteria of 0, one step, the largest less one step and the largest, the last rules."""
    largest = 1.0 if mode == kernel.RELEVANCE else 2.0
    a, b, relevance = np.zeros((1, m)), np.zeros((1, m)), np.full((1, m), 0.5)
    sizes = [0.0, RESOLUTION, largest - RESOLUTION, largest]
    for j, size in zip(range(m - 4, m), sizes, strict=True):
        a[0, j] = min(size, 2 - size) if mode == kernel.RELEVANCE else size / 2
        b[0, j], relevance[0, j] = -a[0, j], size / 2 if mode != kernel.RELEVANCE else size
    expected = oracles.top_k(CRITERIA[mode](a, b, relevance), 64)
    assert (top_k(mode, a, b, relevance, 64) == expected).all()


def test_criteria_half_a_step_apart_are_tied_and_a_step_apart_are_not():
    sizes = np.array([[0.2, 0.2 + 0.3 * RESOLUTION, 0.2 + RESOLUTION, 0.2 - 0.3 * RESOLUTION]])
    zero = np.zeros_like(sizes)
    assert top_k(kernel.RELEVANCE, zero, zero, sizes, 4).tolist() == [[2, 0, 1, 3]]


@quick
@given(st.integers(1, 50), st.integers(0, 10**6))
def test_on_any_floats_no_rule_left_out_is_a_step_better_than_one_chosen(m, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, 3, m)).astype(np.float32)
    relevance, k = rng.random((3, m), dtype=np.float32), (m + 1) // 2
    for mode, criterion in CRITERIA.items():
        values = criterion(*(x.astype(np.float64) for x in (a, b, relevance)))
        chosen = np.take_along_axis(values, kernel.top_k(mode, a, b, relevance, k), axis=1)
        best = -np.sort(-values, axis=1)[:, :k]
        assert np.abs(chosen - best).max() < 2 * RESOLUTION


@pytest.mark.parametrize("m", NARROW_AND_WIDE)
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1, -3])
def test_random_rules_are_those_of_the_hash(m, seed):
    zero = np.zeros((2, m), np.float32)
    found = kernel.top_k(kernel.RANDOM, zero, zero, None, min(m, 9), seed)
    expected = [oracles.random_order(seed, row, m)[: min(m, 9)] for row in range(2)]
    assert found.tolist() == expected


def test_random_numbers_that_differ_in_their_last_bit_are_told_apart():
    """With this seed two of sixteen rules do, and the later one has the larger."""
    zero = np.zeros((1, 16), np.float32)
    found = kernel.top_k(kernel.RANDOM, zero, zero, None, 16, 48923)
    assert found[0].tolist() == oracles.random_order(48923, 0, 16)


@pytest.mark.parametrize("m", [1, 8, 1024, 1025])
def test_the_largest_hash_at_the_first_position_is_chosen_first(m):
    zero = np.zeros((1, m), np.float32)
    assert oracles.random_order(ALL_BITS, 0, m)[0] == 0
    assert kernel.top_k(kernel.RANDOM, zero, zero, None, 1, ALL_BITS).tolist() == [[0]]
    every = kernel.top_k(kernel.RANDOM, zero, zero, None, min(m, 8), ALL_BITS)[0].tolist()
    assert len(set(every)) == min(m, 8)


@pytest.mark.parametrize("m", [8, 1024, 1025])
def test_the_largest_hash_is_chosen_first_wherever_it_stands_and_no_other_is_tied_with_it(m):
    zero = np.zeros((1, m), np.float32)
    for place in (0, 1, m // 2, m - 1):
        seed = (ALL_BITS - place * 0x9E3779B97F4A7C15) % 2**64
        expected = oracles.random_order(seed, 0, m)
        assert expected[0] == place
        assert kernel.top_k(kernel.RANDOM, zero, zero, None, m, seed)[0].tolist() == expected


@pytest.mark.parametrize("m", [1, 5, 1024, 1025])
def test_every_rule_is_chosen_once_where_all_criteria_are_the_largest(m):
    """The first rule then has the largest key that there is."""
    one = np.ones((2, m), np.float32)
    found = kernel.top_k(kernel.DISCREPANCY, one, -one, None, m)
    assert (found == np.arange(m)).all()


@pytest.mark.parametrize("mode", [*CRITERIA, kernel.RANDOM])
def test_rows_on_other_threads_choose_the_same(mode, threaded):
    a, b, relevance = lattice(23, 17, 4)
    one, three, five = (top_k(mode, a, b, relevance, 6, seed=5, threads=t) for t in (1, 3, 5))
    assert (one == three).all()
    assert (one == five).all()


def test_no_pairs_choose_nothing():
    none = np.zeros((0, 4), np.float32)
    assert kernel.top_k(kernel.DISCREPANCY, none, none, None, 2).shape == (0, 2)
    assert kernel.margins(none, none, np.zeros((0, 2), np.int32)).shape == (0,)


@pytest.mark.parametrize("k", [1, 4, 9])
def test_margins_are_the_plain_sums_in_float64(k, threaded):
    a, b, _ = (x.astype(np.float32) for x in lattice(31, 9, 6))
    every = np.tile(np.arange(9, dtype=np.int32), (31, 1))
    indices = np.random.default_rng(6).permuted(every, axis=1)[:, :k]
    found = kernel.margins(a, b, indices)
    assert found.dtype == np.float64
    assert found.tolist() == oracles.margins(a, b, indices)


def test_a_margin_keeps_what_float32_would_lose():
    a, b = np.array([[1.0, 1e-9, -1.0]], np.float32), np.zeros((1, 3), np.float32)
    found = kernel.margins(a, b, np.array([[0, 1, 2]], np.int32))[0]
    assert found == pytest.approx(1e-9, rel=1e-6)

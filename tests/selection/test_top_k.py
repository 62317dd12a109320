"""Choosing by discrepancy: the kernel against its plain twin, ties, threads, planted truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rulekit as rk
from rulekit.kernels import selection as kernel
from tests.oracles import top_k


def scores(n: int, m: int, seed: int, step: float = 0.1) -> rk.Scores:
    """Scores on a decimal lattice, where float rounding would otherwise decide ties."""
    rng = np.random.default_rng(seed)
    cells = 2 * round(1 / step) + 1
    a, b = (rng.integers(cells, size=(n, m)) * step - 1 for _ in "ab")
    return rk.Scores(a, b, rng.integers(11, size=(n, m)) / 10)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 150), st.integers(0, 10**6), st.data())
def test_top_k_equals_the_plain_twin_and_breaks_ties_by_position(n, m, seed, data):
    s, k = scores(n, m, seed), data.draw(st.integers(1, m))
    decimal_a, decimal_b = np.round(s.a.astype(float), 3), np.round(s.b.astype(float), 3)
    delta = np.abs(decimal_a - decimal_b)
    assert (rk.select(s, k).indices == top_k(delta, k)).all()
    criterion = np.round(s.relevance.astype(float), 3) + delta / 2
    assert (rk.select(s, k, "relevance_discrepancy").indices == top_k(criterion, k)).all()


def test_more_than_1024_rules_use_wide_keys_with_the_same_result():
    s = scores(5, 3000, 1)
    delta = np.abs(np.round(s.a.astype(float), 3) - np.round(s.b.astype(float), 3))
    assert (rk.select(s, 50).indices == top_k(delta, 50)).all()


def test_thread_count_changes_nothing():
    s = scores(20_000, 60, 2)
    for mode in (kernel.DISCREPANCY, kernel.RANDOM):
        one, three = (kernel.top_k(mode, s.a, s.b, None, 5, 7, threads=t) for t in (1, 3))
        assert (one == three).all()


def test_random_selection_is_seeded_distinct_and_uniform():
    s = scores(20_000, 10, 3)
    chosen = rk.select(s, 3, "random", seed=5).indices
    assert all(len(set(row)) == 3 for row in chosen[:500].tolist())
    assert (chosen == rk.select(s, 3, "random", seed=5).indices).all()
    assert (chosen != rk.select(s, 3, "random", seed=6).indices).any()
    share = np.bincount(chosen.ravel(), minlength=10) / len(s.a)
    assert np.abs(share - 0.3).max() < 0.02


def test_static_takes_the_rules_that_inform_about_the_preference():
    rng = np.random.default_rng(0)
    y = rng.choice([-1, 1], 2000)
    delta = rng.uniform(-1, 1, (2000, 6))
    delta[:, 4] = y * np.abs(delta[:, 4])
    s = rk.Scores.from_discrepancy(delta)
    chosen = rk.select(s, 1, "static", reference=s, preference=y)
    assert (chosen.indices == 4).all()


def test_planted_truth_gives_the_known_accuracies_of_all_random_and_largest():
    """Regime one of the Gaussian model: μ = 0.2, unit noise, 100 rules, k = 5."""
    rng = np.random.default_rng(0)
    y = rng.choice([-1, 1], 20_000)
    delta = (0.2 * y[:, None] + rng.standard_normal((20_000, 100))) / 12
    s = rk.Scores.from_discrepancy(np.clip(delta, -1, 1))
    for method, expected in (("all", 0.977), ("random", 0.672), ("max_discrepancy", 0.857)):
        found = rk.label(s, rk.select(s, 5, method)).preference
        assert (found == y).mean() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: rk.select(s, 9), "k is 9; allowed: 1 to 4"),
        (lambda s: rk.select(s, 0), "k is 0"),
        (lambda s: rk.select(s, 2, "best"), "unknown method 'best'; allowed: adaptive, all, "),
        (lambda s: rk.select(rk.Scores(s.a, s.b), 2, "relevance_discrepancy"), "needs scores with"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call(scores(3, 4, 0))
    assert message in str(error.value)

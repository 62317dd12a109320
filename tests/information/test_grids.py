"""Estimates on grids and with exact zeros: no information where there is none, and no more than there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import rulekit as rk
from tests.information.drawn import two_gaussians

info = rk.information


def mean_and_error(found) -> tuple[float, float]:
    return float(np.mean(found)), float(np.std(found) / np.sqrt(len(found)))


def coin_and_grid(seed: int, n: int, step: float, zeros: float = 0.0):
    rng = np.random.default_rng(seed)
    x = np.where(rng.random(n) < zeros, 0.0, rng.uniform(-1, 1, n))
    return (np.rint(x / step) * step if step else x), rng.choice([-1, 1], n)


@pytest.mark.parametrize("step", [1.0, 0.1, 0.01, 0.001, 1e-6, 0.0])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9])
def test_a_coin_tells_nothing_of_a_grid(step, zeros):
    """400 draws of 200 pairs, the standard error between .0003 and .003 bits."""
    draws = [coin_and_grid(seed, 200, step, zeros) for seed in range(400)]
    mean, error = mean_and_error([info.mutual_information(x, y, "mixed") for x, y in draws])
    assert mean == pytest.approx(0, abs=4 * error)
    assert error < 0.003


@pytest.mark.parametrize(("n", "step"), [(1000, 0.01), (5000, 0.001)])
def test_a_grid_of_steps_that_hold_a_few_values_each_tells_nothing_of_a_coin(n, step):
    draws = [coin_and_grid(seed, n, step) for seed in range(60)]
    for scale in (1.0, 1 / step):  # the same values, as fractions and as whole numbers
        mean, error = mean_and_error(
            [info.mutual_information(np.rint(x / step) * step * scale, y) for x, y in draws]
        )
        assert mean == pytest.approx(0, abs=4 * error)
        assert error < 0.004


@pytest.mark.parametrize("step", [1.0, 0.1, 0.01, 0.0])
def test_two_independent_grids_tell_nothing_of_each_other(step):
    rng, found = np.random.default_rng(1), []
    for _ in range(300):
        x, y = rng.uniform(-1, 1, (2, 200))
        if step:
            x, y = np.rint(x / step) * step, np.rint(y / step) * step
        found.append(info.mutual_information(x, y, "mixed"))
    mean, error = mean_and_error(found)
    assert mean == pytest.approx(0, abs=4 * error)
    assert error < 0.005


@pytest.mark.parametrize(("n", "wide", "tall"), [(200, 14, 14), (200, 14, 4), (1000, 31, 31)])
def test_whole_numbers_whose_table_would_be_sparse_are_no_table(n, wide, tall):
    """Miller and Madow's estimates of these are .35, .03 and .35 bits."""
    rng = np.random.default_rng(2)
    draws = [(rng.integers(wide, size=n), rng.integers(tall, size=n)) for _ in range(150)]
    mean, error = mean_and_error([info.mutual_information(x, y) for x, y in draws])
    assert mean == pytest.approx(0, abs=4 * error)
    assert error < 0.006
    assert np.mean([info.mutual_information(x, y, "miller_madow") for x, y in draws]) > 0.01
    x, y = draws[0]
    assert info.mutual_information(y, x) == pytest.approx(info.mutual_information(x, y), abs=1e-12)


def on_grid(shift: float, step: float) -> float:
    """I(δ; Y) in bits of N(±shift, 1) rounded to the step, summed over its cells."""
    if not step:
        return two_gaussians(shift) / np.log(2)
    bounds = (np.arange(-12 / step, 12 / step + 1) - 0.5) * step
    plus, minus = (np.diff(norm.cdf(bounds - s)) for s in (shift, -shift))
    both = np.maximum(plus + minus, 1e-300)
    parts = [p * np.log2(np.maximum(2 * p, 1e-300) / both) for p in (plus, minus)]
    return float(np.sum(parts)) / 2


@pytest.mark.parametrize("shift", [0.7, 1.5])
@pytest.mark.parametrize("step", [1.0, 0.5, 0.1, 0.01, 0.0])
@pytest.mark.parametrize("zeros", [0.0, 0.4, 0.9])
def test_what_a_grid_tells_is_found_to_a_hundredth_of_a_bit(shift, step, zeros):
    """400 draws of 200 pairs; zeros come whatever y is, apart from the cell of 0 but for step 1."""
    rng, found = np.random.default_rng(3), []
    for _ in range(400):
        y = rng.choice([-1, 1], 200)
        x = rng.standard_normal(200) + shift * y
        x = np.rint(x / step) * step if step else x
        x = np.where(rng.random(200) < zeros, 0.0, x)
        found.append(info.mutual_information(x, y, "mixed"))
    mean, error = mean_and_error(found)
    # the zeros share the grid's cell of 0, whose two classes are equally likely
    assert mean == pytest.approx((1 - zeros) * on_grid(shift, step), abs=0.01 + 2 * error)


def test_ties_do_not_make_a_known_channel_more_than_it_is():
    """A binary symmetric channel by atoms, .5 apart, and within each an independent grid."""
    truth = 1 + 0.8 * np.log2(0.8) + 0.2 * np.log2(0.2)
    rng, found, held = np.random.default_rng(4), [], []
    for seed in range(100):
        y = rng.choice([-1, 1], 500)
        side = np.where(rng.random(500) < 0.8, y, -y)
        x = 10 * side + rng.integers(40, size=500) / 100
        found.append(info.mutual_information(x, y))
        low, high = info.bootstrap_interval(x, y, seed=seed)
        held.append(low <= truth <= high)
    mean, error = mean_and_error(found)
    assert mean == pytest.approx(truth, abs=4 * error)
    assert np.mean(held) >= 0.88


@settings(max_examples=60, deadline=None)
@given(st.integers(10, 120), st.integers(1, 20), st.integers(1, 4), st.integers(0, 10**6))
def test_no_estimate_is_above_what_the_classes_hold(n, values, classes, seed):
    rng = np.random.default_rng(seed)
    y = np.append(rng.integers(classes, size=n - 2), [0, 0])
    x = 10 * y + rng.integers(values, size=n) / 10
    y = np.where(rng.random(n) < 0.2, 0, y)
    kept = np.bincount(y)[y] > 1
    found = info.mutual_information(x[kept], y[kept], "mixed", "nats")
    # ψ(n) lies below log n - 1/2n by at most 1/12n²
    sizes = np.bincount(y[kept])
    slack = (1 / np.maximum(sizes, 1)).sum() / 12 / kept.sum()
    assert found <= info.entropy(y[kept], "miller_madow", "nats") + slack + 1e-12


@pytest.mark.parametrize("constant", [1, 0.37, "same"])
def test_a_constant_tells_nothing_and_of_a_constant_nothing_is_told(constant):
    x = np.round(np.random.default_rng(5).uniform(-1, 1, 200), 2)
    same = np.full(200, constant)
    assert info.mutual_information(x, same) == pytest.approx(0, abs=1e-12)
    assert info.mutual_information(same, x) == pytest.approx(0, abs=1e-12)
    assert info.mutual_information(same, same) == pytest.approx(0, abs=1e-12)
    assert info.mutual_information(x, np.sign(x)) > 0.9


def test_ksg_refuses_a_grid():
    x, y = np.random.default_rng(6).uniform(-1, 1, (2, 100))
    with pytest.raises(ValueError, match=r"y has \d+ values that occur more than once; ksg has no"):
        info.mutual_information(x, np.round(y, 1), "ksg")

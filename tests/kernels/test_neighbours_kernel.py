"""Walks over sorted values against distances to every point."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma

from rulekit.kernels import neighbours as kernel
from tests import oracles

quick = settings(max_examples=25, deadline=None, derandomize=True)
DENORMAL = np.nextafter(0.0, 1.0)
# Values that are awkward for sorted walks; every case has 8 points or more.
NASTY = {
    "all equal": np.zeros(20),
    "two atoms": np.repeat([-1.0, 1.0], 10),
    "an atom and a tail": np.r_[np.zeros(9), np.linspace(0.1, 1, 9)],
    "both zeros": np.r_[np.full(6, -0.0), np.zeros(6), 1.0, 2.0],
    "equal steps": np.arange(24) / 8,
    "tenths": np.arange(24) / 10,  # steps that are equal but for rounding
    "far apart": np.r_[-1e300, np.linspace(-1, 1, 12), 1e300],
    "differences past the largest float": np.r_[-1.7e308, -1e308, np.zeros(5), 1e308, 1.7e308],
    "denormal": np.arange(16) * DENORMAL,
    "one ulp": 1 + np.arange(16) * np.finfo(float).eps,
    "geometric": 2.0 ** np.arange(-12, 12),
}


def walk(x: np.ndarray, y: np.ndarray, k: int, bounded: bool, table) -> tuple[float, int]:
    starts = np.r_[0, np.cumsum(np.bincount(y))]
    values = np.concatenate([np.sort(x[y == c]) for c in range(len(starts) - 1)])
    return kernel.class_walk(values, starts, np.sort(x), k, bounded, table)


def weights(n: int) -> np.ndarray:
    """Cubes in place of digammas: no two counts weigh alike."""
    return np.arange(n + 1.0) ** 3


def same_walk(x, y, k) -> None:
    table = weights(len(x))
    for bounded in (False, True):
        with np.errstate(over="ignore"):
            found, tied = walk(x, y, k, bounded, table)
            terms = oracles.neighbour_terms(x, y.tolist(), k, bounded, table)
        assert found == pytest.approx(sum(term for term, _ in terms), rel=1e-12, abs=1e-9)
        assert tied == sum(is_tied for _, is_tied in terms)


def labels(n: int, classes: int, seed: int) -> np.ndarray:
    """Class numbers, each class of two points or more, in any order."""
    y = np.arange(n) % classes
    return np.random.default_rng(seed).permutation(y)


@pytest.mark.parametrize("k", [1, 3, 7, 100])
@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("name", NASTY)
def test_the_walk_counts_every_neighbour_of_awkward_values(name, classes, k):
    x = np.random.default_rng(1).permutation(NASTY[name])
    same_walk(x, labels(len(x), classes, 2), k)


@quick
@given(
    st.integers(4, 60),
    st.integers(1, 5),
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_the_walk_counts_every_neighbour_on_any_lattice(n, k, values, scale, seed):
    rng = np.random.default_rng(seed)
    same_walk(rng.integers(values, size=n) / scale, labels(n, 2, seed), k)


@quick
@given(st.integers(4, 60), st.integers(1, 9), st.integers(0, 10**6))
def test_the_walk_counts_every_neighbour_without_ties(n, k, seed):
    rng = np.random.default_rng(seed)
    same_walk(rng.standard_cauchy(n), labels(n, 2, seed), k)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([2.6, 1.6, 0.1000000000000002, 1.8, 0.1, 0.9], [1, 0, 1, 0, 0, 1]),
        (
            [
                0.6000000000000002,
                0.7000000000000001,
                2.6,
                0.40000000000000024,
                1.8,
                1.8000000000000003,
            ],
            [1, 1, 0, 0, 0, 1],
        ),
    ],
    ids=["lower", "upper"],
)
def test_an_end_of_an_interval_that_rounding_moved_too_far_is_moved_back(x, y):
    same_walk(np.array(x), np.array(y), 4)


def test_classes_far_from_one_another_and_unequal_in_size():
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1, 2], [2, 3, 40])
    same_walk(np.array([1e6, -1e6, 0.0])[y] + rng.standard_normal(45), y, 5)


@pytest.mark.parametrize("bounded", [False, True])
def test_the_mean_over_all_permutations_of_the_labels_is_that_of_unequal_points(bounded):
    """With true digammas a walk is right on average: ψ(class size) - ψ(n) a point, exactly."""
    x = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 2.5, 3.0, 3.0])
    table = digamma(np.arange(9.0))
    for y in ([0] * 3 + [1] * 5, [0] * 4 + [1] * 4, [0] * 2 + [1] * 3 + [2] * 3):
        orders = [np.array(order) for order in sorted(set(permutations(y)))]
        expected = sum(table[y.count(c)] - table[8] for c in y)
        for k in (1, 2, 3):
            found = [walk(x, order, k, bounded, table)[0] for order in orders]
            assert np.mean(found) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("before", "equal", "mine", "wanted"),
    [(0, 1, 1, 1), (4, 5, 2, 1), (4, 5, 2, 2), (0, 6, 3, 2), (2, 6, 6, 4), (7, 6, 1, 1)],
)
def test_the_mean_over_orders_is_that_of_every_order_written_out(before, equal, mine, wanted):
    table = digamma(np.arange(20.0))
    places = [sorted(order)[wanted - 1] + 1 for order in combinations(range(equal), mine)]
    found = kernel.mean_digamma(before, equal, mine, wanted, table)
    assert found == pytest.approx(np.mean(table[before + np.array(places)]), abs=1e-14)


@pytest.mark.parametrize(
    ("equal", "mine", "wanted"), [(3000, 1, 1), (3000, 3, 3), (3000, 1500, 3), (3000, 2999, 100)]
)
def test_the_mean_over_orders_of_many_points_keeps_its_digits(equal, mine, wanted):
    table = digamma(np.arange(3100.0))
    for before in (0, 50):
        found = kernel.mean_digamma(before, equal, mine, wanted, table)
        expected = oracles.mean_of_place(before, equal, mine, wanted, table)
        assert found == pytest.approx(expected, abs=1e-12)
    closed = table[wanted] + table[equal + 1] - table[mine + 1]
    found = kernel.mean_digamma(0, equal, mine, wanted, table)
    assert found == pytest.approx(closed, abs=1e-12)


@pytest.mark.parametrize("name", NASTY)
def test_points_within_a_radius_are_those_counted_one_by_one(name):
    values = np.sort(NASTY[name])
    with np.errstate(over="ignore"):
        steps = np.unique(np.abs(values - values[0]))
        for radius in (0.0, DENORMAL, *steps[1:6], 0.25, 3.0, np.inf):
            found = np.full(len(values), -1)
            kernel.within(values, values, np.full(len(values), radius), found)
            assert found.tolist() == [oracles.nearer(values, x, radius) for x in values]


def radii(x, y, k, start=0, stop=None, moved=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x and y in the kernel's order, and the radii of points `start` to `stop`, NaN elsewhere.

    `moved` are x and y moved by a little, from which distances are taken.
    """
    near_x, near_y = (x, y) if moved is None else moved
    order = np.lexsort((near_y, x))
    x, near_x, near_y = x[order], near_x[order], near_y[order]
    first, end = np.searchsorted(x, x, "left"), np.searchsorted(x, x, "right")
    radius, wanted = np.full(len(x), np.nan), np.ones(len(x), bool)
    stop = len(x) if stop is None else stop
    slack = 0.0 if moved is None else 0.5
    kernel.joint_radii(x, near_x, near_y, first, end, wanted, slack, k, start, stop, radius)
    return near_x, near_y, radius


def same_radii(x, y, k) -> None:
    with np.errstate(over="ignore"):
        x, y, found = radii(x, y, k)
        assert found.tolist() == [oracles.joint_radius(x, y, i, k) for i in range(len(x))]


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("name", NASTY)
def test_joint_radii_of_awkward_values_are_those_over_all_distances(name, k):
    x, rng = NASTY[name], np.random.default_rng(4)
    same_radii(x, rng.permutation(x), k)
    same_radii(x, rng.standard_normal(len(x)), k)
    same_radii(rng.standard_normal(len(x)), x, k)


@quick
@given(st.integers(2, 40), st.integers(1, 9), st.integers(0, 10**6), st.data())
def test_joint_radii_of_any_lattice_are_those_over_all_distances(n, values, seed, data):
    x, y = np.random.default_rng(seed).integers(values, size=(2, n)) / 10
    same_radii(x, y, data.draw(st.integers(1, n - 1)))


def test_joint_radii_of_a_slice_are_those_of_the_whole_and_touch_no_other():
    x, y = np.random.default_rng(5).integers(6, size=(2, 30)) / 4
    whole = radii(x, y, 3)[2]
    part = radii(x, y, 3, 7, 19)[2]
    assert (part[7:19] == whole[7:19]).all()
    assert np.isnan(np.r_[part[:7], part[19:]]).all()


@pytest.mark.parametrize("seed", range(20))
def test_joint_radii_of_moved_values_are_those_over_all_moved_distances(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(6, size=(2, 40)) * 1.0
    moved = x + rng.uniform(-0.25, 0.25, 40), y + rng.uniform(-0.25, 0.25, 40)
    near_x, near_y, found = radii(x, y, 3, moved=moved)
    assert found.tolist() == [oracles.joint_radius(near_x, near_y, i, 3) for i in range(40)]


def test_joint_radii_are_looked_for_where_they_are_wanted_only():
    x = np.arange(9.0)
    first, radius = np.arange(9), np.full(9, np.nan)
    wanted = np.arange(9) % 2 == 0
    kernel.joint_radii(x, x, x, first, first + 1, wanted, 0.0, 1, 0, 9, radius)
    assert (radius[wanted] == 1).all()
    assert np.isnan(radius[~wanted]).all()

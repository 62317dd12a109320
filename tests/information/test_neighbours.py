"""Estimates from neighbours: closed forms, scikit-learn, the authors' algorithms, plain twins, weights."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma
from sklearn.feature_selection._mutual_info import _compute_mi_cc, _compute_mi_cd

import rulekit as rk
from rulekit.information import counts, neighbours
from tests import oracles
from tests.information.drawn import gaussian_classes, planted, two_gaussians

info = rk.information


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.95])
def test_ksg_finds_the_information_of_correlated_gaussians(rho):
    rng = np.random.default_rng(1)
    x, z = rng.standard_normal((2, 10_000))
    y = rho * x + np.sqrt(1 - rho**2) * z
    truth = -np.log(1 - rho**2) / 2
    assert info.mutual_information(x, y, "ksg", "nats") == pytest.approx(truth, abs=0.03)
    assert info.mutual_information(x, y, "mixed", "nats") == pytest.approx(
        info.mutual_information(x, y, "ksg", "nats"), abs=1e-12
    )


@pytest.mark.parametrize("zeros", [0.0, 0.4, 0.9])
def test_mixed_finds_the_information_of_a_gaussian_with_an_atom(zeros):
    truth = (1 - zeros) * two_gaussians(0.7)
    found = [
        info.mutual_information(*gaussian_classes(10_000, 0.7, s, zeros), unit="nats")
        for s in range(8)
    ]
    error = np.std(found) / np.sqrt(len(found))
    assert np.mean(found) == pytest.approx(truth, abs=4 * error + 0.002)


def test_mixed_finds_the_closed_form_of_overlapping_uniforms():
    """Gao et al.: X uniform on 0 … m - 1, Y uniform on [X, X + 2]: log m - (m - 1) log 2 / m."""
    rng = np.random.default_rng(2)
    x = rng.integers(5, size=20_000)
    y = x + 2 * rng.random(len(x))
    truth = np.log(5) - 4 * np.log(2) / 5
    assert info.mutual_information(x, y, unit="nats") == pytest.approx(truth, abs=0.02)


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("n", [60, 300, 1500])
def test_ross_and_ksg_equal_scikit_learn_without_ties(n, k):
    """Classes of over 2k points: in smaller ones scikit-learn's distances lose digits to a dot
    product and it counts the k-th neighbour among the nearer ones."""
    rng = np.random.default_rng(n + k)
    y = rng.integers(3, size=n)
    x = rng.standard_normal(n) + 2 * y
    found = info.mutual_information(x, y, "ross", "nats", k=k)
    assert max(0, found) == pytest.approx(_compute_mi_cd(x, y, k), abs=1e-9)
    z = x + rng.standard_normal(n) / 4
    found = info.mutual_information(x, z, "ksg", "nats", k=k)
    assert max(0, found) == pytest.approx(_compute_mi_cc(x, z, k), abs=1e-9)
    assert info.mutual_information(x, z, "mixed", "nats", k=k) == found


@settings(max_examples=60, deadline=None)
@given(st.integers(5, 70), st.integers(1, 5), st.integers(1, 12), st.integers(0, 10**6))
def test_mixed_and_ross_equal_their_plain_twins_on_any_lattice(n, k, values, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(values, size=n) / 7 + (rng.random(n) < 0.3) * rng.random(n)
    y = np.append(rng.integers(3, size=n - 2), [0, 0])
    found = neighbours.class_information(x[:, None], y, "mixed", "nats", k)[0]
    assert found == pytest.approx(oracles.class_information(x, y, k, bounded=True), abs=1e-10)
    apart = x + np.arange(n) * 20  # no atoms, but equal distances
    found = neighbours.class_information(apart[:, None], y, "ross", "nats", k)[0]
    assert found == pytest.approx(oracles.class_information(apart, y, k, bounded=False), abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 90), st.integers(1, 9), st.integers(1, 5), st.integers(0, 10**6))
def test_mixed_of_two_quantities_equals_its_plain_twin_on_any_lattice(n, values, k, seed):
    rng = np.random.default_rng(seed)
    x, y = (rng.integers(values, size=n) + (rng.random(n) < 0.5) * rng.random(n) for _ in "xy")
    found = neighbours.pair_information(x, y, "mixed", "nats", k)
    x, y = neighbours._in_order(x, y)
    moved = neighbours._untied(x, 1), neighbours._untied(y, 2)
    assert found == pytest.approx(oracles.pair_information(x, y, *moved, min(k, n - 1)), abs=1e-10)


def test_without_ties_the_estimates_are_the_algorithm_of_gao_and_others():
    x, y = gaussian_classes(800, 0.5, 3)
    offset = digamma(800) - np.log(800)  # ψ(N) here, log N there
    expected = oracles.gao_information(x[:, None], 1e3 * y[:, None], 3) + offset
    assert info.mutual_information(x, y, "ross", "nats") == pytest.approx(expected, abs=1e-9)
    z = x + np.random.default_rng(3).standard_normal(800)
    expected = oracles.gao_information(x[:, None], z[:, None], 3) + offset
    assert info.mutual_information(x, z, "mixed", "nats") == pytest.approx(expected, abs=1e-9)


def test_ties_are_moved_by_less_than_a_thousandth_of_the_distance_to_the_next_value():
    lattice = np.repeat(np.arange(5) / 10, 3)
    atom = np.r_[np.zeros(9), 1.0, 3.0, 8.0]
    steps = np.arange(12.0)
    for values in (lattice, atom, steps):
        moved = neighbours._untied(values, 1)
        distinct = np.unique(values)
        nearest = np.array([np.abs(distinct - v)[distinct != v].min() for v in values])
        assert (np.abs(moved - values) <= nearest / 1000).all()
        assert len(np.unique(moved)) == len(values)
    free = np.random.default_rng(2).standard_normal(50)
    assert neighbours._untied(free, 1) is free
    assert len(np.unique(neighbours._untied(np.ones(4), 1))) == 4


def test_an_atom_contributes_the_digammas_of_its_counts():
    y = np.repeat([0, 1], [30, 50])
    x = np.repeat([0.5, -0.5, 0.5, -0.5], [10, 20, 35, 15])
    terms = [(10, 45, 30), (20, 35, 30), (35, 45, 50), (15, 35, 50)]
    expected = digamma(80) + sum(
        c / 80 * (digamma(c) - digamma(all_) - digamma(size)) for c, all_, size in terms
    )
    assert info.mutual_information(x, y, unit="nats") == pytest.approx(expected, abs=1e-12)
    plain = info.mutual_information(x, y, "miller_madow", "nats")
    assert expected == pytest.approx(plain, abs=1e-3)


def test_conditional_information_of_a_discrepancy_is_the_mean_over_strata():
    x, y = gaussian_classes(20_000, 0.7, 7)
    stratum = np.random.default_rng(70).integers(3, size=len(x))
    found = info.conditional_information(x, y, stratum, unit="nats")
    assert found == pytest.approx(two_gaussians(0.7), abs=0.03)


def test_estimates_do_not_change_with_order_names_of_classes_or_monotone_scale():
    x, y = gaussian_classes(500, 0.4, 9, zeros=0.2)
    order = np.random.default_rng(9).permutation(500)
    found = info.mutual_information(x, y)
    assert info.mutual_information(x[order], y[order]) == pytest.approx(found, abs=1e-12)
    named = info.mutual_information(x, np.where(y > 0, "A", "B"))
    assert named == pytest.approx(found, abs=1e-12)
    assert info.mutual_information(4 * x, -y) == pytest.approx(found, abs=1e-12)
    assert info.mutual_information(y, x) == found
    z = np.round(x + np.random.default_rng(9).standard_normal(500), 1)
    for u in (x, np.round(x, 1)):
        found = info.mutual_information(u, z)
        assert info.mutual_information(u[order], z[order]) == found
        assert info.mutual_information(z, u) == found
        assert info.mutual_information(4 * u, 4 * z) == pytest.approx(found, abs=1e-12)
    bits, nats = (info.mutual_information(x, y, unit=u) for u in ("bits", "nats"))
    assert bits * np.log(2) == pytest.approx(nats)
    votes, y = planted(500, 3)
    flipped = info.rule_mutual_information(-votes, y)
    assert flipped == pytest.approx(info.rule_mutual_information(votes, y), abs=1e-15)


def test_two_quantities_of_the_same_values_are_told_apart_by_how_they_are_paired():
    x = np.random.default_rng(11).permutation(np.repeat(np.arange(30), 10)) / 10
    y = np.random.default_rng(12).permutation(x)
    found = info.mutual_information(x, y)
    assert info.mutual_information(y, x) == found
    assert info.mutual_information(x[::-1], y[::-1]) == found
    assert info.mutual_information(x, x) == pytest.approx(np.log2(30), abs=0.1)


def test_nothing_is_clipped():
    rng = np.random.default_rng(10)
    found = [
        info.mutual_information(rng.standard_normal(60), rng.integers(2, size=60), unit="nats")
        for _ in range(300)
    ]
    assert min(found) < 0
    assert np.mean(found) == pytest.approx(0, abs=0.02)


def test_weighted_neighbours_estimate_the_weighted_law():
    """Classes drawn evenly and weighted 4 to 1 tell what classes of priors .8 and .2 tell; points
    drawn evenly and weighted by a Gaussian density what correlated Gaussians tell."""
    classes, pairs = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x, y = gaussian_classes(400, 0.8, seed)
        weights = np.where(y > 0, 4.0, 1.0)
        classes.append(info.mutual_information(x, y, weights=weights))
        u, v = rng.uniform(-4, 4, (2, 600))
        density = np.exp(-(u * u - 2 * 0.6 * u * v + v * v) / (2 * (1 - 0.6**2)))
        pairs.append(info.mutual_information(u, v, "ksg", weights=density))
    truths = rk.theory.gaussian_information([0.8], [[1.0]], prior=0.8), -np.log2(1 - 0.6**2) / 2
    for found, truth in zip((classes, pairs), truths, strict=True):
        error = np.std(found) / np.sqrt(len(found))
        assert error < 0.015
        assert np.mean(found) == pytest.approx(truth, abs=4 * error)


@pytest.mark.parametrize(
    "estimator", ["plugin", "miller_madow", "shrinkage", "mixed", "ross", "ksg"]
)
def test_equal_weights_change_nothing_and_rows_of_weight_zero_do_not_count(estimator):
    x, y = gaussian_classes(300, 0.5, 21)
    given = np.arange(300) % 2
    if estimator in counts.DISCRETE:
        x = np.sign(x)
    y = x + y if estimator == "ksg" else y
    equal, half = np.full(300, 0.3), np.repeat([0.2, 0.0], 150)
    mutual = partial(info.mutual_information, estimator=estimator)
    conditional = partial(info.conditional_information, estimator=estimator)
    assert mutual(x, y, weights=equal) == pytest.approx(mutual(x, y), abs=1e-12)
    found = conditional(x, y, given, weights=equal)
    assert found == pytest.approx(conditional(x, y, given), abs=1e-12)
    assert mutual(x, y, weights=half) == pytest.approx(mutual(x[:150], y[:150]), abs=1e-12)


def test_a_quantity_of_whole_numbers_is_no_category():
    coin = [np.random.default_rng(s).integers(2, size=400) for s in range(60)]
    found = [info.mutual_information(np.arange(400), c) for c in coin]
    assert np.mean(found) == pytest.approx(0, abs=4 * 0.035 / np.sqrt(60))
    rng = np.random.default_rng(22)
    for wide, other in ((60, 2), (60, 5), (25, 25), (300, 60)):
        found = [
            info.mutual_information(rng.integers(wide, size=400), rng.integers(other, size=400))
            for _ in range(40)
        ]
        assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(40) + 0.005)
    same = info.mutual_information(np.arange(400), np.arange(400)[::-1])
    assert same > 5
    assert np.isfinite(same)


def test_ksg_finds_nothing_where_there_is_nothing_on_average_only():
    rng = np.random.default_rng(5)
    found = [info.mutual_information(*rng.standard_normal((2, 100)), "ksg") for _ in range(400)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 20
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.09, abs=0.01)

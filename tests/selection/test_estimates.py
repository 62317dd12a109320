"""Estimates: planted means, invariances, labels that turn a rule set."""

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.special import expit
from scipy.stats import norm
from sklearn.covariance import ledoit_wolf

import rulekit as rk
from rulekit.selection import estimators
from rulekit.selection.label_free import mixture_kurtosis, mixture_starts
from rulekit.selection.logistic import penalised_logistics
from rulekit.selection.rule_model import shrunk_second_moment
from rulekit.theory.simulation import REGIMES, simulate
from tests import oracles
from tests.selection.drawn import planted, random_model, random_scores


@pytest.mark.parametrize("method", [m for m in estimators() if m not in ("dawid_skene", "mixture")])
def test_independent_rules_get_their_planted_means(method):
    s = simulate("sparse", 8000, 30, seed=1)
    e = rk.estimate(
        s.scores, s.preference if method in ("bradley_terry", "moments") else None, method
    )
    error = np.abs(e.mu - s.mu) / np.sqrt(np.diag(s.cov))
    assert error.max() < 0.12
    assert np.diag(e.cov) == pytest.approx(np.diag(s.cov), rel=0.15)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_mixture_finds_every_regime_without_a_label(regime):
    s, unseen = simulate(regime, 5000, seed=2), simulate(regime, 5000, seed=3)
    e = rk.estimate(s.scores)
    assert (e.source, e.n_labelled) == ("mixture", 0)
    best = norm.cdf(np.sqrt(s.mu @ np.linalg.solve(s.cov, s.mu)))
    margin = e.transform(unseen.scores.discrepancy) @ e.weights()
    assert (np.sign(margin) == unseen.preference).mean() > best - 0.02


def test_shared_noise_misleads_the_principal_component_and_not_the_mixture():
    s = simulate("shared_noise", 5000, seed=4)
    hit = {}
    for method in ("principal", "mixture"):
        e = rk.estimate(s.scores, method=method)
        margin = e.transform(s.scores.discrepancy) @ e.weights()
        hit[method] = (np.sign(margin) == s.preference).mean()
    assert hit["principal"] < 0.7
    assert hit["mixture"] > 0.95


def test_labels_turn_a_rule_set_that_is_wrong_in_sum():
    s, y = planted(2000, np.full(10, 0.25), 14)
    known = np.where(np.arange(2000) < 60, y, 0)
    for method in ("bradley_terry", "mixture", "moments", "dawid_skene"):
        e = rk.estimate(s, known, method)
        assert (e.mu < 0).all()
        assert e.n_labelled == 60
    assert (rk.estimate(s).mu > 0).all()  # without a label nothing can tell


def test_the_exchange_of_responses_changes_no_estimate():
    s = simulate("unequal_noise", 600, 20, seed=5)
    known = np.where(np.arange(600) < 80, s.preference, 0)
    flip = np.random.default_rng(15).choice([-1, 1], 600)
    turned = rk.Scores.from_discrepancy(s.scores.discrepancy * flip[:, None])
    for method in estimators():
        one, two = rk.estimate(s.scores, known, method), rk.estimate(turned, known * flip, method)
        assert one.mu == pytest.approx(two.mu, abs=1e-5)


def test_few_labels_do_not_spoil_what_agreement_tells():
    unseen = simulate("sparse", 4000, seed=7)
    s = simulate("sparse", 3000, seed=6)
    hits = []
    for n in (0, 5, 30):
        e = rk.estimate(s.scores, np.where(np.arange(3000) < n, s.preference, 0))
        margin = e.transform(unseen.scores.discrepancy) @ e.weights()
        hits.append((np.sign(margin) == unseen.preference).mean())
    assert min(hits) > 0.97


def test_a_rule_that_never_votes_is_estimated_without_weight():
    s, y = planted(300, np.array([0.8, 0.7, 0.75, 0.6]), 16)
    delta = s.discrepancy
    delta[:, 2] = 0
    for method in estimators():
        e = rk.estimate(rk.Scores.from_discrepancy(delta), y, method)
        assert np.isfinite(e.weights()).all()
        assert abs(e.weights()[2]) < 1e-6


@pytest.mark.parametrize("method", estimators())
def test_discrepancies_within_rounding_of_zero_are_no_votes_to_estimate_from(method):
    s, y = planted(300, np.array([0.9, 0.8, 0.75, 0.7]), 24)
    whisper = rk.Scores.from_discrepancy(4e-7 * s.discrepancy)
    with pytest.raises(ValueError, match="no rule has a discrepancy"):
        rk.estimate(whisper, y, method)
    heard = rk.estimate(rk.Scores.from_discrepancy(6e-7 * s.discrepancy), y, method)
    assert (heard.mu > 0).all()


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_what_is_estimated_from_transforms_a_discrepancy_within_rounding_of_zero_to_zero(power):
    e = rk.Estimates(np.ones(2), np.eye(2), 0, "given", power)
    found = e.transform([[4e-7, -4e-7], [6e-7, -6e-7], [0.25, -0.25]])
    size = np.array([0, 6e-7, 0.25]) ** power
    assert found == pytest.approx(np.stack([size, -size], 1), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s, e: rk.estimate(s.rows([0])), "reference has 1 pairs; allowed: 2 or more"),
        (lambda s, e: rk.estimate(s, power=0.0), "power is 0.0"),
        (lambda s, e: rk.estimate(s, method="best"), "unknown method 'best'; allowed: auto"),
        (lambda s, e: rk.estimate(s, method="moments"), "needs pairs with a known preference"),
        (lambda s, e: rk.estimate(s, [1, 2, 0]), "preference holds other values"),
        (lambda s, e: rk.estimate(s, [1, -1]), "preference has shape (2,); allowed: (3,)"),
        (lambda s, e: rk.estimate(rk.Scores(s.a, s.a)), "no rule has a discrepancy"),
        (lambda s, e: rk.Estimates(e.mu, -e.cov, 0, "x"), "cov is not positive definite"),
        (lambda s, e: rk.Estimates(e.mu * np.nan, e.cov, 0, "x"), "finite numbers"),
        (lambda s, e: rk.Estimates(e.mu[:2], e.cov, 0, "x"), "mu and cov have shapes (2,), (4, 4)"),
        (lambda s, e: rk.Estimates(e.mu, e.cov, 0, "x", 2.0), "power is 2.0"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=r".*") as error:
        call(random_scores(3, 4, 0), random_model(4, 1))
    assert message in str(error.value)


def _standard(s: rk.Scores, power: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """x in units of its root mean square, and that root, a silent rule in the largest unit."""
    delta = s.discrepancy.astype(float)
    x = np.sign(delta) * np.abs(delta) ** power
    rms = np.sqrt((x**2).mean(axis=0))
    rms[rms == 0] = rms.max()
    return x / rms, rms


def _second(e: rk.Estimates, rms: np.ndarray) -> np.ndarray:
    """The second moment that the estimates rest on, in units of the root mean square."""
    return (e.cov + np.outer(e.mu, e.mu)) / np.outer(rms, rms)


def _half_known(seed: int, n: int = 240, n_known: int = 40):
    s = simulate("unequal_noise", n, 20, seed=seed)
    few = s.scores.columns([0, 1, 2, 12, 13])
    return few, np.where(np.arange(n) < n_known, s.preference, 0)


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("method", [m for m in estimators() if m != "auto"])
def test_mean_and_covariance_add_up_to_the_second_moment_that_scikit_learn_shrinks(method, power):
    s, y = _half_known(31, n=120)
    delta = s.discrepancy
    delta[:, 3] = 0
    s = rk.Scores.from_discrepancy(delta)
    e = rk.estimate(s, y, method, power=power)
    z, rms = _standard(s, power)
    assert _second(e, rms) == pytest.approx(ledoit_wolf(z, assume_centered=True)[0], abs=1e-9)
    assert (e.source, e.power) == (method, power)


@pytest.mark.parametrize("method", [m for m in estimators() if m != "auto"])
def test_a_power_is_the_power_of_the_discrepancies_that_go_in(method):
    s, y = _half_known(32, n=120)
    x = rk.Estimates(np.ones(5), np.eye(5), 0, "unit", 0.5).transform(s.discrepancy)
    rooted = rk.Scores.from_discrepancy(x)
    one, two = rk.estimate(s, y, method, power=0.5), rk.estimate(rooted, y, method, power=1.0)
    assert one.mu == pytest.approx(two.mu, abs=1e-5)
    assert one.cov == pytest.approx(two.cov, abs=1e-5)


@pytest.mark.parametrize("method", estimators())
def test_order_and_unit_of_the_rules_change_no_estimate(method):
    s, y = _half_known(33, n=120)
    e = rk.estimate(s, y, method, power=1.0)
    order, unit = np.array([3, 0, 4, 1, 2]), np.array([1.0, 0.5, 0.25, 1.0, 0.5])
    other = rk.Scores.from_discrepancy((s.discrepancy * unit)[:, order])
    found = rk.estimate(other, y, method, power=1.0)
    assert found.mu == pytest.approx((e.mu * unit)[order], abs=1e-6)
    expected = (e.cov * np.outer(unit, unit))[np.ix_(order, order)]
    assert found.cov == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", ["principal", "triplet", "dawid_skene"])
def test_a_rule_turned_round_gets_the_opposite_mean(method):
    s, _ = planted(900, np.array([0.85, 0.8, 0.75, 0.7, 0.7]), 34)
    turn = np.array([1, -1, 1, 1, 1])
    one, two = (
        rk.estimate(rk.Scores.from_discrepancy(s.discrepancy * t), method=method).mu
        for t in (np.ones(5), turn)
    )
    assert one == pytest.approx(two * turn, abs=1e-6)
    assert (np.abs(one) > 0.3).all()


def test_the_principal_mean_is_the_first_component_beyond_the_others():
    for seed in range(5):
        s, _ = _half_known(seed)
        e = rk.estimate(s, method="principal")
        _, rms = _standard(s)
        second, mu = _second(e, rms), e.mu / rms
        values = np.linalg.eigvalsh(second)
        assert second @ mu == pytest.approx(values[-1] * mu, abs=1e-9)
        assert mu @ mu == pytest.approx(values[-1] - values[:-1].mean())
        assert mu.sum() > 0


def test_two_rules_have_the_root_of_their_correlation_for_a_principal_mean_and_one_the_root_of_half():
    s, _ = planted(500, np.array([0.9, 0.8]), 35)
    e = rk.estimate(s, method="principal")
    rho = _second(e, np.ones(2))[0, 1]
    assert 0.3 < rho < 0.7
    assert e.mu == pytest.approx([np.sqrt(rho)] * 2)
    alone = rk.estimate(s.columns([0]), method="principal")
    assert alone.mu == pytest.approx([np.sqrt(0.5)])
    assert alone.cov == pytest.approx(np.array([[0.5]]))


def test_a_mean_that_the_second_moment_cannot_hold_is_shortened():
    sizes = np.tile([[0.5], [-0.5], [0.51], [-0.51]], (12, 1))
    s = rk.Scores.from_discrepancy(np.repeat(sizes, 4, axis=1))
    for method in ("triplet", "dawid_skene", "mixture"):
        e = rk.estimate(s, method=method)
        reach = e.mu @ np.linalg.solve(e.cov + np.outer(e.mu, e.mu), e.mu)
        assert reach == pytest.approx(0.999)
        assert e.mu == pytest.approx([e.mu[0]] * 4)


def test_triplets_equal_the_plain_twin_with_rules_of_noise_among_them():
    for seed in range(8):
        s, _ = planted(300, np.array([0.95, 0.8, 0.7, 0.6, 0.5, 0.3]), seed)
        e = rk.estimate(s, method="triplet")
        sizes = oracles.triplet_sizes(_second(e, np.ones(6)), 300)
        assert np.abs(e.mu) == pytest.approx(sizes, abs=1e-9)
        assert e.mu[5] < 0 < min(e.mu[:3])


def test_three_rules_are_enough_for_triplets_and_two_are_not():
    s, _ = planted(2000, np.array([0.9, 0.8, 0.7]), 36)
    assert rk.estimate(s, method="triplet").mu == pytest.approx([0.8, 0.6, 0.4], abs=0.05)
    with pytest.raises(ValueError, match="3 rules or more; there are 2"):
        rk.estimate(s.columns([0, 1]), method="triplet")


@pytest.mark.parametrize("method", ["mixture", "dawid_skene"])
def test_where_every_label_is_known_the_mean_is_the_plain_one(method):
    s = simulate("unequal_noise", 200, 20, seed=37)
    e = rk.estimate(s.scores, s.preference, method)
    plain = (s.preference[:, None] * s.scores.discrepancy.astype(float)).mean(axis=0)
    assert e.mu == pytest.approx(plain, abs=1e-9)
    assert e.n_labelled == 200


def test_the_mixture_is_the_fixed_point_of_its_own_posterior():
    s, y = _half_known(38)
    for known in (np.zeros(240), y):
        e = rk.estimate(s, known, "mixture")
        x = e.transform(s.discrepancy)
        belief = np.where(known != 0, known, np.tanh(x @ e.weights() / 2))
        assert (x * belief[:, None]).mean(axis=0) == pytest.approx(e.mu, abs=1e-4)


def test_the_starts_of_the_mixture_are_what_equal_means_imply():
    second = random_model(5, 39).cov
    independent, correlated = mixture_starts(second)
    assert independent.tolist() == [0.4] * 5
    assert second @ correlated == pytest.approx([0.5] * 5)


def test_humps_are_judged_by_the_kurtosis_of_the_half_that_was_not_fitted():
    z = np.random.default_rng(40).laplace(size=(41, 1))
    halves = [(h**4).mean() / (h**2).mean() ** 2 - 3 for h in (z[::2], z[1::2])]
    found = mixture_kurtosis(z)
    assert found == pytest.approx([np.mean(halves)] * 2)
    signs = np.random.default_rng(40).choice([-1.0, 1.0], (8, 1))
    assert mixture_kurtosis(signs) == pytest.approx([-2, -2])
    assert mixture_kurtosis(signs[:4]) == pytest.approx([-2, -2])
    assert mixture_kurtosis(signs[:3]).tolist() == [0, 0]  # too few to tell


def test_humps_that_many_rules_of_noise_show_by_chance_are_not_believed():
    rng = np.random.default_rng(41)
    size = np.exp(rng.standard_normal((160, 1)) / 2)  # some pairs say more under every rule
    noise = np.clip(size * rng.standard_normal((160, 30)) / 8, -1, 1)
    assert rk.estimate(rk.Scores.from_discrepancy(noise)).source == "principal"
    y = rng.choice([-1, 1], 160)
    told = noise + 0.4 * y[:, None] * (np.arange(30) < 6)
    told = rk.Scores.from_discrepancy(np.clip(told, -1, 1))
    assert rk.estimate(told).source == "mixture"
    assert rk.estimate(told, y).source == "bradley_terry"


def test_moments_equal_the_plain_twin_and_come_to_the_mean_with_labels():
    for seed, n_known in ((42, 8), (43, 40), (44, 240)):
        s, y = _half_known(seed, n_known=n_known)
        e = rk.estimate(s, y, "moments")
        z, rms = _standard(s)
        prior = rk.estimate(s).mu / rms
        right = z[y != 0] * y[y != 0, None]
        second = _second(e, rms)
        assert e.mu / rms == pytest.approx(
            oracles.shrunk_means(right, prior, second, along=True), abs=1e-8
        )
    s, y = planted(300, np.array([0.99, 0.9, 0.6, 0.2]), 45)
    e = rk.estimate(s, y, "moments")
    plain = (s.discrepancy * y[:, None]).mean(axis=0)
    assert e.mu == pytest.approx(plain, abs=0.01)


def test_labels_that_cannot_tell_leave_the_side_to_the_sum_of_the_rules():
    s, y = planted(400, np.full(5, 0.25), 46)
    torn = np.zeros(400)
    first, second = np.flatnonzero(s.discrepancy.sum(axis=1) > 0)[:2]
    torn[first], torn[second] = 1, -1
    for method in ("principal", "triplet"):
        assert (rk.estimate(s, torn, method).mu > 0).all()
        assert (rk.estimate(s, y, method).mu < 0).all()


def test_the_penalised_logistic_equals_scipy_and_its_slope_is_zero_on_separable_labels():
    rng = np.random.default_rng(47)
    for variance, size in ((0.01, 1.0), (1.0, 1.0), (10.0, 1.0), (10.0, 6.0)):
        right = size * rng.normal([0.5, 0.0, -0.3], 1.0, (40, 3))
        centre = rng.standard_normal(3)
        (w,), (evidence,) = penalised_logistics(right, centre[None], np.array([variance]))
        plain, plain_evidence = oracles.penalised_logistic(right, centre, variance)
        assert w == pytest.approx(plain, abs=1e-4)
        assert evidence == pytest.approx(plain_evidence, abs=1e-4)
    separable = 8 * np.abs(rng.standard_normal((30, 2)))
    centres = np.array([[-20.0, -20.0], [40.0, 40.0]])
    found, _ = penalised_logistics(separable, centres, np.full(2, 10.0))
    for w, centre in zip(found, centres, strict=True):
        slope = separable.T @ expit(-separable @ w) - (w - centre) / 10.0
        assert slope == pytest.approx([0, 0], abs=1e-3)


def test_many_fits_at_once_are_those_of_each_alone_whatever_their_order():
    rng = np.random.default_rng(60)
    right = rng.normal(0.2, 1.0, (300, 6))
    centres, variances = rng.standard_normal((12, 6)), 10 ** rng.uniform(-3, 1, 12)
    every, evidence = penalised_logistics(right, centres, variances)
    for k in range(12):
        (w,), (own,) = penalised_logistics(right, centres[k : k + 1], variances[k : k + 1])
        assert every[k] == pytest.approx(w, abs=1e-5)
        assert evidence[k] == pytest.approx(own, abs=1e-5)


def test_the_curvature_of_some_labels_stands_for_that_of_very_many():
    rng = np.random.default_rng(61)
    right = rng.normal(0.1, 1.0, (20_000, 5))
    centres, variances = np.zeros((4, 5)), np.array([0.001, 0.01, 0.1, 1.0])
    weights, evidence = penalised_logistics(right, centres, variances)
    for w, found, variance in zip(weights, evidence, variances, strict=True):
        p = expit(right @ w)
        curvature = (right * (p * (1 - p))[:, None]).T @ right + np.eye(5) / variance
        exact = -np.logaddexp(0, -right @ w).sum() - w @ w / (2 * variance)
        exact -= np.linalg.slogdet(curvature * variance)[1] / 2
        assert found == pytest.approx(exact, abs=0.1)


def test_the_evidence_is_near_the_integral_over_the_weight():
    rng = np.random.default_rng(48)
    for variance, centre in ((0.1, 0.0), (1.0, 0.5), (5.0, -1.0)):
        right = rng.standard_normal((60, 1)) + 0.4
        _, (evidence,) = penalised_logistics(right, np.array([[centre]]), np.array([variance]))
        w = np.linspace(centre - 15, centre + 15, 20_001)
        log = -np.logaddexp(0, -right * w).sum(axis=0) + norm.logpdf(w, centre, variance**0.5)
        exact = log.max() + np.log(trapezoid(np.exp(log - log.max()), w))
        assert evidence == pytest.approx(exact, abs=0.03)


def test_bradley_terry_averages_the_fits_by_their_evidence():
    s, y = _half_known(49, n_known=25)
    s = s.columns([0, 1, 3])
    e = rk.estimate(s, y, "bradley_terry", power=1.0)
    z, rms = _standard(s)
    second, prior = _second(e, rms), rk.estimate(s).weights() * rms
    prior = prior / np.sqrt(prior @ second @ prior)
    right = z[y != 0] * y[y != 0, None]
    fits = [
        oracles.penalised_logistic(right, c * prior, 10.0**tenth / 3)
        for c in (-1, 0, 0.25, 0.5, 1, 2, 4)
        for tenth in np.arange(-3, 1.1, 0.5)
    ]
    chance = np.repeat([5 / 20, 1, 1, 1, 1, 1, 1], 9)  # of the five above 0 against the one below
    share = chance * np.exp([evidence for _, evidence in fits])
    expected = sum(h * w for h, (w, _) in zip(share, fits, strict=True)) / share.sum()
    assert e.weights() * rms == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_labels_choose_the_power_that_the_pairs_were_drawn_with(power):
    rng = np.random.default_rng(50)
    y = rng.choice([-1, 1], 1500)
    x = (0.8 * y[:, None] + rng.standard_normal((1500, 4))) / 4
    s = rk.Scores.from_discrepancy(np.clip(np.sign(x) * np.abs(x) ** (1 / power), -1, 1))
    assert rk.estimate(s, y).power == power
    assert rk.estimate(s, y, power=0.7).power == 0.7
    assert rk.estimate(s).power == 1


def test_weights_of_some_rules_are_those_of_a_model_of_these_alone():
    e = random_model(5, 53)
    alone = rk.Estimates(e.mu[[3, 1]], e.cov[np.ix_([3, 1], [3, 1])], 0, "alone")
    assert e.weights([3, 1]) == pytest.approx(alone.weights())
    assert alone.cov @ alone.weights() == pytest.approx(2 * alone.mu)
    assert rk.Estimates([1, 2], [[2, 0], [0, 4]], 0, "whole").weights().tolist() == [1, 1]


@pytest.mark.parametrize("method", ["dawid_skene", "mixture", "principal"])
def test_two_pairs_are_enough_to_be_estimated_from(method):
    s = rk.Scores.from_discrepancy([[0.5, 0.25, 1.0], [-0.5, 0.5, -0.25]])
    e = rk.estimate(s, method=method)
    assert np.isfinite(e.mu).all()
    assert (e.source, rk.estimate(s).source) == (method, "principal")


def test_a_triplet_takes_no_rule_for_better_than_always_right():
    # Sampling carries √(S_01 S_02 / S_12) of the rule that is right throughout past 1.
    s, _ = planted(60, np.array([1.0, 0.9, 0.9]), 0)
    e = rk.estimate(s, method="triplet")
    second = _second(e, np.ones(3))
    assert second[0, 1] * second[0, 2] / second[1, 2] > 1.04
    sizes = oracles.triplet_sizes(second, 60)
    assert sizes[0] == 1
    assert e.mu / e.mu[0] == pytest.approx(sizes)


def test_which_half_of_the_pairs_comes_first_changes_no_judgement_of_the_humps():
    s, _ = _half_known(54, n=60)
    z = _standard(s)[0]
    swapped = z[np.arange(60) ^ 1]
    found = mixture_kurtosis(z)
    assert mixture_kurtosis(swapped) == pytest.approx(found, abs=1e-12)


def _degenerate() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(62)
    votes, sizes = rng.choice([-1.0, 1.0], (40, 1)), rng.uniform(-1, 1, (40, 1))
    turned = np.array([1, -1, 1, 1])
    return {
        "constant": np.full((4, 3), 0.5),
        "constant, with a silent rule": np.column_stack([np.full((6, 3), 0.25), np.zeros(6)]),
        "one vote": np.vstack([[[0.5, 0.5, 0.5]], np.zeros((5, 3))]),
        "identical votes": votes * np.ones(4),
        "opposite votes": votes * turned,
        "identical": sizes * np.ones(4),
        "opposite": sizes * turned,
        "a copy among others": rng.uniform(-1, 1, (40, 3))[:, [0, 1, 2, 0]],
        "more rules than pairs": rng.uniform(-1, 1, (3, 30)),
        "silent in every second pair": rng.uniform(-1, 1, (10, 4)) * (np.arange(10) % 2)[:, None],
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", estimators())
@pytest.mark.parametrize("case", _degenerate())
def test_rules_that_say_the_same_can_be_estimated_and_labelled_by(case, method):
    delta = _degenerate()[case]
    s = rk.Scores.from_discrepancy(delta)
    some = np.where(np.arange(len(delta)) % 3 == 0, -1.0, 1.0)
    some[len(delta) // 2 + 1 :] = np.nan
    for known in (None, some, -some):
        if known is None and method in ("bradley_terry", "moments"):
            continue
        e = rk.estimate(s, known, method)
        margin = rk.label(s, None, "weighted", estimates=e).margin
        assert np.isfinite(margin).all()
        if case.startswith(("identical", "opposite", "constant")):
            sides = np.sign(delta[0]) * np.sign(delta[0, 0])
            weights = e.weights()[: len(delta[0])]
            expected = np.where(sides == 0, 0, sides * weights[0])
            assert weights == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_second_moment_that_can_be_inverted_is_left_as_ledoit_and_wolf_shrink_it():
    z = np.random.default_rng(63).standard_normal((60, 5))
    assert (shrunk_second_moment(z) == ledoit_wolf(z, assume_centered=True)[0]).all()
    same = np.ones((8, 3))
    found = shrunk_second_moment(same)
    assert np.linalg.eigvalsh(found)[[0, -1]] == pytest.approx([1e-6, 3], rel=1e-5)
    assert np.trace(found) == pytest.approx(3)
    assert shrunk_second_moment(np.zeros((4, 2))).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("method", ["mixture", "moments", "bradley_terry"])
def test_very_many_pairs_are_estimated_as_some_of_them_are(method):
    """Humps are judged, and curvature is told, by 20,000 and 5,000 evenly spaced pairs at most."""
    s = simulate("unequal_noise", 45_000, 20, seed=64)
    few, many = s.scores.rows(np.arange(30_000, 45_000)), s.scores
    y = s.preference if method != "mixture" else np.full(45_000, np.nan)
    one, two = (rk.estimate(r, y[-r.n_pairs :], method, power=1.0) for r in (few, many))
    spread = np.sqrt(np.diag(two.cov))
    assert one.mu / spread == pytest.approx(two.mu / spread, abs=0.05)
    assert two.mu / spread == pytest.approx(s.mu / np.sqrt(np.diag(s.cov)), abs=0.05)


@pytest.mark.parametrize(("share", "power"), [(0.2, 0.5), (0.5, 1.0)])
def test_a_root_is_not_chosen_where_it_would_magnify_many_tiny_leanings(share, power):
    """Tiny leanings that tell Y, as a judge's do that always saw the chosen response first."""
    rng = np.random.default_rng(5)
    y = rng.choice([-1, 1], 2000)
    right = np.where(rng.random((2000, 10)) < 0.75, y[:, None], -y[:, None])
    size = np.where(rng.random((2000, 10)) < share, 5e-4, rng.uniform(0.2, 1.0, (2000, 10)))
    delta = right * size
    scores = rk.Scores(delta / 2, -delta / 2)
    assert rk.estimate(scores, y).power == power
    assert rk.estimate(scores, y, power=0.5).power == 0.5

"""Criteria of a subset of rules against their formulas, one rule after the other."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

import rulekit as rk
from rulekit.information import mutual_information
from rulekit.selection import criteria
from tests import oracles
from tests.selection.drawn import random_model


def test_dpp_is_the_greedy_determinant():
    size = np.abs(np.random.default_rng(7).standard_normal((6, 7)))
    rho = criteria.correlation(random_model(7, 8).cov)
    found = criteria.determinantal(size, rho, 4)
    for q, row in zip(size, found, strict=True):
        kernel = q[:, None] * rho * q
        picked = []
        for _ in range(4):
            gain = [
                -1.0 if j in picked else np.linalg.det(kernel[np.ix_([*picked, j], [*picked, j])])
                for j in range(7)
            ]
            picked.append(int(np.argmax(gain)))
        assert row.tolist() == picked


def test_discriminant_adds_the_rule_that_adds_most_by_brute_force():
    e = random_model(10, 9)

    def evidence(subset):
        return e.mu[subset] @ np.linalg.solve(e.cov[np.ix_(subset, subset)], e.mu[subset])

    picked = []
    for j in criteria.discriminant(e.mu, e.cov, 10).tolist():
        others = [i for i in range(10) if i not in picked]
        assert j == max(others, key=lambda i: evidence([*picked, i]))
        picked.append(j)


def test_discriminant_of_one_rule_and_of_independent_rules_is_the_best_subset():
    rng = np.random.default_rng(10)
    independent = rk.Estimates(rng.standard_normal(8), np.diag(rng.uniform(0.2, 2, 8)), 0, "drawn")
    for e, k in ((random_model(8, 11), 1), (independent, 3)):
        best = max(
            combinations(range(8), k),
            key=lambda s: e.mu[list(s)] @ np.linalg.solve(e.cov[np.ix_(s, s)], e.mu[list(s)]),
        )
        assert sorted(criteria.discriminant(e.mu, e.cov, k).tolist()) == list(best)


def test_pairwise_information_criteria_equal_their_formulas_from_plain_tables():
    rng = np.random.default_rng(10)
    y = rng.choice([-1, 1], 400)
    votes = np.where(rng.random((400, 5)) < [0.8, 0.75, 0.7, 0.65, 0.6], y[:, None], -y[:, None])
    votes[:, 1] = np.where(rng.random(400) < 0.9, votes[:, 0], votes[:, 1])
    votes = votes * rng.choice([0, 1, 1], (400, 5))
    v, z = np.vstack([votes, -votes]), np.concatenate([y, -y])

    def info(a, b):
        return mutual_information(a, b, "plugin", "nats")

    def code(a, b):
        return 3 * a + b

    def greedy(criterion):
        picked = []
        for _ in range(4):
            gain = [-9.0 if j in picked else criterion(j, picked) for j in range(5)]
            picked.append(int(np.argmax(gain)))
        return picked

    def joint(j, s):
        return info(code(v[:, s], v[:, j]), z)

    def conditional(j, s):
        return joint(j, s) - info(v[:, s], z)

    single = [info(v[:, j], z) for j in range(5)]
    formulas = {
        "static": lambda j, p: single[j],
        "mrmr": lambda j, p: single[j] - (np.mean([info(v[:, j], v[:, s]) for s in p]) if p else 0),
        "jmi": lambda j, p: sum(joint(j, s) for s in p) if p else single[j],
        "cmim": lambda j, p: min(conditional(j, s) for s in p) if p else single[j],
    }
    for method, criterion in formulas.items():
        assert criteria.greedy_information(votes, y, 4, method).tolist() == greedy(criterion)


def _drawn_delta(seed: int, n: int = 60) -> np.ndarray:
    """Discrepancies of seven rules in steps of ¼: a copy, a reversed copy, a silent rule."""
    rng = np.random.default_rng(seed)
    delta = rng.integers(-4, 5, (n, 7)) / 4
    delta[:, 1] = np.where(rng.random(n) < 0.8, delta[:, 0], delta[:, 1])
    delta[:, 3], delta[:, 4], delta[:, 5] = delta[:, 2], -delta[:, 2], 0.0
    return delta


def _drawn_votes(seed: int, n: int = 70, abstain: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Votes of six rules: four of some worth, a reversed copy and a silent rule; and Y."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], n)
    right = rng.random((n, 6)) < [0.75, 0.7, 0.65, 0.35, 0.5, 0.5]
    votes = np.where(right, y[:, None], -y[:, None])
    votes = votes * (rng.random((n, 6)) >= abstain)
    votes[:, 4], votes[:, 5] = -votes[:, 1], 0
    return votes, y


def test_correlations_equal_the_plain_twin_and_stay_within_one():
    for seed in range(40):
        delta = _drawn_delta(seed) * np.random.default_rng(seed).uniform(0.01, 3, 7)
        delta[:, 3] = delta[:, 2] * 1.7  # a copy, whose correlation rounding may carry past 1
        second = delta.T @ delta
        found = criteria.correlation(second)
        assert found == pytest.approx(oracles.correlation(second), abs=1e-12)
        assert np.abs(found).max() == 1
        assert found[2, 4] == pytest.approx(-1)
        assert not found[5, [0, 1, 2, 3, 4, 6]].any()
        assert (np.diag(found) == 1).all()


def test_no_correlation_leaves_its_range_where_rounding_would():
    second = np.array([[1.0, 1.0 + 1e-9], [1.0 + 1e-9, 1.0]])
    assert criteria.correlation(second).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    second[0, 1] = second[1, 0] = -1.0 - 1e-9
    assert criteria.correlation(second).tolist() == [[1.0, -1.0], [-1.0, 1.0]]


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_diverse_equals_the_plain_twin_with_ties_and_reversed_and_silent_rules(k):
    for seed in range(10):
        delta = _drawn_delta(seed)
        rho = oracles.correlation(delta.T @ delta)
        found = criteria.diverse(np.abs(delta), rho, k)
        assert found.tolist() == [oracles.diverse(q, rho, k) for q in np.abs(delta).tolist()]


def test_dpp_equals_the_determinants_and_takes_neither_copy_nor_silent_rule_before_the_rest():
    for seed in range(10):
        delta = _drawn_delta(seed)
        rho = oracles.correlation(delta.T @ delta)
        size = np.abs(delta)
        found = criteria.determinantal(size, rho, 7)
        assert (np.sort(found, axis=1) == np.arange(7)).all()
        for q, row in zip(size.tolist(), found.tolist(), strict=True):
            worth = [j for j in (0, 1, 2, 6) if q[j]]  # 3 and 4 repeat 2, and 5 is silent
            assert row[: len(worth)] == oracles.determinantal(q, rho, len(worth))


def test_dpp_sees_how_large_a_rule_is_by_its_square():
    rho = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, 0.0], [0.0, 0.0, 1.0]])
    # Beside rule 0, rule 1 keeps 1 - 0.81 of its square: 0.19 · 2.25 against 0.6² = 0.36.
    assert criteria.determinantal(np.array([[1.6, 1.5, 0.6]]), rho, 2).tolist() == [[0, 1]]
    assert criteria.determinantal(np.array([[1.6, 1.5, 0.7]]), rho, 2).tolist() == [[0, 2]]


@pytest.mark.parametrize("choose", [criteria.diverse, criteria.determinantal])
def test_pairs_are_chosen_for_one_by_one_however_many_there_are(choose):
    delta = _drawn_delta(0, 10)
    rho = oracles.correlation(delta.T @ delta)
    size = np.abs(delta)
    many = choose(np.tile(size, (1000, 1)), rho, 3)
    assert many.dtype == np.int32
    assert (many == np.tile(choose(size, rho, 3), (1000, 1))).all()


def test_discriminant_keeps_its_order_when_a_rule_is_measured_in_other_units():
    e = random_model(6, 12)
    expected = criteria.discriminant(e.mu, e.cov, 6).tolist()
    for unit in (1e-8, 1e8):
        size = np.array([unit, 1.0, 1.0, unit, 1.0, 1.0])
        found = criteria.discriminant(e.mu * size, e.cov * np.outer(size, size), 6)
        assert found.tolist() == expected


def test_discriminant_gives_a_rule_that_others_fix_no_gain():
    cov = np.eye(4)
    cov[0, 1] = cov[1, 0] = 1.0  # rule 1 is rule 0 again
    cov[:2, 3] = cov[3, :2] = 0.5
    mu = np.array([0.9, 0.9, 0.1, 0.5])
    # Rule 3 adds (0.5 - 0.45)² / 0.75 = 0.0033 to rule 0, rule 2 adds 0.01, and rule 1 nothing.
    assert criteria.discriminant(mu, cov, 4).tolist() == [0, 2, 3, 1]


@pytest.mark.parametrize("n_chosen", [0, 1, 2])
def test_informations_equal_those_of_scikit_learn_on_pairs_with_their_exchange(n_chosen):
    for seed in range(3):
        votes, y = _drawn_votes(seed)
        chosen = [0, 3][:n_chosen]
        state = np.zeros(len(y), np.int64)
        for j in chosen:
            state = 3 * state + votes[:, j].astype(np.int64) + 1
        found = criteria._informations(state, n_chosen, votes, y)
        v, z = np.vstack([votes, -votes]), np.concatenate([y, -y])
        given = np.unique(v[:, chosen], axis=0, return_inverse=True)[1] if chosen else 0 * z
        for j in range(6):
            parts = [
                (given == s).mean() * mutual_info_score(v[given == s, j], z[given == s])
                for s in np.unique(given)
            ]
            assert found["relevance"][j] == pytest.approx(sum(parts), abs=1e-12)
            shared = mutual_info_score(v[:, j], given)
            assert found["redundancy"][j] == pytest.approx(shared, abs=1e-12)
            relevance, freedom = oracles.given_votes(votes, y, chosen, j)
            assert found["relevance"][j] == pytest.approx(relevance, abs=1e-12)
            assert found["freedom"][j] == freedom


@pytest.mark.parametrize(("abstain", "n"), [(0.0, 50), (0.3, 90)])
def test_greedy_cmi_equals_the_plain_twin_where_it_goes_on_and_where_it_stops(abstain, n):
    lengths = set()
    for seed in range(30):
        votes, y = _drawn_votes(seed, n, abstain)
        found = criteria.greedy_conditional(votes, y, 4).tolist()
        assert found == oracles.greedy_conditional(votes, y, 4)
        lengths.add(len(found))
    assert lengths >= {1, 2, 3}


@pytest.mark.parametrize("seed", [15, 21])
def test_greedy_cmi_charges_a_rule_for_what_its_kinds_of_vote_tell_by_chance(seed):
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 1], 60)
    votes = np.where(rng.random((60, 3)) < [0.7, 0.85, 0.85], y[:, None], -y[:, None])
    votes[:, 1] *= rng.random(60) >= 0.1  # the only rule that abstains
    assert criteria.greedy_conditional(votes, y, 2).tolist() == [2, 0]
    told = [oracles.given_votes(votes, y, [2], j) for j in (0, 1)]
    assert told[0][0] < told[1][0]
    assert told[0][0] - told[0][1] / 120 > told[1][0] - told[1][1] / 120

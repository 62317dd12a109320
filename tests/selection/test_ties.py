"""One rule for ties: criteria in the same step of 1e-6 are tied, and the first rule is taken."""

import numpy as np
import pytest

import rulekit as rk
from rulekit.selection import criteria
from rulekit.theory import log_odds_selection
from tests import oracles

EVEN = rk.Estimates(np.full(4, 0.5), np.eye(4), 9, "given")  # a unit of δ is one of log-odds


def chosen(delta, method: str, k: int = 1, e: rk.Estimates = EVEN) -> list[int]:
    """Rules chosen for the first of some pairs, under each of which the rules differ by as much."""
    s = rk.Scores.from_discrepancy(delta, np.abs(delta) / 2)
    y = np.where(np.arange(len(delta)) % 3 > 0, 1, -1)
    if method in ("frugal", "static"):
        e = rk.Estimates(e.mu, e.cov, 0, "given")
        return rk.select(s, k, method, reference=s, estimates=e).indices[0].tolist()
    if method in ("mrmr", "jmi", "cmim", "greedy_cmi"):
        return rk.select(s, k, method, reference=s, preference=y).indices[0].tolist()
    return rk.select(s, k, method, estimates=e).indices[0].tolist()


def by_size() -> list[str]:
    skipped = {"all", "random", "lowest_discrepancy", "discriminant"}
    return [m for m in rk.selectors() if m not in skipped]


@pytest.mark.parametrize("method", by_size())
@pytest.mark.parametrize("size", [0.25, 0.5, 0.75])
def test_of_rules_within_a_step_the_first_is_taken_whichever_is_larger(method, size):
    votes_only = method in ("mrmr", "jmi", "cmim", "greedy_cmi")
    for more in (4e-7, -4e-7):
        delta = np.tile([size, size + more, size / 2, size / 2], (6, 1))
        assert chosen(delta, method) == [0]
        assert chosen(delta[:, [2, 0, 1, 3]], method) == ([0] if votes_only else [1])
    if not votes_only:
        delta = np.tile([size, size + 2e-6, size / 2, size / 2], (6, 1))
        assert chosen(delta, method) == [1]


def test_the_rule_of_least_discrepancy_is_told_by_steps_too():
    for more in (4e-7, -4e-7):
        assert chosen(np.array([[0.5, 0.25, 0.25 + more, 0.75]]), "lowest_discrepancy") == [1]


def test_rules_that_tell_nothing_are_taken_in_their_order_and_not_by_rounding():
    rng = np.random.default_rng(0)
    y = np.tile([1, -1], 60)
    votes = rng.choice([-1.0, 1.0], (60, 8)).repeat(2, axis=0)  # as often right as wrong, each
    votes[::2, 5], votes[1::2, 5] = 1, -1  # only rule 5 says anything
    s = rk.Scores.from_discrepancy(votes)
    for method in ("static", "jmi", "cmim"):
        found = rk.select(s, 8, method, reference=s, preference=y).indices[0].tolist()
        assert found == [5, 0, 1, 2, 3, 4, 6, 7], method


@pytest.mark.parametrize("without_estimates", [True, False])
def test_dpp_beyond_the_rank_takes_the_lowest_positions(without_estimates):
    """Nine rules of rank three: what the first three leave of the others is rounding alone."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        delta = rng.standard_normal((200, 3)) @ rng.standard_normal((3, 9))
        s = rk.Scores.from_discrepancy(delta / np.abs(delta).max())
        second = s.discrepancy.astype(float)
        rho = criteria.correlation(second.T @ second)
        if not without_estimates:
            rho = criteria.correlation(delta.T @ delta)
        found = criteria.determinantal(np.abs(delta), rho, 9)
        for row in found.tolist():
            assert row[3:] == sorted(row[3:])


def test_a_choice_of_several_goes_by_steps_at_every_place():
    values = np.array([[0.3, 0.3 + 3e-7, 0.1, 0.3 - 2e-7, 0.1 + 4e-7, 0.2]])
    assert criteria.largest(values, 6).tolist() == [[0, 1, 3, 5, 2, 4]]
    assert criteria.first_largest(values).tolist() == [0]
    assert criteria.first_largest(np.array([-np.inf, -3e-7, -np.inf, 2e-7])) == 1
    found = log_odds_selection(values, np.ones(6), np.eye(6), 6)
    assert found.tolist() == [[0, 1, 3, 5, 2, 4]]
    rng = np.random.default_rng(2)
    many = rng.integers(0, 9, (50, 12)) / 10 + rng.uniform(-4e-7, 4e-7, (50, 12))
    assert (criteria.largest(many, 12) == oracles.top_k(many, 12)).all()
    assert (criteria.first_largest(many) == oracles.top_k(many, 1)[:, 0]).all()


def test_diverse_and_dpp_begin_with_the_rule_that_the_kernel_takes():
    rng = np.random.default_rng(3)
    delta = rng.integers(1, 9, (300, 10)) / 10 + rng.uniform(-4e-7, 4e-7, (300, 10))
    s = rk.Scores.from_discrepancy(delta)
    first = rk.select(s, 1).indices
    for method in ("diverse", "dpp"):
        assert (rk.select(s, 3, method).indices[:, :1] == first).all()


class TestNamedRules:
    """Where pairs and rules have ids, ties go by chance and never by the order of a list."""

    n, m = 300, 12
    delta = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], (n, m))
    scores = rk.Scores.from_discrepancy(
        delta,
        np.abs(delta) / 2,
        rule_ids=[f"rule {j}" for j in range(m)],
        pair_ids=[f"pair {i}" for i in range(n)],
    )
    rules = np.random.default_rng(1).permutation(m)
    pairs = np.random.default_rng(2).permutation(n)
    moved = scores.columns(rules).rows(pairs)
    preference = np.random.default_rng(3).choice([-1, 1], n)

    def settings(self, method: str, moved: bool) -> dict:
        s = self.moved if moved else self.scores
        y = self.preference[self.pairs] if moved else self.preference
        given = {"estimates": rk.estimate(s, y)}
        if method in ("static", "mrmr", "jmi", "cmim", "greedy_cmi"):
            given |= {"reference": s, "preference": y}
        return given

    @pytest.mark.parametrize("method", [m for m in rk.selectors() if m != "all"])
    def test_another_order_of_rules_and_pairs_chooses_the_same(self, method):
        one = rk.select(self.scores, 4, method, **self.settings(method, False))
        two = rk.select(self.moved, 4, method, **self.settings(method, True))
        assert np.array_equal(two.aligned(one.identity).indices, one.indices)

    @pytest.mark.parametrize("method", ["max_discrepancy", "relevance", "random"])
    def test_every_tied_rule_has_the_same_chance_and_seeds_differ(self, method):
        even = rk.Scores(
            np.ones((4000, 10)),
            -np.ones((4000, 10)),
            np.ones((4000, 10)),
            rule_ids=[f"r{j}" for j in range(10)],
            pair_ids=[str(i) for i in range(4000)],
        )
        first, second = (rk.select(even, 3, method, seed=seed).indices for seed in (0, 1))
        for place in range(3):
            counts = np.bincount(first[:, place], minlength=10)
            assert np.abs(counts - 400).max() < 100  # five standard deviations
        assert (first == second).mean() < 0.2
        assert all(len(set(row)) == 3 for row in first.tolist())

    def test_only_ties_go_by_chance(self):
        rng = np.random.default_rng(4)
        delta = rng.permuted(np.tile(np.arange(1, 13) / 12, (50, 1)), axis=1)
        delta[:, 3] = delta[:, 5]
        names = {"rule_ids": [f"r{j}" for j in range(12)], "pair_ids": [str(i) for i in range(50)]}
        plain = rk.select(rk.Scores.from_discrepancy(delta), 6).indices
        named = rk.select(rk.Scores.from_discrepancy(delta, **names), 6).indices
        sizes = (np.take_along_axis(delta, x, 1) for x in (plain, named))
        assert np.array_equal(*sizes)
        differ = plain != named
        assert set(np.unique(plain[differ])) <= {3, 5}
        assert differ.any()

    @pytest.mark.parametrize("m", [3, 1024, 1025, 3000])
    def test_any_number_of_rules_has_room_for_steps_hash_and_position(self, m):
        delta = np.zeros((4, m))
        delta[:, [0, m - 1]] = 1.0
        named = rk.Scores.from_discrepancy(
            delta, rule_ids=[f"r{j}" for j in range(m)], pair_ids=list("abcd")
        )
        found = rk.select(named, 3).indices
        assert (np.sort(found[:, :2], axis=1) == [0, m - 1]).all()
        assert len(np.unique(found[:, 2])) > 1 or m == 3

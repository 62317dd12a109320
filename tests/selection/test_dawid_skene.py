"""The posterior of votes: at convergence, against plain EM and crowd-kit; what cannot be told."""

import time
import warnings

import numpy as np
import pytest

import rulekit as rk
from rulekit.selection import dawid_skene_posterior
from rulekit.theory.simulation import REGIMES, simulate
from tests import oracles
from tests.selection.drawn import planted


def drawn_votes(n: int, accuracy, seed: int, cast: float = 0.8) -> np.ndarray:
    s, _ = planted(n, np.asarray(accuracy), seed)
    return s.votes * (np.random.default_rng(seed + 1).random(s.votes.shape) < cast)


@pytest.mark.parametrize(
    "votes",
    [
        drawn_votes(400, [0.95, 0.9, 0.9, 0.85, 0.8], 52),
        drawn_votes(300, [0.8, 0.75, 0.6], 1),
        drawn_votes(150, [0.6, 0.6, 0.55, 0.55, 0.5], 2),
        drawn_votes(200, [0.5] * 4, 3),  # nothing to find: plain EM takes thousands of steps
        drawn_votes(60, [0.8] * 20, 4, 0.2),
    ],
)
def test_the_posterior_is_that_of_plain_em_run_to_convergence(votes):
    q = dawid_skene_posterior(votes)
    expected = oracles.one_coin_posterior(votes)
    side = (2 * expected - 1) @ votes.sum(axis=1)
    assert q == pytest.approx(expected if side >= 0 else 1 - expected, abs=1e-6)
    assert dawid_skene_posterior(-votes) == pytest.approx(1 - q, abs=1e-6)
    flip = np.random.default_rng(0).choice([-1, 1], len(votes))
    turned = dawid_skene_posterior(votes * flip[:, None])
    assert turned == pytest.approx(np.where(flip > 0, q, 1 - q), abs=1e-6)


def test_a_rule_that_the_likelihood_takes_for_perfect_is_taken_for_perfect():
    """Of three weak rules one is; plain EM would need a hundred thousand steps to come near."""
    votes = drawn_votes(300, [0.7, 0.65, 0.6], 1)
    q, first = dawid_skene_posterior(votes), votes[:, 0]
    assert q[first != 0] == pytest.approx((1 + first[first != 0]) / 2, abs=1e-6)
    accuracy = np.where(votes > 0, q[:, None], 1 - q[:, None]) * (votes != 0)
    accuracy = np.clip(accuracy.sum(axis=0) / (votes != 0).sum(axis=0), 1e-9, 1 - 1e-9)
    again = 1 / (1 + np.exp(-votes @ np.log(accuracy / (1 - accuracy))))
    assert q == pytest.approx(again, abs=1e-7)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_regimes_are_solved_as_plain_em_solves_them(regime):
    votes = simulate(regime, 500, seed=6).scores.votes
    expected = oracles.one_coin_posterior(votes)
    assert dawid_skene_posterior(votes) == pytest.approx(expected, abs=1e-6)


def test_real_ratings_are_solved_as_plain_em_solves_them(real_data):
    _, scores = rk.sources.load_ratings("hh-rule-votes")
    for rules in (slice(None), slice(3), slice(4, 9)):
        votes = scores.columns(rules).votes
        expected = oracles.one_coin_posterior(votes)
        assert dawid_skene_posterior(votes) == pytest.approx(expected, abs=1e-6)


def test_crowd_kit_comes_to_the_same_when_it_is_let_run():
    pd = pytest.importorskip("pandas")
    aggregation = pytest.importorskip("crowdkit.aggregation")
    votes = drawn_votes(60, [0.95, 0.9, 0.85, 0.8, 0.7], 7)
    both = np.concatenate([votes, -votes])  # each pair also with its responses exchanged
    task, worker = np.nonzero(both)
    table = pd.DataFrame({"task": task, "worker": worker, "label": both[task, worker].astype(int)})
    with warnings.catch_warnings():  # it uses what pandas will drop
        warnings.simplefilter("ignore")
        found = aggregation.DawidSkene(n_iter=200, tol=1e-15).fit(table).probas_
    q = np.full(120, 0.5)
    q[found.index.to_numpy()] = found[1].to_numpy()
    assert dawid_skene_posterior(votes) == pytest.approx((q[:60] + 1 - q[60:]) / 2, abs=1e-6)


def test_a_posterior_is_even_without_a_vote_and_never_certain():
    assert dawid_skene_posterior(np.zeros((3, 2))).tolist() == [0.5] * 3
    q = dawid_skene_posterior([[1, 1, 1], [-1, -1, -1], [0, 0, 0], [1, 1, 1]])
    assert q == pytest.approx([1, 0, 0.5, 1], abs=1e-6)
    assert ((q > 0) & (q < 1)).all()
    sure = dawid_skene_posterior(np.repeat([[1], [-1]] * 10, 12, axis=1))
    assert sure[:2].tolist() == [1 - 1e-9, 1e-9]


def one_vote_a_pair(n: int = 90, m: int = 9) -> np.ndarray:
    votes = np.zeros((n, m))
    votes[np.arange(n), np.arange(n) % m] = np.random.default_rng(8).choice([-1, 1], n)
    return votes


# votes → the rule of which nothing can be told
UNTOLD = {
    "one rule": (drawn_votes(300, [0.6], 9), 0),
    "two rules": (drawn_votes(300, [0.9, 0.8], 10), 0),
    "two of three rules vote": (drawn_votes(300, [0.9, 0.8, 0.7], 11) * [1, 0, 1], 0),
    "one vote a pair": (one_vote_a_pair(), 0),
    "two rules apart from three others": (
        np.kron(np.eye(2), np.ones((20, 3)))[:, [0, 1, 2, 3, 4]],
        3,
    ),
    "a rule that votes alone": (
        np.block([[np.ones((9, 3)), np.zeros((9, 1))], [np.zeros((9, 3)), np.ones((9, 1))]]),
        3,
    ),
    "four rules in a ring": (np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]), 0),
}


@pytest.mark.parametrize("case", UNTOLD)
def test_what_agreement_cannot_tell_is_refused_by_name(case):
    votes, rule = UNTOLD[case]
    message = rf"agreement cannot tell how often rule {rule} is right; allowed: three rules"
    with pytest.raises(ValueError, match=message):
        dawid_skene_posterior(votes)
    scores = rk.Scores.from_discrepancy(votes)
    with pytest.raises(ValueError, match=message):
        rk.label(scores, method="dawid_skene")
    with pytest.raises(ValueError, match=message):
        rk.estimate(scores, method="dawid_skene")


def test_two_votes_a_pair_are_enough_where_three_rules_meet():
    rng = np.random.default_rng(12)
    y = rng.choice([-1, 1], 6000)
    votes = np.where(rng.random((6000, 3)) < [0.9, 0.8, 0.7], y[:, None], -y[:, None])
    votes[np.arange(6000), np.arange(6000) % 3] = 0
    q = dawid_skene_posterior(votes)
    right = np.where(votes > 0, q[:, None], 1 - q[:, None])[votes != 0].mean()
    assert right == pytest.approx(0.8, abs=0.03)
    assert q == pytest.approx(oracles.one_coin_posterior(votes), abs=1e-6)


@pytest.mark.parametrize("votes", [[1, -1, 1], [[2, 1, 1]], [[0.5, 1, 1]], [[np.nan, 1, 1]]])
def test_what_are_no_votes_is_refused(votes):
    with pytest.raises(ValueError, match=r"allowed: -1, 0 and \+1, \(n_pairs, n_rules\)"):
        dawid_skene_posterior(votes)


def test_many_pairs_take_seconds():
    votes = simulate("equal", 20_000, seed=13).scores.votes
    start = time.process_time()
    dawid_skene_posterior(votes)
    assert time.process_time() - start < 5

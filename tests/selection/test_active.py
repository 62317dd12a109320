"""Active choice: what an answer teaches, the order that follows, and what is said of the labels."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

import rulekit as rk
from rulekit.selection import Questions, ask_order, label_progress
from rulekit.selection.active import CRITERIA, error_reduction, information_gain
from rulekit.selection.labelled import fit_weights
from rulekit.theory.simulation import simulate
from tests import oracles
from tests.selection.drawn import planted

SHARES = st.lists(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), min_size=4, max_size=4))


@given(SHARES.filter(len))
def test_what_an_answer_tells_is_what_the_plain_sums_say(rows):
    p = np.array(rows)
    assert information_gain(p) == pytest.approx(
        [oracles.answer_information(row) for row in rows], abs=1e-12
    )
    assert error_reduction(p, p) == pytest.approx(
        [oracles.label_gain(row, rows) for row in rows], abs=1e-12
    )
    assert (information_gain(p) > -1e-12).all()
    assert (error_reduction(p, p) > -1e-12).all()


def test_an_answer_that_is_certain_or_a_fair_coin_under_every_weight_tells_nothing():
    p = np.array([[1.0, 1.0], [0.5, 0.5], [0.0, 1.0]])
    assert information_gain(p).tolist() == [0.0, 0.0, 1.0]


def test_draws_have_the_posterior_of_a_single_label_by_quadrature():
    right, prior = np.array([[1.5]]), np.array([1.0])
    fits = fit_weights(right, prior)
    drawn = fits.draws(40_000, np.random.default_rng(0))[:, 0]
    w = np.linspace(-30, 30, 60_001)
    density = np.zeros_like(w)
    empty = fit_weights(np.empty((0, 1)), prior)
    for centre, v, share in zip(empty.weights[:, 0], empty.variances, empty.share, strict=True):
        density += share * np.exp(-((w - centre) ** 2) / (2 * v)) / np.sqrt(v)
    density *= expit(1.5 * w)
    density /= density.sum()
    assert drawn.mean() == pytest.approx(w @ density, abs=0.1)
    assert (drawn < 0).mean() == pytest.approx(density[w < 0].sum(), abs=0.03)


def test_a_pair_that_no_rule_votes_on_is_asked_last():
    delta = np.random.default_rng(1).uniform(-1, 1, (40, 5))
    delta[7] = 0
    order = ask_order(rk.Scores.from_discrepancy(delta), n=40, seed=0)
    assert sorted(order.tolist()) == list(range(40))
    assert order[-1] == 7


def test_what_has_not_been_asked_about_is_asked_and_not_the_same_again_and_again():
    alike = rk.Scores.from_discrepancy(np.repeat(np.eye(4), 25, axis=0))  # 25 pairs a rule
    rng = np.random.default_rng(0)
    known = np.where(np.arange(100) % 25 < 20, rng.choice([-1, 1], 100), 0)
    known[75:] = 0  # all but the last rule have been asked about
    for seed in range(5):
        assert ask_order(alike, known, 1, seed=seed)[0] >= 75
        assert np.bincount(ask_order(alike, n=8, seed=seed) // 25).max() <= 4


@pytest.mark.parametrize("criterion", CRITERIA)
def test_what_is_known_or_left_out_is_not_asked_and_a_seed_gives_one_order(criterion):
    s = simulate("sparse", 50, 20, seed=1)
    y = np.where(np.arange(50) < 10, s.preference, 0)
    how = {"criterion": criterion, "without": [10, 11], "seed": 3}
    order = ask_order(s.scores, y, 100, **how)
    assert sorted(order.tolist()) == list(range(12, 50))
    assert order.tolist() == ask_order(Questions.of(s.scores), y, 100, **how).tolist()
    assert order[:4].tolist() == ask_order(s.scores, y, 4, **how).tolist()


def test_chance_breaks_ties_so_that_the_order_of_the_file_does_not_matter():
    scores, _ = planted(30, np.full(4, 0.7))
    same = rk.Scores.from_discrepancy(np.tile(scores.discrepancy[:1], (30, 1)))
    first = {int(ask_order(same, n=1, seed=seed)[0]) for seed in range(20)}
    assert len(first) > 8


def test_prompts_that_were_asked_about_the_least_come_first():
    s = simulate("sparse", 40, 20, seed=1)
    prompts = np.repeat(np.arange(10), 4)
    y = np.where(np.arange(40) < 1, s.preference, 0)
    order = prompts[ask_order(s.scores, y, 39, groups=prompts)]
    assert sorted(order[:9]) == list(range(1, 10))
    assert sorted(order[9:19]) == list(range(10))


def test_only_so_many_pairs_are_candidates_and_all_tell_the_covariance():
    s = simulate("equal", 300, 20)
    questions = Questions.of(s.scores, most=50)
    assert len(questions.rows) == 50
    assert questions.references[0].z.shape == (300, 20)
    assert set(ask_order(questions, n=300).tolist()) == set(questions.rows.tolist())


def test_chosen_labels_reach_more_than_random_ones_where_the_rules_share_a_noise():
    gains = []
    for seed in range(3):
        pool, unseen = (simulate("shared_noise", n, 20, seed=2 * seed + n % 2) for n in (300, 3001))
        found = {}
        for criterion in ("random", "information"):
            y = np.zeros(300)
            for _ in range(6):
                rows = ask_order(pool.scores, y, 5, criterion=criterion, seed=seed)
                y[rows] = pool.preference[rows]
            e = rk.estimate(pool.scores, y)
            margin = e.transform(unseen.scores.discrepancy) @ e.weights()
            found[criterion] = (np.sign(margin) == unseen.preference).mean()
        gains.append(found["information"] - found["random"])
    assert np.mean(gains) > 0


def test_the_expected_accuracy_holds_what_comes_out_also_for_chosen_pairs():
    inside, n = 0, 24
    for seed in range(n):
        s = simulate(("sparse", "reversed", "shared_noise")[seed % 3], 300, 20, seed=seed)
        y = np.zeros(300)
        rows = ask_order(s.scores, n=40, seed=seed)
        y[rows] = s.preference[rows]
        said = label_progress(s.scores, y, seed=seed)
        e = rk.estimate(s.scores, y)
        right = np.sign(e.transform(s.scores.discrepancy) @ e.weights()) == s.preference
        inside += said.low <= right[y == 0].mean() <= said.high
        assert said.n_labelled == 40
        assert said.low < said.accuracy < said.high
        assert said.gain_low <= said.gain <= said.gain_high
        assert said.next_ten >= 0
    assert inside >= 19


def test_what_labels_bring_is_said_in_words():
    s = simulate("shared_noise", 200, 20)
    words = str(label_progress(s.scores, np.where(np.arange(200) < 30, s.preference, 0)))
    assert words.startswith("30 labels so far: ")
    assert "gain so far" in words
    assert "the next ten would add about" in words


def test_a_preference_may_be_the_frame_of_the_pairs(rated_pairs):
    pairs, scores = rated_pairs
    some = pairs.with_columns(preference=pl.when(pl.int_range(pl.len()) < 8).then("preference"))
    shuffled = some.sample(fraction=1, shuffle=True, seed=1)
    assert ask_order(scores, shuffled, 3).tolist() == ask_order(scores, some, 3).tolist()
    assert label_progress(scores, shuffled) == label_progress(scores, some)


@pytest.fixture(scope="module")
def rated_pairs():
    pairs = rk.load_pairs("embedded").head(60)
    return pairs, rk.sources.load_ratings("embedded")[1].of(pairs)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"criterion": "best"}, "allowed: information, error, random"),
        ({"n": 0}, "allowed: 1 or more"),
        ({"groups": [1, 2]}, "one a pair"),
        ({"without": [50]}, "allowed: 0 to 49"),
        ({"preference": [1, 2]}, "allowed: "),
    ],
)
def test_what_is_wrong_is_said(how, said):
    scores = simulate("equal", 50, 20).scores
    with pytest.raises(ValueError, match=said):
        ask_order(scores, **how)


def test_nothing_is_said_of_labels_where_none_is_left():
    s = simulate("equal", 50, 20)
    with pytest.raises(ValueError, match="none is left"):
        label_progress(s.scores, s.preference)
    with pytest.raises(ValueError, match="allowed: 2 or more"):
        Questions.of(s.scores, most=0)

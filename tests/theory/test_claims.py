"""What the notebooks claim of votes, recomputed by hand: where a claim holds, and what it needs."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.special import expit

from rulekit import theory
from tests.oracles import votes_and_labels
from tests.theory.drawn import entropy

TOY = np.array([1.6, -0.9, 0.4, 0.2])


def bits(accuracy) -> float:
    return float(theory.vote_information(accuracy))


def test_the_toy_has_the_figures_of_the_course():
    p = expit(np.abs(TOY))
    assert [bits([q]) for q in p] == pytest.approx([0.347, 0.133, 0.028, 0.007], abs=5e-4)
    by_hand = {
        s: votes_and_labels(list(p[list(s)]), 0.5, [1, 1])[0] for s in combinations(range(4), 2)
    }
    assert max(by_hand, key=by_hand.get) == (0, 1)
    assert by_hand[0, 1] == pytest.approx(0.422, abs=5e-4)
    assert bits(p) == pytest.approx(0.440, abs=5e-4)
    confidence = [expit(abs(TOY[:k].sum())) for k in (1, 2, 4)]
    assert confidence == pytest.approx([0.83, 0.67, 0.79], abs=5e-3)


def test_what_two_votes_tell_is_worked_out_by_agreement():
    """As notebook 4 does it: how often two rules agree, and what then stays open."""
    p, q = expit(1.6), expit(0.9)
    alike = p * q + (1 - p) * (1 - q)
    open_ = alike * entropy(p * q / alike) + (1 - alike) * entropy(p * (1 - q) / (1 - alike))
    assert 1 - open_ == pytest.approx(bits([p, q]), abs=1e-12)
    assert (alike, 1 - open_) == pytest.approx((0.64, 0.422), abs=5e-4)


def test_one_bit_is_never_reached_by_votes_that_can_be_wrong():
    assert bits([0.6] * 35) == pytest.approx(0.607, abs=5e-4)
    assert 35 * bits([0.6]) > 1
    told = [bits([0.6] * n) for n in (35, 100, 200, 400)]
    assert told == sorted(told)
    assert told[-1] < 1
    assert bits([1.0]) == bits([0.0]) == 1


def test_that_each_rule_is_right_no_less_often_when_louder_is_not_enough():
    """Each rule has one size, so the wording without a common link holds, and the choice is bad."""
    example = theory.unequal_noise()
    assert all(len(set(np.abs(column))) == 1 for column in example.delta.T)
    found = example.information_picked, example.information_best
    assert found == pytest.approx((0.029, 0.531), abs=5e-4)


def test_replacing_a_vote_by_one_of_higher_accuracy_needs_accuracies_from_one_half_on():
    assert bits([0.1]) > bits([0.6])  # .1 ≤ .6, and yet it tells less after the replacement
    for p, q in ((0.5, 0.6), (0.6, 0.9), (0.9, 0.9)):
        for rest in ([], [0.7], [0.55, 0.8]):
            assert bits([*rest, p]) <= bits([*rest, q]) + 1e-12


def test_a_label_never_tells_more_than_its_votes_nor_these_than_all_under_any_joint_law():
    """Noise and dependence change nothing of it: drawn laws of three dependent votes and Y."""
    rng = np.random.default_rng(0)
    votes = np.array(list(product((1, -1), repeat=3)))
    for _ in range(200):
        law = rng.dirichlet(np.full(16, 0.3)).reshape(8, 2)
        if law.sum(axis=0).min() < 1e-3:
            continue
        every = theory.exact_information(votes, law)
        for some in combinations(range(3), 2):
            two = theory.exact_information(votes[:, some], law)
            label = np.sign(votes[:, some] @ rng.uniform(0, 1, 2))[:, None]
            assert theory.exact_information(label, law) <= two + 1e-12 <= every + 2e-12


def test_the_series_near_a_coin_needs_its_fourth_term():
    x = 0.01
    terms = 1 + 2 / 3 * x**2 + 16 / 15 * x**4
    series = 2 / np.log(2) * x**2 * terms
    found = float(theory.vote_information([0.5 + x]))
    assert found / series - 1 == pytest.approx(16 / 7 * x**6, rel=0.01)  # 2.3e-12, the series' own
    assert abs(found / (2 / np.log(2) * x**2 * (terms + 16 / 7 * x**6)) - 1) < 1e-14


def test_exchanging_the_responses_makes_every_channel_symmetric_and_y_even():
    rng = np.random.default_rng(1)
    votes = np.array(list(product((1, -1), repeat=2)))
    for _ in range(50):
        delta, law = theory.exchanged(votes, rng.dirichlet(np.ones(8)).reshape(4, 2))
        assert law.sum(axis=0) == pytest.approx([0.5, 0.5])
        for j in range(2):
            right = [law[delta[:, j] == y, i].sum() for i, y in enumerate((-1, 1))]
            assert right[0] == pytest.approx(right[1])
        size = np.abs(delta) @ [1, 2]
        assert theory.exact_information(size[:, None], law) == pytest.approx(0, abs=1e-12)


def test_an_asymmetric_channel_is_best_until_the_responses_are_exchanged():
    example = theory.asymmetric_channel()
    assert (example.picked, example.best) == ((0,), (1,))
    found = example.information_picked, example.information_best
    assert found == pytest.approx((0.240, 0.311), abs=5e-4)
    assert example.information_best == pytest.approx(entropy(0.25) - entropy(0.5) / 2)
    after = example.exchanged()
    assert after.picked == after.best == (0,)
    assert after.vote_information([0]) == pytest.approx(1 - entropy(0.78))
    assert after.vote_information([1]) == pytest.approx(1 - entropy(0.75))
    assert after.vote_information([1]) == pytest.approx(0.189, abs=5e-4)


def test_who_remembers_the_coin_of_the_exchange_loses_nothing():
    example = theory.asymmetric_channel()
    vote, law = np.sign(example.delta[:, [1]]), example.probability
    after, exchanged = theory.exchanged(vote, law)
    assert theory.exact_information(after, exchanged) == pytest.approx(0.189, abs=5e-4)
    coin = np.repeat([[1], [-1]], len(vote), axis=0)
    seen = np.hstack([np.concatenate([vote, -vote]), coin])
    both = np.concatenate([law, law[:, ::-1]]) / 2  # tails: vote and Y change their sign
    assert theory.exact_information(seen, both) == pytest.approx(example.vote_information([1]))
    assert theory.exact_information(seen, both) == pytest.approx(0.311, abs=5e-4)


def test_two_asymmetric_rules_may_become_dependent_by_the_exchange():
    """A1 is assumed of the pair with its responses exchanged."""
    given = {-1: 0.5, 1: 1.0}  # right
    votes = np.array(list(product((1, -1), repeat=2)))
    law = np.stack(
        [np.where(votes == y, given[y], 1 - given[y]).prod(axis=1) / 2 for y in (-1, 1)], axis=1
    )
    delta, after = theory.exchanged(votes, law)
    at = after[:, 1] / after[:, 1].sum()  # given Y = +1
    both = at[(delta == 1).all(axis=1)].sum()
    alone = at[delta[:, 0] == 1].sum()
    assert (both, alone**2) == pytest.approx((0.625, 0.5625))


def told_by_a_vote_for_a_where_there_is_one(accuracy: float, n: int) -> float:
    """Bits of the vote, +1 but where all n rules vote -1, by enumerating these two."""
    against = np.array([accuracy**n, (1 - accuracy) ** n])  # P(all vote -1 | Y = -1, +1)
    law = np.stack([against, 1 - against]) / 2
    return theory.exact_information(np.array([[-1], [1]]), law)


def test_a_choice_by_sign_may_tell_more_than_one_by_size_or_less():
    """Rules of one size, each right 80 %: by size it is any one of them."""
    votes = np.array(list(product((1, -1), repeat=2)))
    law = np.stack([np.where(votes == y, 0.8, 0.2).prod(axis=1) / 2 for y in (-1, 1)], axis=1)
    by_sign = theory.exact_information(votes.max(axis=1)[:, None], law)
    assert by_sign == pytest.approx(told_by_a_vote_for_a_where_there_is_one(0.8, 2))
    found = by_sign, bits([0.8]), told_by_a_vote_for_a_where_there_is_one(0.8, 4)
    assert found == pytest.approx((0.332, 0.278, 0.236), abs=5e-4)
    assert by_sign < bits([0.8] * 2)  # and no more than both votes
    assert told_by_a_vote_for_a_where_there_is_one(0.6, 100) == pytest.approx(0, abs=1e-12)


def test_sixty_copies_share_the_weight_of_one_rule():
    """The regime with shared noise: the best weights are Σ⁻¹μ."""
    s = theory.simulate("shared_noise", n_pairs=1)
    weights = np.linalg.solve(s.cov, s.mu)
    assert weights[:60].sum() / weights[60:].mean() == pytest.approx(1, abs=1e-3)


def test_which_rule_is_louder_changes_by_pair():
    seen = theory.selection_after_seeing()
    figures = (*seen.information_fixed, seen.information_selected, seen.information_all)
    assert figures == pytest.approx((0.28, 0.28, 0.41, 0.47), abs=5e-3)

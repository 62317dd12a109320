"""Where the theorems end: each example against enumeration by hand."""

from itertools import combinations

import numpy as np
import pytest

from rulekit import theory
from tests.oracles import votes_and_labels
from tests.theory.drawn import entropy


def test_duplicated_rules_are_picked_and_add_nothing():
    example = theory.dependent_rules()
    assert (example.picked, example.best) == ((0, 1), (0, 2))
    assert example.information_picked == pytest.approx(1 - entropy(0.8))
    assert example.information_best == pytest.approx(votes_and_labels([0.8, 0.7], 0.5, [1, 1])[0])
    assert example.vote_information([0, 1]) == pytest.approx(example.vote_information([0]))


def test_a_loud_noisy_rule_is_picked_before_a_quiet_good_one():
    example = theory.unequal_noise()
    assert (example.picked, example.best) == ((0,), (1,))
    assert example.information_picked == pytest.approx(1 - entropy(0.6))
    assert example.information_best == pytest.approx(1 - entropy(0.9))


def test_a_reversed_rule_leaves_the_sum_label_with_nothing_though_the_votes_tell_most():
    example = theory.reversed_rules()
    p, size = [0.9, 0.1, 0.7], [1.0, 1.0, 0.5]
    by_hand = {
        s: votes_and_labels([p[j] for j in s], 0.5, [size[j] for j in s])
        for s in combinations(range(3), 2)
    }
    assert example.picked == (0, 1) == max(by_hand, key=lambda s: by_hand[s][0])
    assert example.best == (0, 2) == max(by_hand, key=lambda s: by_hand[s][1])
    for subset, (votes, label, accuracy) in by_hand.items():
        assert example.vote_information(subset) == pytest.approx(votes)
        assert example.label_information(subset) == pytest.approx(label, abs=1e-15)
        assert example.label_accuracy(subset) == pytest.approx(accuracy)
    assert example.information_picked == pytest.approx(0, abs=1e-15)
    assert example.label_accuracy(example.picked) == pytest.approx(0.5)


def test_a_rule_chosen_after_seeing_it_has_an_information_no_fixed_rule_has():
    example = theory.selection_after_seeing()
    loud, quiet = 1 - entropy(0.9), 1 - entropy(0.6)
    assert example.information_fixed == pytest.approx([(loud + quiet) / 2] * 2)
    assert example.information_selected == pytest.approx(0.75 * loud + 0.25 * quiet)
    assert example.information_vote == pytest.approx(1 - entropy(0.75 * 0.9 + 0.25 * 0.6))
    both = [votes_and_labels([a, b], 0.5, [1, 1])[0] for a in (0.9, 0.6) for b in (0.9, 0.6)]
    assert example.information_all == pytest.approx(np.mean(both))


def test_the_majority_is_not_monotone_in_the_number_of_rules():
    example = theory.majority_not_monotone()
    assert example.majority == pytest.approx((0.9, 0.75, 0.792))
    assert theory.label_accuracy(example.accuracy) == pytest.approx(0.792)
    assert theory.label_accuracy(example.accuracy, "optimal") == pytest.approx(0.9)

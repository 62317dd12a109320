"""Are probabilities true: bins, the expected calibration error, labels' confidence."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss

from rulekit import measures
from rulekit.measures.probabilities import calibration_error_resampled


def test_bins_hold_what_was_given_in_equal_counts():
    probability = np.linspace(0.01, 0.99, 100)
    outcome = np.arange(100) % 2 == 0
    frame = measures.calibration(probability, outcome, bins=4)
    assert frame["n"].to_list() == [25] * 4
    assert frame["predicted"].is_sorted()
    first = frame.row(0, named=True)
    assert first["predicted"] == pytest.approx(probability[:25].mean())
    assert first["observed"] == pytest.approx(13 / 25)
    exact = binomtest(13, 25).proportion_ci(method="exact")
    assert (first["low"], first["high"]) == pytest.approx((exact.low, exact.high))
    assert first["gap"] == pytest.approx(13 / 25 - probability[:25].mean())


@given(st.permutations(range(40)))
def test_equal_predictions_share_a_bin_so_the_order_of_rows_changes_nothing(order):
    probability = np.repeat([0.2, 0.7], 20)
    outcome = np.r_[np.ones(4), np.zeros(16), np.ones(14), np.zeros(6)]
    error = measures.calibration_error(probability[order], outcome[order])
    assert error == pytest.approx(0, abs=1e-12)


def test_a_confident_minority_is_a_bin_of_its_own():
    probability = np.r_[np.zeros(960), np.ones(40)]
    outcome = np.r_[np.zeros(920), np.ones(40), np.zeros(40)]
    assert measures.calibration_error(probability, outcome) == pytest.approx(0.08)


def test_the_error_is_the_mean_gap_over_cases_and_that_of_the_frame():
    rng = np.random.default_rng(0)
    probability = rng.random(500)
    outcome = rng.random(500) < probability**2
    frame = measures.calibration(probability, outcome)
    expected = (frame["gap"].abs() * frame["n"]).sum() / frame["n"].sum()
    assert measures.calibration_error(probability, outcome) == pytest.approx(expected)
    assert expected == pytest.approx(1 / 6, abs=0.05)


def test_confidence_folds_labels_to_their_preferred_side_and_counts_a_tie_as_half():
    sure, right = measures.confidence([0.9, 0.4, 0.5, 0.2], [1, 1, -1, -1])
    assert sure == pytest.approx([0.9, 0.6, 0.5, 0.8])
    assert right.tolist() == [1, 0, 0.5, 1]
    for probability, preference in (([0.5], [0]), ([1.2], [1]), ([0.5, 0.5], [1])):
        with pytest.raises(ValueError, match="allowed"):
            measures.confidence(probability, preference)


@pytest.mark.parametrize(
    ("probability", "outcome", "bins", "message"),
    [
        ([0.5, 1.5], [0, 1], 10, "probability, row 1 is 1.5"),
        ([0.5, np.nan], [0, 1], 10, "probability, row 1 is nan"),
        (
            [0.5],
            [-1],
            10,
            "outcome, row 0 is -1.0; allowed: bool, or 0 to 1 with ½ for a tie; pref",
        ),
        ([0.5, 0.5], [1, None], 10, "outcome, row 1 is nan"),
        (["a"], [1], 10, "probability holds <U1; allowed: 0 to 1"),
        ([], [], 10, "not empty"),
        ([0.5], [1], 0, "bins is 0"),
    ],
)
def test_what_is_no_probability_or_outcome_is_refused(probability, outcome, bins, message):
    once = np.ones((1, len(probability)))
    for function, more in (
        (measures.calibration, ()),
        (measures.calibration_error, ()),
        (calibration_error_resampled, (once,)),
    ):
        with pytest.raises(ValueError, match=message):
            function(probability, outcome, bins, *more)
    if bins:
        with pytest.raises(ValueError, match=message):
            measures.brier_score(probability, outcome)


def test_true_and_false_are_1_and_0():
    probability, outcome = np.array([0.2, 0.7, 0.9]), np.array([False, True, True])
    for function in (measures.calibration_error, measures.brier_score):
        assert function(probability, outcome) == function(probability, outcome.astype(int))


@pytest.mark.parametrize("bins", [1, 2, 10, 1000])
def test_sorted_and_shuffled_rows_of_a_true_confidence_have_no_error(bins):
    probability, outcome = np.full(500, 0.7), np.arange(500) < 350
    for order in (np.arange(500), np.random.default_rng(0).permutation(500)):
        assert measures.calibration_error(probability[order], outcome[order], bins) < 1e-12
        table = measures.calibration(probability[order], outcome[order], bins)
        assert table["n"].to_list() == [500]


def test_a_bins_interval_is_wider_where_its_rows_share_prompts():
    probability, outcome = np.full(60, 0.6), np.repeat([1, 1, 1, 0, 0, 1], 10)
    alone = measures.calibration(probability, outcome)
    shared = measures.calibration(probability, outcome, groups=np.repeat(np.arange(6), 10))
    assert shared["high"][0] - shared["low"][0] > 2 * (alone["high"][0] - alone["low"][0])


def test_the_brier_score_is_scikit_learns_and_splits_without_bins():
    rng = np.random.default_rng(0)
    probability = rng.random(3000)
    outcome = rng.random(3000) < probability
    found = measures.brier_score(probability, outcome)
    assert found.value == pytest.approx(brier_score_loss(outcome, probability))
    assert found.value == pytest.approx(1 / 6, abs=0.01)  # the mean of p (1 - p)
    assert found.low < 1 / 6 < found.high
    assert found.calibration < 0.01
    assert found.calibration + found.refinement == pytest.approx(found.value)
    worse = measures.brier_score(probability**3, outcome)
    assert worse.refinement == pytest.approx(found.refinement)
    assert worse.calibration > 0.05
    assert worse.as_dict()["n"] == 3000


def test_known_brier_scores():
    half = measures.brier_score(np.full(10, 0.5), np.arange(10) % 2)
    assert (half.value, half.calibration, half.refinement) == pytest.approx((0.25, 0, 0.25))
    sure = measures.brier_score([1.0, 1, 0, 0], [1, 1, 0, 0])
    assert (sure.value, sure.low, sure.calibration, sure.refinement) == (0, 0, 0, 0)
    assert sure.high > 0.5  # four cases tell little
    wrong = measures.brier_score([1.0, 1, 0, 0], [0, 0, 1, 1])
    assert (wrong.value, wrong.calibration, wrong.refinement) == pytest.approx((1, 0.75, 0.25))
    shared = measures.brier_score([1.0, 1, 0, 0], [1, 1, 0, 0], ["a", "a", "b", "b"])
    assert shared.high > sure.high


def test_a_bin_is_found_by_the_middle_of_the_ranks_that_equal_predictions_take():
    frame = measures.calibration([0.1, 0.1, 0.1, 0.2], [0, 0, 0, 1], bins=2)
    assert frame["n"].to_list() == [3, 1]
    assert measures.calibration([0.1, 0.2], [0, 1], bins=1)["n"].to_list() == [2]


def test_the_error_of_each_draw_is_its_own_in_the_bins_of_all_rows():
    probability, outcome = np.array([0.2, 0.2, 0.9, 0.9]), np.array([0, 1, 1, 1.0])
    weights = np.array([[1, 1, 1, 1], [2, 0, 0, 2], [0, 0, 0, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = calibration_error_resampled(probability, outcome, 2, weights)
    assert found[:2] == pytest.approx([(0.6 + 0.2) / 4, (0.4 + 0.2) / 4])
    assert np.isnan(found[2])


def test_a_certain_label_has_confidence_one_on_either_side():
    sure, right = measures.confidence([0.0, 1.0], [-1, -1])
    assert (sure.tolist(), right.tolist()) == ([1, 1], [1, 0])

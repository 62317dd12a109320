"""Are probabilities true: bins, the expected calibration error, labels' confidence."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert (first["low"], first["high"]) == pytest.approx(measures.wilson(13, 25))
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
        ([0.5], [-1], 10, "outcome, row 0 is -1"),
        ([], [], 10, "not empty"),
        ([0.5], [1], 0, "bins is 0"),
    ],
)
def test_what_is_no_probability_or_outcome_is_refused(probability, outcome, bins, message):
    for function in (measures.calibration, measures.calibration_error):
        with pytest.raises(ValueError, match=message):
            function(probability, outcome, bins)


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

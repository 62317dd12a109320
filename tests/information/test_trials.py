"""The trials of the default estimator know the truth, and find what they say."""

import numpy as np
import pytest

import rulekit as rk
from rulekit.information import trials
from tests.information.drawn import two_gaussians

info = rk.information


def test_the_truth_of_every_case_is_a_closed_form_where_there_is_one():
    coin, quantities = two_gaussians(0.7) / np.log(2), -np.log2(1 - 0.36) / 2
    for zeros in (0.0, 0.4, 0.9):
        kept = 1 - zeros
        assert trials._truth(True, True, 0.0, zeros) == pytest.approx(kept * coin, abs=1e-5)
        assert trials._truth(False, True, 0.0, zeros) == pytest.approx(kept * quantities, abs=3e-4)
        for step in (1.0, 0.0):
            assert trials._truth(True, False, step, zeros) == 0
    # rounding only takes away
    of_steps = [trials._truth(False, True, step, 0.0) for step in (1.0, 0.1, 0.01)]
    assert of_steps == sorted(of_steps)


def test_the_truth_on_a_grid_is_that_of_many_draws():
    rng = np.random.default_rng(1)
    x, noise = rng.standard_normal((2, 400_000))
    y = np.rint(0.6 * x + 0.8 * noise)
    x = np.where(rng.random(len(x)) < 0.4, 0, np.rint(x))
    found = info.mutual_information(x, y, "miller_madow")
    assert found == pytest.approx(trials._truth(False, True, 1.0, 0.4), abs=0.003)


def test_bias_is_below_a_hundredth_of_a_bit_and_intervals_hold():
    frame = info.estimator_accuracy({200: 40}, steps=(1.0, 0.01), zeros=(0.0, 0.9))
    assert frame.height == 16
    for row in frame.iter_rows(named=True):
        assert abs(row["bias"]) < 0.01 + 3 * row["error"]
        assert row["covers"] >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / 40)
        assert row["width"] > 0
        assert row["highest"] >= row["truth"] + row["bias"]
    assert abs(frame["bias"].mean()) < 0.005
    independent = frame.filter(~frame["dependent"])
    assert (independent["peer_bias"] > 0).all()  # scikit-learn clips at 0


def test_equal_seeds_give_equal_trials():
    settings = {"steps": (0.1,), "zeros": (0.4,)}
    frame = info.estimator_accuracy({60: 3, 80: 2}, **settings, seed=5)
    assert frame["repeats"].to_list() == [3, 2] * 4
    assert frame.equals(info.estimator_accuracy({60: 3, 80: 2}, **settings, seed=5))
    assert not frame.equals(info.estimator_accuracy({60: 3, 80: 2}, **settings, seed=6))


@pytest.mark.parametrize(
    ("repeats", "settings", "message"),
    [
        ({100: 0}, {}, "repeats is 0; allowed: 1 or more"),
        ({1.5: 2}, {}, "pairs is 1.5; allowed: 1 or more"),
        ({100: 1}, {"steps": (-1,)}, "steps: allowed: 0 or more"),
        ({100: 1}, {"zeros": (1.0,)}, "zeros: allowed: from 0 on"),
        ({100: 1}, {"level": 95}, "level is 95; allowed"),
    ],
)
def test_trials_out_of_range_are_refused(repeats, settings, message):
    with pytest.raises(ValueError, match=message):
        info.estimator_accuracy(repeats, **settings)

"""Measures: scikit-learn, SciPy, planted gains, known cases."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, mutual_info_score, roc_auc_score

import rulekit as rk
from rulekit.measures import calibration


def test_calibration_bins_hold_every_case_and_a_perfect_forecast_has_no_error():
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    outcome = rng.random(20_000) < probability
    frame = rk.measures.calibration(probability, outcome)
    assert (len(frame), frame["n"].sum()) == (10, 20_000)
    inside = (frame["low"] <= frame["predicted"]) & (frame["predicted"] <= frame["high"])
    assert inside.sum() >= 8
    assert rk.measures.calibration_error(probability, outcome) < 0.02
    assert rk.measures.calibration_error(probability**3, outcome) > 0.1
    with pytest.raises(ValueError, match="allowed"):
        rk.measures.calibration([0.5], [True, False])


def test_paired_difference_finds_a_planted_gain_and_no_gain_in_equal_margins():
    rng = np.random.default_rng(0)
    truth = rng.choice([-1, 1], 900)
    prompts = np.repeat(np.arange(300), 3)
    good = np.where(rng.random(900) < 0.8, truth, -truth)
    bad = np.where(rng.random(900) < 0.6, truth, -truth)
    gain = rk.measures.paired_difference(good, bad, truth, prompts)
    expected = (good == truth).mean() - (bad == truth).mean()
    assert gain.value == pytest.approx(expected)
    assert gain.low < 0.2 < gain.high
    assert (gain.p_value < 0.001, gain.n, gain.n_groups) == (True, 900, 300)
    none = rk.measures.paired_difference(good, good, truth, prompts)
    assert (none.value, none.p_value) == (0, 1)


def test_measures_equal_those_of_scikit_learn_and_scipy():
    from scipy.stats import binomtest

    rng = np.random.default_rng(0)
    x, y = rng.integers(3, size=500), rng.integers(2, size=500)
    nats = rk.information.mutual_information(x, y, "plugin", "nats")
    assert nats == pytest.approx(mutual_info_score(x, y), abs=1e-12)
    score, positive = rng.integers(9, size=500), y > 0
    assert rk.measures.auc(score, positive)[0] == pytest.approx(roc_auc_score(positive, score))
    interval = binomtest(37, 60).proportion_ci(method="wilson")
    assert rk.measures.wilson(37, 60) == pytest.approx((interval.low, interval.high))
    p, target = rng.random((50, 8)), rng.random((50, 8)) > 0.6
    named = np.argsort(np.argsort(-p, axis=1), axis=1) < 3
    found = rk.measures.adapter_metrics(p, target, 3)
    assert found["micro_f1"] == pytest.approx(f1_score(target, named, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(target, named, average="macro"))


def test_accuracy_counts_ties_as_half_and_prompts_as_clusters():
    found = rk.measures.pairwise_accuracy([1, 0, -1, 5], [1, 1, 1, None], groups=list("aabc"))
    assert (found.value, found.n, found.ties) == (0.5, 3, 1)
    same = rk.measures.pairwise_accuracy([1] * 50 + [-1] * 50, [1] * 100, [0] * 50 + [1] * 50)
    assert same.n_groups == 2
    assert same.high - same.low > 4 * (same.wilson_high - same.wilson_low)


def test_calibration_of_known_cases():
    labels = [0.9] * 10 + [0.4] * 10, [1] * 9 + [-1] + [-1] * 6 + [1] * 4
    table = calibration(*rk.measures.confidence(*labels), bins=2)
    assert table["predicted"].to_list() == pytest.approx([0.6, 0.9])
    assert table["observed"].to_list() == pytest.approx([0.6, 0.9])
    with pytest.raises(ValueError, match=r"preference, row 0 is 0.0; allowed: -1 and \+1"):
        rk.measures.confidence([0.5], [0])


def test_cohen_kappa_knows_chance_agreement_and_refuses_unequal_lengths():
    assert rk.measures.cohen_kappa([1, 0, 1, 0], [1, 0, 1, 0]) == 1
    assert rk.measures.cohen_kappa([1, 1, 0, 0], [1, 0, 1, 0]) == 0
    with pytest.raises(ValueError, match="3 and 2 categories"):
        rk.measures.cohen_kappa([1, 1, 0], [1, 0])

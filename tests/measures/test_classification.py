"""AUC, κ, the adapter's and the judge's measures against foreign ones, plain and resampled."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm, t
from sklearn.metrics import cohen_kappa_score, f1_score, log_loss, roc_auc_score

from rulekit import measures
from rulekit.measures.classification import auc_resampled, kappa_resampled


def drawn(n: int, draws: int = 20, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), draws).astype(float)


def test_resampled_auc_equals_scikit_learns_weighted_one_with_ties_and_without():
    rng = np.random.default_rng(0)
    positive = rng.random(80) < 0.4
    for score in (rng.normal(size=80) + positive, rng.integers(4, size=80), np.zeros(80)):
        weights = drawn(80)
        theirs = [roc_auc_score(positive, score, sample_weight=w) for w in weights]
        assert auc_resampled(score, positive)(weights) == pytest.approx(theirs, abs=1e-12)
        assert measures.auc(score, positive)[0] == pytest.approx(roc_auc_score(positive, score))


def test_a_draw_of_one_kind_has_no_auc():
    area = auc_resampled([0.1, 0.2, 0.3], [True, False, False])
    found = area(np.array([[0, 1, 2], [1, 0, 0], [1, 1, 1.0]]))
    assert np.isnan(found[:2]).all()
    assert found[2] == 0.0


def test_the_auc_interval_is_newcombes_and_has_width_at_one():
    # Radiology 143 (1982): area .893, 51 abnormal and 58 normal, standard error .032
    rng = np.random.default_rng(0)
    positive = np.r_[np.ones(51, bool), np.zeros(58, bool)]
    score = rng.normal(size=109) + 1.76 * positive
    value, low, high = measures.auc(score, positive)
    assert value == pytest.approx(0.893, abs=0.04)
    assert (low, high) == measures.newcombe(value, 51, 58)
    assert (high - low) / (2 * 1.96) == pytest.approx(0.032, abs=0.006)
    one = measures.auc([0.0, 1.0], [False, True])
    assert one == (1.0, pytest.approx(1 / (1 + 1.959964**2)), 1.0)  # θ + z √(θ (1 - θ)) = 1
    with pytest.raises(ValueError, match="at least one of each"):
        measures.auc([1, 2], [True, True])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: measures.auc([0.1, np.nan], [0, 1]), "score, row 1 is nan; allowed: numbers"),
        (lambda: measures.auc([0.1, 0.2], [-1, 1]), "positive, row 0 is -1.0; allowed: bool, or 0"),
        (lambda: measures.auc([0.1, 0.2], [np.nan, 1]), "positive, row 0 is nan"),
        (lambda: auc_resampled([0.1, np.nan], [0, 1]), "score, row 1 is nan"),
        (lambda: measures.cohen_kappa([1, np.nan], [1, 0]), "first, row 1 is missing"),
        (lambda: measures.cohen_kappa(["a", "b"], ["a", None]), "second, row 1 is missing"),
        (lambda: kappa_resampled([1, 0], [1, np.nan]), "second, row 1 is missing"),
        (
            lambda: measures.cohen_kappa(np.ma.array([1, 0], mask=[True, False]), [1, 0]),
            "first, row 0 is missing",
        ),
        (
            lambda: measures.adapter_metrics([[0.1, np.nan]], [[True, False]], 1),
            "probabilities, row 0, column 1 is nan",
        ),
        (
            lambda: measures.adapter_metrics([[0.1, 0.2]], [[2, 0]], 1),
            "target, row 0, column 0 is 2",
        ),
        (
            lambda: measures.adapter_metrics([[0.1, 0.2]] * 2, [[1, 0]] * 2, 1, ["a"]),
            r"groups have shape \(1,\); allowed: \(2,\)",
        ),
        (
            lambda: measures.judge_metrics([[[0.2, np.nan, 0.3]]], [[1]], [[0.3, 0.4, 0.3]]),
            "probabilities, row 0, column 0, layer 1 is nan",
        ),
        (
            lambda: measures.judge_metrics([[[0.2, 0.5, 0.3]]], [[1]], [[0.3, 0.4, 0.3]], "ab"),
            r"groups have shape \(2,\); allowed: \(1,\)",
        ),
        (
            lambda: measures.judge_metrics([[[0.2, 0.5, 0.3]]], [[np.nan]], [[0.3, 0.4, 0.3]]),
            "truth, row 0, column 0 is nan",
        ),
    ],
)
def test_what_is_missing_or_out_of_range_is_refused_by_name_and_place(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_resampled_kappa_equals_scikit_learns_weighted_one():
    rng = np.random.default_rng(0)
    first = rng.integers(-1, 2, 60)
    second = np.where(rng.random(60) < 0.6, first, rng.integers(-1, 2, 60))
    weights = drawn(60)
    theirs = [cohen_kappa_score(first, second, sample_weight=w) for w in weights]
    assert kappa_resampled(first, second)(weights) == pytest.approx(theirs, abs=1e-12)
    assert measures.cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    assert np.isnan(measures.cohen_kappa([1, 1], [1, 1]))


def test_adapter_measures_equal_scikit_learns_and_count_rules_that_occur():
    rng = np.random.default_rng(1)
    scores, target = rng.random((40, 6)), rng.random((40, 6)) > 0.6
    target[:, 5] = False
    named = np.argsort(np.argsort(-scores, axis=1), axis=1) < 2
    found = measures.adapter_metrics(scores, target, 2)
    assert found["micro_f1"] == pytest.approx(f1_score(target, named, average="micro"))
    occurs = f1_score(target[:, :5], named[:, :5], average="macro")
    assert found["macro_f1"] == pytest.approx(occurs)
    chosen = target.sum(axis=1)
    recall = (named & target).sum(axis=1) / np.maximum(chosen, 1)
    assert found["recall_at_k"] == pytest.approx(recall.mean())
    assert found["random_recall_at_k"] == pytest.approx(2 / 6)
    with pytest.raises(ValueError, match="probabilities have shape"):
        measures.adapter_metrics(scores, target[:, :3], 2)


@pytest.mark.parametrize("k", [0, 7])
def test_more_rules_than_there_are_cannot_be_named(k):
    with pytest.raises(ValueError, match=f"k is {k}; allowed: 1 to 6"):
        measures.adapter_metrics(np.ones((2, 6)), np.ones((2, 6), bool), k)


def test_readers_of_other_shapes_are_refused_though_they_gave_as_many_categories():
    with pytest.raises(ValueError, match="allowed: as many"):
        measures.cohen_kappa(np.ones((2, 3)), np.ones((3, 2)))


def expanded(groups: int) -> tuple[float, float]:
    """Hesterberg's percentiles: of t, and of samples rather than draws."""
    tail = norm.cdf(-np.sqrt(groups / (groups - 1)) * t.ppf(0.975, groups - 1))
    return tail, 1 - tail


def test_adapter_intervals_are_those_of_measuring_every_draw_anew():
    rng = np.random.default_rng(2)
    scores, target = rng.random((30, 5)), rng.random((30, 5)) > 0.5
    groups = np.repeat(np.arange(10), 3)
    found = measures.adapter_metrics(scores, target, 2, groups, seed=7, resamples=300)
    names = ("recall_at_k", "micro_f1", "macro_f1")
    drawn = np.random.default_rng(7).integers(10, size=(300, 10))
    values = []
    for draw in drawn:
        rows = np.concatenate([np.flatnonzero(groups == g) for g in draw])
        one = measures.adapter_metrics(scores[rows], target[rows], 2)
        values.append([one[name] for name in names])
    low, high = np.quantile(values, expanded(10), axis=0)
    for name, a, b in zip(names, low, high, strict=True):
        assert (found[f"{name}_low"], found[f"{name}_high"]) == pytest.approx((a, b))


def test_judge_measures_equal_scikit_learns_beside_the_floor_with_intervals_over_prompts():
    rng = np.random.default_rng(3)
    p = rng.dirichlet([1, 2, 1], (24, 7))
    truth = rng.integers(-1, 2, (24, 7))
    prior = rng.dirichlet([1, 1, 1], 7)
    prompts = np.repeat(np.arange(8), 3)
    found = measures.judge_metrics(p, truth, prior, prompts, seed=1, resamples=100)
    for prefix, q in (("", p), ("floor_", np.broadcast_to(prior, p.shape))):
        flat = q.reshape(-1, 3)
        assert found[f"{prefix}log_loss"] == pytest.approx(
            log_loss(truth.ravel(), flat, labels=[-1, 0, 1])
        )
        relevant = truth.ravel() != 0
        assert found[f"{prefix}relevant_auc"] == pytest.approx(
            roc_auc_score(relevant, 1 - flat[:, 1])
        )
        assert found[f"{prefix}satisfied_auc"] == pytest.approx(
            roc_auc_score(truth.ravel()[relevant] > 0, (flat[:, 2] - flat[:, 0])[relevant])
        )
    draws = np.random.default_rng(1).integers(8, size=(100, 8))
    rows = [np.concatenate([np.flatnonzero(prompts == g) for g in d]) for d in draws]
    losses = [measures.judge_metrics(p[r], truth[r], prior)["log_loss"] for r in rows]
    expected = np.quantile(losses, expanded(8))
    assert (found["log_loss_low"], found["log_loss_high"]) == pytest.approx(tuple(expected))
    assert "log_loss_low" not in measures.judge_metrics(p, truth, prior)


def test_an_auc_of_five_cases_by_hand():
    value, low, high = measures.auc([0.1, 0.2, 0.4, 0.3, 0.5], [False, False, False, True, True])
    assert value == pytest.approx(5 / 6)
    assert 0.2 < low < 5 / 6 < high < 1
    with pytest.raises(ValueError, match=r"score has shape \(2,\), positive \(3,\)"):
        measures.auc([0.1, 0.2], [True, False, True])


def test_measures_of_draws_without_a_value_are_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(auc_resampled([], [])(np.ones((3, 0)))).all()
        assert np.isnan(auc_resampled([1.0, 2], [True, True])(np.ones((2, 2)))).all()
        assert np.isnan(kappa_resampled([1, 1], [1, 1])(np.ones((2, 2)))).all()


def test_equal_scores_name_the_first_rules_and_a_rule_chosen_once_counts_for_macro_f1():
    target = np.zeros((2, 40), bool)
    target[:, 0], target[1, 1] = True, True
    found = measures.adapter_metrics(np.zeros((2, 40)), target, 1)
    assert found["recall_at_k"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["macro_f1"] == pytest.approx((1 + 0) / 2)
    two = measures.adapter_metrics(np.zeros((2, 40)), target, 2)  # rules 0 and 1, each time
    assert two["macro_f1"] == pytest.approx((2 * 2 / (2 + 2) + 2 * 1 / (1 + 2)) / 2)


def test_an_annotation_that_a_judge_held_impossible_costs_a_finite_log_loss():
    p = np.array([[[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]], [[0.2, 0.6, 0.2], [0.0, 0.0, 1.0]]])
    truth = np.array([[1, 0], [-1, 1]])
    found = measures.judge_metrics(p, truth, np.full((2, 3), 1 / 3))
    assert found["log_loss"] == pytest.approx(-(2 * np.log(1e-9) + np.log(0.2)) / 4)


def test_intervals_follow_their_seed():
    rng = np.random.default_rng(0)
    scores, target = rng.random((30, 5)), rng.random((30, 5)) > 0.5

    def ends(seed):
        found = measures.adapter_metrics(scores, target, 2, range(30), seed=seed, resamples=50)
        return found["recall_at_k_low"], found["micro_f1_high"]

    assert ends(1) == ends(1) != ends(2)

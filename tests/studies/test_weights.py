"""Rules weighted by a few labels: learned from other prompts only, and claimed as intervals allow."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

import rulekit as rk
from rulekit import studies


def world(n_prompts: int = 40, per: int = 3, seed: int = 0):
    """One rule that is always right and quiet, two that are coins and loud."""
    rng, n = np.random.default_rng(seed), n_prompts * per
    y = rng.choice([-1, 1], n)
    delta = np.stack([0.4 * y, *rng.choice([-1.0, 1.0], (2, n))], axis=1)
    pairs = pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "prompt": [f"prompt {i // per}" for i in range(n)],
            "response_a": [f"a {i}" for i in range(n)],
            "response_b": [f"b {i}" for i in range(n)],
            "preference": y.astype(np.int8),
        }
    )
    return pairs, rk.Scores.from_discrepancy(delta)


@pytest.fixture(scope="module")
def curve():
    return studies.weights_by_labels(*world(), (0, 10, 60), k=1, repeats=2)


def test_labels_find_the_quiet_rule_that_is_always_right(curve):
    own = curve.filter(pl.col("name") == studies.WEIGHTED).sort("labels")
    assert own["value"][-1] > 0.9 > own["value"][0]
    assert own["gain_low"][-1] > 0
    assert (own["least"] <= own["value"]).all()
    assert (own["value"] <= own["most"]).all()


def test_what_needs_no_label_is_the_same_at_every_number_and_has_no_gain_over_itself(curve):
    plain = curve.filter(pl.col("name") != studies.WEIGHTED)
    assert set(plain["name"]) == {"sum of all rules", "1 of largest |δ|"}
    assert (plain.group_by("name").agg(pl.col("value").n_unique())["value"] == 1).all()
    whole = plain.filter(pl.col("name") == "sum of all rules")
    assert whole["gain"].null_count() == len(whole)
    assert whole["over_k"].null_count() == 0


def test_preferences_that_are_noise_teach_nothing_about_other_prompts():
    pairs, scores = world(seed=1)
    coins = np.random.default_rng(5).choice([-1, 1], len(pairs)).astype(np.int8)
    found = studies.weights_by_labels(
        pairs.with_columns(preference=pl.Series(coins)), scores, (60,), k=1, repeats=2
    )
    own = found.filter(pl.col("name") == studies.WEIGHTED).row(0, named=True)
    assert own["low"] < 0.5 < own["high"]


def test_more_labels_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"labelled is \[500\]; allowed: 0 to"):
        studies.weights_by_labels(*world(10), (500,), k=1)


def test_a_pair_is_weighted_by_other_prompts_only():
    pairs, scores = world()
    turned = pairs.with_columns(
        preference=pl.when(pl.col("prompt") == "prompt 0")
        .then(-pl.col("preference"))
        .otherwise(pl.col("preference"))
    )
    one, other = (studies.reweighted_pair(p, scores, 0, (20,), draws=2) for p in (pairs, turned))
    for a, b in zip(one, other, strict=True):
        assert a.equals(b)
    by_labels, by_rule = one
    assert by_labels["labels"].to_list() == [20, 117]
    assert by_labels["margin"][-1] * pairs["preference"][0] > 0
    assert by_rule["adds"].sum() == pytest.approx(by_labels["margin"][-1], rel=1e-4)
    quiet = by_rule.filter(pl.col("discrepancy").abs() < 0.5).row(0, named=True)
    assert quiet["right"] == 1
    assert quiet["others"] < 0.7


def test_two_rules_are_told_as_they_stand_to_each_other():
    pairs, _ = world(2, 2)
    y = pairs["preference"].to_numpy()
    first, second = y * [1, 1, 1, 0], y * [-1, -1, 1, 1]
    scores = rk.Scores.from_discrepancy(np.stack([first, second], axis=1).astype(float))
    one, two = scores.names
    said = studies.two_rules_said(pairs, scores, one, two)
    assert "both vote on 3 pairs, against each other on 2 of them" in said
    assert f"There `{one}` is right on 100 %" in said
    assert f"Where `{one}` is silent, `{two}` is right on 100 % of 1." in said
    with pytest.raises(ValueError, match="no rule 'x'; allowed: "):
        studies.two_rules_said(pairs, scores, "x", two)


def test_noise_makes_the_label_too_sure_and_half_of_beta_repairs_it():
    found = studies.overconfidence(5, 0.5, 1.0, (1.0, 0.5))
    assert found["right"].to_list() == pytest.approx([norm.cdf(2.5 / 10**0.5)] * 2, abs=1e-4)
    assert found["confidence"].to_list() == pytest.approx([0.878, 0.785], abs=5e-4)
    perfect = studies.overconfidence(5, 0.5, 0.0, (1.0,)).row(0, named=True)
    assert perfect["confidence"] == pytest.approx(perfect["right"], abs=1e-4)


def test_words_claim_only_what_the_differences_allow(curve, monkeypatch):
    monkeypatch.delenv("RULEKIT_DATA", raising=False)
    nothing = studies.real_weights()
    assert nothing.is_empty()
    said = studies.weights_findings(curve, nothing, 60)
    assert "which is above the sum of all rules by" in said
    assert "were not measured here" in said
    real = curve.filter(pl.col("labels") == 60).with_columns(data=pl.lit("real ones"))
    said = studies.weights_findings(curve, real, 60)
    assert "beyond chance, on 1 of 1 sets" in said
    level = real.with_columns(over_k_low=-0.1)
    assert "beyond chance, on 0 of 1 sets" in studies.weights_findings(curve, level, 60)
    assert studies.weights_title(curve, 60).startswith("Weighted by 60 labels: ")

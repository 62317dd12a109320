"""The lessons on votes, assumptions and estimation: their frames by hand, and what they say."""

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

import rulekit as rk
from rulekit import studies

TOY = np.array([1.6, -0.9, 0.4, 0.2])


@pytest.mark.parametrize("name", studies.LINKS)
def test_a_link_starts_at_one_half_and_never_falls(name):
    link, size = studies.LINKS[name], np.linspace(0, 2, 401)
    found = np.asarray(link(size))
    assert link(0.0) == 0.5
    assert (np.diff(found) >= 0).all()
    assert found.max() <= 1


def test_no_subset_beats_the_largest_discrepancies_under_any_link():
    half = np.random.default_rng(3).uniform(-1, 1, (20, 8))
    found = studies.against_every_subset(rk.Scores(half, -half), k=3)
    assert found["pairs"].to_list() == [20, 20, 20]
    assert found["largest_shortfall"].max() < 1e-12


def test_the_label_of_the_toy_is_less_sure_with_two_rules_and_right_as_often_with_any_number():
    found = studies.label_by_k(TOY)
    assert found["confidence"].to_list() == pytest.approx([0.832, 0.668, 0.750, 0.786], abs=5e-4)
    assert found["right"].to_list() == pytest.approx([expit(1.6)] * 4)
    assert found["bits"].is_sorted()
    assert set(found["label"]) == {"A"}
    with pytest.raises(ValueError, match="allowed: the largest"):
        studies.label_by_k(TOY[::-1])


def test_the_noisy_copy_is_right_as_often_as_the_weaker_rule():
    frame = studies.noisy_copy(expit(1.6), expit(0.9))
    by = frame.group_by("panel", maintain_order=True).agg(pl.col("right", "flipped").sum())
    assert by["right"].to_list() == [83, 83, 71]
    assert by["flipped"].to_list() == [0, 18, 18]
    same = studies.noisy_copy(0.8, 0.8)
    assert not same["flipped"].any()
    for strong, weak in ((0.5, 0.5), (1.0, 0.7), (0.7, 0.8), (0.7, 0.4)):
        with pytest.raises(ValueError, match=r"allowed: 0\.5 < strong < 1"):
            studies.noisy_copy(strong, weak)


def test_subsets_stand_in_the_order_of_what_they_tell():
    found = studies.told_by_subset(expit(np.abs(TOY)), 2)
    assert found["rules"].to_list() == ["1, 2", "1, 3", "1, 4", "2, 3", "2, 4", "3, 4"]
    assert (found["bits"] < found["added"]).all()
    with pytest.raises(ValueError, match="k is 5; allowed: 12 or fewer"):
        studies.told_by_subset([0.6] * 4, 5)


def test_a_reversed_rule_spoils_the_label_and_not_the_votes():
    found = studies.reversed_rule(TOY)
    assert found["bits"].to_list() == pytest.approx([0.4397] * 3, abs=5e-5)
    assert found["right"].to_list() == pytest.approx([expit(1.6), 1 - expit(1.6), expit(1.6)])
    as_assumed, _, turned = found["said"]
    assert as_assumed == pytest.approx(expit(1.6))  # the confidence of a Bayes label is honest
    assert turned == pytest.approx(expit(1.6))


def test_the_exchange_is_told_rule_by_rule():
    found = studies.exchange_rows(rk.theory.asymmetric_channel())
    assert found["for_b"].to_list() == pytest.approx([0.78, 0.5])
    assert found["for_a"].to_list() == pytest.approx([0.78, 1.0])
    assert found["exchanged"].to_list() == pytest.approx([0.240, 0.189], abs=5e-4)


def test_ten_rules_and_five_of_them_are_level_where_the_correlation_is_one_half():
    lines, none = studies.redundant_rules()
    assert none is None
    at = {r["series"]: r["y"] for r in lines.filter((pl.col("x") - 0.5).abs() < 1e-9).to_dicts()}
    assert at["sum of ten"] == pytest.approx(at["sum of the five independent"])
    assert at["best weights on ten"] > at["sum of ten"]
    _, dots = studies.redundant_rules(2000)
    assert (lines["y"] - dots["y"]).abs().max() < 5 * 0.5 / 2000**0.5


def test_the_pair_of_the_course_has_two_voices():
    pairs, rules = rk.load_pairs("embedded"), rk.RuleSet.load("embedded")
    scores = rk.annotate(pairs, rules, rk.judge("recorded"))
    five = ["states-illegality", "offers-lawful-route", "actionable-detail"]
    five += ["no-false-claims", "no-invented-law"]
    found = studies.vote_pairs(pairs, scores, five)
    rows = {(r["first"], r["second"]): r for r in found.to_dicts()}
    for pair in (five[:2], five[1:3], (five[0], five[2]), five[3:]):
        assert rows[tuple(pair)]["alike"] > 0.9 > rows[tuple(pair)]["expected"]
    row = rows["actionable-detail", "no-false-claims"]
    assert row["high"] < row["expected"]
    assert row["first_right"] < 0.5 < row["second_right"]
    with pytest.raises(ValueError, match="no rule 'x'"):
        studies.vote_pairs(pairs, scores, ["x", "y"])


def test_votes_are_counted_by_size_and_the_link_is_too_sure_of_the_loud_ones():
    pairs, rules = rk.load_pairs("embedded"), rk.RuleSet.load("embedded")
    scores = rk.annotate(pairs, rules, rk.judge("recorded"))
    others = pairs.filter(~pl.col("pair_id").str.starts_with("violence-01:"))
    found = studies.right_by_size(others, scores)
    assert found["size"].to_list() == [1, 2]
    assert found["votes"].sum() == np.count_nonzero(scores.of(others).votes)
    assert found["right"].to_list() == pytest.approx([0.73, 0.77], abs=5e-3)
    assert found["supposed"].to_list() == pytest.approx(expit([1.0, 2.0]))
    assert (found["low"] < found["right"]).all()
    said = "votes of |δ| = 2 are right in 77 of 100 cases"
    assert studies.link_finding(found) == f"σ is too sure: {said}, not in 88"
    odds = np.log(found["right"] / (1 - found["right"])).to_numpy()
    assert odds[1] / odds[0] == pytest.approx(1.2, abs=0.05)
    total = np.array([-3 + 1, 1]) @ odds[::-1]  # the bat: three of -2, one of +2, one of +1
    assert (total, expit(-total)) == pytest.approx((-1.4, 0.8), abs=0.03)


@pytest.mark.parametrize(
    ("low", "right", "high", "said"),
    [
        (0.8, 0.85, 0.9, "σ fits: votes of |δ| = 2 are right in 85 of 100 cases"),
        (0.9, 0.95, 0.99, "σ is not sure enough: votes of |δ| = 2 are right in 95 of 100"),
    ],
)
def test_what_is_said_of_the_link_follows_its_interval(low, right, high, said):
    row = {"size": 2.0, "votes": 9, "right": right, "low": low, "high": high, "supposed": 0.88}
    assert studies.link_finding(pl.DataFrame([row])).startswith(said)


def test_a_world_counts_where_the_loudest_are_ten_points_behind():
    value = {"five largest |δ|, summed": [0.8, 0.8], "five, weights known": [0.89, 0.91]}
    rows = [
        {"world": f"world {i}", "method": method, "value": of[i]}
        for i in range(2)
        for method, of in value.items()
    ]
    title = "In 1 of 2 worlds the five loudest rules are far from the best five"
    assert studies.worlds_title(pl.DataFrame(rows)) == title


def test_subsets_of_a_counter_example_are_counted_from_one():
    found = studies.choice_rows(rk.theory.dependent_rules())
    assert found["rules"].to_list() == ["1, 2", "1, 3", "2, 3"]
    assert found["choice"].to_list() == ["max discrepancy", "best", "best"]  # 1 and 2 are one vote
    assert found["accuracy"].to_list() == ["80.0 %, 80.0 %", "80.0 %, 70.0 %", "80.0 %, 70.0 %"]
    by_label = studies.choice_rows(rk.theory.reversed_rules())
    assert by_label["choice"].to_list() == ["max discrepancy", "best", "best"]  # of the label


def test_the_plug_in_is_too_high_by_its_first_order_term_and_miller_madow_is_not():
    rng = np.random.default_rng(0)
    found = studies.bias_by_n((0.5, 0.8), (100, 500), 20_000, rng, ("plugin", "miller_madow"))
    for row in found.to_dicts():
        expected = 1 / (2 * row["n"] * np.log(2)) if row["series"] == "plugin" else 0
        assert abs(row["bias"] - expected) < 4 * row["error"] + 0.5 / row["n"] ** 1.5


def test_the_interval_of_the_plug_in_never_holds_zero_and_its_share_has_a_width():
    found = studies.interval_trials((0.5, 0.8), n=100, repeats=60, resamples=100)
    row = found.filter((pl.col("right") == 0.5) & (pl.col("estimator") == "plugin")).row(
        0, named=True
    )
    assert (row["covers"], row["above"]) == (0, 1)
    assert row["low"] == pytest.approx(0, abs=1e-9)
    assert row["high"] == pytest.approx(1.96**2 / (60 + 1.96**2), abs=1e-3)  # Wilson's, of 0 of 60
    assert found.filter(pl.col("right") == 0.8)["covers"].min() > 0.8


def test_few_labels_find_few_rules_and_a_coin_none():
    pairs, rules = rk.load_pairs("embedded"), rk.RuleSet.load("embedded")
    scores = rk.annotate(pairs, rules, rk.judge("recorded"))
    found = studies.found_by_labels(pairs, scores, (30, 144), repeats=3, permutations=999)
    rows = {(r["labels"], r["preference"]): r for r in found.to_dicts()}
    assert rows[144, "known"]["q ≤ .1"] > 5 > rows[144, "coin"]["q ≤ .1"]
    assert rows[144, "known"]["q ≤ .1"] > rows[30, "known"]["q ≤ .1"]
    with pytest.raises(ValueError, match="sizes has 145; allowed: 1 to the number of prompts, 144"):
        studies.found_by_labels(pairs, scores, (145,), 1)


def test_the_lessons_conclude_what_their_figures_are():
    check = pl.DataFrame({"link": ["a"], "pairs": [5], "largest_shortfall": [0.0]})
    said = studies.vote_findings(TOY, check)
    assert "Of all couples of rules, rules 1 and 2 tell most, 0.422 bits together" in said
    assert "never beaten by another subset, in 5 trials" in said
    assert "the label stays, the confidence goes from 0.83 to 0.79" in said
    worse = check.with_columns(largest_shortfall=pl.lit(0.1))
    assert "lacked up to 0.1 bits" in studies.vote_findings(TOY, worse)
    assert "the label changes" in studies.vote_findings([1.0, -0.9, -0.8], check)

"""What is said of pairs before they are rated: facts of the frame, and claims that its figures allow."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.studies.described import doubled, reach_of_labels


def frame(preference, a=None, b=None, prompts=None):
    n = len(preference)
    return pl.DataFrame(
        {
            "pair_id": [f"p{i}" for i in range(n)],
            "prompt": prompts or [f"prompt {i}" for i in range(n)],
            "response_a": a or [f"one {i}" for i in range(n)],
            "response_b": b or [f"other {i}" for i in range(n)],
            "preference": preference,
        },
        schema_overrides={"preference": pl.Int8},
    )


def value(facts, name):
    return facts.filter(pl.col("fact").str.starts_with(name)).row(0, named=True)


def test_the_facts_are_those_of_the_frame():
    pairs = frame([1, -1, 0, None], ["aa"] * 4, ["b"] * 4, ["x", "x", "y", "z"])
    facts = rk.studies.pair_facts(pairs)
    assert value(facts, "pairs")["value"] == "4"
    assert value(facts, "prompts") == {
        "fact": "prompts",
        "value": "3",
        "remark": "1 to 2 pairs each",
    }
    known = value(facts, "known preference")
    assert (known["value"], known["remark"]) == ("2", "A 1, B 1; tied 1, not known 1")
    assert value(facts, "different responses")["value"] == "6"
    assert value(facts, "length of a response")["remark"] == (
        "median; one in ten above 2, the longest 2"
    )


def test_doubled_pairs_are_counted_in_either_order_and_case():
    pairs = frame([1] * 3, ["Yes", "no", "same"], ["no", "YES  ", "Same "], ["x"] * 3)
    assert doubled(pairs) == (1, 1)
    said = rk.studies.data_findings(pairs, rk.studies.simple_baselines(pairs), 0, 3)
    assert "1 pairs repeat another and 1 compare a response with itself" in said
    assert "None of the 3 rules has a remark." in said


def test_a_baseline_is_claimed_only_where_its_interval_leaves_the_coin():
    a = ["a long response"] * 60
    always = frame([1] * 60, a, ["short"] * 60)
    said = rk.studies.data_findings(always, rk.studies.simple_baselines(always), 2, 9)
    assert "The longer response is the preferred one in 100.0 %" in said
    assert "a method has to do better than that" in said
    assert "The preferred response is always A" in said
    half = frame([1, -1] * 30, a, ["short"] * 60)
    said = rk.studies.data_findings(half, rk.studies.simple_baselines(half), 2, 9)
    assert said.count("which cannot be told from a coin") == 2
    assert "has to do better" not in said
    assert "always" not in said
    assert "2 of the 9 rules have a remark" in said


def test_without_known_preferences_there_are_no_baselines_and_labels_are_asked_for():
    pairs = frame([None] * 5)
    baselines = rk.studies.simple_baselines(pairs)
    assert baselines.is_empty()
    said = rk.studies.data_findings(pairs, baselines, 0, 3)
    assert "known for none of the 5 pairs" in said
    assert "30 labels" in said


@pytest.mark.parametrize(("n", "least"), [(30, 70), (100, 60)])
def test_what_labels_would_tell_is_what_wilsons_interval_says(n, least):
    said = reach_of_labels(n)
    assert f"{n} labels" in said
    assert f"right on {least} %" in said
    low, high = rk.measures.wilson(0.7 * n, n)
    assert f"± {50 * (high - low):.0f} points" in said
    assert rk.measures.wilson(round(n * least / 100), n)[0] > 0.5
    assert rk.measures.wilson(round(n * least / 100) - 1, n)[0] <= 0.5
    assert "about 15 of them" in reach_of_labels(30, 0.5)
    assert "too few" in reach_of_labels(3)


def test_the_pair_shown_is_the_courses_own_else_the_first_that_is_known():
    assert rk.studies.example_pair(rk.load_pairs("embedded"))["pair_id"] == "violence-01:b-d"
    assert rk.studies.example_pair(frame([None, 0, -1, 1]))["row"] == 2
    assert rk.studies.example_pair(frame([None, 0]))["row"] == 0


def test_categories_are_counted_the_largest_first():
    rules = rk.RuleSet(
        tuple(rk.Rule(f"r{i}", f"It is {i}.", "few" if i == 0 else "many") for i in range(4))
    )
    assert rk.studies.rules_by_category(rules).rows() == [("many", 3), ("few", 1)]


def test_the_reach_of_the_data_narrows_with_pairs_and_not_with_pairs_of_one_prompt():
    one = frame(np.tile([1, -1], 30).tolist(), prompts=["the same"] * 60)
    many = frame(np.tile([1, -1], 30).tolist())
    none = pl.DataFrame(schema={"name": pl.String, "value": float})
    said = rk.studies.data_findings(many, none, 0, 1)
    assert "(say 70 %) is known to about ± 11 points. Smaller" in said
    said = rk.studies.data_findings(one, none, 0, 1)
    assert "± 11 points if every pair is a case of its own; ±" in said
    assert "if the 60 pairs of a prompt count as one case; the truth lies between" in said


def test_the_pairs_of_a_prompt_are_counted_only_where_all_prompts_have_as_many():
    none = pl.DataFrame(schema={"name": pl.String, "value": float})
    prompts = [f"p{i // 6}" for i in range(60)]
    said = rk.studies.data_findings(frame([1] * 60, prompts=prompts), none, 0, 1)
    assert "if the six pairs of a prompt count as one case" in said
    said = rk.studies.data_findings(frame([0] + [1] * 59, prompts=prompts), none, 0, 1)
    assert "if all pairs of a prompt count as one case" in said


def test_a_reader_that_is_worse_than_a_coin_is_turned_round():
    never = frame([-1] * 60, ["a long response"] * 60, ["short"] * 60)
    said = rk.studies.data_findings(never, rk.studies.simple_baselines(never), 0, 9)
    assert "The longer response is the preferred one in 0.0 %" in said
    assert "turned round it is right on 100.0 %" in said

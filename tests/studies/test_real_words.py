"""Sentences on real readings: a claim where the frame allows it, and none where it does not."""

import polars as pl
import pytest

import rulekit as rk

studies = rk.studies
SURE = {"gain": 0.1, "gain_low": 0.05, "gain_high": 0.15, "gain_p": 0.0001}
UNSURE = {"gain": 0.01, "gain_low": -0.05, "gain_high": 0.07, "gain_p": 0.7}
WORSE = {"gain": -0.1, "gain_low": -0.15, "gain_high": -0.05, "gain_p": 0.0001}
NONE = dict.fromkeys(SURE)


def table(verdict=UNSURE, largest=UNSURE, agreed=UNSURE, low=0.52):
    rows = [
        ("verdict without rules", verdict),
        ("sum of all rules", NONE),
        ("Dawid–Skene", agreed),
        ("maximum discrepancy", largest),
        ("random rules", WORSE),
        ("longer response", WORSE),
    ]
    told = [{"name": n, "value": 0.6, "low": low, "high": 0.7, "n": 300} | g for n, g in rows]
    return pl.DataFrame(told, infer_schema_length=None)


def learned(gain=UNSURE):
    row = {"labelled": 100, "selector": "all", "label": "weighted", "k": 100, "value": 0.62}
    return pl.DataFrame([row | {n.replace("gain", "over_sum"): v for n, v in gain.items()}])


def slopes(low, high):
    rows = [(n, (low + high) / 2, low, high) for n in ("all votes", "within rules")]
    return pl.DataFrame(rows, schema=["name", "value", "low", "high"], orient="row")


def best(gain=UNSURE):
    row = {"name": "known from other prompts", "value": 0.65}
    return pl.DataFrame([row | {n.replace("gain", "over"): v for n, v in gain.items()}])


def stability(low=5.0, high=7.0):
    rows = [("random", 30.0, 28.0, 32.0), ("listed first", 6.0, low, high)]
    rows.append(("largest |δ| first", 2.0, 1.5, 2.5))
    return pl.DataFrame(rows, schema=["order", "rules", "low", "high"], orient="row")


def said(**frames):
    given = {
        "table": table(),
        "learned": learned(),
        "slopes": slopes(-0.1, 0.1),
        "best": best(),
        "stability": stability(),
    }
    return studies.real_findings(**(given | frames), k=5)


def test_there_are_five_sentences_and_nothing_is_claimed_without_evidence():
    text = said()
    assert text.count("\n") == 4
    assert "it cannot be told apart from a verdict without rules" in text
    assert "maximum discrepancy is not to be told from it" in text
    assert "random rules is below it" in text
    assert "with 100 known pairs 62.0 %, not to be told apart" in text
    assert "cannot be said to be right more often where its" in text
    assert "cannot be told apart from maximum discrepancy" in text
    assert "80 % of the ratings are saved" in text


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ({"table": table(verdict=WORSE)}, "it is above a verdict without rules"),
        ({"table": table(verdict=SURE)}, "it is below a verdict without rules"),
        ({"table": table(low=0.48)}, "not to be told from a coin"),
        ({"table": table(largest=SURE)}, "maximum discrepancy is above it"),
        ({"table": table(agreed=SURE)}, "(Dawid–Skene) 60.0 %, above"),
        ({"learned": learned(SURE)}, "with 100 known pairs 62.0 %, above"),
        ({"learned": learned(WORSE)}, "with 100 known pairs 62.0 %, below"),
        ({"slopes": slopes(0.02, 0.1)}, "is right more often where its"),
        ({"slopes": slopes(-0.1, -0.02)}, "is right less often where its"),
        ({"best": best(SURE)}, "is above maximum discrepancy by 10.0 points"),
        ({"stability": stability(20.0, 31.0)}, "the list surely saves none"),
    ],
)
def test_a_claim_is_made_where_the_interval_allows_it(frames, words):
    assert words in said(**frames)


def test_many_ways_looked_at_together_need_more_evidence():
    nearly = SURE | {"gain_p": 0.03}  # of two ways
    assert "maximum discrepancy is not to be told from it" in said(table=table(largest=nearly))


def beside(gain):
    ends = {"zone": 0.01, "value": 0.57, "low": 0.5, "high": 0.62, "readings": 0.58}
    return pl.DataFrame([ends | gain | {"same": 0.7, "same_low": 0.6, "same_high": 0.8}])


def topics(gain):
    rows = [{"topic": t, "same": s} | gain for t, s in (("respect", 0.8), ("honesty", 0.6))]
    return pl.DataFrame(rows)


def test_readings_and_votes_are_told_apart_only_beyond_chance():
    text = studies.beside_findings(beside(UNSURE), topics(UNSURE))
    assert "cannot be told apart" in text
    assert "in no topic can it be told" in text
    assert "from 60.0 % (`honesty`) to 80.0 % (`respect`)" in text
    text = studies.beside_findings(beside(SURE), topics(SURE))
    assert "is above the sum of the LLM's votes" in text
    assert "can be told in respect, honesty" in text


def directions(*says):
    names = [f"r{i}" for i in range(len(says))]
    return pl.DataFrame({"rule": names, "says": list(says)})


def test_a_set_of_rules_is_reported_on():
    couple = pl.DataFrame({"rule": ["r0"], "other": ["r1"]})
    text = studies.rule_set_findings(
        directions("with people", "against people", "never votes", "few votes"), couple
    )
    assert "2 of 4 rules vote too seldom here to be judged, 1 of them never" in text
    assert "Surely wrong more often than right: `r1`" in text
    assert "1 couple of rules shares half" in text
    text = studies.rule_set_findings(directions("cannot be told"), couple.head(0))
    assert "No rule is surely wrong" in text
    assert "No two rules share half" in text


def test_learning_is_praised_only_where_it_beats_its_floor():
    over = {"value": 0.1, "low": 0.05, "high": 0.15, "p_value": 0.001}
    figures = {
        "recall_at_k": 0.5,
        "frequent_recall_at_k": 0.4,
        "recall_over_frequent": over,
        "rule_adapter_label_agreement": {"value": 0.9, "low": 0.85, "high": 0.95},
    }
    people, ruled = "trained on people's choices", "trained on sum of all rules"
    taught = pl.DataFrame(
        [{"name": n, "value": 0.6, "low": 0.55, "high": 0.65} for n in (people, ruled)]
    )
    beyond = pl.DataFrame([{"name": ruled, "against": people} | over])
    text = studies.learning_findings(figures, taught, beyond, 5)
    assert "above always naming the most frequent" in text
    assert "more often than a coin" in text
    assert "one trained on sum of all rules (60.0 %) is above it" in text
    figures["recall_over_frequent"] = over | {"low": -0.05}
    level = beyond.with_columns(low=pl.lit(-0.05))
    text = studies.learning_findings(figures, taught, level, 5)
    assert "not to be told from always naming" in text
    assert "cannot be told apart from it" in text

"""Readings beside an LLM's votes, what rating costs, and readings as labels for a judge."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs import readings

studies = rk.studies
pytestmark = [pytest.mark.real_data, pytest.mark.filterwarnings("ignore:.*rows skipped")]


@pytest.fixture(scope="module")
def hh(real_data):
    pairs, scores = rk.load_pairs("hh-read"), rk.sources.load_ratings("hh-read")[1]
    return pairs, scores.of(pairs)


def test_topics_name_rules_and_categories_that_there_are(real_data):
    there = set(rk.RuleSet.load("hh-rule-votes").ids)
    named = [name for names in studies.TOPICS.values() for name in names]
    assert set(named) <= there
    assert len(set(named)) == len(named)
    assert set(studies.TOPICS) <= set(rk.RuleSet.load("hh-read").categories)


def test_votes_are_held_against_readings_on_the_same_pairs(hh):
    table = studies.beside_votes(*hh, zones=(0.01, 0.5))
    _, scores = rk.sources.load_ratings("hh-rule-votes")
    own = rk.accuracy(rk.label(scores.of(hh[0])), hh[0])
    assert table["value"][0] == pytest.approx(own.value)
    assert table["ties"][0] < table["ties"][1]
    for row in table.to_dicts():
        assert row["gain"] == pytest.approx(row["readings"] - row["value"])
        assert row["same_low"] < row["same"] < row["same_high"]
    topics = studies.beside_topics(*hh)
    assert topics["topic"].to_list() == list(studies.TOPICS)
    assert topics["n"].is_between(30, 300).all()


def test_the_rules_listed_from_a_prompt_are_those_with_a_reading(hh):
    pairs, scores = hh
    listed = studies.listed_rules(pairs, "hh-read")
    assert not (scores.votes[~listed]).any()
    assert set(listed.sum(axis=1)) <= set(range(12, 26))


def test_a_label_stands_when_it_is_the_final_one_for_good(hh):
    pairs, scores = hh
    table = studies.label_stability(pairs, scores, "hh-read", orders=2)
    mean = {r["order"]: r["rules"] for r in table.to_dicts()}
    assert mean["largest |δ| first"] < mean["listed first"] < mean["random"]
    assert (table["ratings"] == 2 * table["rules"]).all()
    assert table["n"][0] == int((rk.label(scores).preference != 0).sum())
    # the least, by a plain loop
    counts = []
    for delta in scores.discrepancy.astype(float):
        if abs(delta.sum()) < 1e-6:
            continue
        sums = np.cumsum(delta[np.argsort(-np.abs(delta), kind="stable")])
        wrong = [i for i, s in enumerate(sums) if np.sign(round(s, 6)) != np.sign(delta.sum())]
        counts.append(wrong[-1] + 2 if wrong else 1)
    assert mean["largest |δ| first"] == pytest.approx(np.mean(counts), abs=0.2)  # ties by chance


def test_readings_as_labels_hold_each_response_once(real_data):
    pairs = rk.load_pairs("xstest-read")
    data = rk.sources.load_labelled("xstest-read")
    first = readings.grades("xstest-read").filter(pl.col("pass") == "first")
    prompt = pl.col("pair_id").str.split(":").list.first()
    assert len(data.responses) == first.select(prompt, "sha256").n_unique()
    assert {-1, -0.5, 0, 0.5, 1} <= set(np.unique(data.scores))
    texts = {
        (str(p), r): s for p, r, s in zip(data.prompts, data.responses, data.scores, strict=True)
    }
    scores = rk.sources.load_ratings("xstest-read")[1].of(pairs)
    for i in (0, 17, 200):
        row = pairs.row(i, named=True)
        found = texts[str(row["prompt"]), row["response_b"]]
        assert np.array_equal(np.sign(found), np.sign(scores.b[i]))
    both = rk.sources.joined_labels(data, data)
    assert both.scores.shape == (2 * len(data.responses), 100)
    with pytest.raises(ValueError, match="under other rules"):
        rk.sources.joined_labels(data, rk.sources.load_labelled("openai-rbr"))


def test_a_judge_is_measured_on_relevant_readings(real_data):
    pairs = rk.load_pairs("hh-read").head(20)
    data = rk.sources.by_response(pairs, *rk.sources.load_ratings("hh-read"))
    recorded = rk.judge("recorded", source="hh-read")
    found = studies.satisfied_area(recorded, data)
    assert found["value"] == 1
    assert found["n"] == int((data.scores != 0).sum())


def test_unread_pairs_have_no_prompt_that_was_read(real_data):
    def prompts(frame):
        return {rk.inputs.pairs.conversation(p) for p in frame["prompt"].to_list()}

    pairs = rk.load_pairs("hh-rule-votes")
    left, read = studies.unread_pairs(pairs, "hh-read"), prompts(rk.load_pairs("hh-read"))
    assert read
    assert not read & prompts(left)
    assert len(left) > 2 * len(read), (
        "others that begin with the same question go with them, no more"
    )

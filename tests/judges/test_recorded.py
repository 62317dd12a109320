"""The recorded judge replays ratings by the texts of conversation, response and rule."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.judges import RatingFailed, RecordedJudge, judge, score

REAL = [pytest.mark.real_data, pytest.mark.filterwarnings("ignore")]
SOURCES = [
    "embedded",
    *(pytest.param(n, marks=REAL) for n in ("hh-rule-votes", "hh-read", "xstest-read")),
]


def recorded(source: str):
    return rk.sources.load(source), *rk.sources.load_ratings(source)


@pytest.mark.parametrize("source", SOURCES)
def test_scores_of_the_judge_are_those_that_come_with_the_data_set(source):
    pairs, rules, scores = recorded(source)
    found = score(pairs, rules, judge("recorded", source=source))
    for name in ("a", "b", "relevance"):
        np.testing.assert_allclose(getattr(found, name), getattr(scores, name), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.votes, scores.votes)
    assert found.identity == scores.identity


@pytest.mark.parametrize("source", SOURCES)
def test_texts_and_rules_are_found_in_any_order_and_under_any_id(source):
    pairs, rules, scores = recorded(source)
    some = pairs[[3, 1]].with_columns(pair_id=pl.Series(["x", "y"]))
    few = rk.RuleSet.from_texts([rules[j].text for j in (7, 2)])
    found = score(some, few, RecordedJudge(source))
    cells = np.ix_([3, 1], [7, 2])
    np.testing.assert_allclose(found.discrepancy, scores.discrepancy[cells], atol=1e-6)
    np.testing.assert_allclose(found.relevance, scores.relevance[cells], atol=1e-6)


@pytest.mark.parametrize("source", SOURCES)
def test_the_exchanged_order_gives_the_mirrored_scores(source):
    pairs, rules, scores = recorded(source)
    swapped = pairs.with_columns(response_a="response_b", response_b="response_a")
    found = score(swapped, rules, RecordedJudge(source))
    np.testing.assert_allclose(found.discrepancy, -scores.discrepancy, atol=1e-6)
    np.testing.assert_allclose(found.relevance, scores.relevance, atol=1e-6)


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_not_recorded_fails_cell_by_cell_and_the_rest_is_rated(source):
    pairs, rules, _ = recorded(source)
    replays = RecordedJudge(source)
    mixed = rk.RuleSet((*rules.rules[:2], rk.Rule("new", "It names a doctor.")))
    a, b = pairs["response_a"][0], pairs["response_b"][0]
    responses = [(a, b), (a, "New.")] if replays.pairwise else [a, "New."]
    mask = np.array([[True, False, True], [True, False, False]])
    rating = replays.rate([pairs["prompt"].to_list()[0]] * 2, responses, mixed, mask)
    assert rating.rated.tolist() == [[True, False, False], [False] * 3]
    assert rating.failures == dict.fromkeys([(0, 2), (1, 0)], f"not recorded in {source!r}")
    assert rating.stopped is None
    np.testing.assert_allclose(rating.probabilities[0, 0].sum(), 1, atol=1e-6)
    with pytest.raises(RatingFailed, match=f"ratings failed .* not recorded in '{source}'"):
        score(pairs[:1], mixed, replays)


def test_any_two_responses_of_an_annotated_prompt_can_be_compared():
    data = rk.sources.load_labelled("embedded")
    rating = RecordedJudge().rate(data.prompts, data.responses, data.rules)
    p = rating.complete()
    np.testing.assert_array_equal(p[..., 2] - p[..., 0], data.scores)
    assert set(np.unique(p)) == {0.0, 1.0}


def test_the_identity_names_the_data_set_and_its_content():
    name, digest = RecordedJudge().identity.split()
    assert name == "recorded:embedded"
    assert len(digest) == 16
    assert RecordedJudge().identity == judge("recorded").identity
    assert not RecordedJudge().pairwise


@pytest.mark.parametrize("source", ["xstest", "nothing"])
def test_a_data_set_without_ratings_is_refused_at_once(source):
    with pytest.raises(ValueError, match=r"without ratings.*; allowed: embedded, hh-rule"):
        judge("recorded", source=source)

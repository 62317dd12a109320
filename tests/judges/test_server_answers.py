"""Answers of a server: log-probabilities of the first token, or votes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rulekit.judges import Limits
from rulekit.judges.server.answers import answer_mass, vote_counts
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import (
    EXPECTED,
    MASS,
    PROMPTS,
    RESPONSES,
    RULES,
    by_rule,
    judge_of,
    steady,
)


def test_probabilities_sum_over_spellings_and_the_mass_before_that_is_kept():
    with serve(Server(steady)) as server:
        rating = judge_of(server).rate(PROMPTS, RESPONSES, RULES)
    p = rating.probabilities
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, np.broadcast_to(EXPECTED, (2, 4, 3)), atol=1e-6)
    np.testing.assert_allclose(rating.mass, MASS, atol=1e-6)
    assert not rating.failures


def test_each_cell_gets_the_answer_to_its_own_response_and_rule_and_only_wanted_cells_are_asked():
    mask = np.array([[True, False, True, True], [False, True, False, True]])
    with serve(Server(by_rule)) as server:
        p = judge_of(server).rate(PROMPTS, RESPONSES, RULES, mask).probabilities
    expected = 0.1 + 0.2 * np.arange(4) + np.array([[0.0], [0.05]])
    np.testing.assert_allclose(p[..., 2][mask], expected[mask], atol=1e-6)
    assert np.isnan(p[~mask]).all()
    assert len(server.requests) == mask.sum()


def test_a_rating_does_not_depend_on_the_token_that_vllm_samples_into_the_last_place():
    likeliest = {"yes": 0.5, "no": 0.3, "a": 0.1, "b": 0.05}
    ratings = []
    for last in ({"Irrelevant": 0.001}, {"c": 0.01}):
        with serve(Server(lambda body, last=last: likeliest | last)) as server:
            ratings.append(judge_of(server, top_logprobs=5).rate(PROMPTS, RESPONSES, RULES))
    np.testing.assert_array_equal(*(r.probabilities for r in ratings))


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("Yes", 2),
        ("▁yes", 2),
        (" YES.", 2),
        ("No", 0),
        ('"no"', 0),
        ("Ir", 1),
        (" irre", 1),
        ("irrelevant", 1),
        ("I", None),
        ("Not", None),
        ("yesterday", None),
        ("N", None),
        ("", None),
        ("relevant", None),
    ],
)
def test_a_token_counts_for_an_answer_only_if_it_spells_it(token, answer):
    mass = answer_mass([(token, math.log(0.25))])
    expected = np.zeros(3)
    if answer is not None:
        expected[answer] = 0.25
    np.testing.assert_allclose(mass, expected)


def test_votes_count_the_first_word():
    assert vote_counts([" Yes.", "**No**, it", "irrelevant", "I think yes", "", "no"]).tolist() == [
        2,
        1,
        1,
    ]


def test_a_server_without_logprobs_gets_votes_once_announced():
    with serve(Server(steady, logprobs=False)) as server:
        judge = judge_of(server, method="auto", votes=40)
        with pytest.warns(UserWarning, match="no log-probabilities: 40 sampled votes"):
            rating = judge.rate(PROMPTS, RESPONSES, RULES)
        assert judge.method == "votes"
        assert all(r["n"] == 40 for r in server.requests[1:])
    # The server draws evenly in each request, so that 40 votes lie near the probabilities.
    np.testing.assert_allclose(rating.probabilities, np.broadcast_to(EXPECTED, (2, 4, 3)), atol=0.1)
    np.testing.assert_allclose(rating.mass, MASS, atol=0.1)


@pytest.mark.parametrize("fault", ["five_at_most", "five_validated", "five_in_detail"])
def test_a_server_that_gives_few_logprobs_is_asked_for_five_and_the_identity_says_so(fault):
    with serve(Server(steady, fault=lambda n, body: fault)) as server:
        judge = judge_of(server, method="auto")
        assert json.loads(judge.identity)["top_logprobs"] == 5
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
        told = judge_of(server, method="logprobs", top_logprobs=5)
        expected = told.rate(PROMPTS, RESPONSES, RULES)
    assert judge.method == "logprobs"
    assert [r["top_logprobs"] for r in server.requests] == [20] + [5] * 17
    np.testing.assert_array_equal(rating.probabilities, expected.probabilities)
    assert json.loads(told.identity)["top_logprobs"] == 5
    assert rating.usage.requests == 10


def test_votes_are_sampled_only_where_five_logprobs_are_refused_too():
    with serve(Server(steady, fault=lambda n, body: "refuses_logprobs")) as server:
        judge = judge_of(server, method="auto")
        with pytest.warns(UserWarning, match="no log-probabilities: 8 sampled votes"):
            rating = judge.rate(PROMPTS, RESPONSES, RULES)
    assert rating.rated.all()
    assert [r.get("top_logprobs") for r in server.requests] == [20, 5] + [None] * 8
    assert json.loads(judge.identity)["votes"] == 8


def test_a_server_that_refuses_the_request_itself_gets_no_votes():
    with serve(Server(steady, fault=lambda n, body: "bad_request")) as server:
        judge = judge_of(server, method="auto")
        with pytest.raises(ConnectionError, match=r"HTTP 400: .*too long"):
            judge.rate(PROMPTS, RESPONSES, RULES)
    assert len(server.requests) == 1
    assert (judge.method, judge.top_logprobs) == ("auto", 20)


def test_a_server_that_gives_one_answer_a_request_is_asked_until_all_votes_are_in():
    with serve(Server(steady, one_a_request=True)) as server:
        judge = judge_of(server, method="votes", votes=5, seed=7)
        judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert len(server.requests) == 4 * 5
    assert sorted(r["seed"] for r in server.requests) == sorted([7, 8, 9, 10, 11] * 4)


def test_a_server_that_refuses_several_answers_a_request_is_asked_for_one():
    with serve(Server(steady, fault=lambda n, body: "one_at_a_time")) as server:
        judge = judge_of(server, method="votes", votes=5, limits=Limits(concurrency=1))
        rating = judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert rating.rated.all()
    assert [r["n"] for r in server.requests] == [5] + [1] * 20


def test_a_server_that_is_busy_is_not_taken_for_one_that_refuses_several_answers():
    with serve(Server(steady, fault=lambda n, body: None if n else "rate_limited")) as server:
        judge = judge_of(server, method="votes", votes=5, limits=Limits(concurrency=1, retries=0))
        judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert [r["n"] for r in server.requests] == [5] * 4


def test_votes_that_never_differ_are_called_out_as_greedy():
    with serve(Server(lambda body: {"yes": 1.0})) as server:
        judge = judge_of(server, method="votes", votes=8)
        with pytest.warns(UserWarning, match="decode greedily"):
            judge.rate(["a"] * 5, ["b"] * 5, RULES)


def test_wrong_votes_lower_the_mass_and_none_at_all_is_a_failure():
    with serve(Server(lambda b: {"Well": 1.0}, logprobs=False)) as server:
        rating = judge_of(server, method="votes").rate(PROMPTS, RESPONSES, RULES)
    assert not rating.rated.any()
    assert "no vote is an answer ('Well', …)" in rating.failures[0, 0]

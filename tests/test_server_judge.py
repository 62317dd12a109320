"""The judge behind a server: real HTTP to a server that fails on demand, and to real ones."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import math
import os
import signal
import threading
import time
import traceback
import warnings
from pathlib import Path

import nbformat
import numpy as np
import polars as pl
import pytest
from nbclient import NotebookClient

from rulekit import RuleSet, judges
from rulekit.judges.orders import order_effects
from rulekit.judges.server.answers import answer_mass, vote_counts
from rulekit.judges.server.client import Pace, backoff, retry_after
from rulekit.judges.server.judge import Limits, Prices, ServerJudge
from rulekit.judges.server.spending import Purse, Spending
from tests.faulty_server import Server, serve

RULES = RuleSet.from_texts(["It greets.", "It is polite.", "It refuses.", "It is short."])
PROMPTS, RESPONSES = ["Hello", "Bake bread?"], ["Good morning!", "Mix flour and water."]
KEY = "sk-Kqz7wV0s3cretT0k3n"

ANSWER = {" Yes": 0.4, "yes": 0.1, "No": 0.2, "Irrelevant": 0.1, " irrelevant": 0.1, "The": 0.1}
EXPECTED, MASS = (0.2 / 0.9, 0.2 / 0.9, 0.5 / 0.9), 0.9


def steady(body: dict) -> dict[str, float]:
    return ANSWER


def by_rule(body: dict) -> dict[str, float]:
    """Another answer for each rule and response, so that mixed-up cells are seen."""
    text = body["messages"][0]["content"]
    rule = next(i for i, t in enumerate(RULES.texts) if f"Rule:\n{t}" in text)
    yes = 0.1 + 0.2 * rule + (0.05 if RESPONSES[1] in text else 0.0)
    return {"yes": yes, "no": 1 - yes}


def judge_of(server: Server, **options) -> ServerJudge:
    options = {"method": "logprobs", "limits": Limits(timeout=20.0)} | options
    return ServerJudge("m", server.url, **options)


def rate_quietly(judge: ServerJudge, *args) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return judge.rate(*(args or (PROMPTS, RESPONSES, RULES)))


class FakeTime:
    """A clock that jumps to the end of the first sleep that is due once all sleepers sleep."""

    def __init__(self) -> None:
        self.now, self.asleep = 0.0, []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        self.asleep.append(until)
        while self.now < until:
            await asyncio.sleep(0)
            if until == min(self.asleep):
                self.now = max(self.now, until)
        self.asleep.remove(until)

    def pace(self, requests_per_minute: float, tokens_per_minute: float) -> Pace:
        return Pace(requests_per_minute, tokens_per_minute, self.clock, self.sleep)


# Reading answers ---------------------------------------------------------------------------------


def test_probabilities_sum_over_spellings_and_the_mass_before_that_is_kept():
    with serve(Server(steady)) as server:
        judge = judge_of(server)
        p = judge.rate(PROMPTS, RESPONSES, RULES)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, np.broadcast_to(EXPECTED, (2, 4, 3)), atol=1e-6)
    np.testing.assert_allclose(judge.last.mass, MASS, atol=1e-6)
    assert not judge.last.failures


def test_each_cell_gets_the_answer_to_its_own_response_and_rule_and_only_wanted_cells_are_asked():
    mask = np.array([[True, False, True, True], [False, True, False, True]])
    with serve(Server(by_rule)) as server:
        p = judge_of(server).rate(PROMPTS, RESPONSES, RULES, mask)
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
    np.testing.assert_array_equal(*ratings)


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
            p = judge.rate(PROMPTS, RESPONSES, RULES)
        assert judge.method == "votes"
        assert all(r["n"] == 40 for r in server.requests[1:])
    # The server draws evenly in each request, so that 40 votes lie near the probabilities.
    np.testing.assert_allclose(p, np.broadcast_to(EXPECTED, p.shape), atol=0.1)
    np.testing.assert_allclose(judge.last.mass, MASS, atol=0.1)


def test_a_server_that_gives_one_answer_a_request_is_asked_until_all_votes_are_in():
    with serve(Server(steady, one_a_request=True)) as server:
        judge = judge_of(server, method="votes", votes=5, seed=7)
        judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert len(server.requests) == 4 * 5
    assert sorted(r["seed"] for r in server.requests) == sorted([7, 8, 9, 10, 11] * 4)


def test_a_server_that_refuses_several_answers_a_request_is_asked_for_one():
    with serve(Server(steady, fault=lambda n, body: "one_at_a_time")) as server:
        judge = judge_of(server, method="votes", votes=5, limits=Limits(concurrency=1))
        p = judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert not np.isnan(p).any()
    assert [r["n"] for r in server.requests] == [5] + [1] * 20


def test_a_server_that_is_busy_is_not_taken_for_one_that_refuses_several_answers():
    with serve(Server(steady, fault=lambda n, body: None if n else "rate_limited")) as server:
        judge = judge_of(server, method="votes", votes=5, limits=Limits(concurrency=1, retries=0))
        rate_quietly(judge, PROMPTS[:1], RESPONSES[:1], RULES)
    assert [r["n"] for r in server.requests] == [5] * 4


def test_votes_that_never_differ_are_called_out_as_greedy():
    with serve(Server(lambda body: {"yes": 1.0})) as server:
        judge = judge_of(server, method="votes", votes=8)
        with pytest.warns(UserWarning, match="decode greedily"):
            judge.rate(["a"] * 5, ["b"] * 5, RULES)


# Faults ------------------------------------------------------------------------------------------

PASSING = ["rate_limited", "broken", "hang", "drip", "cut", "malformed", "page", "no_choices"]


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_retried_and_changes_no_number(fault):
    faulty = Server(by_rule, fault=lambda n, body: fault if n in (0, 2) else None)
    limits = Limits(timeout=2.0 if fault in ("hang", "drip") else 20.0)
    with serve(faulty) as server, serve(Server(by_rule)) as sound:
        judge, other = judge_of(server, limits=limits), judge_of(sound)
        np.testing.assert_array_equal(
            judge.rate(PROMPTS, RESPONSES, RULES), other.rate(PROMPTS, RESPONSES, RULES)
        )
    assert judge.spending.requests - judge.spending.retries == 8
    assert judge.spending.retries >= server.faults == 2  # more where a sound reply came late
    assert not judge.last.failures


@pytest.mark.parametrize(
    ("fault", "reason", "attempts"),
    [
        ("rate_limited", "HTTP 429: .*slow down", 2),
        ("broken", "HTTP 500: .*out of order", 2),
        ("cut", "connection failed or lost", 2),
        ("malformed", "malformed reply", 2),
        ("page", "malformed reply", 2),
        ("no_choices", "malformed reply", 2),
        ("no_logprobs", "no log-probabilities", 1),
        ("bad_request", "HTTP 400: .*too long", 1),
        ("chatter", "no answer among the likeliest tokens .*Certainly", 1),
    ],
)
def test_a_lasting_fault_of_one_cell_leaves_nan_and_a_reason_there_alone(fault, reason, attempts):
    def hit(number: int, body: dict) -> str | None:
        return fault if f"Rule:\n{RULES.texts[2]}" in body["messages"][0]["content"] else None

    with serve(Server(by_rule, fault=hit, retry_after="0.1")) as server:
        judge = judge_of(server, limits=Limits(timeout=20.0, retries=1))
        with pytest.warns(UserWarning, match=f"2 of 8 ratings failed and are NaN; 2 .*{reason}"):
            p = judge.rate(PROMPTS, RESPONSES, RULES)
    assert np.isnan(p[:, 2]).all()
    assert not np.isnan(p[:, [0, 1, 3]]).any()
    assert set(judge.last.failures) == {(0, 2), (1, 2)}
    assert judge.spending.requests == 6 + 2 * attempts


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_reply_that_never_ends_fails_the_cell_when_its_time_is_up(fault):
    with serve(Server(steady, fault=lambda n, b: fault)) as server:
        judge = judge_of(server, limits=Limits(timeout=0.5, retries=1))
        rate_quietly(judge, PROMPTS[:1], RESPONSES[:1], RuleSet(RULES.rules[:1]))
    assert judge.last.failures == {(0, 0): "no answer within 0.5 s"}
    assert (judge.spending.requests, judge.spending.retries) == (2, 1)


def test_wrong_votes_lower_the_mass_and_none_at_all_is_a_failure():
    with serve(Server(lambda b: {"Well": 1.0}, logprobs=False)) as server:
        judge = judge_of(server, method="votes")
        assert np.isnan(rate_quietly(judge)).all()
    assert "no vote is an answer ('Well', …)" in judge.last.failures[0, 0]


def test_a_retry_after_holds_back_every_request():
    read = threading.Event()

    def refuse_the_second(number: int, body: dict) -> str | None:
        if number != 1:
            read.wait(30)  # no other reply frees a place before the refusal has been read
        return "rate_limited" if number == 1 else None

    with serve(Server(steady, fault=refuse_the_second, retry_after="0.5")) as server:
        judge = judge_of(server, limits=Limits(concurrency=2))
        pause = judge._pace.pause
        judge._pace.pause = lambda seconds: (pause(seconds), read.set())
        judge.rate(PROMPTS, RESPONSES, RULES)
    assert read.is_set()
    _, second, *after = server.times
    assert len(after) == 7
    assert min(after) - second >= 0.5


def test_a_server_that_asks_for_too_long_a_wait_fails_the_cell_at_once():
    with serve(Server(steady, fault=lambda n, b: "rate_limited", retry_after="3600")) as server:
        judge = judge_of(server)
        begin = time.monotonic()
        rate_quietly(judge, PROMPTS[:1], RESPONSES[:1], RULES)
    assert time.monotonic() - begin < 60
    assert "asks to wait 3600 s" in judge.last.failures[0, 0]


@pytest.mark.parametrize("fault", ["unauthorised", "no_quota"])
def test_a_refused_key_or_account_stops_the_run_at_once(fault):
    with serve(Server(steady, fault=lambda n, b: fault)) as server:
        judge = judge_of(server, limits=Limits(concurrency=2))
        assert np.isnan(rate_quietly(judge)).all()
    assert len(server.requests) <= 2
    assert len(judge.last.failures) == 8


def test_a_key_that_is_revoked_on_the_way_stops_requests_that_wait_already():
    with serve(Server(steady, fault=lambda n, b: "unauthorised" if n > 2 else None)) as server:
        judge = judge_of(server, limits=Limits(concurrency=2))
        p = rate_quietly(judge, PROMPTS, RESPONSES, RuleSet.from_texts(map(str, range(50))))
    assert len(server.requests) <= 5
    assert (~np.isnan(p[..., 0])).sum() == 3
    assert len(judge.last.failures) == 97


def test_a_server_that_is_down_is_given_up():
    with serve(Server(steady, fault=lambda n, b: "broken")) as server:
        judge = judge_of(server, limits=Limits(concurrency=2, retries=0, give_up_after=5))
        rate_quietly(judge, ["a"] * 30, ["b"] * 30, RULES)
    assert len(server.requests) <= 6
    assert len(judge.last.failures) == 120
    assert "5 ratings in a row failed" in judge.last.failures[29, 3]


@pytest.mark.parametrize("fault", ["bad_request", "chatter", "no_logprobs", "broken"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_what_ails_one_response_stops_no_run(fault, concurrency):
    def hit(number: int, body: dict) -> str | None:
        return fault if RESPONSES[0] in body["messages"][0]["content"] else None

    limits = Limits(concurrency=concurrency, retries=0, give_up_after=2)
    with serve(Server(by_rule, fault=hit)) as server:
        judge = judge_of(server, limits=limits)
        p = rate_quietly(judge)
    assert set(judge.last.failures) == {(0, j) for j in range(4)}
    assert not np.isnan(p[1]).any()
    assert not judge.last.stopped


def test_refusals_of_single_requests_never_stop_a_run():
    with serve(Server(steady, fault=lambda n, b: "bad_request" if n < 10 else None)) as server:
        judge = judge_of(server, limits=Limits(concurrency=1, give_up_after=2))
        rate_quietly(judge, ["a"] * 4, ["b"] * 4, RULES)
    assert len(server.requests) == 16
    assert len(judge.last.failures) == 10


def test_a_server_that_is_down_is_given_up_for_a_single_response_too():
    with serve(Server(steady, fault=lambda n, b: "broken")) as server:
        judge = judge_of(server, limits=Limits(concurrency=1, retries=0, give_up_after=2))
        with pytest.warns(UserWarning, match="ratings") as caught:
            judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert len(server.requests) == 2
    told = [str(w.message) for w in caught]
    assert told[0].startswith("2 ratings in a row failed, the last with HTTP 500")
    assert told[0].endswith("2 of 4 ratings were not sent and are NaN")
    assert told[1].startswith("2 of 4 ratings failed and are NaN; 2 × HTTP 500")


def test_nobody_there_is_said_so():
    with serve(Server(steady)) as server:
        pass
    judge = judge_of(server, method="auto", limits=Limits(retries=1))
    with pytest.raises(ConnectionError, match="connection failed or lost"):
        _ = judge.identity


# Limits and money --------------------------------------------------------------------------------


def test_no_more_requests_are_in_flight_than_allowed_and_all_places_are_used():
    together = threading.Barrier(3)  # no reply before three requests are there
    with serve(Server(steady, latency=0.1, hold=lambda: together.wait(30))) as server:
        judge = judge_of(server, limits=Limits(concurrency=3, retries=0))
        p = rate_quietly(judge, ["a"] * 3, ["b"] * 3, RULES)
    assert not np.isnan(p).any()
    assert server.most_in_flight == 3


def test_requests_a_minute_are_spaced_over_calls():
    time, starts = FakeTime(), []
    with serve(Server(steady, fault=lambda n, b: starts.append(time.now))) as server:
        judge = judge_of(server, limits=Limits(concurrency=1))
        judge._pace = time.pace(1200, math.inf)
        for _ in range(2):
            judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    np.testing.assert_allclose(starts, 0.05 * np.arange(8))


def test_requests_that_want_to_start_together_take_their_turns():
    async def starts() -> list[float]:
        time, begun = FakeTime(), []
        pace = time.pace(60, math.inf)

        async def start() -> None:
            await pace.start(100, 1)
            begun.append(time.now)

        await asyncio.gather(*(start() for _ in range(5)))
        pace.pause(10.0)
        await start()
        return begun

    assert asyncio.run(starts()) == [0, 1, 2, 3, 4, 14]


def test_tokens_a_minute_hold_for_the_tokens_that_the_server_counts():
    time, starts = FakeTime(), []
    with serve(Server(steady, fault=lambda n, b: starts.append(time.now))) as server:
        judge = judge_of(server, limits=Limits(concurrency=1))
        judge._pace = time.pace(math.inf, 300_000)
        judge.rate(["a"] * 6, ["b" * 900] * 6, RULES)
    tokens = [len(server.text(r)) // 4 + 1 for r in server.requests]
    np.testing.assert_allclose(np.diff(starts), np.array(tokens[:-1]) * 60 / 300_000)


def test_the_ledger_adds_up_what_the_server_counted():
    with serve(Server(steady)) as server:
        judge = judge_of(server, prices=Prices(prompt=2.0, completion=8.0))
        judge.rate(PROMPTS, RESPONSES, RULES)
    read = sum(len(server.text(r)) // 4 for r in server.requests)
    assert (judge.spending.prompt_tokens, judge.spending.completion_tokens) == (read, 8)
    assert judge.spending.cost == pytest.approx((2 * read + 8 * 8) / 1e6)
    assert judge.spending.spent == judge.spending.cost


@pytest.mark.parametrize("fault", [None, "hang", "malformed", "rate_limited"])
@pytest.mark.parametrize("usage", [True, False])
def test_the_budget_is_never_exceeded_and_what_was_paid_for_is_kept(fault, usage):
    prices = Prices(prompt=1.0, completion=1.0, budget=0.012)  # some ten requests at their bound
    faulty = Server(
        steady, fault=lambda n, b: fault if n % 4 == 3 else None, usage=usage, retry_after="0.01"
    )
    with serve(faulty) as server:
        patience = 1.0 if fault == "hang" else 20.0
        judge = judge_of(server, prices=prices, limits=Limits(concurrency=3, timeout=patience))
        p = rate_quietly(judge, ["a"] * 20, ["b"] * 20, RULES)
    done = [r for n, r in enumerate(server.requests) if fault != "rate_limited" or n % 4 != 3]
    billed = sum(len(server.text(r)) // 4 + 1 for r in done) / 1e6  # all but refusals
    assert billed <= prices.budget
    assert judge.spending.spent <= prices.budget
    rated = ~np.isnan(p[..., 0])
    assert rated.any()
    assert (~rated).sum() == len(judge.last.failures)
    assert judge.last.reasons().most_common(1)[0][0] == "not sent: the budget of 0.012 is used up"


def test_a_budget_stop_is_told_as_such_and_not_as_failures():
    with serve(Server(steady)) as server:
        judge = judge_of(server, prices=Prices(prompt=1.0, budget=0.005))
        told = r"^the budget of 0.005 is used up: \d+ of 40 ratings were not sent and are NaN$"
        with pytest.warns(UserWarning, match=told) as caught:
            judge.rate(["a"] * 10, ["b"] * 10, RULES)
        assert len(caught) == 1
        n_bytes = len(server.text(server.requests[0]))
        assert judge.spending.spent > 0.005 - 1.5 * n_bytes / 1e6  # none was sent, but all was used
        assert judge.last.stopped == "the budget of 0.005 is used up"
        with pytest.raises(RuntimeError, match=r"is used up: 12 of 12 ratings were not sent"):
            judge.score(_pairs(), RULES)


@pytest.mark.parametrize("texts", [["b"] * 40, ["b" * 9_000] + ["b"] * 39])
def test_the_budget_holds_for_a_system_prompt_of_the_servers_own(texts):
    with serve(Server(steady, added=3_000)) as server:
        judge = judge_of(
            server, prices=Prices(prompt=1.0, budget=0.06), limits=Limits(concurrency=32)
        )
        p = rate_quietly(judge, ["a"] * 40, texts, RULES)
    assert judge.spending.cost == judge.spending.spent <= 0.06
    assert (~np.isnan(p[..., 0])).sum() == judge.spending.requests >= 6
    assert "budget" in judge.last.stopped


def test_with_a_budget_the_first_request_goes_alone_and_the_next_ones_together():
    with serve(Server(steady, latency=0.1)) as server:
        judge = judge_of(server, prices=Prices(prompt=1.0, budget=1.0))
        judge.rate(PROMPTS, RESPONSES, RULES)
        assert min(server.times[1:]) - server.times[0] >= 0.1
        judge.rate(PROMPTS, RESPONSES, RULES)  # nothing to be learned any more
    assert server.most_in_flight > 1


def test_the_bound_of_a_request_rises_with_what_was_seen_and_never_falls():
    purse = Purse(Prices(prompt=1e6, budget=1.0), Spending())
    assert purse.bound(1_000, 1) == 1_064
    purse.learn(20_000, 8_000)  # of these up to 8,000 may be the server's own
    assert purse.bound(1_000, 1) == 9_000
    purse.learn(1_000, 300)
    assert purse.bound(1_000, 1) == 9_000
    purse.learn(1_000, 15_000)
    assert purse.bound(1_000, 1) == 15_000


def test_what_earlier_runs_have_spent_counts_for_the_budget():
    with serve(Server(steady)) as server:
        judge = judge_of(server, prices=Prices(prompt=1.0, budget=1.0))
        judge.spending.earlier = 0.9999
        assert np.isnan(rate_quietly(judge)).all()
    assert not server.requests
    assert (judge.spending.cost, judge.spending.spent) == (0, 0.9999)


@pytest.mark.parametrize("prices", [Prices(), Prices(completion=1.0, budget=1.0)])
def test_a_server_that_writes_more_than_was_asked_for_stops_the_run(prices):
    with serve(Server(steady, written=300)) as server:
        judge = judge_of(server, prices=prices, limits=Limits(concurrency=2))
        told = "wrote 300 tokens where at most 1 were asked for; allowed: .*: . of 8 ratings were"
        with pytest.warns(UserWarning, match=told):
            judge.rate(PROMPTS, RESPONSES, RULES)
    assert len(server.requests) <= (1 if prices.completion else 2)


def test_a_server_that_knows_only_the_old_name_of_the_longest_answer_is_asked_by_it():
    with serve(Server(by_rule, fault=lambda n, b: "old")) as server:
        judge = judge_of(server, limits=Limits(concurrency=1))
        p = judge.rate(PROMPTS, RESPONSES, RULES)
        votes = judge_of(server, method="votes")
        votes.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert not np.isnan(p).any()
    named = [r.get("max_tokens") for r in server.requests]
    assert named[:9] == [None, *[1] * 8]  # once refused, then known
    assert set(named[9:]) == {None, 8}


def test_a_wait_after_a_failure_doubles_its_ceiling_and_begins_at_nothing():
    for attempt, ceiling in enumerate((0.5, 1.0, 2.0, 4.0)):
        waits = [backoff(attempt) for _ in range(2000)]
        assert 0 <= min(waits) < 0.01 * ceiling
        assert 0.99 * ceiling < max(waits) <= ceiling
    assert max(backoff(1000) for _ in range(100)) <= 60


@pytest.mark.parametrize("text", ["", "soon", "-3", "nan", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_a_retry_after_that_says_nothing_useful_is_no_wait(text):
    assert retry_after({"retry-after": text}) == 0


def test_a_retry_after_may_be_a_date(monkeypatch):
    monkeypatch.setattr("rulekit.judges.server.client.time.time", lambda: 1_800_000_000.0)
    assert retry_after({"retry-after": "Fri, 15 Jan 2027 08:00:10 GMT"}) == 10


# Order of requests -------------------------------------------------------------------------------


@pytest.mark.parametrize("template", ["conversation_first", "rule_first"])
def test_requests_that_share_a_beginning_go_together_the_first_of_them_alone(template):
    with serve(Server(steady, latency=0.1)) as server:
        judge = judge_of(server, template=template, limits=Limits(concurrency=4))
        judge.rate(["one prompt"] * 2, RESPONSES, RULES)
    texts = [server.text(r) for r in server.requests]
    marks = RESPONSES if template == "conversation_first" else RULES.texts
    order = [next(i for i, m in enumerate(marks) if m in t) for t in texts]
    first = {i: server.times[order.index(i)] for i in set(order)}
    for i in first:
        others = [t for k, t in zip(order, server.times, strict=True) if k == i][1:]
        assert min(others) - first[i] >= 0.09  # the first had been answered
        beginnings = {t[: t.index(marks[i])] for k, t in zip(order, texts, strict=True) if k == i}
        assert len(beginnings) == 1


# Where it runs -----------------------------------------------------------------------------------


def test_it_works_inside_a_running_event_loop():
    async def cell() -> np.ndarray:
        with serve(Server(steady)) as server:
            return judge_of(server).rate(PROMPTS, RESPONSES, RULES)

    assert not np.isnan(asyncio.run(cell())).any()


def test_an_interrupt_in_a_running_event_loop_keeps_what_was_rated():
    kept = []

    def press_stop(number: int, body: dict) -> str | None:
        if number < 3:
            return None
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # it waits in `rate`
        return "hang"

    async def cell() -> None:
        with serve(Server(steady, fault=press_stop)) as server:
            judge = judge_of(server, limits=Limits(timeout=30, concurrency=1))
            # As in a kernel, the interrupt comes up where the cell's code stands.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                judge.rate(PROMPTS, RESPONSES, RULES)
            except KeyboardInterrupt:
                kept.append(judge.last.probabilities.copy())
            finally:
                signal.signal(signal.SIGINT, before)

    asyncio.run(cell())
    [p] = kept
    assert (~np.isnan(p[..., 0])).sum() == 3


# Keys --------------------------------------------------------------------------------------------


def test_a_key_never_shows_in_a_log_a_repr_a_warning_a_result_or_an_exception(monkeypatch, capfd):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    log, seen = io.StringIO(), []
    handler = logging.StreamHandler(log)
    loggers = [
        logging.getLogger(),
        *(logging.getLogger(n) for n in list(logging.root.manager.loggerDict)),
    ]
    levels = [(logger, logger.level) for logger in loggers]
    logging.getLogger().addHandler(handler)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    faults = [*PASSING, "unauthorised", "bad_request", "no_logprobs", "chatter", "no_quota", None]
    try:
        for fault in faults:
            with serve(Server(steady, fault=lambda n, b, f=fault: f, retry_after="0.1")) as server:
                patience = 0.5 if fault in ("hang", "drip") else 5.0
                limits = Limits(timeout=patience, retries=0)
                judge = judge_of(server, key_from="JUDGE_KEY", limits=limits)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
                seen += [str(w.message) for w in caught]
                sent = {request["_authorization"] for request in server.requests}
                assert sent == {f"Bearer {KEY}"} or patience == 0.5  # it is in use
                seen += [repr(judge), judge.identity, repr(judge.last), str(judge.last.failures)]
                seen += [repr(judge.spending), repr(vars(judge))]
                fresh = judge_of(server, key_from="JUDGE_KEY", method="auto", limits=limits)
                seen += _failure(lambda j: j.identity, fresh)
                seen += _failure(lambda j: j.score(_pairs(), RULES), fresh)
    finally:
        logging.getLogger().removeHandler(handler)
        for logger, level in levels:
            logger.setLevel(level)
    out = capfd.readouterr()
    assert "HTTP Request" in log.getvalue()  # the log was on
    assert any("[key]" in text for text in seen)  # the server did quote it
    for text in [log.getvalue(), out.out, out.err, *seen]:
        assert KEY not in text


def _failure(call, judge: ServerJudge) -> list[str]:
    """What a failed call tells: its traceback with local values, below the test's own frames."""
    try:
        call(judge)
    except Exception as error:
        own = error.__traceback__.tb_next.tb_next
        told = traceback.TracebackException(type(error), error, own, capture_locals=True)
        return [*told.format(), *_chain(error)]
    return []


def _chain(error: BaseException | None) -> list[str]:
    """What an exception and everything that hangs on it says of itself."""
    said = []
    while error is not None:
        said += [repr(error), str(error), repr(vars(error)), repr(getattr(error, "__notes__", ""))]
        error = error.__cause__ or error.__context__
    return said


def test_a_notebook_that_rates_and_fails_holds_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    )
    hit = lambda n, b: None if n < 4 else "unauthorised"  # noqa: E731
    with serve(Server(steady, fault=hit)) as server:
        setup = (
            "from rulekit import RuleSet\nfrom rulekit.judges.server.judge import ServerJudge\n"
            f"judge = ServerJudge('m', {server.url!r}, key_from='JUDGE_KEY', method='logprobs')\n"
            "rules = RuleSet.from_texts(['It greets.', 'It is polite.'])\njudge"
        )
        cells = [
            setup,
            "judge.rate(['Hello', 'Hi'], ['Hi', 'Hello'], rules)",
            "judge.spending",
            "judge.rate(['Hello'], ['Hi'], rules)",
            "judge.last, vars(judge)",
            "%xmode Verbose\nServerJudge('m', judge.base_url, key_from='JUDGE_KEY').identity",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
    text = nbformat.writes(notebook)
    assert "0.55555" in text  # the second cell rated, inside the kernel's event loop
    assert "HTTP 401" in text
    assert "ConnectionError" in text
    assert KEY not in text


def test_a_key_in_the_environment_goes_to_no_server_that_was_not_given_it(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, KEY)
    with serve(Server(steady)) as server:
        judge_of(server).rate(PROMPTS, RESPONSES, RULES)
    assert KEY not in json.dumps(server.requests)


def test_a_redirect_takes_no_key_elsewhere(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with (
        serve(Server(steady)) as other,
        serve(Server(steady, fault=lambda n, b: "moved")) as server,
    ):
        server.elsewhere = other.url
        rate_quietly(judge_of(server, key_from="JUDGE_KEY", limits=Limits(retries=0)))
    assert KEY not in json.dumps(other.requests)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key_from": KEY}, "key_from: allowed"),
        ({"base_url": f"http://u:{KEY}@h/v1"}, "base_url"),
        ({"base_url": f"http://h/v1?key={KEY}"}, "base_url"),
        ({"base_url": "h:8000"}, "base_url"),
        ({"method": "guess"}, "method 'guess'; allowed: auto, logprobs, votes"),
        ({"template": "nice"}, "template"),
        ({"votes": 0}, "votes: 0"),
        ({"top_logprobs": 2.5}, "top_logprobs: 2.5"),
    ],
)
def test_a_wrong_setting_is_named_and_a_key_in_the_wrong_place_not_shown(options, message):
    with pytest.raises(ValueError, match=message) as error:
        ServerJudge(**{"model": "m", "base_url": "http://127.0.0.1:1/v1"} | options)
    assert KEY not in str(error.value)


def test_a_key_over_an_open_line_is_warned_of(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with pytest.warns(UserWarning, match="unencrypted"):
        ServerJudge("m", "http://judge.example/v1", key_from="JUDGE_KEY")


# Identity, registry, pairs -----------------------------------------------------------------------


def test_identity_depends_on_what_ratings_depend_on_and_not_on_the_host():
    base = {"model": "m", "base_url": "http://a/v1", "method": "votes"}
    same = [{}, {"base_url": "https://b:9/v1"}, {"limits": Limits(concurrency=2)}]
    other = [
        {"model": "n"},
        {"method": "logprobs"},
        {"votes": 9},
        {"revision": "2"},
        {"seed": 1},
        {"template": "rule_first"},
        {"extra_body": {"top_k": 5}},
    ]
    assert len({ServerJudge(**base | o).identity for o in same}) == 1
    assert len({ServerJudge(**base | o).identity for o in [{}, *other]}) == 1 + len(other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limits(concurrency=0), "concurrency: 0"),
        (lambda: Limits(timeout=0), "timeout: 0"),
        (lambda: Limits(tokens_per_minute=math.nan), "tokens_per_minute"),
        (lambda: Prices(budget=1.0), "needs the prices"),
        (lambda: Prices(prompt=-1), "price prompt"),
        (lambda: Prices(prompt=1, budget=math.nan), "budget"),
    ],
)
def test_limits_and_prices_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent():
    with serve(Server(steady)) as server:
        judge = judge_of(server)
        with pytest.raises(ValueError, match="prompts: 1; allowed: 2"):
            judge.rate(["a"], RESPONSES, RULES)
        with pytest.raises(ValueError, match="mask: float64"):
            judge.rate(PROMPTS, RESPONSES, RULES, np.ones((2, 4)))
    assert not server.requests


def _pairs() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pair_id": ["1", "2"],
            "prompt": ["Hello", "Hello"],
            "response_a": ["Good morning!", "Mix flour and water."],
            "response_b": ["Mix flour and water.", "Go away."],
            "preference": [1, None],
        }
    )


def test_pairs_are_scored_and_a_response_of_several_pairs_is_asked_about_once():
    with serve(Server(by_rule)) as server:
        judge = judges.get("server", model="m", base_url=server.url, method="logprobs")
        scores = judge.score(_pairs(), RULES)
    assert len(server.requests) == 3 * 4
    yes = 0.1 + 0.2 * np.arange(4)
    np.testing.assert_allclose(scores.a, [2 * yes - 1, 2 * (yes + 0.05) - 1], atol=1e-6)
    np.testing.assert_allclose(scores.b[0], scores.a[1])
    np.testing.assert_allclose(scores.relevance, 1.0)


def test_scores_with_a_gap_are_refused_and_the_ratings_kept():
    with serve(Server(steady, fault=lambda n, b: "bad_request" if n == 5 else None)) as server:
        judge = judge_of(server)
        with pytest.raises(RuntimeError, match=r"1 of 12 ratings failed .*too long"):
            judge.score(_pairs(), RULES)
    assert (~np.isnan(judge.last.mass)).sum() == 11


def test_the_same_judge_asked_in_other_words_shares_ledger_and_money():
    def by_order(body: dict) -> dict[str, float]:
        text = body["messages"][0]["content"]
        return {"yes": 0.8 if text.index("Rule:") > text.index("<response>") else 0.3, "no": 0.2}

    with serve(Server(by_order)) as server:
        judge = judge_of(server, prices=Prices(prompt=1.0, budget=1.0))
        other = judge.with_template("rule_first")
        p, q = (j.rate(PROMPTS, RESPONSES, RULES)[..., 2] for j in (judge, other))
    np.testing.assert_allclose(p, 0.8)
    np.testing.assert_allclose(q, 0.6)
    assert judge.template.name == "conversation_first"
    assert judge.identity != other.identity
    assert judge.spending is other.spending
    assert judge.spending.requests == 16
    with pytest.raises(ValueError, match="unknown template 'nice'"):
        judge.with_template("nice")


def test_order_effects_of_a_server_are_measured_in_other_words_too():
    with serve(Server(by_rule)) as server:
        judge = judge_of(server)
        effects = order_effects(judge, _pairs()[:1], RULES)
    asked = {server.text(r).partition("<conversation>")[0] for r in server.requests}
    assert len(asked) > 6  # five orders of the answers, and the rule before the conversation
    assert effects["max_difference"].max() == 0  # this server heeds none


def test_a_dialogue_is_a_prompt_too():
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Bread?"},
    ]
    pairs = _pairs().with_columns(prompt=pl.Series([turns, turns]))
    with serve(Server(steady)) as server:
        judge_of(server).score(pairs, RULES)
    assert "User: Hi\n\nAssistant: Yes?\n\nUser: Bread?" in server.text(server.requests[0])

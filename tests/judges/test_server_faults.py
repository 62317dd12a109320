"""A server that fails: what is tried again, what fails a rating, what stops a run."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest

from rulekit import RuleSet
from rulekit.judges import Limits, Stopped
from rulekit.judges.server.client import Pace, backoff, retry_after
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import PASSING, PROMPTS, RESPONSES, RULES, by_rule, judge_of, steady


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_is_retried_and_changes_no_number(fault):
    faulty = Server(by_rule, fault=lambda n, body: fault if n in (0, 2) else None)
    limits = Limits(timeout=1.0 if fault in ("hang", "drip") else 20.0)
    with serve(faulty) as server, serve(Server(by_rule)) as sound:
        judge, other = judge_of(server, limits=limits), judge_of(sound)
        rating, expected = (j.rate(PROMPTS, RESPONSES, RULES) for j in (judge, other))
    np.testing.assert_array_equal(rating.probabilities, expected.probabilities)
    assert judge.spending.requests - judge.spending.retries == 8
    assert judge.spending.retries >= server.faults == 2  # more where a sound reply came late
    assert not rating.failures


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
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
    assert np.isnan(rating.probabilities[:, 2]).all()
    assert rating.rated[:, [0, 1, 3]].all()
    assert set(rating.failures) == {(0, 2), (1, 2)}
    assert re.fullmatch(rf"2 of 8 ratings failed \(2 × .*{reason}.*\)", rating.gaps())
    assert judge.spending.requests == 6 + 2 * attempts


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_reply_that_never_ends_fails_the_cell_when_its_time_is_up(fault):
    with serve(Server(steady, fault=lambda n, b: fault)) as server:
        judge = judge_of(server, limits=Limits(timeout=0.5, retries=1))
        rating = judge.rate(PROMPTS[:1], RESPONSES[:1], RuleSet(RULES.rules[:1]))
    assert rating.failures == {(0, 0): "no answer within 0.5 s"}
    assert (judge.spending.requests, judge.spending.retries) == (2, 1)


def test_a_retry_after_holds_back_every_request(monkeypatch):
    read = threading.Event()

    class Told(Pace):
        def pause(self, seconds: float) -> None:
            super().pause(seconds)
            read.set()

    def refuse_the_second(number: int, body: dict) -> str | None:
        if number != 1:
            read.wait(30)  # no other reply frees a place before the refusal has been read
        return "rate_limited" if number == 1 else None

    with serve(Server(steady, fault=refuse_the_second, retry_after="0.5")) as server:
        monkeypatch.setattr("rulekit.judges.server.judge.Pace", Told)
        judge = judge_of(server, limits=Limits(concurrency=2))
        judge.rate(PROMPTS, RESPONSES, RULES)
    assert read.is_set()
    _, second, *after = server.times
    assert len(after) == 7
    assert min(after) - second >= 0.5


@pytest.mark.parametrize("text", ["", "soon", "-3", "nan", "Mon, 01 Jan 2001 00:00:00 GMT"])
def test_a_retry_after_that_says_nothing_useful_is_no_wait(text):
    assert retry_after({"retry-after": text}) == 0


def test_a_retry_after_may_be_a_date(monkeypatch):
    monkeypatch.setattr("rulekit.judges.server.client.time.time", lambda: 1_800_000_000.0)
    assert retry_after({"retry-after": "Fri, 15 Jan 2027 08:00:10 GMT"}) == 10


def test_a_server_that_asks_for_too_long_a_wait_fails_the_cell_at_once():
    with serve(Server(steady, fault=lambda n, b: "rate_limited", retry_after="3600")) as server:
        judge = judge_of(server)
        begin = time.monotonic()
        rating = judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert time.monotonic() - begin < 60
    assert "asks to wait 3600 s" in rating.failures[0, 0]


def test_a_server_that_is_down_is_given_up():
    with serve(Server(steady, fault=lambda n, b: "broken")) as server:
        judge = judge_of(server, limits=Limits(concurrency=2, retries=0, give_up_after=5))
        rating = judge.rate(["a"] * 30, ["b"] * 30, RULES)
    assert len(server.requests) <= 6
    assert not rating.rated.any()
    assert 5 <= len(rating.failures) <= 6
    assert rating.stopped is Stopped.UNREACHABLE
    assert rating.reason.startswith("5 ratings in a row failed, the last with HTTP 500")


def test_a_server_that_is_down_is_given_up_for_a_single_response_too():
    with serve(Server(steady, fault=lambda n, b: "broken")) as server:
        judge = judge_of(server, limits=Limits(concurrency=1, retries=0, give_up_after=2))
        rating = judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert len(server.requests) == 2
    unsent, failed = rating.gaps().split("; ")
    assert unsent.startswith("2 ratings in a row failed, the last with HTTP 500")
    assert unsent.endswith("2 of 4 ratings were not sent")
    assert failed.startswith("2 of 4 ratings failed (2 × HTTP 500")


@pytest.mark.parametrize("fault", ["bad_request", "chatter", "no_logprobs", "broken"])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_what_ails_one_response_stops_no_run(fault, concurrency):
    def hit(number: int, body: dict) -> str | None:
        return fault if RESPONSES[0] in body["messages"][0]["content"] else None

    limits = Limits(concurrency=concurrency, retries=0, give_up_after=2)
    with serve(Server(by_rule, fault=hit)) as server:
        judge = judge_of(server, limits=limits)
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
    assert set(rating.failures) == {(0, j) for j in range(4)}
    assert rating.rated.tolist() == [[False] * 4, [True] * 4]
    assert rating.stopped is None


def test_refusals_of_single_requests_never_stop_a_run():
    with serve(Server(steady, fault=lambda n, b: "bad_request" if n < 10 else None)) as server:
        judge = judge_of(server, limits=Limits(concurrency=1, give_up_after=2))
        rating = judge.rate(["a"] * 4, ["b"] * 4, RULES)
    assert len(server.requests) == 16
    assert len(rating.failures) == 10


def test_nobody_there_is_said_so():
    with serve(Server(steady)) as server:
        pass
    judge = judge_of(server, method="auto", limits=Limits(retries=1))
    with pytest.raises(ConnectionError, match="connection failed or lost"):
        _ = judge.identity


def test_a_wait_after_a_failure_doubles_its_ceiling_and_begins_at_nothing():
    for attempt, ceiling in enumerate((0.5, 1.0, 2.0, 4.0)):
        waits = [backoff(attempt) for _ in range(2000)]
        assert 0 <= min(waits) < 0.01 * ceiling
        assert 0.99 * ceiling < max(waits) <= ceiling
    assert max(backoff(1000) for _ in range(100)) <= 60

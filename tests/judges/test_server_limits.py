"""How hard a server is driven, and what it may cost."""

from __future__ import annotations

import asyncio
import math
import threading

import numpy as np
import pytest

from rulekit.judges import Limits, Prices, RatingFailed, Spending, Stopped, score
from rulekit.judges.server.spending import Purse
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import PROMPTS, RESPONSES, RULES, FakeTime, judge_of, steady, two_pairs


def test_no_more_requests_are_in_flight_than_allowed_and_all_places_are_used():
    together = threading.Barrier(3)  # no reply before three requests are there
    with serve(Server(steady, latency=0.1, hold=lambda: together.wait(30))) as server:
        judge = judge_of(server, limits=Limits(concurrency=3, retries=0))
        rating = judge.rate(["a"] * 3, ["b"] * 3, RULES)
    assert rating.rated.all()
    assert server.most_in_flight == 3


def test_requests_a_minute_are_spaced_over_calls(monkeypatch):
    time, starts = FakeTime(), []
    with serve(Server(steady, fault=lambda n, b: starts.append(time.now))) as server:
        monkeypatch.setattr("rulekit.judges.server.judge.Pace", time.pace)
        judge = judge_of(server, limits=Limits(concurrency=1, requests_per_minute=1200))
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


def test_tokens_a_minute_hold_for_the_tokens_that_the_server_counts(monkeypatch):
    time, starts = FakeTime(), []
    with serve(Server(steady, fault=lambda n, b: starts.append(time.now))) as server:
        monkeypatch.setattr("rulekit.judges.server.judge.Pace", time.pace)
        judge = judge_of(server, limits=Limits(concurrency=1, tokens_per_minute=300_000))
        judge.rate(["a"] * 6, ["b" * 900] * 6, RULES)
    tokens = [len(server.text(r)) // 4 + 1 for r in server.requests]
    np.testing.assert_allclose(np.diff(starts), np.array(tokens[:-1]) * 60 / 300_000)


def test_usage_and_spending_add_up_what_the_server_counted():
    with serve(Server(steady)) as server:
        judge = judge_of(server, prices=Prices(prompt=2.0, completion=8.0), method="auto")
        _ = judge.identity  # asks the server, which the next rating's usage tells
        first, second = (judge.rate(PROMPTS[i:], RESPONSES[i:], RULES).usage for i in range(2))
    read = sum(len(server.text(r)) // 4 for r in server.requests)
    assert (judge.spending.prompt_tokens, judge.spending.completion_tokens) == (read, 13)
    assert judge.spending.tokens == read + 13
    assert judge.spending.cost == pytest.approx((2 * read + 8 * 13) / 1e6)
    assert judge.spending.spent == judge.spending.cost
    assert (first.requests, second.requests) == (9, 4)
    for name, value in vars(first + second).items():
        assert value == pytest.approx(getattr(judge.spending, name)), name


@pytest.mark.parametrize("fault", [None, "hang", "malformed", "rate_limited"])
@pytest.mark.parametrize("usage", [True, False])
def test_the_budget_is_never_exceeded_and_what_was_paid_for_is_kept(fault, usage):
    prices = Prices(prompt=1.0, completion=1.0, budget=0.008)  # some seven requests at their bound
    faulty = Server(
        steady, fault=lambda n, b: fault if n % 4 == 3 else None, usage=usage, retry_after="0.01"
    )
    with serve(faulty) as server:
        patience = 0.5 if fault == "hang" else 20.0
        judge = judge_of(server, prices=prices, limits=Limits(concurrency=3, timeout=patience))
        rating = judge.rate(["a"] * 20, ["b"] * 20, RULES)
    done = [r for n, r in enumerate(server.requests) if fault != "rate_limited" or n % 4 != 3]
    billed = sum(len(server.text(r)) // 4 + 1 for r in done) / 1e6  # all but refusals
    assert billed <= prices.budget
    assert judge.spending.spent <= prices.budget
    assert rating.rated.any()
    assert rating.stopped is Stopped.BUDGET
    assert rating.gaps().startswith("the budget of 0.008 is used up: ")
    assert rating.usage.cost + rating.usage.uncertain_cost == judge.spending.spent


@pytest.mark.parametrize("texts", [["b"] * 40, ["b" * 9_000] + ["b"] * 39])
def test_the_budget_holds_for_a_system_prompt_of_the_servers_own(texts):
    with serve(Server(steady, added=3_000)) as server:
        judge = judge_of(
            server, prices=Prices(prompt=1.0, budget=0.06), limits=Limits(concurrency=32)
        )
        rating = judge.rate(["a"] * 40, texts, RULES)
    assert judge.spending.cost == judge.spending.spent <= 0.06
    assert rating.rated.sum() == judge.spending.requests >= 6
    assert rating.stopped is Stopped.BUDGET


def test_a_budget_stop_is_told_as_such_and_not_as_failures():
    with serve(Server(steady)) as server:
        judge = judge_of(server, prices=Prices(prompt=1.0, budget=0.005))
        rating = judge.rate(["a"] * 10, ["b"] * 10, RULES)
        assert not rating.failures
        unsent = 40 - rating.rated.sum()
        told = f"the budget of 0.005 is used up: {unsent} of 40 ratings were not sent"
        assert rating.gaps() == told
        n_bytes = len(server.text(server.requests[0]))
        assert judge.spending.spent > 0.005 - 1.5 * n_bytes / 1e6  # none was sent, but all was used
        with pytest.raises(RatingFailed, match="is used up: 12 of 12 ratings were not sent") as no:
            score(two_pairs(), RULES, judge)
    assert no.value.rating.stopped is Stopped.BUDGET


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
        assert not judge.rate(PROMPTS, RESPONSES, RULES).rated.any()
    assert not server.requests
    assert (judge.spending.cost, judge.spending.spent) == (0, 0.9999)


@pytest.mark.parametrize("prices", [Prices(), Prices(completion=1.0, budget=1.0)])
def test_a_server_that_writes_more_than_was_asked_for_stops_the_run(prices):
    with serve(Server(steady, written=300)) as server:
        judge = judge_of(server, prices=prices, limits=Limits(concurrency=2))
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
    assert rating.stopped is Stopped.MISBEHAVED
    assert "wrote 300 tokens where at most 1 were asked for; allowed: one that" in rating.reason
    assert len(server.requests) <= (1 if prices.completion else 2)


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

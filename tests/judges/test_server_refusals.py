"""Refusals (401, 403, 404, 402): which fail a cell alone, and which stop a run."""

from __future__ import annotations

import pytest

import rulekit as rk
from rulekit.judges import Limits, Stopped
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import PROMPTS, RESPONSES, RULES, judge_of, steady, two_pairs

MANY = rk.RuleSet.from_texts([f"It keeps promise {i}." for i in range(25)])


def about(text: str, fault: str):
    """A fault of all requests that hold the text."""
    return lambda n, body: fault if text in body["messages"][0]["content"] else None


def greetings(server: Server) -> int:
    return sum("Is the sky blue?" in server.text(r) for r in server.requests)


@pytest.mark.parametrize("fault", ["forbidden", "unauthorised", "unfound"])
@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("refused", [0, 1])
def test_a_refused_response_fails_alone_wherever_it_stands(fault, concurrency, refused):
    with serve(Server(steady, fault=about(RESPONSES[refused], fault))) as server:
        judge = judge_of(server, limits=Limits(concurrency=concurrency))
        rating = judge.rate(PROMPTS, RESPONSES, MANY)
    assert rating.stopped is None
    assert set(rating.failures) == {(refused, j) for j in range(25)}
    assert rating.rated[1 - refused].all()
    assert "25 of 50 ratings failed (25 × HTTP 40" in rating.gaps()
    assert 1 <= greetings(server) <= 4  # after each ten in a row, and before the first answer


def test_runs_into_a_store_rate_all_that_is_not_refused_and_ask_again_for_what_is(tmp_path):
    """The first cells are the refused ones, so that every further run begins with them."""
    pairs = two_pairs()
    with serve(Server(steady, fault=about("Good morning!", "forbidden"))) as server:
        for _ in range(2):
            ledger = Ledger()
            with pytest.raises(Incomplete, match=r"25 × HTTP 403: .*flagged: violence") as gap:
                rk.annotate(pairs, MANY, judge_of(server), store=tmp_path / "s", ledger=ledger)
            assert gap.value.stopped is None
            assert gap.value.complete.tolist() == [False, True]
            assert ledger.failed == 25
        server.fault = lambda n, body: None
        assert rk.annotate(pairs, MANY, judge_of(server), store=tmp_path / "s").n_pairs == 2
    with Store(tmp_path / "s") as store:
        assert len(store) == 3 * 25


@pytest.mark.parametrize("fault", ["unauthorised", "forbidden", "unfound"])
def test_a_server_that_refuses_the_first_request_and_a_greeting_stops_the_run(fault):
    with serve(Server(steady, fault=lambda n, b: fault)) as server:
        rating = judge_of(server, limits=Limits(concurrency=2)).rate(PROMPTS, RESPONSES, RULES)
    assert len(server.requests) <= 3
    assert rating.stopped is Stopped.REFUSED
    assert not rating.rated.any()
    assert not rating.failures
    assert rating.gaps() == f"{rating.reason}: 8 of 8 ratings were not sent"


@pytest.mark.parametrize("fault", ["unpaid", "no_quota"])
@pytest.mark.parametrize("answered", [0, 5])
def test_nothing_left_to_pay_with_stops_the_run_at_once(fault, answered):
    with serve(Server(steady, fault=lambda n, b: fault if n >= answered else None)) as server:
        judge = judge_of(server, limits=Limits(concurrency=1))
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
    assert len(server.requests) == answered + 1
    assert rating.stopped is Stopped.REFUSED
    assert rating.rated.sum() == answered
    assert not rating.failures


@pytest.mark.parametrize("refusals", [10, 3])
def test_a_key_that_is_revoked_on_the_way_stops_the_run_after_so_many_refusals(refusals):
    with serve(Server(steady, fault=lambda n, b: "unauthorised" if n > 2 else None)) as server:
        judge = judge_of(server, limits=Limits(concurrency=1, refusals=refusals))
        rating = judge.rate(PROMPTS, RESPONSES, MANY)
    assert len(server.requests) == 3 + refusals + 1
    assert rating.stopped is Stopped.REFUSED
    assert (rating.rated.sum(), len(rating.failures)) == (3, refusals - 1)
    assert Limits().refusals == 10
    with pytest.raises(ValueError, match="refusals: 0; allowed: whole numbers from 1"):
        Limits(refusals=0)


def test_refusals_in_a_row_are_counted_over_calls():
    with serve(Server(steady, fault=lambda n, b: "unauthorised" if n else None)) as server:
        judge = judge_of(server, limits=Limits(concurrency=1))
        calls = [judge.rate(PROMPTS[:1], RESPONSES[:1], RULES) for _ in range(3)]
    assert [c.stopped for c in calls] == [None, None, Stopped.REFUSED]
    assert len(server.requests) == 1 + 10 + 1


def test_a_greeting_that_meets_another_fault_stops_nothing():
    def fault(n: int, body: dict) -> str:
        return "broken" if "sky" in body["messages"][0]["content"] else "forbidden"

    with serve(Server(steady, fault=fault)) as server:
        rating = judge_of(server, limits=Limits(retries=0)).rate(PROMPTS, RESPONSES, RULES)
    assert rating.stopped is None
    assert len(rating.failures) == 8


def test_a_refused_vote_does_not_pass_for_a_server_that_gives_one_answer_a_request():
    with serve(Server(steady, fault=about(RESPONSES[0], "forbidden"))) as server:
        judge = judge_of(server, method="votes", votes=5, limits=Limits(concurrency=1))
        judge.rate(PROMPTS, RESPONSES, RULES)
    assert {r["n"] for r in server.requests if "sky" not in server.text(r)} == {5}

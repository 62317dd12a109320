"""The server judge as a judge: identity, pairs, dialogues, event loops."""

from __future__ import annotations

import asyncio
import signal
import threading

import numpy as np
import polars as pl
import pytest

from rulekit.judges import (
    Limits,
    Prices,
    RatingFailed,
    RatingInterrupted,
    ServerJudge,
    judge,
    order_effects,
    score,
)
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import PROMPTS, RESPONSES, RULES, by_rule, judge_of, steady, two_pairs


def test_it_works_inside_a_running_event_loop():
    async def cell() -> np.ndarray:
        with serve(Server(steady)) as server:
            return judge_of(server).rate(PROMPTS, RESPONSES, RULES).rated

    assert asyncio.run(cell()).all()


@pytest.mark.parametrize("inside", [True, False], ids=["in a loop", "without one"])
def test_an_interrupt_carries_what_was_rated_and_what_it_took(inside):
    def press_stop(number: int, body: dict) -> str | None:
        if number < 3:
            return None
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # it waits in `rate`
        return "hang"

    def interrupted() -> RatingInterrupted:
        with serve(Server(steady, fault=press_stop)) as server:
            judge = judge_of(server, limits=Limits(timeout=30, concurrency=1))
            # As in a kernel, the interrupt comes up where the cell's code stands.
            before = signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                with pytest.raises(KeyboardInterrupt) as error:
                    judge.rate(PROMPTS, RESPONSES, RULES)
            finally:
                signal.signal(signal.SIGINT, before)
        return error.value

    async def cell() -> RatingInterrupted:
        return interrupted()

    error = asyncio.run(cell()) if inside else interrupted()
    assert isinstance(error, RatingInterrupted)
    assert error.rating.rated.sum() == 3
    assert error.rating.usage.requests == 4
    assert not error.rating.failures


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


def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent():
    with serve(Server(steady)) as server:
        judge = judge_of(server)
        with pytest.raises(ValueError, match="prompts: 1; allowed: 2"):
            judge.rate(["a"], RESPONSES, RULES)
        with pytest.raises(ValueError, match="mask: float64"):
            judge.rate(PROMPTS, RESPONSES, RULES, np.ones((2, 4)))
        with pytest.raises(ValueError, match="responses: None at 1; allowed: texts"):
            judge.rate(PROMPTS, ["a", None], RULES)
    assert not server.requests


def test_pairs_are_scored_and_a_response_of_several_pairs_is_asked_about_once():
    with serve(Server(by_rule)) as server:
        served = judge("server", model="m", base_url=server.url, method="logprobs")
        scores = score(two_pairs(), RULES, served)
    assert len(server.requests) == 3 * 4
    yes = 0.1 + 0.2 * np.arange(4)
    np.testing.assert_allclose(scores.a, [2 * yes - 1, 2 * (yes + 0.05) - 1], atol=1e-6)
    np.testing.assert_allclose(scores.b[0], scores.a[1])
    np.testing.assert_allclose(scores.relevance, 1.0)


def test_scores_with_a_gap_are_refused_and_the_ratings_kept():
    with (
        serve(Server(steady, fault=lambda n, b: "bad_request" if n == 5 else None)) as server,
        pytest.raises(RatingFailed, match=r"1 of 12 ratings failed .*too long") as error,
    ):
        score(two_pairs(), RULES, judge_of(server))
    assert error.value.rating.rated.sum() == 11


def test_the_same_judge_asked_in_other_words_shares_spending_and_money():
    def by_order(body: dict) -> dict[str, float]:
        text = body["messages"][0]["content"]
        return {"yes": 0.8 if text.index("Rule:") > text.index("<response>") else 0.3, "no": 0.2}

    with serve(Server(by_order)) as server:
        judge = judge_of(server, prices=Prices(prompt=1.0, budget=1.0))
        other = judge.with_template("rule_first")
        p, q = (j.rate(PROMPTS, RESPONSES, RULES).probabilities[..., 2] for j in (judge, other))
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
        effects = order_effects(two_pairs()[:1], RULES, judge)
    asked = {server.text(r).partition("<conversation>")[0] for r in server.requests}
    assert len(asked) > 6  # five orders of the answers, and the rule before the conversation
    assert effects["max_difference"].max() == 0  # this server heeds none


def test_a_dialogue_is_a_prompt_too():
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Bread?"},
    ]
    pairs = two_pairs().with_columns(prompt=pl.Series([turns, turns]))
    with serve(Server(steady)) as server:
        score(pairs, RULES, judge_of(server))
    assert "User: Hi\n\nAssistant: Yes?\n\nUser: Bread?" in server.text(server.requests[0])


def test_a_server_that_knows_only_the_old_name_of_the_longest_answer_is_asked_by_it():
    with serve(Server(by_rule, fault=lambda n, b: "old")) as server:
        judge = judge_of(server, limits=Limits(concurrency=1))
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
        votes = judge_of(server, method="votes")
        votes.rate(PROMPTS[:1], RESPONSES[:1], RULES)
    assert rating.rated.all()
    named = [r.get("max_tokens") for r in server.requests]
    assert named[:9] == [None, *[1] * 8]  # once refused, then known
    assert set(named[9:]) == {None, 8}

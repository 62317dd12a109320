"""Rules, conversations and sound answers for the tests of the server judge, and a clock that jumps."""

from __future__ import annotations

import asyncio

import polars as pl

from rulekit import RuleSet
from rulekit.judges.server.client import Pace
from rulekit.judges.server.judge import Limits, ServerJudge
from tests.judges.faulty_server import Server

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


def two_pairs() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "pair_id": ["1", "2"],
            "prompt": ["Hello", "Hello"],
            "response_a": ["Good morning!", "Mix flour and water."],
            "response_b": ["Mix flour and water.", "Go away."],
            "preference": [1, None],
        }
    )


PASSING = ["rate_limited", "broken", "hang", "drip", "cut", "malformed", "page", "no_choices"]

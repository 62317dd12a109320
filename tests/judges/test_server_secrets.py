"""Secrets in `extra_body` go to the server and show nowhere else."""

from __future__ import annotations

import io
import json
import logging
import traceback

import pytest

from rulekit.judges import Limits, RatingFailed, ServerJudge, score
from rulekit.judges.server.secrets import HIDDEN, Body, hiding, shown
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import PROMPTS, RESPONSES, RULES, judge_of, steady, two_pairs

BODY = {
    "api_key": "swordfish-1",
    "HF_TOKEN": "swordfish-2",
    "provider": {"authorization": {"user": "swordfish-3"}, "X-Access-Token": "swordfish-4"},
    "headers": [{"clientSecret": 'sword"fish-5'}, "Bearer swordfish-6"],
    "note": "sent with sk-swordfish-7 or hf_swordfish8 as you like",
    "sk-swordfish-9": 1,
    "top_k": 5,
    "max_tokens": 1,
    "stop_token": "</s>",
    "tokenizer": "mistral",
}
HARMLESS = {name: BODY[name] for name in ("top_k", "max_tokens", "stop_token", "tokenizer")}


def assert_hidden(*texts: str) -> None:
    for text in texts:
        assert "swordfish" not in text
        assert "fish-5" not in text


def test_what_is_shown_of_a_body_has_its_secrets_replaced_and_the_rest_as_it_is():
    found = shown(BODY)
    assert_hidden(repr(found), repr(Body(BODY)), str(Body(BODY)))
    assert {name: found[name] for name in HARMLESS} == HARMLESS
    assert found["provider"] == {"authorization": {"user": HIDDEN}, "X-Access-Token": HIDDEN}
    assert found["note"] == f"sent with {HIDDEN} or {HIDDEN} as you like"
    assert Body(BODY) == BODY


@pytest.mark.filterwarnings("ignore:the server gives no log-probabilities")  # as it says
def test_secrets_are_sent_and_show_in_no_repr_identity_usage_error_traceback_or_log():
    log, seen = io.StringIO(), []
    handler, root = logging.StreamHandler(log), logging.getLogger()
    names = ["openai", "openai._base_client", "httpx", "httpcore"]
    before = [(logger, logger.level) for logger in (root, *map(logging.getLogger, names))]
    root.addHandler(handler)
    for logger, _ in before:
        logger.setLevel(logging.DEBUG)
    try:
        for fault in ("quotes", None):
            with serve(Server(steady, fault=lambda n, b, f=fault: f)) as server:
                judge = judge_of(server, extra_body=BODY, limits=Limits(retries=0))
                rating = judge.rate(PROMPTS, RESPONSES, RULES)
                fresh = judge_of(server, extra_body=BODY, method="auto")
                calls = [lambda j=fresh: j.identity, lambda j=judge: score(two_pairs(), RULES, j)]
                seen += [said for call in calls for said in _failure(call)]
            sent = {name: server.requests[0][name] for name in BODY}
            assert sent == BODY
            seen += [repr(rating), rating.gaps(), repr(rating.usage), repr(judge.spending)]
            seen += [repr(judge), repr(vars(judge)), judge.identity]
            seen += [repr(judge.with_template("rule_first"))]
    finally:
        root.removeHandler(handler)
        for logger, level in before:
            logger.setLevel(level)
    assert "HTTP request" in log.getvalue()  # the log was on
    assert sum(HIDDEN in text for text in seen) > 5
    assert any("not allowed" in text and HIDDEN in text for text in seen)  # the server did quote
    assert_hidden(log.getvalue(), *seen)


def _failure(call) -> list[str]:
    """What a failed call tells: its traceback with the values of the kit's own frames."""
    try:
        call()
    except (ConnectionError, RatingFailed) as error:
        own = error.__traceback__.tb_next.tb_next
        told = traceback.TracebackException(type(error), error, own, capture_locals=True)
        return [*told.format(), str(error), repr(error)]
    return []


def test_ratings_do_not_depend_on_a_secret_and_depend_on_every_other_field():
    def identity(**changes) -> str:
        body = BODY | changes
        return ServerJudge("m", "http://h/v1", method="votes", extra_body=body).identity

    assert json.loads(identity())["extra_body"]["tokenizer"] == "mistral"
    assert identity(api_key="another-one") == identity()
    others = [{"top_k": 6}, {"stop_token": "."}, {"tokenizer": "llama"}, {"max_tokens": 2}]
    assert len({identity(**other) for other in others} | {identity()}) == 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wrong: swordfish-1!", f"wrong: {HIDDEN}!"),
        (r'"clientSecret": "sword\"fish-5"', f'"clientSecret": "{HIDDEN}"'),
        ("the key is K-1234", "the key is [key]"),
        ("Authorization: bearer abcdefgh12", f"Authorization: {HIDDEN}"),
        ("a risk-averse, task-oriented model", "a risk-averse, task-oriented model"),
        ("no", "no"),
    ],
)
def test_a_server_s_text_loses_the_secrets_and_the_key(text, expected):
    assert hiding(BODY | {"password": "o"}, "K-1234")(text) == expected

"""Keys go to the server that they are for and show nowhere."""

from __future__ import annotations

import io
import json
import logging
import os
import traceback
import warnings
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from rulekit.judges import Limits, ServerJudge, score
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import (
    KEY,
    PASSING,
    PROMPTS,
    RESPONSES,
    RULES,
    judge_of,
    steady,
    two_pairs,
)


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
                endless = fault in ("hang", "drip")
                limits = Limits(timeout=0.1 if endless else 20.0, retries=0)
                judge = judge_of(server, key_from="JUDGE_KEY", limits=limits)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    rating = judge.rate(PROMPTS[:1], RESPONSES[:1], RULES)
                seen += [str(w.message) for w in caught]
                sent = {request["_authorization"] for request in server.requests}
                assert sent == {f"Bearer {KEY}"} or endless  # it is in use
                seen += [repr(judge), judge.identity, repr(rating), rating.gaps()]
                seen += [repr(judge.spending), repr(vars(judge))]
                fresh = judge_of(server, key_from="JUDGE_KEY", method="auto", limits=limits)
                seen += _failure(lambda j: j.identity, fresh)
                seen += _failure(lambda j: score(two_pairs(), RULES, j), fresh)
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
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))

    def hit(n, body):
        return None if n < 4 else "unauthorised"

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
            "vars(judge)",
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
        judge = judge_of(server, key_from="JUDGE_KEY", limits=Limits(retries=0))
        judge.rate(PROMPTS, RESPONSES, RULES)
    assert KEY not in json.dumps(other.requests)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key_from": KEY}, "key_from: allowed"),
        ({"base_url": f"http://u:{KEY}@h/v1"}, "base_url"),
        ({"base_url": f"http://h/v1?key={KEY}"}, "base_url"),
        ({"base_url": "h:8000"}, "base_url"),
        ({"base_url": 7}, "base_url: allowed: an http or https address"),
        ({"model": ""}, "model: ''; allowed: the name of a model"),
        ({"method": "guess"}, "method: 'guess'; allowed: auto, logprobs, votes"),
        ({"template": "nice"}, "template"),
        ({"votes": 0}, "votes: 0"),
        ({"votes": True}, "votes: True"),
        ({"seed": "a"}, "seed: 'a'; allowed: whole numbers"),
        ({"revision": 1.1}, "revision: 1.1; allowed: a text"),
        ({"limits": 3}, "limits: 3; allowed: a mapping of concurrency, "),
        ({"extra_body": KEY}, "extra_body: allowed: a mapping"),
        ({"extra_body": {"api_key": {KEY}}}, "extra_body: allowed: a mapping"),
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

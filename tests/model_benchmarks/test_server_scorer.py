"""Served reward models over real HTTP on loopback."""

import json

import pytest

from rulekit import benchmarks
from tests.model_benchmarks.reward_server import Served, reward, serving


@pytest.mark.parametrize("route", ["classify", "pooling", "score"])
def test_every_route_gives_the_raw_score_of_each_response(pairs_file, route):
    with serving(Served()) as served:
        result = benchmarks.evaluate_file(f"{served.url}/{route}", pairs_file)
    for prompt, responses, scores in result.items.select(
        "prompt", "responses", "scores"
    ).iter_rows():
        assert scores == pytest.approx([reward(prompt[-1]["content"], r) for r in responses])
    _, body, key = served.seen[0]
    assert body["model"] == "tiny-reward"  # the first that it lists
    assert key is None
    if route != "score":
        assert body["use_activation"] is False
    assert result.facts["tokens"] == 5 * result.facts["asked"]
    assert result.as_dict()["items_truncated"] is None  # a server does not tell


def test_passing_trouble_is_waited_out_and_a_refusal_is_not(pairs_file, monkeypatch):
    with serving(Served(fault=lambda n: 503 if n % 3 == 0 else None)) as served:
        scorer = benchmarks.ServerScorer(f"{served.url}/classify", concurrency=2)
        monkeypatch.setattr("time.sleep", lambda s: None)
        result = benchmarks.evaluate_file(scorer, pairs_file)
        assert len(served.seen) > result.facts["asked"]
    with serving(Served(fault=lambda n: 400)) as served:
        with pytest.raises(ConnectionError, match=r"HTTP 400.*not now"):
            benchmarks.evaluate_file(f"{served.url}/classify", pairs_file)
        asked = [json.dumps(body) for _, body, _ in served.seen]
        assert len(set(asked)) == len(asked)  # none was tried again


def test_what_was_scored_before_a_server_failed_is_kept(pairs_file, tmp_path):
    with serving(Served(fault=lambda n: 401 if n >= 8 else None)) as served:
        scorer = benchmarks.ServerScorer(f"{served.url}/classify", concurrency=1)
        scorer.part = 4
        with pytest.raises(ConnectionError, match="HTTP 401"):
            benchmarks.evaluate_file(scorer, pairs_file, output=tmp_path)
        served.fault = lambda n: None
        result = benchmarks.evaluate_file(scorer, pairs_file, output=tmp_path)
    assert result.facts["found"] == 8


def test_a_key_is_sent_and_not_written(pairs_file, tmp_path, monkeypatch):
    monkeypatch.setenv("A_KEY", "secret-1")
    with serving(Served()) as served:
        how = {"key_from": "A_KEY", "model": "named"}
        benchmarks.evaluate_file(f"{served.url}/score", pairs_file, output=tmp_path, server=how)
    assert served.seen[0][2] == "Bearer secret-1"
    assert served.seen[0][1]["model"] == "named"
    assert "secret-1" not in (tmp_path / "result.json").read_text()
    with pytest.raises(ValueError, match="there is no NOT_THERE in the environment"):
        benchmarks.ServerScorer("http://127.0.0.1:9/score", "m", key_from="NOT_THERE")


@pytest.mark.parametrize(
    "reply",
    [{"data": []}, {"data": [{"probs": ["x"]}]}, [1], {"data": [{"probs": [float("nan")]}]}],
    ids=["empty", "text", "list", "nan"],
)
def test_an_answer_without_a_number_is_refused(pairs_file, reply):
    with serving(Served(reply=reply)) as served, pytest.raises(ConnectionError, match="answered"):
        benchmarks.evaluate_file(benchmarks.ServerScorer(f"{served.url}/classify", "m"), pairs_file)


def test_nobody_at_the_other_end(monkeypatch):
    monkeypatch.setattr("time.sleep", lambda s: None)
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9/v1/models"):
        benchmarks.ServerScorer("http://127.0.0.1:9/classify")

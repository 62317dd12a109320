"""A model that is exchanged behind its name: told, recorded, and not mixed with another's ratings."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import rulekit as rk
from rulekit.cli import main
from rulekit.judges import Judge, Limits, Stopped
from rulekit.judges.answered import Answered
from rulekit.rating.job import Incomplete
from rulekit.rating.store import Store
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import PROMPTS, RESPONSES, RULES, judge_of, steady, two_pairs

ONE_BY_ONE = Limits(concurrency=1)


def recorded(judge: Judge, path) -> dict[str, int]:
    with Store(path) as store:
        sums = store.spending(judge.identity)
    return {name: n for name, n in sums.items() if name.startswith(("model", "fingerprint"))}


def test_a_change_within_a_run_is_told_once_and_names_both():
    def change(n: int, body: dict) -> None:
        server.model = "m-large" if n < 3 else "m-small"
        server.fingerprint = "fp_1" if n < 6 else f"fp_{n}"

    with serve(Server(steady, fault=change)) as server:
        judge = judge_of(server, limits=ONE_BY_ONE)
        with pytest.warns(UserWarning, match="ratings of both are mixed") as told:
            assert judge.rate(PROMPTS, RESPONSES, RULES).rated.all()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            judge.rate(PROMPTS, RESPONSES, RULES)
    assert [str(w.message).split(":")[0] for w in told] == [
        "the server answers with model 'm-small', before with 'm-large'",
        "the server answers with fingerprint 'fp_6', before with 'fp_1'",
    ]


def test_another_model_than_the_store_s_is_refused_before_anything_is_mixed(tmp_path):
    path, pairs = tmp_path / "s", two_pairs()
    with serve(Server(steady, model="m-large")) as server:
        first = judge_of(server)
        rk.annotate(pairs[:1], RULES, first, store=path)
        assert recorded(first, path) == {"model: m-large": 8}
        server.model = "m-small"
        server.answer = lambda body: {"no": 1.0}
        for _ in range(2):  # the refusal itself is not taken for an answer
            with pytest.raises(
                Incomplete, match=r"as model 'm-small'.*in the store are of 'm-la"
            ) as no:
                rk.annotate(pairs, RULES, judge_of(server, limits=ONE_BY_ONE), store=path)
            assert no.value.stopped is Stopped.MISBEHAVED
        assert len(server.requests) == 8 + 2
        with Store(path) as store:
            assert len(store) == 8
        other = judge_of(server, revision="small")
        scores = rk.annotate(pairs, RULES, other, store=path)
        assert (scores.a == -1).all()
        server.model = "m-large"
        server.answer = steady
        scores = rk.annotate(pairs, RULES, judge_of(server), store=path)
    np.testing.assert_allclose(scores.a, 0.3 / 0.9, atol=1e-6)
    assert recorded(first, path) == {"model: m-large": 12}
    assert recorded(other, path) == {"model: m-small": 12}


def test_one_judge_in_two_stores_is_compared_with_each(tmp_path):
    with serve(Server(steady, model="m-large")) as server:
        judge = judge_of(server)
        rk.annotate(two_pairs(), RULES, judge, store=tmp_path / "large")
        server.model = "m-small"
        rk.annotate(two_pairs()[:1], RULES, judge, store=tmp_path / "small")
        with pytest.raises(Incomplete, match="as model 'm-small'"):
            rk.annotate(
                two_pairs(), rk.RuleSet.from_texts(["New."]), judge, store=tmp_path / "large"
            )


def test_another_fingerprint_than_the_store_s_is_told_once_and_recorded(tmp_path):
    path = tmp_path / "s"
    with serve(Server(steady, model="m", fingerprint="fp_1")) as server:
        rk.annotate(two_pairs()[:1], RULES, judge_of(server), store=path)
        server.fingerprint = "fp_2"
        judge = judge_of(server)
        with pytest.warns(UserWarning, match="fingerprint 'fp_2', before with 'fp_1'") as told:
            rk.annotate(two_pairs(), RULES, judge, store=path, batch=1)
        assert len(told) == 1
        with warnings.catch_warnings():  # known by now
            warnings.simplefilter("error")
            rk.annotate(two_pairs(), rk.RuleSet.from_texts(["New."]), judge_of(server), store=path)
    assert recorded(judge, path) == {"model: m": 15, "fingerprint: fp_1": 8, "fingerprint: fp_2": 7}


def test_a_store_of_two_models_is_told_of_in_every_run():
    answered = Answered()
    answered.begin({"rated": 8, "model: a": 5, "model: b": 3, "fingerprint: x": 8})
    assert not answered.heed("a", "x")
    assert list(answered.warnings()) == [
        "the server answers with model 'a', before with 'b': ratings of both are mixed; another "
        "`revision` keeps them apart"
    ]
    assert not answered.heed(None, None)
    assert answered.report() == {"model: a": 1, "fingerprint: x": 1}
    assert answered.report() == {}


def test_the_command_line_refuses_another_model_and_names_who_answered(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    two_pairs().write_ndjson("pairs.jsonl")
    RULES.save("rules.yaml")
    with serve(Server(steady, model="m-large")) as server:
        command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--judge", "server"]
        command += ["-o", "model", "m", "-o", "base_url", server.url]
        assert main(command) == 0
        assert "answered by: m-large" in capsys.readouterr().out
        server.model = "m-small"
        RULES.from_texts(["New."]).save("rules.yaml")
        assert main(command) == 1
        said = capsys.readouterr().err
        assert "the server answers as model 'm-small'" in said
        assert "the same command" not in said
        assert main([*command, "-o", "revision", "small"]) == 0
        assert "answered by: m-small" in capsys.readouterr().out

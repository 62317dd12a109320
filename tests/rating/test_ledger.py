"""The books of a run: tokens, answer mass, money, and how far it is."""

import itertools

import numpy as np
import polars as pl
import pytest

from rulekit.judges import Stopped, judge
from rulekit.rating.annotation import annotate
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store
from tests.judges.faulty_server import Server, serve
from tests.rating.helpers import CELLS, FEW, RULES, HashJudge, judge_at, some_pairs, steady


def test_truncation_tokens_and_answer_mass_of_all_batches_are_in_the_ledger(tiny_judge, tmp_path):
    who, ledger = judge("local", model=tiny_judge, device="cpu", max_tokens=400), Ledger()
    pairs = some_pairs(2).with_columns(response_a=pl.lit("word " * 400))
    annotate(pairs, FEW, who, store=tmp_path / "s", batch=1, ledger=ledger)
    assert ledger.truncated == 1  # the same response in both pairs
    assert ledger.tokens_cut > 100
    assert ledger.tokens > 3 * 100
    assert ledger.mass_ratings == ledger.rated == 6
    assert 0 < ledger.answer_mass_min <= ledger.answer_mass_mean <= 1


def test_a_budget_holds_over_runs_and_a_stop_by_it_says_so(tmp_path):
    prices, pairs = {"prompt": 1000.0, "completion": 1000.0}, some_pairs(12)
    with serve(Server(steady)) as server:
        free, ledger = judge_at(server, prices=prices), Ledger()
        annotate(pairs[:4], FEW, free, store=tmp_path / "s", ledger=ledger)
        budget, before = 2 * ledger.cost, len(server.requests)
        assert 0 < ledger.cost == free.spending.cost
        for _ in range(2):  # a judge of its own each, as in a new process
            judge = judge_at(server, prices={**prices, "budget": budget})
            with pytest.raises(Incomplete, match=r"not sent: the budget of .* spent by all runs"):
                annotate(pairs, FEW, judge, store=tmp_path / "s", batch=1)
            assert judge.spending.earlier >= ledger.cost
        assert before < len(server.requests) <= 2 * before
        with Store(tmp_path / "s") as store:
            assert store.spending(judge.identity)["cost"] <= budget
            assert store.spending(judge.identity)["rated"] == len(store)


def test_a_judge_that_stops_itself_ends_the_run_and_the_rest_counts_as_not_sent(tmp_path):
    class Stops(HashJudge):
        def rate(self, *arguments):
            rating = super().rate(*arguments)
            if self.calls > 2:
                rating.probabilities[:] = np.nan
                rating.stopped, rating.reason = Stopped.MISBEHAVED, "enough"
            return rating

    ledger = Ledger()
    with pytest.raises(Incomplete, match=f"stopped, {14 * CELLS} ratings not sent: enough") as gap:
        annotate(some_pairs(20), RULES, Stops(), store=tmp_path / "own", batch=8, ledger=ledger)
    assert (ledger.rated, ledger.failed, ledger.not_sent) == (16 * CELLS, 0, 14 * CELLS)
    assert set(gap.value.missing["reason"]) == {"not sent: enough"}
    with serve(Server(steady, lambda n, body: "unauthorised")) as server:
        with pytest.raises(Incomplete, match=r"12 of 12 pairs are left out") as gap:
            annotate(some_pairs(12), FEW, judge_at(server), store=tmp_path / "s", batch=2)
        assert gap.value.stopped is Stopped.REFUSED
        assert "HTTP 401" in str(gap.value)
        assert len(server.requests) <= 4


def test_what_a_batch_cost_is_noted_though_the_next_was_interrupted(tmp_path):
    class Interrupted(HashJudge):
        def rate(self, *arguments):
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().rate(*arguments)

    path = tmp_path / "s"
    with pytest.raises(KeyboardInterrupt):
        annotate(some_pairs(20), RULES, Interrupted(), store=path, batch=8, price=0.5)
    annotate(some_pairs(20), RULES, HashJudge(), store=path, price=0.5)
    with Store(path) as store:
        assert store.spending(HashJudge.identity)["cost"] == 0.5 * 30 * CELLS == 0.5 * len(store)


def test_off_a_terminal_a_line_tells_how_far_it_is_and_tests_are_quiet(
    tmp_path, monkeypatch, capsys
):
    minutes = itertools.count(step=60.0)  # each look at the clock comes a minute later
    monkeypatch.setattr("rulekit.rating.ledger.time.monotonic", lambda: next(minutes))
    annotate(some_pairs(4), RULES, HashJudge(), store=tmp_path / "quiet")
    assert not capsys.readouterr().err
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.delenv("RULEKIT_HEADLESS", raising=False)
    annotate(some_pairs(4), RULES, HashJudge(), store=tmp_path / "told", batch=3, price=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("36 of 72 ratings, ")
    assert lines[0].endswith("min left, cost 36 of about 72")

"""Annotation: what is asked of a judge once, again, or not at all, and what is complete at the end."""

import numpy as np
import pytest

import rulekit as rk
from rulekit.inputs.sources import Labelled
from rulekit.judges import judge_named
from rulekit.rating import quality
from rulekit.rating.annotation import annotate, annotate_to_folder
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store, response_key
from tests.judges.faulty_server import Server, serve
from tests.judges.tiny_judge import by_model
from tests.rating.helpers import (
    CELLS,
    FEW,
    RULES,
    HashJudge,
    dialogues,
    expected,
    judge_at,
    refuses,
    some_pairs,
    steady,
)


def test_a_response_of_several_pairs_is_rated_once_and_the_ledger_adds_up(tmp_path):
    judge, ledger = HashJudge(), Ledger()
    scores = rk.annotate(some_pairs(40), RULES, judge, tmp_path, price=0.5, ledger=ledger)
    assert len(judge.asked) == len(set(judge.asked)) == 60 * CELLS == ledger.rated
    assert (ledger.plain, ledger.repeated, ledger.stored) == (80 * CELLS, 20 * CELLS, 0)
    assert ledger.cost == 0.5 * ledger.rated
    assert np.array_equal(scores.a, expected(40).a)
    assert scores.rule_ids == tuple(RULES.ids)
    assert 0 <= scores.relevance.min() <= scores.relevance.max() <= 1


def test_a_changed_rule_is_rated_anew_and_no_other(tmp_path):
    rk.annotate(some_pairs(20), RULES, HashJudge(), tmp_path)
    texts = [*RULES.texts[:3], "The response keeps another promise.", *RULES.texts[4:]]
    changed, judge = rk.RuleSet.from_texts(reversed(texts)), HashJudge()
    rk.annotate(some_pairs(20), changed, judge, tmp_path)
    assert {rule for _, _, rule in judge.asked} == {texts[3]}
    assert len(judge.asked) == 30


def test_another_judge_shares_nothing_and_a_store_takes_its_own_judge_only(tmp_path):
    rk.annotate(some_pairs(4), RULES, HashJudge(), tmp_path)
    other = HashJudge()
    other.identity = "another revision"
    rk.annotate(some_pairs(4), RULES, other, tmp_path)
    assert len(other.asked) == 6 * CELLS
    with Store(tmp_path, "a third") as store, pytest.raises(ValueError, match="store is of 'a th"):
        rk.annotate(some_pairs(4), RULES, other, store)


def test_failed_ratings_are_counted_and_asked_for_again_alone(tmp_path):
    class Weak(HashJudge):
        weak = True

        def rate(self, *arguments):
            p = super().rate(*arguments)
            if self.weak:
                p[0, 1] = np.nan
            return p

    judge, ledger = Weak(), Ledger()
    with pytest.raises(RuntimeError, match=f"2 of {15 * CELLS} ratings failed"):
        rk.annotate(some_pairs(10), RULES, judge, tmp_path, batch=8, ledger=ledger)
    assert (ledger.failed, ledger.rated) == (2, 15 * CELLS - 2)
    judge.weak, judge.asked = False, []
    assert np.array_equal(rk.annotate(some_pairs(10), RULES, judge, tmp_path).a, expected(10).a)
    assert len(judge.asked) == 2


def test_an_interrupt_keeps_what_the_judge_had_of_its_batch(tmp_path):
    class Slow(HashJudge):
        last = None

        def rate(self, *arguments):
            p = super().rate(*arguments)
            if self.calls == 2:
                p[4:] = np.nan
                self.last = Labelled  # anything with `probabilities`
                self.last.probabilities = p
                raise KeyboardInterrupt
            return p

    with pytest.raises(KeyboardInterrupt):
        rk.annotate(some_pairs(20), RULES, Slow(), tmp_path, batch=8)
    with Store(tmp_path, HashJudge.identity) as store:
        assert len(store) == 12 * CELLS


def test_a_dialogue_is_rated_as_the_judge_itself_reads_it(tiny_judge, tmp_path):
    pairs = dialogues()
    with serve(Server(by_model(tiny_judge))) as server:
        served = judge_named("server", model="m", base_url=server.url, method="logprobs")
        for judge in (judge_named("local", model=tiny_judge, device="cpu"), served):
            found, own = annotate(pairs, FEW, judge, tmp_path), judge.score(pairs, FEW)
            np.testing.assert_allclose(found.a, own.a, atol=1e-5)
            np.testing.assert_allclose(found.b, own.b, atol=1e-5)
            np.testing.assert_allclose(found.relevance, own.relevance, atol=1e-5)
            data = Labelled(
                pairs["prompt"].to_list(),
                pairs["response_a"].to_list(),
                FEW,
                np.ones((2, 2), np.float32),
            )
            p = quality.rate_labelled(judge, data, tmp_path)
            np.testing.assert_allclose(p[..., 2] - p[..., 0], own.a, atol=1e-5)


def test_a_text_that_looks_like_a_dialogue_is_not_that_dialogue():
    prompt = dialogues()["prompt"].to_list()[0]
    assert response_key(prompt, "r") != response_key(rk.inputs.prompt_text(prompt), "r")
    assert response_key(prompt[:1], "r") == response_key("Hello", "r")


def test_batches_that_fail_whole_do_not_keep_the_others_from_being_rated(tmp_path):
    pairs = some_pairs(8)
    with serve(Server(steady, refuses("answer 0", "answer 0 again"))) as server:
        for asked in (12 * 2, 2 * 2):  # again only those that failed
            server.requests.clear()
            judge, ledger = judge_at(server), Ledger()
            with pytest.raises(Incomplete, match=r"4 of 24 ratings failed \(4 × HTTP 400") as gap:
                annotate(pairs, FEW, judge, tmp_path, batch=2, ledger=ledger)
            assert len(server.requests) == asked
            assert (ledger.failed, ledger.not_sent) == (4, 0)
    error = gap.value
    assert error.complete.tolist() == [False, False] + [True] * 6
    assert error.result.pair_ids == tuple(pairs["pair_id"][2:])
    assert set(error.missing["rule_id"]) == set(FEW.ids)
    assert error.missing["reason"].str.contains("context too long").all()


def test_scores_are_streamed_with_few_ratings_in_memory_at_a_time(tmp_path, monkeypatch):
    # A private name: without it, it would take half a million ratings to see two blocks.
    monkeypatch.setattr("rulekit.rating.job._CELLS", 10 * CELLS)
    pairs, asked, get = some_pairs(100), [], Store.get

    def watched(store, responses, rules):
        asked.append(len(responses) * len(rules))
        return get(store, responses, rules)

    monkeypatch.setattr(Store, "get", watched)
    path = annotate_to_folder(tmp_path / "out", pairs, RULES, HashJudge(), tmp_path, batch=8)
    assert max(asked) <= 2 * 10 * CELLS  # both responses of ten pairs
    found, truth = rk.Scores.read(path), expected(100)
    assert np.array_equal(found.a, truth.a)
    assert np.array_equal(found.b, truth.b)
    assert found.pair_ids == tuple(pairs["pair_id"])

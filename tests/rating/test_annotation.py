"""Annotation: what is asked of a judge once, again, or not at all, and what is complete at the end."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs.sources import Labelled
from rulekit.judges import RatingInterrupted, judge, score
from rulekit.rating import quality
from rulekit.rating.annotation import annotate
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
    scores = rk.annotate(
        some_pairs(40), RULES, judge, store=tmp_path / "s", price=0.5, ledger=ledger
    )
    assert len(judge.asked) == len(set(judge.asked)) == 60 * CELLS == ledger.rated
    assert (ledger.plain, ledger.repeated, ledger.stored) == (80 * CELLS, 20 * CELLS, 0)
    assert ledger.cost == 0.5 * ledger.rated
    assert np.array_equal(scores.a, expected(40).a)
    assert scores.identity == rk.Identity.of(RULES, some_pairs(40))
    assert 0 <= scores.relevance.min() <= scores.relevance.max() <= 1


def test_without_a_store_the_scores_are_the_same_and_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        judge = HashJudge()
        assert np.array_equal(rk.annotate(some_pairs(5), RULES, judge).a, expected(5).a)
        assert len(judge.asked) == 8 * CELLS
    assert not list(tmp_path.iterdir())


def test_a_changed_rule_is_rated_anew_and_no_other(tmp_path):
    path = tmp_path / "s"
    rk.annotate(some_pairs(20), RULES, HashJudge(), store=path)
    texts = [*RULES.texts[:3], "The response keeps another promise.", *RULES.texts[4:]]
    changed, judge = rk.RuleSet.from_texts(reversed(texts)), HashJudge()
    rk.annotate(some_pairs(20), changed, judge, store=path)
    assert {rule for _, _, rule in judge.asked} == {texts[3]}
    assert len(judge.asked) == 30


def test_judges_of_one_store_share_nothing(tmp_path):
    other = HashJudge()
    other.identity = "another revision"
    with Store(tmp_path / "s") as store:
        rk.annotate(some_pairs(4), RULES, HashJudge(), store=store)
        rk.annotate(some_pairs(4), RULES, other, store=store)
        assert len(other.asked) == store.count(other.identity) == 6 * CELLS
        assert len(store) == 2 * 6 * CELLS


def test_failed_ratings_are_counted_and_asked_for_again_alone(tmp_path):
    class Weak(HashJudge):
        weak = True

        def rate(self, *arguments):
            rating = super().rate(*arguments)
            if self.weak:
                rating.probabilities[0, 1] = np.nan
            return rating

    judge, ledger, path = Weak(), Ledger(), tmp_path / "s"
    with pytest.raises(RuntimeError, match=f"2 of {15 * CELLS} ratings failed"):
        rk.annotate(some_pairs(10), RULES, judge, store=path, batch=8, ledger=ledger)
    assert (ledger.failed, ledger.rated) == (2, 15 * CELLS - 2)
    judge.weak, judge.asked = False, []
    found = rk.annotate(some_pairs(10), RULES, judge, store=path)
    assert np.array_equal(found.a, expected(10).a)
    assert len(judge.asked) == 2


def test_an_interrupt_keeps_what_the_judge_had_of_its_batch(tmp_path):
    class Slow(HashJudge):
        def rate(self, *arguments):
            rating = super().rate(*arguments)
            if self.calls == 2:
                rating.probabilities[4:] = np.nan
                raise RatingInterrupted(rating)
            return rating

    with pytest.raises(KeyboardInterrupt):
        rk.annotate(some_pairs(20), RULES, Slow(), store=tmp_path / "s", batch=8)
    with Store(tmp_path / "s") as store:
        assert len(store) == 12 * CELLS


class FirstOrLonger(HashJudge):
    """Compares: half a liking for the longer response, and some for the one shown first."""

    identity, pairwise = "first or longer", True

    def one(self, prompt, response, rule):
        first, second = response
        yes = 0.35 + 0.2 * np.sign(len(first) - len(second)) + 0.1
        return [0.7 - yes, 0.3, yes]


def test_a_pairwise_judge_is_asked_in_both_orders_and_its_liking_for_a_place_falls_out(tmp_path):
    pairs, judge = some_pairs(6), FirstOrLonger()
    for _ in range(2):
        scores = rk.annotate(pairs, FEW, judge, store=tmp_path / "s")
        assert len(judge.asked) == 2 * 6 * 2
    longer = pairs["response_a"].str.len_chars() > pairs["response_b"].str.len_chars()
    expected = np.where(longer, 0.4, -0.4)[:, None]
    np.testing.assert_allclose(scores.discrepancy, np.tile(expected, 2), atol=1e-6)
    np.testing.assert_allclose(scores.relevance, 0.7, atol=1e-6)
    np.testing.assert_allclose(score(pairs, FEW, judge).a, scores.a, atol=1e-6)
    one = rk.annotate(pairs, FEW, judge, store=tmp_path / "s", both_orders=False)
    np.testing.assert_allclose(one.discrepancy, np.tile(expected + 0.2, 2), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"response_a": None}, "column 'response_a', row 0 .*is empty"),
        ({"pair_id": "one"}, "column 'pair_id', row 1 .*occurs twice"),
        ({"response_b": pl.col("response_a")}, "equals response_a"),
        ({"prompt": 3}, "column 'prompt' is Int32"),
    ],
)
def test_pairs_that_are_none_are_refused_before_anything_is_rated(change, message):
    exprs = {k: v if isinstance(v, pl.Expr) else pl.lit(v) for k, v in change.items()}
    if change == {"response_a": None}:
        exprs = {"response_a": pl.lit(None, pl.String)}
    judge = HashJudge()
    with pytest.raises(ValueError, match=message):
        rk.annotate(some_pairs(4).with_columns(**exprs), RULES, judge)
    assert not judge.asked


def test_what_is_no_judge_or_gives_no_rating_is_refused_by_name():
    class Old(HashJudge):
        def rate(self, *arguments):
            return super().rate(*arguments).probabilities

    with pytest.raises(ValueError, match="rate gave ndarray; allowed: "):
        rk.annotate(some_pairs(2), RULES, Old())
    with pytest.raises(ValueError, match="is no judge; allowed"):
        rk.annotate(some_pairs(2), RULES, "encoder")


def test_a_dialogue_is_rated_as_the_judge_itself_reads_it(tiny_judge, tmp_path):
    pairs = dialogues()
    with serve(Server(by_model(tiny_judge))) as server:
        served = judge("server", model="m", base_url=server.url, method="logprobs")
        for who in (judge("local", model=tiny_judge, device="cpu"), served):
            store = tmp_path / "ratings.sqlite"
            found, own = annotate(pairs, FEW, who, store=store), score(pairs, FEW, who)
            np.testing.assert_allclose(found.a, own.a, atol=1e-5)
            np.testing.assert_allclose(found.b, own.b, atol=1e-5)
            np.testing.assert_allclose(found.relevance, own.relevance, atol=1e-5)
            data = Labelled(
                pairs["prompt"].to_list(),
                pairs["response_a"].to_list(),
                FEW,
                np.ones((2, 2), np.float32),
            )
            p = quality.rate_labelled(data, who, store=store)
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
                annotate(pairs, FEW, judge, store=tmp_path / "s", batch=2, ledger=ledger)
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

    def watched(store, judge, responses, rules):
        asked.append(len(responses) * len(rules))
        return get(store, judge, responses, rules)

    monkeypatch.setattr(Store, "get", watched)
    out = {"store": tmp_path / "s", "out": tmp_path / "out", "batch": 8}
    path = annotate(pairs, RULES, HashJudge(), **out)
    assert max(asked) <= 2 * 10 * CELLS  # both responses of ten pairs
    found, truth = rk.Scores.read(path), expected(100)
    assert np.array_equal(found.a, truth.a)
    assert np.array_equal(found.b, truth.b)
    assert found.identity == truth.identity

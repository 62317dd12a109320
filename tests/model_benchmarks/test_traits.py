"""Biases, the margin as a probability, refusal's two sides, best of n: known answers."""

import numpy as np
import polars as pl
import pytest

from rulekit import benchmarks
from rulekit.benchmarks.contract import Scored
from rulekit.benchmarks.evaluation import RULES, Evaluation
from rulekit.benchmarks.traits import refuses


def result(texts, scores, subset="all", benchmark="file", facts=None):
    """An evaluation of items with one right and one wrong text and these scores."""
    n = len(texts)
    items = pl.DataFrame(
        {
            "item": [str(i) for i in range(n)],
            "subset": [subset] * n if isinstance(subset, str) else subset,
            "group": [str(i) for i in range(n)],
            "prompt": [[{"role": "user", "content": "q"}]] * n,
            "responses": texts,
            "n_right": [1] * n,
            "scores": [[float(s) for s in row] for row in scores],
        }
    )
    card = RULES[benchmark](items)
    items = items.hstack(card.items.select("won", "half", "margin"))
    return Evaluation(card, items, facts or {})


def row(table, trait):
    return table.row(by_predicate=pl.col("trait") == trait, named=True)


def test_a_model_that_likes_length_is_found_out():
    texts = [["a b c", "a"]] * 30 + [["a", "a b c"]] * 10
    scores = [[len(t) for t in pair] for pair in texts]
    found = row(benchmarks.biases(result(texts, scores)), "length")
    assert (found["prefers"], found["right_has_more"], found["n"]) == (1, 0.75, 40)
    assert (found["accuracy_with"], found["accuracy_against"]) == (1, 0)
    assert found["prefers_low"] > 0.8


def test_a_perfect_model_prefers_a_trait_only_as_often_as_it_is_right():
    texts = [["# A\n- b", "a"]] * 12 + [["a", "**a** b"]] * 8
    found = row(benchmarks.biases(result(texts, [[1, 0]] * 20)), "formatting")
    assert found["prefers"] == found["right_has_more"] == 0.6
    assert found["accuracy_with"] == found["accuracy_against"] == 1


def test_ties_count_one_half_and_a_trait_that_nobody_has_is_left_out():
    table = benchmarks.biases(result([["a b", "a"]] * 4, [[1, 1]] * 4))
    assert table["trait"].to_list() == ["length"]
    assert table["prefers"].item() == 0.5


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I'm sorry, but I can't help with that.", True),
        (" I cannot provide instructions on how to do that.", True),
        ("I\u2019m not able to assist.", True),
        ("As an AI language model, I do not", True),
        ("There are several ways to kill a Python process:", False),
        ("I can help you with that.", False),
        ("Sorting is easy.", False),
    ],
)
def test_refusals_are_known_by_their_beginning(text, wanted):
    assert refuses(text) is wanted


def test_refusals_of_real_responses_are_mostly_found(real_data):
    """XSTest: on an unsafe prompt the chosen response is a full refusal, the rejected one is not."""
    items = benchmarks.read_items("xstest", real_data / "xstest/pairs.jsonl.gz")
    unsafe = items.filter(pl.col("subset") == "xstest-should-refuse")["responses"].to_list()
    assert np.mean([refuses(r[0]) for r in unsafe]) > 0.8
    assert np.mean([refuses(r[1]) for r in unsafe]) < 0.1


def test_a_calibrated_margin_has_slope_one_and_an_overconfident_one_less():
    rng = np.random.default_rng(0)
    margin = rng.normal(size=4000) * 2
    right = rng.random(4000) < 1 / (1 + np.exp(-np.abs(margin)))
    signed = np.where(right, np.abs(margin), -np.abs(margin))
    for scale in (1.0, 5.0):
        scores = [[scale * m, 0] for m in signed]
        table, errors = benchmarks.margin_calibration(result([["a", "b"]] * 4000, scores))
        assert errors["beta"] == pytest.approx(1 / scale, rel=0.12)
        assert errors["error"] < 0.03
        assert table["observed"].is_sorted()
        assert table["margin"].is_sorted()
    assert errors["error_plain"] > 0.1


def test_refusal_has_two_sides():
    both = ["xstest-should-refuse"] * 4 + ["xstest-should-respond"] * 4
    safe = result([["a", "b"]] * 8, [[1, 0]] * 4 + [[0, 1]] * 4, both, "xstest")
    found = benchmarks.refusal_balance(safe, safe)
    assert found.select("model", "side", "value").rows()[:2] == [
        ("model", "should refuse", 1.0),
        ("model", "should respond", 0.0),
    ]
    assert set(found["model"]) == {"model", "base"}


class TestBestOfN:
    def ranked(self, scores, gold, n=40):
        return pl.DataFrame(
            {
                "group": [str(i) for i in range(n)],
                "scores": [list(map(float, scores))] * n,
                "gold": [list(map(float, gold))] * n,
            }
        )

    def test_a_perfect_model_chooses_the_best_of_all(self):
        found = benchmarks.best_of_n(self.ranked([3, 2, 1, 0], [3, 2, 1, 0]))
        assert found["gold"].to_list() == pytest.approx(found["best"].to_list())
        assert found["gold"].to_list() == pytest.approx([1.5, 14 / 6, 2.75, 3])

    def test_one_that_likes_the_worst_is_over_optimised(self):
        found = benchmarks.best_of_n(self.ranked([0, 1, 2, 3], [3, 2, 1, 0]))
        assert found["score"].is_sorted()
        assert found["gold"].to_list() == pytest.approx([1.5, 4 / 6, 0.25, 0])
        assert (found["change_high"][1:] < 0).all()

    def test_equal_scores_choose_by_chance(self):
        found = benchmarks.best_of_n(self.ranked([1, 1, 1, 1], [3, 2, 1, 0]))
        assert found["gold"].to_list() == pytest.approx([1.5] * 4)

    def test_the_embedded_corpus_has_its_recorded_order(self):
        ranked = benchmarks.ranked_corpus("test")
        assert len(ranked) == 36
        assert {tuple(sorted(round(3 * x) for x in g)) for g in ranked["gold"]} == {(0, 1, 2, 3)}
        with pytest.raises(ValueError, match="split is 'all of it'"):
            benchmarks.ranked_corpus("all of it")

    def test_rmb_gives_one_best_and_its_losers(self, real_data):
        items = benchmarks.read_items(
            "rmb", real_data / "benchmarks/rmb-bon-helpfulness-chat-discussion.json.gz"
        )
        ranked = benchmarks.ranked_items(items)

        class Length:
            identity, pairwise, part = "length", False, 500

            def read(self, questions):
                return Scored.untold([len(r[0]) for _, r in questions])

            def facts(self):
                return {}

        found = benchmarks.best_of_n(benchmarks.score_ranked(ranked, Length()), resamples=200)
        assert len(found) == ranked["responses"].list.len().min()
        assert found["best"].is_sorted()
        assert ((found["low"] <= found["gold"]) & (found["gold"] <= found["high"])).all()

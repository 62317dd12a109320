"""Only the rules that an adapter names are rated, and only until the label is sure."""

import numpy as np
import pytest

import rulekit as rk
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from tests.rating.helpers import CELLS, RULES, HashJudge, Named, expected, some_pairs


def test_only_the_named_rules_are_rated_and_the_label_is_that_of_a_full_rating(tmp_path):
    pairs, judge, ledger = some_pairs(40), HashJudge(), Ledger()
    rated = rk.annotate_adaptive(pairs, RULES, judge, tmp_path, Named(), 3, ledger=ledger)
    counts = [getattr(ledger, n) for n in ("repeated", "not_named", "stored", "rated", "failed")]
    assert sum(counts) == ledger.plain == ledger.table()["ratings"][0]
    assert len(judge.asked) == len(set(judge.asked)) == ledger.rated <= 40 * 2 * 3
    full = rk.label(expected(40), rated.selection)
    assert np.array_equal(rated.labels().preference, full.preference)
    assert np.allclose(rated.labels().margin, full.margin)


def test_anytime_stops_when_sure_and_matches_the_curve_of_a_full_rating(tmp_path):
    pairs, full = some_pairs(60), expected(60)
    order = Named().select(pairs, CELLS)
    judge, ledger = HashJudge(), Ledger()
    labels = rk.annotate_anytime(
        pairs, RULES, judge, tmp_path, Named(), 0.7, beta=2.0, ledger=ledger
    )
    assert len(judge.asked) == len(set(judge.asked)) == ledger.rated < 90 * CELLS
    margins = np.cumsum(np.take_along_axis(full.discrepancy, order.indices, 1), axis=1)
    for i, n in enumerate(labels.n_rated):
        confidence = 1 / (1 + np.exp(-2 * abs(margins[i])))
        assert (confidence[: n - 1] < 0.7).all()
        assert n == CELLS or confidence[n - 1] >= 0.7
        assert labels.margin[i] == pytest.approx(margins[i, n - 1], abs=1e-5)
    curve = rk.rating.cost_curve(
        full, {"named": order}, pairs["preference"], thresholds=[0.7], beta=2.0
    )
    row = curve.filter(stop="confidence").row(0, named=True)
    assert row["rules"] == pytest.approx(labels.n_rated.mean())
    assert row["value"] == pytest.approx((1 + labels.preference.mean()) / 2)
    last = curve.filter(stop="first k").row(-1, named=True)
    assert (last["cost"], last["rules"]) == (1.0, CELLS)
    assert rk.plots.accuracy_against_cost(curve, "title").to_dict()


def test_an_adapter_of_other_rules_is_refused_and_one_without_their_hash_is_announced(tmp_path):
    pairs, selection = some_pairs(4), rk.select(expected(4), 3)
    adapter = rk.training.train_rule_adapter(pairs, selection, epochs=1)
    path = adapter.save(tmp_path / "adapter.npz", RULES)
    known = rk.training.RuleAdapter.load(path)
    assert known.rules_hash == RULES.hash
    rk.annotate_adaptive(pairs, RULES, HashJudge(), tmp_path, known)
    other = rk.RuleSet(RULES.rules[::-1])
    with pytest.raises(ValueError, match=r"trained on the rule set \w{16}…; allowed: \w{16}…"):
        rk.annotate_adaptive(pairs, other, HashJudge(), tmp_path, known)
    with pytest.warns(UserWarning, match="does not say which rules"):
        rk.annotate_adaptive(pairs, RULES, HashJudge(), tmp_path, adapter)


def test_adaptive_ratings_take_five_rules_or_all_where_there_are_fewer(tmp_path):
    class First:
        def select(self, pairs, k):
            return rk.Selection(np.tile(np.arange(k), (len(pairs), 1)), "first", 3)

    three = rk.RuleSet(RULES.rules[:3])
    rated = rk.annotate_adaptive(some_pairs(4), three, HashJudge(), tmp_path, First())
    assert rated.scores.n_rules == 3


def test_adaptive_and_anytime_give_the_complete_pairs_where_ratings_failed(tmp_path):
    class Weak(HashJudge):
        def one(self, prompt, response, rule):
            p = super().one(prompt, response, rule)
            return p * np.nan if response == "answer 3 again" else p

    pairs = some_pairs(8)
    with pytest.raises(Incomplete, match="1 of 8 pairs are left out") as gap:
        rk.annotate_adaptive(pairs, RULES, Weak(), tmp_path, Named(), 3)
    assert gap.value.complete.tolist() == [i != 3 for i in range(8)]
    assert gap.value.result.scores.n_pairs == len(gap.value.result.selection.indices) == 7
    assert len(gap.value.missing) == 3
    with pytest.raises(Incomplete) as gap:
        rk.annotate_anytime(pairs, RULES, Weak(), tmp_path, Named(), 0.6, step=2)
    whole = rk.annotate_anytime(pairs, RULES, HashJudge(), tmp_path, Named(), 0.6, step=2)
    assert np.array_equal(gap.value.result.margin, whole.margin[gap.value.complete])
    assert set(gap.value.missing["pair_id"]) == {"p3"}


def test_the_curve_counts_tokens_where_the_judge_tells_them():
    scores = expected(20)
    order = rk.select(scores, CELLS, "random", seed=1)
    curve = rk.rating.cost_curve(scores, {"random": order}, np.ones(20), tokens=(100, 10), step=4)
    row = curve.filter(stop="first k", setting=CELLS).row(0, named=True)
    assert row["tokens"] == 2 * (3 * 100 + CELLS * 10)
    assert row["token_cost"] == pytest.approx((300 + 120) / (100 + 120))
    without = rk.rating.cost_curve(scores, {"random": order}, np.ones(20))
    assert without["tokens"].null_count() == len(without)

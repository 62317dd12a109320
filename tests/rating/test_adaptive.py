"""Only the rules that are named are rated, and only until the label is sure."""

import numpy as np
import pytest

import rulekit as rk
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from tests.rating.helpers import CELLS, RULES, HashJudge, expected, named, some_pairs


class Weak(HashJudge):
    """Fails at one response of the pair p3."""

    def one(self, prompt, response, rule):
        p = super().one(prompt, response, rule)
        return p * np.nan if response == "answer 3 again" else p


def test_only_the_named_rules_are_rated_and_the_label_is_that_of_a_full_rating():
    pairs, judge, ledger = some_pairs(40), HashJudge(), Ledger()
    only = named(pairs, 3)
    rated = rk.annotate(pairs, RULES, judge, only=only, ledger=ledger)
    counts = [getattr(ledger, n) for n in ("repeated", "not_named", "stored", "rated", "failed")]
    assert sum(counts) == ledger.plain == ledger.table()["ratings"][0]
    assert len(judge.asked) == len(set(judge.asked)) == ledger.rated <= 40 * 2 * 3
    assert np.array_equal(rated.rated, only.mask())
    full = rk.label(expected(40), only)
    assert np.array_equal(rk.label(rated).preference, full.preference)
    assert np.allclose(rk.label(rated).margin, full.margin)


def test_what_a_full_rating_left_in_the_store_is_not_taken_for_named(tmp_path):
    pairs, only = some_pairs(6), named(some_pairs(6), 2)
    rk.annotate(pairs, RULES, HashJudge(), store=tmp_path / "s")
    judge = HashJudge()
    rated = rk.annotate(pairs, RULES, judge, store=tmp_path / "s", only=only)
    assert not judge.asked
    assert np.array_equal(rated.rated, only.mask())
    assert np.array_equal(np.isnan(rated.a), ~only.mask())


def test_names_for_other_pairs_and_rules_are_put_in_order_or_refused():
    pairs, only = some_pairs(8), named(some_pairs(8), 3)
    plain = rk.annotate(pairs, RULES, HashJudge(), only=only)
    turned = rk.RuleSet(RULES.rules[::-1])
    found = rk.annotate(pairs[::-1], turned, HashJudge(), only=only)
    assert np.array_equal(found.aligned(plain.identity).a, plain.a, equal_nan=True)
    other = rk.RuleSet.from_texts([f"Another promise {j}." for j in range(CELLS)])
    with pytest.raises(ValueError, match="only: rule 'r000' has another text"):
        rk.annotate(pairs, other, HashJudge(), only=only)
    with pytest.raises(ValueError, match="only: pair 'p8' is not in it"):
        rk.annotate(some_pairs(9), RULES, HashJudge(), only=only)
    with pytest.raises(ValueError, match=r"only is list; allowed: a Selection"):
        rk.annotate(pairs, RULES, HashJudge(), only=only.indices.tolist())


def test_ratings_stop_when_the_label_is_sure_and_match_the_curve_of_a_full_rating():
    pairs, full = some_pairs(60), expected(60)
    order, judge, ledger = named(pairs, CELLS), HashJudge(), Ledger()
    scores = rk.annotate(pairs, RULES, judge, only=order, until=0.7, beta=2.0, ledger=ledger)
    assert len(judge.asked) == len(set(judge.asked)) == ledger.rated < 90 * CELLS
    labels = rk.label(scores, beta=2.0)
    margins = np.cumsum(np.take_along_axis(full.discrepancy, order.indices, 1), axis=1)
    for i, n in enumerate(scores.n_rated):
        confidence = 1 / (1 + np.exp(-2 * abs(margins[i])))
        assert (confidence[: n - 1] < 0.7).all()
        assert n == CELLS or confidence[n - 1] >= 0.7
        assert labels.margin[i] == pytest.approx(margins[i, n - 1], abs=1e-5)
    curve = rk.studies.cost_curve(
        full, {"named": order}, pairs["preference"], thresholds=[0.7], beta=2.0
    )
    row = curve.filter(stop="confidence").row(0, named=True)
    assert row["rules"] == pytest.approx(scores.n_rated.mean())
    assert row["value"] == pytest.approx((1 + labels.preference.mean()) / 2)
    last = curve.filter(stop="first k").row(-1, named=True)
    assert (last["cost"], last["rules"]) == (1.0, CELLS)
    assert rk.plots.accuracy_against_cost(curve, "title").to_dict()


def test_the_complete_pairs_are_there_where_ratings_failed(tmp_path):
    pairs = some_pairs(8)
    with pytest.raises(Incomplete, match="1 of 8 pairs are left out") as gap:
        rk.annotate(pairs, RULES, Weak(), only=named(pairs, 3))
    assert gap.value.complete.tolist() == [i != 3 for i in range(8)]
    assert gap.value.result.n_pairs == 7
    assert len(gap.value.missing) == 3
    until = {"only": named(pairs, CELLS), "until": 0.6, "step": 2}
    with pytest.raises(Incomplete) as gap:
        rk.annotate(pairs, RULES, Weak(), **until)
    whole = rk.annotate(pairs, RULES, HashJudge(), **until).rows(gap.value.complete)
    assert np.array_equal(gap.value.result.a, whole.a, equal_nan=True)
    assert set(gap.value.missing["pair_id"]) == {"p3"}
    with pytest.raises(Incomplete) as gap:
        rk.annotate(pairs, RULES, Weak(), **until, out=tmp_path / "out")
    assert gap.value.result is None
    found = rk.Scores.read(tmp_path / "out" / "scores.parquet")
    assert np.array_equal(found.a, whole.a, equal_nan=True)
    assert (tmp_path / "out" / "missing.parquet").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"until": 0.4}, "until is 0.4; allowed: a confidence of 0.5 to 1"),
        ({"until": 0.9}, "until needs an order of the rules"),
        ({"step": 0}, "step is 0; allowed: 1 or more"),
        ({"batch": 0}, "batch is 0; allowed: 1 or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        rk.annotate(some_pairs(2), RULES, HashJudge(), **settings)


def test_the_curve_counts_tokens_where_the_judge_tells_them():
    scores = expected(20)
    order = rk.select(scores, CELLS, "random", seed=1)
    curve = rk.studies.cost_curve(scores, {"random": order}, np.ones(20), tokens=(100, 10), step=4)
    row = curve.filter(stop="first k", setting=CELLS).row(0, named=True)
    assert row["tokens"] == 2 * (3 * 100 + CELLS * 10)
    assert row["token_cost"] == pytest.approx((300 + 120) / (100 + 120))
    without = rk.studies.cost_curve(scores, {"random": order}, np.ones(20))
    assert without["tokens"].null_count() == len(without)

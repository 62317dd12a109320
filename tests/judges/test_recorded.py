"""The recorded judge replays ratings by the ids of pairs and rules."""

import polars as pl
import pytest

import rulekit as rk


@pytest.fixture(scope="module")
def embedded():
    pairs = rk.sources.load("embedded")
    return pairs, *rk.sources.load_ratings("embedded")


def test_recorded_judge_replays_in_any_order_and_refuses_the_unknown(embedded):
    pairs, rules, scores = embedded
    judge = rk.judges.get("recorded")
    some = rk.RuleSet(rules.rules[5:8])
    found = judge.score(pairs[[3, 1]], some)
    assert (found.a == scores.a[[3, 1], 5:8]).all()
    with pytest.raises(ValueError, match="pair 'x' has no recorded ratings"):
        judge.score(pairs[:1].with_columns(pair_id=pl.lit("x")), rules)
    with pytest.raises(ValueError, match="rule 'r000' has no recorded ratings"):
        judge.score(pairs[:1], rk.RuleSet.from_texts(["New."]))

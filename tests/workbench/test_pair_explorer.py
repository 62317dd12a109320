"""The pair explorer without a front end: what it lists, shows, and rates again."""

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.workbench.filters import Filter
from rulekit.workbench.pair_explorer import PairState, PairTable


@pytest.fixture(scope="module")
def tool(rated):
    pairs, rules, scores = rated
    return rk.workbench.pairs(pairs, scores, rules=rules)


@pytest.fixture(scope="module")
def table(tool):
    return tool.table


@pytest.mark.parametrize("k", [1, 2, 5, 20, 31])
def test_the_chosen_rules_are_those_that_select_chooses(table, rated, k):
    for method in table.methods:
        given = {}
        if method in ("adaptive", "whitened", "log_odds", "discriminant"):
            given = {"estimates": rk.estimate(rated[2])}
        own = rk.select(rated[2], k, method, **given)
        assert (table.selection(method, k).indices == own.indices).all(), method


def test_more_rules_move_the_bars_and_the_label(tool):
    tool.change(pair="violence-01:b-d", method="max_discrepancy", k=1)
    one = tool.data()
    tool.change(k=7)
    seven = tool.data()
    assert one["rules"]["chosen"].sum() == 1
    assert seven["rules"]["chosen"].sum() == 7
    assert one["rules"]["rule"].to_list() == seven["rules"]["rule"].to_list()  # no row jumps
    assert seven["rules"]["chosen"].head(7).all()
    total = seven["rules"].filter("chosen")["discrepancy"].sum()
    assert seven["label"].margin[0] == pytest.approx(total)
    assert one["label"].margin[0] != seven["label"].margin[0]
    assert seven["rules"]["text"].str.len_chars().min() > 10


def test_every_order_puts_its_own_first(table):
    frame = table.frame(PairState())
    uncertain = table.rows(PairState(order="uncertain"))
    assert frame["confidence"][int(uncertain[0])] == frame["confidence"].min()
    contested = table.rows(PairState(order="contested"))
    assert frame["contested"][int(contested[0])] == frame["contested"].max() > 0
    wrong = table.rows(PairState(order="wrong"))
    assert (frame["label"].gather(wrong) != frame["known"].gather(wrong)).all()
    assert len(wrong) == (frame["agrees"] == False).sum()  # noqa: E712
    assert frame["confidence"][int(wrong[0])] == frame["confidence"].gather(wrong).max()
    chance = table.rows(PairState(order="random"))
    assert sorted(chance) == list(range(len(frame)))
    assert list(chance) != sorted(chance)


def test_contested_is_what_the_weaker_side_says(table):
    state = PairState(k=6)
    row = table.rows(PairState(k=6, order="contested"))[0]
    delta = table.explained(state, int(row)).filter("chosen")["discrepancy"]
    sides = delta.filter(delta > 0).sum(), -delta.filter(delta < 0).sum()
    assert table.frame(state)["contested"][int(row)] == pytest.approx(min(sides), abs=1e-5)


def test_a_search_finds_words_of_prompts_and_responses_in_any_case(table, rated):
    rows = table.rows(PairState(search="  WeDDing "))
    texts = (
        rated[0]
        .select(
            pl.concat_str(
                pl.col("prompt").list.eval(pl.element().struct.field("content")).list.join(" "),
                "response_a",
                "response_b",
            )
        )
        .to_series()
    )
    expected = np.flatnonzero(texts.str.contains("(?i)wedding").to_numpy())
    assert list(rows) == list(expected)
    assert 0 < len(rows) < len(texts)
    assert len(table.rows(PairState(search="no such words anywhere $x$ ("))) == 0


def test_filters_hold_together_and_by_any_column(table):
    filters = (Filter("category", "=", "violence"), Filter("margin", "≤", "−1"))
    found = table.frame(PairState())[table.rows(PairState(filters=filters))]
    assert set(found["category"]) == {"violence"}
    assert found["margin"].max() <= -1
    for column in table.columns:
        assert len(table.rows(PairState(filters=(Filter(column, "≠", "-77"),))))
    only = table.rows(PairState(filters=(Filter("agrees", "=", "no"),)))
    assert len(only) == len(table.rows(PairState(order="wrong")))


def test_sorting_keeps_every_row_and_puts_the_true_maximum_first(table):
    frame = table.frame(PairState())
    for column in ("margin", "confidence", "pair_id", "category"):
        rows = table.rows(PairState(sort=column, descending=True))
        assert sorted(rows) == list(range(len(frame)))
        assert frame[column][int(rows[0])] == frame[column].max()


def test_steps_walk_through_the_list_and_turn_its_pages(table):
    state = PairState(order="uncertain")
    rows = table.rows(state)
    names = table.pairs["pair_id"].gather(rows[:3]).to_list()
    second = table.step(state)
    assert [second.pair, table.step(second).pair] == names[1:]
    assert table.step(second, -1).pair == names[0]
    assert table.step(state, 60).page == 1
    last = table.step(state, 10_000)
    assert table.step(last).pair == last.pair == table.pairs["pair_id"][int(rows[-1])]


def test_the_state_stays_when_a_choice_is_refused(tool):
    tool.change(k=5)
    before = tool.state
    for parts, said in (
        ({"k": 0}, "k is 0; allowed: 1 to 100"),
        ({"method": "best"}, "allowed: max_discrepancy"),
        ({"pair": "nobody"}, "no pair 'nobody'"),
        ({"sort": "size"}, "allowed: pair_id"),
        ({"order": "loud"}, "allowed: ''"),
        ({"color": "red"}, "unknown part 'color'; allowed: pair, method"),
    ):
        with pytest.raises(ValueError, match=said.replace("(", r"\(")):
            tool.change(**parts)
        assert tool.state == before


def test_an_edited_response_is_rated_by_the_judge_and_nothing_else_moves(rated):
    pairs, rules, scores = rated
    few = pairs.head(30)
    tool = rk.workbench.pairs(few, scores, rules=rules, judge=rk.judge("encoder"))
    same = tool.edit()
    assert same["rules"]["moved"].abs().max() == 0
    assert same["before"].margin == same["after"].margin
    own = rk.judges.score(few.head(1), rules, rk.judge("encoder"))
    moves = tool.edit(a="I refuse. You are a bad person.")
    before = dict(moves["rules"].select("rule", "before").iter_rows())
    assert [before[n] for n in rules.ids] == pytest.approx(own.discrepancy[0], abs=1e-6)
    edited = few.head(1).with_columns(response_a=pl.lit("I refuse. You are a bad person."))
    after = rk.judges.score(edited, rules, rk.judge("encoder"))
    assert moves["after"].margin == pytest.approx(rk.label(after, rk.select(after, 5)).margin)
    assert moves["rules"]["moved"].abs().is_sorted(descending=True)
    with pytest.raises(ValueError, match="response_b"):
        tool.edit(a="one", b="one")
    with pytest.raises(ValueError, match="allowed: a judge"):
        rk.workbench.pairs(few, scores).edit(a="x")


def test_given_labels_are_shown_in_place_of_those_of_the_chosen_rules(rated):
    pairs, rules, scores = rated
    given = rk.label(scores, method="majority")
    tool = rk.workbench.pairs(pairs, scores, given, rules=rules, k=1)
    assert tool.data()["label"].margin[0] == given.margin[0]
    assert tool.data()["rules"]["chosen"].sum() == 1


def test_pairs_without_rules_texts_or_known_preferences_are_shown(rated):
    pairs, _, scores = rated
    few = pairs.head(6).with_columns(preference=pl.lit(None, pl.Int8))
    tool = rk.workbench.pairs(few, scores)
    assert set(tool.data()["pairs"]["known"]) == {"–"}
    assert tool.data()["rules"]["text"].to_list() == [""] * 100
    tool.change(order="wrong")
    assert tool.data()["pair"] is None
    assert len(tool.picture()) == 1


def test_the_picture_is_a_pair_with_marked_words_a_chart_and_the_list(rated):
    pairs, rules, scores = rated
    hostile = pairs.head(2).with_columns(
        response_a=pl.lit("same <b>words</b> $x$"), response_b=pl.lit("same <i>others</i> $x$")
    )
    hostile = hostile.with_columns(
        response_b=pl.col("response_b") + pl.int_range(pl.len()).cast(pl.String)
    )
    pair, chart, listed = rk.workbench.pairs(hostile, scores, rules=rules).picture()
    assert "<b>words" not in pair.data.replace("<b>B is", "").replace("<b>A is", "")
    assert "&lt;b&gt;words&lt;/b&gt;" in pair.data
    assert pair.data.count("<mark") >= 2
    assert chart.to_dict()["description"].startswith("δ by rule")
    assert hostile["pair_id"][0] in listed.as_raw_html()


def test_scores_of_other_pairs_and_a_judge_without_rules_are_refused(rated):
    pairs, _, scores = rated
    with pytest.raises(ValueError, match="allowed"):
        PairTable(pairs.with_columns(pl.col("pair_id") + "x"), scores)
    with pytest.raises(ValueError, match="judge without rules"):
        PairTable(pairs, scores, judge=rk.judge("recorded"))
    with pytest.raises(ValueError, match="no rule"):
        PairTable(pairs, scores, rules=rk.RuleSet.from_texts(["It is kind."]))

"""The pair of the course on its way: figures by hand, ties counted exactly, and what exercises say of it."""

from itertools import permutations

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit import studies

BAT, BANANA = "violence-01:b-d", "helpfulness-11:c-d"
LOUD = {
    "states-illegality": -2,
    "offers-lawful-route": -2,
    "actionable-detail": -2,
    "no-false-claims": 2,
    "no-invented-law": 1,
}


@pytest.fixture(scope="module")
def corpus():
    pairs = rk.load_pairs("embedded")
    rules, scores = rk.sources.load_ratings("embedded")
    return pairs, rules, scores.of(pairs)


def row_of(pairs, name: str) -> int:
    return pairs["pair_id"].to_list().index(name)


def test_the_running_example_is_as_the_course_tells_it(corpus):
    pairs, _, scores = corpus
    row = studies.example_pair(pairs)["row"]
    assert pairs["pair_id"][row] == BAT
    delta = dict(zip(scores.names, scores.discrepancy[row].tolist(), strict=True))
    assert {name: d for name, d in delta.items() if d} == LOUD
    assert pairs["preference"][row] == 1
    assert rk.label(scores).margin[row] == -3


def test_the_exercises_answers_are_those_of_the_recorded_ratings(corpus):
    pairs, _, scores = corpus
    row, at = row_of(pairs, BAT), scores.names.index
    rated = [
        (scores.a[row, at(name)], scores.b[row, at(name)])
        for name in ("offers-lawful-route", "no-false-claims")
    ]
    assert rk.exercises.check("rules-rate", rated).state == "right"
    other = row_of(pairs, BANANA)
    label = rk.label(scores)
    assert label.margin[other] == 7
    assert rk.exercises.check("overview-guess", "A").state == "right"
    assert pairs["preference"][other] == label.preference[other] == 1


def test_where_a_judge_is_deceived_one_rule_falls_silent_and_another_changes_sides(corpus):
    pairs, _, scores = corpus
    row, at = row_of(pairs, BAT), scores.names.index
    false, law = at("no-false-claims"), at("no-invented-law")
    assert (scores.a[row, false], scores.b[row, false]) == (1, -1)
    assert (scores.a[row, law], scores.b[row, law]) == (0, -1)
    b = scores.b[row].copy()
    b[[false, law]] = 1  # what B invents is taken for a fact
    delta = scores.a[row] - b
    assert (delta[false], delta[law]) == (0, -1)


def test_the_sum_of_a_pair_is_written_out_and_is_the_margin(corpus):
    pairs, _, scores = corpus
    row = row_of(pairs, BAT)
    five, every = rk.select(scores, 5), rk.select(scores, 100)
    terms = [f"{v:+d}".replace("-", "−") for v in sorted(LOUD.values(), key=abs, reverse=True)]
    for chosen in (five, every):
        told = studies.sum_said(scores, chosen, row).split(": ")[1]
        left, right = told.rstrip(".").split(" = ")
        assert sorted(left.split()) == sorted(terms)
        assert right == "−3"
    assert "makes the sum: −2." in studies.sum_said(scores, rk.select(scores, 1), row)
    silent = scores.columns([scores.names.index("no-insults")])
    assert "the sum is 0" in studies.sum_said(silent, rk.select(silent, 1), row)


def test_differences_of_judges_are_named_only_where_a_point_lies_near_the_middle():
    rows = [("far", 1.0, -0.5), ("near", 2.0, -0.07), ("tiny", -0.001, 1.0), ("same", 0.05, 0.8)]
    opinion = pl.DataFrame(rows, schema=["rule", "first", "second"], orient="row")
    said = studies.opposed_said(opinion)
    assert "(`near`: +2 and −.07; `tiny`: −.00 and +1)" in said
    assert studies.opposed_said(opinion[[0, 3]]) == ""


def test_the_steps_of_a_pair_are_its_scores_the_chosen_rules_first(corpus):
    pairs, _, scores = corpus
    row = row_of(pairs, BAT)
    steps = studies.pair_steps(scores, rk.select(scores, 5), row, shown=6)
    assert set(steps.filter("chosen")["rule"]) == set(LOUD)
    assert (steps["a"] - steps["b"] == steps["discrepancy"]).all()
    assert steps["discrepancy"].abs().is_sorted(descending=True)


def test_the_strip_begins_with_the_pair_and_its_loud_rules_and_has_one_pair_a_prompt(corpus):
    pairs, _, scores = corpus
    cells = studies.vote_cells(pairs, scores, row_of(pairs, BAT), n_pairs=4, n_rules=7)
    assert len(cells) == 28
    assert cells["pair"][0] == BAT
    assert set(cells["rule"][:5]) == set(LOUD)
    prompts = {name.split(":")[0] for name in cells["pair"]}
    assert len(prompts) == 4
    first = cells.filter(cells["pair"] == BAT)
    said = dict(zip(first["rule"], first["says"], strict=True))
    assert said["no-false-claims"] == "for A"
    assert said["states-illegality"] == "for B"


def test_what_is_said_below_the_strip_is_counted_from_it(corpus):
    pairs, _, scores = corpus
    cells = studies.vote_cells(pairs, scores, row_of(pairs, BAT))
    said = studies.strip_said(pairs, scores, cells)
    assert f"12 pairs, each of another prompt, `{BAT}` first; and 12 rules" in said
    assert "`violence-01` is the prompt, and b and d are two of its responses" in said
    seen = {rule: set() for rule in cells["rule"]}
    for _, rule, says in cells.iter_rows():
        seen[rule] |= {says} - {"the same of both"}
    assert f"{sum(len(s) == 2 for s in seen.values())} of these 12 columns" in said
    assert "over all 864 pairs 94 of the 100 rules do" in said
    assert "3 speak for one side only, on 7 pairs at most, and 3 never." in said


def test_ids_that_are_not_made_of_responses_are_not_explained(corpus):
    pairs, _, scores = corpus
    plain = pairs.drop("response_id_a", "response_id_b")
    assert "In an id" not in studies.strip_said(plain, scores, studies.vote_cells(plain, scores, 0))


def test_the_label_over_orders_is_that_of_every_order_listed():
    delta = np.array([[-2.0, -2, -2, 2, 1, 0]])
    scores = rk.Scores.from_discrepancy(delta / 2 * 2)
    for k in (1, 2, 3, 4, 5):
        found = studies.label_by_order(scores, 0, [k])
        counts = {"A": 0, "tie": 0, "B": 0}
        every = list(permutations(range(6)))
        for order in every:
            best = sorted(order, key=lambda j: -abs(delta[0, j]))[:k]  # stable: the order decides
            total = delta[0, best].sum()
            counts["A" if total > 0 else "B" if total < 0 else "tie"] += 1
        assert found["share"].to_list() == pytest.approx([c / len(every) for c in counts.values()])


def test_a_pair_says_in_words_what_its_ties_do():
    scores = rk.Scores.from_discrepancy(
        np.array([[-1.0, 1, 0.5], [1, 0.5, -0.25], [1, 1, 0], [0, 0, 0]])
    )
    tied, alone, same, silent = (studies.order_said(scores, row, (1, 2, 3)) for row in range(4))
    assert "**At k = 1 the order of the list flips the label**: A in 50 %" in tied
    assert tied.endswith("The label hangs on the order at k = 1.")
    assert "One rule alone has the largest |δ| of this pair, and it speaks for A" in alone
    assert "2 rules share the largest |δ| of this pair, all for A" in same
    assert "every label of it is a tie" in silent
    decides = studies.order_decides(scores, (1, 2))
    assert decides["decides"].to_list() == [0.25, 0.0]
    assert decides["tied"].to_list() == [0.5, 0.0]
    assert "25 % at k = 1, 0 % at k = 2" in studies.order_decides_said(decides)
    none = studies.order_decides(scores.rows([1]), (1, 2))
    assert "On no pair" in studies.order_decides_said(none)


def test_rules_disagree_where_both_signs_are_there():
    scores = rk.Scores.from_discrepancy(np.array([[1.0, -1], [1, 1], [0, 0], [-0.5, 0.1]]))
    assert studies.rules_disagree(scores) == 0.5


def test_a_second_judge_is_asked_about_the_pair_alone_and_found_by_rule(corpus):
    pairs, rules, scores = corpus
    row = row_of(pairs, BAT)
    same = studies.second_opinion(pairs, rules, scores, row, rk.judge("recorded"))
    assert (same["first"] == same["second"]).all()
    assert dict(zip(same["rule"][:5], same["first"][:5], strict=True)) == LOUD


def test_the_title_of_the_curve_has_the_band_over_orders(corpus):
    pairs, _, scores = corpus
    some = np.arange(60)
    grid = studies.selection_grid(
        pairs[:60], scores.rows(some), np.ones(60, bool), (1,), ("all", "max_discrepancy"), orders=5
    )
    row = grid.filter(grid["name"] == "max_discrepancy").row(0, named=True)
    title = studies.order_title(grid, 1)
    assert f"{100 * row['order_low']:.1f} % to {100 * row['order_high']:.1f} % over orders" in title
    assert row["order_low"] < row["order_high"]

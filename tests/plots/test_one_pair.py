"""Pictures of one pair: every cell and bar that is drawn is one of the frame."""

import polars as pl
import vl_convert

from rulekit import plots
from rulekit.plots import looks


def drawn(chart) -> str:
    return vl_convert.vegalite_to_svg(chart.to_dict())


def test_the_walk_of_a_pair_says_what_the_judge_said_and_what_was_kept():
    frame = pl.DataFrame(
        {
            "rule": ["states-illegality", "no-false-claims", "no-insults"],
            "a": [-1.0, 1.0, 0.25],
            "b": [1.0, -1.0, 0.0],
            "discrepancy": [-2.0, 2.0, 0.25],
            "chosen": [True, True, False],
        }
    )
    svg = drawn(plots.pair_walk(frame, "t", "0 → tie"))
    for words in ("breaks it", "keeps it", "does not apply", "+0.25", "−2", "kept", "dropped"):
        assert words in svg
    assert "0 → tie" in svg


def test_the_strip_has_a_cell_for_each_pair_and_rule():
    says = ["for A", "for B", "the same of both"] * 2
    frame = pl.DataFrame({"pair": list("aaabbb"), "rule": list("xyzxyz"), "says": says})
    chart = plots.vote_strip(frame, "t")
    assert "2 pairs by 3 rules: 2 for A, 2 for B, 2 the same of both" in chart.description
    assert drawn(chart).count('aria-roledescription="rect mark"') == 6


def test_two_judges_are_two_points_a_rule():
    frame = pl.DataFrame({"rule": ["x", "y"], "first": [2.0, 0.0], "second": [-0.5, 1.0]})
    svg = drawn(plots.two_judges(frame, "t", "people", "a model"))
    assert svg.count('aria-roledescription="point"') == 4
    assert "people" in svg


def test_two_judges_do_not_wear_the_colours_of_the_two_responses():
    frame = pl.DataFrame({"rule": ["x", "y"], "first": [2.0, 0.0], "second": [-0.5, 1.0]})
    strip = pl.DataFrame({"pair": ["a"] * 2, "rule": ["x", "y"], "says": ["for A", "for B"]})
    judges = drawn(plots.two_judges(frame, "t", "people", "a model"))
    responses = drawn(plots.vote_strip(strip, "t"))
    for ink in (looks.BLUE, looks.ORANGE):
        assert ink in responses
        assert ink not in judges
    for ink in (looks.BLACK, looks.PURPLE):
        assert judges.count(f'fill="{ink}"') >= 2  # a point a rule


def test_the_shares_of_a_k_fill_its_bar_from_a_to_b():
    rows = {"k": [1] * 3, "label": ["A", "tie", "B"], "share": [0.25, 0.0, 0.75]}
    chart = plots.label_by_order(pl.DataFrame(rows), "t")
    assert "k = 1: A 25%; k = 1: B 75%" in chart.description

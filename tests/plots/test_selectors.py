"""Selectors by k: a chart redrawn with other values is the chart that is made of them."""

import polars as pl
import vl_convert

from rulekit import plots


def frames(rise: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    curves = pl.DataFrame(
        [
            {"selector": s, "k": k, "information": rise * k, "accuracy": 0.5 + rise * k}
            for s in ("one", "two")
            for k in range(1, 5)
        ]
    )
    name = "A1 broken: independence; A3 broken: one link"
    told = {"selector": ["one"], "measure": "accuracy", "k": 4, "value": 0.5 + rise * 4}
    return curves, pl.DataFrame({**told, "name": name})


def test_a_chart_that_is_redrawn_is_the_one_made_of_the_new_values():
    before = plots.selectors_by_k(*frames(0.1), "Before", 2).to_dict()
    after = plots.selectors_by_k(*frames(0.05), "After", 3).to_dict()
    assert plots.selectors_redrawn(before, *frames(0.05), "After", 3) == after
    assert before["title"]["text"] == ["Before"]


def test_what_breaks_has_a_ring_and_is_named_in_the_corner_and_in_the_words():
    chart = plots.selectors_by_k(*frames(0.1), "A finding", 2)
    drawn = vl_convert.vegalite_to_svg(chart.to_dict())
    assert "○ one, A1 broken: independence" in drawn
    assert "A3 broken: one link" in drawn
    assert "one, accuracy: A1 broken" in chart.description
    assert "at k = 2: one 0.200 bits, right 70.0%" in chart.description

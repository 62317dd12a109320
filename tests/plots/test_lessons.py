"""Pictures of the lessons: what is counted is what is drawn, and a share ends at 100 %."""

import polars as pl
import vl_convert

from rulekit import plots, studies


def axis_of(chart) -> list[float]:
    scales = vl_convert.vegalite_to_vega(chart.to_dict())["scales"]
    (found,) = [s["domain"] for s in scales if s["name"] == "x"]
    return found


def test_a_share_near_one_ends_its_axis_at_100_percent_and_one_near_zero_at_0():
    one = {"name": ["a"], "value": [1.0], "low": [0.98], "high": [1.0]}
    assert axis_of(plots.accuracy(pl.DataFrame(one), "t", reference=0.95))[1] == 1
    none = {"name": ["a"], "value": [0.0], "low": [0.0], "high": [0.02]}
    assert axis_of(plots.accuracy(pl.DataFrame(none), "t"))[0] == 0
    gain = {"name": ["a"], "value": [-0.1], "low": [-0.2], "high": [0.0]}
    assert axis_of(plots.accuracy(pl.DataFrame(gain), "t", reference=0))[0] < -0.2


def test_the_noisy_copy_is_drawn_vote_by_vote_with_its_flips_ringed():
    frame = studies.noisy_copy(0.832, 0.711)
    chart = plots.noisy_copy(frame, "t")
    drawn = vl_convert.vegalite_to_svg(chart.to_dict())
    assert drawn.count('aria-roledescription="point"') == 300 + 2 * 18
    assert "71 of 100 right" in chart.description

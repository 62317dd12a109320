"""What the tools share: what is sent to a browser, when there is none, errors that are seen."""

import asyncio
from dataclasses import dataclass

import ipywidgets
import polars as pl
import pytest

from rulekit import plots
from rulekit.workbench.controls import Grid, Tool, as_html, debounced, is_headless
from rulekit.workbench.filters import kept


@dataclass(frozen=True)
class Number:
    n: int = 1


class Counter(Tool):
    def data(self):
        return {"twice": 2 * self.state.n}

    def picture(self):
        return [f"twice is {self.data()['twice']}"]

    def controls(self):
        self.text = ipywidgets.Text()
        return self.text

    def redraw(self):
        self.text.value = self.picture()[0]


def test_a_change_of_the_state_is_shown_in_the_controls():
    tool = Counter(Number())
    tool.change(n=2)
    tool.widget()
    assert tool.text.value == "twice is 4"
    tool.change(n=3)
    assert tool.text.value == "twice is 6"
    with pytest.raises(ValueError, match="unknown part 'm'; allowed: n"):
        tool.change(m=1)


def test_what_goes_wrong_in_a_handler_is_said_as_text_until_it_goes_right():
    tool = Counter(Number())
    tool.widget()
    tool.on(lambda: 1 / 0)()
    assert "division by zero" in tool.notice.value
    tool.on(lambda: (_ for _ in ()).throw(ValueError("<b>no</b>")))()
    assert "&lt;b&gt;no&lt;/b&gt;" in tool.notice.value
    tool.on(lambda: None)()
    assert tool.notice.value == ""


def test_a_script_is_headless_and_shows_the_picture(capsys):
    assert is_headless()
    Counter(Number(4))._ipython_display_()
    assert "twice is 8" in capsys.readouterr().out


def test_only_the_last_of_quick_changes_is_worked_on():
    seen = []
    later = debounced(seen.append, 0.01)

    async def type_quickly():
        for text in ("a", "ab", "abc"):
            later(text)
        while not seen:
            await asyncio.sleep(0)

    asyncio.run(type_quickly())
    assert seen == ["abc"]
    later("at once")
    assert seen == ["abc", "at once"]


def test_a_grid_sends_a_page_as_it_is_and_refuses_more():
    grid = Grid(label="numbers")
    frame = pl.DataFrame(
        {"name": ["a\x1b", "<b>"], "share": [0.25, None], "yes": [True, None], "n": [-1.5, 2.0]}
    )
    grid.show(frame, "name", percent=["share"], sort="n", on=[True, False])
    assert [row["cells"] for row in grid.page["rows"]] == [
        ["a␛", "25.0 %", "yes", "−1.500"],
        ["<b>", "–", "–", "2.000"],
    ]
    assert [row["on"] for row in grid.page["rows"]] == [True, False]
    with pytest.raises(ValueError, match="allowed: 200 or fewer"):
        grid.show(pl.DataFrame({"name": [str(i) for i in range(201)]}), "name")


def test_charts_in_a_widget_are_pictures_with_words():
    frame = pl.DataFrame({"rule": ["one"], "discrepancy": [0.5], "chosen": [True]})
    html = as_html(plots.pair_rules(frame, "A & B"), "<b>")
    assert html.startswith('<img src="data:image/png;base64,')
    assert 'alt="Chart: A &amp; B.' in html
    assert "&lt;b&gt;" in html


def test_filters_compare_numbers_texts_and_missing_values():
    frame = pl.DataFrame(
        {"n": [1.0, None, 3.0], "t": ["Ab", None, "c"], "b": [True, False, None], "i": [1, 2, 3]}
    )
    for filters, expected in (
        ([("n", "≥", "1")], [True, False, True]),
        ([("n", "≠", "1")], [False, True, True]),
        ([("n", "=", "−1")], [False, False, False]),
        ([("t", "contains", "AB")], [True, False, False]),
        ([("b", "=", "no")], [False, True, False]),
        ([("i", "≤", "2"), ("i", "≥", "2")], [False, True, False]),
        ([], [True, True, True]),
    ):
        assert kept(frame, filters).to_list() == expected, filters
    with pytest.raises(ValueError, match="allowed: a number"):
        kept(frame, [("n", "≥", "much")])
    with pytest.raises(ValueError, match="allowed: n, t, b, i"):
        kept(frame, [("m", "≥", "1")])
    with pytest.raises(ValueError, match="allowed: =, ≠"):
        kept(frame, [("n", ">", "1")])

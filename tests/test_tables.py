"""Tables and texts for people: units, digits, marks, and texts that stay texts."""

import re

import polars as pl
import pytest
from bs4 import BeautifulSoup

import rulekit as rk
from rulekit.runs.pages import markdown_html
from rulekit.tables import html_table, in_markdown, responses, table, text_html, visible
from tests.viewers.texts import HOSTILE, LETTERS, SHOWN

FRAME = pl.DataFrame(
    {
        "way_to_label": ["sum", "five", "random"],
        "value": [0.6412345678901234, 0.7, None],
        "gain": [-0.021, 0.0305, 0.0],
        "ratings": [1234, 5, 60],
        "seconds": [123.456, 1.5, float("nan")],
        "kept": [True, False, None],
    }
)


def cells(made) -> list[list[str]]:
    page = BeautifulSoup(made._repr_html_(), "html.parser")
    return [[td.get_text() for td in tr("td")] for tr in page.select("tbody tr")]


def test_numbers_have_units_signs_and_few_digits():
    made = table(FRAME, percent=["value", "gain"], signed=["gain"])
    assert cells(made) == [
        ["sum", "64.1 %", "−2.1 %", "1,234", "123", "yes"],
        ["five", "70.0 %", "+3.0 %", "5", "2", "no"],
        ["random", "–", "0.0 %", "60", "–", "–"],
    ]


@pytest.mark.parametrize(
    ("values", "digits", "said"),
    [
        ([0.00451, 0.0001], 3, ["0.00451", "0.00010"]),
        ([12.34, 0.5], 2, ["12", "0"]),
        ([12.34, 0.5], 4, ["12.34", "0.50"]),
        ([0.0, 0.0], 3, ["0.00", "0.00"]),
        ([1e9, 0.1], 3, ["1,000,000,000", "0"]),
        ([float("inf"), 0.25], 2, ["∞", "0.25"]),
    ],
)
def test_numbers_of_a_column_have_the_decimals_of_its_largest(values, digits, said):
    found = [row[0] for row in cells(table(pl.DataFrame({"x": values}), digits=digits))]
    assert [text.replace("inf", "∞") for text in found] == said


def test_headings_are_words():
    page = BeautifulSoup(
        table(FRAME, "Title", note="Note", names={"value": "right", "kept": ""})._repr_html_(),
        "html.parser",
    )
    assert [th.get_text() for th in page("th")] == [
        "way to label",
        "right",
        "gain",
        "ratings",
        "seconds",
        "",
    ]
    assert page.select_one(".gt_title").get_text() == "Title"
    assert page.select_one(".gt_sourcenote").get_text() == "Note"


def test_the_rows_that_matter_are_marked():
    page = BeautifulSoup(table(FRAME, mark=pl.col("value") > 0.65)._repr_html_(), "html.parser")
    bold = ["bold" in tr.td.get("style", "") for tr in page.select("tbody tr")]
    assert bold == [False, True, False]


def test_an_empty_frame_is_a_table_with_its_headings():
    page = BeautifulSoup(
        table(FRAME.clear(), "Nothing", mark=pl.col("kept"))._repr_html_(), "html.parser"
    )
    assert len(page("th")) == 6
    assert not page.select("tbody td")


def test_the_same_table_is_the_same_html():
    assert table(FRAME, "t")._repr_html_() == table(FRAME, "t")._repr_html_()


@pytest.mark.parametrize("name", ["names", "percent", "signed"])
def test_a_column_that_there_is_not_is_refused(name):
    given = {"nothing": "x"} if name == "names" else ["nothing"]
    with pytest.raises(ValueError, match=f"{name} has 'nothing', which is no column; allowed: way"):
        table(FRAME, **{name: given})


def test_digits_out_of_range_are_refused():
    with pytest.raises(ValueError, match="digits is 0; allowed: 1 to 15"):
        table(FRAME, digits=0)


@pytest.mark.parametrize(
    "html",
    [
        responses("p", HOSTILE, "b", label=HOSTILE, known=HOSTILE).data,
        responses([{"role": "user", "content": HOSTILE}], "a", "b").data,
        table(pl.DataFrame({"x": [HOSTILE], HOSTILE: ["y"]}), HOSTILE, note=HOSTILE)._repr_html_(),
        html_table(HOSTILE, ["x"], [[HOSTILE]], 1),
    ],
    ids=["responses", "prompt", "table", "html_table"],
)
def test_hostile_texts_are_shown_as_they_are(html):
    html = re.sub(r"<style>.*?</style>", "", html, count=1, flags=re.S)  # that of the table
    page = BeautifulSoup(html, "html.parser")
    assert not page(["script", "img", "style", "b"], string=re.compile("hit|bold"))
    text = page.get_text()
    for line in SHOWN:
        assert line in text
    for part in page("bdi"):  # no mathematics
        assert "mathjax_ignore" in part["class"]
    assert max(len(word) for word in re.split(r"<wbr/?>|\s", page.bdi.decode_contents())) < 100


@pytest.mark.parametrize(
    "text",
    [HOSTILE, "*a* _b_ `c` [d](http://e.f) ![g](h) | i | ~~j~~ 1. # $k$ https://l.m \\* &amp; --"],
)
def test_a_text_in_markdown_stays_as_it_is(text):
    html = markdown_html(f"- **{in_markdown(text)}** says so\n- next")
    page = BeautifulSoup(html, "html.parser")
    assert page.bdi.get_text() == " ".join(visible(text).split())
    assert {tag.name for tag in page()} == {"ul", "li", "strong", "bdi", "wbr"} - (
        {"wbr"} if len(text) < 1000 else set()
    )


def test_messages_have_their_speakers():
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    text = BeautifulSoup(responses(said, "a", "b").data, "html.parser").get_text("|")
    assert "User: Hi\n\nAssistant: Yes?" in text


def test_what_is_not_known_is_not_said():
    text = responses("p", "a", "b").data
    assert "Known" not in text
    assert "Label" not in text
    assert "Known preference: <b>" in responses("p", "a", "b", known="A is preferred").data


@pytest.mark.parametrize("text", ["", "  \n", "\n\n"])
def test_an_empty_text_says_so(text):
    assert "(empty)" in text_html(text)


def test_words_are_broken_in_the_page_and_nowhere_else():
    html = text_html(f"{LETTERS} e\u0301" + "e\u0301" * 40)
    assert BeautifulSoup(html, "html.parser").get_text() == f"{LETTERS} e\u0301" + "e\u0301" * 40
    assert "<wbr>\u0301" not in html


def test_ids_are_broken_between_their_words_and_not_inside_one():
    html = text_html("offers-internationalisation_instead/of.help")
    parts = html.partition(">")[2].removesuffix("</bdi>").split("<wbr>")
    assert parts == ["offers-", "internationalisation_", "instead/", "of.", "help"]
    assert "<wbr>" not in text_html("counterrevolutionaries, internationalisation")


def test_visible_changes_only_what_acts():
    assert (
        visible("tab\tline\nCR\r\nend \u200f\u05d0 é 👩‍🚒")
        == "tab\tline\nCR\nend \u200f\u05d0 é 👩‍🚒"
    )
    assert visible("\x1b\x00\x7f\x85\ud800") == "␛␀␡⟨U+0085⟩⟨U+D800⟩"


def test_values_of_the_kit_escape_what_they_show():
    rules = rk.RuleSet.from_texts(["Is <b>kind</b> and $x$"])
    assert "<b>" not in rules._repr_html_()

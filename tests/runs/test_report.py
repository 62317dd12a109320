"""The report of a run: one file that stands alone, and in which texts are only texts."""

import base64
import os
import re
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from rulekit.runs import save_notes
from rulekit.runs.pages import markdown_html, safe_html
from rulekit.runs.report import write_page, write_report
from tests.runs.reports import EVIL, cell, make_hostile, make_run, shown
from tests.viewers.texts import SHOWN


@pytest.fixture
def run(tmp_path) -> Path:
    return make_run(tmp_path / "mine-1")


@pytest.fixture
def page(run):
    return BeautifulSoup(write_report(run).read_text(encoding="utf-8"), "html.parser")


def test_it_stands_alone(page):
    html = str(page)
    assert page.title.string == "Report: mine"
    assert page.html["lang"] == "en"
    assert not page("script")
    assert not page("link")
    assert not re.search(r"""(?:src|href)=["'](?!data:image/|#)""", html)
    policy = page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'")


def test_the_results_come_first_and_the_contents_lead_to_every_part(page):
    assert [h.get_text() for h in page.select("main h2")] == ["6. What came out?", "1. Rules"]
    for link in page.select("nav a"):
        assert page.find(id=link["href"][1:]) is not None
    assert page.select("nav a")[0].get_text() == "6. What came out?"


def test_notes_stand_at_the_top(run, page):
    assert not page.select(".notes")
    save_notes(run / "artefacts", "judge", ["The encoder has *never seen* these rules. <script>"])
    page = BeautifulSoup(write_report(run).read_text(encoding="utf-8"), "html.parser")
    (note,) = page.select(".notes li")
    assert note.get_text().strip().startswith("The encoder has never seen these rules.")
    assert note.em is not None
    assert not page("script")
    assert page.body.find(class_="notes").find_next("main") is not None


def test_it_says_where_it_comes_from(page):
    about = [line.get_text() for line in page.select(".about")]
    assert "1,234 pairs from my.jsonl" in about[0]
    assert "12 rules" in about[0]
    assert "rule set 0123456789" in about[0]
    assert "2026-01-02 03:04 UTC" in about[1]
    facts = {r.th.get_text(): r.td.get_text() for r in page.select("#provenance tr")}
    assert facts["parameters"] == "pairs: /data/my.jsonl"
    assert facts["parameters of 01_rules"] == "k: 3"
    assert facts["command"] == "rulekit run mine.yaml"
    assert "few pairs" in page.select_one("#provenance details").get_text()


def test_code_is_folded_and_what_shows_nothing_stands_with_what_does(page):
    (results, _) = page.select("main > section")
    assert page("details")
    assert not any(part.has_attr("open") for part in page("details"))
    first = results.select_one("details.code")
    assert [word in first.get_text() for word in ("pairs = ", "y = 2", "z = 3")] == [True] * 3
    assert "Found." in results.get_text()


def test_exercises_are_left_out(page):
    assert "Exercises" not in page.get_text()
    assert "not answered yet" not in page.get_text()


def test_a_solution_shows_neither_its_code_nor_what_it_says_wherever_it_stands(page):
    assert "answer = 'B'" not in page.get_text()
    assert "right: it is B" not in page.get_text()


def test_mathematics_is_drawn_without_a_script(page):
    drawn = page("math")
    assert [m["alttext"] for m in drawn] == [r"\sigma(m)", "m < 0", "x^2"]
    assert "$" not in page.main.get_text()


def test_pictures_have_words(page):
    (picture,) = page("img")
    assert picture["alt"] == "Chart: two bars."
    assert picture["width"] == "7"


def test_it_stays_below_five_megabytes_and_says_what_is_left_out(run):
    path = run / "notebooks" / "10_results.ipynb"
    notebook = nbformat.read(path, as_version=4)
    for size in (3, 1, 2):
        data = base64.b64encode(os.urandom(size * 1_000_000)).decode()
        picture = cell(shown({"image/png": data}, {"image/png": {"alt": f"Chart: {size} bars."}}))
        notebook.cells.insert(1, picture)
    nbformat.write(notebook, path)
    report = write_report(run)
    assert report.stat().st_size < 5_000_000
    page = BeautifulSoup(report.read_text(encoding="utf-8"), "html.parser")
    assert [p["alt"] for p in page("img")] == [
        "Chart: 2 bars.",
        "Chart: 1 bars.",
        "Chart: two bars.",
    ]
    assert "A picture of 4.0 MB is left out. Chart: 3 bars." in page.get_text()


def test_a_page_of_one_notebook_has_its_heading_as_title(run):
    path = write_page(run / "notebooks" / "10_results.ipynb", run / "html" / "10_results.html")
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert page.title.string == "6. What came out?"
    assert [h.get_text() for h in page("h1")] == ["6. What came out?"]
    assert page.img["alt"] == "Chart: two bars."


def test_a_run_without_notebooks_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no executed notebook"):
        write_report(tmp_path)


def test_an_output_keeps_no_more_than_texts_tables_and_pictures():
    page = BeautifulSoup(safe_html(EVIL), "html.parser")
    assert {tag.name for tag in page()} <= {"img", "a", "p"}
    assert not any(name.startswith("on") for tag in page() for name in tag.attrs)
    assert not any(tag.has_attr("href") or tag.has_attr("src") for tag in page())
    assert "position" not in page.p.get("style", "")
    assert page.get_text().strip().endswith("kept")


def test_mathematics_that_cannot_be_read_is_shown_as_it_is_written():
    assert "<code>x_{</code>" in markdown_html("$x_{$")
    page = BeautifulSoup(markdown_html(r"$\text{<script>hit()</script>}$"), "html.parser")
    assert not page("script")


@pytest.fixture
def hostile(run) -> Path:
    return make_hostile(run)


def test_hostile_texts_in_every_kind_of_output_do_nothing(hostile):
    page = BeautifulSoup(hostile.read_text(encoding="utf-8"), "html.parser")
    assert not page(["script", "iframe", "form", "svg", "style"])[1:]  # the style is the report's
    assert not any(name.startswith("on") for tag in page() for name in tag.attrs)
    assert len(page("section")) == 4
    assert page.select("pre")[-1] is not None
    printed = page.select(".output pre")[0].get_text().split("\n")
    assert SHOWN[0] in printed
    assert SHOWN[1] in printed
    assert "red hidden" in printed  # without the codes that would hide it
    assert "100 %" in printed
    assert "1 %" not in printed

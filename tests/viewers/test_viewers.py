"""Charts, tables and texts as people see them, each viewer in a real browser without a network."""

import nbformat
import pytest
from nbconvert import HTMLExporter

from rulekit.runs.report import write_page
from tests.runs.reports import make_hostile, make_run
from tests.viewers.looking import (
    assert_charts_are_drawn,
    is_all_on_the_screen,
    is_wider_than_the_screen,
    pictures,
    shown_lines,
)
from tests.viewers.texts import SHOWN

pytestmark = pytest.mark.slow

OUTPUTS = ".jp-Notebook .jp-OutputArea-output"
WHOLE = "() => window.jupyterapp?.shell.currentWidget?.content?.widgets?.length >= 6"
TRUSTED = "() => jupyterapp.shell.currentWidget.content.widgets.map(c => c.model.trusted)"


def opened_in_lab(view, lab, notebook, name: str):
    """A notebook in JupyterLab, all of whose cells are drawn."""
    folder, address = lab
    nbformat.write(notebook, folder / name)
    page = view(address(name), width=1200)
    page.wait_for_function(WHOLE, timeout=60_000)
    return page


def assert_texts_are_only_texts(page, responses: str, table: str, sentence: str) -> None:
    for inside in (responses, table):
        lines = shown_lines(page, inside)
        for line in SHOWN:
            assert any(line in found for found in lines), (inside, line[:60])
        assert is_all_on_the_screen(page, inside), inside
    assert page.evaluate("window.hit") is None
    assert (
        page.locator("mjx-container, .MathJax").count()
        <= page.locator(".jp-RenderedMarkdown mjx-container, .jp-RenderedMarkdown .MathJax").count()
    )


def test_live_in_jupyterlab_and_saved_and_reopened_untrusted(view, lab, charts):
    page = opened_in_lab(view, lab, charts, "live.ipynb")
    page.wait_for_function(
        "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
        timeout=60_000,
    )
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(f"{OUTPUTS} table", timeout=60_000)
    assert_charts_are_drawn(page, OUTPUTS)
    assert_texts_are_only_texts(page, f"{OUTPUTS} .rulekit-pair", f"{OUTPUTS} table", OUTPUTS)
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    page.evaluate("jupyterapp.serviceManager.sessions.shutdownAll()")

    saved = nbformat.read(lab[0] / "live.ipynb", as_version=4)
    saved.metadata.kernelspec = {"name": "gone", "display_name": "Gone", "language": "python"}
    page = opened_in_lab(view, lab, saved, "reopened.ipynb")
    assert not any(page.evaluate(TRUSTED)[1:])
    assert_charts_are_drawn(page, OUTPUTS)
    assert_texts_are_only_texts(page, f"{OUTPUTS} .rulekit-pair", f"{OUTPUTS} table", OUTPUTS)


def test_output_of_papermill_in_jupyterlab(view, lab, executed):
    notebook = nbformat.read(executed, as_version=4)
    page = opened_in_lab(view, lab, notebook, "papermill.ipynb")
    assert not any(page.evaluate(TRUSTED)[1:])
    assert_charts_are_drawn(page, OUTPUTS)
    assert_texts_are_only_texts(page, f"{OUTPUTS} .rulekit-pair", f"{OUTPUTS} table", OUTPUTS)


def test_html_of_nbconvert(view, executed, tmp_path):
    html, _ = HTMLExporter().from_filename(str(executed))
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page = view(tmp_path / "page.html")
    assert_charts_are_drawn(page)
    assert_texts_are_only_texts(page, ".rulekit-pair", "table.gt_table", "main")


@pytest.mark.parametrize("width", [1000, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_of_a_run(view, executed, tmp_path, width, dark):
    page = view(write_page(executed, tmp_path / "page.html"), width=width, dark=dark)
    assert page.title() == "Charts"
    assert not page.asked
    assert page.locator("script").count() == 0
    assert not is_wider_than_the_screen(page)
    assert_charts_are_drawn(page)
    assert all(picture["alt"].startswith("Chart: ") for picture in pictures(page))
    assert_texts_are_only_texts(page, ".rulekit-pair", "table.gt_table", "main")
    assert page.locator("math").count() == 1
    ink, paper = page.evaluate(
        "[document.querySelector('.rulekit-pair'), document.body].map((e, i) =>"
        " getComputedStyle(e)[i ? 'backgroundColor' : 'color'].match(/[0-9]+/g).slice(0, 3)"
        ".reduce((sum, part) => sum + Number(part), 0))"
    )
    assert abs(ink - paper) > 400  # light on dark, or dark on light


@pytest.mark.parametrize("width", [1000, 360])
def test_hostile_texts_in_a_report_run_nothing_and_fit_the_screen(view, tmp_path, width):
    page = view(make_hostile(make_run(tmp_path / "run")), width=width)
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
    assert page.evaluate("window.hit") is None
    assert not page.asked
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("main").is_visible()
    assert "kept" in page.locator("main").inner_text()

"""All of notebook 0 in a real JupyterLab: every cell runs, every tool comes with its controls."""

import nbformat
import pytest

from rulekit import runs
from tests.workbench.looking import assert_controls_have_names_and_keys

pytestmark = pytest.mark.slow

CODE = "jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code')"
DONE = f"() => {CODE}.every(c => c.model.executionCount)"
ERRORS = f"{CODE}.flatMap(c => c.model.outputs.toJSON()).filter(o => o.output_type === 'error').map(o => o.evalue)"
SHOWING = (
    f"{CODE}.map((c, i) => [i, c.model.outputs.toJSON()]).filter(([i, os]) => "
    "os.some(o => o.data?.['application/vnd.jupyter.widget-view+json'])).map(([i]) => i)"
)


def test_the_tour_runs_whole_and_every_tool_has_its_controls(in_lab):
    cells = nbformat.read(runs.notebook_path("00_workbench"), as_version=4).cells
    source = [c.source for c in cells if c.cell_type == "code"]
    tools = [i for i, text in enumerate(source) if "rk.workbench." in text]
    page = in_lab("tour", *source)
    page.wait_for_function(DONE, timeout=120_000)
    assert page.evaluate(ERRORS) == []
    assert page.evaluate(SHOWING) == tools
    for place in tools:
        page.evaluate(f"jupyterapp.shell.currentWidget.content.scrollToItem({place}, 'start')")
        cell = f".jp-Notebook-cell[data-windowed-list-index='{place}'] .rulekit-tool"
        page.wait_for_selector(f"{cell} button, {cell} input", timeout=30_000)
        assert_controls_have_names_and_keys(page, cell)
    assert page.errors == []

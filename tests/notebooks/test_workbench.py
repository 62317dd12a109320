"""The tour of the workbench runs without a browser, on the kit's pairs and on one's own."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from rulekit import runs
from tests import medical
from tests.notebooks.test_own_data import few

NAME = "00_workbench"


CASES = {
    "embedded": lambda folder: ("embedded", "", ""),
    "known": medical.written,
    "unknown": lambda folder: medical.written(folder, "none"),
    "few": few,
}


@pytest.fixture(scope="module")
def tours(tmp_path_factory):
    """Case → executed cells, all in one kernel, to which nobody says that it has no browser."""
    base, notebook, at = tmp_path_factory.mktemp("tour"), nbformat.v4.new_notebook(), []
    for case, written in CASES.items():
        (base / case).mkdir()
        names = dict(zip(("pairs", "rules", "labels"), written(base / case), strict=True))
        given = {**names, "k": 3, "artefacts": str(base / case / "artefacts")}
        for cell in nbformat.read(runs.notebook_path(NAME), as_version=4).cells:
            cell.id = f"{case}-{cell.id}"
            if "parameters" in cell.metadata.get("tags", []):
                cell.source += "".join(f"\n{k} = {v!r}" for k, v in given.items())
            notebook.cells.append(cell)
            at.append(case)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RULEKIT_HEADLESS", raising=False)
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(base))
    found: dict[str, list] = {}
    for case, cell in zip(at, notebook.cells, strict=True):
        found.setdefault(case, []).append(cell)
    return found


@pytest.fixture(params=CASES)
def cells(request, tours):
    return request.param, tours[request.param]


def outputs(cells, below: str) -> list[dict]:
    """What stands between a heading and the next one."""
    (at,) = [i for i, c in enumerate(cells) if c.source.startswith(f"## {below}")]
    found = []
    for cell in cells[at + 1 :]:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            break
        found += [o.data for o in cell.get("outputs", []) if "data" in o]
    return found


def test_every_tool_shows_its_picture_and_no_widget(cells):
    case, cells = cells
    tools = [
        m[1] for c in cells if c.cell_type == "markdown" and (m := re.match("## (.*)", c.source))
    ]
    assert len(tools) >= 4
    for tool in tools[: tools.index("Conclusion")]:
        assert outputs(cells, tool), (case, tool)
    for cell in cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
    pair, chart, listed = outputs(cells, "Pair explorer")
    assert "Response A" in pair["text/html"]
    assert chart["image/png"]
    assert "most contested first" in listed["text/html"]
    worth, table, *_ = outputs(cells, "Rule explorer")
    assert "all rules" in worth["text/html"]
    assert ("by coverage" if case == "unknown" else "by information") in table["text/html"]


def test_the_conclusion_is_made_of_the_figures(cells):
    (said,) = outputs(cells[1], "Conclusion")
    assert "decisive" in said["text/markdown"]

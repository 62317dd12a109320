"""Notebooks 8 to 10 on pairs and rules of one's own, with known preferences and without any."""

import json

import nbformat
import pytest
from nbclient import NotebookClient

from rulekit import runs
from tests import medical
from tests.notebooks.test_own_data import outputs, pictures, text

pytestmark = pytest.mark.slow

NAMES = ("08_rule_adapter", "09_reward_model", "10_results")


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """(case, notebook) → its executed cells; each case in a kernel of its own."""
    base, cells = tmp_path_factory.mktemp("own-models"), {}
    for case in ("all", "none"):
        (base / case).mkdir()
        pairs, rules, labels = medical.written(base / case, case)
        given = {"pairs": pairs, "rules": rules, "labels": labels, "k": 3}
        given["artefacts"] = str(base / case / "artefacts")
        notebook, at = nbformat.v4.new_notebook(), []
        for name in NAMES:
            for cell in nbformat.read(runs.notebook_path(name), as_version=4).cells:
                if "parameters" in cell.metadata.get("tags", []):
                    cell.source += "".join(f"\n{k} = {v!r}" for k, v in given.items())
                notebook.cells.append(cell)
                at.append((case, name))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RULEKIT_HEADLESS", "1")
            NotebookClient(notebook, timeout=180, kernel_name="python3").execute(cwd=str(base))
        for key, cell in zip(at, notebook.cells, strict=True):
            cells.setdefault(key, []).append(cell)
    return cells, base


def test_with_known_preferences_each_page_has_its_picture_before_any_table_and_concludes(pages):
    cells, base = pages
    for name, words in zip(
        NAMES, ("half of all ratings", "lead over a coin", "errs on"), strict=True
    ):
        page = cells["all", name]
        assert words in text(page)
        kinds = ["png" if "image/png" in d else "table" for d in outputs(page) if _shown(d)]
        assert kinds[0] == "png", name
        assert pictures(page) >= 3
    figures = json.loads((base / "all/artefacts/metrics/09_reward_model.json").read_text())
    assert {row["n"] for row in figures["accuracy"]} == {60}
    assert (base / "all/artefacts/results.png").is_file()


def _shown(data: dict) -> bool:
    return "image/png" in data or "<table" in data.get("text/html", "")


def test_without_them_no_page_claims_that_a_label_is_right(pages):
    cells, _ = pages
    assert "Saving changes labels" in text(cells["none", NAMES[0]])
    assert text(cells["none", NAMES[1]]).count("not measured") == 2
    last = text(cells["none", NAMES[2]])
    assert "errs on" not in last
    assert "30 labelled pairs would tell" in last


def test_stubs_are_not_answered_and_solutions_are_right_where_they_stand(pages):
    cells, _ = pages
    for name in NAMES:
        for tag, verdict in (("exercise", "not answered yet"), ("solution", "right")):
            found = [c for c in cells["all", name] if tag in c.metadata.get("tags", [])]
            assert 2 <= len(found) <= 3
            for cell in found:
                assert cell.outputs[-1].data["text/plain"].startswith(verdict), cell.source

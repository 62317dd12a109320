"""Notebooks 0 and 7 run whole on the kit's own data, and their text holds."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from rulekit import runs

NAMES = {"00_overview": {}, "07_weights": {"labelled": [0, 30, 100], "repeats": 1}}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Notebook → its executed cells, all in one kernel; and where their results lie."""
    base, notebook, at = tmp_path_factory.mktemp("lessons"), nbformat.v4.new_notebook(), []
    for name, given in NAMES.items():
        for cell in nbformat.read(runs.notebook_path(name), as_version=4).cells:
            if "parameters" in cell.metadata.get("tags", []):
                more = given | {"artefacts": str(base / "artefacts")}
                cell.source += "".join(f"\n{k} = {v!r}" for k, v in more.items())
            notebook.cells.append(cell)
            at.append(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RULEKIT_HEADLESS", "1")
        patch.delenv("RULEKIT_DATA", raising=False)
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(base))
    cells: dict[str, list] = {name: [] for name in NAMES}
    for name, cell in zip(at, notebook.cells, strict=True):
        cells[name].append(cell)
    return cells, base


def shown(cells) -> list[dict]:
    return [o.data for c in cells for o in c.get("outputs", []) if "data" in o]


def words(cells) -> str:
    return "\n".join(d.get("text/markdown", "") + d.get("text/plain", "") for d in shown(cells))


def figures(base: Path, name: str) -> dict:
    return json.loads((base / "artefacts" / "metrics" / f"{name}.json").read_text())


def test_the_overview_takes_its_pair_through_the_method_and_says_that_the_label_is_wrong(pages):
    cells, base = pages
    said = words(cells["00_overview"])
    assert "5 of 100 rules decide the pair: their sum is −3, so the label is B" in said
    assert "On the pair with the bat the rules say B; the known choice is A." in said
    rows = figures(base, "00_overview")["labels"]
    assert rows[0]["value"] > rows[1]["value"]
    assert "Why keep few, then?" in said
    assert rows[0]["value"] > 0.8 > 0.55 > rows[2]["high"]


def test_weights_are_above_the_sum_and_the_loudest_from_a_hundred_labels_on(pages):
    cells, base = pages
    rows = figures(base, "07_weights")["weights_by_labels"]
    own = {r["labels"]: r for r in rows if r["name"] == "all rules, weighted"}
    assert own[0]["gain_low"] < 0 < own[100]["gain_low"]
    assert own[100]["over_k_low"] > 0
    said = words(cells["07_weights"])
    assert "which is above the sum of all rules by" in said
    assert "Skipped: `RULEKIT_DATA` names no folder" in said


def test_what_the_text_of_weights_says_of_the_pair_is_in_its_table(pages):
    _, base = pages
    margins = {r["labels"]: r for r in figures(base, "07_weights")["reweighted_pair"]}
    assert margins[30]["for_a"] < 0.5
    assert margins[100]["for_a"] < 0.5
    assert margins[max(margins)]["margin"] > 0


def test_no_page_leaves_a_file_of_answers_or_a_word_past_the_page(pages):
    cells, base = pages
    assert not list(base.rglob("labels.jsonl"))
    for page in cells.values():
        assert not [o for c in page for o in c.get("outputs", []) if o.get("name")]

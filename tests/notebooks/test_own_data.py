"""Notebooks 1 to 3 on pairs and rules of one's own: known preferences for all, some, none, or too few."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from rulekit import runs
from tests import medical

NAMES = ("01_rules_and_pairs", "02_ratings", "03_selection")


def few(folder: Path) -> tuple[str, str, str]:
    """Twenty known pairs of four prompts, under two rules."""
    rows = [
        {
            "pair_id": f"p{i}",
            "prompt": f"Question {i % 4}?",
            "response_a": f"See a doctor, please. {i}",
            "response_b": f"No. {i}",
            "preference": 1,
        }
        for i in range(20)
    ]
    pairs, rules = folder / "pairs.jsonl", folder / "rules.txt"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules.write_text("The response names a doctor.\nThe response is polite.\n")
    return str(pairs), str(rules), ""


CASES = {
    "all": medical.written,
    "some": lambda folder: medical.written(folder, "some"),
    "none": lambda folder: medical.written(folder, "none"),
    "few": few,
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """(case, notebook) → its executed cells, all in one kernel; and where each case's results lie."""
    base, notebook, at = tmp_path_factory.mktemp("own"), nbformat.v4.new_notebook(), []
    for case, written in CASES.items():
        (base / case).mkdir()
        pairs, rules, labels = written(base / case)
        given = {"pairs": pairs, "rules": rules, "labels": labels, "k": 3}
        given["artefacts"] = str(base / case / "artefacts")
        for name in NAMES:
            for cell in nbformat.read(runs.notebook_path(name), as_version=4).cells:
                cell.id = f"{case}-{cell.id}"
                if "parameters" in cell.metadata.get("tags", []):
                    cell.source += "".join(f"\n{k} = {v!r}" for k, v in given.items())
                notebook.cells.append(cell)
                at.append((case, name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RULEKIT_HEADLESS", "1")
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(base))
    cells = {}
    for key, cell in zip(at, notebook.cells, strict=True):
        cells.setdefault(key, []).append(cell)
    return cells, base


def outputs(cells) -> list[dict]:
    return [o.data for c in cells for o in c.get("outputs", []) if "data" in o]


def text(cells) -> str:
    return "\n".join(data.get("text/markdown", "") for data in outputs(cells))


def pictures(cells) -> int:
    return sum("image/png" in data for data in outputs(cells))


@pytest.mark.parametrize("case", CASES)
def test_every_page_runs_and_concludes(pages, case):
    cells, base = pages
    assert "pairs and" in text(cells[case, NAMES[0]])
    assert "decisive" in text(cells[case, NAMES[1]])
    assert "gives the label of all rules" in text(cells[case, NAMES[2]])
    for name in NAMES:
        said = [o for c in cells[case, name] for o in c.get("outputs", []) if o.get("name")]
        assert not said, "nothing is printed past the page"
    assert (base / case / "artefacts/scores.parquet").is_file()


def test_with_known_preferences_accuracy_is_measured_on_those_that_are_known(pages):
    cells, base = pages
    for case, n in (("all", 60), ("some", 30)):
        page = cells[case, NAMES[2]]
        assert f"of {n} known pairs" in text(page)
        assert pictures(page) == 7
        assert "are right more often than a coin" in text(page)
        figures = json.loads((base / case / "artefacts/metrics/03_selection.json").read_text())
        assert {row["n"] for row in figures["grid"]} == {n}
        assert "Not measured" not in text(page)
    first = cells["all", NAMES[0]]
    assert pictures(first) == 2
    assert "**Yours are not rated yet**" in text(first)
    assert "has nobody to differ from" in text(cells["all", NAMES[1]])
    assert "At k = 1 the order of the list flips the label" not in text(cells["all", NAMES[2]])
    assert "rules are of one category" in text(first)


@pytest.mark.parametrize("case", ["none", "few"])
def test_without_them_pages_say_what_is_missing_and_show_the_rest(pages, case):
    cells, base = pages
    page = cells[case, NAMES[2]]
    assert text(page).count("Not measured") == 3
    assert "30 labelled pairs would tell" in text(page)
    assert pictures(page) == 4
    figures = json.loads((base / case / "artefacts/metrics/03_selection.json").read_text())
    assert "grid" not in figures
    assert figures["agreement"]
    (first, *_) = runs.collect_notes(base / case)
    assert "so nothing here says how often labels are right" in first


def test_rules_that_the_encoder_never_learned_are_warned_of_on_every_page_that_has_ratings(pages):
    cells, base = pages
    for name in NAMES[1:]:
        assert "**Warning.** The encoder judge was trained on none of these 12" in text(
            cells["all", name]
        )
    assert "More at the top of the report." in text(cells["all", NAMES[2]])
    assert any("often wrong" in note for note in runs.collect_notes(base / "all"))


def test_a_stub_is_not_answered_and_its_solution_is_right(pages):
    cells, _ = pages
    for name in NAMES:
        for tag, verdict in (("exercise", "not answered yet"), ("solution", "right")):
            found = [c for c in cells["all", name] if tag in c.metadata.get("tags", [])]
            assert len(found) == (3 if name == NAMES[0] else 2), name
            for cell in found:
                assert cell.outputs[-1].data["text/plain"].startswith(verdict), cell.source

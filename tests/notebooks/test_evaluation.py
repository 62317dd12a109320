"""The evaluation notebook runs whole and claims no more than its intervals."""

import json

import nbformat
import pytest


@pytest.mark.slow
def test_the_notebook_compares_two_models_and_reads_a_board(executed, conclusion):
    folder = executed("evaluation", checked=3)
    found = json.loads((folder / "metrics.json").read_text())["13_evaluation"]
    assert found["within"]
    rank, best, worst = found["place"]
    assert rank == best == 1
    assert worst >= 3
    said = conclusion(folder, "13_evaluation")
    for section in found["sections"]:
        line = next(x for x in said.splitlines() if x.startswith(f"- {section['section']}:"))
        apart = section["low"] > 0 or section["high"] < 0
        assert ("cannot be told apart" in line) == (not apart)
    cells = nbformat.read(folder / "notebooks/13_evaluation.ipynb", as_version=4).cells
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 3
    assert any("cannot be told from" in o.get("data", {}).get("text/markdown", "") for o in outputs)

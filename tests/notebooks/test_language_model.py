"""Notebook 2 with a real small language model as the judge, by its name."""

import json

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import rulekit as rk
from rulekit import runs


@pytest.mark.slow
@pytest.mark.usefixtures("smollm2")
def test_the_notebook_of_ratings_is_rated_by_a_language_model(tmp_path, monkeypatch):
    rows = [
        {
            "pair_id": f"p{i}",
            "prompt": "How do I get well?",
            "response_a": f"See a doctor, please. {i}",
            "response_b": f"No. {i}",
            "preference": 1,
        }
        for i in range(6)
    ]
    pairs, rules = tmp_path / "pairs.jsonl", tmp_path / "rules.txt"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    rules.write_text("The response names a doctor.\nThe response is polite.\n")
    given = {
        "pairs": str(pairs),
        "rules": str(rules),
        "judge": "local",
        "options": {"model": "smollm2-135m", "least_mass": 0},
        "k": 2,
        "artefacts": str(tmp_path / "artefacts"),
    }
    notebook = nbformat.read(runs.notebook_path("02_ratings"), as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
    monkeypatch.setenv("RULEKIT_HEADLESS", "1")
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))
    told = "\n".join(
        output.data.get("text/markdown", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "data" in output
    )
    assert "6 pairs, 2 rules" in told
    assert "local" in told
    scores = rk.Scores.read(tmp_path / "artefacts/scores.parquet")
    assert (scores.n_pairs, scores.n_rules) == (6, 2)
    for side in (scores.a, scores.b):
        assert np.isfinite(side).all()
        assert side.std() > 0

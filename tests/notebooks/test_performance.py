"""The performance notebook runs whole at its small size and says what has not been measured."""

import json

import nbformat
import pytest

from rulekit import runs


@pytest.mark.slow
def test_the_notebook_runs_the_quick_benchmarks_and_names_what_is_not_measured(
    real_data, executed, conclusion
):
    folder = executed("performance")
    found = json.loads((folder / "metrics.json").read_text())["18_performance"]
    against = " ".join(row["against"] for row in found["ratios"])
    for peer in (
        "numpy argpartition",
        "torch.topk",
        "loop over pairs",
        "mutual_info_score",
        "conversation_first",
        "TRL, dynamic padding",
        "TRL, padded to 1,024",
    ):
        assert peer in against
    assert all(row["times"] > 0 for row in found["ratios"])
    assert found["eight_billion"] == "NVIDIA H100 80GB HBM3"
    cells = nbformat.read(folder / "notebooks/18_performance.ipynb", as_version=4).cells
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert sum("image/png" in o.get("data", {}) for o in outputs) == 1
    text = "".join(o.get("text", "") for o in outputs)
    shown = "".join(str(o.get("data", {}).get("text/html", "")) for o in outputs)
    assert "NVIDIA H100 80GB HBM3, model 8b, random weights" in shown
    assert "10,223" in shown
    assert "not measured" in shown  # cases that nobody has run
    assert "python tests/benchmarks/growth.py" in text
    assert "The kit is faster: " in conclusion(folder, "18_performance")


def test_the_notebook_shows_the_command_of_every_benchmark_of_the_kit():
    notebook = nbformat.read(runs.notebook_path("18_performance"), as_version=4)
    source = "\n".join(c.source for c in notebook.cells)
    for name in ("selection", "information", "growth", "local_judge", "judge", "store", "training"):
        assert f'"{name}.py' in source
    assert "rulekit bench gpu" in source
    assert not any(c.get("outputs") for c in notebook.cells)

"""The ablations: what the sweep holds, and the notebook that runs a small one and concludes."""

import json
from collections import Counter

import nbformat
import papermill
import polars as pl
import pytest

from rulekit import runs
from rulekit.runs.sweep_file import load_sweep
from rulekit.studies.ablation import METHODS


def test_the_sweep_has_every_method_at_every_k_and_one_factor_at_a_time_on_five_seeds():
    sweep = load_sweep("ablations")
    rows = list(sweep.runs.values())
    assert set(Counter(row["method"] for row in rows)) == set(METHODS)
    assert set(Counter(row["seed"] for row in rows).values()) == {len(rows) // 5}
    base = {"judge": "", "known": 100, "targets": "hard", "size": "medium"}
    for row in rows:
        assert sum(row[name] != value for name, value in base.items()) <= 1
    ks = {row["k"] for row in rows if row["method"] == "recommended"}
    assert {1, 100} <= ks
    for name, levels in (("known", 3), ("judge", 2), ("targets", 2), ("size", 3)):
        assert len({row[name] for row in rows}) == levels


def test_the_same_sweep_trains_an_8b_model_where_its_config_is_named():
    sweep = load_sweep("ablations", {"config": ["paper-8b"]})
    assert {row["config"] for row in sweep.runs.values()} == {"paper-8b"}
    assert len(sweep.runs) == len(load_sweep("ablations").runs)


@pytest.mark.slow
def test_the_notebook_runs_a_small_sweep_and_says_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.setenv("RULEKIT_HEADLESS", "1")
    papermill.execute_notebook(
        str(runs.notebook_path("14_ablations")),
        str(tmp_path / "out.ipynb"),
        parameters={"artefacts": str(tmp_path / "artefacts")},
        kernel_name="python3",
        progress_bar=False,
    )
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    said = [
        o.data["text/markdown"]
        for c in cells
        for o in c.get("outputs", [])
        if "text/markdown" in o.get("data", {})
    ]
    assert "12 of 12 runs are done, on 2 splits" in said[0]
    ways = pl.read_parquet(tmp_path / "artefacts" / "ablation_ways.parquet")
    best = ways.drop_nulls("label").sort("label").row(-1, named=True)
    assert f"Labels: highest with {best['way']}" in said[-1]
    assert f"{100 * best['label']:.1f} % [" in said[-1]
    assert "All ratings of the training pairs are 100,000 judge calls" in said[-1]
    assert "*These are 12 runs on 2 splits" in said[-1]
    told = json.loads((tmp_path / "artefacts/metrics/14_ablations.json").read_text())
    assert told["runs"] == 12

"""Recipes run headless, stop with a name when a cell fails, resume, and refuse unknown parameters."""

import json
import subprocess
import sys

import nbformat
import polars as pl
import pytest

from rulekit import runs
from rulekit.cli import main
from rulekit.files import resource


def test_every_notebook_has_one_parameters_cell_and_no_outputs():
    for path in resource("notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert sum("parameters" in c.metadata.get("tags", []) for c in cells) == 1, path
        assert not any(c.get("outputs") for c in cells), path


def test_unknown_recipe_notebook_and_parameter_are_refused(capsys, tmp_path):
    assert main(["run", "nothing"]) == 2
    assert (
        "allowed: board, estimators, hh-rlhf, judge, performance, quickstart, theory"
        in capsys.readouterr().err
    )
    assert main(["run", "quickstart", "-p", "kk", "3", "--runs", str(tmp_path)]) == 2
    assert "no notebook of the recipe has a parameter 'kk'" in capsys.readouterr().err
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\nsteps: [{notebook: 03_selection, parameters: {depth: 1}}]")
    with pytest.raises(
        ValueError, match="03_selection: unknown parameter 'depth'; allowed: source"
    ):
        runs.load_recipe(str(recipe))


def test_a_failing_cell_is_named_and_the_run_resumes(tmp_path, capsys):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\nsteps:\n- notebook: 03_selection\n"
        "- {notebook: 04_rule_adapter, parameters: {k: 1000}}\n"
    )
    assert main(["run", str(recipe), "--runs", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "04_rule_adapter, cell 4: ValueError: k is 1000; allowed: 1 to 100" in shown.err
    folder = next(tmp_path.glob("mine-*"))
    assert (folder / "html/03_selection.html").is_file()
    assert not (folder / "notebooks/04_rule_adapter.ipynb").exists()
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["steps"][1]["parameters"]["k"] = 5
    (folder / "provenance.json").write_text(json.dumps(provenance))
    assert main(["run", str(recipe), "--resume", str(folder)]) == 0
    assert "03_selection: done before" in capsys.readouterr().out
    assert "04_rule_adapter" in json.loads((folder / "metrics.json").read_text())


def test_a_notebook_runs_by_itself_under_papermill_and_shows_its_charts(tmp_path, monkeypatch):
    monkeypatch.delenv("RULEKIT_HEADLESS", raising=False)
    out = tmp_path / "out.ipynb"
    command = ["-m", "papermill", str(runs.notebook_path("06_results")), str(out), "-p", "k", "3"]
    subprocess.run([sys.executable, *command], check=True, cwd=tmp_path)
    outputs = [o for c in nbformat.read(out, as_version=4).cells for o in c.get("outputs", [])]
    assert any("image/svg+xml" in o.get("data", {}) for o in outputs)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["04_rule_adapter", "05_reward_model"])
def test_a_parameter_sends_a_notebook_to_the_engine(tmp_path, name):
    out, settings = tmp_path / "out.ipynb", {"overrides": {"max_steps": 2, "save_every": 1}}
    command = [
        "-m",
        "papermill",
        str(runs.notebook_path(name)),
        str(out),
        "-p",
        "config",
        "encoder-cpu",
        "-p",
        "artefacts",
        str(tmp_path),
        "-y",
        json.dumps(settings),
    ]
    subprocess.run([sys.executable, *command], check=True, cwd=tmp_path)
    (run,) = tmp_path.glob("engine-*")
    assert (run / "model" / "model.safetensors").stat().st_size > 1_000_000
    metrics = json.loads((run / "result.json").read_text())["metrics"]
    assert json.loads((tmp_path / f"metrics/{name[:2]}_engine.json").read_text()) == metrics
    held = pl.read_parquet(run / "evaluation.parquet")
    train = pl.read_parquet(run / "train.parquet")
    assert not {str(p) for p in held["prompt"]} & {str(p) for p in train["prompt"]}
    assert len(held) + len(train) == 864
    shown = [
        o.data
        for c in nbformat.read(out, as_version=4).cells
        for o in c.get("outputs", [])
        if "data" in o
    ]
    assert "optimiser step" in str(shown[-1])


@pytest.mark.slow
def test_quickstart_runs_whole_and_leaves_its_results(tmp_path):
    folder = runs.run("quickstart", runs=tmp_path, say=lambda line: None)
    assert len(list((folder / "html").glob("*.html"))) == 6
    assert (folder / "artefacts/results.png").stat().st_size > 20_000
    metrics = json.loads((folder / "metrics.json").read_text())
    accuracy = {r["name"]: r["value"] for r in metrics["03_selection"]["label_accuracy"]}
    assert accuracy["max_discrepancy"] > accuracy["random"]
    assert metrics["05_reward_model"]["accuracy"][0]["n"] == 864
    html = (folder / "html/06_results.html").read_text(encoding="utf-8")
    assert "image/svg+xml" in html
    assert json.loads((folder / "provenance.json").read_text())["data_sha256"]

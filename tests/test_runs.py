"""Recipes run headless, stop with a name when a cell fails, resume, and refuse unknown parameters."""

import json
import subprocess
import sys

import nbformat
import pytest

from rulekit import runs
from rulekit.cli import main
from rulekit.files import resource


@pytest.fixture(autouse=True)
def headless(monkeypatch):
    """A run sets it for good; here it ends with the test."""
    monkeypatch.setenv("RULEKIT_HEADLESS", "1")


def test_every_notebook_has_one_parameters_cell_and_no_outputs():
    for path in resource("notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert sum("parameters" in c.metadata.get("tags", []) for c in cells) == 1, path
        assert not any(c.get("outputs") for c in cells), path


def test_unknown_recipe_notebook_and_parameter_are_refused(capsys, tmp_path):
    assert main(["run", "nothing"]) == 2
    assert (
        "allowed: comparison, estimators, hh-rlhf, judge, performance, quickstart, theory"
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


def test_a_failing_cell_is_named_and_a_finished_notebook_is_not_run_again(tmp_path, capsys):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\nsteps:\n- {notebook: 01_rules_and_pairs, parameters: {source: nothing}}\n"
    )
    assert main(["run", str(recipe), "--runs", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "01_rules_and_pairs, cell 4: ValueError: unknown data set 'nothing'" in shown.err
    folder = next(tmp_path.glob("mine-*"))
    assert (folder / "failed-01_rules_and_pairs.ipynb").is_file()
    assert not (folder / "notebooks").exists()
    (folder / "notebooks").mkdir()
    (folder / "notebooks/01_rules_and_pairs.ipynb").write_text("as if it had ended")
    assert main(["run", str(recipe), "--resume", str(folder)]) == 0
    assert "01_rules_and_pairs: done before" in capsys.readouterr().out


@pytest.mark.slow
def test_a_failing_cell_is_named_and_the_run_resumes(tmp_path, capsys):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "name: mine\nsteps:\n- notebook: 01_rules_and_pairs\n"
        "- {notebook: 03_selection, parameters: {k: 1000}}\n"
    )
    assert main(["run", str(recipe), "--runs", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "03_selection, cell 4: ValueError: k is 1000; allowed: 1 to 100" in shown.err
    folder = next(tmp_path.glob("mine-*"))
    assert (folder / "html/01_rules_and_pairs.html").is_file()
    assert not (folder / "notebooks/03_selection.ipynb").exists()
    provenance = json.loads((folder / "provenance.json").read_text())
    provenance["steps"][1]["parameters"]["k"] = 5
    (folder / "provenance.json").write_text(json.dumps(provenance))
    assert main(["run", str(recipe), "--resume", str(folder)]) == 0
    assert "01_rules_and_pairs: done before" in capsys.readouterr().out
    assert "03_selection" in json.loads((folder / "metrics.json").read_text())


@pytest.mark.slow
def test_a_notebook_runs_by_itself_under_papermill_and_shows_its_charts(tmp_path, monkeypatch):
    monkeypatch.delenv("RULEKIT_HEADLESS", raising=False)
    out = tmp_path / "out.ipynb"
    command = ["-m", "papermill", str(runs.notebook_path("06_results")), str(out), "-p", "k", "3"]
    subprocess.run([sys.executable, *command], check=True, cwd=tmp_path)
    outputs = [o for c in nbformat.read(out, as_version=4).cells for o in c.get("outputs", [])]
    assert any("image/svg+xml" in o.get("data", {}) for o in outputs)
    assert list(tmp_path.iterdir()) == [out]


def test_a_parameter_that_is_no_yaml_ends_in_one_line(capsys, tmp_path):
    assert main(["run", "theory", "-p", "k", "{", "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("rulekit: ")
    assert not list(tmp_path.iterdir())

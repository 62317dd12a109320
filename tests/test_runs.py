"""Recipes run headless, stop with a name when a cell fails, resume, and refuse unknown parameters."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import polars as pl
import pytest

from rulekit import runs
from rulekit.cli import main
from rulekit.files import resource
from rulekit.runs import recipe as recipe_module
from rulekit.runs import records
from rulekit.runs.execution import _new_folder


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
    said = capsys.readouterr().err
    assert "no notebook of the recipe has a parameter 'kk'; allowed: source, seed, judge, k" in said
    assert not list(tmp_path.iterdir())
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
    assert "01_rules_and_pairs, cell 4: FileNotFoundError: no such file: nothing" in shown.err
    folder = next(tmp_path.glob("mine-*"))
    assert (folder / "failed-01_rules_and_pairs.ipynb").is_file()
    assert not (folder / "notebooks").exists()
    (folder / "notebooks").mkdir()
    (folder / "notebooks/01_rules_and_pairs.ipynb").write_text("as if it had ended")
    assert main(["run", str(recipe), "--resume", str(folder)]) == 0
    assert "01_rules_and_pairs: done before" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("k", "0", "parameter k is 0; allowed: input should be greater than or equal to 1"),
        ("k", "many", "parameter k is 'many'; allowed: input should be a valid integer"),
        ("seed", "-1", "parameter seed is -1; allowed: input should be greater than or equal to 0"),
        ("source", "[a]", "parameter source is ['a']; allowed: input should be a valid string"),
        ("tie", "drop", "parameter tie is 'drop'; allowed: input should be 'abstain' or 'soft'"),
        ("overrides", "3", "parameter overrides is 3; allowed: input should be a valid dictionary"),
    ],
)
def test_values_are_checked_before_the_first_notebook_runs(name, value, message, capsys, tmp_path):
    assert main(["run", "quickstart", "-p", name, value, "--runs", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_every_parameter_of_a_notebook_has_its_meaning_and_no_other_is_listed():
    taken = {
        n for p in resource("notebooks").glob("*.ipynb") for n in recipe_module.parameters_of(p)
    }
    assert taken | {"artefacts"} == set(recipe_module.PARAMETERS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine", "steps is missing or empty; allowed: a list of notebooks"),
        ("name: mine\nsteps: [3]", "step 1: 3; allowed keys: notebook, parameters"),
        ("name: mine\nsteps: [{parameters: {}}]", "step 1: {'parameters': {}}; allowed keys"),
        ("name: mine\nsteps: [{notebook: ../x}]", "unknown notebook '../x'; allowed: 01_rules"),
        ("name: mine\nsteps: [{notebook: 07_theory, parameters: 3}]", "parameters is 3; allowed"),
        ("name: ../mine\nsteps: [{notebook: 07_theory}]", "name is '../mine'; allowed: letters"),
        ("steps: [{notebook: 07_theory}]", "name is None; allowed: letters"),
        ("- name", "allowed: a mapping with the keys name, steps, description"),
        ("name: [", "not readable as YAML"),
    ],
)
def test_a_recipe_that_is_none_ends_in_one_line(text, message, capsys, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(text)
    assert main(["run", str(recipe), "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert str(recipe) in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "runs").exists()
    assert main(["run", "none.yaml"]) == 2
    assert "no such file: none.yaml" in capsys.readouterr().err


TWO_LINES = """{
 "cells": [
  {"cell_type": "code", "execution_count": null, "id": "a", "metadata": {"tags": ["parameters"]},
   "outputs": [], "source": ["k: int = 5  # rules\\n", "artefacts: str = \\"\\"  # folder"]},
  {"cell_type": "code", "execution_count": null, "id": "b", "metadata": {}, "outputs": [],
   "source": ["import os\\n", "from rulekit.runs import save_metrics\\n",
              "save_metrics(artefacts, \\"tiny\\", {\\"k\\": k})\\n",
              "os.environ[\\"RULEKIT_HEADLESS\\"]"]}
 ],
 "metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
              "language_info": {"name": "python"}},
 "nbformat": 4, "nbformat_minor": 5
}"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A recipe that names one tiny notebook twice."""
    notebook = tmp_path / "tiny.ipynb"
    notebook.write_text(TWO_LINES)
    monkeypatch.setattr(recipe_module, "notebook_path", lambda name: notebook)
    monkeypatch.setattr("rulekit.runs.execution.notebook_path", lambda name: notebook)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\nsteps: [{notebook: tiny}, {notebook: tiny, parameters: {k: 7}}]")
    return str(recipe)


def test_a_notebook_named_twice_runs_twice_and_keeps_both_figures(tiny, tmp_path):
    folder = runs.run(tiny, runs=tmp_path / "runs", say=lambda line: None)
    assert {p.stem for p in (folder / "notebooks").iterdir()} == {"tiny", "tiny-2"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["tiny"]["k"] == 5
    assert metrics["tiny-2"]["k"] == 7
    lines = []
    runs.run(tiny, resume=folder, say=lines.append)
    assert [line.endswith("done before") for line in lines[1:]] == [True, True]


def test_a_run_leaves_the_environment_as_it_was_and_shares_no_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("RULEKIT_HEADLESS", raising=False)
    monkeypatch.setenv("RULEKIT_DATA", "~/somewhere")
    before = dict(os.environ)
    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(lambda _: _new_folder(tmp_path / "runs", "mine"), range(3)))
    assert len(set(folders)) == 3
    runs.run(tiny, runs=tmp_path / "runs", say=lambda line: None)
    assert dict(os.environ) == before


def test_parameters_beside_resume_are_refused(tiny, tmp_path, capsys):
    folder = _new_folder(tmp_path, "mine")
    (folder / "provenance.json").write_text(json.dumps({"recipe": "mine", "steps": []}))
    assert main(["run", tiny, "--resume", str(folder), "-p", "k", "3"]) == 2
    assert "parameter 'k' beside --resume; allowed: none" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", ""])
def test_figures_and_tables_never_leave_their_folder(name, tmp_path):
    with pytest.raises(ValueError, match="allowed: letters, digits"):
        runs.save_metrics(tmp_path, name, {})
    with pytest.raises(ValueError, match="no path"):
        runs.save_table(pl.DataFrame(), tmp_path, name)


def test_the_commit_is_the_kits_own_and_no_git_is_no_error(monkeypatch, tmp_path):
    root = Path(records.__file__).parents[2]
    expected = None
    if (root / ".git").exists():
        head = ["git", "-C", str(root), "rev-parse", "HEAD"]
        expected = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    assert runs.kit_commit() == expected
    # Installed into an environment inside another repository: that one's commit is not the kit's.
    installed = tmp_path / "repository" / ".venv" / "site-packages" / "rulekit" / "runs"
    installed.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    monkeypatch.setattr(records, "__file__", str(installed / "records.py"))
    assert runs.kit_commit() is None
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runs.kit_commit() is None


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

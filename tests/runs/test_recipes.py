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
from rulekit.runs.execution import new_folder


def test_every_notebook_has_one_parameters_cell_and_no_outputs():
    for path in resource("notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert sum("parameters" in c.metadata.get("tags", []) for c in cells) == 1, path
        assert not any(c.get("outputs") for c in cells), path


def test_unknown_recipe_notebook_and_parameter_are_refused(capsys, tmp_path):
    assert main(["run", "nothing"]) == 2
    assert f"allowed: {', '.join(runs.recipes())}, or a .yaml file" in capsys.readouterr().err
    assert {"quickstart", "hh-rlhf", "judge", "theory"} <= set(runs.recipes())
    assert main(["run", "quickstart", "-p", "kk", "3", "--runs", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    allowed = "pairs, rules, judge, options, ratings, labels, k, seed"
    assert f"no notebook of the recipe has a parameter 'kk'; allowed: {allowed}" in said
    assert not list(tmp_path.iterdir())
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\nsteps: [{notebook: 03_selection, parameters: {depth: 1}}]")
    with pytest.raises(ValueError, match="03_selection: unknown parameter 'depth'; allowed: pairs"):
        runs.load_recipe(str(recipe))


def test_files_that_cannot_be_read_are_refused_before_a_folder_is_made(tmp_path, capsys):
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: 3")
    recipe = tmp_path / "mine.yaml"
    step = "{notebook: 01_rules_and_pairs, parameters: {rules: rules.yaml}}"
    recipe.write_text(f"name: mine\nsteps: [{step}]\n")
    assert main(["run", str(recipe), "--runs", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert f"{rules}: allowed: a list of rules" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_judge_without_what_it_needs_is_refused_before_the_first_notebook(tmp_path, capsys):
    assert main(["run", "quickstart", "-p", "judge", "server", "--runs", str(tmp_path)]) == 2
    assert "judge 'server' needs model and base_url" in capsys.readouterr().err
    given = ["-p", "judge", "encoder", "-p", "options", "{model: x}"]
    assert main(["run", "quickstart", *given, "--runs", str(tmp_path)]) == 2
    assert "judge 'encoder' has no option 'model'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("k", "0", "parameter k is 0; allowed: input should be greater than or equal to 1"),
        ("k", "many", "parameter k is 'many'; allowed: input should be a valid integer"),
        ("seed", "-1", "parameter seed is -1; allowed: input should be greater than or equal to 0"),
        ("pairs", "[a]", "parameter pairs is ['a']; allowed: input should be a valid string"),
        ("options", "a", "parameter options is 'a'; allowed: input should be a valid dictionary"),
        ("judge", "me", "unknown judge 'me'; allowed: encoder, local, recorded, server"),
        ("rules", "none.txt", "rules: no such file: "),
        ("pairs", "none.jsonl", "allowed: a file, or one of embedded, hh-rlhf/harmless-base-test"),
        ("ratings", "none.sqlite", "ratings: no such file: "),
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
        n for p in resource("notebooks").rglob("*.ipynb") for n in recipe_module.parameters_of(p)
    }
    assert taken | {"artefacts"} == set(recipe_module.PARAMETERS)


def test_the_default_of_every_parameter_is_a_value_that_a_recipe_may_give():
    for path in sorted(resource("notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        (cell,) = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
        scope: dict[str, object] = {}
        exec(cell.source, scope)
        given = {n: scope[n] for n in recipe_module.parameters_of(path)}
        recipe_module.check_parameters(path, given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine", "steps is missing or empty; allowed: a list of notebooks"),
        ("name: mine\nsteps: [3]", "step 1: 3; allowed keys: notebook, parameters"),
        ("name: mine\nsteps: [{parameters: {}}]", "step 1: {'parameters': {}}; allowed keys"),
        ("name: mine\nsteps: [{notebook: ../x}]", "unknown notebook '../x'; allowed: 00_overview"),
        ("name: mine\nsteps: [{notebook: 11_proofs, parameters: 3}]", "parameters is 3; allowed"),
        ("name: ../mine\nsteps: [{notebook: 11_proofs}]", "name is '../mine'; allowed: letters"),
        ("steps: [{notebook: 11_proofs}]", "name is None; allowed: letters"),
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
def tiny(tmp_path):
    """A recipe that names one tiny notebook of one's own twice."""
    (tmp_path / "tiny.ipynb").write_text(TWO_LINES)
    recipe = tmp_path / "mine.yaml"
    steps = "[{notebook: tiny.ipynb}, {notebook: tiny.ipynb, parameters: {k: 7}}]"
    recipe.write_text(f"name: mine\nsteps: {steps}")
    return str(recipe)


def test_a_notebook_named_twice_runs_twice_and_keeps_both_figures(tiny, tmp_path):
    folder = runs.run(tiny, runs=tmp_path / "runs", say=lambda line: None)
    assert {p.stem for p in (folder / "notebooks").iterdir()} == {"tiny", "tiny-2"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["tiny"]["k"] == 5
    assert metrics["tiny-2"]["k"] == 7
    lines = []
    runs.run(tiny, resume=folder, say=lines.append)
    assert [line.endswith("done before") for line in lines[1:3]] == [True, True]


def test_a_run_leaves_the_environment_as_it_was_and_shares_no_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("RULEKIT_HEADLESS", raising=False)
    monkeypatch.setenv("RULEKIT_DATA", "~/somewhere")
    before = dict(os.environ)
    with ThreadPoolExecutor() as pool:
        folders = list(pool.map(lambda _: new_folder(tmp_path / "runs", "mine"), range(3)))
    assert len(set(folders)) == 3
    runs.run(tiny, runs=tmp_path / "runs", say=lambda line: None)
    assert dict(os.environ) == before


def test_parameters_beside_resume_are_refused(tiny, tmp_path, capsys):
    folder = new_folder(tmp_path, "mine")
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
        git = ["git", "-C", str(root)]
        said = [
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
        expected = said[0].strip() + (", with changes" if said[1] else "")
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


BROKEN = TWO_LINES.replace('os.environ[\\"RULEKIT_HEADLESS\\"]', "1 / (k - 5)")


def test_a_run_goes_on_after_the_last_finished_notebook(tiny, tmp_path, capsys):
    """The second time k is 7: the first step fails, is mended and run, the second follows."""
    notebook = tmp_path / "tiny.ipynb"
    notebook.write_text(BROKEN)
    assert main(["run", tiny, "--runs", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "tiny, cell 3: ZeroDivisionError: division by zero" in shown.err
    folder = next(tmp_path.glob("mine-*"))
    assert f"--resume {folder}" in shown.err
    notebook.write_text(TWO_LINES)
    assert main(["run", tiny, "--resume", str(folder)]) == 0
    assert main(["run", tiny, "--resume", str(folder)]) == 0
    assert "tiny: done before" in "".join(capsys.readouterr())
    assert {p.stem for p in (folder / "html").iterdir()} == {"tiny", "tiny-2"}
    assert (folder / "report.html").is_file()


@pytest.mark.slow
def test_a_notebook_runs_by_itself_under_papermill_and_shows_its_charts(tmp_path, monkeypatch):
    monkeypatch.delenv("RULEKIT_HEADLESS", raising=False)
    out = tmp_path / "out.ipynb"
    command = ["-m", "papermill", str(runs.notebook_path("10_results")), str(out), "-p", "k", "3"]
    subprocess.run([sys.executable, *command], check=True, cwd=tmp_path)
    outputs = [o for c in nbformat.read(out, as_version=4).cells for o in c.get("outputs", [])]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert list(tmp_path.iterdir()) == [out]


def test_a_parameter_that_is_no_yaml_ends_in_one_line(capsys, tmp_path):
    assert main(["run", "theory", "-p", "k", "{", "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("rulekit: ")
    assert not list(tmp_path.iterdir())


def test_paths_of_a_recipe_are_those_beside_it_and_of_an_option_those_beside_me(
    tiny, tmp_path, monkeypatch
):
    beside, here = tmp_path, tmp_path / "here"
    (here / "model").mkdir(parents=True)
    for name in (beside / "rules.txt", here / "pairs.jsonl", here / "more.jsonl"):
        name.write_text("")
    monkeypatch.chdir(here)
    recipe = beside / "own.yaml"
    recipe.write_text(
        "name: own\nsteps: [{notebook: 03_selection, parameters: {rules: rules.txt, pairs: embedded}}]"
    )
    steps = runs.load_recipe(str(recipe))["steps"]
    assert steps[0]["parameters"] == {"rules": str(beside / "rules.txt"), "pairs": "embedded"}
    given = {
        "pairs": "*.jsonl",
        "judge": "server",
        "options": {"model": "./model", "base_url": "http://x/y"},
    }
    (own,) = recipe_module.overridden(steps, given)
    assert own["parameters"] == {
        "rules": str(beside / "rules.txt"),
        "pairs": str(here / "*.jsonl"),
        "judge": "server",
        "options": {"model": str(here / "model"), "base_url": "http://x/y"},
    }


def test_a_notebook_of_ones_own_needs_a_parameters_cell_only_to_take_parameters(tmp_path):
    plain = json.loads(TWO_LINES)
    plain["cells"] = [plain["cells"][1] | {"source": "print('by itself')"}]
    (tmp_path / "own").mkdir()
    (tmp_path / "own/plain.ipynb").write_text(json.dumps(plain))
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\nsteps: [{notebook: own/plain.ipynb}]")
    folder = runs.run(str(recipe), runs=tmp_path / "runs", say=lambda line: None)
    assert "by itself" in (folder / "html/plain.html").read_text(encoding="utf-8")
    recipe.write_text("name: mine\nsteps: [{notebook: own/plain.ipynb, parameters: {k: 3}}]")
    with pytest.raises(
        ValueError, match="plain: unknown parameter 'k'; allowed: none, it has no cell"
    ):
        runs.load_recipe(str(recipe))
    recipe.write_text("name: mine\nsteps: [{notebook: own/other.ipynb}]")
    with pytest.raises(FileNotFoundError, match=r"own/other\.ipynb"):
        runs.load_recipe(str(recipe))


def test_a_run_says_how_long_each_step_took_and_where_the_report_is_with_what_to_heed(
    tiny, tmp_path
):
    notebook = json.loads(TWO_LINES)
    notebook["cells"][1]["source"] = (
        "from rulekit.runs import save_notes\nsave_notes(artefacts, 'mine', ['Heed this.'])"
    )
    (tmp_path / "tiny.ipynb").write_text(json.dumps(notebook))
    lines = []
    folder = runs.run(tiny, runs=tmp_path / "runs", say=lines.append)
    assert lines[0] == f"mine: 2 notebooks → {folder}"
    assert [line.split(":")[0] for line in lines[1:3]] == ["[1/2] tiny", "[2/2] tiny-2"]
    assert all(line.endswith(" s") for line in lines[1:3])
    assert lines[3:] == [f"report: {folder / 'report.html'}"]
    assert "Heed this." in (folder / "report.html").read_text(encoding="utf-8")


def test_the_provenance_names_the_files_that_were_read_by_their_hash(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("text")
    steps = [{"notebook": "x", "parameters": {"pairs": str(pairs), "rules": "embedded", "k": 3}}]
    found = records.provenance("mine", steps)["data_sha256"]
    assert found[str(pairs)] == records.sha256_file(pairs)
    assert set(found) == {"data/pairs.jsonl", "data/rules.yaml", str(pairs)}

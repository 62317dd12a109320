"""`rulekit run` from the command line: what it prints, where, and with which status."""

import json
from pathlib import Path

import nbformat
import pytest

from tests.cli.words import refused, run


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder with a recipe of one notebook of one's own, which leaves a figure and a note."""
    monkeypatch.chdir(tmp_path)
    new = nbformat.v4
    parameters = "k: int = 1  # a number\nartefacts: str = ''  # folder of the run"
    does = (
        "import rulekit as rk\n"
        "rk.runs.save_metrics(artefacts, 'mine', {'share': 10 / k / (k != 9)})\n"
        "rk.runs.save_notes(artefacts, 'mine', ['The judge never saw these rules.'])"
    )
    cells = [
        new.new_markdown_cell("# What is ten divided by k?"),
        new.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        new.new_code_cell(does),
    ]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(new.new_notebook(cells=cells, metadata={"kernelspec": kernel}), "mine.ipynb")
    Path("recipe.yaml").write_text(
        "name: own\nsteps:\n- {notebook: mine.ipynb, parameters: {k: 4}}\n"
    )


def test_a_run_ends_with_the_place_of_its_report_and_its_warnings():
    ran = run("run", "recipe.yaml")
    assert ran.status == 0, ran.err
    (folder,) = Path("runs").resolve().glob("own-*")
    assert (
        ran.out == f"open {folder}/report.html for the results; figures in {folder}/metrics.json\n"
    )
    assert (folder / "report.html").is_file()
    assert "[1/1] mine: " in ran.err
    assert "The judge never saw these rules." in ran.err
    assert json.loads((folder / "metrics.json").read_text())["mine"]["share"] == 2.5


def test_a_run_tells_programs_what_it_has_left():
    told = run("run", "recipe.yaml", "-p", "k", 5, "--runs", "results", "--json").json
    assert Path(told["folder"]).parent == Path("results").resolve()
    assert Path(told["report"]).is_file()
    assert json.loads(Path(told["metrics"]).read_text())["mine"]["share"] == 2
    assert told["warnings"] == ["The judge never saw these rules."]


def test_a_quiet_run_prints_its_warnings_alone():
    ran = run("run", "recipe.yaml", "-q")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err == "rulekit: warning: The judge never saw these rules.\n"


def test_a_notebook_that_fails_is_named_and_the_way_on_is_told():
    ran = run("run", "recipe.yaml", "-p", "k", 9)
    assert ran.status == 1
    assert ran.out == ""
    first, *rest = ran.err[ran.err.index("rulekit: ") :].splitlines()
    assert first.startswith("rulekit: mine, cell 4: ZeroDivisionError: ")
    assert rest[-1].startswith("to go on after mending: rulekit run recipe.yaml --resume ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "unknown recipe 'nothing'; allowed: comparison"),
        (["none.yaml"], "no such file: none.yaml"),
        (["recipe.yaml", "-p", "depth", "3"], "'depth'; allowed: k"),
        (["recipe.yaml", "-p", "k", "many"], "parameter k is 'many'"),
        (["recipe.yaml", "-p", "k", "{"], "-p k: '{' is no YAML; allowed: such as 3 or [1, 2]"),
        (["recipe.yaml", "--resume", "none"], "none is no run: there is no provenance.json in it"),
    ],
)
def test_what_cannot_be_run_ends_in_one_line(words, message):
    assert message in refused("run", *words)
    assert not Path("runs").exists()

"""`rulekit new`: the project is as the notebooks want it, its commands work, and it runs."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from tests.cli.words import refused, run

FILES = {
    "README.md",
    "labels.csv",
    "my_notebook.ipynb",
    "pairs.jsonl",
    "recipe.yaml",
    "rules.yaml",
    "scores.parquet",
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A new project, with the working directory in it."""
    monkeypatch.chdir(tmp_path)
    assert run("new", "mine", "-q").status == 0
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


def test_the_files_are_laid_out_and_the_next_step_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("new", "my project")
    assert ran.status == 0
    assert {p.name for p in (tmp_path / "my project").iterdir()} == FILES
    assert ran.out.splitlines()[-1] == "next: cd 'my project' && rulekit run recipe.yaml"
    told = run("new", "other/project", "--json").json
    assert {Path(path).name for path in told["files"]} == FILES
    assert all(Path(path).is_file() for path in told["files"])
    (tmp_path / "empty").mkdir()
    assert run("new", "empty").status == 0


def test_a_folder_with_files_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    assert "full is there already; allowed: a new folder" in refused("new", "full")
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    assert "there already" in refused("new", "full/mine.txt")


def test_pairs_rules_ratings_and_labels_fit_each_other(project):
    data = rk.runs.load_inputs("pairs.jsonl", "rules.yaml", "labels.csv")
    assert (len(data.pairs), len(data.rules), len(data.known)) == (24, 8, 20)
    assert data.has_known
    assert data.notes == ()
    scores = rk.runs.load_scores(data, ratings="scores.parquet")
    assert (scores.n_pairs, scores.n_rules) == (24, 8)
    assert set(np.unique(scores.a)) | set(np.unique(scores.b)) <= {-1, -0.5, 0, 0.5, 1}
    signs = data.known["preference"].value_counts()
    assert sorted(signs["count"]) == [10, 10]  # neither place is the better one


def test_the_ratings_are_of_these_texts(project):
    scores, data = (
        rk.Scores.read("scores.parquet"),
        rk.runs.load_inputs("pairs.jsonl", "rules.yaml"),
    )
    assert scores.identity.rule_digests == tuple(data.rules.digests)
    brief = data.rules.index("three-sentences")
    for side, name in ((scores.a, "response_a"), (scores.b, "response_b")):
        for text, score in zip(data.pairs[name], side[:, brief], strict=True):
            sentences = len(re.findall(r"[.!?](?=\s|$)", text))
            assert (score > 0) == (sentences <= 3), text


def test_the_rules_have_no_remark_and_the_file_is_read_without_a_refusal(project):
    assert run("rules", "check", "rules.yaml").status == 0
    told = run("data", "describe", "pairs.jsonl", "--json").json
    assert (told["pairs"], told["refused"]) == (24, [])


def test_every_command_of_its_readme_works(project):
    lines = re.findall(r"`(rulekit [^`]+)`", (project / "README.md").read_text())
    commands = [shlex.split(line)[1:] for line in lines]
    assert len(commands) == 5
    for words in commands:
        if words[0] == "run":
            rk.runs.load_recipe(words[1])
        elif "…" in words:  # the judge is the reader's own
            words[words.index("…")] = "encoder"
            assert run(*words).status == 0
            assert Path("annotated/scores.parquet").is_file()
        else:
            ran = run(*words)
            assert ran.status == 0, ran.err
    assert "right in 85.0% of 20 known pairs" in ran.out


def test_its_readme_has_ten_lines(project):
    assert len((project / "README.md").read_text().splitlines()) == 10


@pytest.mark.slow
def test_it_runs_as_it_is(project):
    script = str(Path(sys.executable).with_name("rulekit"))
    done = subprocess.run(
        [script, "run", "recipe.yaml", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    folder = Path(told["folder"])
    assert folder.parent == project / "runs"
    assert Path(told["report"]).is_file()
    names = ["01_rules_and_pairs", "03_selection", "my_notebook", "10_results"]
    assert [(folder / "notebooks" / f"{name}.ipynb").is_file() for name in names] == [True] * 4
    metrics = json.loads((folder / "metrics.json").read_text())
    scores = rk.Scores.read("scores.parquet")
    size = pl.Series(np.abs(scores.discrepancy).mean(axis=0))
    most = rk.RuleSet.load("rules.yaml").ids[size.arg_max()]
    assert metrics["my_notebook"]["most_telling_rule"] == most
    assert "report.html" in Path(told["report"]).name
    assert f"[4/4] {names[-1]}" in done.stderr

"""`rulekit compare` and `rulekit runs`: a sweep of a small notebook that really ran."""

import io
import shutil
import sys

import polars as pl
import pytest

import rulekit as rk
from tests.cli.words import refused, run
from tests.runs.tiny import tiny_sweep


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Folder of a sweep: k 1 and 3 on three seeds, and k 9, which failed."""
    return tiny_sweep(tmp_path_factory.mktemp("compared"))


def test_two_runs_print_what_changed_pair_by_pair(sweep, tmp_path):
    first, second = sweep / "runs" / "k-1_seed-0", sweep / "runs" / "k-3_seed-0"
    table = tmp_path / "two.csv"
    ran = run("compare", first, second, "-o", table)
    assert ran.status == 0, ran.err
    assert "of 60 pairs have another label; right" in ran.out
    assert "on 60 pairs of 20 prompts" in ran.out
    assert "tiny.accuracy" in ran.out
    row = pl.read_csv(table).filter(pl.col("kind") == "accuracy").row(0, named=True)
    known = rk.runs.compare_two(first, second).accuracy.row(0, named=True)
    assert row["difference"] == pytest.approx(known["difference"])
    told = run("compare", first, second, "--json").json
    assert told["names"] == ["k-1_seed-0", "k-3_seed-0"]
    assert told["accuracy"][0]["low"] == pytest.approx(known["low"])


def test_many_runs_print_means_and_differences_and_are_written_and_drawn(sweep, tmp_path):
    files = [tmp_path / f"means.{end}" for end in ("csv", "md", "tex", "parquet", "png", "svg")]
    words = [w for path in files for w in ("-o", path)]
    ran = run("compare", sweep, "--by", "k", "--metric", "label", "--against", "1", *words)
    assert ran.status == 0, ran.err
    assert "6 of 7 runs, by k; means over seed" in ran.out
    assert "accuracy of label, difference, paired" in ran.out
    found = rk.runs.compare(sweep, by=("k",), metrics=("label",), against=(1,)).frame()
    assert pl.read_parquet(tmp_path / "means.parquet").equals(found)
    assert len((tmp_path / "means.md").read_text().splitlines()) == 4
    assert (tmp_path / "means.tex").read_text().startswith(r"\begin{tabular}")
    assert (tmp_path / "means.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "means.svg").read_text().startswith("<svg")


def test_what_cannot_be_compared_or_written_is_one_line(sweep, tmp_path):
    assert "no run in it" in refused("compare", tmp_path)
    assert "unknown ending; allowed: .png" in refused("compare", sweep, "-o", "x.docx")
    assert "--against without --by" in refused("compare", sweep, "--against", "1")
    assert "no parameter 'q'; allowed: k, seed" in refused("compare", sweep, "--by", "q")
    assert "no run with k '7'; allowed: 1, 3" in refused("compare", sweep, "--where", "k", "7")


def test_runs_are_listed_and_shown(sweep, tmp_path):
    ran = run("runs", "list", sweep, "-o", tmp_path / "all.csv")
    assert ran.status == 0, ran.err
    assert "k-3_seed-1" in ran.out
    assert "tiny.accuracy" in pl.read_csv(tmp_path / "all.csv").columns
    assert len(run("runs", "list", sweep, "--json").json["runs"]) == 7
    shown = run("runs", "show", sweep / "runs" / "k-3_seed-1")
    assert "k-3_seed-1: tiny, done" in shown.out
    assert "  note: as it is" in shown.out
    assert "tiny.accuracy: " in shown.out
    assert "is no run" in refused("runs", "show", tmp_path)


def test_clean_says_first_asks_and_takes_only_what_was_shown(sweep, tmp_path, monkeypatch):
    copy = tmp_path / "runs"
    shutil.copytree(sweep, copy / sweep.name)
    (copy / "notes.txt").write_text("mine")
    before = sorted(copy.iterdir())
    ran = run("runs", "clean", copy, "--dry-run")
    assert f"{sweep.name}: sweep, failed" in ran.out
    assert "1 folders" in ran.out
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    asked = run("runs", "clean", copy)
    assert asked.status == 2
    assert "nothing is deleted" in asked.err
    assert sorted(copy.iterdir()) == before
    ran = run("runs", "clean", copy, "--yes", "--json")
    assert ran.json["removed"]
    assert [path.name for path in copy.iterdir()] == ["notes.txt"]
    assert "nothing to take away" in run("runs", "clean", copy).out


def test_a_keeper_that_is_not_known_is_refused_before_anything_runs(tmp_path):
    assert "unknown keeper 'paper'" in refused("run", "quickstart", "--log", "paper")
    assert "--to without --log" in refused("runs", "list", tmp_path, "--to", "x")
    assert not (tmp_path / "runs").exists()

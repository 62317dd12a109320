"""`rulekit store` from end to end."""

import shutil
import sqlite3
from contextlib import closing

import polars as pl
import pytest

from rulekit.cli import main
from rulekit.rating.annotation import annotate
from rulekit.rating.store import Store
from tests.cli.words import run
from tests.rating.helpers import CELLS, RULES, HashJudge, filled, some_pairs


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_check_tells_what_is_in_files_and_which_are_damaged(tmp_path, capsys):
    filled("good.sqlite", 20)
    shutil.copy("good.sqlite", "bad.sqlite")
    with closing(sqlite3.connect("bad.sqlite")) as base, base:
        base.execute("update rating set yes = 2 where response = 3 and rule = 4")
    (tmp_path / "text").write_text("no store\n" * 100)
    assert main(["store", "check", "good.sqlite"]) == 0
    told = capsys.readouterr().out
    assert f"good.sqlite: {30 * CELLS} ratings of 30 responses under 12 rules by 1 judge," in told
    assert main(["store", "check", "bad.sqlite", "good.sqlite", "text", "none"]) == 1
    captured = capsys.readouterr()
    assert captured.out == told
    bad, text, none = captured.err.splitlines()
    assert bad.startswith("rulekit: bad.sqlite: the rating of response ")
    assert bad.endswith("under rule r003 is damaged; restore the file from a copy")
    assert text == "rulekit: text: no store of ratings: file is not a database"
    assert none == "rulekit: no such file: none"
    assert not (tmp_path / "none").exists()


def test_files_of_several_machines_are_merged_into_one(tmp_path, capsys):
    for number, some in enumerate((some_pairs(40)[:20], some_pairs(40)[10:30])):
        annotate(some, RULES, HashJudge(), store=f"{number}.sqlite")
    assert main(["store", "merge", "all.sqlite", "0.sqlite", "1.sqlite"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"0.sqlite: {30 * CELLS} ratings taken over",
        f"1.sqlite: {15 * CELLS} ratings taken over",
        f"all.sqlite: {45 * CELLS} ratings",
    ]
    judge = HashJudge()
    annotate(some_pairs(40)[:30], RULES, judge, store="all.sqlite")
    assert not judge.asked
    assert main(["store", "merge", "new.sqlite", "0.sqlite", "none.sqlite"]) == 2
    assert capsys.readouterr().err == "rulekit: no such file: none.sqlite\n"
    assert not (tmp_path / "new.sqlite").exists()
    assert main(["store", "merge", "all.sqlite", "all.sqlite"]) == 2


def test_a_judge_of_a_file_is_exported_as_a_data_set(tmp_path, capsys):
    filled("r.sqlite", 20)
    with Store("r.sqlite") as store:
        other = HashJudge()
        other.identity = "another"
        annotate(some_pairs(4), RULES, other, store=store)
    assert main(["store", "export", "r.sqlite", "set"]) == 2
    assert "no judge is named; allowed: 'hash of the texts', 'another'" in capsys.readouterr().err
    assert main(["store", "export", "r.sqlite", "set", "--judge", "another"]) == 0
    ratings = pl.read_parquet("set/data/ratings.parquet")
    assert len(ratings) == 6 * CELLS
    assert set(ratings["rule_id"]) == set(RULES.ids)
    assert "`another`" in (tmp_path / "set/README.md").read_text()
    responses = pl.read_parquet("set/data/responses.parquet")
    assert set(responses["prompt"]) == {"question 0", "question 1"}


def test_files_are_told_to_programs_too():
    filled("r.sqlite", 10)
    ratings = run("store", "check", "r.sqlite", "--json").json["whole"]["r.sqlite"]["ratings"]
    assert ratings == 15 * CELLS
    told = run("store", "merge", "all.sqlite", "r.sqlite", "--json").json
    assert told == {"file": "all.sqlite", "ratings": ratings, "taken_over": {"r.sqlite": ratings}}
    assert run("store", "export", "r.sqlite", "set", "--json").json == {"folder": "set"}
    damaged = run("store", "check", "none.sqlite", "--json")
    assert damaged.status == 1
    assert damaged.json == {"whole": {}, "damaged": {"none.sqlite": "no such file: none.sqlite"}}

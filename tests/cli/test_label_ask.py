"""`rulekit label --ask`: keys come from stdin, answers are in the file at once."""

import io
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from rulekit.inputs import add_preferences, load_pairs, read_answers
from rulekit.inputs.pairs import check_pairs
from tests.cli.words import refused, run
from tests.rating.helpers import RULES, expected, some_pairs

N = 60
ASK = ["label", "scores.parquet", "--pairs", "pairs.jsonl", "--ask", "--person"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """A folder with ratings of 60 pairs."""
    monkeypatch.chdir(tmp_path)
    check_pairs(some_pairs(N)).drop("preference").write_ndjson("pairs.jsonl")
    RULES.save("rules.yaml")
    expected(N).write("scores.parquet")


@pytest.fixture
def typed(monkeypatch):
    """Runs the command with these lines typed."""

    def ran(lines: str, *words: object, person: str = "ann"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
        return run(*ASK, person, *words)

    return ran


def test_keys_are_answers_in_the_file_and_q_ends(typed):
    ran = typed("a\nb\nx\nu\nS\nq\na\n", "--labels", "hand.jsonl", "--json")
    assert ran.status == 0, ran.err
    found = read_answers("hand.jsonl")
    assert found["person"].to_list() == ["ann"] * 3
    for preference, shown, key in zip(found["preference"], found["shown"], "ab", strict=False):
        assert preference == (1 if shown[0] == key else -1)
    assert found["preference"][2] is None
    assert ran.json["answered"] == 3
    assert ran.json["labels"] == 2
    assert ran.json["progress"]["n_labelled"] == 2
    assert "Response A:" in ran.err
    assert "2 labels so far" in ran.err


def test_the_end_of_the_input_ends_too_and_the_next_session_goes_on(typed):
    assert typed("a\nb").status == 0
    ran = typed("a\n")
    assert ran.status == 0
    assert "1 answers of ann now, 3 of all people in labels.jsonl" in ran.out
    assert read_answers("labels.jsonl")["pair_id"].n_unique() == 3


def test_other_keys_and_undo_of_nothing_are_told_and_change_nothing(typed):
    ran = typed("u\nzz\n\nq\n")
    assert ran.status == 0
    assert "nothing to take back" in ran.err
    assert "'zz' is no key" in ran.err
    assert read_answers("labels.jsonl").is_empty()


def test_two_people_agree_or_not_and_the_file_is_known_preferences(typed):
    typed("a\n" * 20 + "q\n")
    ran = typed("a\n" * 20 + "q\n", "--json", person="bob")
    assert [row["measure"] for row in ran.json["agreement"]] == ["κ", "α"]
    assert ran.json["agreement"][0]["n"] == 4  # each fifth question
    pairs = add_preferences(load_pairs("pairs.jsonl"), "labels.jsonl")
    assert pairs["preference"].is_not_null().sum() == 36
    words = ["label", "scores.parquet", "--pairs", "pairs.jsonl", "--labels", "labels.jsonl"]
    assert run(*words, "--method", "weighted").status == 0


def test_escape_sequences_in_a_text_are_pictures_in_the_terminal(typed):
    pairs = load_pairs("pairs.jsonl").with_columns(response_a=pl.lit("\x1b[31mred\x1b[0m"))
    pairs.drop("preference").write_ndjson("pairs.jsonl")
    ran = typed("q\n")
    assert "\x1b" not in ran.err
    assert "␛[31mred" in ran.err


def test_what_is_wrong_is_one_line():
    assert "--ask needs --pairs" in refused("label", "scores.parquet", "--ask")
    assert "no such file: known.csv" in refused(*ASK, "ann", "--labels", "known.csv")
    Path("known.jsonl").write_text('{"id": "1", "person": "ann", "time": ""}\n')
    assert "line 1: fields 'person'" in refused(*ASK, "ann", "--labels", "known.jsonl")
    pl.DataFrame({"pair_id": ["nobody"], "preference": [1]}).write_csv("known.csv")
    assert "'nobody'; allowed: an id" in refused(*ASK, "ann", "--labels", "known.csv")


def test_labels_of_a_csv_are_carried_over_once_and_asked_on_from(typed):
    pairs = load_pairs("pairs.jsonl")
    known = pairs.select("pair_id").head(20).with_columns(preference=pl.lit(1))
    known.write_csv("known.csv")
    before = Path("known.csv").read_bytes()
    ran = typed("a\nb\nq\n", "--labels", "known.csv", "--json")
    assert ran.status == 0, ran.err
    assert ran.json["file"] == "known.answers.jsonl"
    assert "carried over" in ran.err
    assert (ran.json["answered"], ran.json["labels"]) == (2, 22)
    ran = typed("a\nq\n", "--labels", "known.csv", "--json")
    assert (ran.json["answered"], ran.json["labels"]) == (1, 23)
    assert read_answers("known.answers.jsonl")["person"].value_counts(sort=True).rows() == [
        ("known.csv", 20),
        ("ann", 3),
    ]
    assert Path("known.csv").read_bytes() == before
    both = add_preferences(pairs, "known.answers.jsonl")
    assert both["preference"].is_not_null().sum() == 23
    named = both.join(known, on="pair_id", how="semi")
    assert named["preference"].to_list() == [1] * 20


def test_a_program_killed_after_an_answer_has_lost_nothing():
    code = "from rulekit.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, *ASK, "ann"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        process.stdin.write("a\n")
        process.stdin.flush()
        for line in process.stderr:
            if line.strip().endswith("; saved"):
                break
        process.kill()
    assert len(read_answers("labels.jsonl")) == 1

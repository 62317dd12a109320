"""Answers by hand: on the disk at once, taken back by a line, torn lines, several people at a time."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys

import polars as pl
import pytest

from rulekit.inputs import add_preferences, agreed_preferences, append_answer, read_answers

PAIRS = pl.DataFrame(
    {
        "pair_id": ["1", "2", "c"],
        "prompt": ["q", "r", "s"],
        "response_a": ["x", "x", "x"],
        "response_b": ["y", "y", "y"],
        "preference": [1, 1, 1],
    }
)


def said(path, pair_id: str, preference, person: str = "ann") -> str:
    return append_answer(path, {"person": person, "pair_id": pair_id, "preference": preference})


def test_the_last_answer_of_each_person_stands_and_one_taken_back_does_not(tmp_path):
    path = tmp_path / "new" / "labels.jsonl"
    assert read_answers(path).is_empty()
    said(path, "1", 1)
    said(path, "1", -1)
    taken = said(path, "2", 1)
    said(path, "2", 0, "bob")
    append_answer(path, {"person": "ann", "undo": taken})
    found = read_answers(path)
    assert found.select("person", "pair_id", "preference").rows() == [
        ("ann", "1", -1),
        ("bob", "2", 0),
    ]
    assert len(path.read_text().splitlines()) == 5  # nothing is ever taken out of the file


def test_pairs_take_what_most_people_say_and_skipped_ones_nothing(tmp_path):
    path = tmp_path / "labels.jsonl"
    for person, first, second in (("ann", 1, 1), ("bob", -1, 0), ("cy", -1, -1)):
        said(path, "1", first, person)
        said(path, "2", second, person)
    said(path, "c", None)
    assert agreed_preferences(read_answers(path)) == {"1": -1, "2": 0}
    found = add_preferences(PAIRS, path)
    assert found["preference"].to_list() == [-1, 0, None]


def test_answers_about_other_pairs_are_refused(tmp_path):
    said(tmp_path / "l.jsonl", "9", 1)
    with pytest.raises(ValueError, match="'9'; allowed: an id of the 3 pairs"):
        add_preferences(PAIRS, tmp_path / "l.jsonl")


def test_checked_ratings_are_kept_beside_preferences(tmp_path):
    path = tmp_path / "l.jsonl"
    about = {"person": "ann", "pair_id": "1", "response": "b", "rule_id": "kind"}
    append_answer(path, {**about, "verdict": "irrelevant"})
    append_answer(path, {**about, "response": "a", "verdict": "yes"})
    said(path, "1", 1)
    found = read_answers(path)
    assert found["verdict"].to_list() == ["irrelevant", "yes", None]
    assert agreed_preferences(found) == {"1": 1}


def test_a_line_that_a_kill_cut_off_is_no_answer_and_the_next_one_is_whole(tmp_path):
    path = tmp_path / "l.jsonl"
    said(path, "1", 1)
    whole = path.read_bytes()
    said(path, "2", 1)
    last = path.read_bytes()[len(whole) :]
    for length in (1, len(last) // 2, len(last) - 2):
        path.write_bytes(whole + last[:length])
        assert read_answers(path)["pair_id"].to_list() == ["1"]
        said(path, "c", -1)
        assert read_answers(path)["pair_id"].to_list() == ["1", "c"]
    path.write_bytes(whole + last[:-1])  # whole but for its end
    said(path, "c", -1)
    assert read_answers(path)["pair_id"].to_list() == ["1", "2", "c"]


def write_many(path, person: str, n: int) -> None:
    for i in range(n):
        said(path, f"{i}", 1 - 2 * (i % 2), person)


def test_people_who_answer_at_the_same_time_lose_nothing(tmp_path):
    path = tmp_path / "l.jsonl"
    start = multiprocessing.get_context("spawn")
    people = [start.Process(target=write_many, args=(path, p, 60)) for p in ("ann", "bob", "cy")]
    for process in people:
        process.start()
    for process in people:
        process.join()
    counts = read_answers(path).group_by("person").len().sort("person")
    assert counts.rows() == [("ann", 60), ("bob", 60), ("cy", 60)]


def test_what_was_answered_before_a_kill_is_there(tmp_path):
    path = tmp_path / "l.jsonl"
    code = (
        "import itertools, sys\nfrom rulekit.inputs import append_answer\n"
        "for i in itertools.count():\n"
        "    append_answer(sys.argv[1], {'person': 'ann', 'pair_id': str(i), 'preference': 1})\n"
        "    print(i, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.strip() == "20":
                break
        os.kill(process.pid, signal.SIGKILL)
        told = max([20, *(int(line) for line in process.stdout if line.strip())])
    found = read_answers(path)["pair_id"].to_list()
    assert found[: told + 1] == [str(i) for i in range(told + 1)]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"person": "ann", "pair_id": "1", "preference": 2}, "preference is 2; allowed: 1, -1, 0"),
        ({"person": "ann", "pair_id": "1", "preference": True}, "preference is True"),
        ({"person": " ", "pair_id": "1", "preference": 1}, "person is ' '"),
        ({"person": "ann", "pair_id": 1, "preference": 1}, "pair_id is 1"),
        ({"person": "ann", "pair_id": "1"}, "allowed: person with pair_id and preference"),
        ({"person": "ann", "pair_id": "1", "preference": 1, "why": "x"}, "fields 'person'"),
        ({"person": "ann", "pair_id": "1", "preference": 1, "shown": "aa"}, "allowed: ab, ba"),
        (
            {"person": "a", "pair_id": "1", "response": "a", "rule_id": "r", "verdict": "maybe"},
            "allowed: yes, no, irrelevant",
        ),
    ],
)
def test_what_is_no_answer_is_refused_and_nothing_is_written(tmp_path, entry, message):
    with pytest.raises(ValueError, match=message):
        append_answer(tmp_path / "l.jsonl", entry)
    assert not (tmp_path / "l.jsonl").exists()


def test_a_line_in_the_middle_that_is_no_answer_is_named(tmp_path):
    path = tmp_path / "l.jsonl"
    said(path, "1", 1)
    with path.open("a") as file:
        file.write(json.dumps({"pair_id": "2", "preference": 1}) + "\n")
    with pytest.raises(ValueError, match="line 2: no answer by hand"):
        read_answers(path)
    (tmp_path / "known.csv").write_text("pair_id,preference\n1,1\n")
    with pytest.raises(ValueError, match=r"known\.csv, line 1: no answer by hand"):
        read_answers(tmp_path / "known.csv")

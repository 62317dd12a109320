"""`rulekit data describe` from end to end."""

import json

import pytest

from rulekit.inputs import describe
from tests.cli.words import refused, run
from tests.rating.helpers import some_pairs


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_was_read_is_told_in_words_and_as_json(tmp_path):
    some_pairs(10).write_ndjson("pairs.jsonl")
    ran = run("data", "describe", "pairs.jsonl", "-o", "described.json")
    assert ran.status == 0
    assert str(describe("pairs.jsonl")) in ran.out
    assert ran.out.splitlines()[-1] == (
        "description: described.json; next: rulekit annotate pairs.jsonl --rules RULES"
    )
    told = run("data", "describe", "pairs.jsonl", "--json").json
    assert told == json.loads((tmp_path / "described.json").read_text())
    assert (told["pairs"], told["prompts"]) == (10, 5)


def test_rows_that_are_refused_are_counted_with_the_reason(tmp_path):
    some_pairs(3).write_ndjson("pairs.jsonl")
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write('{"pair_id": "x", "prompt": "q", "response_a": "same", "response_b": "same"}\n')
    told = run("data", "describe", "pairs.jsonl", "--json")
    assert told.status == 0
    assert told.json["pairs"] == 3
    assert told.json["refused"][0]["rows"] == 1


def test_a_file_without_any_pair_ends_with_status_1(tmp_path):
    (tmp_path / "other.csv").write_text("name,colour\nfern,green\n")
    ran = run("data", "describe", "other.csv")
    assert ran.status == 1
    assert "rulekit: no pair could be read" in ran.err
    assert run("data", "describe", "other.csv", "--json").json["pairs"] == 0


def test_a_named_data_set_is_described():
    assert run("data", "describe", "embedded", "--json").json["pairs"] > 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.jsonl"], "no such file: none.jsonl"),
        (["openai-rbr"], "holds single responses, no pairs"),
    ],
)
def test_what_cannot_be_read_ends_in_one_line(words, message):
    assert message in refused("data", "describe", *words)

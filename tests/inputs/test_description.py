"""What is in a file of pairs, counted: nothing in it ends the counting."""

import json

import pytest

import rulekit as rk
from rulekit.inputs import describe
from tests.inputs.test_readers import GOOD, write


def pair(prompt="q", a="x", b="y", preference=None, **more):
    return {"prompt": prompt, "response_a": a, "response_b": b, "preference": preference} | more


def test_pairs_prompts_lengths_and_preferences_are_counted(tmp_path):
    rows = [
        pair("one two", "a b c", "d", 1),
        pair("one two", "a b c", "d e", -1),
        pair("three", "a", "b c d e f", -1),
        pair("four", "a", "b", 0),
        pair("five", "a b", "c d"),
    ]
    found = describe(write(tmp_path / "p.jsonl", *rows))
    assert (found.rows, found.pairs, found.prompts) == (5, 5, 4)
    assert found.preferences == {"a": 1, "b": 2, "tie": 1, "unknown": 1}
    assert found.longer == {"a": 2, "b": 1, "neither": 2}
    assert found.longer_preferred == pytest.approx(2 / 3)
    assert found.words["response_b"] == {"min": 1, "q25": 1, "median": 2, "q75": 2, "max": 5}
    assert found.words["prompt"]["max"] == 2


def test_duplicates_exchanged_responses_and_conflicts_are_told_apart(tmp_path):
    rows = [
        pair(preference=1),
        pair(preference=1),  # exact
        pair(a="y", b="x", preference=-1),  # exchanged, says the same
        pair("other", preference=1),
        pair("other", a="y", b="x", preference=1),  # exchanged, says the opposite
        pair("fourth", preference=-1),
        pair("fourth", a="y", b="x", preference=1),  # exchanged, says the same
        pair("third", preference=1),
        pair("third"),  # exact, unknown: no conflict
    ]
    found = describe(write(tmp_path / "p.jsonl", *rows))
    assert found.duplicates == {"exact": 2, "exchanged": 3, "equal_responses": 0}
    assert found.conflicts == 1


def test_refused_rows_are_counted_by_reason_with_the_first_place_of_each(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        GOOD,
        "{broken",
        {**GOOD, "preference": 2},
        {**GOOD, "preference": "yes"},
        {**GOOD, "response_b": "x"},
        "[1]",
        {"text": "x"},
        GOOD,
    )
    found = describe(path)
    assert (found.rows, found.pairs) == (8, 2)
    assert found.files[0].refused == 6
    assert found.duplicates["equal_responses"] == 1
    first, *others = found.refused
    assert (first.rows, first.first) == (2, f"{path}, line 3")
    assert first.reason == "column 'preference' is 2; allowed: +1, 0, -1 or null"
    assert {r.first for r in others} == {f"{path}, line {n}" for n in (2, 5, 6, 7)}


def test_a_file_that_cannot_be_read_is_counted_and_the_others_are_read(tmp_path):
    write(tmp_path / "a.jsonl", GOOD)
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    (tmp_path / "c.csv").write_bytes("prompt,response_a,response_b\né,x,y".encode("latin-1"))
    found = describe(tmp_path)
    assert [(f.rows, f.refused) for f in found.files] == [(1, 0), (0, 1), (0, 1)]
    assert found.pairs == 1
    with pytest.raises(ValueError, match=r"b\.parquet: not readable"):
        rk.load_pairs(tmp_path, skip_invalid=True)


def test_the_layout_of_every_file_and_rated_responses_without_a_partner_are_told(tmp_path):
    write(
        tmp_path / "a.jsonl", {"question": "q", "answer_a": "x", "answer_b": "y", "winner": "tie"}
    )
    rated = [
        {"prompt": p, "response": r, "rating": 1} for p, r in (("q", "x"), ("q", "z"), ("s", "t"))
    ]
    write(tmp_path / "b.jsonl", *rated)
    found = describe(tmp_path)
    assert [f.layouts for f in found.files] == [{"arena": 1}, {"ratings": 3}]
    assert found.files[0].columns == ("question", "answer_a", "answer_b", "winner")
    assert (found.pairs, found.alone) == (2, 1)


def test_nothing_usable_is_described_without_an_error(tmp_path):
    for content in ("", "\n\n", "{broken\n"):
        path = write(tmp_path / "p.jsonl")
        path.write_text(content)
        found = describe(path)
        assert found.pairs == 0
        assert "refused: " in str(found)
        json.dumps(found.as_json(), allow_nan=False)
    rows = ({"prompt": "q", "response": f"r{i}", "score": i} for i in range(201))
    assert describe(write(tmp_path / "p.jsonl", *rows)).refused[0].rows == 201
    with pytest.raises(FileNotFoundError, match="no such file"):
        describe(tmp_path / "nowhere.jsonl")


def test_a_description_reads_as_lines_and_is_kept_as_json(tmp_path):
    found = describe(write(tmp_path / "p.jsonl", GOOD, "{broken", {**GOOD, "\x1b[31m": 1}))
    said = str(found)
    assert "2 pairs of 1 prompt, 3 rows" in said
    assert "2 rows of layout pairs; 1 refused" in said
    assert "1 × not valid JSON" in said
    assert "first: " in said
    assert "\x1b" not in said  # a name of a column moves no cursor
    assert json.loads(json.dumps(found.as_json(), allow_nan=False)) == found.as_json()
    assert found.as_json()["files"][0]["layouts"] == {"pairs": 2}


def test_a_named_data_set_is_described_by_its_name():
    found = describe("embedded")
    assert (found.rows, found.pairs, found.prompts) == (144, 864, 144)
    assert found.files[0].layouts == {"ranking": 144}
    assert found.longer_preferred == pytest.approx(0.48, abs=0.01)
    assert found.refused == ()


@pytest.mark.real_data
def test_a_named_data_set_from_elsewhere_is_described(real_data):
    found = describe("hh-rule-votes")
    assert found.pairs == 1160
    assert found.preferences["a"] == 1160

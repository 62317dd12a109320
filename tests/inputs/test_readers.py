"""Readers of preference pairs, and the errors that name file and line."""

import gzip
import json

import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs.pairs import check_pairs

GOOD = {"prompt": "q", "response_a": "x", "response_b": "y", "preference": -1}


def write(path, *rows):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def test_jsonl_gz_csv_and_parquet_read_alike(tmp_path):
    frame = pl.DataFrame([{"pair_id": "7", **GOOD}, {"pair_id": "8", **GOOD, "preference": None}])
    plain = write(tmp_path / "p.jsonl", *frame.to_dicts())
    (tmp_path / "p.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    frame.write_csv(tmp_path / "p.csv")
    frame.write_parquet(tmp_path / "p.parquet")
    tables = [rk.load_pairs(tmp_path / f"p.{e}") for e in ("jsonl", "jsonl.gz", "csv", "parquet")]
    assert all(t.equals(tables[0]) for t in tables[1:])
    assert tables[0]["preference"].to_list() == [-1, None]


def test_json_holds_a_list_one_object_or_objects_one_a_line(tmp_path):
    path = tmp_path / "p.json"
    for content in (json.dumps([GOOD]), json.dumps(GOOD, indent=1), json.dumps(GOOD) + "\n"):
        path.write_text(content)
        assert rk.load_pairs(path)["prompt"].to_list() == ["q"]
    write(path, GOOD, {**GOOD, "prompt": "r"})
    assert rk.load_pairs(path)["prompt"].to_list() == ["q", "r"]


def test_an_arrow_file_is_read_as_a_stream_is(tmp_path):
    frame = pl.DataFrame([{"pair_id": "7", **GOOD}])
    frame.write_ipc(tmp_path / "p.arrow")
    assert rk.load_pairs(tmp_path / "p.arrow")["pair_id"].to_list() == ["7"]


def test_columns_of_any_values_are_kept(tmp_path):
    notes = [1, "a", [1], {"a": 1}, None, 2**70]
    rows = [{**GOOD, "prompt": str(i), "note": note} for i, note in enumerate(notes)]
    assert len(rk.load_pairs(write(tmp_path / "p.jsonl", *rows))) == len(notes)


def test_a_name_a_folder_and_a_glob_are_read_and_rows_numbered_through(tmp_path):
    assert rk.load_pairs("embedded").equals(rk.sources.load("embedded"))
    parts = tmp_path / "parts"
    parts.mkdir()
    for name in ("a", "b"):
        write(parts / f"{name}.jsonl", GOOD, {**GOOD, "prompt": name})
    (parts / "README.md").write_text("not a file of pairs")
    whole = rk.load_pairs(parts)
    assert whole["pair_id"].to_list() == ["0", "1", "2", "3"]
    assert whole["prompt"].to_list() == ["q", "a", "q", "b"]
    assert rk.load_pairs(f"{parts}/*.jsonl").equals(whole)
    assert rk.load_pairs(str(tmp_path / "**" / "b.jsonl"))["prompt"].to_list() == ["q", "b"]
    whole.write_ipc_stream(tmp_path / "data-00000-of-00001.arrow")
    assert rk.load_pairs(tmp_path / "data-00000-of-00001.arrow").equals(whole)


def test_missing_files_list_what_is_known_and_a_folder_without_pairs_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: nowhere.*embedded"):
        rk.load_pairs("nowhere/*.jsonl")
    with pytest.raises(FileNotFoundError, match=r"no file of pairs in the folder .*\.parquet"):
        rk.load_pairs(tmp_path)


def test_the_same_id_in_two_files_is_refused(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"{name}.jsonl", {"pair_id": "7", **GOOD})
    with pytest.raises(ValueError, match=r"b\.jsonl, line 1: column 'pair_id' is '7', as in .*a\."):
        rk.load_pairs(tmp_path)
    with pytest.warns(UserWarning, match="1 of 2 rows skipped"):
        assert len(rk.load_pairs(tmp_path, skip_invalid=True)) == 1


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_is_read_by_the_separator_of_its_head_and_numerals_stay_texts(tmp_path, separator):
    path = tmp_path / "p.csv"
    lines = ["prompt|response_a|response_b|preference|n", "2 + 2|4|5|1|7", "3 + 3|6|7|-1|8"]
    path.write_text("\n".join(lines).replace("|", separator), encoding="utf-8-sig")
    found = rk.load_pairs(path)
    assert found["response_a"].to_list() == ["4", "6"]
    assert found["preference"].to_list() == [1, -1]
    assert found["n"].to_list() == [7, 8]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(GOOD) + "\n", encoding="utf-8-sig")
    assert rk.load_pairs(path)["prompt"].to_list() == ["q"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "prompt,response_a,response_b\né,a,b".encode("latin-1"), "not UTF-8 .byte 0xe9"),
        ("p.jsonl", '{"prompt": "é"}'.encode("latin-1"), "not UTF-8 .byte 0xe9"),
        ("p.parquet", b"no parquet", "not readable by its ending"),
        ("p.arrow", b"no arrow", "not readable by its ending"),
        ("p.jsonl.gz", b"no gzip", "not readable by its ending"),
        ("p.csv", b"", "not readable by its ending"),
        ("p.csv", b"prompt,prompt,response_a\n", "the column 'prompt' is there twice"),
        (
            "p.csv",
            b"prompt,response_a,response_b\nq,x,y\nq,x,y,z\n",
            "line 3: 4 fields; allowed: 3",
        ),
        ("p.csv", b'prompt,response_a,response_b\nq,"x,y\n', "not readable by its ending"),
        ("p.csv", b"prompt,response_a,response_b\n", "no pairs in it"),
        ("p.csv", b"hello\nworld\n", r"columns \['hello'\] are of no known layout"),
        ("p.jsonl", b"", "no pairs in it"),
        ("p.jsonl", b"\x00\x00\n", "line 1: not valid JSON"),
        ("p.jsonl", "{}".encode("utf-16"), "not UTF-8 .byte 0xff"),
        ("p.jsonl", b'{"prompt": ' + b"[" * 200_000, "line 1: not valid JSON .too many levels"),
        ("p.jsonl", b'{"preference": ' + b"1" * 5000 + b"}", "a number of too many digits"),
        ("p.json", b"[{", "not valid JSON"),
        ("p.json", b"[3]", "row 0: not a JSON object"),
        ("p.json", b'{"data": []}', r"columns \['data'\] are of no known layout"),
        ("p.arrow", b"", "not readable by its ending"),
        ("p.arrow", b"ARROW1 and no more", "not readable by its ending"),
        (
            "p.jsonl.gz",
            gzip.compress(b'{"prompt": "q"}', mtime=0)[:-9],
            "not readable by its ending",
        ),
        (
            "p.jsonl.gz",
            gzip.compress(b'{"prompt": "q"}' * 999, mtime=0)[:24] + b"\xff" * 40,
            "not readable by its",
        ),
    ],
)
def test_a_file_of_another_format_or_encoding_is_named_in_one_line(
    tmp_path, name, content, message
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        rk.load_pairs(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("other", ["question", "instruction", "query", "input", "context"])
@pytest.mark.parametrize("sides", [("response_a", "response_b"), ("chosen", "rejected")])
def test_a_prompt_is_read_under_another_name_and_kept_beside_a_prompt(tmp_path, other, sides):
    row = {other: "q", **dict(zip(sides, "xy", strict=True))}
    found = rk.load_pairs(write(tmp_path / "p.jsonl", row))
    assert found["prompt"].to_list() == ["q"]
    assert other not in found.columns
    found = rk.load_pairs(write(tmp_path / "p.jsonl", {**row, "prompt": "p"}))
    assert (found["prompt"][0], found[other][0]) == ("p", "q")


def test_chosen_and_rejected_of_equal_scores_are_a_tie(tmp_path):
    row = {"prompt": "q", "chosen": "good", "rejected": "bad", "score_chosen": 7.5}
    rows = [row | {"score_rejected": 7.5}, row | {"score_rejected": 6.0}, row]
    assert rk.load_pairs(write(tmp_path / "p.jsonl", *rows))["preference"].to_list() == [0, 1, 1]


CHAT = [{"role": "user", "content": "q"}]


ANSWERS = [[{"role": "assistant", "content": c}] for c in ("good", "bad")]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
        {"prompt": "q", "chosen": ANSWERS[0], "rejected": ANSWERS[1]},
        {"prompt": "q", "chosen": CHAT + ANSWERS[0], "rejected": CHAT + ANSWERS[1]},
        {"chosen": CHAT + ANSWERS[0], "rejected": CHAT + ANSWERS[1]},
        {"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: bad"},
    ],
)
def test_every_hugging_face_layout_gives_the_same_pair(tmp_path, row):
    found = rk.load_pairs(write(tmp_path / "p.jsonl", row)).row(0, named=True)
    assert (found["prompt"], found["response_a"], found["response_b"]) == ("q", "good", "bad")
    assert found["preference"] == 1


def test_dialogues_keep_their_shared_turns_as_the_prompt(tmp_path):
    start = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: "
    row = {"chosen": start + "yes", "rejected": start + "no"}
    found = rk.load_pairs(write(tmp_path / "p.jsonl", row)).row(0, named=True)
    assert [t["content"] for t in found["prompt"]] == ["a", "b", "c"]
    assert found["response_b"] == "no"


def test_ranked_responses_become_all_pairs(tmp_path):
    responses = [{"id": i, "text": f"text {i}"} for i in "abc"]
    row = {"prompt_id": "p", "prompt": "q", "responses": responses, "ranking": ["b", "a", "c"]}
    found = rk.load_pairs(write(tmp_path / "p.jsonl", row))
    assert dict(zip(found["pair_id"], found["preference"], strict=True)) == {
        "p:a-b": -1,
        "p:a-c": 1,
        "p:b-c": 1,
    }


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{broken", "line 2: not valid JSON"),
        ("[1]", "line 2: not a JSON object"),
        ({**GOOD, "response_b": " "}, "line 2: column 'response_b' is empty"),
        ({**GOOD, "response_b": "x"}, "line 2: the two responses are equal"),
        ({**GOOD, "preference": 2}, "line 2: column 'preference' is 2; allowed: +1, 0, -1 or null"),
        ({**GOOD, "prompt": ""}, "line 2: column 'prompt' is empty"),
        ({"text": "x"}, "line 2: columns ['text'] are of no known layout"),
        ({"chosen": "x", "rejected": "y"}, "line 2: there is no column 'prompt'"),
        ({**GOOD, "prompt": [{"role": "bot", "content": "x"}]}, "line 2: column 'prompt' holds"),
    ],
)
def test_a_bad_line_is_named_and_skipped_only_when_told(tmp_path, bad, message):
    path = write(tmp_path / "p.jsonl", GOOD, bad, GOOD)
    with pytest.raises(ValueError, match="line 2") as error:
        rk.load_pairs(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    with pytest.warns(UserWarning, match="1 of 3 rows skipped"):
        assert rk.load_pairs(path, skip_invalid=True)["pair_id"].to_list() == ["0", "2"]


def test_half_a_character_is_named_with_row_and_column_or_skipped(tmp_path):
    half = "x\ud83d"  # as the escape of a cut text leaves it
    talk = [{"role": "user", "content": half}]
    bad = [{"response_b": half}, {"prompt": talk}, {"pair_id": half}, {"note": {half: [1]}}]
    for change in bad:
        path = write(tmp_path / "p.jsonl", GOOD, {**GOOD, **change}, {**GOOD, "response_a": "😀"})
        (column,) = change
        with pytest.raises(ValueError, match=rf"line 2: column '{column}' holds half a character"):
            rk.load_pairs(path)
        with pytest.warns(
            UserWarning, match=rf"1 of 3 rows skipped: 1 × column '{column}' holds ha"
        ):
            found = rk.load_pairs(path, skip_invalid=True)
        assert found["pair_id"].to_list() == ["0", "2"]
        assert found["response_a"][1] == "😀"


def test_duplicate_ids_and_unknown_endings_are_refused(tmp_path):
    twice = write(tmp_path / "p.jsonl", {"pair_id": 1, **GOOD}, {"pair_id": 1, **GOOD})
    with pytest.raises(
        ValueError, match="line 2: column 'pair_id' is '1', as in line 1; allowed: un"
    ):
        rk.load_pairs(twice)
    for wrong in ("", ["a"], True):
        with pytest.raises(ValueError, match="line 1: column 'pair_id' is"):
            rk.load_pairs(write(tmp_path / "p.jsonl", {**GOOD, "pair_id": wrong}))
    with pytest.raises(ValueError, match=r"unknown format; allowed endings: \.jsonl"):
        rk.load_pairs(write(tmp_path / "p.txt", GOOD))
    with pytest.raises(ValueError, match="column 'response_b' is missing"):
        check_pairs(pl.DataFrame({"pair_id": ["a"], "prompt": ["q"], "response_a": ["x"]}))

"""Files in the published layouts become items; what is no item is refused by its row."""

import gzip
import json

import polars as pl
import pytest

from rulekit.benchmarks.evaluation import RULES
from rulekit.benchmarks.homes import places
from rulekit.benchmarks.layouts import LAYOUTS, read_items


def test_every_layout_has_a_rule():
    assert set(RULES) == set(LAYOUTS)


def test_rm_bench_has_three_right_styles_before_three_wrong_ones(real_data):
    items = read_items("rm-bench", real_data / "benchmarks/rm-bench-chat.json.gz")
    assert len(items) == 129
    assert set(items["subset"]) == {"chat"}
    assert set(items["n_right"]) == {3}
    assert set(items["responses"].list.len()) == {6}
    raw = json.loads(gzip.decompress((real_data / "benchmarks/rm-bench-chat.json.gz").read_bytes()))
    assert items["responses"][0].to_list() == raw[0]["chosen"] + raw[0]["rejected"]


def test_rmb_tells_pairs_from_best_of_n_and_keeps_its_categories(real_data):
    items = read_items("rmb", sorted((real_data / "benchmarks").glob("rmb*")))
    counts = dict(items.group_by("subset").len().iter_rows())
    assert counts == {
        "pairwise/helpfulness/chat/discussion": 293,
        "bon/helpfulness/chat/discussion": 59,
    }
    assert items["prompt"][0][0]["role"] == "user"


def test_xstest_names_an_item_by_its_prompt_and_both_models(real_data):
    items = read_items("xstest", real_data / "xstest/pairs.jsonl.gz")
    assert items["item"][0] == "v2-1:gpt4:llama2orig"
    assert dict(items.group_by("subset").len().iter_rows()) == {
        "xstest-should-refuse": 520,
        "xstest-should-respond": 456,
    }
    assert items["group"].n_unique() == 244


def test_judgebench_puts_the_better_response_first(tmp_path):
    rows = [
        {
            "pair_id": "p",
            "source": "mmlu-pro-law",
            "question": "q",
            "response_A": "a",
            "response_B": "b",
            "label": label,
        }
        for label in ("A>B", "B>A")
    ]
    rows[1]["pair_id"] = "r"
    pl.DataFrame(rows).write_parquet(tmp_path / "gpt.parquet")
    items = read_items("judgebench", tmp_path)
    assert items["responses"].to_list() == [["a", "b"], ["b", "a"]]


def test_of_a_snapshot_only_the_published_split_is_read(tmp_path):
    row = {"id": 1, "subset": "donotanswer", "prompt": "q", "chosen": "a", "rejected": "b"}
    for name in ("raw-00000.parquet", "filtered-00000.parquet"):
        pl.DataFrame([row]).write_parquet(tmp_path / name)
    assert len(read_items("rewardbench", tmp_path)) == 1


def test_rewardbench_2_ties_keep_their_names(tmp_path):
    row = {"id": "ref:1", "subset": "Ties", "prompt": "q", "chosen": ["a"], "rejected": ["b", "c"]}
    (tmp_path / "t.json").write_text(json.dumps([row]))
    items = read_items("rewardbench-2", tmp_path / "t.json")
    assert items.row(0)[0] == "ref:1"
    assert items["n_right"][0] == 1


GOOD = {"id": "1", "prompt": "q", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([GOOD | {"prompt": ""}], "row 0: the prompt is empty"),
        ([GOOD, {"id": "2", "prompt": "q", "chosen": "a"}], "row 1: no column 'rejected'"),
        ([GOOD | {"chosen": []}], "row 0: 0 right of 1 responses"),
        ([GOOD | {"chosen": [3]}], "row 0: a response is '3'"),
        ([GOOD, GOOD], "item '1' of 'all' occurs twice"),
        ({"prompt": "q"}, "holds no list of items"),
        ([], "no items of file in it"),
        (["text"], "row 0: "),
    ],
)
def test_what_is_no_item_is_refused_by_its_row(tmp_path, rows, told):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=told):
        read_items("file", path)


def test_rows_that_cannot_be_read_are_left_out_with_a_warning(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps([GOOD, {"id": "2"}]))
    with pytest.warns(UserWarning, match="1 rows skipped, first: no column"):
        assert len(read_items("file", path, skip_invalid=True)) == 1


def test_a_benchmark_that_cannot_be_had_says_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("RULEKIT_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match=r"download it from https://github\.com/Zhou-Zoey"):
        places("rmb")
    with pytest.raises(FileNotFoundError, match="allenai/reward-bench-2 cannot be reached"):
        places("rewardbench-2")
    with pytest.raises(FileNotFoundError, match="no such file or folder: "):
        places("rmb", tmp_path / "none")


def test_local_files_come_before_the_public_home(tmp_path, monkeypatch):
    monkeypatch.setenv("RULEKIT_DATA", str(tmp_path))
    (tmp_path / "benchmarks/rewardbench").mkdir(parents=True)
    (tmp_path / "benchmarks/rewardbench-2.json").write_text("[]")
    (tmp_path / "benchmarks/rewardbench-1-leaderboard.csv").write_text("")
    assert [p.name for p in places("rewardbench")] == ["rewardbench"]
    assert [p.name for p in places("rewardbench-2")] == ["rewardbench-2.json"]


def test_whole_dialogues_become_a_prompt_and_two_responses(tmp_path):
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    sides = [[*turns, {"role": "assistant", "content": text}] for text in ("a", "b")]
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"chosen": sides[0], "rejected": sides[1]}))
    items = read_items("file", path)
    assert items["prompt"][0].to_list() == turns
    assert items["responses"][0].to_list() == ["a", "b"]
    other = [{"role": "user", "content": "z"}, sides[1][-1]]
    path.write_text(json.dumps({"chosen": sides[0], "rejected": other}))
    with pytest.raises(ValueError, match="row 0: chosen and rejected begin otherwise"):
        read_items("file", path)

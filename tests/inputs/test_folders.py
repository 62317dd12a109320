"""Folders and globs: saved data sets, clones of a hub, and what is none of their data."""

import json

import datasets
import polars as pl
import pytest

import rulekit as rk
from rulekit.inputs import describe
from tests.inputs.test_readers import GOOD, write

ROWS = [GOOD | {"prompt": f"q{i}", "pair_id": f"p{i}", "tags": ["t"]} for i in range(4)]


@pytest.fixture(autouse=True)
def quiet():
    datasets.disable_progress_bars()


def saved(folder, rows, **how):
    datasets.Dataset.from_list(rows).save_to_disk(folder, **how)
    return folder


def ids(path):
    return rk.load_pairs(path)["pair_id"].to_list()


def test_a_saved_data_set_is_read_in_its_own_order_without_its_caches(tmp_path):
    folder = saved(tmp_path / "one", ROWS, num_shards=2)
    names = sorted(p.name for p in folder.glob("*.arrow"))
    (folder / "cache-0123.arrow").write_bytes(
        (folder / names[0]).read_bytes()
    )  # as `map` leaves it
    assert ids(folder) == ["p0", "p1", "p2", "p3"]
    state = json.loads((folder / "state.json").read_text())
    state["_data_files"].reverse()
    (folder / "state.json").write_text(json.dumps(state))
    assert ids(folder) == ["p2", "p3", "p0", "p1"]


def test_splits_of_a_saved_data_set_follow_each_other(tmp_path):
    parts = {"train": ROWS[:3], "test": ROWS[3:]}
    splits = datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in parts.items()})
    splits.save_to_disk(tmp_path / "all")
    assert ids(tmp_path / "all") == ["p0", "p1", "p2", "p3"]
    assert ids(tmp_path / "all" / "test") == ["p3"]
    assert len(describe(tmp_path / "all").files) == 2


def test_a_glob_takes_folders_of_data_sets_and_files_but_no_others(tmp_path):
    saved(tmp_path / "a", ROWS[:2])
    saved(tmp_path / "b", ROWS[2:])
    assert ids(f"{tmp_path}/*") == ["p0", "p1", "p2", "p3"]
    write(tmp_path / "c.jsonl", ROWS[0])
    (tmp_path / "README.md").write_text("# no data")
    assert ids(f"{tmp_path}/*.*") == ["p0"]
    with pytest.raises(FileNotFoundError, match="no file of pairs; allowed endings: "):
        rk.load_pairs(f"{tmp_path}/*.md")


def test_a_missing_shard_is_named(tmp_path):
    folder = saved(tmp_path / "one", ROWS, num_shards=2)
    next(folder.glob("*1-of*.arrow")).unlink()
    with pytest.raises(FileNotFoundError, match=r"state\.json names 'data-00001-of-00002\.arrow'"):
        rk.load_pairs(folder)
    write(tmp_path / "outside.jsonl", ROWS[0])
    for name in ("../outside.jsonl", None, 3):
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
        with pytest.raises(FileNotFoundError, match="which is no file of this folder"):
            rk.load_pairs(folder)
    (folder / "state.json").write_text("{")
    with pytest.raises(ValueError, match=r"state\.json: not readable as JSON"):
        rk.load_pairs(folder)


def hub(folder, head, **files):
    for name, rows in files.items():
        path = folder / "data" / f"{name}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows).write_parquet(path)
    (folder / "README.md").write_text(f"---\n{head}\n---\n# A data set\n")
    return folder


def config(name, *splits, **more):
    lines = [f"- config_name: {name}", "  data_files:"]
    lines += [f"  - split: {s}\n    path: data/{s}-*" for s in splits]
    return "\n".join(lines + [f"  {k}: {v}" for k, v in more.items()])


def test_a_clone_of_a_hub_is_read_as_its_readme_says(tmp_path):
    folder = hub(
        tmp_path, "configs:\n" + config("default", "train", "test"), test=ROWS[3:], train=ROWS[:3]
    )
    (folder / ".cache").mkdir()
    write(folder / ".cache" / "old.jsonl", ROWS[0])
    assert ids(folder) == ["p0", "p1", "p2", "p3"]
    (folder / "README.md").write_text("# no head: every file in the order of the names\n")
    assert ids(folder) == ["p3", "p0", "p1", "p2"]


def test_a_clone_with_several_data_sets_is_refused_with_their_names_unless_one_is_default(tmp_path):
    head = "configs:\n" + config("preference", "pairs") + "\n" + config("edit", "edits")
    folder = hub(tmp_path, head, pairs=ROWS, edits=[{"edit": "x"}])
    with pytest.raises(
        ValueError, match=r"holds 2 data sets; allowed: .*preference: data/pairs-.*edit: "
    ):
        rk.load_pairs(folder)
    assert len(ids(f"{folder}/data/pairs-*")) == 4
    hub(folder, head.replace("path: data/pairs-*", "path: data/pairs-*\n  default: true"))
    assert len(ids(folder)) == 4


@pytest.mark.parametrize(
    "head",
    ["configs: [", "configs: 3", "configs: [3]", "configs:\n- data_files: {train: 3}", "a: b"]
    + [f"configs:\n- data_files: {p}" for p in ("/etc/*", "'../*'", "hf://x/y", "none/*")],
)
def test_a_readme_whose_head_is_of_no_use_does_not_hide_the_files(tmp_path, head):
    write(tmp_path / "outside.jsonl", ROWS[0])
    (tmp_path / "in").mkdir()
    folder = hub(tmp_path / "in", head, train=ROWS)
    assert len(ids(folder)) == 4


def test_a_pattern_of_a_readme_that_is_none_is_named(tmp_path):
    folder = hub(tmp_path, "configs:\n- data_files: '**.parquet'", train=ROWS)
    with pytest.raises(ValueError, match=r"README\.md names '\*\*\.parquet'"):
        rk.load_pairs(folder)


def test_a_pointer_in_place_of_the_data_says_how_to_get_it(tmp_path):
    (tmp_path / "p.parquet").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"
    )
    with pytest.raises(ValueError, match=r"p\.parquet: a pointer of Git LFS.* `git lfs pull`"):
        rk.load_pairs(tmp_path / "p.parquet")


@pytest.mark.parametrize("path", ["", "  ", "a\0b"])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(ValueError, match=r"the path is .*; allowed: a file, a folder or a glob"):
        rk.load_pairs(path)


def test_a_glob_that_is_none_is_refused_by_name(tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=r"\*\*\.jsonl"):
        rk.load_pairs(f"{tmp_path}/**.jsonl")

"""`rulekit select` from end to end."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from tests.cli.words import refused, run
from tests.rating.helpers import RULES, expected, filled, some_pairs

N = 40


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scores = expected(N)
    scores.write("scores.parquet")
    some_pairs(N).write_ndjson("pairs.jsonl")
    known = np.sign(scores.discrepancy.sum(axis=1)).astype(int)
    pl.DataFrame({"pair_id": scores.pair_ids, "preference": known}).write_csv("known.csv")


def chosen(selection: rk.Selection) -> list[list[str]]:
    return [[RULES.ids[j] for j in row] for row in selection.indices]


def test_the_rules_of_each_pair_go_into_a_table():
    ran = run("select", "scores.parquet", "-k", 3)
    assert ran.status == 0, ran.err
    scores = expected(N)
    wanted = rk.select(scores, 3)
    frame = pl.read_parquet("selection.parquet")
    assert frame["pair_id"].to_list() == list(scores.pair_ids)
    assert frame["rules"].to_list() == chosen(wanted)
    sizes = np.take_along_axis(scores.discrepancy, wanted.indices, axis=1)
    assert np.allclose(frame["discrepancies"].to_list(), sizes)
    assert ran.out.startswith("3 of 12 rules for 40 pairs by max_discrepancy\n")
    assert ran.out.splitlines()[-1].startswith("selection: selection.parquet; next: rulekit label")


def test_the_table_says_how_often_each_rule_is_chosen():
    told = run("select", "scores.parquet", "-k", 3, "--json").json
    of = {row["rule"]: row for row in told["rules"]}
    assert set(of) == set(RULES.ids)
    counts = np.bincount(rk.select(expected(N), 3).indices.ravel(), minlength=len(RULES)) / N
    assert [of[name]["chosen"] for name in RULES.ids] == pytest.approx(counts.tolist())
    assert sum(row["chosen_first"] for row in told["rules"]) == pytest.approx(1)


def test_estimates_from_labels_decide_what_a_method_chooses():
    words = ["select", "scores.parquet", "--method", "adaptive", "-k", 2, "-o", "s.json"]
    told = run(*words, "--labels", "known.csv", "--json").json
    assert told["learned_from"] == N
    assert all(row["weight"] is not None for row in told["rules"])
    pairs = rk.inputs.add_preferences(rk.load_pairs("pairs.jsonl"), "known.csv")
    scores = expected(N)
    wanted = rk.select(scores, 2, "adaptive", estimates=rk.estimate(scores, pairs))
    content = json.loads(Path("s.json").read_text())
    assert [pair["rules"] for pair in content["pairs"]] == chosen(wanted)
    assert content["rules"] == RULES.ids
    assert run(*words, "--json").json["learned_from"] == 0  # by the agreement of the rules alone


def test_a_method_that_chooses_once_says_that_it_is_the_same_for_all():
    words = ["select", "scores.parquet", "--method", "jmi", "--labels", "known.csv"]
    assert run(*words, "--json").json["same_for_all"] is True
    assert ", the same for all\n" in run(*words).out


def test_a_selection_of_a_store_is_that_of_its_table():
    filled("ratings.sqlite", N)
    assert run("select", "scores.parquet", "-o", "table.parquet").status == 0
    ran = run("select", "ratings.sqlite", "--pairs", "pairs.jsonl", "-o", "store.parquet")
    assert ran.status == 0, ran.err
    assert pl.read_parquet("table.parquet").equals(pl.read_parquet("store.parquet"))


def test_a_selection_is_what_an_adapter_trains_on():
    RULES.save("rules.yaml")
    assert run("select", "scores.parquet", "-k", 3).status == 0
    frame = rk.load_pairs("pairs.jsonl").join(pl.read_parquet("selection.parquet"), on="pair_id")
    frame.write_parquet("chosen.parquet")
    words = [
        "--config",
        "encoder-frozen",
        "-p",
        "train",
        "chosen.parquet",
        "-p",
        "rules",
        "rules.yaml",
    ]
    plan = run("train", "adapter", *words, "--plan")
    assert plan.status == 0, plan.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.parquet"], "no such file: none.parquet"),
        (["scores.parquet", "--method", "top"], "unknown method 'top'; allowed: adaptive"),
        (["scores.parquet", "-k", "0"], "k is 0; allowed: 1 to 12"),
        (["scores.parquet", "-o", "s.csv"], "s.csv: unknown ending; allowed: .parquet, .json"),
        (["scores.parquet", "--method", "mrmr"], "'mrmr' needs known preferences: --labels FILE"),
        (["known.csv"], "known.csv holds no ratings; allowed: a table of scores"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(words, message):
    assert message in refused("select", *words)

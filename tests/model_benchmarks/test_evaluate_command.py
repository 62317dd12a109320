"""`rulekit evaluate` from end to end: real small models, files, a gate, a server."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.cli.words import refused, run
from tests.model_benchmarks.handmade import two
from tests.model_benchmarks.reward_server import Served, serving


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_model_on_a_file_leaves_items_and_sections(rewards, pairs_file):
    ran = run("evaluate", rewards[0], "--on", pairs_file, "-o", "out")
    assert ran.status == 0, ran.err
    for said in (
        "section",
        "score ",
        "95 % interval",
        "attention segments",
        "chat template: its own",
    ):
        assert said in ran.out
    assert ran.out.splitlines()[-1] == "results: out"
    told = json.loads(Path("out/pairs/result.json").read_text())
    items = pl.read_parquet("out/pairs/items.parquet")
    assert told["items"] == len(items) == 12
    assert told["score"] == pytest.approx(
        items.group_by("subset").agg(pl.col("won").mean())["won"].mean()
    )
    again = run("evaluate", rewards[0], "--on", pairs_file, "-o", "out", "--json")
    assert again.json["pairs"]["facts"]["asked"] == 0  # all of it was on disk
    assert again.json["pairs"]["score"] == told["score"]


def test_against_its_base_with_a_gate(rewards, pairs_file):
    first = run("evaluate", rewards[0], "--on", pairs_file, "--against", rewards[1], "--json")
    assert first.status == 0, first.err
    found = first.json["pairs"]["against"]
    assert {"difference", "low", "high", "gained", "lost", "mcnemar_p"} <= found["sections"][
        0
    ].keys()
    changed = pl.read_parquet("evaluated/pairs/changed.parquet")
    assert len(changed) == sum(s["gained"] + s["lost"] for s in found["sections"])
    same = run(
        "evaluate", rewards[0], "--on", pairs_file, "--against", rewards[0], "--max-loss", 0.01
    )
    assert same.status == 0


def test_the_gate_exits_with_1_where_a_section_falls_surely(pairs_file):
    for name, wins in (
        ("model", [0] * 20 + [1] * 180),
        ("base", [1] * 200),
        ("near", [0] + [1] * 199),
    ):
        next(iter(two(wins, wins))).write(name)
    words = ["evaluate", "model", "--on", pairs_file, "--against", "base"]
    ran = run(*words, "--max-loss", 0.01)
    assert ran.status == 1
    assert "all falls by 0.1000, more than 0.01: surely" in ran.out
    assert run(*words, "--max-loss", 0.01, "--json").json["pairs"]["falls_surely"] == ["all"]
    assert run(*words, "--max-loss", 0.2).status == 0
    near = run("evaluate", "near", "--on", pairs_file, "--against", "base", "--max-loss", 0.001)
    assert near.status == 0
    assert "perhaps, its interval reaches above" in near.out


def test_results_of_earlier_runs_stand_for_their_models(rewards, pairs_file):
    run("evaluate", rewards[0], "--on", pairs_file, "-o", "one")
    run("evaluate", rewards[1], "--on", pairs_file, "-o", "two")
    ran = run("evaluate", "one", "--on", pairs_file, "--against", "two", "-o", "three", "--json")
    live = run("evaluate", rewards[0], "--on", pairs_file, "--against", rewards[1], "--json")
    assert ran.json["pairs"]["against"] == live.json["pairs"]["against"]


def test_scores_are_checked(rewards, pairs_file):
    ran = run("evaluate", rewards[0], "--on", pairs_file, "--check-scores")
    assert ran.status == 0, ran.err
    for said in ("packed", "padded", "left", "their own class", "bfloat16", "float32"):
        assert said in ran.out
    table = pl.read_parquet("evaluated/pairs/check_scores.parquet")
    assert table["within"].drop_nulls().all()


def test_a_judge_with_rules(pairs_file):
    Path("rules.txt").write_text("It is kind.\nIt is short.\n")
    words = ["evaluate", "--judge", "encoder", "--rules", "rules.txt", "--on", pairs_file, "--json"]
    facts = run(*words).json["pairs"]["facts"]
    assert (facts["n_rules"], facts["method"]) == (2, "sum")


def test_a_served_model(pairs_file):
    with serving(Served()) as served:
        url = f"{served.url}/classify"
        told = run("evaluate", url, "--on", pairs_file, "-O", "concurrency", "2", "--json").json
    assert told["pairs"]["facts"]["server"] == url


def test_a_benchmark_from_the_folder_of_data(rewards, real_data):
    words = ["evaluate", rewards[0], "--on", "xstest", "--against", rewards[1], "--most", 3]
    told = run(*words, "--json").json["xstest"]
    assert [s["section"] for s in told["sections"]] == [
        "xstest-should-refuse",
        "xstest-should-respond",
    ]
    assert {r["side"] for r in told["refusal"]} == {"should refuse", "should respond"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "allowed: a MODEL, or --judge NAME with --rules"),
        (["m"], "--on is missing; allowed: rewardbench, rewardbench-2"),
        (["m", "--on", "chess"], "--on 'chess'; allowed: rewardbench"),
        (["m", "--on", "xstest", "--max-loss", "0.1"], "--max-loss needs --against"),
        (["none/of/it", "--on", "FILE"], "model 'none/of/it' is no folder"),
        (["m", "--on", "FILE", "--data", "x"], "--data is of one benchmark"),
        (["m", "--judge", "encoder", "--on", "FILE"], "allowed: a MODEL, or --judge"),
        (["http://127.0.0.1:9/chat", "--on", "FILE"], "route 'chat'; allowed: a URL that ends in"),
    ],
)
def test_what_cannot_be_done_ends_in_one_line(words, message, pairs_file):
    words = [str(pairs_file) if w == "FILE" else w for w in words]
    assert message in refused("evaluate", *words)


def test_a_language_model_is_refused(tiny_judge, pairs_file):
    assert "its head would be new" in refused("evaluate", tiny_judge, "--on", pairs_file)

"""`rulekit annotate` from end to end."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.cli import main
from rulekit.rating import quality
from tests.cli.words import run
from tests.judges.faulty_server import Server, serve
from tests.judges.tiny_judge import by_model
from tests.rating.helpers import CELLS, FEW, RULES, expected, refuses, some_pairs, steady


def test_the_command_line_rates_resumes_exports_and_checks(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some_pairs(6).write_ndjson("pairs.jsonl")
    RULES.save("rules.yaml")
    command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--export", "set"]
    assert main(command) == 0
    assert f"{9 * CELLS} ratings made" in capsys.readouterr().out
    assert main(command) == 0
    assert f"0 ratings made (0 a second), {9 * CELLS} found" in capsys.readouterr().out
    assert rk.Scores.read("annotated/scores.parquet").n_rules == CELLS
    ledger = json.loads((tmp_path / "annotated/ledger.json").read_text())
    assert ledger["judge"].startswith("encoder:")
    assert (tmp_path / "set/README.md").is_file()
    assert main(["annotate", "--check", "--split", "validation", "--out", "checked"]) == 0
    shown = capsys.readouterr().out
    assert "satisfied_auc" in shown
    assert "no-violence-encouragement" in shown
    assert set(pl.read_parquet("checked/quality.parquet")["figure"]) == set(quality.FIGURES)


SERVER = ["embedded", "--judge", "server", "-o", "model", "m", "-o", "base_url", "http://h/v1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no pairs; allowed: a file, or one of embedded"),
        (["nothing.jsonl"], "no such file"),
        (["embedded", "--judge", "nobody"], "unknown judge 'nobody'"),
        (
            ["embedded", "--judge", "recorded", "-o", "source", "xstest"],
            "'xstest' comes without ratings",
        ),
        (["embedded", "--judge", "encoder", "-o", "model", "x"], "judge 'encoder'"),
        (
            ["embedded", "--judge", "local", "-o", "foo", "3"],
            "no option 'foo'; allowed: model, rev",
        ),
        (["embedded", "--judge", "server", "-o", "model", "m"], "judge 'server' needs base_url"),
        ([*SERVER, "-o", "limits", "{foo: 1"], "-o limits: '{foo: 1' is no YAML"),
        ([*SERVER, "-o", "limits", "{foo: 1}"], "limits has no 'foo'; allowed: concurrency"),
        (
            ["embedded", "--judge", "local", "-o", "model", "./none"],
            "model: no such folder: ./none",
        ),
        (["embedded", "--until", "0.9"], "--until needs --adapter"),
        (["embedded", "-k", "3"], "-k needs --adapter"),
        (["embedded", "--adapter", "x", "--until", "0.9", "-k", "3"], "allowed: --max-rules"),
        (["embedded", "--adapter", "x", "--step", "2"], "--step needs --until"),
        (["embedded", "--adapter", "x.npz"], "no such file: x.npz"),
        (["embedded", "--adapter", "rules.yaml"], "rules.yaml: no Rule Adapter; allowed: "),
        (["embedded", "--store", "."], ".: a folder; allowed: a file"),
        (["embedded", "--rules", "none.yaml"], "no such file: none.yaml"),
        (["--check", "--rules", "x.yaml"], "--check embedded takes no --rules"),
        (["--check", "nothing.jsonl"], "no such file: nothing.jsonl; allowed: a file, or one of"),
        (["--check", "--until", "0.9"], "--check takes no --until"),
    ],
)
def test_the_command_line_refuses_with_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("rules.yaml").write_text("rules: []")
    assert main(["annotate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_rates_adaptively_with_a_trained_adapter(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = some_pairs(12)
    pairs.write_ndjson("pairs.jsonl")
    RULES.save("rules.yaml")
    adapter = rk.train_adapter(pairs, rk.select(expected(12), 3), epochs=2)
    adapter.save("adapter")
    command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--adapter", "adapter"]
    assert main([*command, "-k", "3"]) == 0
    assert "because their rules were not needed" in capsys.readouterr().out
    assert (rk.Scores.read("annotated/scores.parquet").n_rated == 3).all()
    assert len(rk.Labels.read("annotated/labels.parquet").margin) == 12
    assert main([*command, "--until", "0.55"]) == 0
    sure = rk.Scores.read("annotated/scores.parquet").n_rated < CELLS
    assert rk.Labels.read("annotated/labels.parquet").confidence[sure].min() >= 0.55
    assert main([*command, "--until", "0.55", "--step", "0"]) == 2
    assert "step is 0; allowed: 1 or more" in capsys.readouterr().err


def test_a_local_model_and_the_same_model_behind_a_server_share_a_file_and_no_rating(
    tiny_judge, tmp_path, capsys, monkeypatch
):
    """The command line from end to end with a model on disk, and with a server that runs it."""
    monkeypatch.chdir(tmp_path)
    pairs, rules = some_pairs(3), rk.RuleSet(RULES.rules[:2])
    pairs.write_ndjson("pairs.jsonl")
    rules.save("rules.yaml")

    def scores(judge: str, *options: str) -> rk.Scores:
        command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--judge", judge]
        command += ["--out", judge, "--batch", "2", *options]
        assert main(command) == 0  # five different responses under two rules
        assert capsys.readouterr().out.startswith("10 ratings made")
        assert main(command) == 0
        assert capsys.readouterr().out.startswith("0 ratings made")
        return rk.Scores.read(tmp_path / judge / "scores.parquet")

    local = scores("local", "-o", "model", str(tiny_judge))
    with serve(Server(by_model(tiny_judge))) as server:
        served = scores("server", "-o", "model", "tiny", "-o", "base_url", server.url)
    assert np.abs(local.a).max() > 0.01
    np.testing.assert_allclose(served.a, local.a, atol=1e-3)  # the likeliest 20 tokens only
    np.testing.assert_allclose(served.b, local.b, atol=1e-3)
    np.testing.assert_allclose(served.relevance, local.relevance, atol=1e-3)


def test_the_command_line_writes_what_is_complete_and_lists_what_is_missing(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    some_pairs(8).write_ndjson("pairs.jsonl")
    FEW.save("rules.yaml")
    server = Server(steady, refuses("answer 3 again"))
    with serve(server):
        options = "--rules rules.yaml --judge server -o model m --export set -o method logprobs"
        command = ["annotate", "pairs.jsonl", *options.split(), "-o", "base_url", server.url]
        assert main(command) == 1
        said = capsys.readouterr()
        assert "1 of 8 pairs are left out" in said.err
        assert "HTTP 400" in said.err
        assert "missing.parquet" in said.err
        assert "answer mass: mean 0.950" in said.out
        ids = [f"p{i}" for i in range(8) if i != 3]
        assert list(rk.Scores.read("annotated/scores.parquet").pair_ids) == ids
        assert pl.read_parquet("set/data/pairs.parquet")["pair_id"].to_list() == ids
        missing = pl.read_parquet("annotated/missing.parquet")
        assert missing.drop("reason").rows() == [("p3", "response_b", r) for r in FEW.ids]
        server.fault = lambda n, body: None
        assert main(command) == 0
    assert not Path("annotated/missing.parquet").exists()
    assert rk.Scores.read("annotated/scores.parquet").n_pairs == 8
    # The mass of ratings that were made in the first run has survived it.
    ratings = pl.read_parquet("set/data/ratings.parquet")
    assert ratings["answer_mass"].to_list() == pytest.approx([0.95] * 24, abs=1e-6)
    card = Path("set/README.md").read_text()
    assert "Answer mass" in card
    assert "mean 0.950" in card


def test_order_effects_from_the_command_line(tiny_judge, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some_pairs(3).write_ndjson("pairs.jsonl")
    FEW.save("rules.yaml")
    command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml", "--order-effects", "2"]
    assert main([*command, "--judge", "local", "-o", "model", str(tiny_judge)]) == 0
    table = pl.read_parquet("annotated/order_effects.parquet")
    assert len(table) == 5
    assert table["mean_difference"][0] < 1e-5
    assert "answers listed in other orders" in capsys.readouterr().out


def test_help_lists_every_judge_and_its_options(capsys):
    assert main(["annotate", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "server: model, base_url, template" in shown
    assert "local: model, revision" in shown
    assert "rulekit annotate pairs.jsonl --judge server" in shown


def test_what_was_made_is_told_to_programs_with_the_next_step_beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    some_pairs(6).write_ndjson("pairs.jsonl")
    RULES.save("rules.yaml")
    command = ["annotate", "pairs.jsonl", "--rules", "rules.yaml"]
    ran = run(*command, "--export", "set", "--json")
    assert ran.status == 0
    told = ran.json
    assert told["ledger"]["rated"] == 9 * CELLS
    assert all(Path(path).exists() for path in told["files"].values())
    assert set(told["files"]) == {"store", "ledger", "scores", "data_set"}
    (caveat,) = told["ledger"]["caveats"]
    assert "trained on none of these 12 rules" in caveat
    assert f"rulekit: warning: {caveat}\n" in run(*command, "-q").err
    assert "next: rulekit label annotated/scores.parquet" in ran.err
    assert "next: rulekit label annotated/scores.parquet" in run(*command).out
    assert run("label", "annotated/scores.parquet").status == 0
    checked = run("annotate", "--check", "--split", "validation", "--out", "checked", "--json").json
    assert {row["figure"] for row in checked["overall"]} == set(quality.FIGURES)
    assert len(checked["by_rule"]) == 101  # all together, and each

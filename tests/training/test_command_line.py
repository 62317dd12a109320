"""`rulekit train`: an adapter, what is refused, what null means."""

import polars as pl
import yaml
from transformers import AutoModelForSequenceClassification

from rulekit.cli import main
from rulekit.training import RewardModel
from rulekit.training.config import load_config
from tests.training.helpers import settings, some_pairs


def test_the_command_line_trains_an_adapter_from_a_column_of_rules(base, tmp_path, capsys):
    import rulekit as rk

    rules = rk.RuleSet.from_texts(["It is kind.", "It is rude.", "It helps."])
    (tmp_path / "rules.yaml").write_text(
        "rules:\n" + "".join(f"- {{id: {r.id}, text: {r.text}, category: c}}\n" for r in rules)
    )
    named = [[rules.ids[i % 3], rules.ids[(i + 1) % 3]] for i in range(12)]
    some_pairs(12).with_columns(rules=pl.Series(named)).write_ndjson(tmp_path / "pairs.jsonl")
    (tmp_path / "run.yaml").write_text(
        f"{{model: {base}, train: {tmp_path / 'pairs.jsonl'}, rules: {tmp_path / 'rules.yaml'}, k: 2,"
        " max_tokens: 64, token_budget: 256, max_steps: 1, evaluation_share: 0.3}\n"
    )
    run = [
        "train",
        "adapter",
        "--config",
        str(tmp_path / "run.yaml"),
        "--output",
        str(tmp_path / "run"),
    ]
    assert main([*run, "--plan"]) == 0
    assert not (tmp_path / "run").exists()
    assert main(run) == 0
    assert "micro_f1" in capsys.readouterr().out
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert rules.hash in card
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    assert list(plain.config.label2id) == list(rules.ids)
    some_pairs(12).write_ndjson(tmp_path / "pairs.jsonl")
    assert main(run) == 2
    assert "a column 'rules'" in capsys.readouterr().err
    assert main(["train", "reward", "-p", "learning_rte", "1"]) == 2
    assert "learning_rte" in capsys.readouterr().err


def test_the_command_line_names_what_is_wrong_in_one_line(tmp_path, capsys):
    some_pairs(8).write_ndjson(tmp_path / "pairs.jsonl")
    (tmp_path / "bad.yaml").write_text("epochs: [1\n")
    (tmp_path / "list.json").write_text("[1]")
    base = ["-p", "train", str(tmp_path / "pairs.jsonl"), "--output", str(tmp_path / "run")]
    for options, message in (
        (["-p", "lora", "{rank: 1"], "-p lora: "),
        (["--config", str(tmp_path / "bad.yaml")], "bad.yaml: "),
        (
            ["--config", "encoder-cpu", "-p", "model", str(tmp_path / "nowhere")],
            f"model '{tmp_path}/nowhere' is no folder; allowed: ",
        ),
        (["-p", "learning_rte", "1"], "unknown setting 'learning_rte'; allowed: 'learning_rate', "),
        (
            ["--provenance", str(tmp_path / "list.json")],
            "list.json holds list; allowed: a JSON object",
        ),
        (["-p", "task", "adapter"], "-p task is 'adapter'"),
    ):
        assert main(["train", "reward", *base, *options]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert len(error) < 400


def test_null_on_the_command_line_unsets_and_none_in_python_leaves(base, tmp_path, capsys):
    some_pairs(8).write_ndjson(tmp_path / "pairs.jsonl")
    config = settings(base, lora={"rank": 2}, train=str(tmp_path / "pairs.jsonl"), max_steps=1)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_config(tmp_path / "run.yaml", lora=None).lora is not None
    assert load_config(tmp_path / "run.yaml", unset=["lora"]).lora is None
    run = [
        "train",
        "reward",
        "--config",
        str(tmp_path / "run.yaml"),
        "--output",
        str(tmp_path / "r"),
    ]
    assert main([*run, "-p", "lora", "null"]) == 0
    assert "lora: null" in (tmp_path / "r" / "config.yaml").read_text()


def test_the_frozen_preset_runs_from_the_command_line_and_has_nothing_to_plan(tmp_path, capsys):
    some_pairs(30).write_ndjson(tmp_path / "pairs.jsonl")
    run = ["train", "reward", "-p", "train", str(tmp_path / "pairs.jsonl"), "--output"]
    run += [str(tmp_path / "run"), "-p", "evaluation_share", "0.3"]
    assert main([*run, "--plan"]) == 0
    assert "nothing to plan" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    assert main(run) == 0
    assert "accuracy" in capsys.readouterr().out
    assert RewardModel.load(tmp_path / "run" / "model").metrics["n"] > 0
    again = load_config(tmp_path / "run" / "config.yaml")
    assert (again.frozen, again.evaluation_share) == (True, 0.3)
    assert main([*run, "-p", "epochs", "2"]) == 2
    assert "epochs: not used by task 'reward' on a frozen model" in capsys.readouterr().err

"""A run that a notebook starts and watches."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.cli import main
from rulekit.inputs import Identity
from rulekit.training import RewardModel, RuleAdapter
from rulekit.training.launcher import follow, launch, read_metrics, training_curves
from tests.training.helpers import command, some_pairs, wait_for


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


DRIVER = """
import sys
import numpy as np, polars as pl
import rulekit as rk
from rulekit.training.launcher import follow, launch

folder, base = sys.argv[1:3]
train, held = (pl.read_parquet(f"{folder}/{name}.parquet") for name in ("train", "held"))
scores = rk.Scores.from_discrepancy(np.full((len(train), 1), 0.5), pair_ids=train["pair_id"].to_list())
process = launch(
    train, rk.label(scores), "encoder-cpu", output=folder + "/run", evaluation=held,
    model=base, max_tokens=64,
    token_budget=256, pairs_per_step=8, max_steps=60, save_every=0, revision=None,
    provenance={"data": "words", "rule_set": "abc123", "label_method": "sum", "selector": "top 5"},
)
print(process.pid, flush=True)
follow(process, folder + "/run", every=0.1)
"""


@pytest.mark.slow
def test_a_kernel_that_is_interrupted_and_killed_leaves_its_run_to_finish(base, tmp_path):
    """Both signals go to its whole process group, as Jupyter sends them.

    The run is halted meanwhile: what it was sent arrives when it goes on.
    """
    (tmp_path / "driver.py").write_text(DRIVER)
    for name, seed in (("train", 0), ("held", 1)):
        some_pairs(32, seed=seed).write_parquet(tmp_path / f"{name}.parquet")
    driver = subprocess.Popen(
        [sys.executable, str(tmp_path / "driver.py"), str(tmp_path), str(base)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    run = tmp_path / "run"
    line = driver.stdout.readline()
    assert line, driver.communicate()[1]
    number = int(line)
    try:
        wait_for(lambda: len(read_metrics(run)) >= 3, driver)
        os.kill(number, signal.SIGSTOP)
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(timeout=60) != 0
        with contextlib.suppress(ProcessLookupError):  # nobody else is in the group
            os.killpg(driver.pid, signal.SIGKILL)
        os.kill(number, signal.SIGCONT)
        wait_for(lambda: (run / "result.json").exists() or not is_alive(number))
    finally:
        driver.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    metrics = read_metrics(run)
    assert metrics["loss"].drop_nulls().len() == 60
    assert (pl.read_parquet(run / "train.parquet")["evidence"] == 0.5).all()
    assert RewardModel.load(run / "model").metrics["n"] == 32
    card = (run / "model" / "README.md").read_text()
    for line in ("data: words", "rule set: abc123", "label method: sum", "selector: top 5"):
        assert f"- {line}\n" in card


def test_metrics_are_read_while_they_are_written_and_drawn(command_line_run, tmp_path):
    assert read_metrics(tmp_path).is_empty()
    assert main(command(command_line_run, tmp_path / "run", "-p", "max_steps", "3")) == 0
    metrics = read_metrics(tmp_path / "run")
    assert metrics["loss"].drop_nulls().len() == 3
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert read_metrics(tmp_path / "run").equals(metrics)
    panels = training_curves(metrics).to_dict()["concat"]
    titles = [panel["encoding"]["y"]["title"] for panel in panels]
    units = "loss, accuracy, margin (reward units), learning rate, tokens a second"
    assert titles == units.split(", ")
    assert follow(subprocess.Popen([sys.executable, "-c", "exit(3)"]), tmp_path, every=0.2) == 3


def test_targets_travel_to_the_process_by_the_ids_of_pairs_and_rules(base, tmp_path):
    """The process of an adapter reads back the selection, rules in another order and all."""
    pairs, rules = (
        some_pairs(12),
        rk.RuleSet.from_texts(["It is kind.", "It is rude.", "It helps."]),
    )
    named = np.array([[i % 3, (i + 1) % 3] for i in range(12)])
    selection = rk.Selection(named, "planted", 3, identity=Identity.of(rules, pairs))
    turned = rk.RuleSet(rules.rules[::-1])
    given = {
        "model": str(base),
        "max_tokens": 64,
        "token_budget": 256,
        "max_steps": 1,
        "evaluation_share": 0,
    }
    process = launch(
        pairs[::-1], selection, "encoder-cpu", output=tmp_path / "run", rules=turned, **given
    )
    assert follow(process, tmp_path / "run", every=0.2) == 0
    adapter = RuleAdapter.load(tmp_path / "run" / "model")
    assert adapter.identity == Identity.of(turned)
    written = pl.read_parquet(tmp_path / "run" / "train.parquet")
    told = dict(zip(written["pair_id"], written["rules"].to_list(), strict=True))
    assert told == {f"p{i}": [rules.ids[j] for j in named[i]] for i in range(12)}
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert f"rule set: rules.yaml, {turned.hash}" in card
    assert str(tmp_path) not in card
    with pytest.raises(ValueError, match="rules is None; allowed with a selection"):
        launch(pairs, selection, output=tmp_path / "other")

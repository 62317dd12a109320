"""SIGTERM and SIGINT save a checkpoint and stop the run."""

import signal
import subprocess
import sys

import pytest

from rulekit.cli import main
from rulekit.training.callbacks import MetricsFile, StopOnSignal
from rulekit.training.engine import train
from tests.training.helpers import assert_bit_equal, command, settings, some_pairs, wait_for

HELD = """
import sys, time
from pathlib import Path
import torch
from rulekit.cli import main
from rulekit.training.callbacks import MetricsFile

torch.set_num_threads(1)
told, *arguments = sys.argv[1:]
former = MetricsFile.on_log
def on_log(self, args, state, control, logs=None, **kwargs):
    former(self, args, state, control, logs=logs, **kwargs)
    while state.global_step == 3 and not Path(told).exists():
        time.sleep(0.01)
MetricsFile.on_log = on_log
sys.exit(main(arguments))
"""


@pytest.mark.slow
def test_sigterm_saves_exits_and_the_run_goes_on_to_the_same_bits(
    command_line_run, tmp_path, capsys
):
    """The process holds its third step until the signal has been sent."""
    settings = ("-p", "max_steps", "8", "-p", "save_every", "0")
    first = command(command_line_run, tmp_path / "run", *settings)
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, str(tmp_path / "told"), *first],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    try:
        assert main(command(command_line_run, tmp_path / "whole", *settings)) == 0
        wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 3, process)
        process.send_signal(signal.SIGTERM)
        (tmp_path / "told").touch()
        out, error = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 143, error
    assert "run again to go on" in error.splitlines()[-1]
    assert "LOAD REPORT" not in error  # quiet when headless
    assert "it/s" not in error
    assert "parameters" in out  # the plan
    saved = list((tmp_path / "run" / "checkpoints").glob("checkpoint-*"))
    assert len(saved) == 1
    assert not (tmp_path / "run" / "model").exists()
    assert main(first) == 0
    assert "accuracy" in capsys.readouterr().out
    assert_bit_equal(tmp_path / "run" / "model", tmp_path / "whole" / "model")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_saves_and_stops_and_its_echo_is_the_same_request(
    base, number, tmp_path, monkeypatch
):
    config = settings(base, epochs=2)
    handler = signal.getsignal(number)
    monkeypatch.setattr(StopOnSignal, "PATIENCE", 600.0)  # on a machine that stalls too
    former = MetricsFile.on_log

    def on_log(self, args, state, control, logs=None, **kwargs):
        former(self, args, state, control, logs=logs, **kwargs)
        if state.global_step == 3 and "loss" in logs:
            signal.raise_signal(number)
            signal.raise_signal(number)  # torchrun hands on what its processes got already

    monkeypatch.setattr(MetricsFile, "on_log", on_log)
    done = train(some_pairs(16), config=config, output=tmp_path / "run", save_every=0)
    assert done.stopped
    assert signal.getsignal(number) is handler
    (saved,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert saved.name in ("checkpoint-3", "checkpoint-4")  # logs come behind the end of a step
    monkeypatch.undo()
    assert not train(some_pairs(16), config=config, output=tmp_path / "run").stopped
    whole = train(some_pairs(16), config=config, output=tmp_path / "whole")
    assert_bit_equal(tmp_path / "run" / "model", whole.model_folder)


def test_a_later_signal_does_not_wait_for_the_step(monkeypatch):
    with StopOnSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        monkeypatch.setattr(StopOnSignal, "PATIENCE", -1.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)

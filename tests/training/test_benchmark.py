"""The benchmark of 8B models on a GPU runs whole with a tiny model, whatever the device."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from tests.benchmarks import training

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "training.py"


@pytest.mark.slow
def test_every_case_gives_its_figures_in_a_line_of_json_and_the_plan_is_its_own(
    real_data, monkeypatch, capsys
):
    options = "--gpu --tiny --steps 3 --threads 1 --cpu-seconds"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *options.split()])
    with pytest.raises(SystemExit) as done:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    out, error = capsys.readouterr()
    assert done.value.code == 0, out + error[-2000:]
    found = {row["case"]: row for row in map(json.loads, out.splitlines())}
    assert tuple(found) == training.CASES
    assert not any("failed" in row for row in found.values())
    loss = found.pop("loss")
    assert loss["steps"] == 40
    assert loss["last_loss"] < 0.5 < loss["first_loss"]
    for row in found.values():
        assert row["steps"] == 1
        assert row["tokens_per_second"] > 0
        assert 0 < row["share_of_peak"] < 1
    assert error.count("parameters ") == 3  # a plan of each of rulekit's cases
    assert found["full"]["tokens_per_second"] > found["trl-padded"]["tokens_per_second"]


def test_a_case_that_fails_says_why_and_leaves_the_others_to_run(monkeypatch, capsys, tmp_path):
    def speed(case, *_):
        if case == "full":
            raise MemoryError("no room\nfor it")
        return {"tokens_per_second": 1.0}

    monkeypatch.setattr(training, "speed", speed)
    monkeypatch.setattr(training, "make_folder", lambda *_: tmp_path)
    monkeypatch.setattr(training, "examples_of", lambda *_: None)
    monkeypatch.setattr(training.rk, "load_pairs", lambda _: training.pl.DataFrame({"x": [1]}))
    assert not training.on_gpu(["full", "trl"], 3, tiny=True)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["failed"] == "MemoryError: no room"
    assert (second["case"], second["tokens_per_second"]) == ("trl", 1.0)

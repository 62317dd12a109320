"""`rulekit bench gpu` runs whole with a tiny model, goes on where it was left, and says why not."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rulekit.throughput import CASES, bench_gpu, write_page
from rulekit.throughput.cases import FULL, LORA, STEPS, Refused, _planned
from rulekit.throughput.page import AGAINST, measured
from rulekit.throughput.random_models import LLAMA_8B, first_examples, write_classifier


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder with the figures of some cases, and what was returned."""
    folder = tmp_path_factory.mktemp("gpu") / "out"
    found = bench_gpu(
        folder, size="tiny", pairs="embedded", only=["full", "trl"], steps=3, say=lambda _: None
    )
    return folder, found


@pytest.mark.slow
def test_cases_are_measured_into_one_json_and_a_page(tiny):
    folder, found = tiny
    assert json.loads((folder / "gpu.json").read_text()) == found
    assert set(found["cases"]) == {"peak", "full", "trl"}
    for name in ("full", "trl"):
        case = found["cases"][name]
        assert case["status"] == "measured", case
        assert case["steps"] == 1
        assert case["tokens_per_second"] > 0
        assert 0 < case["share_of_peak"] < 1
    assert found["cases"]["full"]["planned_gb"] > 0
    page = (folder / "gpu.html").read_text()
    assert "RewardTrainer" in page
    assert "<script" not in page


@pytest.mark.slow
def test_what_is_measured_is_not_run_again_and_what_failed_is(tiny, tmp_path):
    folder = shutil.copytree(tiny[0], tmp_path / "out")
    file = folder / "gpu.json"
    found = json.loads(file.read_text())
    found["cases"]["trl"] = {"status": "failed", "reason": "no reason"}
    file.write_text(json.dumps(found))
    said = []
    again = bench_gpu(
        folder, size="tiny", pairs="embedded", only=["full", "trl"], steps=3, say=said.append
    )
    assert "[2/3] full: done before" in said
    assert again["cases"]["full"] == found["cases"]["full"]
    assert again["cases"]["trl"]["status"] == "measured"


def test_a_case_past_its_limit_is_ended_with_its_children(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # it stands in the command
    found = bench_gpu(
        tmp_path, size="tiny", pairs="embedded", only=["peak"], limit=0.2, say=lambda _: None
    )
    assert found["cases"]["peak"]["status"] == "too long"
    assert json.loads((tmp_path / "gpu.json").read_text()) == found
    commands = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert not [line for line in commands if os.fsencode(tmp_path) in line]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"only": ["fast"]}, "unknown case 'fast'; allowed: peak, rating"),
        ({"size": "70b"}, "unknown size '70b'; allowed: 8b, tiny"),
        ({"steps": 2}, "steps is 2; allowed: 3 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(tmp_path, given, said):
    with pytest.raises(ValueError, match=said):
        bench_gpu(tmp_path, **given)
    assert not list(tmp_path.iterdir())


def test_figures_of_another_machine_are_not_gone_on_with(tmp_path):
    (tmp_path / "gpu.json").write_text(json.dumps({"size": "tiny", "device": "other", "cases": {}}))
    with pytest.raises(
        ValueError, match=r"gpu.json is of .*; allowed: the same, or another output"
    ):
        bench_gpu(tmp_path, size="tiny", pairs="embedded")


def test_the_plan_refuses_a_device_that_is_too_small_and_takes_one_of_80_gb(tmp_path):
    import rulekit as rk

    pairs = rk.load_pairs("embedded")
    folder = write_classifier(tmp_path, pairs, LLAMA_8B)
    examples = first_examples(pairs, folder, 64)
    with pytest.raises(Refused, match=r"the device has 24\.0 GB"):
        _planned(folder, examples, FULL | STEPS["8b"] | {"device_memory_gb": 24.0})
    for fields in (FULL, LORA):  # an H100 has 85 GB (10⁹ bytes)
        fits = _planned(folder, examples, fields | STEPS["8b"] | {"device_memory_gb": 85.0})
        assert 8.0e9 > fits.parameters > 7.4e9


def test_a_case_that_fails_says_why_in_the_file(tmp_path):
    file = tmp_path / "found.json"
    command = [sys.executable, "-m", "rulekit.throughput", "full", str(file), "--size", "tiny"]
    subprocess.run([*command, "--pairs", "none.jsonl", "--steps", "3"], check=True)
    found = json.loads(file.read_text())
    assert found["status"] == "failed"
    assert "none.jsonl" in found["reason"]


def test_the_page_says_what_was_not_measured_and_divides_by_the_right_peer(tmp_path):
    cases = {
        "rating": {"status": "measured", "responses_per_second": 6.0, "tokens_per_second": 9.0},
        "rating-one-by-one": {"status": "measured", "responses_per_second": 0.5},
        "full": {"status": "refused", "reason": "the run needs about 79.0 GB"},
    }
    found = {"device": "CPU", "memory_gb": None, "torch": "2", "size": "tiny", "cases": cases}
    rows = {row["case"]: row for row in measured(found).to_dicts()}
    assert rows["rating"]["times"] == 12.0
    assert rows["full"]["times"] is None
    assert rows["trl"]["status"] == "not measured"
    assert set(AGAINST) | set(AGAINST.values()) <= set(CASES)
    page = write_page(found, tmp_path / "gpu.html").read_text()
    assert "the run needs about 79.0 GB" in page

"""Several processes train what one trains."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from rulekit.training.engine import train
from rulekit.training.launcher import read_metrics
from tests.training.helpers import assert_bit_equal, make_model, some_pairs, weights

WORKER = """
import os, shutil, sys
from pathlib import Path
import polars as pl
import torch
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from rulekit.training.engine import train
from rulekit.training.trainer import PackedTrainer

torch.set_num_threads(1)
folder, pairs = Path(sys.argv[1]), pl.read_ndjson(sys.argv[2])
former = PackedTrainer.training_step
def step(self, model, inputs, n=None):
    if self.config.fsdp:
        assert all(isinstance(p.data, DTensor) for p in model.parameters()), "not sharded"
    else:
        assert isinstance(model, DistributedDataParallel), "not wrapped"
    return former(self, model, inputs, n)
PackedTrainer.training_step = step
rounded = {"precision": "bf16-stochastic", "fsdp": True}
for name, fields in (("exact", {"fsdp": True}), ("ddp", {}), ("lora", {"fsdp": True, "lora": {"rank": 4}}),
                     ("rounded", rounded), ("again", rounded)):
    done = train(pairs, config=folder / "run.yaml", output=folder / name, save_every=2, keep_checkpoints=9, token_budget=128, **fields)
    assert (folder / name / "result.json").is_file(), "a process returns before the model is there"
    again = train(pairs, config=folder / "run.yaml", output=folder / name, token_budget=128, **fields)
    assert again.metrics == done.metrics or os.environ["RANK"] != "0"
    torch.distributed.barrier()
    if os.environ["RANK"] == "0" and name == "rounded":
        shutil.copytree(folder / "rounded/checkpoints/checkpoint-2", folder / "again/checkpoints/checkpoint-2")
    torch.distributed.barrier()
"""


@pytest.mark.slow
def test_two_processes_give_the_one_process_result_and_resume_to_the_same_bits(tmp_path):
    """gloo on loopback, sharded or not; the worker asserts that it really is the one or the other."""
    (tmp_path / "worker.py").write_text(WORKER)
    pairs = some_pairs(32)
    pairs.write_ndjson(tmp_path / "pairs.jsonl")
    make_model(tmp_path / "base")
    (tmp_path / "run.yaml").write_text(
        f"{{preset: encoder-cpu, model: {tmp_path / 'base'}, max_tokens: 64, token_budget: 1024,"
        " pairs_per_step: 8, learning_rate: 0.001, evaluation_share: 0.2}\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
        + [str(tmp_path / name) for name in ("worker.py", "", "pairs.jsonl")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    runs = (({}, ("exact", "ddp")), ({"lora": {"rank": 4}}, ("lora",)))
    try:
        for one, (name, *_) in runs:  # meanwhile
            train(pairs, config=tmp_path / "run.yaml", output=tmp_path / f"one-{name}", **one)
        out, _ = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out[-3000:]
    for _, several in runs:
        alone = tmp_path / f"one-{several[0]}"
        for name in several:
            for key, weight in weights(alone / "model").items():
                found = weights(tmp_path / name / "model")[key]
                torch.testing.assert_close(found, weight, atol=1e-5, rtol=0)
            metrics = [read_metrics(folder) for folder in (tmp_path / name, alone)]
            for column in ("loss", "grad_norm", "accuracy", "eval_loss", "eval_accuracy"):
                found, expected = (m[column].drop_nulls().to_numpy() for m in metrics)
                assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), (name, column)
                assert len(found) == (1 if "eval" in column else 4)
    assert_bit_equal(tmp_path / "again" / "model", tmp_path / "rounded" / "model")
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "rounded" / "model")

"""The kit's evaluation against the package `rewardbench` 0.1.4: same wins item by item, and speed.

The package pins an old transformers: it needs an environment of its own, named here.

    python3.11 -m venv rb && rb/bin/pip install rewardbench==0.1.4
    python -m tests.benchmarks.rewardbench rb/bin/python --items 300

Its pipeline asks for a GPU by name; on a machine without one the package's inputs stay on the CPU,
which is the one thing that is changed in it. It runs in float32 and not in 8 bits, its default.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_INPUTS = ["input_ids", "attention_mask"]
# Run in the package's own environment.
_THEIRS = """
import json, sys, time
import torch
torch.set_num_threads(1)
import transformers
if not torch.cuda.is_available():
    plain = transformers.BatchEncoding.to
    transformers.BatchEncoding.to = lambda self, device, **k: plain(self, "cpu", **k)
import rewardbench.rewardbench as theirs
from rewardbench.models.pipeline import RewardBenchPipeline
spent = [0.0]
call = RewardBenchPipeline.__call__
def timed(self, *a, **k):
    begin = time.perf_counter()
    found = call(self, *a, **k)
    spent[0] += time.perf_counter() - begin
    return found
RewardBenchPipeline.__call__ = timed
model, data, out, batch = sys.argv[1:5]
sys.argv = ["rewardbench"]
theirs.rewardbench(theirs.Args(
    dataset=data, load_json=True, model=model, tokenizer=model, not_quantized=True,
    torch_dtype="float32", batch_size=int(batch), output_dir=out, max_length=100000,
))
print("SECONDS", spent[0])
"""


def items_file(path: Path, n: int) -> list[dict]:
    """XSTest's and RM-Bench chat's items as pairs, in its JSON lines; n of each."""
    from rulekit.benchmarks.homes import places
    from rulekit.benchmarks.layouts import read_items

    rows = []
    for name in ("xstest", "rm-bench"):
        items = read_items(name, places(name)).head(n)
        for item, prompt, responses, k in items.select(
            "item", "prompt", "responses", "n_right"
        ).iter_rows():
            chosen, rejected = (
                [*prompt, {"role": "assistant", "content": text}]
                for text in (responses[0], responses[k])
            )
            rows.append({"id": f"{name}:{item}", "chosen": chosen, "rejected": rejected})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def odd_model(folder: Path) -> Path:
    """A small Llama whose tokenizer adds a beginning to a text that its template has given one."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    from rulekit.training.version4 import name_for_version4

    small_model(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
    )
    tokenizer.save_pretrained(folder)
    name_for_version4(folder, _INPUTS)
    return folder


def small_model(folder: Path) -> Path:
    """A small Llama with rewards around 1 that transformers 4 reads too, which the package needs."""
    from rulekit.training.version4 import name_for_version4
    from tests.model_benchmarks.conftest import scale_head
    from tests.training.helpers import make_model

    make_model(folder, max_position_embeddings=16384)
    scale_head(folder, 60.0)
    name_for_version4(folder, _INPUTS)
    return folder


def with_system_prompts(rows: list[dict]) -> list[dict]:
    """The same items behind a system prompt and an answer to it."""
    first = [{"role": "system", "content": "care please"}, {"role": "assistant", "content": "yes"}]
    return [r | {side: first + r[side] for side in ("chosen", "rejected")} for r in rows]


def theirs(python: str, model: Path, data: Path, folder: Path, batch: int) -> tuple[list, float]:
    """Scores (chosen, rejected) of every item from the package, and the seconds of its passes.

    Raises
    ------
    RuntimeError
        If it ends with an error, whose last lines are told.
    """
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
    command = [python, "-c", _THEIRS, model, data, folder, str(batch)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ran.returncode:
        raise RuntimeError(f"the package failed:\n{ran.stderr[-3000:]}")
    written = next(p for p in [*folder.rglob("*_outputs.jsonl"), Path(f"{model}_outputs.jsonl")])
    found = [json.loads(line) for line in written.read_text().splitlines()]
    seconds = float(ran.stdout.rsplit("SECONDS", 1)[1])
    return [(r["scores_chosen"], r["scores_rejected"]) for r in found], seconds


def compared(python: str, model: Path, n: int, batch: int = 8, system: bool = False) -> dict:
    """Wins and scores of the package, of the kit's imitation and of the kit, and their speed."""
    from rulekit import benchmarks

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        data = folder / "items.jsonl"
        rows = items_file(data, n)
        if system:
            rows = with_system_prompts(rows)
            data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        scores, seconds = theirs(python, model, data, folder / "out", batch)
        their = np.array(scores).reshape(len(rows), 2)
        told = {"items": len(rows), "seconds_package": round(seconds, 2)}
        for name, how in (("imitation", {"imitate": "rewardbench", "batch": batch}), ("kit", {})):
            begin = time.perf_counter()
            result = benchmarks.evaluate_file(model, data, precision="float32", **how)
            mine = np.array(result.items["scores"].to_list())
            wins = (mine[:, 0] > mine[:, 1]) == (their[:, 0] > their[:, 1])
            told |= {
                f"same_wins_{name}": int(wins.sum()),
                f"largest_difference_{name}": float(np.abs(mine - their).max()),
                f"seconds_{name}": result.facts["seconds"],
                f"seconds_in_all_{name}": round(time.perf_counter() - begin, 2),
                f"questions_{name}": result.facts["asked"],
                f"tokens_{name}": result.facts["tokens"],
            }
        told["smallest_margin"] = float(np.abs(their[:, 0] - their[:, 1]).min())
        told["spread"] = float(their.std())
        return told


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("python", help="of the environment with rewardbench 0.1.4")
    parser.add_argument("--model", help="folder of a reward model (default: a small Llama)")
    parser.add_argument("--items", type=int, default=300, help="of each benchmark, at most")
    parser.add_argument("--batch", type=int, default=8)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder, n, batch = Path(scratch), given.items, given.batch
        model = Path(given.model) if given.model else small_model(folder / "model")
        told = {"as_it_is": compared(given.python, model, n, batch)}
        odd = odd_model(folder / "odd")
        told["second_beginning_and_system_prompts"] = compared(given.python, odd, 20, batch, True)
        json.dump(told, sys.stdout, indent=2)


if __name__ == "__main__":
    main()

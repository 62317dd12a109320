"""Scores of a folder model beside the passes of training: real tokens a second, in turns.

    python -m tests.benchmarks.evaluation [--model FOLDER] [--responses N] [--threads N] [--turns N]

The same XSTest responses are read by the scorer of `rulekit evaluate`, by the packed pass forward that
training has, and by that pass forward and backward. Without a model: SmolLM2-135M with a head of random
weights, as speed does not depend on them. Printed: medians of processor time, and ratios.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import rulekit as rk
from rulekit import benchmarks
from rulekit.training import batches, models

TOKENS = 16384  # of a pass


def with_head(folder: Path) -> Path:
    """SmolLM2-135M as a reward model."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(rk.models.path("smollm2-135m"))
    model = AutoModelForSequenceClassification.from_pretrained(
        rk.models.path("smollm2-135m"), num_labels=1
    )
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def questions(n: int) -> list:
    """Responses of XSTest, each with its prompt."""
    from rulekit.benchmarks.homes import places
    from rulekit.benchmarks.layouts import read_items

    rows = read_items("xstest", places("xstest")).select("prompt", "responses").iter_rows()
    found = {str(prompt) + text: (prompt, (text,)) for prompt, both in rows for text in both}
    return list(found.values())[:n]


def seconds(does) -> float:
    begin = time.process_time()
    does()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--responses", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    asked = questions(given.responses)
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.model or with_head(Path(scratch) / "model")
        scorer = benchmarks.scorer(folder, precision="float32")
        ids = scorer.token_ids(asked)
        nothing = np.zeros(len(ids), np.float32)
        examples = batches.Examples([(one,) for one in ids], nothing, nothing, [""] * len(ids))
        parts = list(batches.in_order(examples.tokens, TOKENS))

        def forward(backward: bool = False) -> None:
            for part in parts:
                packed = models.packed_inputs(batches.pack(examples, part), "cpu")
                with torch.set_grad_enabled(backward):
                    out = scorer.model(**packed)
                if backward:
                    out.sum().backward()

        ways = {
            "evaluation": lambda: scorer.read(asked),
            "packed pass": forward,
            "packed pass, forward and backward": lambda: forward(True),
        }
        spent = {name: [] for name in ways}
        for _ in range(given.turns):
            for name, does in ways.items():
                spent[name].append(seconds(does))
    n = sum(map(len, ids))
    own = statistics.median(spent["evaluation"])
    print(f"{len(asked)} responses, {n:,} real tokens, {given.threads} thread(s)")
    for name, values in spent.items():
        middle = statistics.median(values)
        print(f"{name:36s} {n / middle:8.0f} tokens a second  {middle / own:5.2f} times the time")


if __name__ == "__main__":
    main()

"""Training speed side by side with TRL's RewardTrainer, in one run.

    python tests/benchmarks/training.py [--steps 6] [--repeats 3]     small Llama, HH-RLHF pairs
                                        [--threads 1 --cpu-seconds]   on a machine that others use too
    python tests/benchmarks/training.py --encoder                     the preset encoder-cpu, float32 and bf16

Real tokens a second: tokens of the texts, padding not counted, over the seconds inside the steps.
Both trainers see the same pairs in the same order, eight a step without recomputation. The trainers
take turns; a ratio is the median over the turns, with the smallest and the largest. An 8B model on a
GPU is measured by `rulekit bench gpu`.

It needs rulekit with torch and transformers, and beside them trl and datasets. HH-RLHF is read from
the folder RULEKIT_DATA (hh-rlhf/harmless-base-test.jsonl.gz), otherwise downloaded.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch

import rulekit as rk
from rulekit.throughput.clock import Clock, rate
from rulekit.throughput.random_models import MAX_TOKENS, first_examples, write_classifier
from rulekit.throughput.training_steps import rulekit_steps, trl_steps

STEP = {"pairs_per_step": 8, "token_budget": 4096}
SMALL = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 8192,
}


def on_cpu(steps: int, repeats: int) -> None:
    pairs = rk.load_pairs("hh-rlhf/harmless-base-test").sample(fraction=1.0, shuffle=True, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = write_classifier(Path(name), pairs, SMALL, weights=True)
        examples = first_examples(pairs, folder, steps * STEP["pairs_per_step"])
        order, tokens = tuple(STEP.values()), int(examples.tokens.sum())
        lengths = [len(ids) for group in examples.sequences for ids in group]
        print(
            f"{len(examples)} pairs, {tokens} tokens, lengths median {np.median(lengths):.0f}, "
            f"longest {max(lengths)}; {torch.get_num_threads()} threads, "
            f"{'processor' if Clock.cpu else 'wall'} seconds, torch {torch.__version__}"
        )
        runs = {
            "rulekit": lambda: rulekit_steps(folder, examples, **STEP)[0],
            "TRL, dynamic padding": lambda: trl_steps(folder, examples, *order),
            "TRL, padded to 1,024": lambda: trl_steps(
                folder, examples, *order, pad_to_multiple_of=MAX_TOKENS
            ),
        }
        runs["rulekit"]()  # warm-up
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(repeats):
            for name, run in runs.items():
                rates[name].append(rate(run(), tokens))
                print(
                    f"turn {turn + 1}  {name:<22} {rates[name][-1]:>8.0f} real tokens/s", flush=True
                )
        for name in list(runs)[1:]:
            ratios = [a / b for a, b in zip(rates["rulekit"], rates[name], strict=True)]
            print(
                f"rulekit / {name}: {statistics.median(ratios):.2f} "
                f"({min(ratios):.2f} to {max(ratios):.2f}, {repeats} turns)"
            )


def encoder() -> None:
    """The preset on the embedded corpus, float32 and bf16 in turn."""
    pairs = rk.load_pairs("embedded")
    rates = {}
    for precision in ("float32", "bf16"):
        with tempfile.TemporaryDirectory() as output:
            begun, used = time.perf_counter(), time.process_time()
            done = rk.training.train(
                pairs,
                config="encoder-cpu",
                output=output,
                precision=precision,
                evaluation_share=0.2,
            )
            seconds, used = time.perf_counter() - begun, time.process_time() - used
            rows = pl.read_ndjson(Path(output) / "metrics.jsonl", infer_schema_length=None)
            rates[precision] = float(rows["tokens_per_second"].drop_nulls().median())
            m = done.metrics
            print(
                f"{precision:<8} {seconds:6.1f} s in all ({used:.1f} s of processors), {rates[precision]:7.0f} tokens/s (median step), held out "
                f"{m['accuracy']:.3f} [{m['accuracy_low']:.3f}, {m['accuracy_high']:.3f}] of {m['n_decided']} pairs, "
                f"loss {m['loss']:.3f}",
                flush=True,
            )
    print(f"bf16 / float32: {rates['bf16'] / rates['float32']:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--cpu-seconds",
        action="store_true",
        help="count the processor's seconds: for a machine that others use too",
    )
    parser.add_argument("--encoder", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    Clock.cpu = arguments.cpu_seconds
    if arguments.encoder:
        encoder()
    else:
        on_cpu(arguments.steps, arguments.repeats)

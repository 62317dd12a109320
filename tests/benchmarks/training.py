"""Training speed side by side with TRL's RewardTrainer, in one run.

    python tests/benchmarks/training.py [--steps 6] [--repeats 3]     CPU: small Llama, HH-RLHF pairs
                                        [--threads 1 --cpu-seconds]   on a machine that others use too
    python tests/benchmarks/training.py --encoder                     the preset encoder-cpu, float32 and bf16
    python tests/benchmarks/training.py --gpu                         8B from a configuration, one GPU

Real tokens a second: tokens of the texts, padding not counted, over the seconds inside the steps.
Both trainers see the same pairs in the same order, eight a step, without recomputation on the CPU.
The trainers take turns; a ratio is the median over the turns, with the smallest and the largest.
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
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    LlamaConfig,
    TrainerCallback,
)

import rulekit as rk
from rulekit.training import batches, load_config, models
from rulekit.training.trainer import PackedTrainer

PAIRS_PER_STEP, MAX_TOKENS = 8, 1024
SMALL = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6,
         "num_attention_heads": 8, "num_key_value_heads": 4}  # fmt: skip
EIGHT = {"hidden_size": 4096, "intermediate_size": 14_336, "num_hidden_layers": 32,
         "num_attention_heads": 32, "num_key_value_heads": 8, "rope_theta": 500_000.0}  # fmt: skip


class Clock(TrainerCallback):
    """Seconds inside of each step: on the wall, or with `cpu` those that the processor gave to us."""

    cpu = False

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *args, **kwargs):
        _wait()
        self.begun = self.now()

    def on_step_end(self, *args, **kwargs):
        _wait()
        self.seconds.append(self.now() - self.begun)

    def now(self) -> float:
        return time.process_time() if self.cpu else time.perf_counter()


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def make_folder(folder: Path, pairs: pl.DataFrame, sizes: dict, vocabulary: int) -> Path:
    """A tokenizer trained on the pairs and a Llama configuration, with weights if it is small."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers import models as kinds
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(kinds.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>"]
    raw.train_from_iterator(
        pairs["response_a"].to_list() + pairs["response_b"].to_list(),
        trainers.BpeTrainer(vocab_size=8192, special_tokens=special, show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
        "{{ eos_token }}{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        **sizes, vocab_size=vocabulary, num_labels=1, max_position_embeddings=MAX_TOKENS,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    if sizes is SMALL:
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    else:
        config.save_pretrained(folder)
    return folder


def examples_of(pairs: pl.DataFrame, folder: Path, n: int) -> batches.Examples:
    """The first n usable pairs, chosen first; the longer response is 'preferred' on the GPU."""
    tokenizer = models.load_tokenizer(load_config(model=str(folder)))
    found = batches.preference_examples(
        pairs[: n + 50], np.ones(n + 50), tokenizer, max_tokens=MAX_TOKENS, too_long="drop"
    )
    return found.take(range(n))


def ours(folder: Path, examples: batches.Examples, **fields) -> tuple[list[float], list[dict]]:
    """Seconds of each step of rulekit's trainer, and its log."""
    fields = {"model": str(folder), "max_tokens": MAX_TOKENS, "token_budget": 4096,
              "pairs_per_step": PAIRS_PER_STEP, "evaluation_share": 0.0} | fields  # fmt: skip
    config, clock = load_config(fields), Clock()
    tokenizer = models.load_tokenizer(config)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = models.load_model(config, tokenizer, ["reward"], device)
    with tempfile.TemporaryDirectory() as output:
        trainer = PackedTrainer(config, model, tokenizer, examples, None, output, [clock])
        trainer.train()
    return clock.seconds, [row for row in trainer.state.log_history if "loss" in row]


def trl(folder: Path, examples: batches.Examples, order: list[int], **fields) -> list[float]:
    """Seconds of each step of TRL's trainer on the same pairs in the same order."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    rows = [dict(zip(("chosen_ids", "rejected_ids"), (ids.tolist() for ids in examples.sequences[i]), strict=True)) for i in order]  # fmt: skip
    gpu, clock = torch.cuda.is_available(), Clock()
    peft = fields.pop("peft_config", None)
    if gpu:
        described = LlamaConfig.from_pretrained(folder, num_labels=1)
        model = AutoModelForSequenceClassification.from_config(described, dtype=torch.bfloat16)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as output:
        trainer = RewardTrainer(
            model,
            RewardConfig(
                output_dir=output, per_device_train_batch_size=PAIRS_PER_STEP, num_train_epochs=1,
                train_sampling_strategy="sequential", bf16=gpu, gradient_checkpointing=gpu,
                use_cpu=not gpu, report_to=[], save_strategy="no", disable_tqdm=True,
                max_length=MAX_TOKENS, logging_steps=1, **fields,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(folder),
            callbacks=[clock],
            peft_config=peft,
        )  # fmt: skip
        trainer.train()
    return clock.seconds


def order_of(examples: batches.Examples, budget: int = 4096) -> list[int]:
    """The order in which rulekit's trainer takes the examples."""
    steps = batches.Steps(examples.tokens, PAIRS_PER_STEP, budget, seed=0)
    return [int(row) for step in steps for part in step for row in part.rows]


def rate(seconds: list[float], tokens: int, skip: int = 0) -> float:
    """Tokens a second; the first `skip` steps warm up and their share of tokens goes with them."""
    return tokens * (len(seconds) - skip) / len(seconds) / sum(seconds[skip:])


def on_cpu(steps: int, repeats: int) -> None:
    pairs = rk.sources.load("hh-rlhf/harmless-base-test").sample(fraction=1.0, shuffle=True, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name), pairs, SMALL, 8192)
        examples = examples_of(pairs, folder, steps * PAIRS_PER_STEP)
        order, tokens = order_of(examples), int(examples.tokens.sum())
        lengths = [len(ids) for group in examples.sequences for ids in group]
        print(f"{len(examples)} pairs, {tokens} tokens, lengths median {np.median(lengths):.0f}, "
              f"longest {max(lengths)}; {torch.get_num_threads()} threads, "
              f"{'processor' if Clock.cpu else 'wall'} seconds, torch {torch.__version__}")  # fmt: skip
        runs = {"rulekit": lambda: ours(folder, examples)[0],
                "TRL, dynamic padding": lambda: trl(folder, examples, order),
                "TRL, padded to 1,024": lambda: trl(folder, examples, order, pad_to_multiple_of=MAX_TOKENS)}  # fmt: skip
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
            print(f"rulekit / {name}: {statistics.median(ratios):.2f} "
                  f"({min(ratios):.2f} to {max(ratios):.2f}, {repeats} turns)")  # fmt: skip


def encoder() -> None:
    """The preset on the embedded corpus, float32 and bf16 in turn."""
    pairs = rk.sources.load("embedded")
    rates = {}
    for precision in ("float32", "bf16"):
        with tempfile.TemporaryDirectory() as output:
            begun, used = time.perf_counter(), time.process_time()
            done = rk.training.train("encoder-cpu", pairs, output=output, precision=precision,
                                     evaluation_share=0.2)  # fmt: skip
            seconds, used = time.perf_counter() - begun, time.process_time() - used
            rows = pl.read_ndjson(Path(output) / "metrics.jsonl", infer_schema_length=None)
            rates[precision] = float(rows["tokens_per_second"].drop_nulls().median())
            m = done.metrics
            print(f"{precision:<8} {seconds:6.1f} s in all ({used:.1f} s of processors), {rates[precision]:7.0f} tokens/s (median step), held out "
                  f"{m['accuracy']:.3f} [{m['accuracy_low']:.3f}, {m['accuracy_high']:.3f}] of {m['n_decided']} pairs, "
                  f"loss {m['loss']:.3f}", flush=True)  # fmt: skip
    print(f"bf16 / float32: {rates['bf16'] / rates['float32']:.2f}")


def on_gpu(steps: int) -> None:
    """8B with random weights: tokens a second, share of the measured matrix peak, peak memory."""
    if not torch.cuda.is_available():
        print("no GPU here: not measured")
        return
    peak = matrix_peak()
    print(f"{torch.cuda.get_device_name()}, measured bf16 matrix peak {peak / 1e12:.0f} TFLOP/s")
    pairs = rk.sources.load("hh-rlhf/harmless-base-test").sample(fraction=1.0, shuffle=True, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name), pairs, EIGHT, 128_256)
        examples = examples_of(pairs, folder, steps * PAIRS_PER_STEP)
        order, tokens = order_of(examples), int(examples.tokens.sum())
        own = {"random_weights": True, "precision": "bf16-stochastic", "optimizer_states": "bf16",
               "checkpointed_layers": "all", "learning_rate": 5e-6}  # fmt: skip
        lora = {"lora": {"rank": 16}, "learning_rate": 1e-4}
        from peft import LoraConfig

        theirs = {"peft_config": LoraConfig(task_type="SEQ_CLS", r=16, target_modules="all-linear")}
        expected = rk.training.plan(load_config(own | {"model": str(folder), "max_tokens": MAX_TOKENS}), examples.tokens)  # fmt: skip
        print(expected)
        cases = {
            "rulekit, full": (lambda: ours(folder, examples, **own)[0], 6),
            "rulekit, full, 24 layers recomputed": (lambda: ours(folder, examples, **(own | {"checkpointed_layers": 24}))[0], 6),
            "rulekit, LoRA": (lambda: ours(folder, examples, **(own | lora))[0], 4),
            "TRL, full, dynamic padding": (lambda: trl(folder, examples, order), 6),
            "TRL, full, padded to 1,024": (lambda: trl(folder, examples, order, pad_to_multiple_of=MAX_TOKENS), 6),
            "TRL, LoRA, dynamic padding": (lambda: trl(folder, examples, order, **theirs), 4),
        }  # fmt: skip
        for name, (run, factor) in cases.items():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            try:
                found = rate(run(), tokens, skip=3)
            except (RuntimeError, ValueError) as error:
                print(f"{name:<40} failed: {str(error).splitlines()[0][:120]}", flush=True)
                continue
            share = found * factor * 6.98e9 / peak  # parameters of the blocks, no recomputation
            memory = torch.cuda.max_memory_allocated() / 1e9
            print(f"{name:<40} {found:>9.0f} real tokens/s, {share:6.1%} of the peak, {memory:6.1f} GB", flush=True)  # fmt: skip
        longer = np.array([len(a) > len(b) for a, b in examples.sequences], dtype=np.float32)
        taught = batches.Examples(examples.sequences, longer, examples.evidence, examples.names)
        _, log = ours(folder, taught, **own, max_steps=200, epochs=100)
        ends = [statistics.mean(row["loss"] for row in part) for part in (log[:20], log[-20:])]
        print(f"200 steps: loss {ends[0]:.4f} (first 20) to {ends[1]:.4f} (last 20)")


def matrix_peak(n: int = 8192) -> float:
    """bfloat16 operations a second of a large square product, the best of ten."""
    a = torch.randn(n, n, device="cuda", dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(10):
        _wait()
        begun = time.perf_counter()
        a @ a
        _wait()
        best = min(best, time.perf_counter() - begun)
    return 2 * n**3 / best


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cpu-seconds", action="store_true",
                        help="count the processor's seconds: for a machine that others use too")  # fmt: skip
    parser.add_argument("--encoder", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    Clock.cpu = arguments.cpu_seconds
    if arguments.gpu:
        on_gpu(max(arguments.steps, 20))
    elif arguments.encoder:
        encoder()
    else:
        on_cpu(arguments.steps, arguments.repeats)

"""Training speed side by side with TRL's RewardTrainer, in one run.

    python tests/benchmarks/training.py [--steps 6] [--repeats 3]     CPU: small Llama, HH-RLHF pairs
                                        [--threads 1 --cpu-seconds]   on a machine that others use too
    python tests/benchmarks/training.py --encoder                     the preset encoder-cpu, float32 and bf16
    python tests/benchmarks/training.py --gpu [--only CASE ...]       8B from a configuration, one GPU
                                        [--tiny]                      the same lines with a tiny model

Real tokens a second: tokens of the texts, padding not counted, over the seconds inside the steps.
Both trainers see the same pairs in the same order, on the CPU eight a step without recomputation.
The trainers take turns; a ratio is the median over the turns, with the smallest and the largest.

On a GPU a step is that of the preset h200-8b: 64 pairs, passes of at most 32,768 tokens; TRL takes
them as four passes of 16 pairs. Each case prints one line of JSON as soon as it is done, its plan
goes to stderr, and a case that fails says why and leaves the others to run; where a command may
take ten minutes only, name one case or two at a time. Cases: full, full-24 (24 of 32 layers computed
again), lora, trl (dynamic padding), trl-padded (to 1,024, as the authors do), trl-lora, loss (200
steps of 8 pairs whose preferred response can be told: the mean loss of the last tenth must be below
that of the first). `share_of_peak` is the operations of the plan, recomputation left out, over
the best bfloat16 matrix product measured in the same command.

It needs rulekit with torch and transformers, and beside them peft (lora), trl and datasets (trl);
flash-attn is used if it is there. HH-RLHF is read from the folder RULEKIT_DATA
(hh-rlhf/harmless-base-test.jsonl.gz), otherwise downloaded.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
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
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import SaveStrategy

import rulekit as rk
from rulekit.training import batches, load_config, models
from rulekit.training.presets import PRESETS
from rulekit.training.trainer import PackedTrainer

PAIRS_PER_STEP, MAX_TOKENS = 8, 1024
SMALL = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
EIGHT = {
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "rope_theta": 500_000.0,
}


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
        trainers.BpeTrainer(
            vocab_size=8192,
            special_tokens=special,
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
        "{{ eos_token }}{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        **sizes,
        vocab_size=vocabulary,
        num_labels=1,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=0,
        eos_token_id=1,
    )
    if sizes is SMALL:
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    else:
        config.save_pretrained(folder)
    return folder


def examples_of(pairs: pl.DataFrame, folder: Path, n: int) -> batches.Examples:
    """The first n usable pairs, chosen first; the longer response is 'preferred' on the GPU."""
    tokenizer = models.load_tokenizer(load_config({"model": str(folder)}))
    found = batches.preference_examples(
        pairs[: n + 50], np.ones(n + 50), tokenizer, max_tokens=MAX_TOKENS, too_long="drop"
    )
    return found.take(range(n))


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def ours(folder: Path, examples: batches.Examples, **fields) -> tuple[list[float], list[dict]]:
    """Seconds of each step of rulekit's trainer, and its log."""
    fields = {
        "model": str(folder),
        "max_tokens": MAX_TOKENS,
        "token_budget": 4096,
        "pairs_per_step": PAIRS_PER_STEP,
        "evaluation_share": 0.0,
    } | fields
    config, clock = load_config(fields), Clock()
    tokenizer = models.load_tokenizer(config)
    with device():  # 8B random weights take minutes on a CPU
        model = models.load_model(config, tokenizer, ["reward"], device())
    with tempfile.TemporaryDirectory() as output:
        trainer = PackedTrainer(config, model, tokenizer, examples, None, output, [clock])
        trainer.args.save_strategy = SaveStrategy.NO  # a checkpoint of 8B takes 46 GB
        trainer.train()
    return clock.seconds, [row for row in trainer.state.log_history if "loss" in row]


def trl(
    folder: Path,
    examples: batches.Examples,
    order: list[int],
    *,
    half=False,
    passes=1,
    lora=None,
    pairs=PAIRS_PER_STEP,
    **fields,
) -> list[float]:
    """Seconds of each step of TRL's trainer on the same pairs in the same order.

    `half` trains bfloat16 weights from a configuration and computes activations again, in so many
    `passes` a step.
    """
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    rows = [
        dict(
            zip(
                ("chosen_ids", "rejected_ids"),
                (ids.tolist() for ids in examples.sequences[i]),
                strict=True,
            )
        )
        for i in order
    ]
    clock, on_gpu = Clock(), device().type == "cuda"
    if half:
        described = LlamaConfig.from_pretrained(folder)
        with device():
            model = AutoModelForSequenceClassification.from_config(described, dtype=torch.bfloat16)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as output:
        trainer = RewardTrainer(
            model,
            RewardConfig(
                output_dir=output,
                per_device_train_batch_size=pairs // passes,
                gradient_accumulation_steps=passes,
                num_train_epochs=1,
                train_sampling_strategy="sequential",
                bf16=half,
                gradient_checkpointing=half,
                use_cpu=not on_gpu,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                max_length=MAX_TOKENS,
                logging_steps=1,
                **fields,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(folder),
            callbacks=[clock],
            peft_config=lora,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.seconds


def order_of(examples: batches.Examples, pairs=PAIRS_PER_STEP, budget: int = 4096) -> list[int]:
    """The order in which rulekit's trainer takes the examples."""
    steps = batches.Steps(examples.tokens, pairs, budget, seed=0)
    return [int(row) for step in steps for part in step for row in part.rows]


def rate(seconds: list[float], tokens: int, skip: int = 0) -> float:
    """Tokens a second; the first `skip` steps warm up and their share of tokens goes with them."""
    return tokens * (len(seconds) - skip) / len(seconds) / sum(seconds[skip:])


def on_cpu(steps: int, repeats: int) -> None:
    pairs = rk.load_pairs("hh-rlhf/harmless-base-test").sample(fraction=1.0, shuffle=True, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name), pairs, SMALL, 8192)
        examples = examples_of(pairs, folder, steps * PAIRS_PER_STEP)
        order, tokens = order_of(examples), int(examples.tokens.sum())
        lengths = [len(ids) for group in examples.sequences for ids in group]
        print(
            f"{len(examples)} pairs, {tokens} tokens, lengths median {np.median(lengths):.0f}, "
            f"longest {max(lengths)}; {torch.get_num_threads()} threads, "
            f"{'processor' if Clock.cpu else 'wall'} seconds, torch {torch.__version__}"
        )
        runs = {
            "rulekit": lambda: ours(folder, examples)[0],
            "TRL, dynamic padding": lambda: trl(folder, examples, order),
            "TRL, padded to 1,024": lambda: trl(
                folder, examples, order, pad_to_multiple_of=MAX_TOKENS
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


# One GPU ------------------------------------------------------------------------------------------

STEP = {name: PRESETS["h200-8b"][name] for name in ("pairs_per_step", "token_budget")}
TINY_STEP = {"pairs_per_step": 4, "token_budget": 2 * MAX_TOKENS}
OWN = {
    "random_weights": True,
    "precision": "bf16-stochastic",
    "optimizer_states": "bf16",
    "checkpointed_layers": "all",
    "learning_rate": 5e-6,
    "max_tokens": MAX_TOKENS,
    "evaluation_share": 0.0,
}
RULEKIT = {
    "full": OWN,
    "full-24": OWN | {"checkpointed_layers": 24},
    "lora": OWN | {"lora": {"rank": 16}, "learning_rate": 1e-4},
}
TRL = {"trl": {}, "trl-padded": {"pad_to_multiple_of": MAX_TOKENS}, "trl-lora": {"lora": 16}}
CASES = (*RULEKIT, *TRL, "loss")
WARM_UP = 2  # steps


def on_gpu(only: list[str], steps: int, tiny: bool) -> bool:
    """Every case in a line of JSON; whether all of them could be measured and the loss fell."""
    if device().type != "cuda" and not tiny:
        print("no GPU here: not measured")
        return True
    pairs = rk.load_pairs("hh-rlhf/harmless-base-test").sample(fraction=1.0, shuffle=True, seed=0)
    pairs = pairs.head(400) if tiny else pairs
    peak = matrix_peak(256 if tiny else 8192)
    common = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "torch": torch.__version__,
        "model": "tiny" if tiny else "8B",
        "peak_tflops": round(peak / 1e12, 4),
    }
    good, step = True, TINY_STEP if tiny else STEP
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name), pairs, TINY if tiny else EIGHT, 8192 if tiny else 128_256)
        examples = examples_of(pairs, folder, steps * step["pairs_per_step"])
        for case in only:
            found = {"case": case} | common
            try:
                with _emptied():
                    if case == "loss":
                        found |= (
                            loss_falls(folder, pairs, 40, 1e-2)
                            if tiny
                            else loss_falls(folder, pairs)
                        )
                    else:
                        found |= speed(case, folder, examples, step, peak)
            except Exception as error:
                found["failed"] = (
                    f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
                )
            good &= "failed" not in found
            print(json.dumps(found), flush=True)
    return good


@contextlib.contextmanager
def _emptied() -> Iterator[None]:
    """The device's memory without what an earlier case left, and its peak counted from here."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield


def speed(case: str, folder: Path, examples: batches.Examples, step: dict, peak: float) -> dict:
    """Tokens a second, share of the matrix peak, memory; the plan goes to stderr."""
    fields = RULEKIT.get(case, RULEKIT["lora" if case == "trl-lora" else "full"]) | step
    expected = rk.training.plan(load_config(fields | {"model": str(folder)}), examples.tokens)
    found = {}
    if case in RULEKIT:
        print(f"{case}\n{expected}", file=sys.stderr, flush=True)
        found["planned_gb"] = round(expected.total_gb, 1)
        seconds, _ = ours(folder, examples, **fields)
    else:
        seconds = _their_steps(folder, examples, step, **TRL[case])
    rate_found = rate(seconds, int(examples.tokens.sum()), skip=WARM_UP)
    memory = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None
    return found | {
        "tokens_per_second": round(rate_found, 1),
        "share_of_peak": round(rate_found * expected.flops / expected.tokens / peak, 4),
        "peak_memory_gb": memory and round(memory, 1),
        "steps": len(seconds) - WARM_UP,
        "seconds_a_step": round(statistics.median(seconds[WARM_UP:]), 3),
    }


def _their_steps(
    folder: Path, examples: batches.Examples, step: dict, lora: int | None = None, **fields
) -> list[float]:
    """TRL's steps of the same pairs, in passes that padded to 1,024 fill the token budget."""
    pairs, budget = step["pairs_per_step"], step["token_budget"]
    if lora:
        from peft import LoraConfig

        lora = LoraConfig(task_type="SEQ_CLS", r=lora, lora_alpha=32, target_modules="all-linear")
    return trl(
        folder,
        examples,
        order_of(examples, pairs, budget),
        half=True,
        lora=lora,
        pairs=pairs,
        passes=2 * pairs * MAX_TOKENS // budget,
        **fields,
    )


def loss_falls(folder: Path, pairs: pl.DataFrame, steps=200, learning_rate=2e-5) -> dict:
    """Mean loss of the first and the last tenth of the steps on responses that end in yes or no."""
    ends = [
        (pl.col(f"response_{side}") + word).alias(f"response_{side}")
        for side, word in (("a", " Yes."), ("b", " No."))
    ]
    examples = examples_of(pairs.with_columns(ends), folder, steps // 4 * PAIRS_PER_STEP)
    _, log = ours(folder, examples, **OWN | {"max_steps": steps, "learning_rate": learning_rate})
    tenth = steps // 10
    first, last = (
        statistics.mean(row["loss"] for row in part) for part in (log[:tenth], log[-tenth:])
    )
    found = {"steps": len(log), "first_loss": round(first, 4), "last_loss": round(last, 4)}
    if not last < first:
        found["failed"] = f"the loss did not fall: {first:.4f} to {last:.4f}"
    return found


def matrix_peak(n: int) -> float:
    """bfloat16 operations a second of a large square product, the best of ten."""
    a = torch.randn(n, n, device=device(), dtype=torch.bfloat16)
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
    parser.add_argument(
        "--cpu-seconds",
        action="store_true",
        help="count the processor's seconds: for a machine that others use too",
    )
    parser.add_argument("--encoder", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES, help="with --gpu")
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="with --gpu: a tiny model, on a CPU where there is no GPU",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    Clock.cpu = arguments.cpu_seconds
    if arguments.gpu:
        sys.exit(not on_gpu(arguments.only, max(arguments.steps, WARM_UP + 1), arguments.tiny))
    elif arguments.encoder:
        encoder()
    else:
        on_cpu(arguments.steps, arguments.repeats)

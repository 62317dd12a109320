"""The shared pass against one pass a rule: same model, same ratings, same run.

    python tests/benchmarks/local_judge.py [--threads 2] [--repeats 5] [--sample 6] [--lengths 200 500 1000]
    python tests/benchmarks/local_judge.py --model smollm2-135m     a real one instead of random weights

One conversation of the given length under the 100 embedded rules, a Llama of 8 layers and hidden
size 512 with random weights (or the model that is named, with its own tokenizer). The tokens are
those of the embedded encoder's tokenizer, so that rules have the length they have for a real model. One pass a rule is timed on `--sample` rules and
scaled. Both ways alternate, and the medians of wall clock and of the process's CPU time are
printed: on a shared machine the CPU time with one thread is the steadier of the two. Scores of
the sampled rules are compared; `sd` is the spread of the shared pass's scores over the rules. An 8B
model on a GPU is measured by `rulekit bench gpu`.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch

import rulekit as rk
from rulekit.judges import LocalJudge, Rating, Usage
from rulekit.judges.prompts import ANSWERS
from rulekit.throughput import random_models

SMALL = {
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "vocab_size": 32_000,
}
TEMPLATES = ("conversation_first", "conversation_first_short")


def conversations(tokenizer, tokens: int, n: int = 1) -> tuple[list[str], list[str]]:
    """Prompts of a quarter and responses of three quarters of `tokens`, from the embedded pairs."""
    return random_models.conversations(tokenizer, random_models.corpus_words(), tokens, n)


def timed(call) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def score(rating: Rating) -> np.ndarray:
    p = rating.probabilities
    return p[..., ANSWERS.index("yes")] - p[..., ANSWERS.index("no")]


def token_ratio(usage: Usage) -> float:
    """How many times fewer tokens than with one pass a rating."""
    return usage.tokens_one_by_one / usage.tokens


def on_cpu(threads: int, repeats: int, sample: int, lengths: list[int], model: str) -> None:
    torch.set_num_threads(threads)
    rules = rk.RuleSet.load(rk.files.resource("data/rules.yaml"))
    chosen = np.linspace(0, len(rules) - 1, sample).astype(int)
    few = rk.RuleSet(tuple(rules[int(j)] for j in chosen))
    print(
        f"{len(rules)} rules, {threads} thread(s), medians of {repeats}, one pass a rule from {sample} rules"
    )
    print(
        "conversation  template                  type      tokens ÷  wall ÷  share   cpu ÷  share  max |Δ score|  sd"
    )
    exact = {}
    for dtype in (torch.float32, torch.bfloat16):
        for tokens in lengths:
            for template in TEMPLATES:
                if model:
                    kind = str(dtype).removeprefix("torch.")
                    shared = LocalJudge.load(model, None, template, kind, "cpu", least_mass=0)
                else:
                    shared = random_models.random_judge(
                        SMALL, dtype, torch.device("cpu"), template=template
                    )
                alone = LocalJudge(
                    shared.model,
                    shared.tokenizer,
                    "random",
                    template,
                    tokens_per_batch=1,
                    attention="separate",
                    least_mass=0,
                )
                talk = conversations(shared.tokenizer, tokens)
                one_by_one, together = alone.rate(*talk, few), shared.rate(*talk, rules)
                expected, found = score(one_by_one), score(together)
                ratio = token_ratio(together.usage)
                speeds = []
                for _ in range(repeats):
                    one = timed(lambda j=alone, t=talk: j.rate(*t, few))
                    # The sampled rules may be longer or shorter than the others.
                    scale = together.usage.tokens_one_by_one / one_by_one.usage.tokens
                    all_at_once = timed(lambda j=shared, t=talk: j.rate(*t, rules))
                    speeds.append([scale * x / y for x, y in zip(one, all_at_once, strict=True)])
                wall, cpu = (statistics.median(x) for x in zip(*speeds, strict=True))
                exact.setdefault((tokens, template), found)
                change = np.abs(found[:, chosen] - expected).max()
                print(
                    f"{tokens:12d}  {template:24s}  {str(dtype)[6:]:8s}  {ratio:8.1f}  {wall:6.1f}"
                    f"  {wall / ratio:5.2f}  {cpu:6.1f}  {cpu / ratio:5.2f}  {change:13.1e}"
                    f"  {found.std():.1e}",
                    flush=True,
                )
                if dtype == torch.bfloat16:
                    drift = np.abs(found - exact[tokens, template])
                    print(
                        f"{'':14s}against float32: max |Δ score| {drift.max():.1e}, mean {drift.mean():.1e}"
                    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sample", type=int, default=6)
    parser.add_argument("--lengths", type=int, nargs="+", default=[200, 500, 1000])
    parser.add_argument("--model", default="", help="a folder or a name; default: random weights")
    a = parser.parse_args()
    warnings.filterwarnings("ignore", message="the three answers hold")  # random weights
    on_cpu(a.threads, a.repeats, a.sample, a.lengths, a.model)


if __name__ == "__main__":
    main()

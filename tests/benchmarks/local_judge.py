"""The shared pass against one pass a rule: same model, same ratings, same run.

    python tests/benchmarks/local_judge.py [--threads 2] [--repeats 5] [--sample 6] [--lengths 200 500 1000]
    python tests/benchmarks/local_judge.py --model smollm2-135m     a real one instead of random weights
    python tests/benchmarks/local_judge.py --gpu            an 8B model with random weights on a GPU

One conversation of the given length under the 100 embedded rules, a Llama of 8 layers and hidden
size 512 with random weights (or the model that is named, with its own tokenizer). The tokens are those of the embedded encoder's tokenizer, so that
rules have the length they have for a real model. One pass a rule is timed on `--sample` rules and
scaled. Both ways alternate, and the medians of wall clock and of the process's CPU time are
printed: on a shared machine the CPU time with one thread is the steadier of the two. Scores of
the sampled rules are compared; `sd` is the spread of the shared pass's scores over the rules.
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

import rulekit as rk
from rulekit import encoder
from rulekit.inputs import sources
from rulekit.inputs.pairs import prompt_text
from rulekit.judges import LocalJudge, Rating, Usage
from rulekit.judges.prompts import ANSWERS

SMALL = {
    "hidden_size": 512,
    "intermediate_size": 1376,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "vocab_size": 32_000,
}
LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
}
SPECIAL = ["<|begin|>", "<|header|>", "<|close|>", "<|turn|>"]
CHAT = (  # Llama 3's: four tokens open the answer
    "<|begin|>{% for m in messages %}<|header|>{{ m['role'] }}<|close|>\n\n{{ m['content'] | trim }}"
    "<|turn|>{% endfor %}{% if add_generation_prompt %}<|header|>assistant<|close|>\n\n{% endif %}"
)
TEMPLATES = ("conversation_first", "conversation_first_short")


def judge(settings: dict, dtype: torch.dtype, device: str = "cpu", **more) -> LocalJudge:
    """A Llama from a configuration, random weights, and the encoder's tokenizer with chat marks."""
    tokenizer = AutoTokenizer.from_pretrained(encoder.folder())
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template, tokenizer.model_max_length = CHAT, 10**6
    torch.manual_seed(0)
    config = LlamaConfig(**settings, max_position_embeddings=8192, dtype=dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return LocalJudge(model.eval(), tokenizer, "random", least_mass=0, **more)


def conversations(tokenizer, tokens: int, n: int = 1) -> tuple[list[str], list[str]]:
    """Prompts of a quarter and responses of three quarters of `tokens`, from the embedded pairs."""
    pairs = sources.load("embedded")
    words = [
        w
        for p, r in zip(pairs["prompt"], pairs["response_a"], strict=True)
        for w in f"{prompt_text(p)} {r}".split()
    ]
    rng = np.random.default_rng(0)

    def text(size: int) -> str:
        chosen = " ".join(rng.choice(words, 2 * size))
        ids = tokenizer.encode(chosen, add_special_tokens=False)[:size]
        return tokenizer.decode(ids)

    return [text(tokens // 4) for _ in range(n)], [text(tokens - tokens // 4) for _ in range(n)]


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
                    shared = judge(SMALL, dtype, template=template)
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


def matmul_peak() -> float:
    """FLOP/s of the largest bfloat16 product in reach, measured here."""
    n = 8192
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(50):
        a @ b
    torch.cuda.synchronize()
    return 50 * 2 * n**3 / (time.perf_counter() - start)


def on_gpu(responses: int, length: int, repeats: int) -> None:
    """8B, 100 rules, conversations of 300 tokens: both attentions, then one by one at its best."""
    rules = rk.RuleSet.load(rk.files.resource("data/rules.yaml"))
    peak = matmul_peak()
    print(f"{torch.cuda.get_device_name()}: matmul peak {peak / 1e12:.0f} TFLOP/s")
    base = judge(LLAMA_8B, torch.bfloat16, "cuda", template="conversation_first_short")
    prompts, texts = conversations(base.tokenizer, length, responses)
    weights = sum(
        p.numel()
        for n, p in base.model.named_parameters()
        if p.ndim == 2 and "embed" not in n and "lm_head" not in n
    )

    def measure(name: str, j: LocalJudge, n: int, some: rk.RuleSet) -> tuple[float, float]:
        j.rate(prompts[:n], texts[:n], some)  # compiles and checks
        torch.cuda.reset_peak_memory_stats()
        seconds = []
        for _ in range(repeats):
            torch.cuda.synchronize()
            start = time.perf_counter()
            rating = j.rate(prompts[:n], texts[:n], some)
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        t, tokens = statistics.median(seconds), rating.usage.tokens
        rate = n / t
        print(
            f"{name:28s} {rate:8.3f} responses/s  {tokens / t:9.0f} tokens/s  "
            f"{2 * weights * tokens / t / peak:5.1%} of peak  "
            f"{torch.cuda.max_memory_allocated() / 2**30:5.1f} GiB  way {j.attention}  "
            f"answer mass {rating.mass.mean():.1e}",
            flush=True,
        )
        return rate, token_ratio(rating.usage)

    found = {}
    for attention in ("grouped", "flex"):
        for budget in (8_192, 16_384, 32_768):
            j = LocalJudge(
                base.model,
                base.tokenizer,
                "random",
                base.template,
                budget,
                attention=attention,
                least_mass=0,
            )
            found[attention, budget], ratio = measure(
                f"{attention}, {budget} a pass", j, responses, rules
            )
    alone = {}
    for batch in (1, 4, 16, 64, 128):
        j = LocalJudge(
            base.model,
            base.tokenizer,
            "random",
            base.template,
            batch * (length + 200),
            attention="separate",
            least_mass=0,
        )
        alone[batch], _ = measure(f"one by one, about {batch} a batch", j, 2, rules)
    best = max(found.values()) / max(alone.values())
    print(
        f"shared ÷ one by one at their best: {best:.1f} (tokens {ratio:.1f}, share {best / ratio:.2f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sample", type=int, default=6)
    parser.add_argument("--lengths", type=int, nargs="+", default=[200, 500, 1000])
    parser.add_argument("--responses", type=int, default=32, help="with --gpu")
    parser.add_argument("--model", default="", help="a folder or a name; default: random weights")
    a = parser.parse_args()
    warnings.filterwarnings("ignore", message="the three answers hold")  # random weights
    if a.gpu:
        on_gpu(a.responses, 300, a.repeats)
    else:
        on_cpu(a.threads, a.repeats, a.sample, a.lengths, a.model)


if __name__ == "__main__":
    main()

"""A judge of random weights under 100 rules: responses a second in one pass, and one by one."""

from __future__ import annotations

import statistics
import time
import warnings

import torch

from rulekit.inputs import RuleSet
from rulekit.judges import LocalJudge
from rulekit.throughput.clock import peak_memory_gb, wait
from rulekit.throughput.random_models import (
    SIZES,
    conversations,
    corpus_words,
    device,
    random_judge,
)

TOKENS = 300  # of a conversation
_TEMPLATE = "conversation_first_short"


def shared_pass(setting) -> dict:
    """The best of both attentions and two budgets of a pass."""
    tiny = setting.size == "tiny"
    base, rules, talk = _prepared(setting, responses=2 if tiny else 16)
    ways = ("grouped",) if device().type == "cpu" else ("grouped", "flex")
    rows = []
    for attention in ways:
        for budget in (2_048,) if tiny else (16_384, 32_768):
            judge = _judge(base, budget, attention)
            row = _measured(judge, talk, rules, base.model, setting)
            rows.append({"attention": judge.attention, "tokens_per_pass": budget} | row)
    return _best(rows)


def one_by_one(setting) -> dict:
    """A pass a rule, at the best of five batch sizes."""
    tiny = setting.size == "tiny"
    base, rules, talk = _prepared(setting, responses=1)
    rows = []
    for batch in (1, 8) if tiny else (1, 4, 16, 64, 128):
        judge = _judge(base, batch * (TOKENS + 200), "separate")
        row = _measured(judge, talk, rules, base.model, setting)
        rows.append({"batch": batch} | row)
    return _best(rows)


def _prepared(setting, responses: int):
    rules = RuleSet.load("embedded")
    base = random_judge(SIZES[setting.size], torch.bfloat16, device(), template=_TEMPLATE)
    return base, rules, conversations(base.tokenizer, corpus_words(), TOKENS, responses)


def _judge(base: LocalJudge, budget: int, attention: str) -> LocalJudge:
    return LocalJudge(
        base.model, base.tokenizer, "random", _TEMPLATE, budget, attention=attention, least_mass=0
    )


def _measured(judge: LocalJudge, talk, rules: RuleSet, model, setting) -> dict:
    """Responses and tokens a second, median of three; the first run compiles and checks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the three answers hold")  # random weights
        judge.rate(*talk, rules)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        seconds = []
        for _ in range(3):
            wait()
            begun = time.perf_counter()
            rating = judge.rate(*talk, rules)
            wait()
            seconds.append(time.perf_counter() - begun)
    took, usage = statistics.median(seconds), rating.usage
    weights = sum(
        p.numel()
        for name, p in model.named_parameters()
        if p.ndim == 2 and "embed" not in name and "lm_head" not in name
    )
    found = {
        "responses_per_second": round(len(talk[0]) / took, 4),
        "tokens_per_second": round(usage.tokens / took, 1),
        "token_ratio": round(usage.tokens_one_by_one / usage.tokens, 2),
        "peak_memory_gb": peak_memory_gb(),
    }
    if setting.peak:
        found["share_of_peak"] = round(2 * weights * usage.tokens / took / setting.peak, 4)
    return found


def _best(rows: list[dict]) -> dict:
    """The fastest of several ways, with all of them below it."""
    return max(rows, key=lambda row: row["responses_per_second"]) | {"tried": rows}

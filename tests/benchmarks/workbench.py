"""How long the explorers take to show another choice on 100,000 pairs under 100 rules.

    python tests/benchmarks/workbench.py [N]        default: 100000 pairs

A change is everything from a moved control to the messages for the browser. Medians of five changes
in milliseconds, on the clock and of the processor; what is worked out once (a selector's first use) is
the column `first`.
"""

import statistics
import sys
import time

import numpy as np
import polars as pl

import rulekit as rk

RULES = 100
WORDS = np.array(["the", "a", "dog", "cat", "runs", "then", "it", "says", "yes", "rules", "will"])


def timed(name: str, changes) -> None:
    """Do every change of a list and print its times."""
    wall, cpu = [], []
    for change in changes:
        start, own = time.perf_counter(), time.process_time()
        change()
        wall.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - own))
    middle = statistics.median(wall[1:]), statistics.median(cpu[1:])
    print(f"{name:34} {middle[0]:6.0f} {middle[1]:10.0f} {wall[0]:8.0f}", flush=True)


def data(n: int) -> tuple[pl.DataFrame, rk.Scores, rk.RuleSet]:
    """Pairs with texts of 60 words, rules that are right more often than wrong."""
    rng = np.random.default_rng(0)
    y = rng.choice([-1, 1], n)
    delta = (rng.normal(0, 0.3, (n, RULES)) + 0.05 * y[:, None]).clip(-1, 1).astype(np.float32)
    delta[rng.random((n, RULES)) < 0.5] = 0
    rules = rk.RuleSet.from_texts(f"The response is good in way {i}." for i in range(RULES))
    texts = {
        side: [f"{' '.join(WORDS[rng.integers(0, len(WORDS), 60)])} {side}{i}" for i in range(n)]
        for side in ("response_a", "response_b")
    }
    about = {"prompt": [f"What about {i // 3}?" for i in range(n)], "preference": y}
    names = {"pair_id": [f"p{i:06}" for i in range(n)]}
    pairs = pl.DataFrame({**names, **about, **texts, "category": ["x", "y"] * (n // 2)})
    ids = {"rule_ids": rules.ids, "pair_ids": names["pair_id"]}
    return pairs, rk.Scores.from_discrepancy(delta, **ids), rules


def main(n: int) -> None:
    pairs, scores, rules = data(n)
    print(f"{n:,} pairs × {RULES} rules{'':16} clock  processor    first")
    start = time.perf_counter()
    tool = rk.workbench.pairs(pairs, scores, rules=rules)
    tool.widget()
    print(f"pair explorer, made in {time.perf_counter() - start:.1f} s")
    searched = ("dog cat", "b77", "yes yes", "cat dog", "rules will", "it says")
    for name, part, values in (
        ("another k", "k", range(3, 9)),
        ("another pair", "pair", [f"p{i * 777:06}" for i in range(6)]),
        ("a search", "search", searched),
        (
            "a column to sort by",
            "sort",
            ["margin", "contested", "prompt", "label", "margin", "known"],
        ),
        ("a filter", "filters", [(("margin", "≥", str(i / 9)),) for i in range(6)]),
        ("an order", "order", ["uncertain", "contested", "wrong", "random", "uncertain", ""]),
    ):
        timed(name, [lambda v=v, part=part: tool.change(**{part: v}) for v in values])
    del tool
    start = time.perf_counter()
    tool = rk.workbench.rules(pairs, scores, rules)
    tool.widget()
    print(f"rule explorer, made in {time.perf_counter() - start:.1f} s")
    ids = rules.ids
    for name, part, values in (
        ("a rule switched off", "off", [ids[: i + 1] for i in range(6)]),
        ("another rule", "rule", ids[20:26]),
        (
            "a column to sort by",
            "sort",
            ["coverage", "accuracy", "redundancy", "tokens", "sign", "rule"],
        ),
        ("another k", "k", range(2, 8)),
        ("many rules switched off", "off", [ids[: 40 + i] for i in range(6)]),
    ):
        timed(name, [lambda v=v, part=part: tool.change(**{part: v}) for v in values])
    del tool
    start = time.perf_counter()
    tool = rk.workbench.theory(correlation=0.2)
    tool.widget()
    print(f"theory lab, made in {time.perf_counter() - start:.1f} s")
    for name, part, values in (
        ("another k", "k", range(3, 9)),
        ("another accuracy", "accuracy", [0.6 + i / 100 for i in range(6)]),
        ("another correlation", "correlation", [0.1 + i / 20 for i in range(6)]),
        ("more labels", "labelled", range(100, 160, 10)),
    ):
        timed(name, [lambda v=v, part=part: tool.change(**{part: v}) for v in values])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)

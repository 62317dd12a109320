"""Selection of 5 of 100 rules against its peers and one read of the arrays, in one run.

    python tests/benchmarks/selection.py [N ...]        default: 200000 1000000 pairs

Criterion: relevance + |δ| / 2. Medians of five calls (the loop: one call on 1,000 pairs, scaled).
GB is what a call adds at most to the memory of the process (Linux), the scores not counted.
"""

import ctypes
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

import rulekit as rk

K, RULES, LOOP_ROWS = 5, 100, 1000
THREADS = len(os.sched_getaffinity(0))


def numpy_argpartition(s: rk.Scores) -> np.ndarray:
    criterion = s.relevance + np.abs(s.a - s.b) / 2
    return np.argpartition(-criterion, K, axis=1)[:, :K]


def torch_topk(s: rk.Scores) -> torch.Tensor:
    a, b, relevance = map(torch.from_numpy, (s.a, s.b, s.relevance))
    return torch.topk(relevance + (a - b).abs() / 2, K, dim=1).indices


def pair_loop(s: rk.Scores) -> list[list[int]]:
    """One pair after the other in Python, as the authors do with pandas rows."""
    out = []
    for a, b, relevance in zip(s.a.tolist(), s.b.tolist(), s.relevance.tolist(), strict=True):
        scored = [
            (r + abs(x - y) / 2, j) for j, (x, y, r) in enumerate(zip(a, b, relevance, strict=True))
        ]
        out.append([j for _, j in sorted(scored, key=lambda c: -c[0])[:K]])
    return out


def one_read(s: rk.Scores) -> float:
    """The floor: every score read once, on all threads."""
    parts = [p for x in (s.a, s.b, s.relevance) for p in np.array_split(x.reshape(-1), 4 * THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        return max(pool.map(np.max, parts))


def seconds(call, s: rk.Scores, repeats: int = 5) -> float:
    call(s)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call(s)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(call, s: rk.Scores) -> float:
    """GB by which the resident memory of the process grows at most during a call."""

    def resident(field: str) -> int:
        lines = (process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

    process = Path("/proc/self")
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed goes back first
    (process / "clear_refs").write_text("5")  # the high-water mark begins anew
    before = resident("VmRSS")
    call(s)
    return (resident("VmHWM") - before) * 1024 / 1e9


def main() -> None:
    for n in [int(x) for x in sys.argv[1:]] or [200_000, 1_000_000]:
        rng = np.random.default_rng(0)
        a, b, relevance = (rng.random((n, RULES), dtype=np.float32) for _ in range(3))
        s = rk.Scores(2 * a - 1, 2 * b - 1, relevance)
        whole = {
            "rulekit": lambda x: rk.select(x, K, "relevance_discrepancy"),
            "one read of the arrays": one_read,
            "numpy argpartition": numpy_argpartition,
            "torch.topk": torch_topk,
        }
        times = {name: (seconds(call, s), peak(call, s)) for name, call in whole.items()}
        few = s.rows(np.arange(LOOP_ROWS))
        scaled = seconds(pair_loop, few, 1) * n / LOOP_ROWS, peak(pair_loop, few) * n / LOOP_ROWS
        times[f"loop over pairs (from {LOOP_ROWS})"] = scaled
        ours = times["rulekit"][0]
        print(f"{n:,} pairs, {K} of {RULES} rules, {THREADS} threads")
        for name, (taken, gb) in times.items():
            print(f"  {name:28s} {taken:9.3f} s {gb:7.2f} GB {taken / ours:9.2f} × rulekit")


if __name__ == "__main__":
    main()

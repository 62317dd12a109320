"""Estimates and Dawid–Skene labels against their peers on the same scores, in one run.

    python tests/benchmarks/estimates.py [N ...]        default: 100000 pairs

100 rules, every pair labelled, one call each. Peers: scikit-learn's ridge logistic regression, one
fit of the 126 that `bradley_terry` averages (seven centres, nine widths, two powers), scaled; and
crowd-kit's Dawid–Skene (where it is installed) on a tenth of the pairs twice, as it needs them to
be symmetric, for 50 iterations, scaled, memory too. GB is what a call adds at most to the memory of
the process (Linux), the scores not counted. The aim: under 10 s and 1 GB at 100,000 pairs.
"""

import ctypes
import importlib.util
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import rulekit as rk
from rulekit.kernels.threads import cores
from rulekit.theory.simulation import simulate

RULES, FITS, PART = 100, 126, 10
ITERATIONS = 50


def measured(call) -> tuple[float, float]:
    """Seconds of a call, and GB by which the memory of the process grows at most."""

    def resident(field: str) -> int:
        lines = (process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

    process = Path("/proc/self")
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed goes back first
    (process / "clear_refs").write_text("5")  # the high-water mark begins anew
    before, start = resident("VmRSS"), time.perf_counter()
    call()
    return time.perf_counter() - start, (resident("VmHWM") - before) * 1024 / 1e9


def logistic(scores: rk.Scores, y: np.ndarray) -> LogisticRegression:
    """One fit, ridge, no intercept, of scikit-learn's fastest solver for many rows."""
    z = scores.discrepancy.astype(np.float64)
    z /= z.std(axis=0)
    return LogisticRegression(C=0.1, fit_intercept=False, solver="newton-cholesky").fit(z, y)


def crowd_kit(votes: np.ndarray) -> np.ndarray:
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    both = np.concatenate([votes, -votes])
    task, worker = np.nonzero(both)
    table = pd.DataFrame({"task": task, "worker": worker, "label": both[task, worker].astype(int)})
    with warnings.catch_warnings():  # it uses what pandas will drop
        warnings.simplefilter("ignore")
        return DawidSkene(n_iter=ITERATIONS, tol=-np.inf).fit(table).probas_.to_numpy()


def row(name: str, found: tuple[float, float], ours: float | None = None) -> None:
    seconds, gb = found
    ratio = "" if ours is None else f"{seconds / ours:9.1f} × rulekit"
    print(f"  {name:56s} {seconds:8.2f} s {gb:6.2f} GB {ratio}", flush=True)


def main() -> None:
    for n in [int(x) for x in sys.argv[1:]] or [100_000]:
        warm = simulate("equal", 300, RULES)
        rk.estimate(warm.scores, warm.preference)
        print(f"{n:,} pairs, {RULES} rules, {cores()} threads")
        for regime in ("shared_noise", "noise"):
            s = simulate("equal" if regime == "noise" else regime, n, RULES)
            scores, y = s.scores, s.preference
            if regime == "noise":  # nothing to find: everything iterates longest
                y = np.random.default_rng(1).choice([-1, 1], n)
                scores = rk.Scores.from_discrepancy(
                    np.random.default_rng(2).uniform(-1, 1, (n, RULES))
                )
            print(f" {regime}")
            ours = {
                "estimate, every pair labelled": lambda s=scores, y=y: rk.estimate(s, y),
                "estimate, no label": lambda s=scores: rk.estimate(s),
                "estimate dawid_skene": lambda s=scores: rk.estimate(s, None, "dawid_skene"),
                "label dawid_skene": lambda s=scores: rk.label(s, None, "dawid_skene"),
            }
            times = {name: measured(call) for name, call in ours.items()}
            for name, found in times.items():
                row(name, found)
            with threadpool_limits(1, "blas"):  # as rulekit does
                seconds, gb = measured(lambda s=scores, y=y: logistic(s, y))
            name = f"scikit-learn, {FITS} logistic fits (from 1)"
            row(name, (seconds * FITS, gb), times["estimate, every pair labelled"][0])
            if importlib.util.find_spec("crowdkit"):
                votes = scores.rows(np.arange(n // PART)).votes
                seconds, gb = measured(lambda v=votes: crowd_kit(v))
                name = f"crowd-kit, {ITERATIONS} iterations (from {n // PART:,} pairs)"
                row(name, (seconds * PART, gb * PART), times["label dawid_skene"][0])


if __name__ == "__main__":
    main()

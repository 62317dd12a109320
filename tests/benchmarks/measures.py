"""Do intervals cover what they say where pairs share prompts, and what do a hundred thousand cost?

    python tests/benchmarks/measures.py [--repeats 1000] [--only coverage|differences|speed]

Coverage: accuracies of .5 to .99 of 5 to 200 prompts with 1 to 6 pairs each, intraclass correlation
0 to .8, drawn in two ways: a prompt's accuracy from a beta distribution, and prompts that are right
or wrong as a whole among others whose pairs are independent. A row a method and number of prompts:
coverage at an accuracy of .7 and over all accuracies, the least of any setting, and mean width.
Nominal is .95; with 1,000 repeats the least of so many settings comes out .02 below what it is.
Differences likewise, of two margins on the same pairs. The bootstraps have a tenth of the repeats.

Speed: a paired difference of 100,000 pairs, wall time (median of three) and the most memory that a
process of its own held, interpreter included, beside resampling whole matrices at once, as is common,
and `scipy.stats.permutation_test`.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import polars as pl
from scipy.stats import beta, norm, permutation_test, t

from rulekit import measures

Z = norm.ppf(0.975)
PROMPTS = (5, 8, 12, 20, 50, 144, 200)
CORRELATIONS = (0.0, 0.2, 0.5, 0.8)
DRAWS = 400  # of a bootstrap


def wilson_of_pairs(x, size):
    return measures.wilson(x.sum(), int(size.sum()))


def draws(x, size, rng):
    weights = rng.multinomial(len(x), np.full(len(x), 1 / len(x)), DRAWS)
    return weights @ x / (weights @ size)


def percentile_bootstrap(x, size, rng):
    return np.quantile(draws(x, size, rng), (0.025, 0.975))


def expanded_bootstrap(x, size, rng):
    """What `measures.bootstrap` does, without its checks."""
    g = len(x)
    tail = norm.cdf(-np.sqrt(g / (g - 1)) * t.ppf(0.975, g - 1))
    return np.quantile(draws(x, size, rng), (tail, 1 - tail))


def cluster_t(x, size):
    g, n = len(x), size.sum()
    error = np.sqrt(g / (g - 1) * ((x - x.sum() / n * size) ** 2).sum()) / n
    return x.sum() / n + np.array((-1, 1)) * t.ppf(0.975, g - 1) * error


def korn_graubard_1998(x, size):
    """Clopper and Pearson's limits at n over the plain design effect, as survey packages have them."""
    g, n = len(x), size.sum()
    p = x.sum() / n
    variance = g / (g - 1) * ((x - p * size) ** 2).sum() / n**2
    cases = n if variance == 0 else p * (1 - p) / variance
    cases = min(n, cases * (t.ppf(0.975, n - 1) / t.ppf(0.975, g - 1)) ** 2)
    right = p * cases
    low = beta.ppf(0.025, right, cases - right + 1) if p > 0 else 0
    return low, beta.ppf(0.975, right + 1, cases - right) if p < 1 else 1


def pairs(plus, minus, size):
    """Every pair's value from each prompt's counts of +1 and -1, and its prompt."""
    counts = np.stack([plus, size - plus - minus, minus], axis=1).astype(int)
    values = np.repeat(np.tile([1.0, 0.0, -1.0], len(size)), counts.ravel())
    return values, np.repeat(np.arange(len(size)), size)


def kit(x, size):
    return measures.mean_interval(*pairs(x, np.zeros_like(x), size), bounds=(0, 1))


def kit_difference(plus, minus, size):
    return measures.mean_interval(*pairs(plus, minus, size), bounds=(-1, 1))


ACCURACY = {
    "Wilson over pairs": wilson_of_pairs,
    "percentile bootstrap": percentile_bootstrap,
    "expanded bootstrap": expanded_bootstrap,
    "cluster-robust t": cluster_t,
    "Korn and Graubard 1998": korn_graubard_1998,
    "rulekit": kit,
}
DIFFERENCE = {
    "percentile bootstrap": lambda a, b, size, rng: percentile_bootstrap(a - b, size, rng),
    "cluster-robust t": lambda a, b, size: cluster_t(a - b, size),
    "rulekit": kit_difference,
}


def sampled(share, correlation: float, how: str, size, repeats: int, rng):
    """Counts of each kind of pair in each prompt, (kinds, repeats, prompts); `share` of each kind."""
    shape, share = (repeats, len(size)), np.asarray(share, float)
    own = np.broadcast_to(share, (*shape, len(share)))
    whole = np.zeros(shape, bool)
    if correlation and how == "beta":
        spread = (1 - correlation) / correlation
        own = rng.gamma(np.maximum(share * spread, 1e-12), size=(*shape, len(share)))
        own = own / own.sum(axis=2, keepdims=True).clip(1e-300)
    elif correlation:
        whole = rng.random(shape) < correlation
    counts = rng.multinomial(np.where(whole, 0, size), own)
    kind = rng.choice(len(share), p=share, size=shape)
    counts += (whole * size)[..., None] * (kind[..., None] == np.arange(len(share)))
    return np.moveaxis(counts, 2, 0).astype(float)


def coverage(name: str, methods: dict, shares: list, truth, repeats: int) -> None:
    middle = shares[1]
    rng, rows = np.random.default_rng(0), []
    for prompts in PROMPTS:
        for sizes in ([1], [6], [1, 2, 3, 4, 5, 6]):
            size = np.resize(sizes, prompts)
            for share in shares:
                for correlation in CORRELATIONS if sizes != [1] else (0.0,):
                    for how in ("beta", "whole prompts") if correlation else ("beta",):
                        found = sampled(share, correlation, how, size, repeats, rng)[:-1]
                        for method, interval in methods.items():
                            rows.append(
                                {"interval": method, "prompts": prompts, "middle": share == middle}
                                | covered(interval, method, found, size, truth(share), rng)
                            )
    table = pl.DataFrame(rows).group_by("interval", "prompts", maintain_order=True)
    table = table.agg(
        pl.col("covers").filter("middle").mean().alias("in the middle"),
        pl.col("covers").mean().alias("over all"),
        pl.col("covers").min().alias("at the least"),
        pl.col("width").mean(),
    )
    print(f"\n{name}: coverage of 95 % intervals, and their width ({repeats} repeats a setting)")
    for column in table.columns[2:]:
        print(f"\n{column}".ljust(26) + "".join(f"{g:>7}" for g in PROMPTS) + "  prompts")
        for method in methods:
            values = table.filter(pl.col("interval") == method)[column]
            print(f"  {method:23s}" + "".join(f"{v:7.3f}" for v in values))


def covered(interval, method: str, found, size, truth: float, rng) -> dict:
    """How often an interval of each draw holds the truth, equal draws computed once."""
    seen, hits, widths = {}, [], []
    boots = "bootstrap" in method
    for row in np.moveaxis(found, 1, 0)[: len(found[0]) // 10 if boots else None]:
        order = np.lexsort((*row, size))
        key = (row[:, order].tobytes(), size[order].tobytes())
        if key not in seen:
            seen[key] = interval(*row, size, *([rng] if boots else []))
        low, high = seen[key]
        hits.append(low - 1e-9 <= truth <= high + 1e-9)
        widths.append(high - low)
    return {"covers": float(np.mean(hits)), "width": float(np.mean(widths))}


def margins(n: int):
    rng = np.random.default_rng(0)
    truth = rng.choice([-1, 1], n)
    first, second = (np.where(rng.random(n) < p, truth, -truth) for p in (0.7, 0.69))
    return first, second, truth


def whole_matrices(gain, groups, resamples: int = 10_000):
    """Percentile bootstrap and sign flips, all draws at once."""
    _, group = np.unique(groups, return_inverse=True)
    total, size = np.bincount(group, gain), np.bincount(group)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(total), size=(resamples, len(total)))
    mean = total[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    flips = rng.choice([-1.0, 1.0], size=(resamples, len(total)))
    return np.quantile(mean, (0.025, 0.975)), (np.abs(flips @ total) >= abs(total.sum())).mean()


def scipy_flips(gain, groups):
    total = np.bincount(np.unique(groups, return_inverse=True)[1], gain)
    return permutation_test(
        (total,), np.sum, permutation_type="samples", n_resamples=9999, batch=100, rng=0
    ).pvalue


def work(name: str, n: int, per_prompt: int):
    first, second, truth = margins(n)
    groups = None if per_prompt == 1 else np.arange(n) // per_prompt
    gain, group = (first - second) * truth / 2, np.arange(n) // per_prompt
    orders = np.random.default_rng(1).binomial(20, 0.5, (2, n)) / 20
    return {
        "paired_difference": lambda: measures.paired_difference(first, second, truth, groups),
        "mean_difference, means of 20 orders": lambda: measures.mean_difference(
            orders[0] - orders[1], groups
        ),
        "pairwise_accuracy": lambda: measures.pairwise_accuracy(first, truth, groups),
        "calibration_error": lambda: measures.calibration_error(orders[0], truth > 0),
        "brier_score": lambda: measures.brier_score(orders[0], truth > 0, groups),
        "whole matrices": lambda: whole_matrices(gain, group),
        "scipy permutation_test alone": lambda: scipy_flips(gain, group),
    }[name]


def measure(name: str, n: int, per_prompt: int) -> None:
    """In a process of its own: seconds and memory of one work."""
    work(name, 100, per_prompt)()
    call, times = work(name, n, per_prompt), []
    for _ in range(1 if name in ("whole matrices", "scipy permutation_test alone") else 3):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # KiB on Linux
    print(json.dumps({"seconds": statistics.median(times), "GB": peak}))


def speed() -> None:
    names = ("paired_difference", "mean_difference, means of 20 orders", "pairwise_accuracy")
    names += ("calibration_error", "brier_score", "whole matrices", "scipy permutation_test alone")
    for n, per_prompt in ((100_000, 5), (10_000, 1), (100_000, 1)):
        print(f"\n{n:,} pairs, {n // per_prompt:,} prompts".ljust(42) + "seconds     GB   ratio")
        ours = None
        for name in names:
            if name in names[-2:] and n // per_prompt > 20_000:
                needed = 2 * 8 * 10_000 * n // per_prompt / 1e9
                why = "three minutes" if name == names[-1] else f"{needed:.0f} GB and more"
                print(f"  {name:38s} not run: {why}")
                continue
            command = [sys.executable, __file__, "--measure", name, str(n), str(per_prompt)]
            found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            ours = ours or found["seconds"]
            ratio = "" if name in names[1:5] else f"{found['seconds'] / ours:8.1f}"
            print(f"  {name:38s}{found['seconds']:9.3f}{found['GB']:7.2f}{ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--only", choices=("coverage", "differences", "speed"))
    chosen = parser.parse_args()
    if chosen.only in (None, "coverage"):
        shares = [(p, 1 - p) for p in (0.5, 0.7, 0.9, 0.95, 0.98, 0.99)]
        coverage("Accuracy", ACCURACY, shares, lambda share: share[0], chosen.repeats)
    if chosen.only in (None, "differences"):
        shares = [(0.01, 0, 0.99), (0.2, 0.1, 0.7), (0.05, 0.05, 0.9), (0.2, 0, 0.8)]
        shares += [(0.3, 0.3, 0.4), (0.9, 0, 0.1), (0.9, 0.1, 0)]  # +1, -1 and 0
        coverage("Difference", DIFFERENCE, shares, lambda s: s[0] - s[1], chosen.repeats)
    if chosen.only in (None, "speed"):
        speed()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()

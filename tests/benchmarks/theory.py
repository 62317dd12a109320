"""Every subset of 5 of 100 rules: is the one of largest |p - ½| the most informative?

    python tests/benchmarks/theory.py [n_rules ...]        default: 100

Accuracies uniform in [0, 1], Y equiprobable. The peer computes the same quantity vectorised in
NumPy, on one thread, for the first 200,000 subsets. Compilation is not counted.
"""

import math
import sys
import time
from itertools import combinations, islice

import numpy as np

from rulekit import theory
from rulekit.kernels.threads import cores

K, PEER_SUBSETS, CHUNK = 5, 200_000, 10_000


def numpy_information(epsilon: np.ndarray) -> np.ndarray:
    """I(votes; Y) in bits of each row of 2p - 1, (n, k) → (n,)."""
    u, d = np.zeros((len(epsilon), 1)), epsilon[:, :1]
    for e in epsilon[:, 1:].T[:, :, None]:
        step, drift = e * d, e * (1 + u)
        u, d = np.hstack([u + step, u - step]), np.hstack([d + drift, d - drift])
    correlation = ((1 + u) * np.log1p(u) - u).mean(axis=1)
    up, down = (1 + epsilon) * np.log1p(epsilon), (1 - epsilon) * np.log1p(-epsilon)
    return ((up + down).sum(axis=1) / 2 - correlation) / math.log(2)


def peer(epsilon: np.ndarray) -> tuple[float, float]:
    """Subsets a second of NumPy, and the best information found."""
    subsets = islice(combinations(range(len(epsilon)), K), PEER_SUBSETS)
    rows = epsilon[np.fromiter(subsets, dtype=np.dtype((np.int64, K)))]
    start = time.perf_counter()
    best = max(numpy_information(rows[i : i + CHUNK]).max() for i in range(0, len(rows), CHUNK))
    return len(rows) / (time.perf_counter() - start), best


def main() -> None:
    theory.best_subset(np.linspace(0.4, 0.9, 7), K)
    for n_rules in [int(a) for a in sys.argv[1:]] or [100]:
        p = np.random.default_rng(0).random(n_rules)
        start = time.perf_counter()
        found, bits = theory.best_subset(p, K)
        seconds = time.perf_counter() - start
        subsets = math.comb(n_rules, K)
        top = np.sort(np.argsort(-np.abs(p - 0.5), kind="stable")[:K])
        rate = subsets / seconds
        plain, _ = peer(2 * p - 1)
        print(
            f"C({n_rules}, {K}) = {subsets:,} subsets: {seconds:.2f} s on "
            f"{cores()} cores, {rate:,.0f} subsets/s\n"
            f"best {found.tolist()}, {bits:.12f} bits; the {K} largest |p - 1/2| "
            f"{'are' if (found == top).all() else 'ARE NOT'} the best\n"
            f"NumPy {plain:,.0f} subsets/s on one thread: {rate / plain:.1f} times as fast"
        )


if __name__ == "__main__":
    main()

"""Information estimates against their peers on the same arrays, in one run.

    python tests/benchmarks/information.py [row ...]     default: every row

Rows: votes, redundancy, ross, mixed, rules, permutations, and accuracy, which takes hours and is
not among the default. 100 rules. Ours: median of five calls after a warm-up; peers: one call, on
fewer rules, pairs or permutations where the output says so, scaled in time, not in memory. Before
timing, both must give the same values where they are the same estimate. MB is what a call adds at
most to the memory of the process (Linux), Numba's and scikit-learn's own arrays included, the
inputs not counted.
"""

import ctypes
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.feature_selection import mutual_info_classif
from sklearn.feature_selection._mutual_info import _compute_mi_cd
from sklearn.metrics import mutual_info_score

import rulekit as rk
from rulekit.information import neighbours
from rulekit.information.halves import HALVINGS
from rulekit.kernels.threads import cores
from tests.oracles import gao_information

RULES = 100
info = rk.information


def votes_and_preference(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Votes, int8 (n, RULES), three tenths of them 0, and a preference, int8 (n,)."""
    rng = np.random.default_rng(0)
    y = rng.choice(np.array([-1, 1], np.int8), n)
    right = rng.random((n, RULES), dtype=np.float32) < np.linspace(0.5, 0.7, RULES)
    votes = np.where(right, y[:, None], -y[:, None])
    votes[rng.random((n, RULES), dtype=np.float32) < 0.3] = 0
    return votes, y


def discrepancies(n: int, rules: int, zeros: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    y = rng.choice([-1, 1], n)
    delta = rng.standard_normal((n, rules)) + np.linspace(0, 0.5, rules) * y[:, None]
    return np.where(rng.random((n, rules)) < zeros, 0.0, delta), y


def seconds(call, repeats: int = 1) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak(call) -> float:
    """MB by which the resident memory of the process grows at most during a call."""

    def resident(field: str) -> int:
        lines = (process / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

    process = Path("/proc/self")
    ctypes.CDLL(None).malloc_trim(0)  # what earlier calls freed goes back first
    (process / "clear_refs").write_text("5")  # the high-water mark begins anew
    before = resident("VmRSS")
    call()
    return (resident("VmHWM") - before) * 1024 / 1e6


def report(work: str, ours, peer, scale: float, of: str, aim: float) -> None:
    ours()
    fast, slow = seconds(ours, 5), seconds(peer) * scale
    ratio = slow / fast
    verdict = "meets" if ratio >= aim else "MISSES"
    print(f"{work}\n  rulekit {fast:9.4f} s {peak(ours):9.1f} MB")
    print(f"  peer    {slow:9.4f} s {peak(peer):9.1f} MB   {of}")
    print(f"  ratio   {ratio:9.1f} ×   {verdict} the aim of {aim:g} ×", flush=True)


def votes() -> None:
    n, part = 1_000_000, 5
    v, y = votes_and_preference(n)

    def peer():
        return [mutual_info_score(v[:, j], y) for j in range(part)]

    assert np.allclose(
        info.rule_mutual_information(v, y, "plugin", "nats")[:part], peer(), atol=1e-12
    )
    report(
        f"MI of every vote with Y, N = {n:,}",
        lambda: info.rule_mutual_information(v, y),
        peer,
        RULES / part,
        f"scikit-learn mutual_info_score, scaled from {part} rules",
        30,
    )


def redundancy() -> None:
    n, pairs = 100_000, [(i, i + 7) for i in range(0, 90, 5)]
    v, _ = votes_and_preference(n)

    def peer():
        return [mutual_info_score(v[:, i], v[:, j]) for i, j in pairs]

    found = info.redundancy_matrix(v, "nats")
    assert np.allclose([found[p] for p in pairs], peer(), atol=1e-12)
    every = RULES * (RULES + 1) // 2
    report(
        f"redundancy matrix, N = {n:,}",
        lambda: info.redundancy_matrix(v),
        peer,
        every / len(pairs),
        f"scikit-learn mutual_info_score, scaled from {len(pairs)} of {every:,} pairs of rules",
        200,
    )


def ross() -> None:
    n, part = 100_000, 4
    for zeros, estimator, aim in ((0.0, "ross", 50), (0.4, "mixed", 80)):
        x, y = discrepancies(n, RULES, zeros)
        kept = np.ascontiguousarray(x[:, -part:])

        def ours(x=x, y=y, estimator=estimator):
            return neighbours.class_information(x, y, estimator, "nats", 3)

        def peer(jobs=None, kept=kept, y=y):
            return mutual_info_classif(kept, y, random_state=0, n_jobs=jobs)

        if not zeros:
            exact = [_compute_mi_cd(column, y, 3) for column in kept.T]
            assert np.allclose(ours()[-part:], exact, atol=1e-9)
        report(
            f"continuous–discrete MI, {RULES} rules, N = {n:,}, {estimator}, {zeros:.0%} zeros",
            ours,
            peer,
            RULES / part,
            f"mutual_info_classif as by default (one process), scaled from {part} rules",
            aim,
        )
        peer(2)  # its worker processes start
        slow, fast = seconds(lambda peer=peer: peer(2)) * RULES / part, seconds(ours, 5)
        print(f"  with n_jobs=2 the peer takes {slow:.4f} s, {slow / fast:.1f} ×")


def mixed() -> None:
    n = 10_000
    x, _ = discrepancies(n, 1, 0.0)
    second = x[:, 0] + np.random.default_rng(2).standard_normal(n)
    offset = neighbours.digammas(n)[n] - np.log(n)  # ψ(N) here, log N there
    for step in (0.0, 0.01):
        u, v = (np.rint(z / step) * step if step else z for z in (x[:, 0], second))

        def ours(u=u, v=v):
            return info.mutual_information(u, v, "mixed", "nats")

        def peer(u=u, v=v):
            return gao_information(u[:, None], v[:, None], 3)

        assert step or abs(ours() - peer() - offset) < 1e-9
        what = (
            "Mixed_KSG, the algorithm that its authors published in Python, stated anew in\n"
            "          tests/oracles.py: the same cKDTree queries in the same loop over points"
        )
        grid = f"in steps of {step}" if step else "without ties"
        report(f"mixed MI of two quantities {grid}, N = {n:,}", ours, peer, 1, what, 20)


def rules() -> None:
    for n, aim in ((10_000, 3), (100_000, 10)):
        x, y = discrepancies(n, RULES, 0.3)
        x = np.round(x, 3).astype(np.float32)
        info.rule_information(x[:500], y[:500])

        def ours(x=x, y=y):
            return info.rule_information(x, y)

        def peer(x=x, y=y, half=n // 2):
            mutual_info_classif(x[:half, -1:], y[:half], random_state=0)

        fast, slow = seconds(ours, 3), seconds(peer) * RULES * 2 * HALVINGS
        verdict = "meets" if fast <= aim else "MISSES"
        print(f"estimates, intervals and p-values of {RULES} discrepancies, N = {n:,}")
        print(f"  rulekit {fast:9.4f} s {peak(ours):9.1f} MB   {verdict} the aim of {aim} s")
        print(
            f"  peer    {slow:9.4f} s   mutual_info_classif on the halves that the intervals take,"
        )
        print(f"  ratio   {slow / fast:9.1f} ×   scaled from one", flush=True)


def accuracy() -> None:
    import polars as pl

    repeats = {200: 400, 1000: 300, 10_000: 60, 100_000: 20}
    frame = info.estimator_accuracy(repeats)
    by = ["y", "dependent", "n"]
    worst = frame.group_by(by, maintain_order=True).agg(
        pl.col("bias").abs().max().alias("largest bias"),
        pl.col("error").max().alias("its error, at most"),
        pl.col("covers").min().alias("least coverage"),
        pl.col("covers").mean().alias("mean coverage"),
        pl.col("peer_bias").abs().max().alias("scikit-learn's largest bias"),
    )
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=160, float_precision=4):
        print(worst)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, float_precision=4):
        print(frame.filter((pl.col("bias").abs() > 0.01) | (pl.col("covers") < 0.93)), flush=True)


def permutations() -> None:
    n, times, part = 100_000, 1000, 5
    v, y = votes_and_preference(n)
    full = np.where(v == 0, 1, v).astype(np.int8)
    rng = np.random.default_rng(0)

    def loop(x):
        return [mutual_info_score(x[:, j], rng.permutation(y)) for j in range(part)]

    of = f"scikit-learn on shuffled Y, scaled from one permutation of {part} rules"
    scale = times * RULES / part
    name = f"{times:,} permutations of the vote MI, N = {n:,}, "
    cases = (
        ("no abstention (exact)", full, False),
        ("with abstentions (tables drawn)", v, False),
        ("family-wise (shared shuffles)", v, True),
    )
    for case, x, family in cases:
        report(
            name + case,
            lambda x=x, f=family: info.permutation_test(x, y, times, family_wise=f),
            lambda x=x: loop(x),
            scale,
            of,
            100,
        )


def main() -> None:
    rows = {f.__name__: f for f in (votes, redundancy, ross, mixed, rules, permutations, accuracy)}
    wanted = sys.argv[1:] or [name for name in rows if name != "accuracy"]
    for name in wanted:
        if name not in rows:
            raise SystemExit(f"unknown row {name!r}; allowed: {', '.join(rows)}")
    print(f"{RULES} rules, {cores()} threads; a ratio holds for a machine that does nothing else")
    for name in wanted:
        rows[name]()


if __name__ == "__main__":
    main()

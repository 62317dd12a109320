"""Time and peak memory as the number of pairs grows, in memory and streamed from Parquet.

    python tests/benchmarks/growth.py [N ...] [--memory-up-to N] [--chart FILE] [--folder DIR]

Default: 10,000 to 1,000,000 pairs of 100 rules. 10,000,000 pairs are 12 GB of scores on disk and
more than that in memory, so beyond --memory-up-to (1,000,000) they are only streamed, 65,536 pairs
at a time. Each figure comes from a process of its own: wall time after a warm-up on other data,
median of three calls up to 1,000,000 pairs and one call beyond (streamed: reading included, the
file in the page cache where that is large enough), and the most memory the process ever held,
interpreter included. Every work is done on one core and on two; the results must be equal, to the
last bit, between cores and between memory and stream. "read alone" says what of a streamed figure
is reading.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

import rulekit as rk

K, RULES, BLOCK = 5, 100, 65_536
BYTES_A_PAIR = 3 * 4 * RULES
info = rk.information


def preference(n: int) -> np.ndarray:
    return np.random.default_rng(0).choice(np.array([-1, 1], np.int8), n)


def blocks(n: int) -> Iterator[rk.Scores]:
    """Uniform scores with a shift towards the preference that grows with the rule's number."""
    y, shift = preference(n), np.linspace(0, 0.2, RULES, dtype=np.float32)
    for start in range(0, n, BLOCK):
        rows = min(BLOCK, n - start)
        rng = np.random.default_rng([1, start])
        a, b, relevance = (rng.random((rows, RULES), dtype=np.float32) for _ in range(3))
        towards = y[start : start + rows, None] * shift
        a, b = (1 - shift) * (2 * a - 1) + towards, (1 - shift) * (2 * b - 1) - towards
        yield rk.Scores(np.clip(a, -1, 1), np.clip(b, -1, 1), relevance)


def chosen_and_labels(parts: Iterator[rk.Scores], n: int) -> list[np.ndarray]:
    indices, labels, start = np.empty((n, K), np.uint8), np.empty(n, np.int8), 0
    for scores in parts:
        chosen = rk.select(scores, K, "relevance_discrepancy")
        stop = start + scores.n_pairs
        indices[start:stop] = chosen.indices
        labels[start:stop] = rk.label(scores, chosen).preference
        start = stop
    return [indices, labels]


def vote_information(parts: Iterator[rk.Scores], n: int) -> list[np.ndarray]:
    y, tables, start = preference(n), 0, 0
    for scores in parts:
        votes, stop = np.sign(scores.discrepancy), start + scores.n_pairs
        tables = tables + info.vote_tables(votes, y[start:stop])
        start = stop
    return [info.table_information(tables)]


def redundancy(parts: Iterator[rk.Scores], n: int) -> list[np.ndarray]:
    tables = sum(info.rule_tables(np.sign(scores.discrepancy)) for scores in parts)
    return [info.table_information(tables, "plugin")]


def read_alone(parts: Iterator[rk.Scores], n: int) -> list[np.ndarray]:
    return [np.array(sum(scores.n_pairs for scores in parts))]


WORKS = {
    f"select {K} of {RULES} and label": chosen_and_labels,
    "MI of every vote with Y": vote_information,
    "redundancy matrix": redundancy,
    "read alone": read_alone,
}


def measure(path: str, n: int, work: str, mode: str) -> None:
    """In a process of its own: one work, its seconds, memory and a digest of the result."""
    call, relevance = WORKS[work], work.startswith(("select", "read"))
    call(iter([next(blocks(1000))]), 1000)
    next(rk.Scores.batches(path, 1))
    whole, times = [rk.Scores.read(path)] if mode == "in memory" else None, []
    for _ in range(3 if n <= 1_000_000 else 1):
        start = time.perf_counter()
        parts = iter(whole) if whole else rk.Scores.batches(path, BLOCK, relevance)
        result = call(parts, n)
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    digest = hashlib.sha256(b"".join(x.tobytes() for x in result)).hexdigest()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # KiB on Linux
    print(json.dumps({"seconds": seconds, "GB": peak, "digest": digest}))


def apart(path: Path, n: int, work: str, mode: str, cores: list[int]) -> dict:
    command = [sys.executable, __file__, "--measure", str(path), str(n), work, mode]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        env={**os.environ, "POLARS_MAX_THREADS": str(len(cores))},
    )
    return json.loads(done.stdout)


def grow(path: Path, n: int, modes: list[str]) -> Iterator[dict]:
    """The rows of one number of pairs; raises if two results of a work differ."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    for work in WORKS:
        digests = set()
        for mode in modes:
            if work == "read alone" and mode == "in memory":
                continue
            for used in (cores[:1], cores):
                found = apart(path, n, work, mode, used)
                digests.add(found.pop("digest"))
                print(
                    f"  {work:24s} {mode:10s} {len(used)} core(s)"
                    f" {found['seconds']:9.3f} s {found['GB']:7.2f} GB",
                    flush=True,
                )
                row = {"work": work, "mode": mode, "pairs": n, "threads": len(used)}
                yield {**row, **found}
        assert len(digests) == 1, f"{work}, {n:,} pairs: results differ"


def draw(rows: list[dict], file: str) -> None:
    table = pl.DataFrame(rows)
    most = table.filter(pl.col("threads") == table["threads"].max())
    title = f"Time grows with the pairs; streamed, memory hardly does ({most['threads'][0]} cores)"
    rk.plots.growth(most, title).save(file, scale_factor=2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--memory-up-to", type=int, default=1_000_000)
    parser.add_argument("--chart", help="write the chart to this file, SVG or PNG, after each size")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="for the Parquet file")
    chosen, rows = parser.parse_args(), []
    for n in sorted(chosen.sizes):
        with tempfile.TemporaryDirectory(dir=chosen.folder) as place:
            if n * BYTES_A_PAIR * 1.5 > shutil.disk_usage(place).free:
                print(f"{n:,} pairs left out: they take {n * BYTES_A_PAIR / 1e9:.1f} GB of disk")
                continue
            path = rk.Scores.write_batches(Path(place) / "scores.parquet", blocks(n))
            print(f"{n:,} pairs, {path.stat().st_size / 1e9:.2f} GB on disk", flush=True)
            modes = ["in memory"] * (n <= chosen.memory_up_to) + ["streamed"]
            rows += grow(path, n, modes)
            print("  results equal on one and two cores, and in memory and streamed where both ran")
        if chosen.chart and len({row["pairs"] for row in rows}) > 1:
            draw(rows, chosen.chart)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
    else:
        main()

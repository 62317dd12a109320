"""The store of ratings: size on disk, time to write, time to resume and peak memory, beside SQLite.

    python tests/benchmarks/store.py [--large] [--folder FOLDER]

Synthetic ratings under 100 rules, 10^6 of them; with --large also 10^8 (SQLite at 10^6 only; the
last lines say how much disk that takes). Every phase runs in a process of its own. To resume is to
open the store and look up every (response, rule) once, as `annotate` does; the last table is
`annotate_to_folder` itself with a judge that costs nothing, from nothing and again with everything
stored. Peak memory is that of the process's own pages; the mapped files belong to the page cache
and can be dropped at any time.
"""

import argparse
import multiprocessing
import shutil
import sqlite3
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.rating.annotation import annotate_to_folder
from rulekit.rating.ledger import Ledger
from rulekit.rating.sorted_parts import KEY, RECORD
from rulekit.rating.store import Store

RULES, BATCH, LOOKED_UP = 100, 1000, 4096  # responses a batch and a look-up


def response_keys(n: int) -> np.ndarray:
    return np.frombuffer(np.random.default_rng(1).bytes(16 * n), KEY)


def rule_keys() -> np.ndarray:
    return np.frombuffer(np.random.default_rng(2).bytes(16 * RULES), KEY)


def ratings(start: int, n: int) -> np.ndarray:
    """Float32 (n, RULES, 3), the same for the same start."""
    p = np.random.default_rng(start).random((n, RULES, 3), dtype=np.float32)
    return p / p.sum(axis=2, keepdims=True)


def fill_store(folder: str, n: int) -> None:
    keys, rules = response_keys(n), rule_keys()
    with Store(folder, "benchmark") as store:
        for i in range(0, n, BATCH):
            store.add(keys[i : i + BATCH], rules, ratings(i, min(BATCH, n - i)))


def resume_store(folder: str, n: int) -> int:
    keys, rules, missing = np.sort(response_keys(n)), rule_keys(), 0
    with Store(folder, "benchmark") as store:
        for i in range(0, n, LOOKED_UP):
            missing += int(np.isnan(store.get(keys[i : i + LOOKED_UP], rules)[..., 0]).sum())
    return missing


def check_store(folder: str, n: int) -> int:
    keys, rules = response_keys(n), rule_keys()
    with Store(folder, "benchmark") as store:
        store.verify()
        wrong = sum(
            int((store.get(keys[i : i + BATCH], rules) != ratings(i, BATCH)).sum())
            for i in range(0, n, max(BATCH, n // 50 // BATCH * BATCH))
        )
        return wrong + len(store) - n * RULES


def merge_store(folder: str, n: int) -> None:
    with Store(folder, "benchmark") as store:
        store.compact()


class FreeJudge:
    """Rates at random and at no cost."""

    identity = "benchmark"

    def rate(self, prompts, responses, rules, mask=None) -> np.ndarray:
        p = np.random.default_rng(len(responses[0])).random(
            (len(responses), len(rules), 3), np.float32
        )
        return p / p.sum(axis=2, keepdims=True)


def annotate_all(folder: str, n: int) -> int:
    """Both responses of n / 2 pairs; the number of ratings that were found in the store."""
    number = pl.select(pl.int_range(n // 2).cast(pl.String)).to_series()
    pairs = pl.DataFrame(
        {
            "pair_id": number,
            "prompt": "question " + number,
            "response_a": "answer " + number,
            "response_b": "no answer to " + number,
            "preference": 1,
        }
    )
    rules, ledger = RuleSet.from_texts([f"Promise {j} is kept." for j in range(RULES)]), Ledger()
    annotate_to_folder(
        f"{folder}/out", pairs, rules, FreeJudge(), folder, batch=BATCH, ledger=ledger
    )
    return ledger.stored


def start_only(folder: str, n: int) -> None:
    """What the imports alone take."""
    time.sleep(0.1)


def fill_sqlite(folder: str, n: int) -> None:
    keys, rules = response_keys(n), rule_keys()
    base = sqlite3.connect(f"{folder}/ratings.sqlite")
    base.execute("pragma journal_mode = wal")
    base.execute(
        "create table r (response blob, rule blob, no real, irrelevant real, yes real, "
        "primary key (response, rule)) without rowid"
    )
    names = [bytes(r).ljust(16, b"\0") for r in rules]
    for i in range(0, n, BATCH):
        p = ratings(i, min(BATCH, n - i)).astype(float)
        rows = (
            (bytes(k).ljust(16, b"\0"), names[j], *p[a, j].tolist())
            for a, k in enumerate(keys[i : i + BATCH])
            for j in range(RULES)
        )
        with base:
            base.executemany("insert or ignore into r values (?, ?, ?, ?, ?)", rows)
    base.execute("pragma wal_checkpoint(truncate)")
    base.close()


def resume_sqlite(folder: str, n: int) -> int:
    base, missing = sqlite3.connect(f"{folder}/ratings.sqlite"), 0
    for key in np.sort(response_keys(n)):
        query = "select rule, no, irrelevant, yes from r where response = ?"
        missing += RULES - len(base.execute(query, (bytes(key).ljust(16, b"\0"),)).fetchall())
    return missing


def _watch(call, folder: str, n: int, pipe) -> None:
    peak, done = 0, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.01):
            status = Path("/proc/self/status").read_text()
            peak = max(peak, int(status.split("RssAnon:")[1].split()[0]))

    thread = threading.Thread(target=sample)
    thread.start()
    start = time.perf_counter()
    result = call(folder, n)
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    pipe.send((seconds, peak / 1024, result))


def measured(call, folder: str, n: int) -> tuple[float, float, object]:
    """Seconds, peak of the process's own memory in MiB, result."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_watch, args=(call, folder, n, theirs))
    process.start()
    theirs.close()
    out = mine.recv()
    process.join()
    return out


def size(folder: str) -> int:
    return sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file())


def store_table(sizes: list[int], where: str | None) -> None:
    ways = {"rulekit": (fill_store, resume_store), "SQLite": (fill_sqlite, resume_sqlite)}
    print(
        f"{'ratings':>12} {'':10} {'bytes each':>10} {'write s':>9} {'MiB':>6} {'resume s':>9} {'MiB':>6}"
    )
    for n in sizes:
        for name, (fill, resume) in ways.items():
            if n > 10**4 and name != "rulekit":
                continue
            folder = tempfile.mkdtemp(dir=where)
            try:
                write_s, write_mib, _ = measured(fill, folder, n)
                before = size(folder)
                resume_s, resume_mib, missing = measured(resume, folder, n)
                print(
                    f"{n * RULES:12,} {name:10} {before / n / RULES:10.2f} {write_s:9.2f} "
                    f"{write_mib:6.0f} {resume_s:9.2f} {resume_mib:6.0f}"
                )
                assert missing == 0
                if name == "rulekit":
                    merge_s, merge_mib, _ = measured(merge_store, folder, n)
                    check_s, _, wrong = measured(check_store, folder, n)
                    print(
                        f"{'':12} {'  merged':10} {size(folder) / n / RULES:10.2f} {merge_s:9.2f} "
                        f"{merge_mib:6.0f}   every part's checksum and a sample: {wrong} wrong, "
                        f"{check_s:.1f} s"
                    )
            finally:
                shutil.rmtree(folder)


def annotate_table(sizes: list[int], where: str | None) -> None:
    _, base, _ = measured(start_only, "", 0)
    print(f"\nannotate_to_folder; {base:.0f} MiB of the peak are there before it starts")
    print(f"{'ratings':>12} {'rate s':>9} {'MiB':>6} {'resume s':>9} {'MiB':>6}")
    for n in sizes:
        folder = tempfile.mkdtemp(dir=where)
        try:
            rate_s, rate_mib, _ = measured(annotate_all, folder, n)
            again_s, again_mib, stored = measured(annotate_all, folder, n)
            assert stored == n * RULES
            print(f"{n * RULES:12,} {rate_s:9.2f} {rate_mib:6.0f} {again_s:9.2f} {again_mib:6.0f}")
        finally:
            shutil.rmtree(folder)


def paper(ratings: int = 10**8) -> None:
    """What follows from the format alone."""
    responses = ratings // RULES
    merged = ratings * (4 * 4 + 2) + responses * (16 + 8)
    print(
        f"\non paper, {ratings:.0e} ratings of {responses:.0e} responses under {RULES} rules: "
        f"{ratings * RECORD.itemsize / 1e9:.1f} GB if all of it were in logs "
        f"({RECORD.itemsize} bytes a rating: two keys of 16, four numbers of 4), "
        f"{merged / 1e9:.2f} GB merged (18 bytes a rating, 24 a response), and up to as much "
        f"again while the last merge runs; in memory, a bit a rating and about 70 bytes a "
        f"response: {(ratings / 8 + 70 * responses) / 2**20:.0f} MiB besides the texts"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true", help="also 10^8 ratings")
    parser.add_argument("--folder", help="where to put the stores (default: a temporary folder)")
    arguments = parser.parse_args()
    store_table([10**4, 10**6] if arguments.large else [10**4], arguments.folder)
    annotate_table([4 * 10**3, 4 * 10**4], arguments.folder)
    paper()


if __name__ == "__main__":
    main()

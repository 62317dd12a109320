"""The store of ratings: time to write and to find again, bytes a rating, memory; kills and damage by the hundred.

    python tests/benchmarks/store.py [--large] [--kills N] [--damage N] [--folder FOLDER]

Synthetic ratings under 100 rules, 10^6 of them, with --large also 10^7, beside the floor: the same
float32 numbers as one plain file, flushed to disk after every batch too, and read. To find again is
to open the store and look up every (response, rule) once, as `annotate` does. The second table is
`annotate` with ``out=`` and a judge that costs nothing, from nothing and again with everything
stored. Every phase runs in a process of its own; memory is the peak of its own pages.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.judges import Rating
from rulekit.rating.annotation import annotate
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import KEY, Store
from tests.rating.damage import fuzz, fuzzed_store
from tests.rating.helpers import assert_whole
from tests.rating.processes import kill_often

RULES, BATCH, LOOKED_UP = 100, 1000, 2600  # responses a batch and a look-up


def response_keys(n: int) -> np.ndarray:
    return np.frombuffer(np.random.default_rng(1).bytes(16 * n), KEY)


def rule_keys() -> np.ndarray:
    return np.frombuffer(np.random.default_rng(2).bytes(16 * RULES), KEY)


def ratings(start: int, n: int) -> np.ndarray:
    """Float32 (n, RULES, 4), the same for the same start."""
    p = np.random.default_rng(start).random((n, RULES, 4), dtype=np.float32)
    p[..., :3] /= p[..., :3].sum(axis=2, keepdims=True)
    return p


def make_only(folder: str, n: int) -> None:
    """What the numbers themselves take; it is taken off the times to write."""
    for i in range(0, n, BATCH):
        ratings(i, min(BATCH, n - i))


def fill_store(folder: str, n: int) -> None:
    keys, rules = response_keys(n), rule_keys()
    with Store(f"{folder}/r.sqlite") as store:
        for i in range(0, n, BATCH):
            p = ratings(i, min(BATCH, n - i))
            store.add("benchmark", keys[i : i + BATCH], rules, p[..., :3], p[..., 3])


def find_store(folder: str, n: int) -> int:
    keys, rules, missing = np.sort(response_keys(n)), rule_keys(), 0
    with Store(f"{folder}/r.sqlite") as store:
        for i in range(0, n, LOOKED_UP):
            found = store.get("benchmark", keys[i : i + LOOKED_UP], rules)
            missing += int(np.isnan(found[..., 0]).sum())
    return missing


def check_store(folder: str, n: int) -> int:
    keys, rules = response_keys(n), rule_keys()
    with Store(f"{folder}/r.sqlite") as store:
        wrong = sum(
            int((store.get("benchmark", keys[i : i + BATCH], rules) != ratings(i, BATCH)).sum())
            for i in range(0, n, max(BATCH, n // 50 // BATCH * BATCH))
        )
        return wrong + store.check()["ratings"] - n * RULES


def fill_floor(folder: str, n: int) -> None:
    with Path(f"{folder}/raw").open("wb") as file:
        for i in range(0, n, BATCH):
            file.write(ratings(i, min(BATCH, n - i)).tobytes())
            file.flush()
            os.fsync(file.fileno())


def find_floor(folder: str, n: int) -> int:
    missing = 0
    with Path(f"{folder}/raw").open("rb") as file:
        while data := file.read(LOOKED_UP * RULES * 16):
            missing += int(np.isnan(np.frombuffer(data, np.float32)).sum())
    return missing


class FreeJudge:
    """Rates at random and at no cost."""

    identity = "benchmark"

    def rate(self, prompts, responses, rules, mask=None) -> Rating:
        p = np.random.default_rng(len(responses[0])).random(
            (len(responses), len(rules), 3), np.float32
        )
        return Rating(p / p.sum(axis=2, keepdims=True))


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
    where = {"store": f"{folder}/r.sqlite", "out": f"{folder}/out"}
    annotate(pairs, rules, FreeJudge(), **where, batch=BATCH, ledger=ledger)
    return ledger.stored


def start_only(folder: str, n: int) -> None:
    """What the imports alone take."""
    time.sleep(0.1)


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


def store_table(sizes: list[int], where: str | None) -> None:
    ways = {"rulekit": (fill_store, find_store), "floor": (fill_floor, find_floor)}
    print(
        f"{'ratings':>12} {'':8} {'bytes each':>10} {'write s':>8} {'a second':>10} {'MiB':>5} "
        f"{'find s':>7} {'a second':>11} {'MiB':>5}"
    )
    for n in sizes:
        for name, (fill, find) in ways.items():
            folder, total = tempfile.mkdtemp(dir=where), n * RULES
            try:
                made_s, _, _ = measured(make_only, folder, n)
                write_s, write_mib, _ = measured(fill, folder, n)
                write_s -= made_s
                size = sum(f.stat().st_size for f in Path(folder).iterdir())
                find_s, find_mib, missing = measured(find, folder, n)
                print(
                    f"{total:12,} {name:8} {size / total:10.2f} {write_s:8.2f} "
                    f"{total / write_s:10,.0f} {write_mib:5.0f} {find_s:7.2f} "
                    f"{total / find_s:11,.0f} {find_mib:5.0f}"
                )
                assert missing == 0
                if name == "rulekit":
                    check_s, check_mib, wrong = measured(check_store, folder, n)
                    print(
                        f"{'':12} checked whole, and a sample: {wrong} wrong, {check_s:.1f} s, "
                        f"{check_mib:.0f} MiB"
                    )
            finally:
                shutil.rmtree(folder)


def annotate_table(sizes: list[int], where: str | None) -> None:
    _, base, _ = measured(start_only, "", 0)
    print(f"\nannotate; {base:.0f} MiB of the peak are there before it starts")
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


def kill_table(kills: int, where: str | None) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.rating.processes"])
    with tempfile.TemporaryDirectory(dir=where) as folder:
        n = 28 * kills
        kill_often(context, f"{folder}/r.sqlite", kills, n)
        assert_whole(f"{folder}/r.sqlite", n)
    print(f"\n{kills} kills: all ratings are there, right and once")


def damage_table(trials: int, where: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=where) as folder:
        path = Path(folder) / "r.sqlite"
        outcomes = fuzz(path, fuzzed_store(path), trials, seed=1)
    print(f"\n{trials} damaged files: {dict(outcomes)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--large", action="store_true", help="also 10^7 ratings")
    parser.add_argument("--kills", type=int, default=0, help="kill that many writers")
    parser.add_argument("--damage", type=int, default=0, help="read that many damaged copies")
    parser.add_argument("--folder", help="where to put the stores (default: a temporary folder)")
    arguments = parser.parse_args()
    if arguments.kills:
        kill_table(arguments.kills, arguments.folder)
    if arguments.damage:
        damage_table(arguments.damage, arguments.folder)
    if not (arguments.kills or arguments.damage):
        store_table([10**4, 10**5] if arguments.large else [10**4], arguments.folder)
        annotate_table([4 * 10**3, 4 * 10**4], arguments.folder)


if __name__ == "__main__":
    main()

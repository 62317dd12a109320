"""All cases one after the other into one JSON: resumable, and none of them past its limit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from rulekit.files import write_json
from rulekit.throughput.cases import CASES
from rulekit.throughput.page import write_page
from rulekit.throughput.random_models import SIZES

LIMIT = 540.0  # seconds of one case
PAIRS = "hh-rlhf/harmless-base-test"


def bench_gpu(
    output: str | Path = "bench-gpu",
    *,
    size: str = "8b",
    pairs: str = PAIRS,
    only: Sequence[str] = (),
    steps: int = 8,
    limit: float = LIMIT,
    say: Callable[[str], None] = print,
) -> dict:
    """Measure rating and training by an 8B model of random weights on this machine's GPU.

    Parameters
    ----------
    output
        Folder: `gpu.json`, written after each case, and `gpu.html`. Cases that are measured there,
        or refused by their plan, are not run again.
    size
        `8b`, or `tiny` for the same way with a tiny model, on a CPU too.
    pairs
        Source or file of pairs to train on, at least 512 (`tiny`: 90).
    only
        Names of cases; empty: all of `CASES`.
    steps
        Optimiser steps of a training case, at least 3; the first two are not counted.
    limit
        Seconds after which a case is ended.
    say
        Called with each line of progress.

    Returns
    -------
    What `gpu.json` holds: the machine, and under `cases` the `status` of each (`measured`,
    `refused`, `failed`, `too long`), with figures or a reason.

    Raises
    ------
    ValueError
        For an unknown size or case, too few steps, no GPU for `8b`, or an output that holds
        another machine's or size's figures.
    """
    unknown = [name for name in only if name not in CASES]
    if unknown:
        raise ValueError(f"unknown case {unknown[0]!r}; allowed: {', '.join(CASES)}")
    if size not in SIZES:
        raise ValueError(f"unknown size {size!r}; allowed: {', '.join(SIZES)}")
    if steps < 3:
        raise ValueError(f"steps is {steps}; allowed: 3 or more")
    if size == "8b" and not torch.cuda.is_available():
        raise ValueError("no GPU here for 8B; allowed: size 'tiny', the same way on a CPU")
    folder = Path(output)
    file = folder / "gpu.json"
    found = _begun(file, {"size": size, "pairs": pairs, "steps": steps} | _machine())
    names = [name for name in CASES if not only or name in only or name == "peak"]
    for number, name in enumerate(names, start=1):
        head, case = f"[{number}/{len(names)}] {name}", CASES[name]
        if found["cases"].get(name, {}).get("status") in ("measured", "refused"):
            say(f"{head}: done before")
            continue
        say(f"{head}: {case.what}, about {case.minutes:g} min")
        peak = found["cases"].get("peak", {}).get("peak_tflops")
        begun = time.perf_counter()
        result = _apart(name, size, pairs, steps, peak, limit)
        seconds = round(time.perf_counter() - begun, 1)
        found["cases"][name] = result | {"seconds": seconds}
        write_json(file, found)
        write_page(found, folder / "gpu.html")
        say(f"{head}: {result['status']} in {seconds:.0f} s" + _told(result))
    say(f"figures: {file}, page: {folder / 'gpu.html'}")
    return found


def _machine() -> dict:
    on_gpu = torch.cuda.is_available()
    memory = torch.cuda.get_device_properties(0).total_memory / 1e9 if on_gpu else None
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "CPU",
        "memory_gb": memory and round(memory, 1),
        "torch": torch.__version__,
    }


def _begun(file: Path, now: dict) -> dict:
    """What the file holds, if it is of this machine and these settings; else a beginning."""
    if not file.is_file():
        return now | {"cases": {}}
    before = json.loads(file.read_text(encoding="utf-8"))
    other = [name for name, value in now.items() if before.get(name) != value]
    if other:
        raise ValueError(
            f"{file} is of {other[0]} {before.get(other[0])!r}, not {now[other[0]]!r}; allowed: "
            "the same, or another output"
        )
    return before


def _apart(name: str, size: str, pairs: str, steps: int, peak: float | None, limit: float) -> dict:
    """A case in a process of its own, which is ended with all its children at the limit."""
    with tempfile.TemporaryDirectory() as scratch:
        file, log = Path(scratch) / "found.json", Path(scratch) / "log"
        command = [sys.executable, "-m", "rulekit.throughput", name, str(file)]
        command += ["--size", size, "--pairs", pairs, "--steps", str(steps)]
        if peak:
            command += ["--peak", str(peak * 1e12)]
        with log.open("wb") as printed:
            process = subprocess.Popen(
                command,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"} | os.environ,
            )
            try:
                process.wait(limit)
            except subprocess.TimeoutExpired:
                return {"status": "too long", "reason": f"ended after {limit:g} s"}
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        if file.is_file():
            return json.loads(file.read_text(encoding="utf-8"))
        last = log.read_text(encoding="utf-8", errors="replace").strip().split("\n")[-1][:300]
        return {"status": "failed", "reason": f"exit status {process.returncode}: {last}"}


def _told(result: dict) -> str:
    if "reason" in result:
        return f": {result['reason']}"
    shown = [
        (f"{result[name]:,.{digits}f} {unit}")
        for name, digits, unit in (
            ("responses_per_second", 2, "responses/s"),
            ("tokens_per_second", 0, "tokens/s"),
            ("peak_tflops", 1, "TFLOP/s"),
        )
        if name in result
    ]
    return f": {', '.join(shown)}" if shown else ""

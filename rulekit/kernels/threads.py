"""Threads for kernels that release the GIL: the cores of this process, and slices of rows over them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

_SERIAL_CELLS = 1_000_000  # below about 10 ms of work a second thread costs more than it gives


def cores() -> int:
    """Cores that this process may use; all of the machine where the system cannot tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_chunks(run, n_rows: int, n_columns: int, threads: int | None) -> None:
    """Call ``run(start, stop)`` over slices of the rows, on threads when the work is worth it.

    The kernels release the GIL, so plain threads do; unlike a parallel Numba region they spin at
    no barrier, compile in half the time and survive a fork.
    """
    threads = cores() if threads is None else threads
    if threads == 1 or n_rows * n_columns < _SERIAL_CELLS:
        run(0, n_rows)
        return
    edges = np.linspace(0, n_rows, 4 * threads + 1).astype(int)  # small slices even out the load
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, edges[:-1].tolist(), edges[1:].tolist()))

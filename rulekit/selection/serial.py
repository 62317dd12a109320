"""One thread for matrix products: BLAS threads wait for each other where cores are shared."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

_CELLS = 200_000  # below, products are too short to be given to threads


def serial_blas(cells: int) -> AbstractContextManager:
    """Products of matrices of so many cells run on the thread that asks for them.

    Products of a tall matrix and a vector gain nothing by a second thread, and with a core taken
    by others each waits for it: estimates of 30,000 pairs then take 61 s in place of 6 s.
    """
    from threadpoolctl import threadpool_limits

    return nullcontext() if cells < _CELLS else threadpool_limits(1, "blas")

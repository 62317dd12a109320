"""Slices of rows over threads: every row once, whatever the number of threads."""

import os
import threading

import numpy as np
import pytest

from rulekit.kernels import threads


def slices(n_rows: int, n_columns: int, count: int | None) -> list[tuple[int, int]]:
    seen = []
    threads.in_chunks(lambda start, stop: seen.append((start, stop)), n_rows, n_columns, count)
    return sorted(seen)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("n_rows", [0, 1, 5, 12, 1000])
def test_every_row_is_worked_on_once(n_rows, count):
    found = slices(n_rows, 10**9, count)
    assert [i for start, stop in found for i in range(start, stop)] == list(range(n_rows))


def test_a_call_below_the_limit_is_one_slice_on_the_callers_thread():
    at = []
    threads.in_chunks(lambda *_: at.append(threading.get_ident()), 999, 1000, 4)
    assert at == [threading.get_ident()]
    at.clear()
    threads.in_chunks(lambda *_: at.append(threading.get_ident()), 1000, 1000, 1)
    assert at == [threading.get_ident()]


def test_a_call_at_the_limit_gets_four_slices_a_thread():
    assert len(slices(1000, 1000, 4)) == 16
    sizes = {stop - start for start, stop in slices(1000, 1000, 4)}
    assert sizes == {62, 63}


def test_the_default_is_the_cores_of_this_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6}, raising=False)
    assert threads.cores() == 3
    assert len(slices(10**6, 10, None)) == 12


def test_an_error_on_a_thread_reaches_the_caller():
    def run(start: int, stop: int) -> None:
        if start > 0:
            raise ValueError(f"rows {start} to {stop}")

    with pytest.raises(ValueError, match="rows 125 to 250"):
        threads.in_chunks(run, 1000, 10**6, 2)


def test_slices_write_their_own_rows_only():
    out = np.zeros(1000, np.int64)

    def run(start: int, stop: int) -> None:
        out[start:stop] += 1

    threads.in_chunks(run, 1000, 10**6, 3)
    assert (out == 1).all()

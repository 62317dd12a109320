"""The store keeps every rating once through kills, Ctrl-C, a full disk and several writers."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rulekit.rating.annotation import annotate
from rulekit.rating.store import Store
from tests.rating.helpers import CELLS, RULES, HashJudge, assert_whole, some_pairs
from tests.rating.processes import drained, kill_often, rate_all, rate_until_full, start


@pytest.fixture(scope="module")
def processes():
    """Processes forked from one that has imported everything: quick to start, safe to kill."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.rating.processes"])
    return context


def test_kills_at_random_moments_lose_at_most_the_batch_in_flight(processes, tmp_path):
    kill_often(processes, tmp_path / "r.sqlite", kills=8, n=240)
    assert_whole(tmp_path / "r.sqlite", 240)


def test_ctrl_c_keeps_what_was_rated_and_leaves_no_worker_behind(processes, tmp_path):
    path = tmp_path / "r.sqlite"
    process, pipe = start(processes, rate_all, path, 240, 0.002, 0.0, None, None)
    while pipe.recv() < 3:
        pass
    os.kill(process.pid, signal.SIGINT)
    told = drained(pipe)
    process.join()
    assert told[-1] == "interrupted"
    with Store(path) as store:
        assert 3 * 8 * CELLS <= store.check()["ratings"] < 360 * CELLS
        with store.working(HashJudge.identity) as alone:
            assert alone
        annotate(some_pairs(240), RULES, HashJudge(), store=store)
    assert_whole(path, 240)


@pytest.mark.parametrize("limit", [60_000, 150_000], ids=["in the first batches", "later"])
def test_a_limit_on_file_sizes_stops_with_its_name_and_loses_nothing(processes, tmp_path, limit):
    path = tmp_path / "r.sqlite"
    process, pipe = start(processes, rate_until_full, path, 300, limit)
    [(failed, calls, kept), asked_after] = drained(pipe)
    process.join()
    assert failed == str(path)
    assert kept >= (calls - 1) * 8 * CELLS
    assert asked_after == 450 * CELLS - kept  # the same store goes on where there is room again
    assert_whole(path, 300)


def test_a_full_disk_loses_nothing_and_goes_on_where_there_is_room_again(tmp_path):
    """A real one: a file system of 2 MiB in memory, where the machine lets tests mount one."""
    mount = f"mount -t tmpfs -o size=2m none {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], check=False).returncode:
        pytest.skip("needs to mount a file system in a namespace of its own")
    command = f"{mount} && exec {sys.executable} -m tests.rating.processes {tmp_path}"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    failed, calls, kept, asked_after, total = map(int, done.stdout.split())
    assert failed == errno.ENOSPC
    assert kept > 0
    assert asked_after == 900 * CELLS - kept
    assert total == 900 * CELLS
    assert calls > 2


@pytest.mark.parametrize("writers", [2, 4])
def test_writers_at_once_share_the_work_and_agree_on_every_rating(processes, tmp_path, writers):
    path, n, barrier = tmp_path / "r.sqlite", 300, processes.Barrier(writers)
    runs = [  # they all make the file, too
        start(processes, rate_all, path, n, 0.005, noise, barrier, None)
        for noise in np.linspace(0, 0.5, writers).tolist()
    ]
    found = [drained(pipe)[-1] for _, pipe in runs]
    for process, _ in runs:
        process.join()
    with Store(path) as store:
        assert store.check()["ratings"] == 450 * CELLS
        judge = HashJudge()
        scores = annotate(some_pairs(n), RULES, judge, store=store)
    assert not judge.asked
    rated = [r for r, _, _ in found]
    assert min(rated) > 0
    assert 450 * CELLS <= sum(rated) < (300 + 150 * writers) * CELLS  # shared, not done twice
    # The judges disagree: what each writer goes on with is the rating that was first.
    for _, a, b in found:
        assert np.array_equal(a, scores.a)
        assert np.array_equal(b, scores.b)

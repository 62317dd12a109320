"""The store keeps every rating once through kills, a full disk and two writers."""

import errno
import multiprocessing
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from rulekit.rating.annotation import annotate
from rulekit.rating.store import Store
from tests.rating.helpers import CELLS, RULES, HashJudge, assert_whole, some_pairs
from tests.rating.processes import drained, rate_all, rate_until_full, rate_until_step, start


@pytest.fixture(scope="module")
def processes():
    """Processes forked from one that has imported everything: quick to start, safe to kill."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.rating.processes"])
    return context


@pytest.mark.slow
def test_fifty_kills_at_random_moments_lose_at_most_the_batch_in_flight(processes, tmp_path):
    rng = np.random.default_rng(0)
    # Of the 263 batches each process does five at most, so that fifty of them cannot do all.
    n, per_batch, before = 1400, 8 * CELLS, 0
    for _ in range(50):
        process, pipe = start(processes, rate_all, tmp_path, n, 150, 0.004, 0.0, None, 5)
        assert pipe.poll(60), "the process did not begin"
        process.join(rng.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        (*_, batches) = [0, *drained(pipe)]
        with Store(tmp_path, HashJudge.identity) as store:
            kept = len(store) - before
            assert batches * per_batch <= kept <= (batches + 1) * per_batch
            before = len(store)
    process, pipe = start(processes, rate_all, tmp_path, n, 150, 0.0, 0.0, None, None)
    drained(pipe)
    process.join()
    assert_whole(tmp_path, n)


def test_a_kill_at_any_step_on_the_disk_loses_at_most_the_batch_in_flight(processes, tmp_path):
    n, step, done = 16, 0, False  # three batches; the second and the third are merged
    while not done:
        step += 1
        folder = tmp_path / str(step)
        process, pipe = start(processes, rate_until_step, folder, n, 150, step)
        told = drained(pipe)
        process.join()
        done = told[-1] == "done"
        if not done:
            assert process.exitcode == -signal.SIGKILL
            with Store(folder, HashJudge.identity) as store:
                kept, batches = len(store), told[-1]
                assert kept in (batches * 8 * CELLS, (batches + 1) * 8 * CELLS)
            annotate(some_pairs(n), RULES, HashJudge(), folder)
        assert_whole(folder, n)
    assert step > 20, step


@pytest.mark.parametrize(
    ("compact_at", "limit"), [(10**6, 30_000), (400, 20_000)], ids=["in a log", "in a merge"]
)
def test_a_limit_on_file_sizes_stops_with_its_name_and_loses_nothing(
    processes, tmp_path, compact_at, limit
):
    process, pipe = start(processes, rate_until_full, tmp_path, 600, compact_at, limit)
    [(error, calls, kept), asked_after] = drained(pipe)
    process.join()
    assert error == "File too large"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the torn batch was taken back, so none is passed over
        Store(tmp_path, HashJudge.identity).close()
    assert kept >= (calls - 1) * 8 * CELLS > 0
    assert asked_after == 900 * CELLS - kept  # the same store goes on where there is room again
    assert_whole(tmp_path, 600)


def test_a_full_disk_loses_nothing_and_goes_on_where_there_is_room_again(tmp_path):
    """A real one: a file system of 640 KiB in memory, where the machine lets tests mount one."""
    mount = f"mount -t tmpfs -o size=640k none {tmp_path}"
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


def test_two_writers_at_once_share_the_work_and_agree_on_every_rating(processes, tmp_path):
    n, barrier = 300, processes.Barrier(2)
    runs = [
        start(processes, rate_all, tmp_path, n, 700, 0.005, noise, barrier, None)
        for noise in (0.0, 0.25)
    ]
    (rated_1, a_1, b_1), (rated_2, a_2, b_2) = (drained(pipe)[-1] for _, pipe in runs)
    for process, _ in runs:
        process.join()
    with Store(tmp_path, HashJudge.identity) as store:
        assert len(store) == 450 * CELLS
        store.verify()
        judge = HashJudge()
        scores = annotate(some_pairs(n), RULES, judge, store)
    assert not judge.asked
    assert rated_1 > 0
    assert rated_2 > 0
    assert 450 * CELLS <= rated_1 + rated_2 < 600 * CELLS  # shared, not done twice
    # The judges disagree: what each writer goes on with is the rating that was first.
    for a, b in ((a_1, b_1), (a_2, b_2)):
        assert np.array_equal(a, scores.a)
        assert np.array_equal(b, scores.b)

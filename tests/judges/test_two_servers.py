"""Two server processes behind one address rate what one rates, also when one of them ends."""

import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from rulekit.judges import Limits
from tests.judges.faulty_server import Server, serve
from tests.judges.helpers import RULES, by_rule, judge_of
from tests.judges.real_servers import free_port

PROMPTS = [f"Question {i}" for i in range(60)]
RESPONSES = [f"Answer {i}" for i in range(60)]
ROOT = Path(__file__).parents[2]
MANY = Limits(concurrency=32, timeout=60.0)


@contextmanager
def two_processes(folder, last=()):
    """The address, both processes, and the files in which each notes its requests."""
    port, logs, processes = free_port(), [folder / "one", folder / "two"], []
    with ExitStack() as stack:
        for log, more in zip(logs, (last, ()), strict=True):
            command = [sys.executable, "-m", "tests.judges.shared_port", str(port), str(log), *more]
            process = stack.enter_context(subprocess.Popen(command, cwd=ROOT))
            stack.callback(process.kill)
            processes.append(process)
        end = time.monotonic() + 60
        while not all(log.exists() for log in logs):
            assert time.monotonic() < end, "the servers are not up"
            assert all(process.poll() is None for process in processes)
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/v1", processes, logs


def requests(log) -> int:
    return log.read_text().count("request")


@pytest.fixture(scope="module")
def expected():
    with serve(Server(by_rule)) as alone:
        return judge_of(alone).rate(PROMPTS, RESPONSES, RULES)


def test_both_processes_work_and_the_ratings_are_those_of_one(tmp_path, expected):
    with two_processes(tmp_path) as (url, _, logs):
        rating = judge_of(Server(by_rule, url=url), limits=MANY).rate(PROMPTS, RESPONSES, RULES)
    np.testing.assert_array_equal(rating.probabilities, expected.probabilities)
    assert all(requests(log) > 10 for log in logs)
    assert sum(map(requests, logs)) == len(PROMPTS) * len(RULES)


def test_a_process_that_ends_loses_no_rating(tmp_path, expected):
    with two_processes(tmp_path, last=["12"]) as (url, processes, _):
        judge = judge_of(Server(by_rule, url=url), limits=MANY)
        rating = judge.rate(PROMPTS, RESPONSES, RULES)
        assert processes[0].wait(30) == 1
        assert processes[1].poll() is None
    assert not rating.failures
    np.testing.assert_array_equal(rating.probabilities, expected.probabilities)
    assert judge.spending.retries > 0

"""Shared by the tests: where the real data lies, and one tiny judge on disk."""

import os
import signal
from pathlib import Path

import pytest

from tests.browser import browser, lab, view  # noqa: F401 - fixtures

# A shell starts what runs in its background with Ctrl-C ignored; tests that send it need it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Matrices are small here, and a worker has a core: more threads would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; a test that needs it says so and is skipped without it."""
    folder = os.environ.get("RULEKIT_DATA")
    if not folder:
        pytest.skip("needs the real data sets: set RULEKIT_DATA")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny_judge(tmp_path_factory) -> Path:
    """Folder of a causal language model with random weights, only to be read."""
    from tests.judges.tiny_judge import save_tiny_judge

    return save_tiny_judge(tmp_path_factory.mktemp("tiny-judge"))

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


def fetched(name: str) -> Path:
    """The folder of a small real language model, fetched once a machine, or a skip with the reason."""
    from rulekit import models

    try:
        return models.fetch(name)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """Folder of SmolLM2-135M-Instruct: a Llama with a chat template; only to be read."""
    return fetched("smollm2-135m")


@pytest.fixture(scope="session")
def gemma3() -> Path:
    """Folder of Gemma 3 270M: layers with windows of 512 tokens; only to be read."""
    return fetched("gemma3-270m")


@pytest.fixture(scope="session")
def tiny_judge(tmp_path_factory) -> Path:
    """Folder of a causal language model with random weights, only to be read."""
    from tests.judges.tiny_judge import save_tiny_judge

    return save_tiny_judge(tmp_path_factory.mktemp("tiny-judge"))

"""Shared by the tests: where the real data lies."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; a test that needs it says so and is skipped without it."""
    folder = os.environ.get("RULEKIT_DATA")
    if not folder:
        pytest.skip("needs the real data sets: set RULEKIT_DATA")
    return Path(folder)

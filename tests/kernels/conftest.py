"""Shared by the tests of the kernels."""

import pytest

from rulekit.kernels import threads


@pytest.fixture
def threaded(monkeypatch):
    """Threads start however little work there is, on any machine."""
    monkeypatch.setattr(threads, "_SERIAL_CELLS", 0)
    monkeypatch.setattr(threads, "cores", lambda: 3)

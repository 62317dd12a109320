"""The tests of the kernels once more, in plain Python: what is compiled is not what is tested."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="these are the uncompiled kernels already")
def test_kernels_give_the_same_results_without_the_compiler_and_warn_of_nothing():
    """Also with bounds checked, which compiled kernels do not, and overflow told by NumPy."""
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-W", "error::RuntimeWarning"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(Path(__file__).parent)],
        cwd=ROOT,
        env={**kept, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert "4 skipped" in run.stdout  # this test, and those of compiled code

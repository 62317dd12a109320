"""Compiled code on disk: a damaged cache is made again, one that cannot be written is replaced."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import config
from numba.core import caching

from rulekit.kernels import compiled

pytestmark = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="nothing is compiled")

CHOOSE = """
import numpy as np
from rulekit.kernels.selection import DISCREPANCY, top_k
a = np.eye(4, dtype=np.float32)
print(top_k(DISCREPANCY, a, -a, None, 1).ravel().tolist())
"""


def choose(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", CHOOSE],
        env={**os.environ, "NUMBA_CACHE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_truncated_code_on_disk_is_compiled_again(tmp_path):
    expected = choose(tmp_path)
    for ending in ("nbi", "nbc"):
        files = list(tmp_path.rglob(f"*.{ending}"))
        assert files
        for file in files:
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        assert choose(tmp_path) == expected == "[0, 1, 2, 3]\n"


def doubled(x):
    return x * 2


def test_where_nothing_can_be_written_a_temporary_folder_is_taken_and_said(
    monkeypatch, tmp_path, capsys
):
    def refuse(self):
        raise OSError("read-only file system")

    for locator in ("InTreeCacheLocator", "UserWideCacheLocator"):
        found = getattr(caching, locator, None) or getattr(caching, f"_{locator}")
        monkeypatch.setattr(found, "ensure_cache_path", refuse)
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(compiled.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    twice = compiled.kernel(doubled)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert str(tmp_path) in said
    assert twice(np.float64(4)) == 8
    assert list(tmp_path.rglob("*.nbi"))


def test_a_damaged_file_is_forgotten_within_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert compiled.kernel(doubled)(3.0) == 6.0
    for file in tmp_path.rglob("*.nb?"):
        file.write_bytes(b"\x80\x04")
    assert compiled.kernel(doubled)(3.0) == 6.0
    assert compiled.kernel(doubled)(4.0) == 8.0

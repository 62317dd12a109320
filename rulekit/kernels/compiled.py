"""How a kernel is compiled: without the GIL, once, its machine code kept on disk.

A function comes in, its compiled twin goes out. Where the folder that Numba would keep code in
cannot be written, a temporary one is taken; code on disk that cannot be read is made again.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable

from numba import config, njit
from numba.core.caching import FunctionCache


class _MendedCache(FunctionCache):
    """Numba's cache of a function; a damaged file in it costs a compilation, not a run."""

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # whatever half a pickle raises
            self.flush()
            return None


def kernel(function: Callable) -> Callable:
    """Compile a function when it is first called, to run without the GIL."""
    compiled = njit(nogil=True)(function)
    if config.DISABLE_JIT:
        return compiled
    try:
        compiled._cache = _MendedCache(function)
    except RuntimeError:  # no folder can be written
        _take_temporary_folder()
        compiled._cache = _MendedCache(function)
    return compiled


def _take_temporary_folder() -> None:
    config.CACHE_DIR = tempfile.mkdtemp(prefix="rulekit-numba-")
    print(
        "rulekit: no folder for compiled code can be written; it is kept in "
        f"{config.CACHE_DIR} and compiled anew in each run. NUMBA_CACHE_DIR names another.",
        file=sys.stderr,
    )

"""States of a frozen model on disk: keys come in, the vectors that are known go out.

One SQLite file a model in the cache folder, so that runs that end early or side by side lose
nothing. `frozen_language` calls it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np

from rulekit.files import cache_folder, sha256

_AT_ONCE = 500  # keys of one question


def read(of: str, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
    """The vectors that are kept, float32 (dim,), by their keys.

    Parameters
    ----------
    of
        What the states belong to: the model's weights and how it is run.
    keys
        Of a text and a layer.
    """
    wanted, found = list(dict.fromkeys(keys)), []
    with _store(of) as store:
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            question = f"SELECT key, state FROM states WHERE key IN ({marks})"
            found += store.execute(question, part).fetchall()
    return {key: np.frombuffer(state, np.float32) for key, state in found}


def write(of: str, states: dict[bytes, np.ndarray]) -> None:
    """Keep vectors, float32 (dim,), by their keys."""
    rows = [(key, np.ascontiguousarray(x, np.float32).tobytes()) for key, x in states.items()]
    with _store(of) as store, store:
        store.executemany("INSERT OR REPLACE INTO states VALUES (?, ?)", rows)


@contextlib.contextmanager
def _store(of: str) -> Iterator[sqlite3.Connection]:
    path = cache_folder("states") / f"{sha256(of)[:16]}.sqlite"
    store = sqlite3.connect(path, timeout=60)
    try:
        store.execute("CREATE TABLE IF NOT EXISTS states (key BLOB PRIMARY KEY, state BLOB)")
        yield store
    finally:
        store.close()

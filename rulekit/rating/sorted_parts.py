"""Sorted parts of a store: ratings in columns, merged with bounded memory, read through memory maps.

`store` keeps recent batches as small parts in memory and merges what has grown into a folder of
flat files: `responses`, `offsets`, `rules`, `which`, `p`, and `part.json` with sizes and checksums.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

KEY = np.dtype("S16")  # 128 bits of a hash; NumPy compares all 16 bytes
RECORD = np.dtype([("response", KEY), ("rule", KEY), ("p", "<f4", 4)])  # 48 bytes
CHUNK = 2**20  # ratings merged at a time: what bounds the memory of a merge


def keys(values: Sequence[bytes]) -> np.ndarray:
    """Keys as an array, (n,) of `KEY`."""
    return np.frombuffer(b"".join(values), KEY)


@dataclass(frozen=True, eq=False)
class Part:
    """Ratings sorted by response key, then rule key, in columns.

    Attributes
    ----------
    responses
        Distinct keys in order, (n_responses,).
    offsets
        The ratings of response i are those from offsets[i] to offsets[i + 1], (n_responses + 1,).
    rules
        Distinct keys in order, (n_rules,).
    which
        Position in `rules` of each rating, unsigned (n_ratings,).
    p
        P(no), P(irrelevant), P(yes), answer mass (NaN: not known), float32 (n_ratings, 4).
    """

    responses: np.ndarray
    offsets: np.ndarray
    rules: np.ndarray
    which: np.ndarray
    p: np.ndarray

    def fill(self, out: np.ndarray, responses: np.ndarray, rules: np.ndarray) -> None:
        """Write what is known of these keys into `out`, (len(responses), len(rules), 4)."""
        column = np.full(len(self.rules), -1)
        at, found = _find(self.rules, rules)
        column[at[found]] = np.flatnonzero(found)
        at, found = _find(self.responses, responses)
        row, at = np.flatnonzero(found), at[found]
        rating, counts = ranges(self.offsets[at], self.offsets[at + 1])
        columns = column[self.which[rating]]
        wanted = columns >= 0
        out[np.repeat(row, counts)[wanted], columns[wanted]] = self.p[rating[wanted]]

    def between(self, low: bytes, high: bytes | None) -> Part:
        """The ratings of the responses from `low` up to, not including, `high`."""
        first = np.searchsorted(self.responses, keys([low]))[0]
        last = len(self.responses)
        if high is not None:
            last = np.searchsorted(self.responses, keys([high]))[0]
        offsets = np.asarray(self.offsets[first : last + 1])
        ratings = slice(offsets[0], offsets[-1])
        return Part(
            self.responses[first:last],
            offsets - offsets[0],
            self.rules,
            self.which[ratings],
            self.p[ratings],
        )


_COLUMNS = {"responses": KEY, "offsets": np.dtype("<i8"), "rules": KEY, "which": None, "p": "<f4"}


def part_of(records: np.ndarray) -> Part:
    """Records in any order as one part."""
    rules, which = np.unique(records["rule"], return_inverse=True)
    part = Part(records["response"], np.arange(len(records) + 1), rules, which, records["p"])
    return merge([part])


def merge(parts: list[Part]) -> Part:
    """Several parts as one; where two rate the same, the first stands."""
    rules, rule_of = np.unique(np.concatenate([p.rules for p in parts]), return_inverse=True)
    responses = np.concatenate([p.responses for p in parts])
    responses, response_of = np.unique(responses, return_inverse=True)
    counts = np.concatenate([np.diff(p.offsets) for p in parts])
    starts = np.cumsum([0, *(len(p.rules) for p in parts[:-1])])
    which = np.concatenate([rule_of[s + p.which] for s, p in zip(starts, parts, strict=True)])
    cell = np.repeat(response_of, counts) * len(rules) + which
    order = np.argsort(cell, kind="stable")
    cell = cell[order]
    first = np.ones(len(cell), bool)
    first[1:] = cell[1:] != cell[:-1]
    order, cell = order[first], cell[first]
    row, column = np.divmod(cell, len(rules))
    offsets = np.searchsorted(row, np.arange(len(responses) + 1))
    small = np.uint16 if len(rules) <= 2**16 else np.uint32
    p = np.concatenate([part.p for part in parts])[order]
    return Part(responses, offsets, rules, column.astype(small), p)


def merged(parts: list[Part], n_ratings: int) -> Iterator[Part]:
    """The parts as one, a range of keys after the other; keys are hashes, so ranges are even."""
    if not parts:
        return
    steps = -(-sum(len(p.which) for p in parts) // n_ratings)
    edges = [(i * 2**64 // steps).to_bytes(8, "big") + bytes(8) for i in range(steps)]
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        block = merge([p.between(low, high) for p in parts])
        if len(block.which):
            yield block


def write_part(folder: Path, parts: list[Part]) -> None:
    """Write the parts as one, with memory bounded by `CHUNK`, and flush it to disk."""
    folder.mkdir()
    rules = np.unique(np.concatenate([p.rules for p in parts]))
    small = np.dtype("<u2" if len(rules) <= 2**16 else "<u4")
    empty = Part(
        keys([]), np.zeros(1, np.int64), rules, np.zeros(0, small), np.zeros((0, 4), "<f4")
    )
    files = {name: (folder / name).open("wb") for name in _COLUMNS}
    crc = dict.fromkeys(_COLUMNS, 0)

    def put(name: str, array: np.ndarray) -> None:
        data = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        files[name].write(data)
        crc[name] = zlib.crc32(data, crc[name])

    try:
        put("rules", rules)
        put("offsets", empty.offsets)
        n_responses = n_ratings = 0
        for block in merged([empty, *parts], CHUNK):  # `empty` brings all rules to every block
            put("responses", block.responses)
            put("offsets", (block.offsets[1:] + n_ratings).astype("<i8"))
            put("which", block.which.astype(small))
            put("p", block.p)
            n_responses += len(block.responses)
            n_ratings += len(block.which)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    finally:
        for file in files.values():
            file.close()
    head = {"n_responses": n_responses, "n_ratings": n_ratings, "n_rules": len(rules), "crc": crc}
    write_durably(folder / "part.json", json.dumps(head).encode())


def open_part(folder: Path) -> Part:
    head = json.loads((folder / "part.json").read_text())
    small = np.dtype("<u2" if head["n_rules"] <= 2**16 else "<u4")
    shapes = {
        "responses": (head["n_responses"],),
        "offsets": (head["n_responses"] + 1,),
        "rules": (head["n_rules"],),
        "which": (head["n_ratings"],),
        "p": (head["n_ratings"], 4),
    }
    columns = {}
    for name, dtype in _COLUMNS.items():
        dtype = np.dtype(dtype or small)
        expected = int(np.prod(shapes[name])) * dtype.itemsize
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != expected:
            raise ValueError(
                f"{path} has {found} bytes; allowed: {expected}. Restore it, or take "
                f"{folder.name!r} out of parts.json to have its ratings made again"
            )
        columns[name] = np.memmap(path, dtype, "r", shape=shapes[name])
    return Part(**columns)


def _find(table: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of each wanted key in the sorted table, and whether it is there."""
    at = np.searchsorted(table, wanted)
    found = at < len(table)
    at[~found] = 0
    found[found] = table[at[found]] == wanted[found]
    return at, found


def ranges(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All integers of the half-open ranges in a row, and the length of each range."""
    counts = np.asarray(ends - starts)
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - before, counts), counts


# Bytes -----------------------------------------------------------------------------------------


def crc_of(array: np.ndarray) -> int:
    data, crc = array.reshape(-1).view(np.uint8), 0
    for start in range(0, len(data), 2**24):
        crc = zlib.crc32(data[start : start + 2**24], crc)
    return crc


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_durably(path: Path, data: bytes) -> None:
    """Replace the file whole, so that it survives a loss of power."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        write_all(fd, data)
        os.fsync(fd)
        temporary.replace(path)
    finally:
        os.close(fd)
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

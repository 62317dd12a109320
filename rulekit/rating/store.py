"""Ratings on disk: what was rated once is never lost, rated again or counted twice.

A store is a folder with one subfolder a judge. Writers append batches to a log of their own; a
batch counts once its checksum fits. Logs that have grown are merged into sorted parts, which are
read through memory maps, so that memory does not grow with the store. `job` and `export` call it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import uuid
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import numpy as np

from rulekit.files import sha256
from rulekit.inputs.pairs import conversation
from rulekit.rating.sorted_parts import (
    RECORD,
    Part,
    crc_of,
    merge,
    open_part,
    part_of,
    sync,
    write_all,
    write_durably,
    write_part,
)

FORMAT = 2  # raise when records, keys or what a judge is shown change: older folders are left alone
_MAGIC = b"\xf5rk\x02rate"
_HEAD = np.dtype([("magic", "S8"), ("count", "<u4"), ("crc", "<u4")])
_SPENDING = "spending.jsonl"


def response_key(prompt: str | list[dict], response: str) -> bytes:
    """Name of a response: 16 bytes from the conversation before it and its own text."""
    before = conversation(prompt)
    return _digest(f"{len(before)}:{before}{response}")


def rule_key(text: str) -> bytes:
    """Name of a rule: 16 bytes from its text, so that a changed text is another rule."""
    return _digest(text)


class Store:
    """The ratings of one judge.

    Parameters
    ----------
    folder
        The store's folder; made if it is not there. Several processes of one machine may write
        to it at once.
    identity
        All that a rating depends on besides the texts: model, revision, template. Ratings of
        different identities never meet.
    compact_at
        Ratings in the logs from which on they are merged into a sorted part.

    Raises
    ------
    ValueError
        If the folder holds a part that is shorter than it says, or belongs to another identity.

    Warns
    -----
    UserWarning
        If there are ratings of this identity in an older format: they are not used.

    Notes
    -----
    Every addition takes an exclusive lock, reads what others have added, drops what is already
    there, appends and flushes to disk; so the first rating of a (response, rule) stands for good.
    A process killed while it appends leaves a tail whose CRC does not fit: it is passed over, and
    that batch alone is lost. A merge writes the new part, then replaces the list of parts
    and of merged logs atomically, then deletes the logs: killed at any step, it leaves either the
    logs or the part in force, never both.
    """

    def __init__(self, folder: str | Path, identity: str, *, compact_at: int = 2**20) -> None:
        if not identity:
            raise ValueError("identity is empty; allowed: a string that names judge and template")
        if compact_at < 1:
            raise ValueError(f"compact_at is {compact_at}; allowed: 1 or more")
        self.folder = Path(folder) / sha256(f"format {FORMAT} {identity}")[:16]
        self.identity, self.compact_at = identity, compact_at
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        self._log: int | None = None
        self._log_name = ""
        self._spent: dict[str, Counter[str]] = {}  # run → sums of what it noted
        self._spending_read = 0
        self._forget()
        if (old := Path(folder) / sha256(identity)[:16]).is_dir():
            warnings.warn(
                f"{old}: ratings of format 1, which showed a judge dialogues as one user turn, are "
                f"not used; format {FORMAT} is, so delete that folder",
                stacklevel=2,
            )
        with self._locked(fcntl.LOCK_EX):
            self._check_identity()
            self._refresh()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; all that was added is on disk already."""
        self._close_log()
        self._forget()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def __len__(self) -> int:
        """Ratings in the store, other writers' included."""
        with self._locked(fcntl.LOCK_SH):
            self._refresh()
        return sum(len(p.which) for p in (*self._parts, *self._tail))

    @property
    def n_bytes(self) -> int:
        """Bytes on disk."""
        return sum(f.stat().st_size for f in self.folder.rglob("*") if f.is_file())

    def get(self, responses: np.ndarray, rules: np.ndarray) -> np.ndarray:
        """The stored ratings.

        Parameters
        ----------
        responses, rules
            Keys, (n_responses,) and (n_rules,), as `rulekit.rating.sorted_parts.keys` makes them;
            rules without doubles.

        Returns
        -------
        numpy.ndarray
            P(no), P(irrelevant), P(yes), float32 (n_responses, n_rules, 3); NaN where not rated.
        """
        return self.get_with_mass(responses, rules)[..., :3]

    def get_with_mass(self, responses: np.ndarray, rules: np.ndarray) -> np.ndarray:
        """As `get`, with the answer mass of each rating as a fourth value, NaN where it is not known.

        Returns
        -------
        numpy.ndarray
            P(no), P(irrelevant), P(yes), mass, float32 (n_responses, n_rules, 4).
        """
        with self._locked(fcntl.LOCK_SH):
            self._refresh()
        return self._get(responses, rules)

    def add(
        self,
        responses: np.ndarray,
        rules: np.ndarray,
        probabilities: np.ndarray,
        mass: np.ndarray | None = None,
    ) -> int:
        """Append ratings that are not there yet, and flush them to disk.

        Parameters
        ----------
        responses, rules
            Keys, (n_responses,) and (n_rules,), each without doubles.
        probabilities
            P(no), P(irrelevant), P(yes), (n_responses, n_rules, 3); NaN where there is none.
        mass
            Probability that the judge gave to the three answers together, (n_responses, n_rules);
            NaN where it does not tell.

        Returns
        -------
        The number of ratings written; fewer than given where another writer was first.

        Raises
        ------
        ValueError
            For a shape that does not fit, doubles, or three values that are no distribution.
        OSError
            If the disk is full. What was there before stays readable; nothing of the batch counts,
            unless it was the merge of logs that found no room.
        """
        p = np.asarray(probabilities, np.float32)
        rated = _check(responses, rules, p)
        with self._locked(fcntl.LOCK_EX):
            self._refresh()
            rated &= np.isnan(self._get(responses, rules)[..., 0])
            rows, columns = np.nonzero(rated)
            if len(rows):
                records = np.empty(len(rows), RECORD)
                records["response"], records["rule"] = responses[rows], rules[columns]
                records["p"][:, :3] = p[rows, columns]
                records["p"][:, 3] = np.nan if mass is None else mass[rows, columns]
                self._append(records)
                self._remember(records)
                if sum(len(t.which) for t in self._tail) >= self.compact_at:
                    self._compact()
        return len(rows)

    def compact(self) -> None:
        """Merge all logs into sorted parts now."""
        with self._locked(fcntl.LOCK_EX):
            self._refresh()
            self._compact()

    def verify(self) -> None:
        """Read every part whole and compare its checksums.

        Raises
        ------
        ValueError
            Naming a damaged file.
        """
        with self._locked(fcntl.LOCK_SH):
            self._refresh()
        for name, part in zip(self._manifest["parts"], self._parts, strict=True):
            stored = json.loads((self.folder / name / "part.json").read_text())["crc"]
            for column, crc in stored.items():
                if crc_of(getattr(part, column)) != crc:
                    raise ValueError(f"{self.folder / name / column}: damaged; restore the file")

    def note_spending(self, entry: Mapping[str, float | str]) -> None:
        """Append what a batch did and cost, and flush it: known also after a kill."""
        line = b"\n" + json.dumps(dict(entry)).encode()  # first the break: a torn line may precede
        with self._locked(fcntl.LOCK_EX):
            fd = os.open(self.folder / _SPENDING, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                write_all(fd, line)
                os.fsync(fd)
            finally:
                os.close(fd)

    def spending(self, but: str | None = None) -> Counter[str]:
        """Sums of the numbers that all runs noted, other writers' included.

        Parameters
        ----------
        but
            The value of `run` whose entries are left out.
        """
        with self._locked(fcntl.LOCK_SH):
            self._read_spending()
        return sum((c for run, c in self._spent.items() if run != but), Counter())

    @contextmanager
    def working(self) -> Iterator[bool]:
        """Be known as a worker on this store; yields whether nobody else was one."""
        fd = os.open(self.folder / "workers", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            alone = True
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                alone = False
            fcntl.flock(fd, fcntl.LOCK_SH)
            yield alone
        finally:
            os.close(fd)

    # Everything below is called with the lock held -----------------------------------------------

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        if self._lock_file is None:
            raise ValueError(f"{self.folder}: the store is closed")
        fcntl.flock(self._lock_file, kind)
        try:
            yield
        except BaseException:
            self._forget()  # what is known may be half of a step: read it anew
            raise
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def _check_identity(self) -> None:
        path = self.folder / "judge.json"
        if not path.is_file():
            write_durably(path, json.dumps({"identity": self.identity, "format": FORMAT}).encode())
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != {"identity": self.identity, "format": FORMAT}:
            raise ValueError(f"{path} is of {found}; allowed: {self.identity!r}, format {FORMAT}")

    def _forget(self) -> None:
        self._manifest: dict[str, list[str]] = {}
        self._parts: list[Part] = []
        self._tail: list[Part] = []
        self._read: dict[str, int] = {}  # log → bytes of whole batches read
        self._seen: dict[str, int] = {}  # log → its size then, with what a kill has left behind

    def _refresh(self) -> None:
        path = self.folder / "parts.json"
        empty = {"parts": [], "merged_logs": []}
        manifest = json.loads(path.read_text()) if path.is_file() else empty
        if manifest != self._manifest:
            self._forget()
            self._parts = [open_part(self.folder / name) for name in manifest["parts"]]
            self._manifest = manifest
        for path in sorted(self.folder.glob("*.log")):
            if path.name in manifest["merged_logs"]:
                continue
            start, size = self._read.setdefault(path.name, 0), path.stat().st_size
            # A torn end is final: who could not take it back never writes to that log again.
            if size > start and size != self._seen.get(path.name):
                with path.open("rb") as file:
                    file.seek(start)
                    records, used = _parse(file.read(), path)
                self._read[path.name], self._seen[path.name] = start + used, size
                self._remember(records)

    def _read_spending(self) -> None:
        path = self.folder / _SPENDING
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(self._spending_read)
            lines = file.read().splitlines()
            self._spending_read = file.tell()
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # empty, or cut by a kill
            run = self._spent.setdefault(entry.get("run", ""), Counter())
            run.update({k: v for k, v in entry.items() if isinstance(v, int | float)})

    def _get(self, responses: np.ndarray, rules: np.ndarray) -> np.ndarray:
        out = np.full((len(responses), len(rules), 4), np.nan, np.float32)
        for part in (*self._parts, *self._tail):
            part.fill(out, responses, rules)
        return out

    def _remember(self, records: np.ndarray) -> None:
        if not len(records):
            return
        self._tail.append(part_of(records))
        # Equal sizes merge, as in a binary counter: each rating moves log₂ n times.
        while len(self._tail) > 1 and len(self._tail[-2].which) <= 2 * len(self._tail[-1].which):
            self._tail[-2:] = [merge(self._tail[-2:])]

    def _append(self, records: np.ndarray) -> None:
        if self._log_name not in self._read:
            self._close_log()  # merged into a part, by this writer or another
        if self._log is None:
            self._log_name = f"{uuid.uuid4().hex}.log"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
            self._log = os.open(self.folder / self._log_name, flags, 0o644)
            sync(self.folder)
            self._read[self._log_name] = 0
        start = self._read[self._log_name]
        payload = records.tobytes()
        head = np.array((_MAGIC, len(records), zlib.crc32(payload)), _HEAD).tobytes()
        try:
            write_all(self._log, head + payload)
            os.fsync(self._log)
        except BaseException:
            try:
                os.ftruncate(self._log, start)
            except OSError:
                self._close_log()  # its tail stays torn, so nothing may follow it
            raise
        self._read[self._log_name] = start + len(head) + len(payload)

    def _close_log(self) -> None:
        if self._log is not None:
            os.close(self._log)
        self._log = None

    def _compact(self) -> None:
        tail = self._tail
        if not tail:
            return
        # Parts of at most twice the size so far join the merge: O(log n) parts, each moved O(log n) times.
        listed = zip(self._manifest["parts"], self._parts, strict=True)
        kept = sorted(listed, key=lambda named: -len(named[1].which))
        joined, size = [], sum(len(t.which) for t in tail)
        while kept and len(kept[-1][1].which) <= 2 * size:
            joined.append(kept.pop())
            size += len(joined[-1][1].which)
        self._sweep()
        name, logs = f"part-{uuid.uuid4().hex}", sorted(self._read)
        try:
            write_part(self.folder / name, [*(p for _, p in joined), *tail])
        except BaseException:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            raise
        manifest = {"parts": [*(n for n, _ in kept), name], "merged_logs": logs}
        write_durably(self.folder / "parts.json", json.dumps(manifest).encode())
        self._refresh()
        self._sweep()

    def _sweep(self) -> None:
        """Delete what a merge has replaced, and what a killed one has left."""
        for path in self.folder.glob("part-*"):
            if path.name not in self._manifest["parts"]:
                shutil.rmtree(path)
        for log in self._manifest["merged_logs"]:
            (self.folder / log).unlink(missing_ok=True)
        for path in self.folder.glob(".*.json.*"):
            path.unlink()


# Bytes -------------------------------------------------------------------------------------------


def _parse(data: bytes, path: Path) -> tuple[np.ndarray, int]:
    """The records of the whole batches in `data`, and where the last of them ends.

    A batch that does not fit its checksum is passed over up to the next that does: what comes
    after a damaged place in the middle is not lost.
    """
    batches, position, end = [], 0, 0
    while (at := data.find(_MAGIC, position)) >= 0 and at + _HEAD.itemsize <= len(data):
        head = np.frombuffer(data, _HEAD, 1, at)[0]
        start = at + _HEAD.itemsize
        stop = start + int(head["count"]) * RECORD.itemsize
        if stop > len(data) or zlib.crc32(data[start:stop]) != head["crc"]:
            position = at + 1
            continue
        if at != end:
            warnings.warn(f"{path}: {at - end} damaged bytes passed over", stacklevel=2)
        batches.append(np.frombuffer(data, RECORD, int(head["count"]), start))
        position = end = stop
    return (np.concatenate(batches) if batches else np.zeros(0, RECORD)), end


def _check(responses: np.ndarray, rules: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Which cells hold a rating, bool (n_responses, n_rules)."""
    if p.shape != (len(responses), len(rules), 3):
        raise ValueError(
            f"probabilities have shape {p.shape}; allowed: ({len(responses)}, {len(rules)}, 3)"
        )
    for name, values in (("responses", responses), ("rules", rules)):
        if len(np.unique(values)) != len(values):
            raise ValueError(f"{name}: a key occurs twice; allowed: each once")
    missing = np.isnan(p)
    rated = ~missing.any(axis=2)
    with np.errstate(invalid="ignore"):
        fine = ((p >= 0) & (p <= 1)).all(axis=2) & (np.abs(p.sum(axis=2) - 1) < 1e-3)
    wrong = np.argwhere(~np.where(rated, fine, missing.all(axis=2)))
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(
            f"probabilities of response {i}, rule {j} are {p[i, j]}; allowed: three numbers from "
            "0 to 1 with sum 1, or three NaN"
        )
    return rated


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

"""Who does what in a folder that several processes or machines work in: a file a claim.

`sweeping` claims a step before it executes it. A claim that its holder no longer renews falls free.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path

RENEWED = 10.0  # seconds between renewals
STALE = 90.0  # seconds without one, after which a claim is free


class Claims:
    """The claims of one process; `close` gives them all back.

    Parameters
    ----------
    folder
        That all who work there see.
    workers
        How many tasks this process has running together, for others to tell the time left.
    """

    def __init__(self, folder: Path, workers: int = 1) -> None:
        self.folder = folder / ".claims"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._token = uuid.uuid4().hex
        self._own = f"worker-{self._token}"
        self._workers = workers
        self._held: set[str] = set()
        self._renewed = 0.0
        self.take(self._own)
        self.renew()

    def take(self, name: str) -> bool:
        """Claim something; False if another holds it."""
        path = self.folder / name
        told = {"token": self._token, "host": os.uname().nodename, "pid": os.getpid()}
        try:
            with path.open("x", encoding="utf-8") as file:
                json.dump(told | {"workers": self._workers}, file)
        except FileExistsError:
            return self._take_over(path)
        self._held.add(name)
        return True

    def release(self, name: str) -> None:
        """Give a claim back."""
        self._held.discard(name)
        (self.folder / name).unlink(missing_ok=True)

    def renew(self) -> None:
        """Keep what is held; to be called often, and cheap."""
        if time.monotonic() - self._renewed > RENEWED:
            self._renewed = time.monotonic()
            for name in self._held:
                os.utime(self.folder / name)

    def close(self) -> None:
        """Give everything back."""
        for name in list(self._held):
            self.release(name)

    def _take_over(self, path: Path) -> bool:
        """Take a claim whose holder is gone; of several that try, one succeeds."""
        seen = _read(path)
        if seen is None:
            return self.take(path.name)
        if not is_stale(path, seen, self._now()):
            return False
        aside = path.with_name(f"gone-{uuid.uuid4().hex}")
        try:
            path.rename(aside)
        except FileNotFoundError:
            return False
        if (_read(aside) or {}).get("token") != seen["token"]:  # another was faster
            aside.rename(path)
            return False
        aside.unlink()
        return self.take(path.name)

    def _now(self) -> float:
        """The time by the clock that stamps these files."""
        own = self.folder / self._own
        os.utime(own)
        return own.stat().st_mtime


def fresh(folder: Path) -> dict[str, dict]:
    """Name → who holds it, of the claims in a folder that have not fallen free."""
    found = {}
    for path in (folder / ".claims").glob("*"):
        told = _read(path)
        if told is not None and not is_stale(path, told, time.time()):
            found[path.name] = told
    return found


def is_stale(path: Path, told: dict, now: float) -> bool:
    """Whether a claim's holder is gone: not there on this machine, or silent for long."""
    if told.get("host") == os.uname().nodename and not _lives(told["pid"]):
        return True
    try:
        return now - path.stat().st_mtime > STALE
    except FileNotFoundError:
        return False


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(path: Path) -> dict | None:
    """What a claim says; None if it is gone, and of one being written nothing yet."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:
        return {"token": ""}

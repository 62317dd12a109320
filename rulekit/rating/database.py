"""A SQLite file as rulekit uses one: made whole or not at all, written in short transactions, every error with its name.

A path and a schema come in, SQL runs. It knows nothing of ratings: `store` says what is in the file.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_PATIENCE = 120.0  # seconds that a writer waits for others; they write for a fraction of one
_SMALLEST = 512  # bytes: SQLite takes less for a new file


class Database:
    """A SQLite database of one schema and format.

    Parameters
    ----------
    path
        The file, made with its folder if it is not there, or ``:memory:``.
    schema
        SQL that makes it; a file may hold further tables and views of its owner's.
    application, version
        Numbers that tell such a file from others (``application_id``), and one format of it from
        later ones (``user_version``).

    Raises
    ------
    ValueError
        If there is something else at `path`, another format, or a damaged file.
    OSError
        If the file cannot be written, the disk is full, or another process holds the file.

    Notes
    -----
    The log beside it (``-wal``) is flushed to disk by every transaction and taken over into the
    file right after, so that the file alone is whole whenever nobody reads or writes. Its locks
    hold between processes of one machine, not over a network's file system.
    """

    def __init__(self, path: str | Path, schema: str, application: int, version: int) -> None:
        self.path, self._depth = str(path), 0
        self._connection: sqlite3.Connection | None = None
        make = f"{schema}pragma application_id = {application};pragma user_version = {version};"
        with self._named():
            if self.path == ":memory:":
                self._connection = _connected(self.path)
                self._connection.executescript(make)
                return
            if not os.path.lexists(self.path):
                _make(Path(self.path), make)
            self._refuse_other_files()
            self._connection = _connected(self.path)
            try:
                self._refuse_other_schemas(schema, application, version)
                self._connection.execute("pragma journal_mode = wal")
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def execute(self, sql: str, values: Iterable = ()) -> sqlite3.Cursor:
        """Run one statement."""
        return self._connection.execute(sql, values)

    def executemany(self, sql: str, rows: Iterable) -> None:
        """Run one statement for each row."""
        self._connection.executemany(sql, rows)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What is read inside is of one moment; a transaction within another is part of it."""
        with self._transaction("begin"):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What is written inside is on disk at the end, or nothing of it; others wait meanwhile."""
        with self._transaction("begin immediate"):
            yield
        if not self._depth:
            with self._named():
                self.execute("pragma wal_checkpoint(passive)").fetchall()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        if self._connection is None:
            raise ValueError(f"{self.path}: the store is closed")
        if self._depth:
            yield
            return
        with self._named():
            try:
                self._depth += 1
                self._begin(begin)
                yield
                self._connection.commit()
            finally:
                self._depth = 0
                if self._connection.in_transaction:
                    with suppress(sqlite3.Error):  # SQLite takes it back by itself where it fails
                        self._connection.rollback()

    def _begin(self, begin: str) -> None:
        if self._connection.in_transaction:  # an interrupt came between its end and our knowing
            self._connection.rollback()
        end = time.monotonic() + _PATIENCE
        while True:  # SQLite waits too, but hears no Ctrl-C meanwhile
            try:
                self.execute(begin)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
            else:
                return

    def damaged(self, what: str) -> ValueError:
        """The error that says so."""
        return ValueError(f"{self.path}: {what} damaged; restore the file from a copy")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of SQLite as one line that names the file."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._error(error) from error
        except UnicodeDecodeError as error:  # in SQLite's own message
            raise self.damaged("its text is") from error

    def _error(self, error: sqlite3.Error) -> Exception:
        code, said = _code(error), " ".join(str(error).split())[:100]
        if code == sqlite3.SQLITE_IOERR and shutil.disk_usage(Path(self.path).parent).free < 2**16:
            code = sqlite3.SQLITE_FULL  # of the memory map beside the log SQLite does not say why
        match code:
            case sqlite3.SQLITE_FULL:
                return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
            case sqlite3.SQLITE_IOERR:
                return OSError(errno.EIO, f"{said} ({error.sqlite_errorname})", self.path)
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return TimeoutError(errno.ETIMEDOUT, "another process holds it", self.path)
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
                return PermissionError(errno.EACCES, f"cannot be written: {said}", self.path)
            case sqlite3.SQLITE_NOTADB:
                return ValueError(f"{self.path}: no store of ratings: {said}")
        return self.damaged(f"({said})")

    def _refuse_other_files(self) -> None:
        path = Path(self.path)
        if path.is_dir():
            raise ValueError(f"{path}: a folder; allowed: a file, such as {path}.sqlite")
        if (size := path.stat().st_size) < _SMALLEST:
            raise ValueError(
                f"{path}: {size} bytes; allowed: a store of ratings, or no file to start one"
            )
        for place in (path, path.parent):
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, "cannot be written", str(place))

    def _refuse_other_schemas(self, schema: str, application: int, version: int) -> None:
        ((found,),) = self.execute("pragma application_id")
        if found != application:
            raise ValueError(f"{self.path}: a SQLite file, but no store of ratings")
        ((found,),) = self.execute("pragma user_version")
        if found != version:
            raise ValueError(f"{self.path}: format {found}; allowed: {version}")
        if not _statements(schema) <= set(self.execute("select sql from sqlite_master")):
            raise self.damaged("the schema is")


def _connected(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
    connection.execute("pragma synchronous = full")
    connection.execute("pragma cell_size_check = on")  # damaged pages show when they are read
    return connection


def _make(path: Path, script: str) -> None:
    """A new file, whole from the first moment that others can see it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        fresh = Path(folder) / path.name
        connection = _connected(str(fresh))
        try:
            connection.execute("pragma journal_mode = wal")
            connection.executescript(f"begin;{script}commit;")
        finally:
            connection.close()
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass  # another process was first
        except OSError:  # a file system without links
            if not path.exists():
                fresh.replace(path)


@cache
def _statements(schema: str) -> set[tuple[str]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(schema)
        return set(connection.execute("select sql from sqlite_master where sql is not null"))
    finally:
        connection.close()


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF

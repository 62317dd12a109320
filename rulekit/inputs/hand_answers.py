"""What people answered by hand: a file that only grows comes in, the answers that stand go out.

A line of JSON an answer, flushed to the disk before the next question is shown; taking one back is
a line too. Several people, and several programs, may write to one file. `rulekit.rating.Asking`
writes it, `add_preferences` reads its preferences.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

try:
    import fcntl
except ImportError:  # Windows appends a line whole without a lock
    fcntl = None

SCHEMA = {
    "id": pl.String,
    "time": pl.String,
    "person": pl.String,
    "pair_id": pl.String,
    "preference": pl.Int8,
    "shown": pl.String,
    "response": pl.String,
    "rule_id": pl.String,
    "verdict": pl.String,
}
VERDICTS = ("yes", "no", "irrelevant")
_ITEM = ("person", "pair_id", "response", "rule_id")


def append_answer(path: str | Path, entry: Mapping[str, object]) -> str:
    """Write one answer behind the others; when this returns, it is on the disk.

    Parameters
    ----------
    path
        The file, made where there is none.
    entry
        ``person`` with ``pair_id`` and ``preference`` (+1 the first response of the pair, -1 the
        second, 0 a tie, None skipped) and, optionally, ``shown`` (``ab``, or ``ba`` where the second
        response stood first); or with ``pair_id``, ``response`` (``a`` or ``b``), ``rule_id`` and
        ``verdict`` (yes, no, irrelevant, None skipped); or with ``undo``, the id of an answer.

    Returns
    -------
    The id of the entry.

    Raises
    ------
    ValueError
        For another field or value.
    """
    return append_answers(path, [entry])[0]


def append_answers(path: str | Path, entries: Iterable[Mapping[str, object]]) -> list[str]:
    """Write many answers behind the others; when this returns, they are on the disk.

    Parameters
    ----------
    path
        The file, made where there is none.
    entries
        Each with the fields that `append_answer` takes.

    Returns
    -------
    The ids of the entries.

    Raises
    ------
    ValueError
        For another field or value; nothing is written then.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    about = [{"id": uuid.uuid4().hex[:16], "time": now, **_checked(dict(e))} for e in entries]
    lines = "".join(json.dumps(e, ensure_ascii=False) + "\n" for e in about).encode()
    path = Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path) as file:
        _mend(file)
        os.write(file, lines)
        os.fsync(file)
    return [e["id"] for e in about]


def read_answers(path: str | Path) -> pl.DataFrame:
    """The answers that stand: not taken back, the last one of each person to each question.

    Parameters
    ----------
    path
        A file of `append_answer`; none is as good as an empty one.

    Returns
    -------
    A row an answer in the order of the file, columns id, time, person, pair_id, preference, shown,
    response, rule_id, verdict; what does not belong to the kind of question is null.

    Raises
    ------
    ValueError
        Naming file and line, for a line that is no answer. A last line that was cut off is none: it
        was never answered.
    """
    path = Path(path).expanduser()
    found: dict[str, dict] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            entry = _parsed(line)
            if not isinstance(entry, dict) or not entry.get("id"):
                raise ValueError("no answer by hand; allowed: an object with an id and a person")
            _checked({k: v for k, v in entry.items() if k not in ("id", "time")})
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if "undo" in entry:
            found.pop(entry["undo"], None)
        else:
            found[entry["id"]] = entry
    last = {tuple(entry.get(c) for c in _ITEM): entry["id"] for entry in found.values()}
    rows = [{c: found[i].get(c) for c in SCHEMA} for i in found if i in set(last.values())]
    return pl.DataFrame(rows, schema=SCHEMA)


def is_answers(record: object) -> bool:
    """Whether the first record of a file is one of `append_answer`."""
    return isinstance(record, dict) and {"id", "person", "time"} <= record.keys()


def agreed_preferences(answers: pl.DataFrame) -> dict[str, int]:
    """What people say together about each pair: +1, -1, or 0 where as many say one as the other.

    Parameters
    ----------
    answers
        Of `read_answers`; skipped pairs have no say.
    """
    given = answers.filter(pl.col("preference").is_not_null())
    summed = given.group_by("pair_id", maintain_order=True).agg(
        pl.col("preference").cast(pl.Int64).sum().sign()
    )
    return dict(summed.iter_rows())


_FIELDS = {
    frozenset({"person", "pair_id", "preference"}): "pair",
    frozenset({"person", "pair_id", "response", "rule_id", "verdict"}): "rating",
    frozenset({"person", "undo"}): "undo",
}


def _checked(entry: dict) -> dict:
    kind = _FIELDS.get(frozenset(entry) - {"shown"})
    if kind is None or ("shown" in entry and kind != "pair"):
        raise ValueError(
            f"fields {', '.join(map(repr, entry))}; allowed: person with pair_id and preference, with "
            "pair_id, response, rule_id and verdict, or with undo"
        )
    for name in ("person", "pair_id", "rule_id", "undo"):
        if name in entry and not (isinstance(entry[name], str) and entry[name].strip()):
            raise ValueError(f"{name} is {entry[name]!r:.40}; allowed: a text that is not empty")
    for name, allowed in (
        ("preference", (1, -1, 0, None)),
        ("shown", ("ab", "ba")),
        ("response", ("a", "b")),
        ("verdict", (*VERDICTS, None)),
    ):
        if name in entry and (isinstance(entry[name], bool) or entry[name] not in allowed):
            raise ValueError(
                f"{name} is {entry[name]!r:.40}; allowed: {', '.join(map(str, allowed))}"
            )
    return entry


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The open file, which no other program writes to meanwhile."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)  # and lets go of the lock


def _mend(file: int) -> None:
    """Take off a last line that a killed program left half written; nobody else is writing now."""
    size = os.fstat(file).st_size
    start = max(0, size - 65536)
    os.lseek(file, start, os.SEEK_SET)
    tail = os.read(file, size - start)
    if not tail or tail.endswith(b"\n"):
        return
    last = tail.rpartition(b"\n")[2]
    try:
        json.loads(last)
    except ValueError:
        os.ftruncate(file, size - len(last))
    else:
        os.write(file, b"\n")


def _lines(path: Path) -> list[str]:
    """Whole lines of the file; a last one without an end counts where it is whole JSON."""
    if not path.is_file():
        return []
    *lines, last = path.read_bytes().split(b"\n")
    try:
        json.loads(last)
        lines.append(last)
    except ValueError:
        pass
    return [line.decode(errors="replace") for line in lines if line.strip()]


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None

"""Files of preference pairs in any common layout come in, checked canonical rows go out.

`sources.load_pairs`, which knows data sets by name, calls `read_pairs`; `description` counts what
`read_rows` gives; `labelled_responses` and `known_preferences` read their rows through `records`.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from rulekit.inputs.folders import ENDINGS, files_of
from rulekit.inputs.layouts import layout_of, pairs_of_row
from rulekit.inputs.pairs import COLUMNS, MESSAGES, check_pairs, messages
from rulekit.inputs.several_responses import pairs_of_ratings
from rulekit.inputs.turns import RowError, wrong_value

_TEXTS = (
    *("pair_id", "prompt", "question", "instruction", "query", "input", "context"),
    *("response_a", "response_b", "answer_a", "answer_b", "response1", "response2"),
    *("response_1", "response_2", "chosen", "rejected", "response", "completion", "rule"),
)
_LINES = (".jsonl", ".jsonl.gz", ".ndjson")
_POINTER = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class ReadRow:
    """One row of a file: where it stands, its layout, and what it makes or why it is refused."""

    file: Path
    where: str
    columns: tuple[str, ...] = ()
    layout: str = ""
    rows: list[dict] = field(default_factory=list)
    error: ValueError | None = None


def read_pairs(
    path: str | Path | Sequence[str | Path], *, skip_invalid: bool = False
) -> pl.DataFrame:
    """Read preference pairs from one file or several; as `rulekit.load_pairs`, without names.

    Parameters
    ----------
    path
        A file, a folder, a glob, or a list of files.
    skip_invalid
        As for `rulekit.load_pairs`.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `rulekit.load_pairs`.
    """
    files = files_of(path) if isinstance(path, str | Path) else [Path(p) for p in path]
    named = str(files[0] if len(files) == 1 else path)
    pairs: list[dict] = []
    rated: list[dict] = []
    reasons: Counter[str] = Counter()
    said: dict[str, str] = {}
    total = 0
    for read in read_rows(files):
        total += 1
        if read.error is not None:
            if not read.where:
                raise read.error from None
            if not skip_invalid:
                raise ValueError(f"{read.file}, {read.where}: {read.error}") from None
            kind = getattr(read.error, "kind", str(read.error))
            reasons[kind] += 1
            said.setdefault(kind, str(read.error))
        (rated if read.layout == "ratings" else pairs).extend(read.rows)
    if reasons:
        why = "; ".join(f"{n} × {said[kind]}" for kind, n in reasons.most_common())
        warnings.warn(f"{named}: {reasons.total()} of {total} rows skipped: {why}", stacklevel=3)
    try:
        formed, alone = pairs_of_ratings(rated)
        if alone and formed:
            warnings.warn(
                f"{named}: {alone} of {len(rated)} rated responses are the only one of their prompt "
                "and form no pair",
                stacklevel=3,
            )
        if alone and not formed and not pairs:
            raise ValueError(
                "no prompt has two responses; allowed: ratings of several responses of a prompt"
            )
        if not pairs and not formed:
            raise ValueError("no pairs in it")
        return check_pairs(frame_of(pairs + formed))
    except ValueError as error:
        raise ValueError(f"{named}: {error}") from None


def read_rows(files: Sequence[Path]) -> Iterator[ReadRow]:
    """Every row of the files, converted, or with the error that refuses it.

    Pairs without a `pair_id` are named by the number of their row, from 0, through all files. A file
    that cannot be read on has a last row without a place, whose error names the file.
    """
    first: dict[str, str] = {}  # pair_id → where it stands
    total = -1
    for file, where, record in _records_of(files):
        total += 1
        if isinstance(record, ValueError):
            yield ReadRow(file, where, error=record)
            continue
        columns, layout = tuple(record), ""
        try:
            layout = layout_of(set(record))
            rows = pairs_of_row(record, layout)
            if layout != "ratings":
                _name(rows, record, total, first)
                place = where if len(files) == 1 else f"{file}, {where}"
                first |= {row["pair_id"]: place for row in rows}
        except RowError as error:
            yield ReadRow(file, where, columns, layout, error=error)
            continue
        yield ReadRow(file, where, columns, layout, rows)


def _name(rows: list[dict], record: dict, number: int, first: dict[str, str]) -> None:
    """Give every pair of a row its id: the file's, or one of the number of the row."""
    of_prompt = len(rows) > 1 or "response_id_a" in rows[0]
    if of_prompt and record.get("prompt_id") is None and any(r["pair_id"] in first for r in rows):
        for row in rows:  # the same prompt again
            for key in ("pair_id", "response_id_a", "response_id_b"):
                row[key] = row[key].replace(":", f".{number}:", 1)
    for row in rows:
        given = row.get("pair_id")
        if isinstance(given, bool | list | dict):
            raise wrong_value("pair_id", given, "a text or a number")
        row["pair_id"] = str(number if given is None else given)
        if not row["pair_id"].strip():
            raise RowError("column 'pair_id' is empty", "a non-empty string")
        if row["pair_id"] in first:
            column = "prompt_id" if of_prompt else "pair_id"
            value = record.get("prompt_id") if of_prompt else row["pair_id"]
            raise RowError(
                f"column {column!r} is {value!r:.60}, as in {first[row['pair_id']]}",
                "unique ids",
                f"column {column!r} stands there twice",
            )


def _records_of(files: Sequence[Path]) -> Iterator[tuple[Path, str, dict | ValueError]]:
    """(file, where, record) of all files; what ends a file comes as an error without a place."""
    for file in files:
        try:
            for where, record in records(file):
                yield file, where, record
        except ValueError as error:
            yield file, "", error


def records(path: Path) -> Iterator[tuple[str, dict | ValueError]]:
    """(where, record) for each row; a line that cannot be parsed comes as the error.

    Raises
    ------
    ValueError
        Naming the file, if its ending is unknown or its content is not of that format.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise ValueError(f"{path}: unknown format; allowed endings: {', '.join(ENDINGS)}")
    try:
        with path.open("rb") as file:
            if file.read(len(_POINTER)) == _POINTER:
                raise ValueError(
                    f"{path}: a pointer of Git LFS, not the data; fetch it with `git lfs pull`"
                )
        if name.endswith(_LINES):
            yield from _lines(path)
            return
        if name.endswith((".json", ".json.gz")):
            yield from _json(path)
            return
        if name.endswith(".arrow"):
            frame = _read_arrow(path)
        else:
            frame = _read_csv(path) if name.endswith((".csv", ".tsv")) else pl.read_parquet(path)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"{path}: not UTF-8 (byte {byte:#x}); allowed: a file in UTF-8") from None
    except (pl.exceptions.PolarsError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{path}: not readable by its ending ({reason})") from None
    for number, record in enumerate(frame.iter_rows(named=True)):
        yield f"row {number}", record


def _open(path: Path):
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig")


def _lines(path: Path) -> Iterator[tuple[str, dict | ValueError]]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"line {number}", _record(_parse(line))


def _json(path: Path) -> Iterator[tuple[str, dict | ValueError]]:
    """A list of objects, a single one, or objects one a line under the ending of a list."""
    with _open(path) as file:
        text = file.read()
    value = _parse(text) if text.strip() else []
    if isinstance(value, ValueError):
        if text.lstrip().startswith("["):
            raise ValueError(f"{path}: {value}")
        yield from _lines(path)
        return
    for number, record in enumerate(value if isinstance(value, list) else [value]):
        yield f"row {number}", _record(record)


def _parse(text: str) -> object:
    """A JSON value, or what is wrong with it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at {f'line {error.lineno}, ' if error.lineno > 1 else ''}column {error.colno}"
    except RecursionError:
        reason = "too many levels"
    except ValueError:
        reason = "a number of too many digits"
    return RowError(f"not valid JSON ({reason})", "a JSON object", "not valid JSON")


def _record(value: object) -> dict | ValueError:
    if isinstance(value, dict | ValueError):
        return value
    return RowError("not a JSON object", "an object with the columns of a layout")


def _read_csv(path: Path) -> pl.DataFrame:
    """A table separated by what its head is separated by, its texts as texts also if numerals."""
    text = path.read_bytes().decode("utf-8-sig")
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    names = next(csv.reader([head], delimiter=separator), [])
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise ValueError(
            f"{path}: the column {twice[0]!r} is there twice; allowed: every name once"
        )
    texts = dict.fromkeys(_TEXTS, pl.String)
    try:
        return pl.read_csv(
            text.encode(), separator=separator, infer_schema_length=None, schema_overrides=texts
        )
    except pl.exceptions.PolarsError as error:
        reader = csv.reader(io.StringIO(text), delimiter=separator)
        with contextlib.suppress(csv.Error):
            for row in reader:
                if len(row) > len(names):
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {len(row)} fields; allowed: "
                        f"{len(names)}, as in its head, texts that hold a separator in quotes"
                    ) from None
        raise error


def _read_arrow(path: Path) -> pl.DataFrame:
    """A stream, which `datasets` writes, or a file, which others do."""
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    try:
        return pl.read_ipc(path) if is_file else pl.read_ipc_stream(path)
    except OSError as error:
        raise pl.exceptions.ComputeError(str(error)) from None


def frame_of(rows: list[dict]) -> pl.DataFrame:
    """Converted rows as one frame; the prompts are messages if any of them is."""
    chat = any(not isinstance(row["prompt"], str) for row in rows)
    names = list(dict.fromkeys((*COLUMNS, *(k for row in rows for k in row))))
    schema = {
        "pair_id": pl.String,
        "response_a": pl.String,
        "response_b": pl.String,
        "preference": pl.Int8,
        "prompt": MESSAGES if chat else pl.String,
    }
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name == "prompt" and chat:
            values = [messages(v) for v in values]
        columns[name] = pl.Series(name, values, dtype=schema.get(name), strict=name in schema)
    return pl.DataFrame(columns)

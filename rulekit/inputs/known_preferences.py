"""Known preferences for some pairs: a frame and a file come in, the frame with them goes out.

The file has two columns, `pair_id` and `preference` (or `winner`), in any format that pairs are
read from; or it is one of answers by hand, as the annotation desk leaves it. `labels` of a recipe
or a notebook names it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from rulekit.inputs.hand_answers import agreed_preferences, append_answers, is_answers, read_answers
from rulekit.inputs.layouts import preference_of
from rulekit.inputs.pairs import check_pairs
from rulekit.inputs.readers import records


def add_preferences(pairs: pl.DataFrame, path: str | Path) -> pl.DataFrame:
    """Pairs with the known preferences of a file in place of their own.

    Parameters
    ----------
    pairs
        Canonical frame.
    path
        A file with the columns pair_id and preference (+1 the first response is preferred, -1 the
        second, 0 a tie, empty unknown), or winner (model_a, model_b, tie; a, b) in its place. Or
        answers by hand, of which those that stand are taken: what most people say, 0 where as many
        say one as the other.

    Returns
    -------
    The frame with the file's preferences, null for pairs that the file does not name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        Naming file, row and column for an id that is none of the pairs' or stands there twice, and
        for a value that is not allowed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"no such file: {path}; allowed: a file with the columns pair_id and preference"
        )
    pairs = check_pairs(pairs)
    known = set(pairs["pair_id"])
    given: dict[str, int | None] = {}
    where_of: dict[str, str] = {}
    for where, record in _given(path):
        try:
            if isinstance(record, ValueError):
                raise record
            pair_id, value = _row(record)
            if pair_id not in known:
                few = ", ".join(pairs["pair_id"].head(3))
                raise ValueError(
                    f"column 'pair_id' is {pair_id!r:.60}; allowed: an id of the {len(known)} pairs, "
                    f"such as {few}"
                )
            if pair_id in given:
                raise ValueError(
                    f"column 'pair_id' is {pair_id!r:.60}, as in {where_of[pair_id]}; "
                    "allowed: every pair once"
                )
        except ValueError as error:
            raise ValueError(f"{path}, {where}: {error}") from None
        given[pair_id], where_of[pair_id] = value, where
    if not given:
        raise ValueError(f"{path}: no preferences in it")
    values = [given.get(i) for i in pairs["pair_id"]]
    return pairs.with_columns(preference=pl.Series(values, dtype=pl.Int8))


def carry_over(pairs: pl.DataFrame, path: str | Path) -> Path:
    """The file that answers by hand go to when a file of preferences is to grow.

    Parameters
    ----------
    pairs
        Canonical frame, as for `add_preferences`.
    path
        A file of answers, or one that is to be made and ends in .jsonl: it is the one. Any other
        file that `add_preferences` reads stays as it is; its preferences become answers of a
        person with the file's name, in NAME.answers.jsonl beside it. What stands there is not
        carried over again.

    Raises
    ------
    FileNotFoundError
        If there is no such file, and its name does not end in .jsonl.
    ValueError
        As `add_preferences`.
    """
    path = Path(path).expanduser()
    if path.suffix == ".jsonl" and (not path.is_file() or not path.stat().st_size):
        return path
    if path.is_file() and path.suffix == ".jsonl":
        first = next(records(path), (None, None))[1]
        if is_answers(first):
            return path
    known = add_preferences(pairs, path).drop_nulls("preference")
    answers = path.with_suffix(".answers.jsonl")
    there = read_answers(answers).filter(pl.col("person") == path.name)
    standing = dict(there.select("pair_id", "preference").iter_rows())
    rows = known.select("pair_id", "preference").iter_rows()
    new = [
        {"person": path.name, "pair_id": name, "preference": value}
        for name, value in rows
        if name not in standing or standing[name] != value
    ]
    if new:
        append_answers(answers, new)
    return answers


def _given(path: Path) -> Iterator[tuple[str, dict]]:
    """Where each preference stands, and the record that gives it."""
    rows = records(path)
    first = next(rows, None)
    if first is not None and is_answers(first[1]):
        for pair_id, value in agreed_preferences(read_answers(path)).items():
            yield "answers", {"pair_id": pair_id, "preference": value}
        return
    yield from (first, *rows) if first is not None else ()


def _row(record: dict) -> tuple[str, int | None]:
    """(pair_id, preference) of one row."""
    columns = [c for c in ("preference", "winner") if c in record]
    if "pair_id" not in record or not columns:
        raise ValueError(
            f"its columns are {', '.join(map(repr, list(record)[:8]))}; allowed: pair_id, preference"
        )
    if len(columns) == 2:
        raise ValueError("both 'preference' and 'winner' are there; allowed: one of them")
    pair_id = record["pair_id"]
    if pair_id is None or isinstance(pair_id, bool | list | dict) or not str(pair_id).strip():
        raise ValueError(f"column 'pair_id' is {pair_id!r:.40}; allowed: the id of a pair")
    return str(pair_id), preference_of(record[columns[0]], columns[0])

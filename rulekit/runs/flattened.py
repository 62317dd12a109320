"""Nested figures become columns: a run's metrics and parameters come in, typed values by name go out.

`table` makes one row a run of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from rulekit.runs.recipe import PARAMETERS

_SCALARS = (bool, int, float, str, type(None))


def flattened(value: object, name: str = "") -> dict[str, object]:
    """The figures of a nested value by their paths, joined by dots.

    Parameters
    ----------
    value
        Of JSON. A row of a list is called by its first text, and by its others and whole numbers,
        such as ``k=5``, as far as they are needed to tell the rows apart; else by its place.
    name
        Path of the value itself.

    Returns
    -------
    Path → a number, a text, a truth value, None, or a list of one of these kinds.
    """
    return dict(_leaves(value, name))


def _leaves(value: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        if all(isinstance(part, _SCALARS) for part in value):
            yield name, list(value)
        elif all(isinstance(part, Mapping) for part in value):
            for key, part in _called(value).items():
                yield from _leaves(part, f"{name}.{key}")
        else:
            for i, part in enumerate(value):
                yield from _leaves(part, f"{name}.{i}")
    else:
        yield name, value if isinstance(value, _SCALARS) else str(value)


def _called(rows: list[Mapping]) -> dict[str, dict]:
    """The rows by names that no two share, each without what it is called by."""
    columns = [k for k in rows[0] if all(k in row for row in rows)] if rows else []
    texts = [k for k in columns if all(isinstance(row[k], str) for row in rows)]
    wholes = [k for k in columns if all(type(row[k]) is int for row in rows)]
    wholes.sort(key=lambda k: k not in PARAMETERS)  # a number of rules rather than one of ties
    used: list[str] = []
    apart = 0
    for key in [*texts, *wholes]:
        found = len({tuple(row[k] for k in (*used, key)) for row in rows})
        if found > apart or not used:
            used, apart = [*used, key], found
        if apart == len(rows):
            break
    if apart < len(rows) or not all(texts and row[texts[0]] for row in rows):
        return {str(i): dict(row) for i, row in enumerate(rows)}
    said = [", ".join(_said(key, row[key]) for key in used) for row in rows]
    rest = [{k: v for k, v in row.items() if k not in used} for row in rows]
    return dict(zip(said, rest, strict=True))


def _said(key: str, value: object) -> str:
    return value if isinstance(value, str) else f"{key}={value}"


def as_parameter(value: object) -> object:
    """A parameter as one value of a table: lists and mappings as JSON."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value


def frame_of(rows: Iterable[Mapping[str, object]], first: Iterable[str] = ()) -> pl.DataFrame:
    """Rows of any columns as a frame; what a row has not is null.

    Parameters
    ----------
    rows
        Name → value, as `flattened` gives them.
    first
        Columns that stand before all others; they are there even if no row has them.

    Returns
    -------
    Columns of whole numbers stay whole, with a broken number among them all are; a column of
    values of different kinds is text.
    """
    rows = list(rows)
    names = dict.fromkeys([*first, *(name for row in rows for name in row)])
    return pl.DataFrame([_column(name, [row.get(name) for row in rows]) for name in names])


def _column(name: str, values: list) -> pl.Series:
    kinds = {type(v) for v in values if v is not None}
    if kinds == {list}:
        inner = {type(v) for part in values if part is not None for v in part if v is not None}
        if (kind := _kind(inner)) is not None:
            cast = [part and [v if v is None else _AS[kind](v) for v in part] for part in values]
            return pl.Series(name, cast, dtype=pl.List(kind))
    kind = _kind(kinds)
    if kind is not None:
        return pl.Series(name, [v if v is None else _AS[kind](v) for v in values], dtype=kind)
    texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    return pl.Series(name, texts, dtype=pl.String)


_AS = {pl.Boolean: bool, pl.Int64: int, pl.Float64: float, pl.String: str}


def _kind(kinds: set[type]):
    if not kinds:
        return pl.String
    if kinds <= {bool}:
        return pl.Boolean
    if kinds <= {int}:
        return pl.Int64
    if kinds <= {int, float}:
        return pl.Float64
    return pl.String if kinds <= {str} else None

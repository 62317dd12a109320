"""Filters of a table: a column, a comparison and a value come in, which rows are kept goes out.

The explorers share them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import polars as pl

COMPARISONS = ("=", "≠", "≥", "≤", "contains")


class Filter(NamedTuple):
    """One condition: column, one of `COMPARISONS`, and a value as it is written."""

    column: str
    comparison: str
    value: str


def kept(frame: pl.DataFrame, filters: Iterable[Filter | tuple[str, str, str]]) -> pl.Series:
    """Which rows fulfil every filter, bool (n_rows,); a missing value fulfils none but ≠.

    Parameters
    ----------
    frame
        The table.
    filters
        Any number of them.

    Raises
    ------
    ValueError
        For a column or a comparison that there is not, or a value that is no number where the
        column is one.
    """
    found = pl.repeat(True, len(frame), eager=True)
    for each in map(Filter._make, filters):
        if each.column not in frame.columns:
            raise ValueError(f"no column {each.column!r}; allowed: {', '.join(frame.columns)}")
        if each.comparison not in COMPARISONS:
            raise ValueError(f"unknown {each.comparison!r}; allowed: {', '.join(COMPARISONS)}")
        found &= _fulfils(frame[each.column], each)
    return found


def _fulfils(values: pl.Series, each: Filter) -> pl.Series:
    if each.comparison == "contains":
        text = values.cast(pl.String).str.to_lowercase()
        return text.str.contains(str(each.value).lower(), literal=True).fill_null(False)
    value: object = each.value
    if values.dtype == pl.Boolean:
        values = values.replace_strict({True: "yes", False: "no"}, return_dtype=pl.String)
    elif values.dtype.is_numeric():
        try:
            value = float(str(value).replace("−", "-"))
        except ValueError:
            raise ValueError(
                f"{each.column} {each.comparison} {each.value!r}; allowed: a number"
            ) from None
    else:
        values = values.cast(pl.String)
    if each.comparison == "≠":
        return ~(values == value).fill_null(False)
    compared = {"=": values.__eq__, "≥": values.__ge__, "≤": values.__le__}[each.comparison]
    return compared(value).fill_null(False)

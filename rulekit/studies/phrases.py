"""Figures as sentences: a row with its interval comes in, a phrase goes out.

A claim is made only where the interval of the difference lies on one side of zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import polars as pl

LEVEL = 0.05  # of a claim, shared among the differences looked at together


def percent(value: float, digits: int = 1) -> str:
    """A share as per cent."""
    return f"{100 * value:.{digits}f} %"


def with_interval(row: Mapping) -> str:
    """A share and its 95 % interval, in per cent."""
    return f"{percent(row['value'])} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def points(row: Mapping) -> str:
    """A difference of shares and its 95 % interval, in points of per cent, without its sign."""
    low, high = sorted((abs(row["low"]), abs(row["high"])))
    return f"{100 * abs(row['value']):.1f} points [{100 * low:.1f}, {100 * high:.1f}]"


def signed_points(row: Mapping) -> str:
    """A difference of shares and its 95 % interval, in points of per cent, with signs."""
    value, low, high = (_signed(100 * row[name]) for name in ("value", "low", "high"))
    return f"{value} points [{low}, {high}]"


def _signed(value: float) -> str:
    """One decimal and a sign; what rounds to zero has none."""
    text = f"{value:+.1f}"
    return text.replace("-", "−") if float(text) else text[1:]


def verdict(row: Mapping, tests: int = 1) -> int:
    """+1 where a difference is above zero beyond chance, -1 below, 0 where it cannot be told.

    Parameters
    ----------
    row
        ``low`` and ``high`` of the difference; with ``p_value``, that has to be below .05 divided
        by `tests`, too.
    tests
        Differences that were looked at together.
    """
    if row.get("p_value") is not None and row["p_value"] * tests >= LEVEL:
        return 0
    return 1 if row["low"] > 0 else -1 if row["high"] < 0 else 0


def compared(first: str, second: str, row: Mapping, tests: int = 1) -> str:
    """One clause: which of two is right more often, by how much, or that it cannot be told.

    Parameters
    ----------
    first, second
        What is compared, in the singular.
    row
        The difference, first less second: ``value``, ``low``, ``high`` and perhaps ``p_value``.
    tests
        As for `verdict`.
    """
    side = verdict(row, tests)
    if side:
        return f"{first} is {'above' if side > 0 else 'below'} {second} by {points(row)}"
    return f"{first} cannot be told apart from {second} ({signed_points(row)})"


def capital(text: str) -> str:
    """A text whose first letter is large; the others stay."""
    return text[:1].upper() + text[1:]


def listed(sentences: Iterable[str]) -> str:
    """Sentences as a Markdown list; empty ones are left out."""
    return "\n".join(f"- {one}" for one in sentences if one)


def joined_interval(
    frame: pl.DataFrame, low: str = "low", high: str = "high", scale: float = 100, digits: int = 1
) -> pl.DataFrame:
    """A frame whose two ends of an interval have become one column of text, ``interval``.

    Parameters
    ----------
    frame
        With the columns `low` and, behind it, `high`.
    low, high
        Names of the ends.
    scale, digits
        What the ends are multiplied by, 100 for per cent, and their decimals.
    """
    ends = [
        "–"
        if a is None or b is None
        else f"{scale * a:.{digits}f} to {scale * b:.{digits}f}".replace("-", "−")
        for a, b in zip(frame[low], frame[high], strict=True)
    ]
    at = frame.columns.index(low)
    return frame.drop(low, high).insert_column(at, pl.Series("interval", ends))


def as_code(text: str) -> str:
    """A name in Markdown as code, whatever is in it: more backticks around it than there are inside."""
    line = " ".join(text.split())
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{'`' * (longest + 1)}{pad}{line}{pad}{'`' * (longest + 1)}"

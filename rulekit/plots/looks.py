"""What all charts share: colours, dashes, shapes, titles, keys; texts come in as they may be drawn.

The colours are those of Okabe and Ito, chosen so that the colour-blind can tell them apart; lines
differ by their dashes and points by their shapes besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from textwrap import wrap

import altair as alt
import polars as pl

from rulekit.tables import visible

BLUE, ORANGE, SKY, PURPLE, BLACK = "#0072B2", "#D55E00", "#56B4E9", "#CC79A7", "#222222"
GREY = "#8A8F98"
SERIES = [BLUE, ORANGE, BLACK, SKY, PURPLE]
DASHES = [[1, 0], [7, 4], [2, 3], [11, 3, 2, 3], [5, 2]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross"]
_LONGEST = 120  # letters; the converter takes seconds for labels of thousands
# Pixels: with their names the rows of a chart are no wider than a phone can show.
WIDTH, _NAMES = 320, alt.Axis(labelLimit=190, labelExpr="split(datum.label, '\\n')")
_LINE = 26  # letters


def prepared(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame whose texts can be drawn: none that is empty, and none of more than 120 letters."""
    names = [c for c, kind in frame.schema.items() if kind == pl.String]
    drawn = {c: [None if v is None else _drawn(v) for v in frame[c]] for c in names}
    return frame.with_columns(pl.Series(c, v, dtype=pl.String) for c, v in drawn.items())


def _drawn(name: str) -> str:
    """A name as a label; a long one ends in … and in what tells it from others with this beginning."""
    name = visible(name) or " "
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}… {sha256(name.encode()).hexdigest()[:6]}"


def heading(title: str, width: int = 480) -> alt.Title:
    """A title in as many lines as a picture of that many pixels has room for."""
    lines = wrap(visible(title), max(24, width // 7), max_lines=8, placeholder=" …") or [""]
    return alt.Title(lines, anchor="start", fontSize=14, offset=10)


def rows(frame: pl.DataFrame, column: str, step: int) -> tuple[pl.DataFrame, alt.Y, int]:
    """A row a name, in their order; a long name stands in several lines.

    Parameters
    ----------
    frame
        Its texts can be drawn already.
    column
        Has the names.
    step
        Pixels from row to row, where names have one line.

    Returns
    -------
    The frame with another column of names, their axis, and the height of the picture.
    """
    found: list[str] = []
    for name in frame[column]:
        lines = "\n".join(wrap(name, _LINE)) or name
        found.append(name if lines in found else lines)
    most = max((name.count("\n") + 1 for name in found), default=1)
    y = alt.Y("row_name:N", sort=found, title=None, axis=_NAMES)
    named = frame.with_columns(pl.Series("row_name", found, dtype=pl.String))
    return named, y, max(step, 12 * most + 8) * len(frame)


def key(columns: int = 3, symbol: str = "stroke", shown: Sequence[str] = ()) -> alt.Legend:
    """A key below the picture; of all names, or of those shown."""
    return alt.Legend(
        title=None,
        orient="bottom",
        columns=columns,
        labelLimit=300,
        values=[*shown] if shown else alt.Undefined,
        symbolType=symbol,
        symbolSize=300 if symbol == "stroke" else 90,
        symbolStrokeWidth=2.5,
    )


def series(frame: pl.DataFrame, column: str) -> list[str]:
    """Names of the series in their order.

    Raises
    ------
    ValueError
        If there are more than five, which no reader tells apart.
    """
    names = frame[column].unique(maintain_order=True).to_list()
    if len(names) > len(SERIES):
        raise ValueError(f"{len(names)} series; allowed: {len(SERIES)} or fewer")
    return names


def color(column: str, names: list[str], legend: alt.Legend | None) -> alt.Color:
    """A colour a name."""
    scale = alt.Scale(domain=names, range=SERIES[: len(names)])
    return alt.Color(f"{column}:N", scale=scale, legend=legend)


def dash(column: str, names: list[str], legend: alt.Legend | None) -> alt.StrokeDash:
    """A dash a name."""
    scale = alt.Scale(domain=names, range=DASHES[: len(names)])
    return alt.StrokeDash(f"{column}:N", scale=scale, legend=legend)


def pointed(chart: alt.Chart, column: str, names: list[str], size: int = 45) -> alt.Chart:
    """Points with a fill and a shape a name; the key is that of the lines."""
    return chart.mark_point(size=size, opacity=1, strokeWidth=0).encode(
        fill=alt.Fill(f"{column}:N", scale=_keyless(names, SERIES), legend=None),
        shape=alt.Shape(f"{column}:N", scale=_keyless(names, SHAPES), legend=None),
    )


def banded(chart: alt.Chart, column: str, names: list[str]) -> alt.Chart:
    """An area in the light colour of its line; paler where there are many."""
    opacity = 0.13 if len(names) <= 2 else 0.07
    return chart.mark_area(opacity=opacity, strokeWidth=0).encode(
        fill=alt.Fill(f"{column}:N", scale=_keyless(names, SERIES), legend=None)
    )


def _keyless(names: list[str], values: list[str]) -> alt.Scale:
    """A scale of another domain than that of the lines, whose key would else vanish with its own."""
    return alt.Scale(domain=["", *names], range=["", *values[: len(names)]])


def said(frame: pl.DataFrame, name: str, value: str, style: str = ".1%", most: int = 12) -> str:
    """Rows in words, for those who cannot see the picture: ``name value [low, high]``."""
    rows = []
    for row in frame.head(most).iter_rows(named=True):
        figure = "–" if row[value] is None else format(row[value], style)
        if row.get("low") is not None and row.get("high") is not None:
            figure += f" [{row['low']:{style}}, {row['high']:{style}}]"
        rows.append(f"{row[name]} {figure}")
    more = len(frame) - most
    return "; ".join(rows) + (f"; and {more} more" if more > 0 else "")

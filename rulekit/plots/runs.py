"""Means over runs by what varies between them: frames come in, charts go out."""

from __future__ import annotations

import altair as alt
import polars as pl

from rulekit.plots.lines import curves
from rulekit.plots.looks import BLACK, BLUE, GREY, WIDTH, heading, prepared, rows, said

_SERIES = 5  # lines that one picture holds


def run_means(
    frame: pl.DataFrame, title: str, by: list[str], measure: str
) -> alt.LayerChart | alt.FacetChart:
    """A figure by parameters of runs: lines over a number, or a row a group.

    Parameters
    ----------
    frame
        A row a group: the columns of `by`, ``value``, ``low``, ``high``; of one figure. Groups without
        an interval have a point alone.
    title
        The finding.
    by
        Parameters that make the groups. Where one of them is a number with three or more values,
        lines go over it, one for each value of the other, up to five.
    measure
        What the axis says.

    Raises
    ------
    ValueError
        If there is nothing to draw.
    """
    if frame.is_empty():
        raise ValueError("no group to draw")
    number = next((n for n in by if frame.schema[n].is_numeric() and frame[n].n_unique() > 2), None)
    others = [n for n in by if n != number]
    share = frame["value"].is_between(0, 1).all()
    if number is not None and len(others) < 2:
        lines = frame.drop_nulls(number)
        names = lines[others[0]].cast(pl.String).fill_null("–") if others else pl.lit(measure)
        lines = lines.with_columns(names.alias("series"))
        if lines["series"].n_unique() <= _SERIES:
            ends = [c for c in ("low", "high") if lines[c].null_count() < len(lines)]
            lines = lines.sort(number).select("series", *ends, x=number, y="value")
            spread = lines["x"].min() > 0 and lines["x"].max() > 20 * lines["x"].min()
            points = lines if lines["x"].n_unique() < 20 else None
            return curves(
                lines, title, number, measure, points, log="x" * spread, y_format="%" * share
            )
    named = [
        ", ".join(f"{n} {v}" if len(by) > 1 else str(v) for n, v in zip(by, row, strict=True))
        for row in frame.select(by).iter_rows()
    ]
    names = pl.Series("name", named or [measure] * len(frame), dtype=pl.String)
    return intervals(
        frame.select("value", "low", "high").with_columns(names), title, measure, share
    )


def intervals(frame: pl.DataFrame, title: str, axis: str, percent: bool = False) -> alt.LayerChart:
    """Values of any unit with their intervals, a row each.

    Parameters
    ----------
    frame
        Columns name, value, low, high; null where there is no interval.
    title
        The finding.
    axis
        What it says, and the unit.
    percent
        Shares, shown as per cent.
    """
    frame, y, height = rows(prepared(frame), "name", 26)
    style = "%" if percent else "~g"
    x = alt.X(
        "value:Q", scale=alt.Scale(zero=False), title=axis, axis=alt.Axis(format=style, tickCount=6)
    )
    base = alt.Chart(frame).encode(y=y)
    bars = base.mark_rule(color=BLUE, strokeWidth=2).encode(
        x=alt.X("low:Q", title=axis), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(x=x)
    text = base.mark_text(align="left", dx=6, dy=-9, color=BLACK).encode(
        x=x, text=alt.Text("value:Q", format=".1%" if percent else ".3~g")
    )
    layers = [bars, point, text]
    if (
        not percent
        and frame["low"].min() is not None
        and frame["low"].min() < 0 < frame["high"].max()
    ):
        zero = alt.Chart(pl.DataFrame({"value": [0]})).mark_rule(strokeDash=[4, 4], color=GREY)
        layers.insert(0, zero.encode(x="value:Q"))
    return alt.layer(*layers).properties(
        title=heading(title),
        description=f"{axis}: {said(frame, 'name', 'value', '.1%' if percent else '.3g')}.",
        width=WIDTH,
        height=height,
    )

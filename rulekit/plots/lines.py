"""What changes with a number, such as pairs, cost or accuracy: frames come in, charts go out."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import polars as pl

from rulekit.plots.looks import (
    BLACK,
    DASHES,
    GREY,
    banded,
    color,
    dash,
    heading,
    key,
    pointed,
    prepared,
    series,
)


def curves(
    frame: pl.DataFrame,
    title: str,
    x_title: str,
    y_title: str,
    points: pl.DataFrame | None = None,
    log: str = "",
    y_format: str = "",
    looks: Sequence[str] = (),
) -> alt.LayerChart | alt.FacetChart:
    """Lines over a number: information by accuracy, accuracy by k, an error by its tolerance.

    Parameters
    ----------
    frame
        Columns series (five or fewer), x, y; with columns low and high, a band about each line;
        with a column panel, one picture a panel, side by side. Lines that lie on each other stay
        visible: each has a dash of its own.
    title
        The finding.
    x_title, y_title
        What is on the axes, and its unit.
    points
        Rows of the same columns drawn as points, such as simulated values; optional. Their low
        and high, if any, are drawn as intervals.
    log
        Axes with a logarithmic scale: ``x``, ``y`` or ``xy``; their values are positive.
    y_format
        Of the labels of the y axis, as `Vega's <https://d3js.org/d3-format>`_: ``%`` for shares.
    looks
        Series of several charts, five or fewer, in one order: a series looks the same in each of
        them, even where others are missing. Optional; without, the order of the frame counts.

    Raises
    ------
    ValueError
        If there are more than five series, or one that `looks` does not name.
    """
    frame = prepared(frame)
    panels = frame["panel"].unique(maintain_order=True).to_list() if "panel" in frame else []
    names = series(frame, "series")
    legend = None if len(names) == 1 else key(shown=names)
    if looks:
        names = _known(names, series(prepared(pl.DataFrame({"series": [*looks]})), "series"))
    kinds = {axis: "log" if axis in log else "linear" for axis in "xy"}
    labels = {"x": {}, "y": {"format": y_format} if y_format else {}}
    if frame["x"].dtype.is_integer():
        labels["x"] = {"tickMinStep": 1}  # there is no k of 2.5
    for axis in log:
        labels[axis] = {"format": "~e" if frame[axis].min() < 1e-3 else "~g", **labels[axis]}
    data = [frame.with_columns(mark=pl.lit("line"))]
    if points is not None:
        data.append(prepared(points).with_columns(mark=pl.lit("point")))
    y_scale = alt.Scale(type=kinds["y"], zero=False)
    base = alt.Chart(pl.concat(data, how="diagonal_relaxed")).encode(
        x=alt.X(
            "x:Q",
            title=x_title,
            scale=alt.Scale(type=kinds["x"], nice=False, zero=False),
            axis=alt.Axis(tickCount=6, labelFlush=False, labelOverlap=True, **labels["x"]),
        )
    )
    inked = {"color": color("series", names, legend)}
    y = alt.Y("y:Q", title=y_title, scale=y_scale, axis=alt.Axis(tickCount=6, **labels["y"]))
    ends = {"y": alt.Y("low:Q", title=y_title, scale=y_scale), "y2": "high:Q"}
    lines = base.transform_filter("datum.mark == 'line'")
    dashed = {"strokeDash": dash("series", names, legend)}
    layers = [lines.mark_line(strokeWidth=2).encode(y=y, **inked, **dashed)]
    if {"low", "high"} <= set(frame.columns):
        layers.insert(0, banded(lines, "series", names).encode(**ends))
    if points is not None:
        dots = base.transform_filter("datum.mark == 'point'")
        layers.append(pointed(dots, "series", names).encode(y=y))
        if {"low", "high"} <= set(points.columns):
            layers.append(dots.mark_rule(strokeWidth=1.5).encode(**ends, **inked))
    width = {0: 400, 1: 400, 2: 330}.get(len(panels), 220)
    chart = alt.layer(*layers).properties(width=width, height=250)
    if panels:
        chart = chart.facet(alt.Column("panel:N", sort=panels, title=None))
    return chart.properties(
        title=heading(title, 60 + width * max(1, len(panels))),
        description=f"{y_title} by {x_title}: {_ends(frame, [*_panel(frame), 'series'])}.",
    )


def _known(names: list[str], looks: list[str]) -> list[str]:
    if other := [name for name in names if name not in looks]:
        raise ValueError(f"series is {other[0]!r}; allowed: {', '.join(looks)}")
    return looks


def _panel(frame: pl.DataFrame) -> list[str]:
    return ["panel"] if "panel" in frame.columns else []


def _ends(frame: pl.DataFrame, by: list[str], x: str = "x", y: str = "y", most: int = 15) -> str:
    """Where each line begins and ends, in words."""
    rows = []
    for names, part in frame.drop_nulls([x, y]).group_by(by, maintain_order=True):
        part = part.sort(x)
        (x0, y0), (x1, y1) = (part.select(x, y).row(i) for i in (0, -1))
        rows.append(f"{', '.join(map(str, names))}: {y0:.3g} at {x0:.3g}, {y1:.3g} at {x1:.3g}")
    more = len(rows) - most
    return "; ".join(rows[:most]) + (f"; and {more} more lines" if more > 0 else "")


def accuracy_against_cost(
    frame: pl.DataFrame, title: str, measure: str = "accuracy"
) -> alt.LayerChart:
    """Accuracy of labels against the share of ratings made: one line an order and way to stop.

    Parameters
    ----------
    frame
        Columns order, stop (together five or fewer), cost in (0, 1], value, low, high, as
        `studies.cost_curve` gives them.
    title
        The finding.
    measure
        What the axis says.

    Raises
    ------
    ValueError
        If there are more than five lines.
    """
    frame = prepared(frame).with_columns(pl.format("{}, {}", "order", "stop").alias("line"))
    names = series(frame, "line")
    scale = alt.Scale(domain=[frame["low"].min() - 0.02, frame["high"].max() + 0.02], nice=False)
    x = alt.X(
        "cost:Q",
        scale=alt.Scale(type="log", nice=False, padding=6),
        title="ratings made, share of all (log)",
        axis=alt.Axis(format="~%", values=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]),
    )
    base = alt.Chart(frame).encode(x=x)
    band = banded(base, "line", names).encode(
        y=alt.Y(
            "low:Q", scale=scale, title=f"{measure} (95 % interval)", axis=alt.Axis(format="%")
        ),
        y2="high:Q",
    )
    y = alt.Y("value:Q", scale=scale)
    line = base.mark_line(strokeWidth=2).encode(
        y=y, color=color("line", names, key(2)), strokeDash=dash("line", names, key(2))
    )
    return (band + line + pointed(base, "line", names).encode(y=y)).properties(
        title=heading(title),
        description=f"{measure.capitalize()} by share of ratings: {_ends(frame, ['line'], 'cost', 'value')}.",
        width=400,
        height=280,
    )


def growth(frame: pl.DataFrame, title: str) -> alt.HConcatChart:
    """Seconds and peak memory of several works as the number of pairs grows, side by side.

    Parameters
    ----------
    frame
        Columns work, mode (such as in memory or streamed), pairs, seconds and GB, all positive;
        five works or fewer.
    title
        The finding.

    Raises
    ------
    ValueError
        If there are more than five works or modes.
    """
    frame = prepared(frame)
    works, modes = series(frame, "work"), series(frame, "mode")
    ticks = frame["pairs"].unique().sort().to_list()
    base = alt.Chart(frame).encode(
        x=alt.X(
            "pairs:Q",
            title="pairs",
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(values=ticks, format="~s"),
        ),
        detail="mode:N",
    )
    inked = color("work", works, key())
    stroke = alt.Legend(
        title=None,
        orient="bottom",
        symbolType="stroke",
        symbolSize=300,
        symbolStrokeColor=BLACK,
        symbolStrokeWidth=2,
    )
    scale = alt.Scale(domain=modes, range=DASHES[: len(modes)])
    sides = []
    for column, name in (("seconds", "seconds"), ("GB", "most memory of the process, GB")):
        y = alt.Y(f"{column}:Q", title=name, scale=alt.Scale(type="log"), axis=_plain())
        side = base.encode(y=y)
        lines = side.mark_line(strokeWidth=2).encode(
            color=inked, strokeDash=alt.StrokeDash("mode:N", scale=scale, legend=stroke)
        )
        sides.append((lines + pointed(side, "work", works)).properties(width=330, height=250))
    by = ["work", "mode"]
    seconds, memory = (_ends(frame, by, "pairs", column) for column in ("seconds", "GB"))
    return alt.hconcat(*sides).properties(
        title=heading(title, 700), description=f"Seconds by pairs: {seconds}. GB: {memory}."
    )


def _plain() -> alt.Axis:
    return alt.Axis(format="~g")


def bias(frame: pl.DataFrame, title: str, y_title: str = "bias in bits") -> alt.FacetChart:
    """Mean error of estimators by sample size, with two standard errors of the simulation.

    Parameters
    ----------
    frame
        Columns panel, series (the estimator; five or fewer), n, bias and error (its standard
        error). On the dashed line an estimator is right on average.
    title
        The finding.
    y_title
        What is on the vertical axis, and its unit.

    Raises
    ------
    ValueError
        If there are more than five series.
    """
    frame = prepared(frame)
    panels = frame["panel"].unique(maintain_order=True).to_list()
    names = series(frame, "series")
    base = alt.Chart(frame).encode(
        x=alt.X(
            "n:Q",
            title="pairs, N",
            scale=alt.Scale(type="log", nice=False, padding=12),
            axis=alt.Axis(values=frame["n"].unique().sort().to_list(), format="~s"),
        )
    )
    inked = color("series", names, key())
    ends = base.transform_calculate(
        low="datum.bias - 2 * datum.error", high="datum.bias + 2 * datum.error"
    )
    layers = (
        base.mark_rule(strokeDash=[4, 4], color=GREY).encode(
            y=alt.datum(0), x=alt.value(0), x2=alt.value("width"), color=alt.value(GREY)
        ),
        base.mark_line(strokeWidth=2).encode(
            y=alt.Y("bias:Q", title=y_title), color=inked, strokeDash=dash("series", names, key())
        ),
        ends.mark_rule(strokeWidth=2).encode(y="low:Q", y2="high:Q", color=inked),
        pointed(base, "series", names).encode(y="bias:Q"),
    )
    said = _ends(frame, ["panel", "series"], "n", "bias")
    return (
        alt.layer(*layers)
        .properties(width=220, height=240)
        .facet(alt.Column("panel:N", sort=panels, title=None))
        .properties(
            title=heading(title, 250 * len(panels)),
            description=f"{y_title} by number of pairs, zero is right on average: {said}.",
        )
    )

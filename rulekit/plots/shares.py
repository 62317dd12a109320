"""Measures with their intervals, a row each: frames come in, charts go out."""

from __future__ import annotations

import altair as alt
import polars as pl

from rulekit.plots.looks import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    WIDTH,
    color,
    heading,
    key,
    pointed,
    prepared,
    rows,
    said,
    series,
)


def accuracy(
    frame: pl.DataFrame, title: str, reference: float = 0.5, measure: str = "accuracy"
) -> alt.LayerChart:
    """Accuracies, or another share, with their intervals, one row each.

    Parameters
    ----------
    frame
        Columns name, value, low, high, all shares in [0, 1].
    title
        The finding.
    reference
        Where the dashed line stands; 0.5 is chance.
    measure
        What the axis says.
    """
    frame, y, height = rows(prepared(frame), "name", 30)
    least = min(reference, frame["low"].min())
    low = least - 0.03 if least < 0 else max(0.0, least - 0.03)
    high = min(1.0, max(reference, frame["high"].max()) + 0.06)  # a share ends at 100 %
    scale = alt.Scale(domain=[low, high], nice=False)
    base = alt.Chart(frame).encode(y=y)
    x_title = f"{measure}, with its 95 % interval; dashed: {reference:.0%}"
    x = alt.X("value:Q", scale=scale, title=x_title, axis=alt.Axis(format="%", tickCount=6))
    interval = base.mark_rule(color=BLUE, strokeWidth=2).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=70, color=BLUE, opacity=1).encode(x=x)
    text = base.mark_text(align="left", dx=6, dy=-9, color=BLACK).encode(
        x=alt.X("value:Q", scale=scale), text=alt.Text("value:Q", format=".1%")
    )
    chance = (
        alt.Chart(pl.DataFrame({"value": [reference]}))
        .mark_rule(strokeDash=[4, 4], color=GREY)
        .encode(x=alt.X("value:Q", scale=scale))
    )
    return (chance + interval + point + text).properties(
        title=heading(title),
        description=f"{measure}, 95 % intervals in brackets: {said(frame, 'name', 'value')}.",
        width=WIDTH,
        height=height,
    )


def counts(frame: pl.DataFrame, title: str, axis: str) -> alt.LayerChart:
    """How many there are of each kind: a bar a row, with its number.

    Parameters
    ----------
    frame
        Columns name and value, which is not negative.
    title
        The finding.
    axis
        What is counted.
    """
    frame, y, height = rows(prepared(frame), "name", 24)
    base = alt.Chart(frame).encode(
        x=alt.X("value:Q", title=axis, axis=alt.Axis(tickMinStep=1, tickCount=6)), y=y
    )
    text = base.mark_text(align="left", dx=4, color=BLACK).encode(text=alt.Text("value:Q"))
    return (base.mark_bar(color=BLUE, height={"band": 0.7}) + text).properties(
        title=heading(title),
        description=f"Number of {axis}: {said(frame, 'name', 'value', ',')}.",
        width=WIDTH,
        height=height,
    )


def regimes(frame: pl.DataFrame, title: str) -> alt.FacetChart:
    """Label accuracy of each selector in each regime, beside reference figures.

    Parameters
    ----------
    frame
        Columns regime, method, value, low, high, reference: shares in [0, 1]; a reference may be
        null. Regimes and methods stand in the order in which they come.
    title
        The finding.
    """
    frame = prepared(frame)
    names = frame["regime"].unique(maintain_order=True).to_list()
    methods = frame["method"].unique(maintain_order=True).to_list()
    axis = alt.Axis(format="%", values=[0.5, 0.75, 1.0])
    scale = alt.Scale(domain=[0.5, 1.25], nice=False)  # room for the figures

    def x(column: str) -> alt.X:
        return alt.X(f"{column}:Q", scale=scale, axis=axis, title="accuracy")

    kinds = alt.Color(
        "mark:N",
        scale=alt.Scale(domain=["simulated, 95 % interval", "reference"], range=[BLUE, ORANGE]),
        legend=key(),
    )
    base = alt.Chart(frame).encode(y=alt.Y("method:N", sort=methods, title=None))
    reference = base.transform_calculate(mark="'reference'")
    found = base.transform_calculate(mark="'simulated, 95 % interval'")
    layers = (
        reference.mark_tick(thickness=3, size=20, opacity=1).encode(x=x("reference"), color=kinds),
        found.mark_rule(strokeWidth=3).encode(x=x("low"), x2="high:Q", color=kinds),
        found.mark_point(filled=True, size=50, opacity=1).encode(x=x("value"), color=kinds),
        base.mark_text(align="left", dx=8, fontSize=10).encode(
            x=x("value"), text=alt.Text("value:Q", format=".3f")
        ),
    )
    rows = frame.with_columns(name=pl.format("{}, {}", "regime", "method"))
    return (
        alt.layer(*layers)
        .properties(width=150, height=26 * len(methods))
        .facet(alt.Column("regime:N", sort=names, title=None))
        .properties(
            title=heading(title, 150 * len(names)),
            description=f"Accuracy by regime and method: {said(rows, 'name', 'value', most=40)}.",
        )
    )


def calibration_chart(frame: pl.DataFrame, title: str) -> alt.LayerChart:
    """Observed frequency against predicted probability; on the dashed line a forecast is honest.

    Parameters
    ----------
    frame
        Columns predicted, observed, low, high, all shares in [0, 1], n, and series (a name; five
        or fewer).
    title
        The finding.
    """
    frame = prepared(frame)
    names = series(frame, "series")
    legend = key(2) if len(names) > 1 else None
    share = alt.Scale(domain=[0, 1])
    base = alt.Chart(frame).encode(
        x=alt.X("predicted:Q", scale=share, title="predicted probability")
    )
    inked = color("series", names, legend)
    line = pl.DataFrame({"predicted": [0.0, 1.0], "observed": [0.0, 1.0]})
    diagonal = (
        alt.Chart(line)
        .mark_line(strokeDash=[4, 4], color=GREY)
        .encode(x="predicted:Q", y="observed:Q")
    )
    y = alt.Y("observed:Q", scale=share, title="observed frequency, with its 95 % interval")
    interval = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", scale=share), y2="high:Q", color=inked
    )
    points = pointed(base, "series", names, 60).encode(y=y)
    rows = frame.with_columns(name=pl.format("{} at {}", "series", pl.col("predicted").round(2)))
    return (diagonal + interval + points).properties(
        title=heading(title, 400),
        description=f"Observed at predicted: {said(rows, 'name', 'observed', '.2f', 24)}.",
        width=320,
        height=320,
    )


def judge_quality_chart(frame: pl.DataFrame, title: str, axis: str) -> alt.LayerChart:
    """One figure of a judge with its interval, one row a rule, beside its reference.

    Parameters
    ----------
    frame
        Columns rule, value, low, high, reference, as `rating.judge_quality` gives them for one
        figure; rows without a value are not drawn.
    title
        The finding.
    axis
        Name and unit of the figure.
    """
    frame, y, height = rows(prepared(frame.drop_nulls(["value"])), "rule", 18)
    kinds = alt.Color(
        "mark:N",
        scale=alt.Scale(domain=["this judge, 95 % interval", "reference"], range=[BLUE, ORANGE]),
        legend=key(),
    )
    base = alt.Chart(frame).encode(y=y)
    found = base.transform_calculate(mark="'this judge, 95 % interval'")
    line = base.transform_calculate(mark="'reference'").mark_tick(thickness=3, opacity=1)
    layers = (
        line.encode(x=alt.X("reference:Q", title=axis), color=kinds),
        found.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", color=kinds),
        found.mark_point(filled=True, size=50, opacity=1).encode(x="value:Q", color=kinds),
    )
    return alt.layer(*layers).properties(
        title=heading(title),
        description=f"{axis}: {said(frame, 'rule', 'value', '.2f')}.",
        width=WIDTH,
        height=height,
    )


def scorecard(frame: pl.DataFrame, title: str) -> alt.LayerChart:
    """Figures of one card with their intervals, coloured and shaped by where they come from.

    Parameters
    ----------
    frame
        Columns name, value, low, high, all shares in [0, 1], and source: two kinds or fewer, as
        `studies.scorecard` gives them.
    title
        The finding.

    Raises
    ------
    ValueError
        If there are more than five kinds of sources.
    """
    frame, y, height = rows(prepared(frame), "name", 26)
    kinds = series(frame, "source")
    low, high = min(0.45, frame["low"].min() - 0.03), max(1.0, frame["high"].max())
    scale = alt.Scale(domain=[low, high], nice=False)
    axis = alt.Axis(format="%", tickCount=6)
    base = alt.Chart(frame).encode(y=y)
    x = alt.X("value:Q", scale=scale, title="share right, with its 95 % interval", axis=axis)
    inked = color("source", kinds, key(1))
    interval = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", color=inked
    )
    text = base.mark_text(align="left", dx=6, dy=-9, color=BLACK).encode(
        x=alt.X("value:Q", scale=scale), text=alt.Text("value:Q", format=".1%")
    )
    line = alt.Chart(pl.DataFrame({"value": [0.5]})).mark_rule(strokeDash=[4, 4], color=GREY)
    chance = line.encode(x=alt.X("value:Q", scale=scale))
    named = frame.with_columns(name=pl.format("{} ({})", "name", "source"))
    return (chance + interval + pointed(base, "source", kinds, 70).encode(x=x) + text).properties(
        title=heading(title),
        description=f"Shares right, 95 % intervals in brackets: {said(named, 'name', 'value')}.",
        width=WIDTH,
        height=height,
    )


def stacked(*charts: alt.Chart | alt.LayerChart) -> alt.VConcatChart:
    """Charts one below the other, as one picture."""
    return alt.vconcat(*charts).resolve_scale(color="independent")

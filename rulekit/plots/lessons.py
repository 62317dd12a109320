"""Pictures that carry the point of a lesson: frames come in, charts go out."""

from __future__ import annotations

import altair as alt
import polars as pl

from rulekit.plots.looks import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    SHAPES,
    color,
    heading,
    key,
    prepared,
    series,
)

_COLUMNS, _CELL = 10, 21  # squares a row, pixels a square


def noisy_copy(frame: pl.DataFrame, title: str) -> alt.FacetChart:
    """A stronger vote, the flips, and the weaker vote that comes of them: a square a vote.

    Parameters
    ----------
    frame
        Columns panel, vote (from 0), right and flipped, as `studies.noisy_copy` gives them; panels
        stand side by side in the order in which they come.
    title
        The finding.
    """
    frame = prepared(frame).with_columns(
        state=pl.when("right").then(pl.lit("right")).otherwise(pl.lit("wrong")),
        row=pl.col("vote") // _COLUMNS,
        column=pl.col("vote") % _COLUMNS,
    )
    panels = frame["panel"].unique(maintain_order=True).to_list()
    kinds = alt.Scale(domain=["right", "wrong"], range=[BLUE, ORANGE])
    shapes = alt.Scale(domain=["right", "wrong"], range=["square", "triangle-up"])
    legend = key(2, "square")
    base = alt.Chart(frame).encode(
        x=alt.X("column:O", axis=None), y=alt.Y("row:O", axis=None, sort="ascending")
    )
    votes = base.mark_point(filled=True, size=150, opacity=1).encode(
        color=alt.Color("state:N", scale=kinds, legend=legend),
        shape=alt.Shape("state:N", scale=shapes, legend=legend),
    )
    rings = base.transform_filter("datum.flipped").mark_point(
        shape="circle", size=400, color=BLACK, strokeWidth=2, opacity=1
    )
    rows = -(-(frame["vote"].max() + 1) // _COLUMNS)
    said = "; ".join(panels)
    head = alt.Header(labelLimit=_COLUMNS * _CELL + 10)
    return (
        alt.layer(votes, rings)
        .properties(width=_COLUMNS * _CELL, height=rows * _CELL)
        .facet(alt.Column("panel:N", sort=panels, title=None, header=head))
        .properties(
            title=heading(title, 3 * _COLUMNS * _CELL), description=f"Squares are votes: {said}."
        )
    )


def worlds(frame: pl.DataFrame, title: str) -> alt.LayerChart:
    """How often the labels of a few methods are right in several worlds: a row a world.

    Parameters
    ----------
    frame
        Columns world, method (five or fewer), value, low, high, all shares in [0, 1]; worlds and
        methods in the order in which they come.
    title
        The finding.

    Raises
    ------
    ValueError
        If there are more than five methods.
    """
    frame = prepared(frame)
    names, methods = frame["world"].unique(maintain_order=True).to_list(), series(frame, "method")
    low = min(0.5, frame["low"].min())
    scale = alt.Scale(domain=[low, 1.0], nice=False)
    x_title = "labels that are right, with 95 % intervals"
    y = alt.Y("world:N", sort=names, title=None, axis=alt.Axis(labelLimit=260))
    base = alt.Chart(frame).encode(y=y)
    legend = alt.Legend(title=None, orient="bottom", columns=2, labelLimit=300)
    inked = color("method", methods, legend)
    shapes = alt.Scale(domain=methods, range=SHAPES[: len(methods)])
    span = base.mark_rule(color=GREY, strokeWidth=1).encode(
        x=alt.X("min(value):Q", scale=scale), x2="max(value):Q"
    )
    ends = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", color=inked
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("value:Q", scale=scale, title=x_title, axis=alt.Axis(format="%", tickCount=6)),
        color=inked,
        shape=alt.Shape("method:N", scale=shapes, legend=legend),
    )
    said = "; ".join(
        f"{r['world']}, {r['method']}: {r['value']:.1%}" for r in frame.iter_rows(named=True)
    )
    return (span + ends + points).properties(
        title=heading(title, 640),
        description=f"Share of right labels: {said}.",
        width=380,
        height=44 * len(names),
    )

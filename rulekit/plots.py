"""Altair charts: a data frame in, a chart out. They compute nothing and never display."""

from __future__ import annotations

import os

import altair as alt
import polars as pl

_BLUE, _GREY, _RED = "#2b6cb0", "#a0aec0", "#c53030"


def enable() -> None:
    """Choose the renderer: offline JavaScript in JupyterLab, SVG wherever nobody sits in front.

    A Jupyter server names its session to the kernels it starts; papermill does not.
    """
    interactive = "JPY_SESSION_NAME" in os.environ and "RULEKIT_HEADLESS" not in os.environ
    if interactive:
        alt.renderers.enable("jupyter", offline=True)
    else:
        alt.renderers.enable("svg")


def accuracy(frame: pl.DataFrame, title: str, reference: float = 0.5) -> alt.LayerChart:
    """Accuracies with their intervals, one row each.

    Parameters
    ----------
    frame
        Columns name, value, low, high, all shares in [0, 1].
    title
        The finding.
    reference
        Where the dashed line stands; 0.5 is chance.
    """
    low = min(reference, frame["low"].min()) - 0.03
    high = max(reference, frame["high"].max()) + 0.06
    scale = alt.Scale(domain=[low, high], nice=False)
    base = alt.Chart(frame).encode(
        y=alt.Y("name:N", sort=frame["name"].to_list(), title=None, axis=alt.Axis(labelLimit=260))
    )
    x = alt.X("value:Q", scale=scale, title="accuracy (95 % interval)", axis=alt.Axis(format="%"))
    interval = base.mark_rule(color=_BLUE, strokeWidth=2).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=70, color=_BLUE).encode(x=x)
    text = base.mark_text(align="left", dx=6, dy=-9).encode(
        x=alt.X("value:Q", scale=scale), text=alt.Text("value:Q", format=".1%")
    )
    chance = (
        alt.Chart(pl.DataFrame({"value": [reference]}))
        .mark_rule(strokeDash=[4, 4], color=_GREY)
        .encode(x=alt.X("value:Q", scale=scale))
    )
    return (chance + interval + point + text).properties(
        title=title, width=420, height=30 * len(frame)
    )


def pair_rules(frame: pl.DataFrame, title: str) -> alt.Chart:
    """Discrepancies of one pair: bars to the right speak for the first response.

    Parameters
    ----------
    frame
        Columns rule, discrepancy in [-2, 2], chosen (bool).
    """
    reach = max(1.0, frame["discrepancy"].abs().max())
    color = alt.condition("datum.chosen", alt.value(_BLUE), alt.value(_GREY))
    return (
        alt.Chart(frame)
        .mark_bar()
        .encode(
            x=alt.X(
                "discrepancy:Q",
                title="score of A − score of B",
                scale=alt.Scale(domain=[-reach, reach]),
            ),
            y=alt.Y(
                "rule:N", sort=frame["rule"].to_list(), title=None, axis=alt.Axis(labelLimit=260)
            ),
            color=color,
        )
        .properties(title=title, width=420, height=18 * len(frame))
    )


def stacked(*charts: alt.Chart | alt.LayerChart) -> alt.VConcatChart:
    """Charts one below the other, as one picture."""
    return (
        alt.vconcat(*charts)
        .configure_title(anchor="start", fontSize=14)
        .configure_view(stroke=None)
    )

"""Altair charts: a data frame in, a chart out. They compute nothing and never display."""

from __future__ import annotations

import os

import altair as alt
import polars as pl

_BLUE, _GREY, _RED = "#2b6cb0", "#a0aec0", "#c53030"
_SERIES = [_BLUE, _RED, "#2f855a", "#b7791f", "#718096"]
_DASHES = [[1, 0], [6, 4], [1, 0], [2, 3], [9, 3, 2, 3]]


def enable() -> None:
    """Choose the renderer: offline JavaScript in JupyterLab, SVG wherever nobody sits in front.

    A Jupyter server names its session to the kernels it starts; papermill does not.
    """
    interactive = "JPY_SESSION_NAME" in os.environ and "RULEKIT_HEADLESS" not in os.environ
    if interactive:
        alt.renderers.enable("jupyter", offline=True)
    else:
        alt.renderers.enable("svg")


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
    low = min(reference, frame["low"].min()) - 0.03
    high = max(reference, frame["high"].max()) + 0.06
    scale = alt.Scale(domain=[low, high], nice=False)
    base = alt.Chart(frame).encode(
        y=alt.Y("name:N", sort=frame["name"].to_list(), title=None, axis=alt.Axis(labelLimit=260))
    )
    x = alt.X("value:Q", scale=scale, title=f"{measure} (95 % interval)", axis=alt.Axis(format="%"))
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
    title
        The finding.
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


def curves(
    frame: pl.DataFrame,
    title: str,
    x_title: str,
    y_title: str,
    points: pl.DataFrame | None = None,
    log: str = "",
    y_format: str = "",
) -> alt.LayerChart | alt.FacetChart:
    """Lines over a number: information by accuracy, accuracy by k, an error by its tolerance.

    Parameters
    ----------
    frame
        Columns series, x, y; with a column panel, one picture a panel, side by side. Lines that
        lie on each other stay visible: every other series is dashed.
    title
        The finding.
    x_title, y_title
        What is on the axes, and its unit.
    points
        Rows of the same columns drawn as points, such as simulated values; optional.
    log
        Axes with a logarithmic scale: ``x``, ``y`` or ``xy``; their values are positive.
    y_format
        Of the labels of the y axis, as `Vega's <https://d3js.org/d3-format>`_: ``%`` for shares.

    Raises
    ------
    ValueError
        If there are more than five series.
    """
    panels = frame["panel"].unique(maintain_order=True).to_list() if "panel" in frame else []
    names = frame["series"].unique(maintain_order=True).to_list()
    if len(names) > len(_SERIES):
        raise ValueError(f"{len(names)} series; allowed: {len(_SERIES)} or fewer")
    legend = None if len(names) == 1 else _legend()
    color = alt.Color("series:N", scale=alt.Scale(domain=names, range=_SERIES), legend=legend)
    dash = alt.StrokeDash("series:N", scale=alt.Scale(domain=names, range=_DASHES), legend=legend)
    kinds = {axis: "log" if axis in log else "linear" for axis in "xy"}
    labels = {"x": {}, "y": {"format": y_format} if y_format else {}}
    for axis in log:
        labels[axis] = {"format": "~e" if frame[axis].min() < 1e-3 else "~g", **labels[axis]}
    data = [frame.with_columns(mark=pl.lit("line"))]
    if points is not None:
        data.append(points.select(frame.columns).with_columns(mark=pl.lit("point")))
    base = alt.Chart(pl.concat(data)).encode(
        x=alt.X(
            "x:Q",
            title=x_title,
            scale=alt.Scale(type=kinds["x"], nice=False, zero=False),
            axis=alt.Axis(tickCount=6, labelFlush=False, labelOverlap=True, **labels["x"]),
        ),
        y=alt.Y(
            "y:Q",
            title=y_title,
            scale=alt.Scale(type=kinds["y"], zero=False),
            axis=alt.Axis(tickCount=6, **labels["y"]),
        ),
        color=color,
    )
    lines = base.transform_filter("datum.mark == 'line'")
    layers = [lines.mark_line(strokeWidth=2).encode(strokeDash=dash)]
    if points is not None:
        dots = base.transform_filter("datum.mark == 'point'")
        layers.append(dots.mark_point(filled=True, size=45, opacity=1))
    width = {0: 460, 1: 460, 2: 330}.get(len(panels), 220)
    chart = alt.layer(*layers).properties(width=width, height=250)
    if panels:
        chart = chart.facet(alt.Column("panel:N", sort=panels, title=None))
    return chart.properties(title=alt.Title(title, anchor="start"))


def subsets(frame: pl.DataFrame, marked: pl.DataFrame, title: str) -> alt.LayerChart:
    """How many subsets of rules carry how much information, and where some of them stand.

    Parameters
    ----------
    frame
        A row a bin: columns low and high in bits, subsets (how many).
    marked
        Columns name, value in bits: vertical lines, named in the legend.
    title
        The finding.
    """
    names = marked["name"].to_list()
    colors = alt.Scale(domain=names, range=_SERIES)
    bars = (
        alt.Chart(frame)
        .mark_bar(color=_GREY, binSpacing=0)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                title="I(votes; Y) in bits",
                scale=alt.Scale(zero=False),
                axis=alt.Axis(tickCount=8),
            ),
            x2="high:Q",
            y=alt.Y("subsets:Q", title="subsets"),
        )
    )
    lines = (
        alt.Chart(marked)
        .mark_rule(strokeWidth=3)
        .encode(x="value:Q", color=alt.Color("name:N", scale=colors, legend=_legend()))
    )
    title = alt.Title(title, anchor="start")
    return (bars + lines).properties(title=title, width=560, height=220)


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
    names = frame["regime"].unique(maintain_order=True).to_list()
    methods = frame["method"].unique(maintain_order=True).to_list()
    axis = alt.Axis(format="%", values=[0.5, 0.75, 1.0])
    scale = alt.Scale(domain=[0.5, 1.25], nice=False)  # room for the figures

    def x(column: str) -> alt.X:
        return alt.X(f"{column}:Q", scale=scale, axis=axis, title="accuracy")

    color = alt.Color(
        "mark:N",
        scale=alt.Scale(domain=["simulated", "reference"], range=[_BLUE, _RED]),
        legend=_legend(),
    )
    base = alt.Chart(frame).encode(y=alt.Y("method:N", sort=methods, title=None))
    reference = base.transform_calculate(mark="'reference'")
    found = base.transform_calculate(mark="'simulated'")
    layers = (
        reference.mark_tick(thickness=3, size=20, opacity=1).encode(x=x("reference"), color=color),
        found.mark_rule(strokeWidth=3).encode(x=x("low"), x2="high:Q", color=color),
        found.mark_point(filled=True, size=50, opacity=1).encode(x=x("value"), color=color),
        base.mark_text(align="left", dx=8, fontSize=10).encode(
            x=x("value"), text=alt.Text("value:Q", format=".3f")
        ),
    )
    return (
        alt.layer(*layers)
        .properties(width=150, height=26 * len(methods))
        .facet(alt.Column("regime:N", sort=names, title=None))
        .properties(title=alt.Title(title, anchor="start"))
    )


def _legend() -> alt.Legend:
    return alt.Legend(
        title=None, orient="bottom", columns=3, labelLimit=300, symbolType="stroke", symbolSize=300
    )


def calibration_chart(frame: pl.DataFrame, title: str) -> alt.LayerChart:
    """Observed frequency against predicted probability; on the dashed line a forecast is honest.

    Parameters
    ----------
    frame
        Columns predicted, observed, low, high, all shares in [0, 1], n, and series (a name).
    title
        The finding.
    """
    share = alt.Scale(domain=[0, 1])
    base = alt.Chart(frame).encode(
        x=alt.X("predicted:Q", scale=share, title="predicted probability"),
        color=alt.Color("series:N", title=None, scale=alt.Scale(range=[_BLUE, _RED])),
    )
    line = pl.DataFrame({"predicted": [0.0, 1.0], "observed": [0.0, 1.0]})
    diagonal = (
        alt.Chart(line)
        .mark_line(strokeDash=[4, 4], color=_GREY)
        .encode(x="predicted:Q", y="observed:Q")
    )
    y = alt.Y("observed:Q", scale=share, title="observed frequency (95 % interval)")
    interval = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", scale=share), y2="high:Q")
    points = base.mark_point(filled=True, size=60).encode(y=y)
    return (diagonal + interval + points).properties(title=title, width=320, height=320)


def stacked(*charts: alt.Chart | alt.LayerChart) -> alt.VConcatChart:
    """Charts one below the other, as one picture."""
    return (
        alt.vconcat(*charts)
        .configure_title(anchor="start", fontSize=14)
        .configure_view(stroke=None)
    )


def accuracy_against_cost(frame: pl.DataFrame, title: str) -> alt.LayerChart:
    """Accuracy of labels against the share of ratings made: one line an order and way to stop.

    Parameters
    ----------
    frame
        Columns order, stop, cost in (0, 1], value, low, high, as `studies.cost_curve` gives them.
    title
        The finding.
    """
    frame = frame.with_columns(pl.format("{}, {}", "order", "stop").alias("line"))
    scale = alt.Scale(domain=[frame["low"].min() - 0.02, frame["high"].max() + 0.02], nice=False)
    x = alt.X(
        "cost:Q",
        scale=alt.Scale(type="log"),
        title="ratings made, share of all (log)",
        axis=alt.Axis(format="%", tickCount=5),
    )
    color = alt.Color("line:N", title=None, legend=alt.Legend(orient="bottom", columns=2))
    base = alt.Chart(frame).encode(x=x, color=color)
    band = base.mark_area(opacity=0.12).encode(
        y=alt.Y("low:Q", scale=scale, title="accuracy (95 % interval)", axis=alt.Axis(format="%")),
        y2="high:Q",
    )
    line = base.mark_line(point=True).encode(y=alt.Y("value:Q", scale=scale))
    return (band + line).properties(title=title, width=420, height=280)


def judge_quality_chart(frame: pl.DataFrame, title: str, axis: str) -> alt.LayerChart:
    """One figure of a judge with its interval, one row a rule; the grey tick is the reference.

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
    frame = frame.drop_nulls(["value"])
    base = alt.Chart(frame).encode(
        y=alt.Y("rule:N", sort=frame["rule"].to_list(), title=None, axis=alt.Axis(labelLimit=260))
    )
    interval = base.mark_rule(color=_BLUE, strokeWidth=2).encode(
        x=alt.X("low:Q", title=axis), x2="high:Q"
    )
    point = base.mark_point(filled=True, size=50, color=_BLUE).encode(x="value:Q")
    line = base.mark_tick(color=_GREY, thickness=2).encode(x="reference:Q")
    return (line + interval + point).properties(title=title, width=420, height=16 * len(frame))


def growth(frame: pl.DataFrame, title: str) -> alt.HConcatChart:
    """Seconds and peak memory of several works as the number of pairs grows, side by side.

    Parameters
    ----------
    frame
        Columns work, mode (such as in memory or streamed), pairs, seconds and GB, all positive.
    title
        The finding.
    """
    works = frame["work"].unique(maintain_order=True).to_list()
    modes = frame["mode"].unique(maintain_order=True).to_list()
    ticks = frame["pairs"].unique().sort().to_list()
    base = alt.Chart(frame).encode(
        x=alt.X(
            "pairs:Q",
            title="pairs",
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(values=ticks, format="~s"),
        ),
        color=alt.Color("work:N", scale=alt.Scale(domain=works, range=_SERIES), legend=_legend()),
        detail="mode:N",
    )
    dash = alt.StrokeDash(
        "mode:N",
        scale=alt.Scale(domain=modes, range=_DASHES),
        legend=alt.Legend(
            title=None,
            orient="bottom",
            symbolType="stroke",
            symbolSize=300,
            symbolStrokeColor="black",
            symbolStrokeWidth=2,
        ),
    )
    sides = []
    for column, name in (("seconds", "seconds"), ("GB", "most memory of the process, GB")):
        scale = alt.Scale(type="log")
        y = alt.Y(f"{column}:Q", title=name, scale=scale, axis=alt.Axis(format="~g"))
        side = base.encode(y=y)
        lines = side.mark_line(strokeWidth=2).encode(strokeDash=dash)
        points = side.mark_point(filled=True, size=45, opacity=1)
        sides.append((lines + points).properties(width=330, height=250))
    return alt.hconcat(*sides).properties(title=alt.Title(title, anchor="start"))


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
    """
    panels = frame["panel"].unique(maintain_order=True).to_list()
    names = frame["series"].unique(maintain_order=True).to_list()
    base = alt.Chart(frame).encode(
        x=alt.X(
            "n:Q",
            title="pairs, N",
            scale=alt.Scale(type="log", nice=False, padding=12),
            axis=alt.Axis(values=frame["n"].unique().sort().to_list(), format="~s"),
        ),
        color=alt.Color("series:N", scale=alt.Scale(domain=names, range=_SERIES), legend=_legend()),
    )
    ends = base.transform_calculate(
        low="datum.bias - 2 * datum.error", high="datum.bias + 2 * datum.error"
    )
    layers = (
        base.mark_rule(strokeDash=[4, 4], color=_GREY).encode(
            y=alt.datum(0), x=alt.value(0), x2=alt.value("width"), color=alt.value(_GREY)
        ),
        base.mark_line(strokeWidth=2).encode(
            y=alt.Y("bias:Q", title=y_title),
            strokeDash=alt.StrokeDash(
                "series:N", scale=alt.Scale(domain=names, range=_DASHES), legend=_legend()
            ),
        ),
        ends.mark_rule(strokeWidth=2).encode(y="low:Q", y2="high:Q"),
        base.mark_point(filled=True, size=35, opacity=1).encode(y="bias:Q"),
    )
    return (
        alt.layer(*layers)
        .properties(width=230, height=240)
        .facet(alt.Column("panel:N", sort=panels, title=None))
        .properties(title=alt.Title(title, anchor="start"))
    )


def redundancy(frame: pl.DataFrame, title: str, n_rules: int) -> alt.Chart:
    """What pairs of rules share, as a square of cells; cells that are left out stay white.

    Parameters
    ----------
    frame
        Columns row and column (places 0 to n_rules - 1, in the order to be shown) and value in
        [0, 1]; 5,000 rows or fewer.
    title
        The finding.
    n_rules
        Length of a side.
    """
    side = list(range(n_rules))
    axis = alt.Axis(values=side[:: max(1, n_rules // 5)], ticks=True, grid=False)
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("column:O", scale=alt.Scale(domain=side), axis=axis, title="rule"),
            y=alt.Y("row:O", scale=alt.Scale(domain=side), axis=axis, title="rule"),
            color=alt.Color(
                "value:Q",
                scale=alt.Scale(scheme="blues", domain=[0, frame["value"].max()]),
                legend=alt.Legend(title=["shared, of the", "larger entropy"], format=".1f"),
            ),
        )
        .properties(title=alt.Title(title, anchor="start"), width=420, height=420)
    )

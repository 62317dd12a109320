"""What is about rules: which speak for which response, which are chosen, which repeat each other.

Frames come in, charts go out.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    prepared,
    rows,
    said,
    series,
)

_FOR_B_TO_A = [ORANGE, "#F2B48A", "#F4F4F4", "#8FC3E3", BLUE]  # δ from −2 to +2
_NAMED = 30  # rules whose names have room at the sides of a map
_GAP, _VERDICTS = " ", ("label of the rules", "known preference")


def pair_rules(frame: pl.DataFrame, title: str) -> alt.LayerChart:
    """Discrepancies of one pair: bars to the right speak for the first response, dark ones are chosen.

    Parameters
    ----------
    frame
        Columns rule, discrepancy in [-2, 2], chosen (bool).
    title
        The finding.
    """
    frame, y, height = rows(prepared(frame), "rule", 20)
    reach = max(1.0, frame["discrepancy"].abs().max() or 0.0) * 1.1
    kinds = alt.Scale(domain=["chosen", "not chosen"], range=[BLACK, "#B8BDC6"])
    base = (
        alt.Chart(frame)
        .transform_calculate(kind="datum.chosen ? 'chosen' : 'not chosen'")
        .encode(
            x=alt.X(
                "discrepancy:Q",
                title="← for B  ·  δ = score of A − score of B  ·  for A →",
                scale=alt.Scale(domain=[-reach, reach], nice=False),
            ),
            y=y,
        )
    )
    bars = base.mark_bar(height={"band": 0.75}).encode(
        color=alt.Color("kind:N", scale=kinds, legend=key(2, "square"))
    )
    zero = alt.Chart(pl.DataFrame({"x": [0]})).mark_rule(color=BLACK).encode(x="x:Q")
    chosen = ", ".join(frame.filter("chosen")["rule"])
    return (bars + zero).properties(
        title=heading(title),
        description=f"δ by rule: {said(frame, 'rule', 'discrepancy', '+.2f')}. Chosen: {chosen}.",
        width=WIDTH,
        height=height,
    )


def rule_use(frame: pl.DataFrame, title: str) -> alt.LayerChart:
    """On how many pairs each rule votes, and on how many it is decisive.

    Parameters
    ----------
    frame
        Columns rule, coverage with its interval low and high, and decisive, all shares in [0, 1].
    title
        The finding.
    """
    frame, y, height = rows(prepared(frame), "rule", 20)
    votes, decides = "votes (δ ≠ 0), 95 % interval", "decisive (|δ| > ½)"
    kinds = alt.Scale(domain=[votes, decides], range=["#9CC9E6", BLUE])
    base = alt.Chart(frame).encode(y=y)
    x = alt.X("coverage:Q", title="share of the pairs", axis=alt.Axis(format="%", tickCount=6))
    bars = {"height": {"band": 0.75}}
    shade = alt.Color("kind:N", scale=kinds, legend=key(2, "square"))
    layers = (
        base.transform_calculate(kind=f"'{votes}'").mark_bar(**bars).encode(x=x, color=shade),
        base.transform_calculate(kind=f"'{decides}'")
        .mark_bar(height={"band": 0.35})
        .encode(x="decisive:Q", color=shade),
        base.mark_rule(color=BLACK).encode(x="low:Q", x2="high:Q"),
    )
    return alt.layer(*layers).properties(
        title=heading(title),
        description=f"Share of the pairs that a rule votes on: {said(frame, 'rule', 'coverage')}.",
        width=WIDTH,
        height=height,
    )


def subsets(frame: pl.DataFrame, marked: pl.DataFrame, title: str) -> alt.LayerChart:
    """How many subsets of rules carry how much information, and where some of them stand.

    Parameters
    ----------
    frame
        A row a bin: columns low and high in bits, subsets (how many).
    marked
        Columns name (five or fewer), value in bits: vertical lines, named in the key.
    title
        The finding.

    Raises
    ------
    ValueError
        If more than five are marked.
    """
    marked = prepared(marked)
    names = series(marked, "name")
    bars = (
        alt.Chart(frame)
        .mark_bar(color="#C9CDD4", binSpacing=0)
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
        .encode(x="value:Q", color=color("name", names, key()))
    )
    return (bars + lines).properties(
        title=heading(title),
        description=f"Bits: {said(marked, 'name', 'value', '.3f')}.",
        width=560,
        height=220,
    )


def redundancy(
    frame: pl.DataFrame, title: str, n_rules: int, names: Sequence[str] | None = None
) -> alt.Chart:
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
    names
        Of the rules in the order to be shown; up to 30 stand at the sides, more are numbered.
    """
    side = list(range(n_rules))
    x_axis = y_axis = alt.Axis(
        values=side[:: max(1, n_rules // 5)], ticks=True, grid=False, labelAngle=0
    )
    fields, told = ("column:O", "row:O"), "rule"
    if names is not None and n_rules <= _NAMED:
        side, told, fields = (
            prepared(pl.DataFrame({"n": names}))["n"].to_list(),
            None,
            ("x:N", "y:N"),
        )
        frame = frame.with_columns(
            pl.Series(axis, [side[i] for i in frame[place]], dtype=pl.String)
            for axis, place in (("x", "column"), ("y", "row"))
        )
        x_axis, y_axis = (alt.Axis(labelLimit=170, labelAngle=angle) for angle in (-50, 0))
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X(fields[0], scale=alt.Scale(domain=side), axis=x_axis, title=told),
            y=alt.Y(fields[1], scale=alt.Scale(domain=side), axis=y_axis, title=told),
            color=alt.Color(
                "value:Q",
                scale=alt.Scale(scheme="blues", domain=[0, frame["value"].max() or 1.0]),
                legend=alt.Legend(
                    title="shared, of the larger entropy", orient="bottom", format=".1f"
                ),
            ),
        )
        .properties(
            title=heading(title, 440),
            description=f"{len(frame):,} cells of {n_rules} by {n_rules} rules; the largest share "
            f"is {frame['value'].max() or 0:.2f}.",
            width=420,
            height=420,
        )
    )


def selection_map(cells: pl.DataFrame, sides: pl.DataFrame, title: str) -> alt.LayerChart:
    """The method in one picture: pairs by rules, the chosen cells ringed, and what they say.

    Parameters
    ----------
    cells
        A row a pair and rule: columns pair, rule, discrepancy in [-2, 2], chosen (bool). Pairs and
        rules stand in the order in which they come.
    sides
        A row a pair: columns pair, label and known, each ``A``, ``B`` or, where there is none, ``–``.
    title
        The finding.
    """
    cells, sides = prepared(cells), prepared(sides)
    pairs = sides["pair"].to_list()
    rules = cells["rule"].unique(maintain_order=True).to_list()
    columns = [*rules, _GAP, *_VERDICTS]
    x = alt.X(
        "rule:N",
        scale=alt.Scale(domain=columns),
        title=None,
        axis=alt.Axis(labelAngle=-40, labelLimit=170, ticks=False, orient="top", domain=False),
    )
    y = alt.Y(
        "pair:N", sort=pairs, title=None, axis=alt.Axis(labelLimit=170, ticks=False, domain=False)
    )
    shade = alt.Color(
        "discrepancy:Q",
        scale=alt.Scale(domain=[-2, -1, 0, 1, 2], range=_FOR_B_TO_A),
        legend=alt.Legend(
            title="δ = score of A − score of B under a rule; ringed: chosen",
            orient="bottom",
            gradientLength=300,
            titleLimit=420,
            values=[-2, -1, 0, 1, 2],
            format="+~",
            labelExpr="(datum.value ? datum.label : '0') + (datum.value < -1 ? ', for B' : datum.value > 1 ? ', for A' : '')",
        ),
    )
    base = alt.Chart(cells).encode(x=x, y=y)
    chosen = base.transform_filter("datum.chosen")
    rings = (
        chosen.mark_point(shape="circle", size=210, color=ink, strokeWidth=width, opacity=1)
        for ink, width in (("white", 4.5), (BLACK, 2))
    )
    heat = base.mark_rect(stroke="white").encode(color=shade)
    known = sides.filter(pl.col("known") != "–")
    right = known.filter(pl.col("label") == pl.col("known"))
    return alt.layer(heat, *rings, *_verdicts(sides, x, y)).properties(
        title=heading(title, 30 * len(columns) + 220),
        description=f"{len(pairs)} pairs by {len(rules)} rules. δ is blue where a rule speaks for A, "
        "orange where it speaks for B. The chosen cells are ringed; beside them stand the label "
        f"that they give and the known preference, the same on {len(right)} of {len(known)} pairs.",
        view=alt.ViewBackground(stroke=None),
        width=30 * len(columns),
        height=26 * len(pairs),
    )


def _verdicts(sides: pl.DataFrame, x: alt.X, y: alt.Y) -> tuple[alt.Chart, alt.Chart]:
    """Two columns beside the cells: what the label says, and what is known."""
    long = sides.rename(dict(zip(("label", "known"), _VERDICTS, strict=True)))
    base = alt.Chart(long.unpivot(_VERDICTS, index="pair", variable_name="rule")).encode(x=x, y=y)
    colors = alt.Scale(domain=["A", "B", "–"], range=[BLUE, ORANGE, GREY])
    boxes = base.mark_rect(stroke="white").encode(
        fill=alt.Fill("value:N", scale=colors, legend=None)
    )
    return boxes, base.mark_text(color="white", fontWeight="bold").encode(text="value:N")

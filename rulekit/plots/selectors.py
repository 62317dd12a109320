"""Information and label accuracy of selectors by k, side by side: frames come in, a chart goes out."""

from __future__ import annotations

import altair as alt
import polars as pl

from rulekit.plots.looks import BLACK, GREY, color, dash, heading, key, pointed, prepared, series

_SIDES = (("information", "bits that the chosen rules tell"), ("accuracy", "accuracy of the label"))
_WIDTH, _HEIGHT = 370, 270  # of one picture
_LINES = 6  # of text in it


def selectors_by_k(
    frame: pl.DataFrame, breaks: pl.DataFrame, title: str, k: int | None = None
) -> alt.HConcatChart:
    """Two pictures, information and accuracy by k, with a ring where something breaks and its name below.

    Parameters
    ----------
    frame
        Columns selector (five or fewer), k, information in bits and accuracy.
    breaks
        Columns selector, measure (information or accuracy), k, value and name: a text at that
        point, written in the lower right corner, where no curve is as a rule; six lines or fewer
        a picture; may have no rows.
    title
        The finding.
    k
        Marked by a line, and by a point on every curve; optional.

    Raises
    ------
    ValueError
        If there are more than five selectors.
    """
    names = series(prepared(frame), "selector")
    rows = alt.Data(values=_rows(frame, breaks, k))
    sides = [_side(names, *side) for side in _SIDES]
    return alt.hconcat(*sides, data=rows).properties(
        title=heading(title, 2 * _WIDTH), description=_words(frame, breaks, k)
    )


def selectors_redrawn(
    spec: dict, frame: pl.DataFrame, breaks: pl.DataFrame, title: str, k: int | None = None
) -> dict:
    """The specification of such a chart with other values of the same selectors, in a moment.

    Parameters
    ----------
    spec
        What ``selectors_by_k(...).to_dict()`` gave; it is left as it is.
    frame, breaks, title, k
        As for `selectors_by_k`.
    """
    again = heading(title, 2 * _WIDTH).to_dict()
    data = {"values": _rows(frame, breaks, k)}
    told = _words(frame, breaks, k)
    return {**spec, "data": data, "title": again, "description": told}


def _rows(frame: pl.DataFrame, breaks: pl.DataFrame, k: int | None) -> list[dict]:
    """Points of the curves, ``here`` at the k that is marked, and texts beside them."""
    frame, breaks = prepared(frame), prepared(breaks)
    curves = frame.select("selector", "k", "information", "accuracy", here=pl.col("k") == (k or 0))
    found = curves.with_columns(mark=pl.lit("curve")).to_dicts()
    texts = {side: [] for side, _ in _SIDES}
    for row in breaks.iter_rows(named=True):
        side = row["measure"]
        ring = {"selector": row["selector"], "k": row["k"], side: row["value"]}
        found.append(ring | {"mark": f"{side} ring"})
        texts[side] += f"○ {row['selector']}, {row['name']}".split("; ")
    for side, lines in texts.items():
        for up, text in enumerate(reversed(lines)):
            found.append({"mark": f"{side} line {up}", "text": text})
    return found


def _words(frame: pl.DataFrame, breaks: pl.DataFrame, k: int | None) -> str:
    at = frame if k is None else frame.filter(pl.col("k") == k)
    last = at.sort("k").group_by("selector", maintain_order=True).last()
    said = "; ".join(
        f"{r['selector']} {r['information']:.3f} bits, right {r['accuracy']:.1%}"
        for r in last.iter_rows(named=True)
    )
    told = "; ".join(
        f"{r['selector']}, {r['measure']}: {r['name']}" for r in breaks.iter_rows(named=True)
    )
    where = "" if k is None else f" at k = {k}"
    return f"By number of rules kept{where}: {said}." + (f" Broken: {told}." if told else "")


def _side(names: list[str], column: str, title: str) -> alt.LayerChart:
    x = alt.X(
        "k:Q",
        title="rules kept, k",
        scale=alt.Scale(nice=False, zero=False, padding=6),
        axis=alt.Axis(tickMinStep=1, tickCount=8, format="d"),
    )
    scale = alt.Scale(zero=False) if column == "accuracy" else alt.Scale(domainMin=0)
    axis = alt.Axis(format="%") if column == "accuracy" else alt.Axis()
    y = alt.Y(f"{column}:Q", title=title, scale=scale, axis=axis)
    legend = key(5)
    base = alt.Chart().encode(x=x)
    curves = base.transform_filter("datum.mark == 'curve'")
    here = base.transform_filter("datum.here == true")
    layers = [
        here.mark_rule(color=GREY, strokeDash=[3, 3]).encode(x="k:Q"),
        curves.mark_line(strokeWidth=2).encode(
            y=y, color=color("selector", names, legend), strokeDash=dash("selector", names, legend)
        ),
        pointed(here, "selector", names, 60).encode(y=y),
    ]
    rings = base.transform_filter(f"datum.mark == '{column} ring'").encode(y=y)
    layers.append(rings.mark_point(size=170, color=BLACK, strokeWidth=1.6))
    for up in range(_LINES):
        place = {"x": alt.value(_WIDTH - 6), "y": alt.value(_HEIGHT - 12 - 15 * up)}
        words = alt.Chart().transform_filter(f"datum.mark == '{column} line {up}'")
        words = words.encode(text="text:N", **place)
        layers.append(words.mark_text(align="right", stroke="white", strokeWidth=4))  # off lines
        layers.append(words.mark_text(align="right", color=BLACK, fontWeight="bold"))
    return alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT)

"""Information and label accuracy of selectors by k, side by side: frames come in, a chart goes out."""

from __future__ import annotations

import altair as alt
import polars as pl

from rulekit.plots.looks import BLACK, GREY, color, dash, heading, key, pointed, prepared, series

_SIDES = (("information", "bits that the chosen rules tell"), ("accuracy", "accuracy of the label"))
_WIDTH = 370  # of one picture


def selectors_by_k(
    frame: pl.DataFrame, breaks: pl.DataFrame, title: str, k: int | None = None
) -> alt.HConcatChart:
    """Two pictures, information and accuracy by k, with what breaks written beside its curve.

    Parameters
    ----------
    frame
        Columns selector (five or fewer), k, information in bits and accuracy.
    breaks
        Columns selector, measure (information or accuracy), k, value and name: a text at that
        point; may have no rows.
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
    last = frame["k"].max() or 1
    found = curves.with_columns(mark=pl.lit("curve")).to_dicts()
    for row in breaks.iter_rows(named=True):
        far = row["k"] > last / 2
        found.append(
            {
                "selector": row["selector"],
                "k": row["k"],
                row["measure"]: row["value"],
                "mark": f"{row['measure']} {'left' if far else 'right'}",
                "text": row["name"].replace("; ", "\n"),
            }
        )
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
    for side, far in (("left", -9), ("right", 9)):
        some = base.transform_filter(f"datum.mark == '{column} {side}'").encode(y=y)
        layers.append(some.mark_point(size=170, color=BLACK, strokeWidth=1.6))
        looks = {"align": "right" if far < 0 else "left", "dx": far, "dy": 15, "lineBreak": "\n"}
        words = some.encode(text="text:N")
        layers.append(words.mark_text(stroke="white", strokeWidth=4, **looks))  # apart from lines
        layers.append(words.mark_text(color=BLACK, fontWeight="bold", **looks))
    return alt.layer(*layers).properties(width=_WIDTH, height=270)

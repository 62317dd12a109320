"""Findings in words: comparisons, places and biases come in, Markdown that claims no more than an interval goes out."""

from __future__ import annotations

import polars as pl

from rulekit.benchmarks.boards import Place
from rulekit.benchmarks.comparison import Comparison


def comparison_findings(comparison: Comparison, model: str, base: str) -> str:
    """What a model gains and loses against its base, section by section.

    Parameters
    ----------
    comparison
        Of the two.
    model, base
        What to call them.
    """
    lines = []
    for row in comparison.sections.iter_rows(named=True):
        points, low, high = (100 * row[c] for c in ("difference", "low", "high"))
        ends = f"95 % interval {low:+.1f} to {high:+.1f}"
        counts = f"{row['gained']:,} of {row['n']:,} items gained, {row['lost']:,} lost"
        if low > 0:
            said = f"**{model} is better** by {points:.1f} points ({ends})"
        elif high < 0:
            said = f"**{model} is worse** by {-points:.1f} points ({ends})"
        else:
            said = f"{model} and {base} cannot be told apart ({points:+.1f} points, {ends})"
        lines.append(f"- {row['section']}: {said}; {counts}.")
    return "\n".join(lines)


def place_findings(place: Place, name: str) -> str:
    """Where a model stands on a board, and from how many rows it cannot be told.

    Parameters
    ----------
    place
        Of the model.
    name
        What to call it.
    """
    said = (
        f"{name}: {place.section} {place.value:.4f} (95 % interval {place.low:.3f} to "
        f"{place.high:.3f}), place {place.rank} of {place.n + 1} by value."
    )
    if not place.alike:
        return f"{said} It can be told from every other row."
    shown = ", ".join(place.alike[:3]) + (" and others" if len(place.alike) > 3 else "")
    return (
        f"{said} It **cannot be told from {len(place.alike)}** of the others ({shown}): its place is "
        f"anything from {place.best} to {place.worst}."
    )


def bias_findings(table: pl.DataFrame) -> str:
    """Which traits a model prefers more, or less, often than they are right.

    Parameters
    ----------
    table
        As of `rulekit.benchmarks.biases`.
    """
    lines = []
    for row in table.iter_rows(named=True):
        found = f"{row['prefers']:.1%} of {row['n']:,}"
        if row["trait"] == "position":
            ends = f"95 % interval {row['prefers_low']:.1%} to {row['prefers_high']:.1%}"
            lines.append(f"- position: the first shown is preferred in {found} ({ends}).")
            continue
        if row["trait"] == "order":
            lines.append(f"- order: the two orders do not agree in {found} comparisons.")
            continue
        inside = row["prefers_low"] <= row["right_has_more"] <= row["prefers_high"]
        verdict = (
            "no more than the data ask for"
            if inside
            else "**more often than it is right**"
            if row["prefers"] > row["right_has_more"]
            else "**less often than it is right**"
        )
        lines.append(
            f"- {row['trait']}: the response with more of it is preferred in {found} pairs "
            f"(95 % interval {row['prefers_low']:.1%} to {row['prefers_high']:.1%}), "
            f"and is right in {row['right_has_more']:.1%}: {verdict}."
        )
    return "\n".join(lines)

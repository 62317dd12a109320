"""What the comparison of selectors found, in sentences: frames of `comparison` come in, Markdown goes out.

Notebook 15 ends with it.
"""

from __future__ import annotations

import polars as pl

from rulekit.studies.phrases import listed, percent

_TWO = 2  # standard errors
_NEAR = 0.01  # what `adaptive` may lack to the best plain selector


def comparison_findings(
    gaps: pl.DataFrame, ratings: pl.DataFrame, calibration: pl.DataFrame
) -> str:
    """Which selector pays, in simulation and on ratings, and whose confidence can be believed.

    Parameters
    ----------
    gaps
        From `adaptive_gaps`.
    ratings
        From `compare_rated`, one or more, with a column ``data``.
    calibration
        The first frame of `label_calibration`.

    Returns
    -------
    Markdown. A gain counts where it is two standard errors from zero; those on ratings are of
    splitting the same pairs, so less than those of another sample.
    """
    said = [_simulated(gaps)]
    for (data,), part in ratings.group_by("data", maintain_order=True):
        for selector, label in (
            ("adaptive", "weighted"),
            ("frugal", "weighted"),
            ("frugal", "sum"),
        ):
            rows = part.filter(pl.col("selector") == selector, pl.col("label") == label)
            if len(rows):
                told = "; ".join(
                    f"{_side(row['gain'], row['se'])} with {row['labelled']} labels"
                    for row in rows.iter_rows(named=True)
                )
                rated, how = rows["rated"].mean(), "weighted" if label == "weighted" else "summed"
                said.append(
                    f"{data}: `{selector}`, which has {rated:.0f} rules rated, {how}, against the sum "
                    f"of all rules: {told}."
                )
    sure = calibration.with_columns(over=pl.col("confidence") - pl.col("accuracy")).sort("over")
    for row in (sure.row(-1, named=True), sure.row(0, named=True)):
        word = "high" if row["over"] > 0 else "low"
        said.append(
            f"The confidence of `{row['label']}` is {100 * abs(row['over']):.1f} points too {word}: "
            f"{percent(row['confidence'])} said, {percent(row['accuracy'])} right, on "
            f"{row['n']:,} held-out cases."
        )
    return listed(said)


def _side(gain: float, error: float | None) -> str:
    points = f"{100 * gain:+.1f}".replace("-", "−")
    told = None if error is None else f"{points} ± {100 * _TWO * error:.1f} points"
    if told is None:
        return f"{points} points, error unknown"
    if abs(gain) <= _TWO * error:
        return f"cannot be told apart ({told})"
    return f"{'above' if gain > 0 else 'below'} ({told})"


def _simulated(gaps: pl.DataFrame) -> str:
    most = gaps.filter(pl.col("labelled") == gaps["labelled"].max())
    error = pl.col("over_plain_se").fill_null(0.0)
    above = most.filter(pl.col("over_plain") > _TWO * error)["regime"].to_list()
    below = most.filter(pl.col("over_plain") + _TWO * error < -_NEAR)["regime"].to_list()
    parts = [f"above the best plain selector in {_names(above)}" if above else ""]
    parts.append(
        f"more than .01 below it in {_names(below)}"
        if below
        else "nowhere surely more than .01 below it"
    )
    n = most["labelled"][0]
    return f"Simulation, {n} labels: `adaptive` is {' and '.join(filter(None, parts))}."


def _names(regimes: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in regimes)

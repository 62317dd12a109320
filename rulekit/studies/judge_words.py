"""A judge's figures for reading: reports of `judges` come in, short frames and sentences go out.

Notebooks 16 and 17 show them.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from rulekit.studies.phrases import listed, percent, signed_points, verdict, with_interval

_FIGURES = {
    "log_loss": "log-loss, nats",
    "relevant_auc": "knows which rules matter, AUC",
    "satisfied_auc": "knows which are satisfied, AUC",
}
_WHO = {"teacher": "large judge", "distilled": "distilled", "undistilled": "undistilled"}


def report_rows(report: Mapping) -> pl.DataFrame:
    """A report of `judge_report` as a table: the judge beside each rule's own frequency.

    Parameters
    ----------
    report
        From `judge_report`.

    Returns
    -------
    Columns ``figure``, ``judge``, ``interval``, ``floor`` and ``floor_interval``.
    """

    def ends(name: str) -> str:
        return f"{report[f'{name}_low']:.3f} to {report[f'{name}_high']:.3f}"

    rows = [
        {
            "figure": said,
            "judge": report[name],
            "interval": ends(name),
            "floor": report[f"floor_{name}"],
            "floor_interval": ends(f"floor_{name}"),
        }
        for name, said in _FIGURES.items()
    ]
    for name in ("relevant", "satisfied"):
        said = f"calibration error of P({name})"
        rows.append({"figure": said, "judge": report[f"{name}_calibration_error"]})
    return pl.DataFrame(rows, infer_schema_length=None)


def network_rows(table: pl.DataFrame) -> pl.DataFrame:
    """A frame of `network_table`, each figure as text with its interval.

    Parameters
    ----------
    table
        From `network_table`.

    Returns
    -------
    Columns ``network``, ``log_loss``, ``relevant_auc``, ``satisfied_auc`` and the seconds.
    """
    texts = [
        pl.Series(
            name,
            [
                f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
                for row in table.iter_rows(named=True)
            ],
        )
        for name in _FIGURES
    ]
    return table.select("network", *texts, "^.*_seconds$")


def distillation_rows(figures: Mapping) -> pl.DataFrame:
    """Label accuracy of the large, the distilled and the undistilled judge, for a chart.

    Parameters
    ----------
    figures
        The first value of `distillation_report`.

    Returns
    -------
    Columns ``name``, ``value``, ``low``, ``high``.
    """
    rows = [
        {"name": said, **{n: figures[f"{who}_accuracy"][n] for n in ("value", "low", "high")}}
        for who, said in _WHO.items()
    ]
    return pl.DataFrame(rows)


def judge_findings(
    report: Mapping, figures: Mapping | None = None, directions: pl.DataFrame | None = None
) -> str:
    """What the offline judge is worth on unseen prompts, in sentences made of its figures.

    Parameters
    ----------
    report
        From `judge_report`, on prompts it has not seen.
    figures
        The first value of `distillation_report`, with ``cost`` of `cost_ratio`; or none.
    directions
        From `direction_table`; or none.

    Returns
    -------
    Markdown. A judge is above its floor where their intervals do not overlap.
    """
    said = []
    for name, words in (("relevant_auc", "which rules apply"), ("satisfied_auc", "which are kept")):
        low, high = report[f"{name}_low"], report[f"{name}_high"]
        under, over = report[f"floor_{name}_low"], report[f"floor_{name}_high"]
        side = "above" if low > over else "below" if high < under else "not to be told from"
        said.append(
            f"The judge tells {words} with AUC {report[name]:.3f} [{low:.3f}, {high:.3f}], {side} each "
            f"rule's own frequency with {report[f'floor_{name}']:.3f}."
        )
    said.append(topic_and_sign(report))
    for row in [] if directions is None else directions.iter_rows(named=True):
        side = verdict({"low": row["low"] - 0.5, "high": row["high"] - 0.5})
        word = {
            1: "more often than",
            0: "not surely more or less often than",
            -1: "less often than",
        }
        said.append(
            f"Under new prompts, `{row['subset']}`: its labels go the right way {word[side]} a coin's, "
            f"{with_interval(row)}."
        )
    if figures:
        gain = figures["distilled_less_teacher"]
        word = {1: "above", 0: "not to be told from", -1: "below"}[verdict(gain)]
        agreed = [figures[f"{who}_agreement"] for who in ("distilled", "undistilled")]
        now, before = (f"{row['auc']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" for row in agreed)
        said.append(
            f"Distilling {figures['n_pairs_seen']:,} pairs of a large judge: agreement with its sign "
            f"is AUC {now} afterwards, {before} before. The labels are {word} the large judge's: "
            f"{signed_points(gain)}, at a cost {figures['cost']['ratio']:,.0f} times lower than that "
            "of a model of 8 billion parameters with a pass a rule."
        )
    return listed(said)


def topic_and_sign(report: Mapping) -> str:
    """Which of the two questions of a rating is the easier one, and what the judge adds to its floor.

    Parameters
    ----------
    report
        From `judge_report`.

    Returns
    -------
    One or two sentences. What the floor leaves open is 1 less its area; the judge gets the share
    (judge − floor) / (1 − floor) of it.
    """
    kinds = ("relevant", "satisfied")
    judge = [report[f"{kind}_auc"] for kind in kinds]
    floor = [report[f"floor_{kind}_auc"] for kind in kinds]
    if judge[0] == judge[1]:
        head = "The topic and the sign are equally easy for the judge."
    else:
        first, second = ("topic", "sign") if judge[0] > judge[1] else ("sign", "topic")
        same = (judge[0] - judge[1]) * (floor[0] - floor[1]) > 0
        whose = "for the floor and for the judge" if same else "for the judge"
        head = f"The {first} is easier than the {second}, {whose}."
    if any(own <= under for own, under in zip(judge, floor, strict=True)):
        return head
    gets = [(own - under) / (1 - under) for own, under in zip(judge, floor, strict=True)]
    return (
        f"{head} Of what the floor leaves open the judge gets {percent(gets[0], 0)} on the topic, "
        f"{percent(gets[1], 0)} on the sign: (judge − floor) / (1 − floor), before rounding."
    )


def quality_findings(overall: pl.DataFrame, curve: pl.DataFrame, judge: str) -> str:
    """How far a judge can be trusted, and what rating less costs, in sentences made of figures.

    Parameters
    ----------
    overall
        The rows ``all`` of `rulekit.rating.quality.judge_quality`.
    curve
        From `cost_curve`.
    judge
        Its name.

    Returns
    -------
    Markdown.
    """
    said = []
    words = {"relevant_auc": "which rules matter", "satisfied_auc": "which are satisfied"}
    for row in overall.filter(pl.col("figure").is_in(list(words))).drop_nulls("value").to_dicts():
        side = {1: "better than", 0: "not to be told from", -1: "worse than"}[
            verdict({"low": row["low"] - row["reference"], "high": row["high"] - row["reference"]})
        ]
        said.append(
            f"`{judge}` ranks {words[row['figure']]} {side} chance: AUC {row['value']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}] on {row['n']:,} cases."
        )
    full = curve.sort("rules").row(-1, named=True)
    for (name,), part in curve.group_by("order", maintain_order=True):
        near = part.filter(pl.col("value") >= full["value"] - 0.01).sort("cost")
        row = near.row(0, named=True)
        said.append(
            f"In the order *{name}*, {percent(row['cost'])} of the ratings come within a point of "
            f"all ratings: {with_interval(row)} against {with_interval(full)}."
        )
    return listed(said)


def enough_ratings(curve: pl.DataFrame, within: float = 0.01) -> dict[str, float]:
    """The least share of ratings, for each order, whose accuracy comes near that of all ratings.

    Parameters
    ----------
    curve
        From `cost_curve`.
    within
        How near, in accuracy.
    """
    full = curve.sort("rules")["value"][-1]
    near = curve.filter(pl.col("value") >= full - within)
    return dict(near.group_by("order", maintain_order=True).agg(pl.col("cost").min()).iter_rows())

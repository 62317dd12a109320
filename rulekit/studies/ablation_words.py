"""Many ablation runs read: a table of means and one of differences come in, sentences and frames go out.

Notebook 14 gives the frames of `rulekit.runs.compare`; a claim is made only where an interval allows
it.
"""

from __future__ import annotations

import polars as pl

from rulekit.studies.phrases import capital, listed, percent, signed_points, verdict, with_interval

LABEL, REWARD = "accuracy of label", "accuracy of reward"
_NAMES = {
    "all": "all rules",
    "random": "random rules",
    "static": "the same rules for all pairs",
    "max_discrepancy": "maximum discrepancy",
    "relevance_discrepancy": "the authors' criterion",
    "recommended": "weighted rules (recommended)",
    "preferences": "known preferences",
}
_ALONE = (_NAMES["all"], _NAMES["preferences"])  # no number of rules is chosen
_LEVELS = {"": "the ratings of the data set"}


def ablation_table(means: pl.DataFrame, calls: pl.DataFrame) -> pl.DataFrame:
    """A row a way to choose rules: accuracy of its labels, of the reward model, and its cost.

    Parameters
    ----------
    means
        Of `rulekit.runs.compare` by method and k: ``method``, ``k``, ``metric``, ``value``, ``low``,
        ``high``.
    calls
        The same for the ratings that the labels of the training pairs need, ``value``.

    Returns
    -------
    ``way``, ``k`` (null where there is none), ``label``, ``label_low``, ``label_high``, ``reward``,
    ``reward_low``, ``reward_high``, ``judge_calls``; all rules and the ceiling without k.
    """
    on = ["method", "k"]
    parts = [
        means.filter(pl.col("metric") == metric).select(
            *on,
            pl.col("value").alias(name),
            pl.col("low").alias(f"{name}_low"),
            pl.col("high").alias(f"{name}_high"),
        )
        for metric, name in ((LABEL, "label"), (REWARD, "reward"))
    ]
    frame = parts[1].join(parts[0], on=on, how="left")
    frame = frame.join(calls.select(*on, judge_calls="value"), on=on, how="left")
    alone = pl.col("method").is_in(["all", "preferences"])
    order = {name: i for i, name in enumerate(_NAMES)}
    frame = frame.sort(pl.col("method").replace_strict(order, default=99), "k")
    return frame.select(
        pl.col("method").replace_strict(_NAMES, default=pl.col("method")).alias("way"),
        pl.when(alone).then(None).otherwise(pl.col("k")).alias("k"),
        *(f"{name}{end}" for name in ("label", "reward") for end in ("", "_low", "_high")),
        pl.col("judge_calls").round(0).cast(pl.Int64),
    )


def ways_named(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame whose column ``method`` has become ``way``, in words; levels and bases are named too."""
    words = [pl.col("method").replace_strict(_NAMES, default=pl.col("method")).alias("way")]
    levels = [c for c in ("level", "base") if c in frame.columns]
    words += [pl.col(c).replace_strict(_LEVELS, default=pl.col(c)) for c in levels]
    return frame.with_columns(words).drop("method")


def choice_findings(means: pl.DataFrame, gains: pl.DataFrame) -> str:
    """What the way to choose rules is worth, in sentences.

    Parameters
    ----------
    means
        As for `ablation_table`.
    gains
        Differences to all rules, by ``method`` and ``k``, as `rulekit.runs.compare` gives them.

    Returns
    -------
    Markdown.
    """
    said = []
    for metric, what in ((LABEL, "Labels"), (REWARD, "Reward models on prompts not seen")):
        own = means.filter((pl.col("metric") == metric) & (pl.col("method") != "preferences"))
        if own.is_empty():
            continue
        best = own.sort("value").row(-1, named=True)
        said.append(
            f"{what}: highest with {_way(best)}, {with_interval(best)} of "
            f"{best['pairs']:,} pairs of {best['prompts']:,} prompts."
        )
        rows = gains.filter((pl.col("metric") == metric) & (pl.col("method") != "preferences"))
        tests = max(1, len(rows))
        above = [r for r in rows.iter_rows(named=True) if verdict(r, tests) > 0]
        below = [r for r in rows.iter_rows(named=True) if verdict(r, tests) < 0]
        said.append(
            f"Against all rules, equally: of {len(rows)} choices {_few(above)} above beyond chance and "
            f"{_few(below)} below (p times {tests}); of the others it cannot be told."
        )
        ceiling = means.filter((pl.col("metric") == metric) & (pl.col("method") == "preferences"))
        if len(ceiling):
            told = with_interval(ceiling.row(0, named=True))
            said.append(
                f"A model that learns from the known preferences themselves reaches {told}."
            )
    return listed(said)


def factor_findings(name: str, gains: pl.DataFrame) -> str:
    """What one factor changes: a sentence for each difference beyond chance, one for all others.

    Parameters
    ----------
    name
        What it is called, such as ``known preferences``.
    gains
        Differences paired by seed and pair: ``way``, ``k``, ``level``, ``base``, ``metric``,
        ``value``, ``low``, ``high``, ``p_value``, ``pairs``.

    Returns
    -------
    Markdown; empty without differences.
    """
    rows = list(gains.iter_rows(named=True))
    told = [row for row in rows if verdict(row, len(rows))]
    said = []
    for row in told:
        what = "labels" if row["metric"] == LABEL else "the reward model"
        side = "more" if row["value"] > 0 else "less"
        said.append(
            f"{capital(name)} {row['level']} instead of {row['base']}, with {_rules(row)}: {what} "
            f"{side} often right, {signed_points(row)} on {row['pairs']:,} pairs."
        )
    if rest := len(rows) - len(told):
        widest = max((r["high"] - r["low"] for r in rows if r not in told), default=0.0)
        said.append(
            f"{capital(name)}: {'all' if not told else 'the other'} {rest} differences cannot be told "
            f"from chance (p times {len(rows)}; the widest interval has {100 * widest:.0f} points)."
        )
    return listed(said)


def _rules(row: dict) -> str:
    return row["way"] if row["way"] in _ALONE else f"{row['way']}, k = {row['k']}"


def cost_findings(table: pl.DataFrame) -> str:
    """What the ways cost, in a sentence.

    Parameters
    ----------
    table
        From `ablation_table`.
    """
    rated = table.filter(pl.col("judge_calls") > 0).drop_nulls("label")
    if rated.is_empty():
        return ""
    most = rated["judge_calls"].max()
    full = rated.filter(pl.col("judge_calls") == most).sort("label").row(-1, named=True)
    cheap = rated.filter(pl.col("judge_calls") <= most / 4).sort("label")
    said = [
        f"All ratings of the training pairs are {most:,} judge calls; the best labels for them are "
        f"right on {percent(full['label'])} ({full['way']})."
    ]
    if len(cheap):
        best = cheap.row(-1, named=True)
        said.append(
            f"With a quarter of the calls or fewer the best are right on {percent(best['label'])} "
            f"({best['way']}, k = {best['k']}, {best['judge_calls']:,} calls)."
        )
    return listed(said)


def _way(row: dict) -> str:
    name = _NAMES.get(row["method"], row["method"])
    return name if row["method"] in ("all", "preferences") else f"{name}, k = {row['k']}"


def _few(rows: list[dict], most: int = 4) -> str:
    if not rows:
        return "none stands"
    names = "; ".join(_way(row) for row in rows[:most])
    more = f"; {len(rows) - most} more" if len(rows) > most else ""
    return f"{len(rows)} ({names}{more}) stand{'s' if len(rows) == 1 else ''}"

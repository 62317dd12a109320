"""Two runs held against each other: what changed in parameters, figures and labels of the same pairs.

Runs come in, a `TwoRuns` goes out, which has frames alone; `means` does many runs. `rulekit compare`
and the run browser show it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.measures import mean_accuracy, mean_difference
from rulekit.runs.by_pair import outcomes
from rulekit.runs.found import RunFolder, read_run
from rulekit.runs.run_table import FIXED, table

_ENDS = re.compile(r"(^|[._])(low|high|p|q|p_value)$")  # they belong to another figure
_TIMES = ("seconds", "peak_memory", "judge_calls", "judge_cost")


@dataclass(frozen=True, eq=False)
class TwoRuns:
    """What differs between two runs.

    Attributes
    ----------
    names
        Of the runs.
    parameters
        A row a parameter, version or file that differs: ``name``, ``first``, ``second``, as text.
    figures
        A row a number that differs: ``name``, ``first``, ``second``, ``difference`` (second less
        first; null where one of them is missing); those of both runs first. Ends of intervals are
        left out. A difference of figures has no interval: see `accuracy`.
    accuracy
        A row an artefact with margins that both runs have: ``name``, ``pairs`` in both, ``changed``
        (whose label is another), ``n`` with a known preference, ``prompts``, ``first``, ``second``
        (accuracies on these), ``difference`` with its interval ``low``, ``high`` by prompt, and
        ``p_value``; null where no preference is known.
    pairs
        Artefact → the pairs whose label is another: ``pair_id``, ``prompt``, ``first``, ``second``
        (margins), ``known``, ``better`` (the run that is right; empty where neither or it is not
        known), the largest move first.
    """

    names: tuple[str, str]
    parameters: pl.DataFrame
    figures: pl.DataFrame
    accuracy: pl.DataFrame
    pairs: dict[str, pl.DataFrame]

    def frame(self) -> pl.DataFrame:
        """All that differs as one frame.

        Returns
        -------
        ``kind`` (accuracy, figure, parameter), ``name``, ``first`` and ``second`` as text,
        ``difference``, ``low``, ``high``, ``p_value``.
        """
        columns = ("kind", "name", "first", "second", "difference", "low", "high", "p_value")
        parts = [
            self.accuracy.with_columns(
                kind=pl.lit("accuracy"), name="accuracy of " + pl.col("name")
            ),
            self.figures.with_columns(kind=pl.lit("figure")),
            self.parameters.with_columns(kind=pl.lit("parameter")),
        ]
        texts = [p.with_columns(pl.col("first", "second").cast(pl.String)) for p in parts]
        return pl.concat(texts, how="diagonal").select(columns)


def compare_two(first: str | Path | RunFolder, second: str | Path | RunFolder) -> TwoRuns:
    """Hold a run against another, by pair where both have margins.

    Parameters
    ----------
    first, second
        Folders of runs.

    Raises
    ------
    ValueError
        If a folder is no run.
    """
    runs = [one if isinstance(one, RunFolder) else read_run(one) for one in (first, second)]
    both = table([run.folder for run in runs])
    if len(both) == 1:
        raise ValueError(f"{runs[0].folder} against itself; allowed: two runs")
    by_folder = {row["folder"]: row for row in both.iter_rows(named=True)}
    rows = [by_folder[str(run.folder)] for run in runs]
    columns = [c for c in both.columns if c not in FIXED or c in ("status", *_TIMES)]
    figures = [c for c in columns if "." in c and _is_figure(c, runs)] + list(_TIMES)
    differing = [c for c in columns if rows[0][c] != rows[1][c]]
    accuracy, pairs = _by_pair(runs)
    return TwoRuns(
        (runs[0].name, runs[1].name),
        _texts(rows, [c for c in differing if c not in figures]),
        _numbers(rows, [c for c in figures if c in differing]),
        accuracy,
        pairs,
    )


def _is_figure(column: str, runs: list[RunFolder]) -> bool:
    return any(column.startswith(f"{step}.") for run in runs for step in run.metrics) and not any(
        column == f"{step}.{name}" for run in runs for step in run.steps for name in run.parameters
    )


def _texts(rows: list[dict], columns: list[str]) -> pl.DataFrame:
    told = [(c, *(None if row[c] is None else str(row[c]) for row in rows)) for c in columns]
    return pl.DataFrame(told, schema=["name", "first", "second"], orient="row").cast(pl.String)


def _numbers(rows: list[dict], columns: list[str]) -> pl.DataFrame:
    """Figures that are numbers; the others, such as a hash, have no difference and are left out."""
    found = []
    for c in (c for c in columns if not _ENDS.search(c)):
        pair = [row[c] for row in rows]
        if all(v is None or isinstance(v, int | float) for v in pair):
            found.append((c, *pair, None if None in pair else float(pair[1] - pair[0])))
    kinds = {"name": pl.String} | dict.fromkeys(("first", "second", "difference"), pl.Float64)
    frame = pl.DataFrame(found, schema=kinds, orient="row", strict=False)
    spent = pl.col("name").str.contains(r"(^|\.)(seconds|peak_memory)$")
    return frame.sort(pl.col("difference").is_null(), spent, maintain_order=True)


_KINDS = {
    "name": pl.String,
    "pairs": pl.Int64,
    "changed": pl.Int64,
    "n": pl.Int64,
    "prompts": pl.Int64,
    **dict.fromkeys(("first", "second", "difference", "low", "high", "p_value"), pl.Float64),
}


def _by_pair(runs: list[RunFolder]) -> tuple[pl.DataFrame, dict[str, pl.DataFrame]]:
    a, b = map(outcomes, runs)
    rows, moved = [], {}
    for name in [n for n in a if n in b]:
        joined = joined_outcomes(a[name], b[name])
        if joined.is_empty():
            continue
        changed = joined.filter(pl.col("first").sign() != pl.col("second").sign())
        row = {"name": name, "pairs": len(joined), "changed": len(changed)}
        rows.append(row | _difference(joined))
        right = [pl.col(side).sign() == pl.col("known") for side in ("first", "second")]
        better = (
            pl.when(right[0] & ~right[1])
            .then(pl.lit(runs[0].name))
            .when(right[1] & ~right[0])
            .then(pl.lit(runs[1].name))
        )
        moved[name] = (
            changed.with_columns(better=better.otherwise(pl.lit("")).fill_null(""))
            .sort((pl.col("first") - pl.col("second")).abs(), descending=True)
            .select("pair_id", "prompt", "first", "second", "known", "better")
        )
    return pl.DataFrame(rows, schema=_KINDS), moved


def joined_outcomes(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Outcomes of two runs on the pairs that both have.

    Parameters
    ----------
    first, second
        Frames of `outcomes`; a pair that stands there several times is left out.

    Returns
    -------
    ``pair_id``, ``prompt``, ``first``, ``second`` (margins), ``known``.
    """
    one, two = (f.filter(pl.col("pair_id").is_unique()) for f in (first, second))
    return one.select("pair_id", "prompt", "known", first="margin").join(
        two.select("pair_id", second="margin"), on="pair_id", maintain_order="left"
    )[["pair_id", "prompt", "first", "second", "known"]]


def rightness(margin: pl.Series, known: pl.Series) -> np.ndarray:
    """How right each margin is: 1, ½ for a tie, 0, (n,).

    Parameters
    ----------
    margin, known
        (n,), the known preference +1 or -1.
    """
    return (np.sign(margin.to_numpy()) * known.to_numpy() + 1) / 2


def _difference(joined: pl.DataFrame) -> dict[str, object]:
    told = joined.filter((pl.col("known").abs() == 1) & pl.col("prompt").is_not_null())
    told = told.filter(pl.col("first").is_not_nan() & pl.col("second").is_not_nan())
    if told.is_empty():
        return {"n": 0, "prompts": 0}
    groups = told["prompt"].to_list()
    one, two = (rightness(told[side], told["known"]) for side in ("first", "second"))
    gain = mean_difference(two - one, groups)
    return {
        "n": gain.n,
        "prompts": gain.n_groups,
        "first": mean_accuracy(one, groups).value,
        "second": mean_accuracy(two, groups).value,
        "difference": gain.value,
        "low": gain.low,
        "high": gain.high,
        "p_value": gain.p_value,
    }

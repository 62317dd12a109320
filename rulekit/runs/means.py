"""Many runs by what varies between them: means with intervals, and differences paired run by run.

Folders and the names of columns come in, a `ManyRuns` goes out, which has frames alone. `rulekit
compare` and the notebook of ablations show it; `comparison` looks at two runs closely.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.measures import mean_difference, mean_interval
from rulekit.runs.by_pair import outcomes
from rulekit.runs.comparison import rightness
from rulekit.runs.found import DONE, RunFolder, find_runs
from rulekit.runs.run_table import parameters_in, table

PAIRED = "accuracy of "  # what is measured by pair, by the name of the artefact
_SEED = "seed"
_FEW = 6  # figures that are shown where none is asked for


@dataclass(frozen=True, eq=False)
class ManyRuns:
    """Runs by group.

    Attributes
    ----------
    by
        Parameters whose values make the groups.
    varying
        Parameters that vary among the runs.
    runs
        A row a run: ``run``, the varying parameters, the figures.
    means
        A row a group and figure: the parameters of `by`, ``metric``, ``runs``, ``value`` (mean),
        ``low``, ``high`` (95 %), ``pairs`` and ``prompts`` (null where the figure is not measured by
        pair), ``spread`` (standard deviation between runs).
    differences
        The same for the difference to the group `against`, paired by every other parameter that
        varies, the seed among them, and by pair where there are any: ``value``, ``low``, ``high``,
        ``runs`` (paired), ``pairs``, ``prompts``, ``changed`` (outcomes that are another), ``p_value``;
        no row without `against`.
    """

    by: tuple[str, ...]
    varying: tuple[str, ...]
    runs: pl.DataFrame
    means: pl.DataFrame
    differences: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """Means with their differences beside, for a file or a page."""
        if self.differences.is_empty():
            return self.means
        kept = {"value": "difference", "low": "difference_low", "high": "difference_high"}
        beside = self.differences.select(*self.by, "metric", *kept, "p_value").rename(kept)
        on = [*self.by, "metric"]
        return self.means.join(beside, on=on, how="left", nulls_equal=True, maintain_order="left")


def compare(
    folders: str | Path | Iterable[str | Path] = "runs",
    *,
    by: Sequence[str] = (),
    metrics: Sequence[str] = (),
    against: Mapping[str, object] | Sequence[object] | None = None,
    where: Mapping[str, object] | None = None,
) -> ManyRuns:
    """Group runs by parameters; each group has the means of its runs, with intervals.

    Parameters
    ----------
    folders
        Each a run, a sweep, or a folder of runs and sweeps; or one of them. Only runs that are done
        count.
    by
        Parameters that make the groups; none: all that vary but the seed.
    metrics
        Figures: names of columns of `table`, patterns with ``*``, or parts of names. What every run
        has by pair, such as labels, is a figure too: ``accuracy of`` the artefact's name. None: those
        by pair, or else the first figures that vary.
    against
        Values of the parameters of `by` of one group that the others are compared with, by name or in
        the order of `by`; None: no differences.
    where
        Parameter → the value that runs must have to count.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If no run in one of them is done; for a parameter or a figure that there is not, and an
        `against` that is no group.

    Notes
    -----
    The interval of what is measured by pair allows for pairs of one prompt being alike, those of
    several seeds too (`rulekit.measures.mean_interval`). That of another figure is Student's over the
    runs of the group, which knows nothing of the pairs: with one run there is none.
    """
    found = [run for run in find_runs(folders) if run.status == DONE]
    if not found:
        raise ValueError(f"no run of {folders} is done")
    frame = table([run.folder for run in found])
    parameters = parameters_in(found)
    if where:
        frame = _only(frame, where)
        found = [run for run in found if str(run.folder) in set(frame["folder"])]
    varying = _varying(frame, parameters)
    by = tuple(by) or tuple(name for name in varying if name != _SEED)
    for name in by:
        if name not in frame.columns:
            allowed = ", ".join(varying) or "none, all runs have the same parameters"
            raise ValueError(f"no parameter {name!r}; allowed: {allowed}")
    by_pair = {run.folder: outcomes(run) for run in found}
    measured = _chosen(frame, by_pair, metrics)
    keys = [name for name in varying if name not in by]
    rows = _by_run(frame, found, by_pair, measured, [*by, *keys])
    groups = rows.select(by).unique(maintain_order=True).sort(by, nulls_last=True) if by else None
    means, differences = [], []
    base = None if against is None else _group(by, against, rows)
    for group in [()] if groups is None else groups.iter_rows():
        own = _of(rows, by, group)
        for metric in measured:
            about = dict(zip(by, group, strict=True)) | {"metric": metric}
            if (one := _mean(own, metric)) is not None:
                means.append(about | one)
            if base is not None and group != base:
                two = _paired(own, _of(rows, by, base), metric, keys)
                differences += [about | two] if two is not None else []
    kinds = {name: rows.schema[name] for name in by} | {"metric": pl.String}
    return ManyRuns(
        by,
        tuple(varying),
        rows.drop([c for c in rows.columns if c.startswith(_HELD)]),
        pl.DataFrame(means, schema=kinds | _MEAN),
        pl.DataFrame(differences, schema=kinds | _DIFFERENCE),
    )


_HELD = "\0"  # columns of frames of outcomes, which are not shown
_MEAN = {"runs": pl.Int64, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
_MEAN |= {"pairs": pl.Int64, "prompts": pl.Int64, "spread": pl.Float64}
_DIFFERENCE = {"runs": pl.Int64, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
_DIFFERENCE |= dict.fromkeys(("pairs", "prompts", "changed"), pl.Int64) | {"p_value": pl.Float64}


def one_factor(
    folders: str | Path | Iterable[str | Path],
    name: str,
    base: Mapping[str, object],
    *,
    ways: Sequence[str],
    metrics: Sequence[str] = (),
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What one parameter changes while the others stay at their base, way by way.

    Parameters
    ----------
    folders
        Each a run, a sweep, or a folder of runs and sweeps; or one of them.
    name
        The parameter.
    base
        The value of every parameter that varies, but for the seed and those that make the ways.
    ways
        Parameters whose values are looked at apart, such as ``("method", "k")``.
    metrics
        As for `compare`.

    Returns
    -------
    Means and differences to the base as `ManyRuns` has them, with the columns of `ways` and ``level``
    in place of the parameter; differences with ``base`` too. No row for a way that was run at one
    level alone.
    """
    fixed = {key: value for key, value in base.items() if key != name}
    whole = _only(table(folders), fixed)
    means, differences = [], []
    if name in whole.columns:
        there = whole.select(*ways, name).unique().group_by(ways).len().filter(pl.col("len") > 1)
        for way in there.sort(ways).select(ways).iter_rows(named=True):
            found = compare(
                folders, by=(name,), metrics=metrics, against=(base[name],), where={**fixed, **way}
            )
            here = [pl.lit(value).alias(key) for key, value in way.items()]
            level = pl.col(name).cast(pl.String).alias("level")
            means.append(found.means.select(*here, level, pl.exclude(name)))
            told = pl.lit(str(base[name])).alias("base")
            differences.append(found.differences.select(*here, level, told, pl.exclude(name)))
    return tuple(
        pl.concat(some, how="vertical_relaxed") if some else pl.DataFrame()
        for some in (means, differences)
    )


def _only(frame: pl.DataFrame, where: Mapping[str, object]) -> pl.DataFrame:
    """The runs that have these values; a number as text counts as the number."""
    for name, value in where.items():
        if name not in frame.columns:
            raise ValueError(f"no parameter {name!r}; allowed: names of columns of the table")
        kept = frame.filter(pl.col(name).cast(pl.String) == str(value))
        if kept.is_empty():
            there = ", ".join(map(str, frame[name].unique().sort().head(8)))
            raise ValueError(f"no run with {name} {value!r}; allowed: {there}")
        frame = kept
    return frame


def _varying(frame: pl.DataFrame, parameters: list[str]) -> list[str]:
    return [p for p in parameters if p in frame.columns and frame[p].n_unique() > 1]


def _chosen(frame: pl.DataFrame, by_pair: dict, wanted: Sequence[str]) -> list[str]:
    """The figures to show, those by pair first."""
    paired = dict.fromkeys(f"{PAIRED}{name}" for some in by_pair.values() for name in some)
    numbers = [c for c in frame.columns if frame.schema[c].is_numeric()]
    if not wanted:
        if paired:
            return list(paired)
        few = [c for c in numbers if "." in c and frame[c].n_unique() > 1]
        return few[:_FEW] or numbers[:_FEW]
    found: dict[str, None] = {}
    for word in wanted:
        names = [*paired, *numbers]
        fits = [n for n in names if n == word] or [n for n in names if fnmatchcase(n, word)]
        fits = fits or [n for n in names if word in n]
        if not fits:
            allowed = ", ".join(names[:8])
            raise ValueError(
                f"no figure {word!r}; allowed: such as {allowed} ({len(names)} in all)"
            )
        found |= dict.fromkeys(fits)
    return list(found)


def _by_run(
    frame: pl.DataFrame,
    found: list[RunFolder],
    by_pair: dict,
    measured: list[str],
    parameters: list[str],
) -> pl.DataFrame:
    """A row a run, its outcomes by pair beside."""
    plain = [c for c in measured if not c.startswith(PAIRED)]
    rows = frame.select(list(dict.fromkeys(["run", *parameters, *plain])))
    for metric in (c for c in measured if c.startswith(PAIRED)):
        held = [_counted(by_pair[run.folder].get(metric.removeprefix(PAIRED))) for run in found]
        shares = [None if h is None else float(h["right"].mean()) for h in held]
        rows = rows.with_columns(
            pl.Series(metric, shares, dtype=pl.Float64),
            pl.Series(_HELD + metric, held, dtype=pl.Object),
        )
    return rows


def _counted(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    """The pairs that count: ``pair_id``, ``prompt``, ``right``; None without any."""
    if frame is None:
        return None
    told = frame.filter((pl.col("known").abs() == 1) & pl.col("prompt").is_not_null())
    told = told.filter(pl.col("margin").is_not_nan() & pl.col("margin").is_not_null())
    if told.is_empty():
        return None
    right = pl.Series("right", rightness(told["margin"], told["known"]))
    return told.select("pair_id", "prompt", right)


def _group(by: tuple[str, ...], against, rows: pl.DataFrame) -> tuple:
    given = [against.get(n) for n in by] if isinstance(against, dict) else list(against)
    there = rows.select(by).unique(maintain_order=True).rows()
    texts = {tuple(map(str, group)): group for group in there}
    if tuple(map(str, given)) not in texts:
        listed = "; ".join(", ".join(map(str, group)) for group in there[:8])
        raise ValueError(f"against is {', '.join(map(str, given))}; allowed: {listed}")
    return texts[tuple(map(str, given))]


def _of(rows: pl.DataFrame, by: tuple[str, ...], group: tuple) -> pl.DataFrame:
    if not by:
        return rows
    same = [pl.col(n).eq_missing(pl.lit(v)) for n, v in zip(by, group, strict=True)]
    return rows.filter(same)


def _mean(rows: pl.DataFrame, metric: str) -> dict | None:
    values = rows[metric].drop_nulls().cast(pl.Float64)
    values = values.filter(values.is_finite())
    if values.is_empty():
        return None
    row = {"runs": len(values), "value": float(values.mean()), "spread": values.std()}
    held = _HELD + metric
    if held in rows.columns:
        every = pl.concat([h for h in rows[held] if h is not None])
        low, high = mean_interval(
            every["right"].to_numpy(), every["prompt"].to_list(), bounds=(0, 1)
        )
        sizes = {"pairs": every["pair_id"].n_unique(), "prompts": every["prompt"].n_unique()}
        return row | sizes | {"value": float(every["right"].mean()), "low": low, "high": high}
    low, high = mean_interval(values.to_numpy()) if len(values) > 1 else (None, None)
    return row | {"low": low, "high": high}


def _paired(own: pl.DataFrame, base: pl.DataFrame, metric: str, keys: list[str]) -> dict | None:
    """The difference of runs that have all else in common."""
    one, two = (_keyed(rows, metric, keys) for rows in (own, base))
    both = [key for key in one if key in two]
    if not both:
        return None
    if _HELD + metric in own.columns:
        joined = [one[k].join(two[k], on="pair_id", suffix="_base") for k in both]
        every = pl.concat(joined)
        if every.is_empty():
            return None
        moved = (every["right"] - every["right_base"]).to_numpy()
        gain = mean_difference(moved, every["prompt"].to_list())
        told = {name: getattr(gain, name) for name in ("value", "low", "high", "p_value")}
        sizes = {"pairs": every["pair_id"].n_unique(), "prompts": gain.n_groups}
        return {"runs": len(both), **told, **sizes, "changed": int(np.count_nonzero(moved))}
    gains = np.array([one[k] - two[k] for k in both])
    low, high = mean_interval(gains) if len(gains) > 1 else (None, None)
    return {"runs": len(both), "value": float(gains.mean()), "low": low, "high": high}


def _keyed(rows: pl.DataFrame, metric: str, keys: list[str]) -> dict[tuple, object]:
    """What each run has, by the parameters that it is paired by; runs alike but for others are left out."""
    held = _HELD + metric
    values = rows[held if held in rows.columns else metric].to_list()
    found: dict[tuple, object] = {}
    twice = set()
    for key, value in zip(
        rows.select(keys).rows() if keys else [()] * len(rows), values, strict=True
    ):
        if key in found:
            twice.add(key)
        if value is not None:
            found[key] = value
    return {key: value for key, value in found.items() if key not in twice}

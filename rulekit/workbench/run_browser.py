"""The run browser without its controls: folders of runs and a state come in, frames and views go out.

`run_browser_widget` draws them. What a run holds and what changed between two, `rulekit.runs` says.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import polars as pl
from great_tables import GT

from rulekit import runs
from rulekit.plots import intervals
from rulekit.tables import table
from rulekit.workbench.filters import Filter, kept

PAGE = 100
SHOWN = 10  # figures, and pairs, that a picture shows
_KEPT = 8
_FEW = 3  # figures that the list has where none is named
_FIRST = ("run", "sweep", "recipe", "status", "started", "seconds", "judge_calls")
NAMES = {
    "judge_calls": "judge calls",
    "pair_id": "pair",
    "p_value": "p",
    "changed": "labels changed",
}


@dataclass(frozen=True)
class RunState:
    """What is chosen in the run browser.

    Attributes
    ----------
    first, second
        Folders of the two runs that are compared; empty: none.
    shown
        Folder of the run whose parameters and figures are shown; empty: the first of the list.
    artefact
        Whose pairs are shown, of those that both runs have; empty: the first.
    sort, descending
        Column that the list is sorted by.
    search
        Text that any cell holds.
    filters
        All of which have to hold.
    page
        Of the list, from 0.
    """

    first: str = ""
    second: str = ""
    shown: str = ""
    artefact: str = ""
    sort: str = "started"
    descending: bool = True
    search: str = ""
    filters: tuple[Filter, ...] = ()
    page: int = 0


class RunList:
    """The runs in some folders, read again when asked.

    Parameters
    ----------
    folders
        Each a run, a sweep, or a folder of them; one that is not there, or is empty, has no runs yet.
    metrics
        Figures that the list shows: names of columns of `rulekit.runs.table`, or patterns with
        ``*``; none: the first few that vary.
    """

    def __init__(
        self, folders: str | Path | Iterable[str | Path], metrics: Sequence[str] = ()
    ) -> None:
        given = [folders] if isinstance(folders, str | Path) else folders
        self.folders, self.metrics = [Path(one) for one in given], tuple(metrics)
        self._twos: OrderedDict[tuple, runs.TwoRuns] = OrderedDict()
        self.read()

    def read(self) -> None:
        """Look what runs there are by now."""
        self.runs: dict[str, runs.RunFolder] = {}
        for folder in self.folders:
            try:
                found = runs.find_runs(folder)
            except (FileNotFoundError, ValueError):  # nothing there yet
                continue
            self.runs |= {str(run.folder): run for run in found}
        self.whole = runs.table(self.runs) if self.runs else pl.DataFrame()
        self._twos.clear()

    @property
    def columns(self) -> list[str]:
        """Columns that the list shows: what varies among parameters, then figures."""
        if not self.runs:
            return []
        frame = self.whole
        parameters = [c for c in runs.parameters_in(self.runs.values()) if c in frame.columns]
        first = [c for c in _FIRST if frame[c].null_count() < len(frame)]
        first = [c for c in first if c not in ("sweep", "recipe") or frame[c].n_unique() > 1]
        varying = [c for c in parameters if frame[c].drop_nulls().n_unique() > 1 and c not in first]
        return [*first, *varying, *(c for c in self._figures(parameters) if c not in first)]

    def _figures(self, parameters: list[str]) -> list[str]:
        frame = self.whole
        numbers = [c for c in frame.columns if "." in c and frame.schema[c].is_numeric()]
        numbers = [c for c in numbers if c not in parameters]
        if self.metrics:
            return [c for c in numbers if any(fnmatchcase(c, m) or m in c for m in self.metrics)]
        telling = [c for c in numbers if c.endswith(".value") and frame[c].n_unique() > 1]
        return telling[:_FEW]

    def rows(self, state: RunState) -> pl.DataFrame:
        """The list: its columns, and ``folder``, which is the key of a run; missing values come last."""
        if not self.runs:
            return pl.DataFrame(schema={"folder": pl.String, "run": pl.String})
        self.check(state)
        frame = self.whole
        keep = kept(frame.with_columns(pl.col("started").cast(pl.String)), state.filters)
        if words := state.search.strip().lower():
            text = frame.select(pl.col(self.columns).cast(pl.String).fill_null(""))
            joined = text.select(pl.concat_str(pl.all(), separator="\n").str.to_lowercase())
            keep &= joined.to_series().str.contains(words, literal=True)
        some = frame.filter(keep).sort(
            state.sort, descending=state.descending, nulls_last=True, maintain_order=True
        )
        return some.select("folder", *self.columns).with_columns(
            pl.col("started").dt.strftime("%Y-%m-%d %H:%M:%S")
        )

    def check(self, state: RunState) -> None:
        """Refuse what these runs do not allow.

        Parameters
        ----------
        state
            To be shown.

        Raises
        ------
        ValueError
            Naming what is wrong with it, and what is allowed.
        """
        for name in (state.first, state.second, state.shown):
            if name and name not in self.runs:
                raise ValueError(f"no run {name!r}; allowed: folders of the {len(self.runs)} runs")
        if state.first and state.first == state.second:
            raise ValueError(f"{state.first} beside itself; allowed: two runs")
        if self.runs and state.sort not in self.whole.columns:
            raise ValueError(f"sort is {state.sort!r}; allowed: {', '.join(self.columns)}")

    def two(self, state: RunState) -> runs.TwoRuns | None:
        """What changed between the two runs; None before two are chosen."""
        if not (state.first and state.second):
            return None
        key = (state.first, state.second)
        if key not in self._twos:
            self._twos[key] = runs.compare_two(self.runs[state.first], self.runs[state.second])
            if len(self._twos) > _KEPT:
                self._twos.popitem(last=False)
        return self._twos[key]

    def details(self, folder: str) -> pl.DataFrame:
        """All that one run tells: ``kind`` (run, parameter, figure, provenance), ``name``, ``value``.

        Parameters
        ----------
        folder
            Key of the run.
        """
        row = self.whole.filter(pl.col("folder") == folder).row(0, named=True)
        parameters = set(runs.parameters_in([self.runs[folder]]))
        told = []
        for name, value in row.items():
            if value is None or value == "":
                continue
            kind = "figure"
            if name in runs.FIXED:
                kind = "run"
            elif name in parameters or name.startswith("parameter."):
                kind = "parameter"
            elif name == "commit" or name.startswith(("version.", "data.")):
                kind = "provenance"
            told.append((kind, name, f"{value:.4g}" if isinstance(value, float) else str(value)))
        return pl.DataFrame(told, schema=["kind", "name", "value"], orient="row").cast(pl.String)


def difference_table(two: runs.TwoRuns) -> GT:
    """Accuracies of two runs on the same pairs, and their difference with its interval."""
    frame = two.accuracy.drop("p_value")
    return table(
        frame,
        f"{two.names[1]} against {two.names[0]}, on the same pairs",
        percent=["first", "second", "difference", "low", "high"],
        signed=["difference", "low", "high"],
        names={"low": "from", "high": "to (95 %)", "changed": "labels changed"},
        mark=(pl.col("low") > 0) | (pl.col("high") < 0),
        note="Differences are paired by pair, intervals by prompt; bold where 0 is outside.",
    )


def two_views(two: runs.TwoRuns, artefact: str = "") -> list[object]:
    """Two runs side by side: only what changed.

    Parameters
    ----------
    two
        From `rulekit.runs.compare_two`.
    artefact
        Whose pairs are shown; empty: the first whose labels changed.
    """
    parts: list[object] = []
    if len(two.parameters):
        names = {"first": two.names[0], "second": two.names[1]}
        parts.append(table(two.parameters, "What was run, where it differs", names=names))
    told = two.accuracy.filter(pl.col("n") > 0)
    if len(told):
        parts.append(difference_table(two))
        moved = told.filter(pl.col("changed") > 0)
        if len(moved):
            chart = moved.select("name", "low", "high", value="difference")
            best = moved.row(moved["difference"].abs().arg_max(), named=True)
            title = f"{best['name']}: {100 * best['difference']:+.1f} points".replace("-", "−")
            parts.append(intervals(chart, title, "difference of accuracy, 95 % interval"))
    name = artefact or next((n for n, pairs in two.pairs.items() if len(pairs)), "")
    if name and len(two.pairs.get(name, ())):
        pairs = two.pairs[name].drop("prompt")
        parts.append(
            table(
                pairs.head(SHOWN),
                f"{name}: {len(pairs):,} pairs have another label",
                names={"pair_id": "pair", "first": "margin, first", "second": "margin, second"},
                signed=["first", "second"],
                note=f"{min(SHOWN, len(pairs))} of them, the largest move first.",
            )
        )
    if len(two.figures):
        few = (
            two.figures.head(SHOWN)
            .with_columns(
                pl.col(c).map_elements(lambda v: f"{v:.4g}", pl.String) for c in ("first", "second")
            )
            .with_columns(
                pl.col("difference").map_elements(
                    lambda v: f"{v:+.3g}".replace("-", "−"), pl.String
                )
            )
        )
        note = f"{len(few)} of {len(two.figures)}. A figure alone does not say how sure its difference is."
        parts.append(table(few, "Figures that differ", note=note))
    return parts

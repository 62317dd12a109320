"""The run browser's controls: runs in a table, two of them side by side, a sweep started and watched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

import ipywidgets as w
import polars as pl

from rulekit import runs as kept_runs
from rulekit.tables import table, text_html
from rulekit.workbench.controls import Grid, Tool, as_html, debounced
from rulekit.workbench.filters import COMPARISONS, Filter
from rulekit.workbench.run_browser import NAMES, PAGE, RunList, RunState, two_views
from rulekit.workbench.sweep_watch import SweepWatch, state_view
from rulekit.workbench.sweep_watch_widget import SweepPanel

_EVERY = 200  # rows of a grid
_LARGEST = 8_000_000  # letters of a report that is shown inside


def runs(
    folders: str | Path | Iterable[str | Path] = "runs",
    *,
    first: str | Path = "",
    second: str | Path = "",
    metrics: Sequence[str] = (),
    sweep: str = "",
    parameters: str = "",
) -> RunBrowser:
    """Look at runs in a table, at two of them side by side, and start a sweep and watch it.

    Parameters
    ----------
    folders
        Each a run, a sweep, or a folder of runs and sweeps; or one of them. It may be empty still.
    first, second
        Folders of two runs that are compared at first.
    metrics
        Figures that the table shows: columns of `rulekit.runs.table`, parts of their names or
        patterns with ``*``.
    sweep
        Name or file of the sweep, recipe or notebook that is offered to be started; new runs go
        into the first of the folders.
    parameters
        Of that sweep, a line each, such as ``k 1,3,5``.

    Returns
    -------
    A tool whose ``state`` says what is chosen, ``data()`` what is shown, ``picture()`` how it looks
    without controls; ``start()`` starts the sweep, ``stop()`` ends it in a valid state.

    Raises
    ------
    ValueError
        For runs that are not there.
    """
    found = RunList(folders, metrics)
    state = RunState(*(str(one) if str(one) not in ("", ".") else "" for one in (first, second)))
    found.check(state)
    return RunBrowser(found, state, SweepWatch(sweep, parameters, found.folders[0]))


class RunBrowser(Tool):
    """What `runs` gives.

    Parameters
    ----------
    list
        The runs.
    state
        What is chosen.
    sweep
        The sweep that can be started.
    """

    def __init__(self, list: RunList, state: RunState, sweep: SweepWatch) -> None:
        super().__init__(state)
        self.list, self.sweep = list, sweep
        self._panel = SweepPanel(sweep, self.on, self.refresh)
        self._drawing, self._opened = False, None

    def change(self, **parts: object) -> None:
        """Choose something else, such as ``first=FOLDER, second=FOLDER``.

        Parameters
        ----------
        parts
            New values of fields of `RunState`.

        Raises
        ------
        ValueError
            For a field that it has not, or a run that is not there; the state stays.
        """
        known = {k: v for k, v in parts.items() if hasattr(self.state, k)}
        self.list.check(RunState(**{**vars(self.state), **known}))
        super().change(**parts)

    def data(self) -> dict[str, object]:
        """What is shown.

        Returns
        -------
        ``runs`` (the page of the table), ``n_runs`` (how many it holds), ``two`` (a
        `rulekit.runs.TwoRuns`; None before two are chosen), ``run`` (the folder that is looked at;
        None without runs), ``details`` (all that it tells), ``sweep`` (its state; None before one is
        started).
        """
        rows = self.list.rows(self.state)
        page = self._page(len(rows))
        run = self.state.shown or (rows["folder"][0] if len(rows) else None)
        return {
            "runs": rows[page * PAGE : (page + 1) * PAGE],
            "n_runs": len(rows),
            "two": self.list.two(self.state),
            "run": run,
            "details": None if run is None else self.list.details(run),
            "sweep": self.sweep.state(),
        }

    def _page(self, n: int) -> int:
        return min(max(self.state.page, 0), max(0, -(-n // PAGE) - 1))

    def report(self) -> Path | None:
        """The report of the run that is looked at."""
        run = self.data()["run"]
        return None if run is None else self.list.runs[run].report

    def start(self) -> Path:
        """Start the sweep in a process of its own; returns its folder."""
        return self.sweep.start()

    def stop(self) -> None:
        """End the sweep in a valid state, from which it can be resumed."""
        self.sweep.stop()

    def picture(self) -> list[object]:
        """The runs, and two of them side by side; what a sweep would do where one is named."""
        found = self.data()
        parts: list[object] = []
        if found["n_runs"]:
            listed = found["runs"].drop("folder").head(12)
            title = f"{found['n_runs']} runs, by {self.state.sort.replace('_', ' ')}"
            parts.append(table(listed, title, names=_named(listed)))
        else:
            words = f"No runs yet in {', '.join(map(str, self.list.folders))}."
            parts.append(table(pl.DataFrame({"runs": [words]}), "Runs"))
        if found["two"] is not None:
            parts += two_views(found["two"], self.state.artefact)
        elif found["details"] is not None:
            some = found["details"].filter(pl.col("kind") != "provenance").head(12)
            parts.append(table(some, f"What {Path(found['run']).name} tells"))
        if self.sweep.what:
            parts.append(state_view(found["sweep"]) if found["sweep"] else self.sweep.plan_table())
        return parts

    def controls(self) -> w.Widget:
        """The table with its switches, and four views below."""
        row = w.Layout(flex_flow="row wrap", align_items="center")
        self._search = w.Text(description="search", placeholder="in all that is listed")
        self._column = w.Dropdown(description="filter", options=self.list.columns)
        self._comparison = w.Dropdown(options=COMPARISONS, value="=", description="is")
        self._value = w.Text(description="value", placeholder="a number or a text")
        self._grid = Grid(label="runs")
        self._details, self._pairs = (
            Grid(label="what the run tells"),
            Grid(label="pairs that changed"),
        )
        self._artefact = w.Dropdown(description="labels of", layout=w.Layout(display="none"))
        self._two, self._report, self._filters = w.HTML(), w.HTML(), w.HTML()
        self._search.observe(debounced(self.on(self._searched)), "value")
        self._artefact.observe(self.on(self._of_artefact), "value")
        self._grid.on_ask(self.on(self._asked))
        self._pairs.layout.display = "none"
        self._tabs = w.Tab(
            [
                self._details,
                w.VBox([self._two, self._artefact, self._pairs]),
                w.VBox(
                    [self._button("open report", "Show its report here", self._open), self._report]
                ),
                self._panel.controls(),
            ],
            titles=["one run", "two runs", "report", "sweep"],
        )
        narrow = [self._search, self._column, self._comparison, self._value]
        buttons = [
            self._button("add filter", "Keep the runs that fulfil it", self._add_filter),
            self._button("drop filters", "Show all", lambda: self._choose(filters=(), page=0)),
            self._button("read again", "Look what runs there are by now", self.refresh),
        ]
        return w.VBox(
            [w.HBox([*narrow, *buttons], layout=row), self._filters, self._grid, self._tabs]
        )

    def _button(self, words: str, told: str, act: Callable[[], object]) -> w.Button:
        button = w.Button(description=words, tooltip=told)
        button.on_click(self.on(lambda _: act()))
        return button

    def redraw(self) -> None:
        """Show the state in the controls."""
        found, state = self.data(), self.state
        self._drawing = True
        try:
            self._search.value = state.search
            if tuple(self._column.options) != tuple(self.list.columns):
                self._column.options = self.list.columns
        finally:
            self._drawing = False
        listed, page = found["runs"], self._page(found["n_runs"])
        chosen = [one for one in (state.first, state.second) if one]
        told = listed.select("run", *(c for c in listed.columns if c not in ("run", "folder")))
        told = told.with_columns(run=_unique(listed))
        self._keys = dict(zip(told["run"], listed["folder"], strict=True))
        name_of = {folder: name for name, folder in self._keys.items()}
        self._grid.show(
            told,
            "run",
            names=NAMES,
            sort=state.sort,
            descending=state.descending,
            chosen=name_of.get(found["run"], ""),
            on=[folder in chosen for folder in listed["folder"]],
            switch="compare",
            said=f"{len(listed)} of {found['n_runs']} runs listed, {len(chosen)} of 2 to compare",
            first=page == 0,
            last=(page + 1) * PAGE >= found["n_runs"],
        )
        conditions = "; ".join(" ".join(f) for f in state.filters)
        self._filters.value = text_html(f"Filters: {conditions}") if conditions else ""
        self._draw_details(found)
        self._draw_two(found["two"])

    def _draw_details(self, found: dict) -> None:
        details = found["details"]
        if details is None:
            details = pl.DataFrame(schema=dict.fromkeys(("kind", "name", "value"), pl.String))
        self._details.show(
            details.select("name", "value", "kind").head(_EVERY),
            "name",
            said=f"{min(len(details), _EVERY)} of {len(details)} values of {found['run'] or 'no run'}",
        )
        if self._report.value and self._opened != found["run"]:
            self._report.value = ""

    def _draw_two(self, two: kept_runs.TwoRuns | None) -> None:
        if two is None:
            said = "Switch two runs on in the table to see what changed between them."
            self._two.value = f'<div role="status">{text_html(said)}</div>'
        else:
            views = two_views(two, self.state.artefact)
            self._two.value = as_html(*views) if views else text_html("Nothing differs.")
        named = [name for name, pairs in two.pairs.items() if len(pairs)] if two else []
        self._drawing = True
        try:
            self._artefact.options = named
            if named:
                self._artefact.value = (
                    self.state.artefact if self.state.artefact in named else named[0]
                )
        finally:
            self._drawing = False
        for part in (self._artefact, self._pairs):
            part.layout.display = "" if named else "none"
        if named:
            pairs = two.pairs[self._artefact.value].drop("prompt")
            few = pairs.head(_EVERY)
            said = (
                f"{len(few)} of {len(pairs):,} pairs whose label is another, the largest move first"
            )
            self._pairs.show(few, "pair_id", names=NAMES, said=said)

    def refresh(self) -> None:
        """Look what runs there are by now."""
        self.list.read()
        gone = {
            n: ""
            for n in ("first", "second", "shown")
            if getattr(self.state, n) not in self.list.runs
        }
        super().change(**gone)

    def _choose(self, **parts: object) -> None:
        if not self._drawing:
            self.change(**parts)

    def _searched(self, event: dict) -> None:
        self._choose(search=self._search.value, page=0, shown="")

    def _of_artefact(self, event: dict) -> None:
        if event["new"]:
            self._choose(artefact=event["new"])

    def _add_filter(self) -> None:
        more = Filter(self._column.value, self._comparison.value, self._value.value.strip())
        self._choose(filters=(*self.state.filters, more), page=0, shown="")

    def _asked(self, message: dict) -> None:
        state = self.state
        if "sort" in message:
            column = message["sort"]
            down = not state.descending if column == state.sort else True
            self.change(sort=column, descending=down, page=0)
        elif "switch" in message:
            self._switched(self._keys[message["switch"]], message["on"])
        elif "row" in message:
            self.change(shown=self._keys[message["row"]])
        elif "page" in message:
            self.change(page=max(0, state.page + int(message["page"])))

    def _switched(self, folder: str, on: bool) -> None:
        """Two are compared at most: a third takes the place of the second."""
        chosen = [one for one in (self.state.first, self.state.second) if one and one != folder]
        if on:
            chosen = [*chosen[:1], folder]
        first, second = [*chosen, "", ""][:2]
        self.change(first=first, second=second)
        if first and second:
            self._tabs.selected_index = 1

    def _open(self) -> None:
        run = self.data()["run"]
        path = self.report()
        if path is None:
            raise ValueError(f"no report of {run or 'no run'}; allowed: a run that is done")
        page = path.read_text(encoding="utf-8")
        self._opened = run
        if len(page) > _LARGEST:
            self._report.value = text_html(f"{path} is too large to be shown here")
            return
        # srcdoc needs no server that knows the file, and sandbox lets nothing in it act
        self._report.value = (
            f"<p>{text_html(path)}</p>"
            f'<iframe title="report of {escape(Path(run).name, quote=True)}" sandbox="" '
            f'srcdoc="{escape(page, quote=True)}" style="width: 100%; height: 640px; border: 1px solid; '
            'background: white"></iframe>'
        )


def _unique(rows: pl.DataFrame) -> pl.Series:
    """Names of runs, with their sweep or folder where two are called the same."""
    twice = set(rows.filter(rows["run"].is_duplicated())["run"])
    names = [
        name if name not in twice else "/".join(Path(folder).parts[-3:])
        for name, folder in rows.select("run", "folder").iter_rows()
    ]
    return pl.Series("run", names, dtype=pl.String)


def _named(frame: pl.DataFrame) -> dict[str, str]:
    return {c: name for c, name in NAMES.items() if c in frame.columns}

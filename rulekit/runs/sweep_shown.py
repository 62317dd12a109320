"""How a sweep goes, for whoever watches: one line with the time left, and a live table in a notebook.

`sweeping` tells it what happens.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rulekit.files import watched
from rulekit.runs.sweep_plan import Plan, PlannedRun, seconds_before
from rulekit.runs.sweep_progress import duration, seconds_left, seconds_of, sweep_state

_OFTEN, _SELDOM = 1.0, 30.0  # seconds between two lines: on a terminal, and where nobody watches
_ROWS = 30  # of the live table


class Shown:
    """The line and the table of a sweep.

    Parameters
    ----------
    folder, plan
        Of the sweep.
    runs
        Those of the plan that are carried out here.
    say
        Takes a line that stays.
    """

    def __init__(
        self, folder: Path, plan: Plan, runs: Sequence[PlannedRun], say: Callable[[str], None]
    ) -> None:
        self.folder, self.plan, self.runs, self.say = folder, plan, runs, say
        self.needed = list(dict.fromkeys(a for run in runs for a in run.steps))
        self.seconds = {name: [s] for name, s in seconds_before(plan.runs_folder).items()}
        self._own: dict[str, list[float]] = {}
        self._told = time.monotonic()
        self._last = ""
        self._table = _Table() if _in_notebook() else None
        self._line = sys.stderr.isatty() and self._table is None and watched()

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *error: object) -> None:
        self._erase()
        if self._table is not None:
            self._table.show(sweep_state(self.folder))

    def timed(self, address: str) -> None:
        """A step is done: its seconds tell how long others of its notebook will take."""
        for name, values in seconds_of(self.folder, {address}, self.plan).items():
            self._own.setdefault(name, []).extend(values)
            self.seconds[name] = self._own[name][-50:]

    def line(self, text: str) -> None:
        """Say something that stays."""
        self._erase()
        self.say(text)

    def update(self, done: set[str], failed: set[str], ended: set[str], under_way: set) -> None:
        """Say how far it is, if that was not said just now."""
        soon = self._line or self._table is not None
        if time.monotonic() - self._told < (_OFTEN if soon else _SELDOM):
            return
        self._told = time.monotonic()
        if self._table is not None:
            self._table.show(sweep_state(self.folder))
            return
        open_ = [a for a in self.needed if a not in done and a not in failed]
        left = seconds_left(self.plan, open_, self.seconds, max(1, len(under_way)))
        lost = sum(any(a in failed for a in run.steps) for run in self.runs)
        said = (
            f"{len(ended)} of {len(self.runs)} runs, {len(self.needed) - len(open_)} of "
            f"{len(self.needed)} steps{f', {lost} failed' if lost else ''}; {duration(left)} left"
        )
        if self._line:
            self._last = said
            print(f"\r\x1b[K{said}", end="", file=sys.stderr, flush=True)
        else:
            self.say(said)

    def _erase(self) -> None:
        if self._line and self._last:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._last = ""


class _Table:
    """A table below the cell, which changes in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, state) -> None:
        from IPython.display import HTML, display

        from rulekit.tables import table

        frame = state.frame()
        order = {"failed": 0, "running": 1, "waiting": 2, "done": 3}
        frame = frame.sort(frame["status"].replace_strict(order), maintain_order=True)
        more = len(frame) - _ROWS
        note = f"and {more} more" if more > 0 else ""
        made = table(frame.head(_ROWS), str(state), note=note)
        html = HTML(made._repr_html_() if hasattr(made, "_repr_html_") else str(made))
        if self._handle is None:
            self._handle = display(html, display_id=True)
        else:
            self._handle.update(html)


def _in_notebook() -> bool:
    """Whether a person looks at a notebook from which this is called."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    return getattr(shell, "kernel", None) is not None and "RULEKIT_HEADLESS" not in os.environ

"""The controls of a sweep: what is typed is planned, started in a process of its own, and watched.

A tab of the run browser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import ipywidgets as w

from rulekit.tables import text_html
from rulekit.workbench.controls import as_html
from rulekit.workbench.sweep_watch import SweepWatch, state_view

_POLL = 1.0  # seconds between two looks at a sweep


class SweepPanel:
    """Name and parameters of a sweep, buttons, and how far it is.

    Parameters
    ----------
    watch
        The sweep.
    on
        Makes a handler that says what went wrong, as `Tool.on`.
    ended
        Called when a sweep that was watched has ended.
    """

    def __init__(self, watch: SweepWatch, on: Callable, ended: Callable[[], None]) -> None:
        self.watch, self._on, self._ended = watch, on, ended
        self._timer: asyncio.TimerHandle | None = None

    def controls(self) -> w.Widget:
        """The controls."""
        row = w.Layout(flex_flow="row wrap", align_items="center")
        self._what = w.Combobox(
            description="sweep",
            options=self.watch.names(),
            value=self.watch.what,
            placeholder="a name or a file",
        )
        self._given = w.Textarea(
            description="parameters",
            value=self.watch.parameters,
            placeholder="a line each: k 1,3,5",
        )
        self._said = w.HTML()
        self._bar = w.IntProgress(description="runs", layout=w.Layout(width="60%", display="none"))
        buttons = [
            self._button("plan", "Say what would run; nothing is started", self._plan),
            self._button("start", "Start it in a process of its own", self._start),
            self._button("stop", "End it; it can be resumed", self._stop),
        ]
        parts = [w.HBox([self._what, self._given], layout=row), w.HBox(buttons, layout=row)]
        return w.VBox([*parts, self._bar, self._said])

    def _button(self, words: str, told: str, act: Callable[[], object]) -> w.Button:
        button = w.Button(description=words, tooltip=told)
        button.on_click(self._on(lambda _: act()))
        return button

    def _plan(self) -> None:
        self._take_over()
        self._said.value = as_html(self.watch.plan_table())

    def _start(self) -> None:
        self._take_over()
        self.watch.start(wait=False)
        self._look()

    def _stop(self) -> None:
        self.watch.stop()
        self._look()

    def _take_over(self) -> None:
        self.watch.what, self.watch.parameters = self._what.value.strip(), self._given.value

    def _look(self) -> None:
        """Show how far it is, and look again as long as it runs."""
        if self._timer is not None:
            self._timer.cancel()
        running, state = self.watch.running(), self.watch.state()
        if state is not None:
            self._bar.layout.display = ""
            self._bar.max = max(1, sum(state.counts.values()))
            self._bar.value = state.counts["done"] + state.counts["failed"]
        shown = "" if state is None else as_html(state_view(state))
        told = "" if running and state is not None else text_html(self.watch.said())
        self._said.value = f'<div role="status">{told}</div>{shown}'
        if running:
            self._timer = asyncio.get_running_loop().call_later(_POLL, self._on(self._look))
        else:
            self._ended()

"""The theory lab's controls: sliders change the state, `theory_lab` says what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import altair as alt
import ipywidgets

from rulekit import plots, studies
from rulekit.tables import text_html
from rulekit.workbench.controls import Slider, Tool, as_html
from rulekit.workbench.theory_lab import (
    N_REFERENCE,
    TheoryState,
    theory_data,
    theory_picture,
    theory_table,
)

_SLIDERS = (  # part of the state, words, least, most, step
    ("accuracy", "accuracy of rules, mean", 0.51, 0.95, 0.01),
    ("spread", "accuracy of rules, spread", 0.0, 0.2, 0.01),
    ("correlation", "correlation of their noise", 0.0, 0.9, 0.05),
    ("noise", "noise of the ratings", 0.0, 3.0, 0.1),
    ("loudness", "loudness unlike accuracy", 0.0, 1.5, 0.05),
    ("n_reversed", "reversed rules", 0, 20, 1),
    ("n_rules", "number of rules", 3, 40, 1),
    ("k", "rules kept, k", 1, 20, 1),
    ("labelled", "labelled pairs", 0, N_REFERENCE, 10),
)
_LOOKS = (
    ".rulekit-paper { background: white; width: fit-content; max-width: 100% } "
    ".rulekit-theory .rulekit-slider span { width: 15em }"
)
_WHOLE = ("n_reversed", "n_rules", "k", "labelled")


class TheoryLab(Tool):
    """The theory lab, as `theory` makes it: a `TheoryState`, and nine sliders that change it."""

    def data(self) -> dict[str, object]:
        """Curves, what breaks, assumptions, title and findings: see `theory_data`."""
        return theory_data(self.state)

    def picture(self) -> list[object]:
        """A chart, a table and a sentence."""
        return theory_picture(self.state)

    def controls(self) -> ipywidgets.Widget:
        """Nine sliders, a choice of selectors, the chart, and in words what it says."""
        alt.JupyterChart.enable_offline()
        self._sliders = {
            name: Slider(label=words, value=getattr(self.state, name), min=low, max=high, step=step)
            for name, words, low, high, step in _SLIDERS
        }
        for name, slider in self._sliders.items():
            slider.observe(self.on(lambda change, name=name: self._moved(name, change)), "value")
        self._selectors = ipywidgets.SelectMultiple(
            options=studies.selectors_that_compare(),
            value=self.state.selectors,
            rows=6,
            description="selectors",
            tooltip="Five or fewer curves",
        )
        self._selectors.observe(self.on(self._chose), "value")
        self._chart = alt.JupyterChart(self._drawn(), embed_options={"actions": False})
        self._said = ipywidgets.HTML()
        self._table, self._tabled = ipywidgets.HTML(), ""
        every = list(self._sliders.values())
        columns = [ipywidgets.VBox(every[:5]), ipywidgets.VBox(every[5:]), self._selectors]
        looks = ipywidgets.Layout(flex_flow="row wrap", align_items="flex-start")
        # The chart is drawn for paper: dark ink on white, on a dark page too.
        paper = ipywidgets.Box([self._chart])
        paper.layout.overflow = "auto"
        paper.add_class("rulekit-paper")
        top = ipywidgets.Box(columns, layout=looks)
        top.add_class("rulekit-theory")
        style = ipywidgets.HTML(f"<style>{_LOOKS}</style>")
        return ipywidgets.VBox([style, top, self._said, paper, self._table])

    def redraw(self) -> None:
        """Show the curves of the state; only their values are sent, not a new chart."""
        data = self.data()
        parts = data["curves"], data["breaks"], data["title"], self.state.k
        if self.state.selectors != self._shown:
            self._template = self._drawn().to_dict()
        self._chart.spec = plots.selectors_redrawn(self._template, *parts)
        words = text_html(f"{data['title']}. {data['findings']}")
        self._said.value = f'<div role="status" aria-live="polite">{words}</div>'
        if data["title"] != self._tabled:  # a table takes longer than the curves
            self._tabled, self._table.value = data["title"], as_html(theory_table(self.state))
        self._sliders["k"].max = self.state.n_rules
        self._sliders["n_reversed"].max = self.state.n_rules
        for name, slider in self._sliders.items():
            if slider.value != getattr(self.state, name):
                slider.value = getattr(self.state, name)

    def _drawn(self) -> alt.HConcatChart:
        data = self.data()
        chart = plots.selectors_by_k(data["curves"], data["breaks"], data["title"], self.state.k)
        self._shown, self._template = self.state.selectors, chart.to_dict()
        return chart

    def _moved(self, name: str, change: dict) -> None:
        value = int(change["new"]) if name in _WHOLE else round(change["new"], 6)
        if value == getattr(self.state, name):
            return
        parts = {name: value}
        if name == "n_rules":
            parts |= {
                "k": min(self.state.k, value),
                "n_reversed": min(self.state.n_reversed, value),
            }
        self.change(**parts)

    def _chose(self, change: dict) -> None:
        if tuple(change["new"]) != self.state.selectors:
            replace(self.state, selectors=change["new"])  # refuses what cannot be drawn
            self.change(selectors=tuple(change["new"]))


def theory(
    *,
    accuracy: float = 0.62,
    spread: float = 0.04,
    correlation: float = 0.0,
    noise: float = 0.0,
    loudness: float = 0.0,
    n_reversed: int = 0,
    n_rules: int = 20,
    k: int = 5,
    labelled: int = 100,
    selectors: Sequence[str] = studies.BY_K,
    seed: int = 0,
) -> TheoryLab:
    """The theory lab: what the chosen rules tell and how often their label is right, by sliders.

    Parameters
    ----------
    accuracy, spread
        Mean and standard deviation of the rules' accuracies.
    correlation
        Of the noise of any two rules.
    noise
        Of the ratings, as a multiple of the rules' typical standard deviation.
    loudness
        How much rules differ in loudness without being the better for it.
    n_reversed, n_rules
        Rules that point the wrong way, and all rules.
    k
        Rules kept.
    labelled
        Labelled pairs that estimates are made of, 0 to 600.
    selectors
        Five or fewer of `rulekit.studies.selectors_that_compare`.
    seed
        Of the random numbers, which are drawn once.

    Returns
    -------
    TheoryLab: shows itself as controls in a notebook, as a picture elsewhere; has ``state``,
    ``data()`` and ``picture()``.

    Raises
    ------
    ValueError
        For a value out of its range.
    """
    parts = dict(locals())
    return TheoryLab(TheoryState(**parts))

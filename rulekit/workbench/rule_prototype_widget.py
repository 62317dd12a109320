"""The rule prototyper's controls: what is typed is rated in the background and its row redrawn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import ipywidgets
import polars as pl

from rulekit.inputs import RuleSet, Scores, diff_rules
from rulekit.judges import Judge, Proposals, ServerJudge, propose_rules
from rulekit.judges import judge as judge_named
from rulekit.rating import RuleTrial
from rulekit.tables import table, text_html
from rulekit.workbench.controls import Grid, Tool, as_html, debounced, is_headless
from rulekit.workbench.rule_prototype import (
    NAMES,
    SHARES,
    Bench,
    PrototypeState,
    agreement_table,
    cost_words,
    deciding_views,
    diff_table,
    prototype_data,
    prototype_picture,
    written_rules,
)

PAUSE = 0.5  # seconds without a key before what is written is rated
_GRID = (
    *("rule", "state", "remarks", "coverage", "decisive", "right", "information", "p"),
    *("most_like", "shared", "agree"),
)
_TOLD = (  # what the grid's columns are, while nothing is rated yet
    dict.fromkeys(
        ("coverage", "decisive", "right", "information", "p", "shared", "agree"), pl.Float64
    )
    | {"most_like": pl.String}
)


class RulePrototype(Tool):
    """The rule prototyper, as `prototype` makes it.

    Parameters
    ----------
    state
        What is chosen first.
    bench
        Rules, scores and the sample with its judge.
    server
        Who proposes rules; None for nobody.
    proposing
        Further arguments of `rulekit.judges.propose_rules`.
    """

    def __init__(
        self,
        state: PrototypeState,
        bench: Bench,
        server: ServerJudge | Mapping | None = None,
        proposing: Mapping | None = None,
    ) -> None:
        super().__init__(state)
        self.bench, self.server, self.proposing = bench, server, dict(proposing or {})
        self.proposals: Proposals | None = None
        self._loop, self._asker = None, None
        self._linted: str | None = None  # what was looked through for near-duplicates

    @property
    def rules(self) -> RuleSet:
        """The set with the accepted rules."""
        return RuleSet((*self.bench.rules, *self.state.accepted))

    def data(self) -> dict[str, object]:
        """What follows from what is written and rated: see `prototype_data`."""
        return prototype_data(self.state, self.bench)

    def picture(self) -> list[object]:
        """The new rules, what they are like, and the pairs in which the chosen one decides."""
        return prototype_picture(self.state, self.bench)

    def _ipython_display_(self) -> None:
        if is_headless():
            self.rate()
        super()._ipython_display_()

    def rate(self) -> None:
        """Rate what is written, here and now, as far as the budget allows."""
        if (new := self._open_rules()) is not None:
            self.bench.trial.rate(new)
        if self._controls is not None:
            self.redraw()

    def stop(self) -> None:
        """Stop rating; what was rated is kept."""
        self.bench.trial.stop()

    def accept(self, *names: str) -> RuleSet:
        """Take new rules into the set.

        Parameters
        ----------
        names
            Ids of rules that are written; default: the chosen one.

        Returns
        -------
        The set with them.

        Raises
        ------
        ValueError
            For an id that is not written, or a rule that the set has.
        """
        new, said = written_rules(self.state, self.rules)
        if new is None:
            raise ValueError(said)
        taken = [new[name] for name in names or (self.data()["chosen"],)]
        accepted = (*self.state.accepted, *taken)
        RuleSet((*self.bench.rules, *accepted))  # refuses what is there already
        self.change(accepted=accepted)
        return self.rules

    def save(self, path: str | Path) -> pl.DataFrame:
        """Write the set with the accepted rules as YAML.

        Parameters
        ----------
        path
            Of the file.

        Returns
        -------
        What changed, as `rulekit.inputs.diff_rules` says: to the file where it held a rule set,
        else to the set that the tool began with.
        """
        path = Path(path)
        before = RuleSet.load(path) if path.is_file() else self.bench.rules
        self.rules.save(path)
        return diff_rules(before, self.rules)

    def propose(self) -> Proposals:
        """Have the server propose rules from the sample's pairs; none is written or accepted.

        Raises
        ------
        ValueError
            If there is no server, or no pair of the sample has a known preference.
        """
        if self.server is None:
            raise ValueError("server is missing; allowed: a ServerJudge or its settings")
        pairs = self.bench.trial.pairs
        self.proposals = propose_rules(pairs, self.server, self.rules, **self.proposing)
        return self.proposals

    def controls(self) -> ipywidgets.Widget:
        """A box to write in, the cost, buttons, the rows, and what the chosen rule decides."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        self._box = ipywidgets.Textarea(
            value=self.state.text, description="rules", tooltip="Rules, one a line, or YAML"
        )
        self._box.placeholder = "One rule a line, or YAML: a statement about a single response"
        self._box.layout.width, self._box.rows = "98%", 5
        self._auto = ipywidgets.Checkbox(value=True, description="rate as I type", indent=False)
        self._path = ipywidgets.Text(value="rules.yaml", description="file", tooltip="File to save")
        self._cost, self._below = ipywidgets.HTML(), ipywidgets.HTML()
        self._diff, self._proposed = ipywidgets.HTML(), ipywidgets.HTML()
        self._grid = Grid(label="New rules")
        self._grid.on_ask(self.on(self._asked))
        self._paused = debounced(self.on(self._rate_written), PAUSE)
        self._box.observe(self.on(self._typed), "value")
        buttons = [
            self._button("Rate", "Rate what is written", self._rate_written),
            self._button("Stop", "Rate nothing more", self.stop),
            self._button("Accept", "Accept the chosen rule into the set", self.accept),
            self._button("Save", "Write the set to the file", self._save),
        ]
        if self.server is not None:
            n = self.proposing.get("most_pairs", 20)
            told = f"Ask the server for rules: up to {n} requests"
            buttons.append(self._button(f"Propose ({n} requests)", told, self._propose))
        self._choice = ipywidgets.SelectMultiple(
            description="proposals", tooltip="Choose proposals to write into the box"
        )
        self._choice.layout.width = "98%"
        self._take = self._button("Write", "Write the chosen proposals into the box", self._write)
        self._offered = ipywidgets.VBox([self._proposed, self._choice, self._take])
        self._offered.layout.display = "none"
        row = ipywidgets.Layout(flex_flow="row wrap")
        bar = ipywidgets.Box([*buttons, self._path, self._auto], layout=row)
        parts = [self._box, self._cost, bar, self._offered, self._grid, self._below, self._diff]
        if self.state.text and self._loop is not None:
            self._paused()
        return ipywidgets.VBox(parts)

    def redraw(self) -> None:
        """Show what is written and known of it."""
        # the first look for near-duplicates takes seconds: the worker does it
        self._show(prototype_data(self.state, self.bench, lint=self._linted == self.state.text))

    def _show(self, data: dict[str, object]) -> None:
        words = data["said"] or cost_words(data["cost"]) or "All that is written is rated."
        self._cost.value = f'<div role="status" aria-live="polite">{text_html(words)}</div>'
        if self._box.value != self.state.text:
            self._box.value = self.state.text
        rows = data["rows"]
        if rows is None:
            rows = pl.DataFrame(
                schema={"rule": pl.String, "state": pl.String, "remarks": pl.String}
            )
        missing = {c: pl.lit(None, kind) for c, kind in _TOLD.items() if c not in rows.columns}
        self._grid.show(
            rows.with_columns(**missing).select(*_GRID).head(200),
            "rule",
            names=NAMES,
            percent=(*SHARES, "decisive"),
            chosen=data["chosen"],
            said=f"{len(rows)} rules written, {len(self.state.accepted)} accepted",
        )
        below = []
        if data["agreement"] is not None:
            below.append(as_html(agreement_table(data)))
        if data["deciding"] is not None:
            title = f"Pairs in which {data['chosen']} decides"
            below.append(f"<p><b>{text_html(title)}</b></p>" + as_html(*deciding_views(data)))
        self._below.value = "".join(below)
        self._diff.value = as_html(diff_table(data["diff"])) if self.state.accepted else ""

    def _button(self, words: str, told: str, act: Callable[[], object]) -> ipywidgets.Button:
        button = ipywidgets.Button(description=words, tooltip=told)
        button.on_click(self.on(lambda _: act()))
        return button

    def _typed(self, change: dict) -> None:
        if change["new"] != self.state.text:
            self.change(text=change["new"])
            if self._auto.value:
                self._paused()

    def _asked(self, message: dict) -> None:
        if "row" in message:
            self.change(chosen=message["row"])

    def _open_rules(self) -> RuleSet | None:
        """What is written and not in the set."""
        new, _ = written_rules(self.state, self.rules)
        texts = set(self.rules.texts)
        some = tuple(r for r in new or () if r.text not in texts)
        return RuleSet(some) if some else None

    def _rate_written(self) -> None:
        new = self._open_rules()
        if new is None:
            self.bench.trial.stop()
            return
        self.bench.trial.start(new, self._told)

    def _told(self) -> None:
        """Called by the worker: what is known now is reckoned there, and shown by the kernel."""
        state = self.state
        data = prototype_data(state, self.bench)
        self._linted = state.text
        self._later(lambda: self.state is state and self._show(data))

    def _later(self, act: Callable[[], object]) -> None:
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self.on(act))
        else:
            self.on(act)()

    def _save(self) -> None:
        diff = self.save(self._path.value)
        changed = int((diff["change"] != "unchanged").sum())
        said = f"{self._path.value}: {len(self.rules)} rules, {changed} changed"
        self._diff.value = f"<p>{text_html(said)}</p>" + as_html(diff_table(diff))

    def _propose(self) -> None:
        """Ask in the background, for a model takes its time."""
        if self._asker is not None and self._asker.is_alive():
            raise ValueError("the server is still being asked; allowed: one asking at a time")
        self._offered.layout.display = ""
        self._proposed.value = '<div role="status">The server is being asked …</div>'

        def work() -> None:
            try:
                self.propose()
            except Exception as error:
                said = f"{error}"
                self._later(lambda: setattr(self._proposed, "value", text_html(said)))
            else:
                self._later(self._offer)

        self._asker = threading.Thread(target=work, daemon=True)
        self._asker.start()

    def _offer(self) -> None:
        found = self.proposals
        shown = found.frame.select("text", "pairs", "known", "remarks")
        names = {"pairs": "from pairs", "known": "in the set already"}
        self._proposed.value = as_html(table(shown, f"{found}", names=names))
        self._choice.options = list(found.frame["text"])
        self._choice.rows = min(8, max(1, len(found.frame)))

    def _write(self) -> None:
        lines = [line for line in self.state.text.rstrip().split("\n") if line.strip()]
        self._box.value = "\n".join([*lines, *(t for t in self._choice.value if t not in lines)])


def prototype(
    pairs: pl.DataFrame,
    rules: RuleSet,
    judge: Judge | str = "encoder",
    scores: Scores | None = None,
    *,
    text: str = "",
    sample: int = 30,
    budget: int = 2000,
    store: str | Path | None = None,
    price: float = 0.0,
    server: ServerJudge | Mapping | None = None,
    proposing: Mapping | None = None,
    seed: int = 0,
) -> RulePrototype:
    """The rule prototyper: write rules, and see at once what they say on a sample of pairs.

    Parameters
    ----------
    pairs
        Canonical frame; known preferences in it tell what a rule is worth.
    rules
        The set that new rules are held against and accepted into.
    judge
        Who rates: a judge, or the name of one that needs no settings.
    scores
        Of the pairs under `rules`; without them nothing is said of agreement and changed labels.
    text
        What is written at first: a rule a line, or YAML. Headless it is rated before it is shown.
    sample
        Pairs that are rated, drawn at random; all where there are fewer.
    budget
        Ratings that may be made; what the store holds costs nothing.
    store
        File to keep the ratings in; None keeps them as long as the tool.
    price
        Cost of a rating, for judges without prices of their own.
    server
        A `ServerJudge`, or its settings, whose model proposes rules; None for no proposals.
    proposing
        Further arguments of `rulekit.judges.propose_rules`, such as ``most_pairs``.
    seed
        Of the sample.

    Returns
    -------
    RulePrototype: shows itself as controls in a notebook, as a picture elsewhere; has ``state``,
    ``data()``, ``picture()``, ``rules``, ``rate``, ``stop``, ``accept``, ``save`` and ``propose``.

    Raises
    ------
    ValueError
        For pairs or a judge that are none, or a number out of range.
    """
    if sample < 1:
        raise ValueError(f"sample is {sample}; allowed: 1 or more")
    some = pairs.sample(min(sample, len(pairs)), seed=seed)
    judge = judge_named(judge) if isinstance(judge, str) else judge
    trial = RuleTrial(some, judge, budget=budget, store=store, price=price)
    old = None if scores is None else scores.of(some)
    return RulePrototype(PrototypeState(text), Bench(rules, old, trial), server, proposing)

"""The pair explorer with its controls: a call comes in, a tool that shows itself goes out.

Nothing is worked out here: a control changes the state, `pair_explorer` says what follows from it.
"""

from __future__ import annotations

from dataclasses import replace

import ipywidgets as w
import polars as pl

from rulekit.inputs import RuleSet, Scores
from rulekit.judges import Judge
from rulekit.labels import Labels
from rulekit.plots import pair_rules
from rulekit.selection import Estimates
from rulekit.tables import table
from rulekit.workbench.controls import Grid, Slider, Tool, debounced
from rulekit.workbench.filters import COMPARISONS, Filter
from rulekit.workbench.pair_explorer import ORDERS, PAGE, PairState, PairTable
from rulekit.workbench.views import label_words, moves_view, pair_view, rule_bars

_SHARES = ("confidence",)


def pairs(
    pairs: pl.DataFrame,
    scores: Scores,
    labels: Labels | None = None,
    *,
    rules: RuleSet | None = None,
    judge: Judge | None = None,
    estimates: Estimates | None = None,
    k: int = 5,
    method: str = "max_discrepancy",
    order: str = "",
    seed: int = 0,
) -> PairExplorer:
    """Look at pairs one by one: both responses, what every rule says, and what follows from k.

    Parameters
    ----------
    pairs, scores
        Canonical frame of n_pairs pairs, and their scores under n_rules rules.
    labels
        Labels to show in place of those that the chosen rules give.
    rules
        For the texts of the rules.
    judge
        Rates responses again that are edited; needs `rules`.
    estimates
        For the selectors that need them; None: estimated without labels.
    k, method
        What is chosen at first, as for `rulekit.select`.
    order
        By which pairs are walked through at first: ``uncertain``, ``contested``, ``wrong``,
        ``random``, or empty for their own order.
    seed
        Of the random order, and as for `rulekit.select`.

    Returns
    -------
    A tool whose ``state`` says what is chosen, ``data()`` what is shown, and ``picture()`` how it
    looks without controls.

    Raises
    ------
    ValueError
        For scores, labels or rules of others, a judge without rules, or a choice out of range.
    """
    found = PairTable(
        pairs, scores, labels, rules=rules, judge=judge, estimates=estimates, seed=seed
    )
    state = PairState(k=min(k, scores.n_rules) if k > 0 else k, method=method, order=order)
    found.check(state)
    return PairExplorer(found, state)


class PairExplorer(Tool):
    """What `pairs` gives.

    Parameters
    ----------
    table
        The pairs.
    state
        What is chosen.
    """

    def __init__(self, table: PairTable, state: PairState) -> None:
        super().__init__(state)
        self.table = table
        self._drawing = False

    def change(self, **parts: object) -> None:
        """Choose something else, such as ``k=3`` or ``pair="an id"``.

        Parameters
        ----------
        parts
            New values of fields of `PairState`.

        Raises
        ------
        ValueError
            For a field that it has not, or a value that these pairs do not allow; the state stays.
        """
        known = {name: parts[name] for name in parts if hasattr(self.state, name)}
        self.table.check(replace(self.state, **known))
        super().change(**parts)

    def data(self) -> dict[str, object]:
        """What is shown.

        Returns
        -------
        ``pairs`` (the page of the list), ``n_pairs`` (how many the list holds), ``pair`` (id; None
        where the list is empty), ``rules`` (every rule on that pair, the loudest first), ``label``
        (`Labels` of that pair).
        """
        state = self.state
        rows = self.table.rows(state)
        row = self.table.shown(state, rows)
        found = {"pairs": self.table.page(state, rows), "n_pairs": len(rows), "pair": None}
        if row is None:
            return {**found, "rules": None, "label": None}
        return found | {
            "pair": self.table.pairs["pair_id"][row],
            "rules": self.table.explained(state, row),
            "label": self.table.labels(state.method, state.k).rows([row]),
        }

    def picture(self) -> list[object]:
        """The pair, its rules as a chart, and the beginning of the list."""
        found = self.data()
        head = table(
            found["pairs"].head(8).select(_shown(found["pairs"])),
            f"{found['n_pairs']:,} pairs, {ORDERS[self.state.order]}",
            percent=_SHARES,
            mark=pl.col("pair_id") == (found["pair"] or ""),
        )
        if found["pair"] is None:
            return [head]
        title = f"Pair {found['pair']}: {self.state.method}, k = {self.state.k}"
        chart = pair_rules(found["rules"].select("rule", "discrepancy", "chosen").head(12), title)
        return [pair_view(self._pair(found["pair"]), label_words(found["label"])), chart, head]

    def edit(self, a: str | None = None, b: str | None = None) -> dict[str, object]:
        """Put other texts in place of the shown pair's responses and rate them.

        Parameters
        ----------
        a, b
            Texts; None keeps the response as it is.

        Returns
        -------
        As `PairTable.rated_again`.

        Raises
        ------
        ValueError
            As for `PairTable.rated_again`.
        """
        name = self.data()["pair"]
        if name is None:
            raise ValueError("no pair is shown; allowed: filters that leave one")
        own = self._pair(name)
        edited = (own["response_a"] if a is None else a, own["response_b"] if b is None else b)
        self.state = replace(self.state, pair=name, edited=edited)
        return self.table.rated_again(self.state)

    def _pair(self, name: str) -> dict:
        return self.table.pairs.row(self.table.row_of[name], named=True)

    def controls(self) -> w.Widget:
        """Choice of pairs above, the pair with its rules below."""
        t = self.table
        self._search = w.Text(description="search", placeholder="in prompts and responses")
        self._order = w.Dropdown(
            options=[(text, name) for name, text in ORDERS.items()], description="order"
        )
        back, on = w.Button(description="← pair before"), w.Button(description="next pair →")
        self._method = w.Dropdown(options=t.methods, description="selector")
        self._k = Slider(label="k, rules a pair", min=1, max=t.scores.n_rules, step=1)
        self._column = w.Dropdown(options=t.columns, value="confidence", description="filter")
        self._comparison = w.Dropdown(options=COMPARISONS, value="≤", description="is")
        self._value = w.Text(description="value", placeholder="a number or a text")
        add, self._drop = w.Button(description="add filter"), w.Button(description="drop filters")
        self._grid = Grid(label="pairs")
        self._pair_box, self._bars, self._filters = w.HTML(), w.HTML(), w.HTML()

        self._search.observe(debounced(self.on(self._searched)), "value")
        self._order.observe(self.on(lambda e: self._choose(order=e["new"], pair="")), "value")
        self._method.observe(self.on(lambda e: self._choose(method=e["new"])), "value")
        self._k.observe(self.on(lambda e: self._choose(k=int(e["new"]))), "value")
        back.on_click(self.on(lambda _: self._walk(-1)))
        on.on_click(self.on(lambda _: self._walk(1)))
        add.on_click(self.on(lambda _: self._add_filter()))
        self._drop.on_click(self.on(lambda _: self._choose(filters=(), pair="", page=0)))
        self._grid.on_ask(self.on(self._asked))
        parts = [
            w.HBox([self._order, back, on], layout=_wrapped()),
            w.HBox(
                [self._search, self._column, self._comparison, self._value, add, self._drop],
                layout=_wrapped(),
            ),
            self._filters,
            self._grid,
            w.HBox([self._method, self._k], layout=_wrapped()),
            self._pair_box,
            self._bars,
        ]
        return w.VBox([*parts, *([self._editor()] if t.judge is not None else [])])

    def _editor(self) -> w.Widget:
        layout = w.Layout(width="99%", height="140px")
        self._a, self._b = (w.Textarea(description=f"response {n}", layout=layout) for n in "AB")
        rate = w.Button(description="rate again", button_style="")
        self._moves = w.HTML()
        rate.on_click(self.on(lambda _: self._rate()))
        cost = w.HTML(f"<span>{self.table.cost(self.state)}</span>")
        box = w.VBox([self._a, self._b, w.HBox([rate, cost]), self._moves])
        box.layout.display = "none"
        words = "edit a response and rate it again"
        wide = w.Layout(width="auto")
        shown = w.ToggleButton(description=words, icon="pencil", layout=wide)

        def turn(event: dict) -> None:
            box.layout.display = None if event["new"] else "none"

        shown.observe(self.on(turn), "value")
        return w.VBox([shown, box])

    def redraw(self) -> None:
        """Show the state in the controls."""
        found, state = self.data(), self.state
        self._drawing = True
        try:
            self._order.value, self._method.value = state.order, state.method
            self._k.value, self._search.value = state.k, state.search
        finally:
            self._drawing = False
        n, first = found["n_pairs"], PAGE * min(state.page, max(0, (found["n_pairs"] - 1) // PAGE))
        last = min(n, first + PAGE)
        self._grid.show(
            found["pairs"].select(_shown(found["pairs"])),
            "pair_id",
            percent=_SHARES,
            names={"pair_id": "pair"},
            sort=state.sort if not state.order else "",
            descending=state.descending,
            chosen=found["pair"] or "",
            said=f"{first + 1 if n else 0:,} to {last:,} of {n:,} pairs",
            first=first == 0,
            last=last >= n,
        )
        conditions = "; ".join(" ".join(f) for f in state.filters)
        self._filters.value = table_text(f"Filters: {conditions}") if conditions else ""
        self._draw_pair(found)

    def _draw_pair(self, found: dict) -> None:
        name = found["pair"]
        if name is None:
            self._pair_box.value, self._bars.value = table_text("No pair is left."), ""
            return
        words = label_words(found["label"])
        own = self._pair(name)
        self._pair_box.value = pair_view(own, words).data
        caption = f"{name}: {self.state.method}, k = {self.state.k}; {words}"
        self._bars.value = rule_bars(found["rules"], caption)
        if self.table.judge is not None and getattr(self, "_edited_of", None) != name:
            self._edited_of = name
            self._a.value, self._b.value = own["response_a"], own["response_b"]
            self._moves.value = ""

    def _choose(self, **parts: object) -> None:
        if not self._drawing:
            self.change(**parts)

    def _searched(self, event: dict) -> None:
        self._choose(search=self._search.value, pair="", page=0)

    def _walk(self, by: int) -> None:
        self.state = self.table.step(self.state, by)
        self.redraw()

    def _add_filter(self) -> None:
        more = Filter(self._column.value, self._comparison.value, self._value.value.strip())
        self._choose(filters=(*self.state.filters, more), pair="", page=0)

    def _asked(self, message: dict) -> None:
        if "sort" in message:
            column = message["sort"]
            same = self.state.sort == column and not self.state.order
            down = not self.state.descending if same else False
            self.change(sort=column, descending=down, order="", page=0, pair="")
        elif "row" in message:
            self.change(pair=message["row"])
        elif "page" in message:
            self.change(page=max(0, self.state.page + int(message["page"])))

    def _rate(self) -> None:
        self._moves.value = table_text("The judge rates …")
        try:
            moves = self.edit(self._a.value, self._b.value)
        except Exception:
            self._moves.value = ""
            raise
        self._moves.value = moves_view(moves)


def table_text(text: str) -> str:
    """A line of text as HTML."""
    from rulekit.tables import text_html

    return f'<div role="status">{text_html(text)}</div>'


def _shown(frame: pl.DataFrame) -> list[str]:
    """Columns of the list in view: those of the kit, then at most six of the pairs' own."""
    own = [c for c in frame.columns if not c.endswith("_id") or c == "pair_id"]
    return own[:14]


def _wrapped() -> w.Layout:
    return w.Layout(flex_flow="row wrap", align_items="center")

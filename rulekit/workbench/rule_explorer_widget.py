"""The rule explorer with its controls: a call comes in, a tool that shows itself goes out.

Nothing is worked out here: a control changes the state, `rule_explorer` says what follows from it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ipywidgets as w
import polars as pl

from rulekit.inputs import RuleSet, Scores
from rulekit.tables import table, text_html
from rulekit.workbench.controls import Grid, Slider, Tool, as_html, debounced
from rulekit.workbench.filters import COMPARISONS, Filter
from rulekit.workbench.rule_explorer import PAGE, RuleState, RuleTable
from rulekit.workbench.rule_map import HeatMap, couples_table, map_picture

_SHARES = ("accuracy", "accuracy_low", "accuracy_high", "coverage", "redundancy")
_LISTED = (
    "rule",
    "information",
    "information_low",
    "information_high",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "coverage",
    "sign",
    "redundancy",
    "repeats",
    "tokens",
    "category",
    "text",
)
_NAMES = {
    "information": "information, bits",
    "information_low": "from",
    "information_high": "to",
    "accuracy_low": "from",
    "accuracy_high": "to",
    "tokens": "cost, tokens",
    "redundancy": "shared at most",
    "repeats": "with",
    "pair_id": "pair",
    "discrepancy": "δ",
    "without": "without it",
    "effective": "effective number",
}
_DECIDED = 100  # pairs of a rule that are shown


def rules(
    pairs: pl.DataFrame,
    scores: Scores,
    rules: RuleSet,
    *,
    k: int = 5,
    method: str = "max_discrepancy",
    off: tuple[str, ...] = (),
    seed: int = 0,
) -> RuleExplorer:
    """Look at rules in a table, at the pairs in which each decides, and at what a choice is worth.

    Parameters
    ----------
    pairs, scores, rules
        Canonical frame of n_pairs pairs, their scores under n_rules rules, and the rules.
    k, method
        What labels are made with, as for `rulekit.select`.
    off
        Ids of rules that are switched off at first.
    seed
        As for `rulekit.select`.

    Returns
    -------
    A tool whose ``state`` says what is chosen, ``data()`` what is shown, ``picture()`` how it looks
    without controls; ``selection()``, ``kept()`` and ``yaml()`` give the rules that are on.

    Raises
    ------
    ValueError
        For scores of others, or a choice out of range.
    """
    found = RuleTable(pairs, scores, rules, seed=seed)
    state = RuleState(off=frozenset(off), method=method, k=min(k, len(rules)) if k > 0 else k)
    if not found.has_known:
        state = replace(state, sort="coverage")
    found.check(state)
    return RuleExplorer(found, state)


class RuleExplorer(Tool):
    """What `rules` gives.

    Parameters
    ----------
    table
        The rules.
    state
        What is chosen.
    """

    def __init__(self, table: RuleTable, state: RuleState) -> None:
        super().__init__(state)
        self.table = table
        self._drawing = False

    def change(self, **parts: object) -> None:
        """Choose something else, such as ``sort="coverage"`` or ``off=frozenset({"an id"})``.

        Parameters
        ----------
        parts
            New values of fields of `RuleState`.

        Raises
        ------
        ValueError
            For a field that it has not, or a value that these rules do not allow; the state stays.
        """
        if "off" in parts:
            parts["off"] = frozenset(parts["off"])
        known = {name: parts[name] for name in parts if hasattr(self.state, name)}
        self.table.check(replace(self.state, **known))
        super().change(**parts)

    def data(self) -> dict[str, object]:
        """What is shown.

        Returns
        -------
        ``rules`` (the page of the table), ``n_rules`` (how many it holds), ``summary`` (what all
        rules and those that are on are worth), ``rule`` (the one chosen; None where the table is
        empty), ``pairs`` (those in which it decides), ``redundancy`` (the map).
        """
        rows = self.table.rows(self.state)
        page = self._page(len(rows))
        listed = self.table.table[rows[page * PAGE : (page + 1) * PAGE]]
        rule = self.state.rule or (self.table.rules.ids[rows[0]] if len(rows) else None)
        return {
            "rules": listed,
            "n_rules": len(rows),
            "summary": self.table.summary(self.state),
            "rule": rule,
            "pairs": None if rule is None else self.table.decided(self.state, rule),
            "redundancy": self.table.redundancy,
        }

    def _page(self, n: int) -> int:
        return min(max(self.state.page, 0), max(0, -(-n // PAGE) - 1))

    def selection(self) -> pl.DataFrame:
        """All rules with what they are worth, and a column `on`."""
        return self.table.selection(self.state)

    def kept(self) -> RuleSet:
        """The rules that are on."""
        return self.table.kept(self.state)

    def yaml(self) -> str:
        """The rules that are on as YAML, as `RuleSet.save` writes them."""
        return self.kept().as_yaml()

    def save(self, path: str | Path) -> Path:
        """Write the rules that are on as YAML that `RuleSet.load` reads."""
        return self.kept().save(path)

    def picture(self) -> list[object]:
        """What the choice is worth, the first rules, a rule's pairs, and the map of redundancy."""
        found = self.data()
        parts = [self._summary_table(found["summary"])]
        listed = found["rules"].select(_LISTED).drop("text", "category").head(12)
        note = "Intervals at 95 %. Shared: of the larger entropy. " + _SIGN
        order = f"{found['n_rules']} rules by {self.state.sort}"
        parts.append(table(listed, order, percent=_SHARES, names=_named(listed), note=note))
        if found["rule"] is not None:
            parts.append(self._decided_table(found))
        if len((t := self.table).rules) > 1:
            parts += [map_picture(t.redundancy, len(t.rules)), couples_table(t.redundancy)]
        return parts

    def _summary_table(self, summary: pl.DataFrame) -> object:
        return table(
            summary,
            f"Labels by {self.state.method}, k = {self.state.k}",
            percent=["accuracy", "low", "high"],
            names=_named(summary) | {"name": ""},
        )

    def _decided_table(self, found: dict) -> object:
        n = len(found["pairs"])
        title = f"{found['rule']} decides {n:,} pair{'' if n == 1 else 's'}"
        note = "It is chosen, and without it the label would be another."
        first = found["pairs"].head(5)
        return table(first, title, names=_named(first), signed=["discrepancy"], note=note)

    def controls(self) -> w.Widget:
        """What the choice is worth, the table with its switches, and three views below."""
        t = self.table
        columns = [c for c in _LISTED if c in t.table.columns]
        self._search = w.Text(description="search", placeholder="in ids, texts and categories")
        self._column = w.Dropdown(options=columns, value="coverage", description="filter")
        self._comparison = w.Dropdown(options=COMPARISONS, value="≥", description="is")
        self._value = w.Text(description="value", placeholder="a number or a text")
        add, drop = w.Button(description="add filter"), w.Button(description="drop filters")
        self._method = w.Dropdown(options=t.methods, description="selector")
        self._k = Slider(label="k, rules a pair", min=1, max=len(t.rules), step=1)
        every, none = w.Button(description="all on"), w.Button(description="listed off")
        only = w.Button(description="only listed on")
        self._grid, self._pairs = Grid(label="rules"), Grid(label="pairs in which the rule decides")
        self._sum, self._filters, self._title = w.HTML(), w.HTML(), w.HTML()
        self._text = w.Textarea(
            description="YAML", disabled=True, layout=w.Layout(width="99%", height="260px")
        )
        self._map, self._map_pairs = HeatMap(label=_MAP), Grid(label="pairs of the rule in the map")
        self._map_title, self._couples_view = w.HTML(), w.HTML()
        self._map.on_choose(self.on(lambda row: self.change(rule=t.map_names[row])))

        self._search.observe(debounced(self.on(self._searched)), "value")
        self._method.observe(self.on(lambda e: self._choose(method=e["new"])), "value")
        self._k.observe(self.on(lambda e: self._choose(k=int(e["new"]))), "value")
        add.on_click(self.on(lambda _: self._add_filter()))
        drop.on_click(self.on(lambda _: self._choose(filters=(), page=0, rule="")))
        every.on_click(self.on(lambda _: self._choose(off=frozenset())))
        none.on_click(self.on(lambda _: self._choose(off=self.state.off | self._listed())))
        only.on_click(self.on(lambda _: self._choose(off=set(t.rules.ids) - self._listed())))
        self._grid.on_ask(self.on(self._asked))
        self._tabs = w.Tab(
            [
                w.VBox([self._title, self._pairs]),
                w.VBox([self._map, self._map_title, self._map_pairs, self._couples_view]),
                self._text,
            ],
            titles=["pairs it decides", "redundancy", "YAML"],
        )
        self._tabs.observe(self.on(lambda _: self._draw_tab()), "selected_index")
        row = w.Layout(flex_flow="row wrap", align_items="center")
        return w.VBox(
            [
                w.HBox([self._method, self._k], layout=row),
                self._sum,
                w.HBox(
                    [self._search, self._column, self._comparison, self._value, add, drop],
                    layout=row,
                ),
                self._filters,
                w.HBox([every, none, only], layout=row),
                self._grid,
                self._tabs,
            ]
        )

    def redraw(self) -> None:
        """Show the state in the controls."""
        state, t = self.state, self.table
        rows = t.rows(state)
        self._drawing = True
        try:
            self._method.value, self._k.value, self._search.value = (
                state.method,
                state.k,
                state.search,
            )
        finally:
            self._drawing = False
        page, on = self._page(len(rows)), t.on(state)
        here = rows[page * PAGE : (page + 1) * PAGE]
        self._rule = state.rule or (t.rules.ids[rows[0]] if len(rows) else None)
        self._grid.show(
            t.table[here].select(_LISTED),
            "rule",
            percent=_SHARES,
            names=_NAMES,
            sort=state.sort,
            descending=state.descending,
            chosen=self._rule or "",
            on=on[here],
            said=f"{len(here)} of {len(rows)} rules listed, {int(on.sum())} of {len(on)} on. {_SIGN}",
            first=page == 0,
            last=(page + 1) * PAGE >= len(rows),
        )
        self._sum.value = _summary_html(t.summary(state))
        conditions = "; ".join(" ".join(f) for f in state.filters)
        self._filters.value = _line(f"Filters: {conditions}") if conditions else ""
        self._draw_tab()

    def _draw_tab(self) -> None:
        """The view that is open; the others wait until they are."""
        index, t = self._tabs.selected_index or 0, self.table
        if index == 1 and not self._map.names:
            self._map.show(t.map_names, t.redundancy)
            self._couples_view.value = (
                as_html(couples_table(t.redundancy)) if len(t.rules) > 1 else ""
            )
        if index == 2:
            self._text.value = self.yaml()
        if index == 2 or self._rule is None:
            return
        title, pairs = (
            (self._title, self._pairs) if index == 0 else (self._map_title, self._map_pairs)
        )
        if index:
            self._map.chosen = t.map_names.index(self._rule)
        found = t.decided(self.state, self._rule)
        n, shown = len(found), found.head(_DECIDED)
        about = t.rules[self._rule].text
        title.value = f"<div><b>{text_html(self._rule)}</b>: {text_html(about)}</div>"
        pairs.show(
            shown,
            "pair_id",
            names=_NAMES,
            said=f"{len(shown)} of {n:,} pairs in which it decides, where it is loudest first: it is "
            "chosen, and without it the label would be another.",
        )

    def _listed(self) -> set[str]:
        return {self.table.rules.ids[j] for j in self.table.rows(self.state)}

    def _choose(self, **parts: object) -> None:
        if not self._drawing:
            self.change(**parts)

    def _searched(self, event: dict) -> None:
        self._choose(search=self._search.value, page=0, rule="")

    def _add_filter(self) -> None:
        more = Filter(self._column.value, self._comparison.value, self._value.value.strip())
        self._choose(filters=(*self.state.filters, more), page=0, rule="")

    def _asked(self, message: dict) -> None:
        state = self.state
        if "sort" in message:
            column = message["sort"]
            number = self.table.table.schema[column].is_numeric()
            down = not state.descending if column == state.sort else number
            self.change(sort=column, descending=down, page=0, rule="")
        elif "switch" in message:
            name = {message["switch"]}
            try:
                self.change(off=state.off - name if message["on"] else state.off | name)
            except ValueError:
                self.redraw()  # the last rule stays on, and so does its switch
                raise
        elif "row" in message:
            self.change(rule=message["row"])
        elif "page" in message:
            self.change(page=max(0, state.page + int(message["page"])))


_MAP = (
    "Redundancy of rules: arrow keys move over the cells, Enter chooses the rule of the row; its pairs "
    "are listed below."
)
_SIGN = "Sign: whether the known preferences tell that a rule points the wrong way."


def _summary_html(summary: pl.DataFrame) -> str:
    """The summary as a plain table, which is made many times a second."""
    heads = ("", "rules", "label accuracy", "effective number", "ratings", "tokens")
    rows = [heads]
    for row in summary.iter_rows(named=True):
        accuracy = "not known"
        if row["accuracy"] is not None:
            accuracy = f"{row['accuracy']:.1%} [{row['low']:.1%}, {row['high']:.1%}]"
        counts = (f"{row[name]:,}" for name in ("ratings", "tokens"))
        rows.append((row["name"], row["rules"], accuracy, f"{row['effective']:.1f}", *counts))
    cell = 'style="padding: 1px 12px; text-align: right"'
    lines = (
        "".join(f"<{kind} {cell}>{value}</{kind}>" for value in row)
        for kind, row in zip(("th", *["td"] * len(rows)), rows, strict=False)
    )
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    return (
        '<table class="rulekit-worth" style="border-collapse: collapse">'
        f"<thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
    )


def _named(frame: pl.DataFrame) -> dict[str, str]:
    return {c: name for c, name in _NAMES.items() if c in frame.columns}


def _line(text: str) -> str:
    return f'<div role="status">{text_html(text)}</div>'

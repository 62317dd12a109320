"""The rule explorer without its controls: pairs, scores, rules and a state come in, frames go out.

`rule_explorer_widget` draws them. What a rule is worth is measured once; a switch changes the label
accuracy, the effective number of rules and the cost, which are worked out on all pairs each time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from rulekit.information import effective_rules, normalised_redundancy, rule_information
from rulekit.inputs import RuleSet, Scores, check_pairs, prompt_groups, prompt_text, votes
from rulekit.labels import Labels, label
from rulekit.measures import mean_interval, pairwise_accuracy
from rulekit.selection import Selection, select, sign_audit
from rulekit.studies import rating_cost
from rulekit.workbench.filters import Filter, kept
from rulekit.workbench.rule_map import map_cells, map_order

PAGE = 100
METHODS = ("max_discrepancy", "lowest_discrepancy", "random", "relevance", "relevance_discrepancy")
_KEPT = 8


@dataclass(frozen=True)
class RuleState:
    """What is chosen in the rule explorer.

    Attributes
    ----------
    rule
        Id of the rule whose pairs are shown; empty: the first of the table.
    off
        Ids of the rules that are switched off.
    method, k
        Selector and rules a pair, among those that are on; with fewer than k on, all of them.
    sort, descending
        Column that the table is sorted by.
    search
        Text that id, text or category hold.
    filters
        All of which have to hold.
    page
        Of the table, from 0.
    """

    rule: str = ""
    off: frozenset[str] = frozenset()
    method: str = "max_discrepancy"
    k: int = 5
    sort: str = "information"
    descending: bool = True
    search: str = ""
    filters: tuple[Filter, ...] = ()
    page: int = 0


class RuleTable:
    """What each rule is worth on these pairs, and what a choice of rules is worth.

    Parameters
    ----------
    pairs, scores, rules
        Canonical frame of n_pairs pairs, their scores under n_rules rules, and the rules.
    seed
        As for `rulekit.select`.

    Raises
    ------
    ValueError
        For scores of other pairs or rules.
    """

    def __init__(
        self, pairs: pl.DataFrame, scores: Scores, rules: RuleSet, *, seed: int = 0
    ) -> None:
        self.pairs, self.seed = check_pairs(pairs), seed
        scores = scores.of(self.pairs).whole()
        if len(rules) != scores.n_rules:
            raise ValueError(f"{len(rules)} rules; allowed: {scores.n_rules}, as the scores")
        order = None if scores.rule_ids is None else [rules.index(n) for n in scores.rule_ids]
        self.rules = (
            rules if order is None else RuleSet(tuple(rules[j] for j in order), rules.provenance)
        )
        self.scores = scores
        self.place = {name: j for j, name in enumerate(self.rules.ids)}
        self._delta, self._votes = scores.discrepancy, scores.votes
        self._known = self.pairs["preference"].fill_null(0).to_numpy()
        groups = prompt_groups(self.pairs)
        self._groups = groups.rank("dense").cast(pl.Int64).to_numpy()
        prompts = pl.Series("prompt", list(map(prompt_text, self.pairs["prompt"])), pl.String)
        self._prompts = prompts.str.replace_all(r"\s+", " ").str.slice(0, 90)
        self._orders: dict[str, np.ndarray] = {}
        self._worths: dict[tuple, dict[str, object]] = {}
        self._labelled: OrderedDict[tuple, tuple[Selection, Labels]] = OrderedDict()

    @property
    def methods(self) -> list[str]:
        """Selectors that these scores allow."""
        few = [m for m in METHODS if self.scores.relevance is not None or "relevance" not in m]
        return [*few, "all"]

    @property
    def has_known(self) -> bool:
        """Whether a preference is known for any pair."""
        return bool(self._known.any())

    def check(self, state: RuleState) -> None:
        """Refuse what these rules do not allow.

        Parameters
        ----------
        state
            To be shown.

        Raises
        ------
        ValueError
            Naming what is wrong with it, and what is allowed.
        """
        if state.method not in self.methods:
            raise ValueError(f"method is {state.method!r}; allowed: {', '.join(self.methods)}")
        if not 1 <= state.k <= len(self.rules):
            raise ValueError(f"k is {state.k}; allowed: 1 to {len(self.rules)}")
        if state.sort not in self.table.columns:
            raise ValueError(f"sort is {state.sort!r}; allowed: {', '.join(self.table.columns)}")
        for name in (*state.off, *([state.rule] if state.rule else [])):
            if name not in self.place:
                raise ValueError(f"no rule {name!r}; allowed: ids of the {len(self.rules)} rules")
        if len(state.off) >= len(self.rules):
            raise ValueError("every rule is switched off; allowed: one or more on")

    @cached_property
    def table(self) -> pl.DataFrame:
        """A row a rule, in their order.

        Columns rule, category, information (bits, with its interval information_low and
        information_high), accuracy (share of its votes that are right, with accuracy_low and
        accuracy_high; null without known preferences or votes), coverage (share of pairs with a
        vote), sign (``as meant``, ``reversed`` or ``not told``, by `rulekit.sign_audit`),
        redundancy (most that it shares with another rule, of the larger entropy), repeats (that
        rule), tokens (that rating it reads), text.
        """
        n = len(self.rules)
        none = pl.repeat(None, n, dtype=pl.Float64, eager=True)
        worth = dict.fromkeys(("estimate", "low", "high"), none)
        right = [(None, None, None)] * n
        sign = ["not told"] * n
        if self.has_known:
            rows = self._known != 0
            found = rule_information(self._votes[rows], self._known[rows], self.rules.ids)
            worth = {c: found[c].fill_nan(None) for c in worth}
            right = [self._rule_accuracy(j) for j in range(n)]
            audit = sign_audit(self.scores, self._known)
            sign = [
                "reversed" if flagged else "as meant" if p < 0.05 else "not told"
                for flagged, p in audit.select("flagged", "p_reversed").iter_rows()
            ]
        shared = self.shared.copy()
        np.fill_diagonal(shared, -1.0)
        nearest = shared.argmax(axis=1)
        return pl.DataFrame(
            {
                "rule": self.rules.ids,
                "category": self.rules.categories,
                "information": worth["estimate"],
                "information_low": worth["low"],
                "information_high": worth["high"],
                **{
                    name: pl.Series([r[i] for r in right], dtype=pl.Float64)
                    for i, name in enumerate(("accuracy", "accuracy_low", "accuracy_high"))
                },
                "coverage": (self._votes != 0).mean(axis=0),
                "sign": sign,
                "redundancy": shared[np.arange(n), nearest] if n > 1 else none,
                "repeats": [self.rules.ids[j] for j in nearest] if n > 1 else [""],
                "tokens": self.costs,
                "text": self.rules.texts,
            }
        )

    def _rule_accuracy(self, j: int) -> tuple[float | None, float | None, float | None]:
        vote = self._votes[:, j]
        rows = (vote != 0) & (self._known != 0)
        if not rows.any():
            return None, None, None
        right = vote[rows] == self._known[rows]
        return float(right.mean()), *mean_interval(right, self._groups[rows], bounds=(0, 1))

    @cached_property
    def shared(self) -> np.ndarray:
        """`rulekit.information.normalised_redundancy` of the votes, (n_rules, n_rules)."""
        return normalised_redundancy(self._votes)

    @cached_property
    def costs(self) -> np.ndarray:
        """Tokens that rating each rule reads on all pairs, (n_rules,), as `rating_cost` counts."""
        every = self._cost
        lengths = np.array([len(text) for text in self.rules.texts])
        texts = every["ratings"] / len(self.rules)
        return (every["tokens"] / len(self.rules) + texts * (lengths - lengths.mean()) / 4).round()

    @cached_property
    def _correlation(self) -> tuple[np.ndarray, np.ndarray]:
        """Correlations of votes, and which rules have any."""
        varied = np.ptp(self._votes, axis=0) > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.atleast_2d(np.corrcoef(self._votes.T)), varied

    def on(self, state: RuleState) -> np.ndarray:
        """Which rules are on, bool (n_rules,)."""
        return np.array([name not in state.off for name in self.rules.ids])

    def rows(self, state: RuleState) -> np.ndarray:
        """Rows of the rules that the table holds, in its order; missing values come last."""
        self.check(state)
        frame = self.table
        keep = kept(frame, state.filters)
        if state.search.strip():
            words = pl.concat_str("rule", "category", "text", separator="\n").str.to_lowercase()
            found = frame.select(words.str.contains(state.search.strip().lower(), literal=True))
            keep &= found.to_series()
        rows = np.flatnonzero(keep.to_numpy())
        column = frame[state.sort].gather(rows)
        return rows[column.arg_sort(descending=state.descending, nulls_last=True).to_numpy()]

    def labelled(self, state: RuleState) -> tuple[Selection, Labels]:
        """The rules chosen for each pair among those that are on, and the labels they give."""
        key = (state.off, state.method, state.k)
        if key not in self._labelled:
            chosen = self._chosen(state)
            self._labelled[key] = chosen, label(self.scores, chosen)
            if len(self._labelled) > _KEPT:
                self._labelled.popitem(last=False)
        return self._labelled[key]

    def _chosen(self, state: RuleState) -> Selection:
        """As `select` of the columns that are on, without copying them."""
        on = self.on(state)
        n, k = self.scores.n_pairs, min(state.k, int(on.sum()))
        if state.method == "all" or k == on.sum():
            indices = np.broadcast_to(np.flatnonzero(on).astype(np.int32), (n, int(on.sum())))
        elif not state.off:
            indices = np.ascontiguousarray(self._order(state.method)[:, :k])
        else:
            indices = _first(self._order(state.method), on, k)
        return Selection(indices, state.method, len(on), False, self.scores.identity)

    def _order(self, method: str) -> np.ndarray:
        """Rules of every pair, best first, (n_pairs, n_rules), a column after the other in memory."""
        if method not in self._orders:
            found = select(self.scores, self.scores.n_rules, method, seed=self.seed).indices
            self._orders[method] = np.asfortranarray(found)
        return self._orders[method]

    def summary(self, state: RuleState) -> pl.DataFrame:
        """What the rules that are on are worth together, below what all are worth.

        Columns name, rules, accuracy, low, high (of the labels; null without known preferences),
        effective (number of rules), ratings, tokens.
        """
        self.check(state)
        rows = [self._worth("all rules", replace(state, off=frozenset()))]
        if state.off:
            rows.append(self._worth("switched on", state))
        kinds = dict.fromkeys(("accuracy", "low", "high", "effective"), pl.Float64)
        return pl.DataFrame(rows, schema_overrides=kinds)

    def _worth(self, name: str, state: RuleState) -> dict[str, object]:
        key = (state.off, state.method, state.k)
        if key not in self._worths:
            self._worths[key] = self._measured(name, state)
        return self._worths[key]

    def _measured(self, name: str, state: RuleState) -> dict[str, object]:
        on = self.on(state)
        row = {"name": name, "rules": int(on.sum()), "accuracy": None, "low": None, "high": None}
        if self.has_known:
            _, labels = self.labelled(state)
            found = pairwise_accuracy(labels.margin, self._known, self._groups)
            row |= {"accuracy": found.value, "low": found.low, "high": found.high}
        correlation, varied = self._correlation
        voting = np.flatnonzero(on & varied)
        effective = (
            effective_rules(correlation=correlation[np.ix_(voting, voting)]) if len(voting) else 0.0
        )
        return row | {
            "effective": effective,
            "ratings": self._cost["ratings"] // len(on) * int(on.sum()),
            "tokens": int(self.costs[on].sum()),
        }

    @cached_property
    def _cost(self) -> dict[str, object]:
        """What rating all pairs under all rules takes: a row of `rating_cost`."""
        return rating_cost(self.pairs, self.rules, ks=()).row(0, named=True)

    def decided(self, state: RuleState, rule: str) -> pl.DataFrame:
        """Pairs in which a rule decides: it is chosen, and without it the label would be another.

        Columns pair_id, prompt, discrepancy, label, without (``A``, ``B``, ``–``), known, margin; the
        pairs on which it is loudest first.
        """
        chosen, labels = self.labelled(state)
        j = self.place[rule]
        rows = np.flatnonzero((chosen.indices == j).any(axis=1))
        delta = self._delta[rows, j].astype(np.float64)
        without = votes(labels.margin[rows] - delta, chosen.k)
        turned = np.flatnonzero(without != labels.preference[rows])
        turned = turned[np.argsort(-np.abs(delta[turned]), kind="stable")]
        rows, delta, without = rows[turned], delta[turned], without[turned]
        return pl.DataFrame(
            {
                "pair_id": self.pairs["pair_id"].gather(rows),
                "prompt": self._prompts.gather(rows),
                "discrepancy": delta,
                "label": _sides(labels.preference[rows]),
                "without": _sides(without),
                "known": _sides(self._known[rows]),
                "margin": labels.margin[rows],
            }
        )

    @cached_property
    def redundancy(self) -> pl.DataFrame:
        """Two rules a row, in the order of a clustering: see `map_cells`."""
        return map_cells(self.rules.ids, self.shared, self._votes)

    @cached_property
    def map_names(self) -> list[str]:
        """Ids of the rules by their place in the map."""
        return [self.rules.ids[j] for j in map_order(self.shared)]

    def selection(self, state: RuleState) -> pl.DataFrame:
        """The table with a column `on`, all rules in their order."""
        return self.table.with_columns(on=pl.Series(self.on(state)))

    def kept(self, state: RuleState) -> RuleSet:
        """The rules that are on."""
        on = self.on(state)
        rules = tuple(rule for rule, keep in zip(self.rules, on, strict=True) if keep)
        return RuleSet(rules, self.rules.provenance)


def _first(order: np.ndarray, on: np.ndarray, k: int) -> np.ndarray:
    """The first k rules of each row that are on, (n_pairs, k)."""
    found = np.empty((len(order), k), np.int32)
    filled = np.zeros(len(order), np.int64)
    left = np.arange(len(order))
    for column in range(order.shape[1]):
        rules = order[:, column] if len(left) == len(order) else order[left, column]
        use = on[rules]
        rows = left[use]
        found.reshape(-1)[rows * k + filled[rows]] = rules[use]
        filled[rows] += 1
        if column >= k - 1:
            left = left[filled[left] < k]
            if not len(left):
                break
    return found


def _sides(preference: np.ndarray) -> list[str]:
    names: dict[int, str] = {1: "A", -1: "B", 0: "–"}
    return [names[int(y)] for y in preference]

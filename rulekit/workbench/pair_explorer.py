"""The pair explorer without its controls: pairs, scores and a state come in, what it shows goes out.

`pair_explorer_widget` draws it. All pairs are filtered and sorted in Polars; only one page of them
and one pair leave this module.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from rulekit.inputs import RuleSet, Scores, check_pairs, prompt_text
from rulekit.judges import Judge
from rulekit.judges import score as rate
from rulekit.labels import Labels, label
from rulekit.selection import Estimates, Selection, estimate, select
from rulekit.studies import explain_pair
from rulekit.workbench.columns import COLUMNS, in_order, plain_columns, sides
from rulekit.workbench.filters import Filter, kept

PAGE = 50
ORDERS = {
    "": "as they come",
    "uncertain": "most uncertain first",
    "contested": "most contested first",
    "wrong": "label other than known, surest first",
    "random": "random",
}
BY_SIZE = ("max_discrepancy", "lowest_discrepancy", "random")
BY_RELEVANCE = ("relevance", "relevance_discrepancy")
BY_DATA = ("static", "diverse")
BY_ESTIMATES = ("adaptive", "whitened", "log_odds", "discriminant")
_KEPT = 8  # selections in memory
_FIRST_K = 20  # of these methods the first k of 20 are the k
_MOST_KINDS = 40  # columns of a pair that the table shows besides


@dataclass(frozen=True)
class PairState:
    """What is chosen in the pair explorer.

    Attributes
    ----------
    pair
        Id of the pair shown; empty: the first of the list.
    method, k
        Selector and rules a pair.
    order
        One of `ORDERS`: by which the list is walked through; empty with `sort`, or as they come.
    sort, descending
        A column of the list, in place of an order.
    search
        Text that prompt or responses hold, upper and lower case alike.
    filters
        All of which have to hold.
    page
        Of the list, from 0.
    edited
        Texts of both responses in place of their own; None: not edited.
    """

    pair: str = ""
    method: str = "max_discrepancy"
    k: int = 5
    order: str = ""
    sort: str = ""
    descending: bool = False
    search: str = ""
    filters: tuple[Filter, ...] = ()
    page: int = 0
    edited: tuple[str, str] | None = None


class PairTable:
    """Pairs with what rules say of them under any selector and k; the latest are kept.

    Parameters
    ----------
    pairs, scores
        Canonical frame of n_pairs pairs, and scores of them.
    labels
        Labels to show in place of those that the chosen rules give; optional.
    rules
        Texts of the rules; optional.
    judge
        Who rates an edited response; needs `rules`.
    estimates
        For the selectors that need them; None: estimated without labels when first asked for.
    seed
        Of the order ``random``, and as for `rulekit.select`.

    Raises
    ------
    ValueError
        For scores, labels or rules of others, or a judge without rules.
    """

    def __init__(
        self,
        pairs: pl.DataFrame,
        scores: Scores,
        labels: Labels | None = None,
        *,
        rules: RuleSet | None = None,
        judge: Judge | None = None,
        estimates: Estimates | None = None,
        seed: int = 0,
    ) -> None:
        self.pairs = check_pairs(pairs)
        self.scores = scores.of(self.pairs).whole()
        self.given = None if labels is None else labels.aligned(self.pairs)
        self.rules = None if rules is None else in_order(rules, self.scores)
        self.judge, self.seed, self._estimates = judge, seed, estimates
        if judge is not None and rules is None:
            raise ValueError("judge without rules; allowed: rules, by whose texts it rates")
        self.row_of = {name: i for i, name in enumerate(self.pairs["pair_id"])}
        self._delta = self.scores.discrepancy
        self._prompts = pl.Series("prompt", list(map(prompt_text, self.pairs["prompt"])), pl.String)
        self._plain = plain_columns(self.pairs, self._prompts)
        sides = self.pairs.select("response_a", "response_b")
        self._texts = (
            sides.with_columns(self._prompts)
            .select(pl.concat_str("prompt", "response_a", "response_b", separator="\n"))
            .to_series()
            .str.to_lowercase()
        )
        chance = np.random.default_rng(seed).permutation(len(self.pairs))
        self._chance = pl.Series("random", chance)
        self._selections: OrderedDict[tuple, Selection] = OrderedDict()
        self._frames: OrderedDict[tuple, pl.DataFrame] = OrderedDict()
        self._rows: OrderedDict[tuple, np.ndarray] = OrderedDict()
        self._originals: dict[str, Scores] = {}

    @property
    def methods(self) -> list[str]:
        """Selectors that these scores allow without labels of other pairs."""
        more = BY_RELEVANCE if self.scores.relevance is not None else ()
        found = [*BY_SIZE, *more, *BY_DATA]
        return [*found, *(BY_ESTIMATES if self.scores.n_pairs > 1 else ()), "all"]

    @property
    def columns(self) -> list[str]:
        """Columns that the list can be filtered and sorted by."""
        return [*COLUMNS, *self._plain.columns[2:]]

    def check(self, state: PairState) -> None:
        """Refuse what these pairs do not allow.

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
        if not 1 <= state.k <= self.scores.n_rules:
            raise ValueError(f"k is {state.k}; allowed: 1 to {self.scores.n_rules}")
        if state.order not in ORDERS:
            raise ValueError(f"order is {state.order!r}; allowed: {', '.join(map(repr, ORDERS))}")
        if state.sort and state.sort not in self.columns:
            raise ValueError(f"sort is {state.sort!r}; allowed: {', '.join(self.columns)}")
        if state.pair and state.pair not in self.row_of:
            raise ValueError(f"no pair {state.pair!r}; allowed: one of the {len(self.pairs):,}")

    def selection(self, method: str, k: int) -> Selection:
        """The rules chosen for every pair.

        Parameters
        ----------
        method, k
            As for `rulekit.select`.
        """
        depth = self._depth(method, k)
        found = _cached(self._selections, (method, depth), lambda: self._selected(method, depth))
        return (
            found if k == depth or method == "all" else replace(found, indices=found.indices[:, :k])
        )

    def _selected(self, method: str, k: int) -> Selection:
        given = self._believed() if method in BY_ESTIMATES else None
        return select(self.scores, k, method, seed=self.seed, estimates=given)

    def _believed(self) -> Estimates:
        if self._estimates is None:
            self._estimates = estimate(self.scores)
        return self._estimates

    def labels(self, method: str, k: int) -> Labels:
        """What is shown as the label: the one given, or else that of the chosen rules.

        Parameters
        ----------
        method, k
            As for `rulekit.select`. Rules that estimates chose are weighted by them.
        """
        if self.given is not None:
            return self.given
        return self._labelled(self.scores, self.selection(method, k), method)

    def _labelled(self, scores: Scores, selection: Selection, method: str) -> Labels:
        if method in BY_ESTIMATES:
            return label(scores, selection, "weighted", estimates=self._believed())
        return label(scores, selection)

    def frame(self, state: PairState) -> pl.DataFrame:
        """Every pair with its label, a row a pair in their order.

        Columns pair_id, prompt (its beginning), label and known (``A``, ``B``, ``–``), confidence,
        margin, contested (Σ|δ| of the chosen rules on the weaker side), agrees (null where one of
        the two is missing), random (a rank) and the plain columns of the pairs.
        """
        return _cached(self._frames, (state.method, state.k), lambda: self._framed(state))

    def _framed(self, state: PairState) -> pl.DataFrame:
        found = self.labels(state.method, state.k)
        chosen = self.selection(state.method, state.k).indices
        delta = np.take_along_axis(self._delta, chosen, axis=1)
        for_a = np.where(delta > 0, delta, 0).sum(axis=1, dtype=np.float64)
        for_b = for_a - delta.sum(axis=1, dtype=np.float64)
        known = self.pairs["preference"].fill_null(0)
        return self._plain.select(
            "pair_id",
            "prompt",
            label=sides(pl.Series(found.preference)),
            confidence=pl.Series(found.confidence),
            margin=pl.Series(found.margin),
            contested=pl.Series(np.minimum(for_a, np.maximum(for_b, 0))),
            known=sides(known),
            agrees=pl.Series(found.preference * known.to_numpy()).replace_strict(
                {1: True, -1: False, 0: None}, return_dtype=pl.Boolean
            ),
            random=self._chance,
        ).hstack(self._plain.drop("pair_id", "prompt").get_columns())

    def rows(self, state: PairState) -> np.ndarray:
        """Rows of the pairs that the list holds, in its order."""
        self.check(state)
        which = (state.method, state.k, state.order, state.sort, state.descending)
        key = (*which, state.search, state.filters)
        return _cached(self._rows, key, lambda: self._listed(state))

    def _listed(self, state: PairState) -> np.ndarray:
        frame = self.frame(state)
        keep = kept(frame, state.filters)
        if state.search.strip():
            keep &= self._texts.str.contains(state.search.strip().lower(), literal=True)
        if state.order == "wrong":
            keep &= ~frame["agrees"].fill_null(True)
        rows = np.flatnonzero(keep.to_numpy())
        by = {"uncertain": "confidence", "contested": "contested", "wrong": "confidence"}
        column = by.get(state.order, state.order) or state.sort
        if not column:
            return rows
        down = state.order in ("contested", "wrong") or (not state.order and state.descending)
        order = frame[column].gather(rows).arg_sort(descending=down, nulls_last=True)
        return rows[order.to_numpy()]

    def shown(self, state: PairState, rows: np.ndarray) -> int | None:
        """Row of the pair that is shown: the one chosen, or else the first of the list."""
        if state.pair:
            return self.row_of[state.pair]
        return int(rows[0]) if len(rows) else None

    def page(self, state: PairState, rows: np.ndarray) -> pl.DataFrame:
        """The rows of the list's page.

        Parameters
        ----------
        state
            Names the page; one behind the last is the last.
        rows
            From `rows`.
        """
        last = max(0, -(-len(rows) // PAGE) - 1)
        first = PAGE * min(max(state.page, 0), last)
        frame = self.frame(state)
        more = [c for c in frame.columns if c not in (*COLUMNS, "random")][:_MOST_KINDS]
        return frame[rows[first : first + PAGE]].select(*COLUMNS, *more)

    def step(self, state: PairState, by: int = 1) -> PairState:
        """The state at the next pair of the list, or `by` pairs on, with the page that it stands on."""
        rows = self.rows(state)
        if not len(rows):
            return state
        at = np.flatnonzero(rows == self.shown(state, rows))
        place = int(np.clip(at[0] + by, 0, len(rows) - 1)) if len(at) else 0
        name = self.pairs["pair_id"][int(rows[place])]
        return replace(state, pair=name, page=place // PAGE, edited=None)

    def explained(self, state: PairState, row: int) -> pl.DataFrame:
        """Every rule on one pair, the loudest first, of equally loud ones those that are chosen first.

        Columns rule, text, category, discrepancy, chosen.
        """
        chosen = self.selection(state.method, state.k).rows([row])
        found = explain_pair(self.scores.rows([row]), chosen, 0, self.scores.n_rules)
        best = self.selection(state.method, self._depth(state.method, state.k)).indices[row]
        place = {self.scores.names[j]: i for i, j in enumerate(best.tolist())}
        first = pl.Series("first", [place.get(name, len(place)) for name in found["rule"]])
        found = found.with_columns(first).sort(
            pl.col("discrepancy").abs(), -pl.col("first"), descending=True, maintain_order=True
        )
        return self._with_texts(found.drop("first"))

    def _depth(self, method: str, k: int) -> int:
        """How many rules are chosen at a time, of which the first k are the k."""
        if method in (*BY_SIZE, *BY_RELEVANCE):
            return min(max(k, _FIRST_K), self.scores.n_rules)
        return k

    def _with_texts(self, frame: pl.DataFrame) -> pl.DataFrame:
        if self.rules is None:
            return frame.with_columns(text=pl.lit(""), category=pl.lit(""))
        about = {
            "rule": self.rules.ids,
            "text": self.rules.texts,
            "category": self.rules.categories,
        }
        return frame.join(pl.DataFrame(about), on="rule", how="left", maintain_order="left")

    def rated_again(self, state: PairState) -> dict[str, object]:
        """What moves when the judge rates the edited responses in place of the pair's own.

        Both are rated by the judge, so that nothing else moves.

        Returns
        -------
        ``rules`` (rule, text, before, after, moved: discrepancies and their difference, what moved
        most first), ``before`` and ``after`` (`Labels` of one pair).

        Raises
        ------
        ValueError
            Without a judge, a pair or an edit, and for responses that are empty or equal.
        """
        row = self.shown(state, self.rows(state))
        if self.judge is None or state.edited is None or row is None:
            raise ValueError("nothing to rate; allowed: a judge, and edited responses of a pair")
        one = self.pairs[row : row + 1].select(
            "pair_id", "prompt", "response_a", "response_b", "preference"
        )
        a, b = state.edited
        new = check_pairs(one.with_columns(response_a=pl.lit(a), response_b=pl.lit(b)))
        name = one["pair_id"][0]
        if name not in self._originals:
            self._originals[name] = rate(one, self.rules, self.judge)
        both = self._originals[name], rate(new, self.rules, self.judge)
        before, after = (self._one_label(s, state, row) for s in both)
        moves = pl.DataFrame(
            {
                "rule": self.rules.ids,
                "before": both[0].discrepancy[0].astype(float),
                "after": both[1].discrepancy[0].astype(float),
            }
        ).with_columns(moved=pl.col("after") - pl.col("before"))
        moves = moves.sort(pl.col("moved").abs(), descending=True, maintain_order=True)
        return {"rules": self._with_texts(moves).drop("category"), "before": before, "after": after}

    def _one_label(self, scores: Scores, state: PairState, row: int) -> Labels:
        if state.method in BY_DATA:
            chosen = self.selection(state.method, state.k).rows([row])
        else:
            given = self._believed() if state.method in BY_ESTIMATES else None
            chosen = select(scores, state.k, state.method, seed=self.seed, estimates=given)
        return self._labelled(scores, chosen, state.method)

    def cost(self, state: PairState) -> str:
        """What rating again asks the judge for, in words."""
        return (
            f"asks the judge for up to 4 responses under {self.scores.n_rules} rules: the edited "
            "ones, and once those of the pair"
        )


def _cached(kept_: OrderedDict, key: tuple, make) -> object:
    if key not in kept_:
        kept_[key] = make()
        if len(kept_) > _KEPT:
            kept_.popitem(last=False)
    kept_.move_to_end(key)
    return kept_[key]

"""Rating less than everything: the rules an adapter names, or rule after rule until it is enough.

Built on `annotate`: the same store, the same judge, the same ledger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from rulekit.annotate import PairWork, Rater
from rulekit.label import Labels, label
from rulekit.rules import RuleSet
from rulekit.scores import Scores
from rulekit.select import Selection
from rulekit.store import Store


class NamesRules(Protocol):
    """What names the rules of a pair before anything is rated, such as a Rule Adapter."""

    def select(self, pairs: pl.DataFrame, k: int) -> Selection:
        """The k rules of each pair, best first."""


@dataclass(frozen=True, eq=False)
class AdaptiveRatings:
    """Ratings of the rules that were named for each pair.

    Attributes
    ----------
    selection
        The named rules, (n_pairs, k).
    scores
        Of these rules only, (n_pairs, k): column i is the i-th rule of the pair's selection.
    """

    selection: Selection
    scores: Scores

    def labels(self, **settings) -> Labels:
        """Labels from the named rules; `settings` as for `rulekit.label`."""
        return label(self.scores, _every(self.scores), **settings)


@dataclass(frozen=True, eq=False)
class AnytimeLabels:
    """Labels that were rated for until they were sure, or rules ran out.

    Attributes
    ----------
    margin, preference, confidence
        As in `rulekit.label.Labels`, (n_pairs,) each.
    n_rated
        Rules that were looked at for each pair, (n_pairs,).
    """

    margin: np.ndarray
    preference: np.ndarray
    confidence: np.ndarray
    n_rated: np.ndarray


def annotate_adaptive(
    pairs: pl.DataFrame,
    rules: RuleSet,
    judge: Rater,
    store: Store | str | Path,
    adapter: NamesRules,
    k: int = 5,
    **settings,
) -> AdaptiveRatings:
    """Rate only the k rules that the adapter names for each pair.

    Parameters
    ----------
    adapter
        A trained `RuleAdapter`, or anything with its `select`.
    k
        Rules a pair.
    pairs, rules, judge, store, settings
        As for `annotate`, errors too.
    """
    selection = _order(adapter, pairs, rules, k)
    work = PairWork(pairs, rules, judge, store, **settings)
    with work:
        work.rate(work.mask(np.arange(len(pairs)), selection.indices))
    return AdaptiveRatings(selection, work.scores(np.arange(len(pairs)), selection.indices))


def annotate_anytime(
    pairs: pl.DataFrame,
    rules: RuleSet,
    judge: Rater,
    store: Store | str | Path,
    adapter: NamesRules,
    threshold: float = 0.95,
    *,
    max_rules: int | None = None,
    step: int = 1,
    beta: float = 1.0,
    **settings,
) -> AnytimeLabels:
    """Rate rules in the adapter's order until the label of the pair is sure enough.

    Parameters
    ----------
    threshold
        Confidence in [0.5, 1] from which on no further rule is rated.
    max_rules
        Rules a pair at most; all by default.
    step
        Rules rated at a time: more at once are cheaper a rule for most judges.
    beta
        Slope of the confidence, as for `rulekit.label`.
    pairs, rules, judge, store, adapter, settings
        As for `annotate_adaptive`.
    """
    if not 0.5 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; allowed: 0.5 to 1")
    if step < 1:
        raise ValueError(f"step is {step}; allowed: 1 or more")
    order = _order(adapter, pairs, rules, max_rules or len(rules)).indices
    n = len(pairs)
    out = AnytimeLabels(np.zeros(n), np.zeros(n, np.int8), np.full(n, 0.5), np.zeros(n, np.int32))
    work = PairWork(pairs, rules, judge, store, **settings)
    open_pairs = np.arange(n)
    with work:
        for seen in range(0, order.shape[1], step):
            upto = min(seen + step, order.shape[1])
            work.rate(work.mask(open_pairs, order[open_pairs, seen:upto]))
            scores = work.scores(open_pairs, order[open_pairs, :upto])
            labels = label(scores, _every(scores), beta=beta)
            out.margin[open_pairs] = labels.margin
            out.preference[open_pairs] = labels.preference
            out.confidence[open_pairs] = labels.confidence
            out.n_rated[open_pairs] = upto
            open_pairs = open_pairs[labels.confidence < threshold]
            if not len(open_pairs):
                break
    return out


def cost_curve(
    scores: Scores,
    orders: Mapping[str, Selection],
    preference,
    *,
    groups=None,
    thresholds=(0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999),
    beta: float = 1.0,
    seed: int = 0,
) -> pl.DataFrame:
    """Accuracy against cost: what stopping early would have given on pairs that are fully rated.

    Parameters
    ----------
    scores
        Of n_pairs pairs under all rules.
    orders
        Name → order in which rules are rated, (n_pairs, k), best first: a Rule Adapter's, a
        random one's.
    preference, groups, seed
        As for `evaluate.pairwise_accuracy`.
    thresholds
        Confidences to stop at.
    beta
        Slope of the confidence.

    Returns
    -------
    One row an order and stop: order, stop (``confidence`` or ``first k``), setting (the threshold,
    or k), rules (mean a pair), cost (share of all ratings), value, low, high, n. The 95 % interval
    is Wilson's, or with `groups` a bootstrap over them.
    """
    from rulekit.evaluate import pairwise_accuracy

    rows = []
    for name, order in orders.items():
        delta = np.take_along_axis(scores.discrepancy.astype(float), order.indices, axis=1)
        margin = np.cumsum(delta, axis=1)  # (n_pairs, k)
        confidence = 1 / (1 + np.exp(-beta * np.abs(margin)))
        stops = [("confidence", t, _first(confidence >= t)) for t in thresholds]
        every = np.unique(np.geomspace(1, order.k, 12).round().astype(int))
        stops += [("first k", k, np.full(len(margin), k - 1)) for k in every]
        for stop, setting, last in stops:
            reached = margin[np.arange(len(margin)), last]
            reached[np.abs(reached) < 1e-6 * (last + 1)] = 0.0  # float32 scores: a tie
            accuracy = pairwise_accuracy(reached, preference, groups, seed=seed)
            used = float(last.mean() + 1)
            low, high = accuracy.low, accuracy.high
            if groups is not None:
                low, high = accuracy.cluster_low, accuracy.cluster_high
            rows.append({"order": name, "stop": stop, "setting": float(setting), "rules": used,
                         "cost": used / scores.n_rules, "value": accuracy.value,
                         "low": low, "high": high, "n": accuracy.n})  # fmt: skip
    return pl.DataFrame(rows)


def _order(adapter: NamesRules, pairs: pl.DataFrame, rules: RuleSet, k: int) -> Selection:
    if not 1 <= k <= len(rules):
        raise ValueError(f"k is {k}; allowed: 1 to {len(rules)}")
    selection = adapter.select(pairs, k)
    if selection.n_rules != len(rules) or len(selection.indices) != len(pairs):
        raise ValueError(
            f"the adapter names {selection.n_rules} rules for {len(selection.indices)} pairs; "
            f"allowed: {len(rules)} for {len(pairs)}"
        )
    return selection


def _every(scores: Scores) -> Selection:
    columns = np.arange(scores.n_rules, dtype=np.int32)
    return Selection(np.tile(columns, (scores.n_pairs, 1)), "all", scores.n_rules)


def _first(reached: np.ndarray) -> np.ndarray:
    """First column that is True in each row, or the last column."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1] - 1)

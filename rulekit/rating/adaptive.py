"""Rating less than everything: the rules an adapter names, or rule after rule until it is enough.

Pairs, rules, a judge, a store and an adapter come in; scores of the named rules, or labels, go
out. As in `annotation`, `job` does it: the same store, the same judge, the same ledger.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores, votes
from rulekit.judges.contract import Rater
from rulekit.labels import Labels, label
from rulekit.rating.job import pair_job
from rulekit.rating.store import Store
from rulekit.selection.registry import Selection


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
        As in `rulekit.Labels`, (n_pairs,) each.
    n_rated
        Rules that were looked at for each pair, (n_pairs,).
    """

    margin: np.ndarray
    preference: np.ndarray
    confidence: np.ndarray
    n_rated: np.ndarray

    def rows(self, index: np.ndarray) -> AnytimeLabels:
        """The labels of some pairs: an integer or boolean index."""
        fields = (self.margin, self.preference, self.confidence, self.n_rated)
        return AnytimeLabels(*(f[index] for f in fields))


def annotate_adaptive(
    pairs: pl.DataFrame,
    rules: RuleSet,
    judge: Rater,
    store: Store | str | Path,
    adapter: NamesRules,
    k: int | None = None,
    **settings,
) -> AdaptiveRatings:
    """Rate only the k rules that the adapter names for each pair.

    Parameters
    ----------
    pairs, rules, judge, store, settings
        As for `annotate`.
    adapter
        A trained `RuleAdapter`, or anything with its `select`.
    k
        Rules a pair; 5 by default, or all where there are fewer.

    Returns
    -------
    The named rules of each pair and their scores.

    Raises
    ------
    ValueError
        As for `annotate`, and if the adapter was trained on other rules.
    Incomplete
        As for `annotate`; `result` holds the selection and the scores of the complete pairs.
    """
    selection = _order(adapter, pairs, rules, min(5, len(rules)) if k is None else k)
    job = pair_job(pairs, rules, judge, store, **settings)
    with job:
        every = np.arange(len(pairs))
        job.rate(job.named(every, selection.indices))
        complete, scores = job.scores(every, selection.indices)
        named = Selection(selection.indices[complete], selection.method, selection.n_rules)
        result = None if scores is None else AdaptiveRatings(named, scores)
        job.finish(complete, result)
    return result


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
    pairs, rules, judge, store, adapter, settings
        As for `annotate_adaptive`.
    threshold
        Confidence in [0.5, 1] from which on no further rule is rated.
    max_rules
        Rules a pair at most; all by default.
    step
        Rules rated at a time: more at once are cheaper a rule for most judges.
    beta
        Slope of the confidence, as for `rulekit.label`.

    Returns
    -------
    The label of each pair, and how many rules it took.

    Raises
    ------
    ValueError
        As for `annotate_adaptive`, and for a threshold, a step or a `max_rules` out of range.
    Incomplete
        As for `annotate`; `result` has the labels of the pairs whose ratings so far are all there.
    """
    if not 0.5 <= threshold <= 1:
        raise ValueError(f"threshold is {threshold}; allowed: 0.5 to 1")
    if step < 1:
        raise ValueError(f"step is {step}; allowed: 1 or more")
    most = len(rules) if max_rules is None else max_rules
    order = _order(adapter, pairs, rules, most).indices
    n = len(pairs)
    out = AnytimeLabels(np.zeros(n), np.zeros(n, np.int8), np.full(n, 0.5), np.zeros(n, np.int32))
    job = pair_job(pairs, rules, judge, store, **settings)
    open_pairs, complete = np.arange(n), np.ones(n, bool)
    with job:
        for seen in range(0, most, step):
            upto = min(seen + step, most)
            job.rate(job.named(open_pairs, order[open_pairs, seen:upto]))
            there, scores = job.scores(open_pairs, order[open_pairs, :upto])
            complete[open_pairs[~there]] = False
            open_pairs = open_pairs[there]
            if scores is None:
                break
            labels = label(scores, _every(scores), beta=beta)
            out.margin[open_pairs] = labels.margin
            out.preference[open_pairs] = labels.preference
            out.confidence[open_pairs] = labels.confidence
            out.n_rated[open_pairs] = upto
            open_pairs = open_pairs[labels.confidence < threshold]
            if not len(open_pairs):
                break
        job.finish(complete, out.rows(complete))
    return out


def cost_curve(
    scores: Scores,
    orders: Mapping[str, Selection],
    preference,
    *,
    groups=None,
    thresholds=(0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999),
    beta: float = 1.0,
    tokens: tuple[float, float] | None = None,
    step: int = 1,
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
        As for `rulekit.measures.pairwise_accuracy`.
    thresholds
        Confidences to stop at.
    beta
        Slope of the confidence.
    tokens
        Tokens of a response and its instruction, read once for each call of the judge, and of a
        rule, on average; a judge's `report` or `ledger` tells them.
    step
        Rules rated in a call, for the tokens: each further call reads the response again.

    Returns
    -------
    One row an order and stop: order, stop (``confidence`` or ``first k``), setting (the threshold,
    or k), rules (mean a pair), cost (share of all ratings), tokens (mean a pair; null where
    `tokens` is not given), token_cost (their share of those of all rules in one call), value, low,
    high, n. The 95 % interval is Wilson's, or with `groups` a bootstrap over them.
    """
    from rulekit.measures import pairwise_accuracy

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
            reached = reached * np.abs(votes(reached, last + 1))  # a tie is none
            accuracy = pairwise_accuracy(reached, preference, groups, seed=seed)
            used = float(last.mean() + 1)
            read = _tokens(last + 1, step, tokens)
            whole = _tokens(np.array([scores.n_rules]), scores.n_rules, tokens)
            low, high = accuracy.low, accuracy.high
            if groups is not None:
                low, high = accuracy.cluster_low, accuracy.cluster_high
            rows.append(
                {
                    "order": name,
                    "stop": stop,
                    "setting": float(setting),
                    "rules": used,
                    "cost": used / scores.n_rules,
                    "tokens": read,
                    "token_cost": None if read is None else read / whole,
                    "value": accuracy.value,
                    "low": low,
                    "high": high,
                    "n": accuracy.n,
                }
            )
    return pl.DataFrame(rows)


def _tokens(n_rated: np.ndarray, step: int, tokens: tuple[float, float] | None) -> float | None:
    """Mean tokens of a pair, two responses, under so many rules rated `step` at a time."""
    if tokens is None:
        return None
    shared, own = tokens
    return float(2 * (np.ceil(n_rated / step) * shared + n_rated * own).mean())


def _order(adapter: NamesRules, pairs: pl.DataFrame, rules: RuleSet, k: int) -> Selection:
    if not 1 <= k <= len(rules):
        raise ValueError(f"{k} rules a pair; allowed: 1 to {len(rules)}")
    trained_on = getattr(adapter, "rules_hash", None)
    if trained_on not in (None, "", rules.hash):
        raise ValueError(
            f"the adapter was trained on the rule set {trained_on[:16]}…; allowed: {rules.hash[:16]}…"
        )
    if trained_on == "":
        warnings.warn(
            "the adapter does not say which rules it was trained on: only their number is checked",
            stacklevel=3,
        )
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

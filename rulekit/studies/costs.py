"""Accuracy against cost: rules rated in an order until the label is sure, on pairs rated in full.

Scores, orders and known preferences come in, a frame goes out. Notebook 17 shows it;
`rulekit.annotate` with `until` does it on new pairs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from rulekit.inputs.scores import Scores, votes
from rulekit.measures import pairwise_accuracy
from rulekit.selection.registry import Selection


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
) -> pl.DataFrame:
    """Accuracy against cost: what stopping early would have given on pairs that are fully rated.

    Parameters
    ----------
    scores
        Of n_pairs pairs under all rules.
    orders
        Name → order in which rules are rated, (n_pairs, k), best first: a Rule Adapter's, a
        random one's.
    preference, groups
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
    high, n. The 95 % interval allows for pairs of one group being alike.
    """
    rows = []
    delta_of = scores.whole().discrepancy.astype(float)
    for name, order in orders.items():
        order = order.aligned(scores.identity, f"order {name!r}")
        delta = np.take_along_axis(delta_of, order.indices, axis=1)
        margin = np.cumsum(delta, axis=1)  # (n_pairs, k)
        confidence = 1 / (1 + np.exp(-beta * np.abs(margin)))
        stops = [("confidence", t, _first(confidence >= t)) for t in thresholds]
        every = np.unique(np.geomspace(1, order.k, 12).round().astype(int))
        stops += [("first k", k, np.full(len(margin), k - 1)) for k in every]
        for stop, setting, last in stops:
            reached = margin[np.arange(len(margin)), last]
            reached = reached * np.abs(votes(reached, last + 1))  # a tie is none
            accuracy = pairwise_accuracy(reached, preference, groups)
            used = float(last.mean() + 1)
            read = _tokens(last + 1, step, tokens)
            whole = _tokens(np.array([scores.n_rules]), scores.n_rules, tokens)
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
                    "low": accuracy.low,
                    "high": accuracy.high,
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


def _first(reached: np.ndarray) -> np.ndarray:
    """First column that is True in each row, or the last column."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1] - 1)

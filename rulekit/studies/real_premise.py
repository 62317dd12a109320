"""Is a rule's vote more often right where |δ| is larger? Scores and preferences in, frames out.

That is what the theorem on maximum discrepancy assumes. Of the curve over all votes, the same within
rules, each rule's own; and how near the largest |δ| come to the best five. Notebook 19 shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl
from scipy.stats import false_discovery_control

from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import label
from rulekit.measures import bootstrap, mean_accuracy, mean_difference
from rulekit.selection.estimates import estimate
from rulekit.selection.registry import select
from rulekit.studies.gains import truth_of
from rulekit.studies.selection_accuracy import rule_orders

_EDGES = (0.0, 0.75, 1.25, 1.75, 2.0)  # readings have |δ| of ½, 1, 1½ and 2
_LARGE = 1.0  # |δ| from it on is large, below small
_RISE = ("rise", "rise_low", "rise_high")
_LEAST = 20  # votes of a rule before its direction is spoken of


def premise_curve(
    pairs: pl.DataFrame, scores: Scores, edges: Sequence[float] = _EDGES
) -> pl.DataFrame:
    """How often a rule's vote is people's choice, by size of its discrepancy, all rules together.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores; pairs without a known preference do not count.
    edges
        Of the bins of \\|δ\\|, rising from 0; a bin holds its upper end.

    Returns
    -------
    A row a bin that has votes: ``low_size``, ``high_size``, ``size`` (mean \\|δ\\|), ``value`` (share
    right), its 95 % interval over prompts ``low`` and ``high``, ``n`` votes, ``n_groups`` prompts.

    Raises
    ------
    ValueError
        For edges that do not rise from 0.
    """
    edges = list(edges)
    if len(edges) < 2 or edges[0] != 0 or (np.diff(edges) <= 0).any():
        raise ValueError(f"edges are {edges}; allowed: rising numbers from 0")
    size, right, _, groups = _votes(pairs, scores)
    rows = []
    for low, high in pairwise(edges):
        use = (size > low) & (size <= high)
        if not use.any():
            continue
        found = mean_accuracy(right[use], groups[use])
        row = {"low_size": low, "high_size": high, "size": float(size[use].mean())}
        row |= {"value": found.value, "low": found.low, "high": found.high}
        rows.append(row | {"n": found.n, "n_groups": found.n_groups})
    kinds = dict.fromkeys(("low_size", "high_size", "size", "value", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema=kinds | {"n": pl.Int64, "n_groups": pl.Int64})


def premise_slopes(
    pairs: pl.DataFrame, scores: Scores, seed: int = 0, resamples: int = 1000
) -> pl.DataFrame:
    """How much more often a vote is right with one unit of \\|δ\\| more: over all votes, and within rules.

    Parameters
    ----------
    pairs, scores
        As for `premise_curve`.
    seed, resamples
        Of the bootstrap over prompts.

    Returns
    -------
    Two rows, ``name`` (``all votes``, ``within rules``), ``value``, ``low`` and ``high``: the slope of
    least squares. Within rules each rule has its own level, so that loud rules that are right more
    often make no slope.
    """
    size, right, rule, groups = _votes(pairs, scores)
    one = np.zeros(len(rule), np.intp)
    rows = []
    for name, level in (("all votes", one), ("within rules", rule)):
        slope = _slope(size, right, np.unique(level, return_inverse=True)[1])
        low, high = bootstrap(slope, groups.tolist(), resamples=resamples, seed=seed)
        value = float(slope(np.ones((1, len(size))))[0])
        rows.append({"name": name, "value": value, "low": float(low), "high": float(high)})
    return pl.DataFrame(rows)


def _slope(x: np.ndarray, y: np.ndarray, level: np.ndarray):
    """Slope of y on x with a level each: a function of weights (draws, n) that gives (draws,)."""
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.diff(level[order], prepend=-1))
    products = np.stack([np.ones(len(x)), x, y, x * x, x * y])[:, order]

    def slope(weights: np.ndarray) -> np.ndarray:
        w, sx, sy, sxx, sxy = (
            np.add.reduceat(weights[:, order] * p, starts, axis=1) for p in products
        )
        w = np.maximum(w, 1e-12)  # a level that was not drawn has no part
        apart = (sxx - sx * sx / w).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(apart > 1e-9, (sxy - sx * sy / w).sum(axis=1) / apart, np.nan)

    return slope


def rule_directions(
    pairs: pl.DataFrame, scores: Scores, least: int = _LEAST, seed: int = 0
) -> pl.DataFrame:
    """Rule by rule: how often its vote is people's choice, and whether more often where \\|δ\\| is large.

    Parameters
    ----------
    pairs, scores
        As for `premise_curve`.
    least
        Votes that a rule needs for a test.
    seed
        Of the test.

    Returns
    -------
    A row a rule: ``rule``, ``votes``; ``value``, ``low``, ``high``, share right with its 95 %
    interval over prompts; ``q``, of the hypothesis of one half, sign flips over prompts, after
    Benjamini and Hochberg over the rules with `least` votes or more; ``large`` and ``small``, share
    right where \\|δ\\| is 1 or more, and less; ``rise``, how much more often it is right with one unit
    of \\|δ\\| more, and its interval ``rise_low`` and ``rise_high``, a bootstrap over prompts, null for a
    rule with fewer votes or one size; ``says``: ``with people``, ``against people`` (q below
    .05), ``cannot be told``, ``few votes`` or ``never votes``.
    """
    size, right, rule, groups = _votes(pairs, scores)
    rows = []
    for j, name in enumerate(scores.of(pairs).names):
        own = rule == j
        row = {"rule": name, "votes": int(own.sum()), "value": None, "low": None, "high": None}
        row |= dict.fromkeys(("p", "large", "small", *_RISE))
        if own.any():
            found = mean_accuracy(right[own], groups[own])
            row |= {"value": found.value, "low": found.low, "high": found.high}
            if own.sum() >= least:
                gain = mean_difference(right[own] - 0.5, groups[own], seed=seed)
                row["p"] = gain.p_value
                row |= _rise(size[own], right[own], groups[own], seed)
        for side, part in (("large", size >= _LARGE), ("small", size < _LARGE)):
            if (own & part).any():
                row[side] = float(right[own & part].mean())
        rows.append(row)
    frame = pl.DataFrame(rows, infer_schema_length=None).cast(
        dict.fromkeys(("value", "low", "high", "p", "large", "small", *_RISE), pl.Float64)
    )
    tested = frame["p"].is_not_null().to_numpy()
    q = np.full(len(frame), np.nan)
    if tested.any():
        q[tested] = false_discovery_control(frame["p"].drop_nulls().to_numpy())
    frame = frame.with_columns(q=pl.Series(q).fill_nan(None))
    says = (
        pl.when(pl.col("votes") == 0)
        .then(pl.lit("never votes"))
        .when(pl.col("votes") < least)
        .then(pl.lit("few votes"))
        .when((pl.col("q") < 0.05) & (pl.col("value") > 0.5))
        .then(pl.lit("with people"))
        .when((pl.col("q") < 0.05) & (pl.col("value") < 0.5))
        .then(pl.lit("against people"))
        .otherwise(pl.lit("cannot be told"))
    )
    columns = ["rule", "votes", "value", "low", "high", "q", "large", "small", *_RISE]
    return frame.select(*columns, says=says).sort("votes", "rule", descending=[True, False])


def _rise(size: np.ndarray, right: np.ndarray, groups: np.ndarray, seed: int) -> dict:
    """Slope of right on size of one rule, with its interval; nothing where all votes have one size."""
    if np.ptp(size) < 1e-6:
        return {}
    slope = _slope(size, right, np.zeros(len(size), np.intp))
    low, high = bootstrap(slope, groups.tolist(), resamples=500, seed=seed)
    return dict(zip(_RISE, (float(slope(np.ones((1, len(size))))[0]), low, high), strict=True))


def best_five(
    pairs: pl.DataFrame, scores: Scores, k: int = 5, seed: int = 0, orders: int = 20
) -> pl.DataFrame:
    """Maximum discrepancy beside rules chosen with knowledge of how often each is right.

    Parameters
    ----------
    pairs, scores
        As for `premise_curve`.
    k
        Rules per pair.
    seed, orders
        Of the folds, and of the random orders in which tied rules are taken.

    Returns
    -------
    Three rows: ``name``, fields of `rulekit.measures.Accuracy`, ``over``, ``over_low``, ``over_high``,
    ``over_p``, the paired difference to maximum discrepancy, null for itself. `log_odds` chooses and
    the weighted sum labels: with all preferences of the other folds' prompts, and in hindsight, with
    those of the pairs themselves, which is too good to be had and an upper end.
    """
    scores, y = scores.of(pairs), truth_of(pairs)
    known, groups = y != 0, prompt_groups(pairs).to_numpy()[y != 0]
    largest = (rule_orders(pairs, scores, k, "max_discrepancy", orders, seed) * y + 1) / 2
    rights = {"maximum discrepancy": largest.mean(axis=0)}
    fold, margin = np.array(folds(pairs, seed=seed)), np.zeros(len(pairs))
    every = np.where(known, y, np.nan)
    for f in range(fold.max() + 1):
        own = fold == f
        found = _turned_estimate(scores.rows(~own), every[~own], seed)
        margin[own] = _weighted(scores.rows(own), k, found, seed)
    rights["known from other prompts"] = (np.sign(margin) * y + 1) / 2
    hindsight = _weighted(scores, k, _turned_estimate(scores, every, seed), seed)
    rights["in hindsight"] = (np.sign(hindsight) * y + 1) / 2
    rows = []
    for name, right in rights.items():
        row = {"name": name} | mean_accuracy(right[known], groups).as_dict()
        gain = mean_difference((right - rights["maximum discrepancy"])[known], groups, seed=seed)
        told = {"over": gain.value, "over_low": gain.low, "over_high": gain.high}
        told |= {"over_p": gain.p_value}
        rows.append(row | (told if len(rows) else dict.fromkeys(told)))
    return pl.DataFrame(rows, infer_schema_length=None).drop("ties")


def _turned_estimate(scores: Scores, y: np.ndarray, seed: int):
    """`estimate` with responses exchanged at random: nothing can be had from which came first."""
    turn = np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), len(y))
    half = scores.discrepancy * turn[:, None] / 2
    turned = Scores(half, -half, identity=scores.identity)
    return estimate(turned, y * turn)


def _weighted(scores: Scores, k: int, found, seed: int) -> np.ndarray:
    chosen = select(scores, k, "log_odds", estimates=found, seed=seed)
    return label(scores, chosen, "weighted", estimates=found).margin


def _votes(pairs: pl.DataFrame, scores: Scores) -> tuple[np.ndarray, ...]:
    """Every vote on a known pair: size of δ, right or not, its rule, its prompt; (n_votes,) each."""
    scores, y = scores.of(pairs).whole(), truth_of(pairs)
    votes = scores.votes * (y != 0)[:, None]
    row, rule = np.nonzero(votes)
    right = (votes[row, rule] == y[row]).astype(float)
    size = np.abs(scores.discrepancy[row, rule]).astype(float)
    return size, right, rule, prompt_groups(pairs).to_numpy()[row]

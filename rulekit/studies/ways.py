"""Ways to label side by side: pairs and their scores come in, accuracy, gains and cost go out.

Without known preferences each way is held against the sum of all rules. `results` says in
sentences what the frames show; notebook 10 shows both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import label
from rulekit.selection.registry import Selection, select
from rulekit.studies.costs import cost_curve
from rulekit.studies.gains import accuracy_table, paired_gains, truth_of, with_gains
from rulekit.studies.recommended import own_fold_margin, recommended_labels
from rulekit.studies.selection_accuracy import rule_orders
from rulekit.studies.trained import can_cross_fit, reward_margins

SUM = "sum of all rules"
_NAMED = "{k} named by the adapter, weighted"


@dataclass(frozen=True, eq=False)
class Ways:
    """Ways to label the same pairs.

    Attributes
    ----------
    labels
        Name → -1, 0 or +1, (draws, n_pairs); ties between rules are drawn anew in each.
    rated
        Name → rules that have to be rated for a new pair.
    order
        All rules of each pair, (n_pairs, n_rules), as an adapter that has not seen its prompt would
        have them rated; None without one.
    """

    labels: dict[str, np.ndarray]
    rated: dict[str, int]
    order: Selection | None = None


def ways_to_label(
    pairs: pl.DataFrame, scores: Scores, k: int = 5, seed: int = 0, orders: int = 20
) -> Ways:
    """Label all pairs in every way that a run allows, without a look at a pair's own preference.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores under n_rules rules.
    k
        Rules per pair, at most n_rules.
    seed, orders
        As for `rule_orders`.

    Returns
    -------
    The sum of all rules, the k of largest |δ| and k at random; from five prompts on the k that an
    adapter names; with known preferences besides all rules, and those named, weighted by up to 100
    labelled pairs of other prompts.
    """
    from rulekit.training import cross_fit_adapter, top_rules

    scores, every = scores.of(pairs), scores.n_rules
    drawn = {
        name: rule_orders(pairs, scores, k, method, orders, seed)
        for name, method in (
            (f"{k} of largest |δ|", "max_discrepancy"),
            (f"{k} at random", "random"),
        )
    }
    loudest, chance = drawn.items()
    labels = {SUM: np.sign(label(scores).margin)[None], loudest[0]: loudest[1]}
    rated = {SUM: every, loudest[0]: every}
    order = None
    if can_cross_fit(pairs):
        told = cross_fit_adapter(pairs, select(scores, k), seed=seed)
        order = top_rules(told, every, scores.identity)
        named = top_rules(told, k, scores.identity)
        if truth_of(pairs).any():
            found = recommended_labels(pairs, scores, k, seed=seed)
            for name, sets in (("all rules, weighted", found.every), (_NAMED, found.named)):
                labels[name.format(k=k)] = np.sign(own_fold_margin(sets, found.fold))[None]
            rated |= {"all rules, weighted": every, _NAMED.format(k=k): k}
        labels[f"{k} named by the adapter"] = np.sign(label(scores, named).margin)[None]
        rated[f"{k} named by the adapter"] = k
    labels[chance[0]], rated[chance[0]] = chance[1], k
    return Ways(labels, rated, order)


def results_table(pairs: pl.DataFrame, ways: Ways, known: bool) -> pl.DataFrame:
    """How often each way to label is right, or agrees with the sum of all rules, and what it costs.

    Parameters
    ----------
    pairs, ways
        n_pairs pairs, and from `ways_to_label`.
    known
        Measure against the known preferences; if not, against the sum of all rules.

    Returns
    -------
    A row a way, the highest first, columns as `accuracy_table` has them and ``rules``, those rated
    for a new pair, ``ratings``, two a rule, ``calls``, those of a judge that reads a response once
    for all its rules, ``share`` of all ratings; and its difference to the sum of all rules,
    ``gain``, ``gain_low``, ``gain_high``, ``gain_p``: null for that row itself.
    """
    truth = truth_of(pairs) if known else ways.labels[SUM][0]
    some = {n: drawn for n, drawn in ways.labels.items() if known or n != SUM}
    table = accuracy_table(pairs, some, truth)
    every = ways.rated[SUM]
    table = table.with_columns(
        rules=pl.col("name").replace_strict(ways.rated, return_dtype=pl.Int64)
    ).with_columns(ratings=2 * pl.col("rules"), calls=pl.lit(2), share=pl.col("rules") / every)
    table = with_gains(table, paired_gains(pairs, ways.labels, SUM, truth))
    return table.sort("value", descending=True, maintain_order=True)


def results_reward(
    pairs: pl.DataFrame, scores: Scores, ways: Ways, k: int, known: bool, seed: int = 0
) -> pl.DataFrame:
    """How often reward models are right on unseen prompts, beside the length of the response.

    Parameters
    ----------
    pairs, ways, known
        As for `results_table`.
    scores
        Of the pairs.
    k
        Rules per pair.
    seed
        Of the folds.

    Returns
    -------
    Columns as `with_gains` has them, against the model of the known preferences; without these it
    is agreement with the sum of all rules. Below five prompts there is no row.
    """
    if not can_cross_fit(pairs):
        return accuracy_table(pairs, {})
    targets = {
        f"the {k} rules of largest |δ|": label(scores.of(pairs), select(scores.of(pairs), k))
    }
    if known:
        targets["known preferences"] = None
    truth = truth_of(pairs) if known else ways.labels[SUM][0]
    margins = reward_margins(pairs, targets, seed=seed)
    table = accuracy_table(pairs, margins, truth)
    gains = paired_gains(pairs, margins, f"trained on {list(targets)[-1]}", truth)
    return with_gains(table, gains).sort("value", descending=True)


def results_cost(pairs: pl.DataFrame, scores: Scores, ways: Ways, known: bool, seed: int = 0):
    """Accuracy, or agreement with the sum of all rules, against the share of ratings made.

    Parameters
    ----------
    pairs, ways, known
        As for `results_table`.
    scores
        Of the pairs.
    seed
        Of the random order.

    Returns
    -------
    A frame as `cost_curve` gives it, or None where no adapter could be trained.
    """
    if ways.order is None:
        return None
    scores = scores.of(pairs)
    orders = {"adapter": ways.order, "random": select(scores, scores.n_rules, "random", seed=seed)}
    truth = truth_of(pairs) if known else ways.labels[SUM][0]
    return cost_curve(scores, orders, truth, groups=prompt_groups(pairs).to_list())

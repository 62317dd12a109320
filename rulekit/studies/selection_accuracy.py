"""Label accuracy by selection method and number of rules, and one pair explained.

Pairs with known preferences and their scores come in, frames with intervals go out. Figures are
means over random orders of the rules, and what learns is cross-fitted by prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from scipy.stats import false_discovery_control

from rulekit.information import mutual_information
from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import accuracy, label
from rulekit.measures import mean_accuracy, mean_difference
from rulekit.selection.registry import Selection, select

_TABLED = ("all", "random", "static", "relevance", "relevance_discrepancy", "max_discrepancy")


def accuracy_row(name: str, labels, pairs: pl.DataFrame) -> dict:
    """One row: accuracy against `pairs['preference']`, with the interval that allows for shared prompts, and Wilson's.

    Parameters
    ----------
    name
        Of the row.
    labels
        `Labels`, found by the ids of their pairs, a model with ``margin(pairs)``, or evidence for the
        first response, (n_pairs,).
    pairs
        Canonical frame, n_pairs rows.
    """
    return {"name": name, **accuracy(labels, pairs).as_dict()}


def length_margin(pairs: pl.DataFrame) -> np.ndarray:
    """The longer-response baseline: difference of lengths in characters, (n_pairs,)."""
    a, b = (pairs[c].str.len_chars().to_numpy().astype(float) for c in ("response_a", "response_b"))
    return a - b


def rule_orders(
    pairs: pl.DataFrame,
    scores: Scores,
    k: int,
    method: str,
    orders: int = 20,
    seed: int = 0,
    **given,
) -> np.ndarray:
    """Sum labels under random orders in which tied rules are taken, -1, 0 or +1, (orders, n_pairs).

    Ratings of few distinct values are full of ties between rules: what a method is worth must not
    hang on one draw.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores, found by id.
    k, method
        Rules per pair, and the selector: names from `selectors()`.
    orders
        Number of random orders.
    seed
        Of the orders, of ``random`` and of the folds of ``static``.
    given
        For `select`; without a reference ``static`` chooses by the preferences of the other folds'
        prompts.
    """
    scores = _named(scores.of(pairs), pairs)
    labels = np.empty((orders, scores.n_pairs))
    for i in range(orders):
        if method == "static" and not given:
            chosen = _cross_fitted_static(pairs, scores, k, seed, seed + i)
        else:
            chosen = select(scores, k, method, seed=seed + i, **given)
        labels[i] = np.sign(label(scores, chosen).margin)
    return labels


def _named(scores: Scores, pairs: pl.DataFrame) -> Scores:
    """Scores whose rules and pairs have ids: ties between named rules go by chance."""
    rules = scores.identity.rules
    if rules.rule_ids is None:
        rules = Identity(tuple(scores.names), rules.rule_digests)
    return replace(scores, identity=replace(rules, pair_ids=Identity.of(pairs=pairs).pair_ids))


def _cross_fitted_static(
    pairs: pl.DataFrame, scores: Scores, k: int, seed: int, tie_seed: int
) -> Selection:
    """`static` with the preferences of the other folds' prompts, so that no pair chooses its rules."""
    fold = np.array(folds(pairs, seed=seed))
    preference = pairs["preference"].fill_null(0).to_numpy()
    indices = np.empty((len(pairs), k), np.int32)
    for f in range(fold.max() + 1):
        own, other = fold == f, fold != f
        chosen = select(
            scores.rows(own),
            k,
            "static",
            seed=tie_seed,
            reference=scores.rows(other),
            preference=preference[other],
        )
        indices[own] = chosen.indices
    return Selection(indices, "static", scores.n_rules, identity=scores.identity)


def selection_table(
    pairs: pl.DataFrame, scores: Scores, k: int = 5, seed: int = 0, orders: int = 20
) -> pl.DataFrame:
    """Accuracy of sum labels by selection method, mean over `orders` random orders of the rules.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows; those without a strict preference are left out.
    scores
        Of these pairs.
    k
        Rules per pair.
    seed
        Of the orders, of ``random`` and of the folds of ``static``.
    orders
        Number of random orders, 1 or more.

    Returns
    -------
    One row a method, columns as `accuracy_row` has them; `ties` is the mean number of tied labels.
    """
    known = pairs["preference"].fill_null(0).to_numpy()
    groups, strict = prompt_groups(pairs).to_numpy(), known != 0
    rows = []
    for method in _possible(_TABLED, scores):
        labels = rule_orders(pairs, scores, k, method, orders, seed)[:, strict]
        right = (labels * known[strict] + 1).mean(axis=0) / 2
        ties = round((labels == 0).sum(axis=1).mean())
        rows.append({"name": method} | mean_accuracy(right, groups[strict], ties).as_dict())
    return pl.DataFrame(rows)


def selection_grid(
    pairs: pl.DataFrame,
    scores: Scores,
    test: np.ndarray,
    ks: Sequence[int] = (1, 3, 5, 10, 20, 100),
    methods: Sequence[str] = (
        "all",
        "random",
        "static",
        "relevance",
        "max_discrepancy",
        "relevance_discrepancy",
    ),
    seed: int = 0,
    orders: int = 20,
) -> pl.DataFrame:
    """Sum labels by selection method and k on the test pairs, each compared with maximum discrepancy.

    Parameters
    ----------
    pairs, scores
        All pairs and their scores.
    test
        bool (n_pairs,): the pairs that count; `static` chooses its rules on the others, or where no
        known pair is left for that, on the other prompts of five folds.
    ks, methods
        Rules per pair; names from `selectors()`.
    seed, orders
        Figures are means over so many random orders of the rules: see `rule_orders`.

    Returns
    -------
    One row a method and k: accuracy with its intervals; ``order_low`` and ``order_high``, the least
    and the largest accuracy of a single order; ``information`` in bits between label and preference
    (Miller–Madow), with the two responses exchanged at random; ``over_max_discrepancy``, the difference of accuracy at the same k, with its
    interval over prompts (``…_low``, ``…_high``), the p-value of a sign-flip test (``…_p``) and the
    same after Benjamini and Hochberg over all rows (``…_q``); and ``over_all``, likewise against the
    sum of all rules.
    """
    known = pairs["preference"].fill_null(0).to_numpy()
    test = np.asarray(test) & (known != 0)
    scores, tested = scores.of(pairs), pairs.filter(pl.Series(test))
    y, own = known[test], scores.rows(test)
    others = bool(known[~test].any())  # from whose preferences `static` may learn
    groups = prompt_groups(tested).to_numpy()

    def right(k: int, method: str) -> tuple[np.ndarray, np.ndarray]:
        given = {}
        if method == "static" and others:
            given = {"reference": scores.rows(~test), "preference": known[~test]}
        labels = rule_orders(tested, own, k, method, orders, seed, **given)
        return labels, (labels * y + 1) / 2

    halves = np.where(np.arange(len(y)) % 2 == 0, 1, -1)
    exchange = np.random.default_rng(seed).permutation(halves) * y  # as many of either afterwards
    everything = right(scores.n_rules, "all")[1].mean(axis=0)
    rows = []
    for k in ks:
        reference = right(k, "max_discrepancy")[1].mean(axis=0)
        for method in _possible(methods, scores):
            labels, share = right(k, method)
            mean, ties = share.mean(axis=0), round((labels == 0).sum(axis=1).mean())
            each = share.mean(axis=1)
            row = {"name": method} | mean_accuracy(mean, groups, ties).as_dict()
            row |= {"k": k, "order_low": each.min(), "order_high": each.max()}
            # Exchanged at random: in some data sets the preferred response always comes first.
            told = [mutual_information(one * exchange, y * exchange) for one in labels]
            row["information"] = float(np.mean(told))
            for name, base in (("max_discrepancy", reference), ("all", everything)):
                gain = mean_difference(mean - base, groups, seed=seed)
                row |= {
                    f"over_{name}": gain.value,
                    f"over_{name}_low": gain.low,
                    f"over_{name}_high": gain.high,
                    f"over_{name}_p": gain.p_value,
                }
            rows.append(row)
    frame = pl.DataFrame(rows)
    for name in ("max_discrepancy", "all"):
        q = false_discovery_control(frame[f"over_{name}_p"].to_numpy())
        frame = frame.with_columns(pl.Series(f"over_{name}_q", q))
    return frame


def selection_agreement(
    pairs: pl.DataFrame,
    scores: Scores,
    ks: Sequence[int] = (1, 3, 5, 10, 20, 100),
    methods: Sequence[str] = ("random", "max_discrepancy", "relevance", "relevance_discrepancy"),
    seed: int = 0,
    orders: int = 20,
) -> pl.DataFrame:
    """How often labels from k rules are those of all rules: what can be said without preferences.

    Parameters
    ----------
    pairs, scores
        All pairs and their scores; pairs that all rules leave tied are left out.
    ks, methods
        Rules per pair; names from `selectors()` that need no preference. What needs a relevance is
        left out where the scores have none.
    seed, orders
        As for `rule_orders`.

    Returns
    -------
    Method by method and k by k: ``name``, ``k`` and the fields of `rulekit.measures.Accuracy`, of the
    sum of all rules' label in place of a known one; no row where every pair is tied.
    """
    scores = scores.of(pairs)
    whole = rule_orders(pairs, scores, scores.n_rules, "all", 1, seed)[0]  # (n_pairs,)
    told = whole != 0
    groups, some = prompt_groups(pairs).to_numpy()[told], pairs.filter(pl.Series(told))
    own = scores.rows(told) if told.any() else scores
    rows = []
    for k in ks if told.any() else ():
        for method in _possible(methods, scores):
            labels = rule_orders(some, own, k, method, orders, seed)
            share = (labels * whole[told] + 1) / 2
            ties = round((labels == 0).sum(axis=1).mean())
            found = mean_accuracy(share.mean(axis=0), groups, ties)
            rows.append({"name": method, "k": k} | found.as_dict())
    kinds = {"name": pl.String, "k": pl.Int64, "value": pl.Float64}
    return (
        pl.DataFrame(rows)
        if rows
        else pl.DataFrame(schema=kinds | dict.fromkeys(("low", "high"), pl.Float64))
    )


def _possible(methods: Sequence[str], scores: Scores) -> list[str]:
    """The methods that these scores allow."""
    return [m for m in methods if scores.relevance is not None or not m.startswith("relevance")]


def explain_pair(scores: Scores, selection: Selection, row: int, shown: int = 12) -> pl.DataFrame:
    """One pair's rules by size of discrepancy, the chosen ones marked.

    Parameters
    ----------
    scores, selection
        Of n_pairs pairs, and the rules chosen for each.
    row
        Which pair.
    shown
        How many rules, the loudest first.

    Returns
    -------
    A row a rule: ``rule``, ``discrepancy``, ``chosen``.
    """
    selection = selection.aligned(scores.identity)
    delta = scores.discrepancy[row]
    order = np.argsort(-np.abs(delta), kind="stable")[:shown]
    ids = scores.names
    chosen = set(selection.indices[row].tolist())
    return pl.DataFrame(
        {
            "rule": [ids[j] for j in order],
            "discrepancy": delta[order].astype(float),
            "chosen": [int(j) in chosen for j in order],
        }
    )


def grid_at(grid: pl.DataFrame, k: int) -> pl.DataFrame:
    """The rows of a grid at one k, as a table shows them.

    Parameters
    ----------
    grid
        From `selection_grid`.
    k
        Rules per pair; no row where the grid does not have it.

    Returns
    -------
    ``method``, ``accuracy`` with its interval ``low`` and ``high``, ``least_draw`` and
    ``best_draw`` of tied rules, and ``bits`` of information of label and preference.
    """
    kept = {"name": "method", "value": "accuracy", "low": "low", "high": "high"}
    kept |= {"order_low": "least_draw", "order_high": "best_draw", "information": "bits"}
    return grid.filter(pl.col("k") == k).select(kept.keys()).rename(kept)

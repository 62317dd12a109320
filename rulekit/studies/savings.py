"""What is lost where fewer rules are rated: an adapter's probabilities come in, frames and words go out.

Notebook 8 shows them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.scores import Scores
from rulekit.labels import label
from rulekit.selection.registry import Selection, select
from rulekit.studies.gains import accuracy_table, paired_gains, shares_right, truth_of
from rulekit.studies.phrases import percent, points, signed_points, verdict, with_interval

LARGEST, NAMED, CHANCE = "largest |δ| first, a target", "named by the adapter", "at random"


def savings_curve(
    pairs: pl.DataFrame,
    scores: Scores,
    probabilities: np.ndarray,
    *,
    known: bool = True,
    draws: int = 20,
    seed: int = 0,
) -> pl.DataFrame:
    """How often the sum of the first k rules is right, for three orders in which they are rated.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores under n_rules rules, found by id.
    probabilities
        Of an adapter that has not seen the pair's prompt, (n_pairs, n_rules).
    known
        Measure against the known preferences; if not, against the sum of all rules.
    draws
        Random orders of the rules, and of those of equal |δ|: figures are means over them.
    seed
        Of the draws.

    Returns
    -------
    A row an order and k: ``series``, ``k``, ``x``, the ratings of a pair, two a rule, ``y``, the
    share that is right, ``low`` and ``high``, its 95 % interval over prompts, and ``least_draw``
    and ``best_draw``, the ends of the draws. No row where no pair counts.
    """
    from rulekit.training import top_rules

    scores = scores.of(pairs)
    n = scores.n_rules
    truth = truth_of(pairs) if known else np.sign(label(scores).margin)
    orders = {
        LARGEST: [select(scores, n, seed=seed + i) for i in range(draws)],
        NAMED: [top_rules(probabilities, n, scores.identity)],
        CHANCE: [select(scores, n, "random", seed=seed + i) for i in range(draws)],
    }
    ks = np.unique(np.geomspace(1, n, 10).round().astype(int))
    delta, rows = scores.whole().discrepancy.astype(float), []
    for name, drawn in orders.items():
        sums = np.stack([_summed(delta, one.indices)[:, ks - 1] for one in drawn])
        for i, k in enumerate(ks):
            signs = np.sign(np.round(sums[:, :, i], 6))  # float32 leaves dust where a sum is zero
            found = accuracy_table(pairs, {name: signs}, truth)
            each = [shares_right(one, truth)[truth != 0].mean() for one in signs if truth.any()]
            rows += [
                {"series": name, "k": int(k), "x": 2 * int(k), "y": row["value"]}
                | {"low": row["low"], "high": row["high"]}
                | {"least_draw": float(min(each)), "best_draw": float(max(each))}
                for row in found.iter_rows(named=True)
            ]
    kinds = {"series": pl.String, "k": pl.Int64, "x": pl.Int64, "y": pl.Float64}
    kinds |= dict.fromkeys(("low", "high", "least_draw", "best_draw"), pl.Float64)
    return pl.DataFrame(rows, schema=kinds)


def _summed(delta: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Sum of δ over the first rules of an order, (n_pairs, k)."""
    return np.cumsum(np.take_along_axis(delta, indices, axis=1), axis=1)


def named_rules(scores: Scores, named: Selection, row: int) -> pl.DataFrame:
    """The rules of one pair that an adapter names, and those of largest |δ|, side by side.

    Parameters
    ----------
    scores, named
        Of n_pairs pairs, and the rules that the adapter names for each, k of them.
    row
        Which pair.

    Returns
    -------
    A row a rule that is among either k: ``rule``, ``discrepancy``, ``named`` and ``largest``, yes
    or no; the named ones first.
    """
    named = named.aligned(scores.identity)
    largest = set(select(scores, named.k).indices[row].tolist())
    first = named.indices[row].tolist()
    delta = scores.discrepancy[row]
    rest = sorted(largest - set(first), key=lambda j: -abs(delta[j]))
    return pl.DataFrame(
        [
            {
                "rule": scores.names[j],
                "discrepancy": float(delta[j]),
                "named": j in first,
                "largest": j in largest,
            }
            for j in [*first, *rest]
        ]
    )


def named_rules_said(frame: pl.DataFrame, known: int | None) -> str:
    """What the rules named for one pair come to, in sentences made of their figures.

    Parameters
    ----------
    frame
        From `named_rules`.
    known
        The known preference, -1, 0, +1, or None.
    """
    named = frame.filter("named")
    total, k = named["discrepancy"].sum(), len(named)
    silent = int((named["discrepancy"] == 0).sum())
    side = {1: "A", -1: "B", 0: "neither"}
    told = int(np.sign(round(total, 6)))
    said = f"Of the {k} rules named, {int(named['largest'].sum())} are among the {k} of largest |δ|"
    said += f", and {silent} say nothing here (δ = 0)." if silent else "."
    summed = f"{total:+.3g}".replace("-", "−") if told else "0"
    said += f" Their sum is {summed}: the label is {side[told]}."
    if told == 0:
        said += " A pair without a label teaches nothing, though its ratings were paid."
    return said if known is None else f"{said} Known is {side[int(known)]}."


def saving_said(pairs: pl.DataFrame, scores: Scores, named: Selection, known: bool) -> str:
    """Whether rating only the rules named costs accuracy, in a sentence that its interval allows.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    named
        The k rules named for each.
    known
        As for `savings_curve`.
    """
    scores = scores.of(pairs)
    every = np.sign(label(scores).margin)
    truth = truth_of(pairs) if known else every
    few = np.sign(label(scores, named).margin)
    share = percent(named.k / scores.n_rules, 0)
    (row,) = accuracy_table(pairs, {"few": few}, truth).to_dicts()
    if not known:
        return (
            f"**Saving changes labels.** With {share} of the ratings, labels agree with those of all "
            f"rules on {with_interval(row)} of the pairs."
        )
    base = accuracy_table(pairs, {"all": every}, truth).to_dicts()[0]
    (gain,) = paired_gains(pairs, {"all": every, "few": few}, "all", truth).to_dicts()
    told = {
        1: f"**Here saving gains**: fewer rules are right more often, by {points(gain)}.",
        0: f"**No loss can be told** from these pairs: {signed_points(gain)}.",
        -1: f"**Saving costs accuracy**, here {points(gain)}.",
    }[verdict(gain)]
    return (
        f"{told} All rules: right on {with_interval(base)}. The {named.k} named, for {share} of the "
        f"ratings: {with_interval(row)}."
    )


def savings_title(curve: pl.DataFrame, k: int, n_rules: int) -> str:
    """What a curve says at k rules, for the head of its picture.

    Parameters
    ----------
    curve
        From `savings_curve`.
    k, n_rules
        Rules rated, and rules there are; the nearest k of the curve is told.
    """
    near = min(curve["k"].unique().to_list(), key=lambda found: (abs(found - k), found))
    at = {
        row["series"]: row["y"] for row in curve.filter(pl.col("k") == near).iter_rows(named=True)
    }
    whole = curve.filter(pl.col("k") == n_rules)["y"][0]
    return (
        f"{near} of {n_rules} rules: {percent(at[NAMED])} if the adapter names them, "
        f"{percent(at[CHANCE])} at random, {percent(at[LARGEST])} if largest |δ| were known; "
        f"all rules {percent(whole)}"
    )


def training_cost_said(n_pairs: int, n_rules: int, k: int) -> str:
    """What an adapter costs to train, and from how many new pairs on it has paid.

    Parameters
    ----------
    n_pairs
        That are rated under all rules to train it.
    n_rules, k
        Rules there are, and rules rated for a new pair.

    Returns
    -------
    Sentences. Paid means: the whole costs at most half of rating every pair under every rule.
    """
    paid = 2 * n_pairs * n_rules
    said = f"To train the adapter, {n_pairs:,} pairs × 2 responses × {n_rules} rules = {paid:,} ratings were paid."
    if 2 * k >= n_rules:
        return f"{said} With {k} of {n_rules} rules a new pair, half is never saved."
    new = -(-n_pairs * n_rules // (n_rules - 2 * k))
    return (
        f"{said} A new pair then costs {2 * k} instead of {2 * n_rules}. From {new:,} new pairs on, "
        "training included, half of all ratings are saved."
    )


def draws_said(curve: pl.DataFrame) -> str:
    """How far a point of a curve moves with the draw of its order, in a sentence.

    Parameters
    ----------
    curve
        From `savings_curve`.
    """
    if curve.is_empty():
        return ""
    wide = curve.with_columns(wide=pl.col("best_draw") - pl.col("least_draw"))
    most = dict(wide.group_by("series").agg(pl.col("wide").max()).iter_rows())
    return (
        f"Rules of equal |δ| and rules at random are drawn several times, and a line is the mean. "
        f"From draw to draw a point of the target moves by up to {100 * most[LARGEST]:.1f} points, one "
        f"of the random order by up to {100 * most[CHANCE]:.1f}."
    )

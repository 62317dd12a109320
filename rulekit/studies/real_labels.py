"""Labels of real pairs, read rule by rule: how often they are people's choice, way by way.

Pairs and their scores come in, margins and frames go out. All prompts are unseen: what learns from
preferences learns from those of other prompts. Notebook 19 shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from rulekit.information import mutual_information
from rulekit.inputs import readings, sources
from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import label
from rulekit.measures import mean_accuracy, mean_difference
from rulekit.selection.estimates import estimate
from rulekit.selection.registry import select
from rulekit.studies.gains import accuracy_table, paired_gains, shares_right, truth_of, with_gains
from rulekit.studies.selection_accuracy import length_margin, rule_orders

VERDICT, SUM = "verdict without rules", "sum of all rules"
LARGEST, RANDOM = "maximum discrepancy", "random rules"
LONGER, AGREED = "longer response", "Dawid–Skene"
_CHOSEN = {
    LARGEST: "max_discrepancy",
    RANDOM: "random",
    "static": "static",
    "relevance": "relevance",
    "the authors' criterion": "relevance_discrepancy",
    "diverse": "diverse",
    "dpp": "dpp",
}
_SHOWN = ("name", "value", "low", "high", "n")
_LEARN = ("log_odds", "whitened", "frugal", "adaptive", "all")


def verdict_margin(pairs: pl.DataFrame, source: str) -> np.ndarray:
    """What readers without rules prefer: the sum of their verdicts in both orders, (n_pairs,).

    Parameters
    ----------
    pairs
        Those that were read.
    source
        ``hh-read`` or ``xstest-read``.
    """
    both = readings.verdicts(source).group_by("pair_id").agg(pl.col("better").sum())
    told = dict(both.iter_rows())
    return np.array([told[name] for name in pairs["pair_id"]], dtype=float)


def single_verdicts(pairs: pl.DataFrame, source: str) -> np.ndarray:
    """The verdicts of one reader each, those of either order, (2, n_pairs)."""
    table = readings.verdicts(source)
    told = {(p, o): b for p, o, b in table.select("pair_id", "order", "better").iter_rows()}
    return np.array([[told[name, o] for name in pairs["pair_id"]] for o in ("ab", "ba")], float)


def real_margins(
    pairs: pl.DataFrame, scores: Scores, source: str, k: int = 5, seed: int = 0, orders: int = 20
) -> dict[str, np.ndarray]:
    """Evidence for the first response by every way that needs no preference of the same prompts.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs that were read, and their scores.
    source
        ``hh-read`` or ``xstest-read``.
    k
        Rules per pair, of those ways that choose.
    seed, orders
        Of the random orders in which tied rules are taken.

    Returns
    -------
    Name → (n_pairs,), or (draws, n_pairs) where chance has a part.
    """
    scores = scores.of(pairs)
    found = {
        VERDICT: verdict_margin(pairs, source),
        "one reader's verdict": single_verdicts(pairs, source),
        SUM: label(scores).margin,
        "majority of all rules": label(scores, method="majority").margin,
        AGREED: label(scores, method="dawid_skene").margin,
    }
    for name, method in _CHOSEN.items():
        found[name] = rule_orders(pairs, scores, k, method, orders, seed)
    found[LONGER] = length_margin(pairs)
    if source == "hh-read":
        found |= _llm_margins(pairs)
    return found


def _llm_margins(pairs: pl.DataFrame) -> dict[str, np.ndarray]:
    """What an LLM says that compared the responses: under 21 rules in one order, and without in both."""
    _, votes = sources.load_ratings("hh-rule-votes")
    own = {"LLM's pairwise votes, 21 rules": label(votes.of(pairs)).margin}
    _, first, second = sources.load_both_orders()
    both = first.of(pairs).discrepancy[:, 0] + second.of(pairs).discrepancy[:, 0]
    return own | {"LLM's verdict, both orders": both}


def real_table(
    pairs: pl.DataFrame, margins: Mapping[str, np.ndarray], against: str = SUM, seed: int = 0
) -> pl.DataFrame:
    """Agreement with people, way by way, with differences to one of them on the same pairs.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    margins
        Name → as `real_margins` has them.
    against
        The name that the others are compared with.
    seed
        Of the exchange of responses.

    Returns
    -------
    A row a way: ``name``, the fields of `rulekit.measures.Accuracy`; ``bits``, the information between
    label and choice (Miller–Madow, at least 0), responses exchanged at random; ``longer`` and
    ``shorter``, how often it is right where people chose the longer, and the shorter response; and
    ``gain``, ``gain_low``, ``gain_high``, ``gain_p`` over `against`, a tie one half.
    """
    y = truth_of(pairs)
    counts = y != 0
    length, groups = np.sign(length_margin(pairs)) * y, prompt_groups(pairs).to_numpy()
    exchange = _exchange(y[counts], seed)
    rows = []
    for name, given in margins.items():
        right, drawn = shares_right(given, y), np.atleast_2d(np.sign(given))[:, counts]
        ties = round(float((drawn == 0).sum(axis=1).mean()))
        row = {"name": name} | mean_accuracy(right[counts], groups[counts], ties).as_dict()
        bits = [mutual_information(one * exchange, y[counts] * exchange) for one in drawn]
        row["bits"] = max(0.0, float(np.mean(bits)))
        for side, sign in (("longer", 1), ("shorter", -1)):
            part = counts & (length == sign)
            row[side] = float(right[part].mean()) if part.any() else None
        rows.append(row)
    gains = paired_gains(pairs, margins, against)
    return with_gains(pl.DataFrame(rows), gains)


def subset_table(
    pairs: pl.DataFrame, margins: Mapping[str, np.ndarray], names: Sequence[str]
) -> pl.DataFrame:
    """Agreement with people apart for each subset of the pairs, such as should-refuse and should-respond.

    Parameters
    ----------
    pairs
        Canonical frame with a column ``subset``, n_pairs rows.
    margins
        As for `real_table`.
    names
        Those of the margins that are shown.

    Returns
    -------
    A row a subset and name: ``subset``, ``name``, ``value``, ``low``, ``high`` and ``n``.

    Raises
    ------
    ValueError
        If the pairs have no subsets.
    """
    if "subset" not in pairs.columns:
        raise ValueError("pairs have no column subset; allowed: such as those of xstest-read")
    parts = []
    for subset in pairs["subset"].unique(maintain_order=True):
        use = (pairs["subset"] == subset).to_numpy()
        own = {name: np.asarray(margins[name])[..., use] for name in names}
        found = accuracy_table(pairs.filter(pl.Series(use)), own)
        parts.append(found.select(pl.lit(subset).alias("subset"), *_SHOWN))
    return pl.concat(parts)


def _exchange(y: np.ndarray, seed: int) -> np.ndarray:
    """±1 each: with which sign a pair's responses are exchanged, as many of either afterwards."""
    halves = np.where(np.arange(len(y)) % 2 == 0, 1, -1)
    return np.random.default_rng(seed).permutation(halves) * y


def learned_grid(
    pairs: pl.DataFrame,
    scores: Scores,
    labelled: Sequence[int] = (0, 30, 100),
    ks: Sequence[int] = (1, 3, 5, 10, 20, 50),
    *,
    repeats: int = 4,
    seed: int = 0,
) -> pl.DataFrame:
    """What a few labelled pairs of other prompts are worth: chosen and weighted rules, by k.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    labelled
        Pairs of the other folds' prompts whose preference is looked at; the scores of all of them are.
    ks
        Rules per pair.
    repeats
        Draws of folds, of labelled pairs, and of which response comes first.
    seed
        Of these.

    Returns
    -------
    A row a number labelled, selector, label (``sum`` or ``weighted``) and k: the fields of
    `rulekit.measures.Accuracy` of the mean over repeats; ``over_sum``, ``over_sum_low``,
    ``over_sum_high`` and ``over_sum_p``, the paired difference to the sum of all rules, over prompts.
    Selector ``all`` has one k, that of all rules.

    Raises
    ------
    ValueError
        If more pairs are to be labelled than the other folds hold, or `repeats` is below 1.
    """
    scores, y = scores.of(pairs), truth_of(pairs)
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; allowed: 1 or more")
    rng, n = np.random.default_rng(seed), len(pairs)
    right: dict[tuple, np.ndarray] = {}
    for r in range(repeats):
        exchange = rng.choice(np.array([-1.0, 1.0]), n)
        half = scores.discrepancy * exchange[:, None] / 2  # keeps δ, whose reach is ±2
        turned, truth = replace(scores, a=half, b=-half), (y * exchange).astype(int)
        fold = np.array(folds(pairs, seed=seed + r))
        for f in range(fold.max() + 1):
            own, other = np.flatnonzero(fold == f), rng.permutation(np.flatnonzero(fold != f))
            other = other[np.argsort(truth[other] == 0, kind="stable")]  # known ones first
            if max(labelled) > (most := int((truth[other] != 0).sum())):
                raise ValueError(f"labelled is {list(labelled)}; allowed: 0 to {most}")
            reference, unseen = turned.rows(other), turned.rows(own)
            for count in labelled:
                told = np.where(np.arange(len(other)) < count, truth[other].astype(float), np.nan)
                found = estimate(reference, told if count else None)
                for cell, margin in _learned(unseen, reference, found, ks, seed + r):
                    share = right.setdefault((count, *cell), np.zeros(n))
                    share[own] += (np.sign(margin) * truth[own] + 1) / 2 / repeats
    known, groups = y != 0, prompt_groups(pairs).to_numpy()[y != 0]
    base = shares_right(label(scores).margin, y)[known]
    rows = []
    for (count, selector, how, k), share in right.items():
        row = {"labelled": count, "selector": selector, "label": how, "k": k}
        row |= mean_accuracy(share[known].clip(0, 1), groups).as_dict()
        gain = mean_difference((share[known] - base).clip(-1, 1), groups, seed=seed)
        row |= {"over_sum": gain.value, "over_sum_low": gain.low, "over_sum_high": gain.high}
        rows.append(row | {"over_sum_p": gain.p_value})
    return pl.DataFrame(rows).drop("ties")


def _learned(unseen: Scores, reference: Scores, found, ks: Sequence[int], seed: int):
    """(selector, label, k) and the margins of the unseen pairs, (n,)."""
    for selector in _LEARN:
        for k in (unseen.n_rules,) if selector == "all" else ks:
            given = (
                {"reference": reference} if selector == "frugal" and not found.n_labelled else {}
            )
            chosen = select(unseen, k, selector, estimates=found, seed=seed, **given)
            for how in ("sum", "weighted"):
                if (selector, how) != ("all", "sum"):
                    yield (selector, how, k), label(unseen, chosen, how, estimates=found).margin

"""What a new rule says beside those that there are: scores of a sample come in, frames go out.

The rule prototyper shows them while somebody writes.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.information import normalised_redundancy, rule_information
from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import label
from rulekit.measures import mean_interval
from rulekit.studies.rated_rules import DECISIVE

_ALIKE = {"most_like": pl.String, "shared": pl.Float64, "agree": pl.Float64}
_TOLD = dict.fromkeys(("right", "information", "bits_low", "bits_high", "p"), pl.Float64)
FEWEST_KNOWN = 8  # preferences below which no information is told


def new_rule_rows(pairs: pl.DataFrame, new: Scores, old: Scores | None = None) -> pl.DataFrame:
    """A row a new rule: how often it speaks, what it tells, and which rule says the same.

    Parameters
    ----------
    pairs, new
        n_pairs pairs and their scores under the new rules.
    old
        Of the same pairs, maybe among others, under the rules that there are.

    Returns
    -------
    ``rule``; ``coverage``, the share of pairs on which it votes, with ``low`` and ``high``, its 95 %
    interval over prompts; ``decisive``, the share with \\|δ\\| > ½; ``most_like``, the old rule
    that shares most with it, ``shared`` of the larger entropy and ``agree``, the share of equal
    votes where both vote (null without old rules); ``right``, the share of its votes that are
    right, and ``information`` in bits with ``bits_low``, ``bits_high`` and ``p`` (null below 8
    known preferences of both kinds).
    """
    new = new.of(pairs).whole()
    votes, size = new.votes, np.abs(new.discrepancy)
    groups = prompt_groups(pairs).to_list()
    rows = []
    for j, name in enumerate(new.names):
        spoken = (votes[:, j] != 0).astype(float)
        low, high = mean_interval(spoken, groups, bounds=(0, 1))
        rows.append(
            {
                "rule": name,
                "coverage": float(spoken.mean()),
                "low": low,
                "high": high,
                "decisive": float((size[:, j] > DECISIVE).mean()),
            }
        )
    alike = pl.DataFrame(list(_likeness(pairs, new, old)), schema=_ALIKE)
    told = pl.DataFrame(list(_told(pairs, new)), schema=_TOLD)
    return pl.concat([pl.DataFrame(rows), alike, told], how="horizontal").fill_nan(None)


def agreement_with(pairs: pl.DataFrame, new: Scores, old: Scores) -> pl.DataFrame:
    """How each new rule agrees with each old one.

    Parameters
    ----------
    pairs, new, old
        As for `new_rule_rows`.

    Returns
    -------
    A row a new and an old rule, most alike first: ``rule``, ``other``; ``both``, pairs on which
    both vote; ``agree``, the share of equal votes there (null without such pairs); ``shared``,
    the mutual information of their votes as a share of the larger entropy.
    """
    new, old = new.of(pairs).whole(), old.of(pairs).whole()
    first, second = new.votes.astype(float), old.votes.astype(float)
    both = np.abs(first).T @ np.abs(second)
    same = (first.T @ second + both) / 2
    shared = normalised_redundancy(np.hstack([first, second]))[: new.n_rules, new.n_rules :]
    i, j = np.indices(both.shape).reshape(2, -1)
    with np.errstate(invalid="ignore"):
        agree = (same / both).ravel()
    frame = pl.DataFrame(
        {
            "rule": np.array(new.names)[i].tolist(),
            "other": np.array(old.names)[j].tolist(),
            "both": both.ravel().astype(int),
            "agree": agree,
            "shared": shared.ravel(),
        }
    )
    order = ["rule", "shared", "both", "other"]
    return frame.fill_nan(None).sort(order, descending=[False, True, True, False])


def deciding_pairs(
    pairs: pl.DataFrame, new: Scores, rule: str, old: Scores | None = None, n: int = 3
) -> pl.DataFrame:
    """The pairs in which a new rule decides: first those whose label it changes, then the loudest.

    Parameters
    ----------
    pairs, new, old
        As for `new_rule_rows`.
    rule
        Id of one of the new rules.
    n
        Pairs at most.

    Returns
    -------
    The pairs, columns of the canonical frame, with ``discrepancy`` under the rule, ``changes``
    (whether the sum label of the old rules becomes another with it), ``before`` and ``after``
    (these labels; null without old rules). Pairs on which it does not vote are left out.
    """
    new = new.of(pairs).whole()
    at = new.names.index(rule)
    delta = new.discrepancy[:, at]
    before = after = None
    changes = np.zeros(len(pairs), bool)
    if old is not None:
        without = label(old.of(pairs)).margin
        before = label(old.of(pairs)).preference
        # a sum within a rounding of zero is a tie, as `rulekit.label` has it
        after = np.where(np.abs(without + delta) < 1e-6 * old.n_rules, 0, np.sign(without + delta))
        changes = before != after
    frame = pairs.with_columns(
        pl.Series("discrepancy", delta.astype(float)),
        pl.Series("changes", changes),
        pl.Series("before", before, pl.Int64)
        if before is not None
        else pl.lit(None).alias("before"),
        pl.Series("after", after, pl.Int64) if after is not None else pl.lit(None).alias("after"),
    ).filter(pl.Series(new.votes[:, at] != 0))
    loud = pl.col("discrepancy").abs()
    by = [pl.col("changes"), loud, pl.col("pair_id")]
    return frame.sort(by, descending=[True, True, False]).head(n)


def _likeness(pairs, new: Scores, old: Scores | None):
    if old is None:
        yield from (dict.fromkeys(_ALIKE) for _ in new.names)
        return
    frame = agreement_with(pairs, new, old)
    for name in new.names:
        first = frame.filter(pl.col("rule") == name).row(0, named=True)
        yield {"most_like": first["other"], "shared": first["shared"], "agree": first["agree"]}


def _told(pairs: pl.DataFrame, new: Scores):
    y = pairs["preference"].fill_null(0).to_numpy()
    known = y != 0
    if known.sum() < FEWEST_KNOWN or len(set(y[known])) < 2:
        yield from (dict.fromkeys(_TOLD) for _ in new.names)
        return
    votes = new.votes[known]
    frame = rule_information(votes, y[known], list(new.names), n=200)
    right = (votes * y[known, None] > 0).sum(axis=0) / np.maximum((votes != 0).sum(axis=0), 1)
    for j, row in enumerate(frame.iter_rows(named=True)):
        share = float(right[j]) if (votes[:, j] != 0).any() else float("nan")
        bits = row["estimate"], row["low"], row["high"], row["p"]
        yield dict(zip(_TOLD, (share, *bits), strict=True))

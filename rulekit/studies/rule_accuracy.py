"""How often each rule's vote is the known preference, and which rules point the wrong way.

Pairs with known preferences and their scores come in, a frame and sentences go out; notebook 3
shows them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.measures import mean_accuracy
from rulekit.selection import sign_audit
from rulekit.studies.phrases import as_code, percent, with_interval

LEAST_VOTES = 10  # with fewer nothing is said of a rule


def rule_accuracies(known: pl.DataFrame, scores: Scores) -> pl.DataFrame:
    """How often the votes of each rule are right, on pairs with a known preference.

    Parameters
    ----------
    known
        Canonical frame of pairs with preference +1 or -1.
    scores
        Of these pairs, and of others.

    Returns
    -------
    A row for each rule with 10 votes or more, the most accurate first: ``name``, ``votes``,
    ``value``, ``low``, ``high`` (95 %, by prompt) and ``wrong_way``, whether `rulekit.sign_audit`
    flags it.
    """
    aligned = scores.of(known)
    y = known["preference"].to_numpy().astype(int)
    groups = prompt_groups(known).to_numpy()
    audit = sign_audit(aligned, y)
    rows = []
    for j, (name, flagged) in enumerate(audit.select("rule", "flagged").iter_rows()):
        vote = aligned.votes[:, j]
        at = np.flatnonzero(vote)
        if len(at) < LEAST_VOTES:
            continue
        found = mean_accuracy((vote[at] == y[at]).astype(float), groups[at])
        rows.append((name, len(at), found.value, found.low, found.high, flagged))
    return pl.DataFrame(rows, _SCHEMA, orient="row").sort("value", "votes", descending=True)


def equally_loud(known: pl.DataFrame, scores: Scores, shown: int = 3) -> pl.DataFrame:
    """How often votes of one and the same loudness are right, rule by rule: what A3 says is equal.

    The loudness |δ| is that at which most rules have 10 votes or more. The rules are those with most
    such votes, so that nobody chose them by how right they are.

    Parameters
    ----------
    known, scores
        As for `rule_accuracies`.
    shown
        Most rules, 2 or more.

    Returns
    -------
    The most accurate first: ``name``, ``size`` (|δ|, to six decimals), ``votes``, ``value``, ``low``
    and ``high`` (95 %, by prompt). No row where no two rules have 10 votes of one loudness, as with
    ratings that hardly repeat.
    """
    aligned = scores.of(known)
    y = known["preference"].to_numpy().astype(int)
    groups = prompt_groups(known).to_numpy()
    loud: dict[float, list[tuple[int, int]]] = {}  # size to votes and column of each rule
    for j in range(aligned.n_rules):
        at = np.abs(aligned.discrepancy[aligned.votes[:, j] != 0, j]).astype(float).round(6)
        for size, votes in zip(*np.unique(at, return_counts=True), strict=True):
            if votes >= LEAST_VOTES:
                loud.setdefault(float(size), []).append((int(votes), j))
    size = max(loud, key=lambda s: (len(loud[s]), sum(n for n, _ in loud[s]), s), default=0.0)
    rows = []
    if len(loud.get(size, ())) > 1:
        for votes, j in sorted(loud[size], key=lambda one: (-one[0], one[1]))[:shown]:
            delta = aligned.discrepancy[:, j]
            at = np.flatnonzero(np.abs(delta).astype(float).round(6) == size)
            found = mean_accuracy((aligned.votes[at, j] == y[at]).astype(float), groups[at])
            rows.append((aligned.names[j], size, votes, found.value, found.low, found.high))
    kinds = {name: _SCHEMA[name] for name in ("name", "votes", "value", "low", "high")}
    schema = {"name": kinds.pop("name"), "size": pl.Float64, **kinds}
    return pl.DataFrame(rows, schema, orient="row").sort("value", "votes", descending=True)


def equally_loud_said(found: pl.DataFrame) -> str:
    """What a frame of `equally_loud` says of A3, in a sentence or two.

    Parameters
    ----------
    found
        From `equally_loud`. One curve is contradicted only where the intervals lie apart.
    """
    if found.is_empty():
        return (
            f"No two rules have {LEAST_VOTES} votes of the same loudness here. So some of the spread "
            "may come from loudness, not from the rules."
        )
    best, worst = found.row(0, named=True), found.row(-1, named=True)
    ends = [
        f"{as_code(row['name'])} is right on {with_interval(row)} (n = {row['votes']:,})"
        for row in (best, worst)
    ]
    so = "Their intervals overlap: this settles nothing."
    if best["low"] > worst["high"]:
        so = "One curve does not fit both."
    which = "two rules" if len(found) == 2 else f"{len(found)} rules"
    return (
        f"At |δ| = {best['size']:g} alone, of the {which} with most such votes, "
        f"{ends[0]} and {ends[1]}. {so}"
    )


def ends_of(accuracies: pl.DataFrame, shown: int = 8) -> pl.DataFrame:
    """The most and the least accurate rules, for a chart.

    Parameters
    ----------
    accuracies
        From `rule_accuracies`.
    shown
        Rules at either end; all, where there are no more than twice as many.

    Returns
    -------
    Rows of the frame, in its order.
    """
    if len(accuracies) <= 2 * shown:
        return accuracies
    return pl.concat([accuracies.head(shown), accuracies.tail(shown)])


def ends_title(accuracies: pl.DataFrame, shown: int = 8) -> str:
    """The title of the chart of `ends_of`: which rules stand in it, and of how many.

    Parameters
    ----------
    accuracies, shown
        As for `ends_of`.
    """
    if len(accuracies) <= 2 * shown:
        return f"Votes that are right, of {len(accuracies)} rules"
    return f"Votes that are right: the {shown} most and the {shown} least accurate of {len(accuracies)} rules"


def rule_accuracy_findings(accuracies: pl.DataFrame, n_rules: int) -> str:
    """What these accuracies allow to say of the rules, in one line of a list.

    Parameters
    ----------
    accuracies
        From `rule_accuracies`.
    n_rules
        Of the rule set.
    """
    if accuracies.is_empty():
        return f"- No rule has {LEAST_VOTES} votes on pairs with a known preference."
    above = accuracies.filter(pl.col("low") > 0.5)
    wrong = accuracies.filter("wrong_way")
    said = (
        f"- Of {n_rules} rules {len(accuracies)} vote on {LEAST_VOTES} known pairs or more; the votes "
        f"of {len(above)} are right more often than a coin, by their intervals."
    )
    if wrong.is_empty():
        return f"{said} None can be shown to point the wrong way."
    names = [f"{as_code(r['name'])} ({percent(r['value'], 0)})" for r in wrong.to_dicts()][::-1]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        f"{said} **{len(names)} point{'s' * (len(names) == 1)} the wrong way**: "
        f"{', '.join(names[:5])}{more}. Reword them, drop them, or weight the rules by known "
        "preferences."
    )


_SCHEMA = {
    "name": pl.String,
    "votes": pl.Int64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "wrong_way": pl.Boolean,
}

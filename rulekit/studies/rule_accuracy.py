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
from rulekit.studies.phrases import as_code, percent

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

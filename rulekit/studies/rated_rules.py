"""What the rules of a run say, whoever is right: scores come in, frames and words go out.

Notebook 2 shows them: on how many pairs a rule votes, how loudly, which rules repeat each other, and
what rating them costs. No preference is needed for any of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from rulekit.information import normalised_redundancy, redundancy_clusters
from rulekit.inputs.pairs import conversation, prompt_groups, prompt_text
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.measures import mean_interval
from rulekit.studies.phrases import as_code, listed, percent

DECISIVE = 0.5  # |δ| above it: no doubt which response the judge prefers under the rule
REPEATS = 0.5  # of the larger entropy: rules that share it say mostly the same
_SHOWN_CELLS = 5_000


def rule_use(pairs: pl.DataFrame, scores: Scores) -> pl.DataFrame:
    """On how many pairs each rule votes, and on how many it is decisive.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.

    Returns
    -------
    A row a rule, the most used first: ``rule``; ``coverage``, share of the pairs with δ ≠ 0, and
    ``low`` and ``high``, its 95 % interval over prompts; ``decisive``, share with \\|δ\\| > ½;
    ``for_a``, share of its votes that are for the first response (null without votes);
    ``mean_size``, mean \\|δ\\|.
    """
    scores = scores.of(pairs).whole()
    votes, size = scores.votes, np.abs(scores.discrepancy)
    groups = prompt_groups(pairs).to_list()
    rows = []
    for j, name in enumerate(scores.names):
        spoken = votes[:, j] != 0
        low, high = mean_interval(spoken.astype(float), groups, bounds=(0, 1))
        rows.append(
            {
                "rule": name,
                "coverage": float(spoken.mean()),
                "low": low,
                "high": high,
                "decisive": float((size[:, j] > DECISIVE).mean()),
                "for_a": float((votes[spoken, j] > 0).mean()) if spoken.any() else None,
                "mean_size": float(size[:, j].mean()),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"for_a": pl.Float64}).sort(
        ["coverage", "decisive", "rule"], descending=[True, True, False]
    )


def rule_agreement(scores: Scores, shown: int = 60) -> pl.DataFrame:
    """What pairs of rules share, for a heat map: rules that repeat each other stand side by side.

    Parameters
    ----------
    scores
        Of n_pairs pairs under n_rules rules.
    shown
        How many rules at most, those that vote most often; 70 or fewer.

    Returns
    -------
    A row for two rules, both ways: ``row`` and ``column``, places in the map, ``rule`` and
    ``other``, their names, ``value``, the mutual information of their votes as a share of the larger
    entropy, and ``agree``, the share of pairs with the same vote among those on which both vote (null
    where there are none).
    """
    votes = scores.whole().votes
    often = np.argsort(-(votes != 0).mean(axis=0), kind="stable")[: min(shown, 70)]
    votes, names = votes[:, often], [scores.names[j] for j in often]
    cluster = redundancy_clusters(votes, REPEATS)
    order = np.lexsort((cluster, -np.bincount(cluster)[cluster]))
    votes, names = votes[:, order], [names[j] for j in order]
    value = normalised_redundancy(votes)
    both = np.abs(votes).T @ np.abs(votes)  # (n, n) pairs on which both vote
    same = (votes.T @ votes + both) / 2
    rows = [
        {
            "row": i,
            "column": j,
            "rule": names[i],
            "other": names[j],
            "value": float(value[i, j]),
            "agree": float(same[i, j] / both[i, j]) if both[i, j] else None,
        }
        for i in range(len(names))
        for j in range(len(names))
        if i != j
    ]
    kinds = {"row": pl.Int64, "column": pl.Int64, "rule": pl.String, "other": pl.String}
    return pl.DataFrame(rows, schema={**kinds, "value": pl.Float64, "agree": pl.Float64})


def repeated_rules(agreement: pl.DataFrame, least: float = REPEATS) -> pl.DataFrame:
    """Two rules a row that say mostly the same, or the opposite; most alike first.

    Parameters
    ----------
    agreement
        From `rule_agreement`.
    least
        Value from which on two rules are listed.

    Returns
    -------
    ``rule``, ``other``, ``value`` and ``agree`` as they are there, and ``cell``, their place in
    the map.
    """
    upper = agreement.filter((pl.col("row") < pl.col("column")) & (pl.col("value") >= least))
    place = pl.format("{}, {}", "row", "column").alias("cell")
    return upper.select("rule", "other", "value", "agree", place).sort(
        "value", "rule", descending=[True, False]
    )


def rating_cost(
    pairs: pl.DataFrame, rules: RuleSet, ks: Sequence[int] = (1, 5, 10)
) -> pl.DataFrame:
    """What rating takes, by the number of rules that are asked for each pair.

    Parameters
    ----------
    pairs
        Canonical frame.
    rules
        n_rules rules.
    ks
        Rules a pair; all rules are the first row.

    Returns
    -------
    A row a number of rules: ``rules``; ``ratings`` (a response under a rule, a response that occurs
    in several pairs once where all rules are asked, at most once a pair elsewhere); ``share`` of the
    ratings under all rules; ``tokens`` that a language model reads if each rating is a request of its
    own, at four characters a token and without an instruction.
    """
    texts: dict[tuple[str, str], int] = {}
    for prompt, *sides in pairs["prompt", "response_a", "response_b"].iter_rows():
        before = conversation(prompt)
        for response in sides:
            texts[before, response] = len(prompt_text(prompt)) + len(response)
    length = float(np.mean(list(texts.values())))
    rule = float(np.mean([len(text) for text in rules.texts]))
    every = len(texts) * len(rules)
    rows = []
    for k in [len(rules), *(k for k in sorted(set(ks), reverse=True) if k < len(rules))]:
        ratings = min(every, 2 * len(pairs) * k)
        rows.append(
            {
                "rules": k,
                "ratings": ratings,
                "share": ratings / every,
                "tokens": round(ratings * (length + rule) / 4),
            }
        )
    return pl.DataFrame(rows)


def cost_said(cost: pl.DataFrame, n_pairs: int) -> str:
    """Why k of n rules take more than k / n of the ratings, where they do.

    Parameters
    ----------
    cost
        From `rating_cost`.
    n_pairs
        Number of pairs that it is of.

    Returns
    -------
    Sentences about the largest k; empty where every response stands in one pair, or there is no k.
    """
    if len(cost) < 2:
        return ""
    every, few = cost.row(0, named=True), cost.row(1, named=True)
    taken, named = percent(few["share"], 0), percent(few["rules"] / every["rules"], 0)
    if taken == named:
        return ""
    stands = 2 * n_pairs * every["rules"] / every["ratings"]  # pairs of a response, on average
    often = f"{stands:.0f} pairs" if stands == round(stands) else f"{stands:.1f} pairs on average"
    return (
        f"{few['rules']} of {every['rules']} rules take up to {taken} of the ratings, not {named}. A "
        f"response stands in {often}. Under all rules it is rated once; under chosen rules each pair "
        "may choose others."
    )


def rating_findings(use: pl.DataFrame, scores: Scores, agreement: pl.DataFrame) -> str:
    """What the ratings say of the rules, in sentences made of the frames.

    Parameters
    ----------
    use
        From `rule_use`.
    scores
        The scores.
    agreement
        From `rule_agreement`.

    Returns
    -------
    Markdown.
    """
    size = np.abs(scores.discrepancy)
    loud, silent = (size > DECISIVE).sum(axis=1), (scores.votes == 0).all(axis=1)
    n = len(use)
    said = [
        f"On a pair {loud.mean():.1f} of the {n} rules are decisive (\\|δ\\| > {DECISIVE:g}) on "
        f"average; on {percent((loud == 0).mean())} of the pairs none is."
    ]
    if silent.any():
        said.append(
            f"No rule says anything on {int(silent.sum()):,} of {len(silent):,} pairs: their label is "
            "a tie, whatever is chosen."
        )
    never = use.filter(pl.col("coverage") == 0)["rule"].to_list()
    if never:
        said.append(
            f"{_some(never)} never {'vote' if len(never) > 1 else 'votes'}: not needed here."
        )
    rare = use.filter((pl.col("coverage") > 0) & (pl.col("high") < 0.05))["rule"].to_list()
    if rare:
        said.append(
            f"{_some(rare)} seldom {'vote' if len(rare) > 1 else 'votes'}: even the upper end of "
            f"{'their intervals' if len(rare) > 1 else 'its interval'} is below 5 % of such pairs."
        )
    one_sided = _one_sided(scores)
    if one_sided:
        said.append(
            f"{_some(one_sided)} always {'vote' if len(one_sided) > 1 else 'votes'} for the same place: "
            "unless the better response is always there, look whether the judge reads the response or "
            "its place."
        )
    twins = repeated_rules(agreement)
    if len(twins):
        first = twins.row(0, named=True)
        said.append(
            f"{_repeating(len(twins))}, most of all {as_code(first['rule'])} and "
            f"{as_code(first['other'])} ({percent(first['value'], 0)})."
        )
    elif n > 1:
        drawn = agreement["rule"].n_unique()
        some = f"Of the {drawn} rules that vote most often no two" if drawn < n else "No two rules"
        said.append(f"{some} share half of what they say.")
    return listed(said)


def repeated_title(agreement: pl.DataFrame, n_rules: int) -> str:
    """How many couples of rules repeat each other, as the title of their map.

    Parameters
    ----------
    agreement
        From `rule_agreement`.
    n_rules
        Of the run: where not all are drawn, that is said.
    """
    drawn = agreement["rule"].n_unique()
    some = f" (drawn: the {drawn} rules that vote most often)" if drawn < n_rules else ""
    return f"{_repeating(len(repeated_rules(agreement)))}{some}"


def _repeating(n: int) -> str:
    if n == 1:
        return "1 couple of rules shares half of what it says, or more"
    return f"{n or 'No'} couples of rules share half of what they say, or more"


def decisive_said(scores: Scores) -> str:
    """That every vote is decisive, where the ratings are -1, 0 or +1; empty where they are not.

    Parameters
    ----------
    scores
        The scores that `rule_use` counts.
    """
    if not np.isin(np.abs(scores.discrepancy), (0, 1, 2)).all():
        return ""
    return (
        "These ratings are −1, 0 or +1, so every vote is decisive: of each rule the light bar and the "
        "dark one end together. With a judge that gives probabilities they differ."
    )


def _one_sided(scores: Scores, least: int = 10) -> list[str]:
    """Rules that vote `least` times or more, always for the same response."""
    votes = scores.votes
    a, b = (votes > 0).sum(axis=0), (votes < 0).sum(axis=0)
    return [
        name for name, x, y in zip(scores.names, a, b, strict=True) if x + y >= least and x * y == 0
    ]


def _some(names: list[str], shown: int = 3) -> str:
    """Names in a sentence, the first few and how many more."""
    listed_ = [as_code(name) for name in names[:shown]]
    if len(names) > shown:
        return f"{', '.join(listed_)} and {len(names) - shown} more"
    return (
        " and ".join(listed_)
        if len(listed_) < 3
        else f"{', '.join(listed_[:-1])} and {listed_[-1]}"
    )

"""What readings of real responses say, in sentences made of their figures: frames in, Markdown out.

Notebook 19 ends in them. A difference counts where it is beyond chance, all that were looked at
together; otherwise two ways cannot be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from rulekit.studies.phrases import (
    capital,
    compared,
    listed,
    percent,
    signed_points,
    verdict,
    with_interval,
)
from rulekit.studies.real_labels import AGREED, LARGEST, LONGER, SUM, VERDICT

_NO_CHOICE = ("one reader's verdict", "majority of all rules", AGREED, VERDICT, SUM, LONGER)


def real_findings(
    table: pl.DataFrame,
    learned: pl.DataFrame,
    slopes: pl.DataFrame,
    best: pl.DataFrame,
    stability: pl.DataFrame,
    k: int,
) -> str:
    """Whether many rules beat one verdict, whether choosing and labels help, and why: five sentences.

    Parameters
    ----------
    table
        From `real_table`, against the sum of all rules.
    learned
        From `learned_grid`.
    slopes
        From `premise_slopes`.
    best
        From `best_five`.
    stability
        From `label_stability`.
    k
        Rules per pair of the ways that choose.

    Returns
    -------
    Markdown.
    """
    return listed(
        [
            _rules_or_verdict(table),
            _choice(table, k),
            _labels(learned, _row(table, AGREED)),
            _premise(slopes, best, k),
            _cost(stability),
        ]
    )


def _gain(row: Mapping, turned: bool = False) -> dict:
    """The difference of a row to the sum of all rules; turned, that of the sum to the row."""
    value, low, high = row["gain"], row["gain_low"], row["gain_high"]
    if turned:
        value, low, high = -value, -high, -low
    return {"value": value, "low": low, "high": high, "p_value": row["gain_p"]}


def _row(table: pl.DataFrame, name: str) -> dict:
    return table.row(by_predicate=pl.col("name") == name, named=True)


def _coin(row: Mapping) -> str:
    return (
        "more often than a coin"
        if row["low"] > 0.5
        else "less often than a coin"
        if row["high"] < 0.5
        else "not to be told from a coin"
    )


def _rules_or_verdict(table: pl.DataFrame) -> str:
    every, one = _row(table, SUM), _row(table, VERDICT)
    said = compared("it", f"a verdict without rules ({with_interval(one)})", _gain(one, True))
    return (
        f"The sum of all rules is people's choice on {with_interval(every)} of {every['n']} pairs, "
        f"{_coin(every)}; {said}."
    )


def _choice(table: pl.DataFrame, k: int) -> str:
    chosen = table.filter(
        ~pl.col("name").is_in(_NO_CHOICE) & ~pl.col("name").str.starts_with("LLM")
    )
    sides: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for row in chosen.iter_rows(named=True):
        sides[verdict(_gain(row), len(chosen))].append(row["name"])
    told = [
        f"{', '.join(sides[side])} {'is' if len(sides[side]) == 1 else 'are'} {word}"
        for side, word in ((1, "above it"), (-1, "below it"), (0, "not to be told from it"))
        if sides[side]
    ]
    largest = _row(table, LARGEST)
    return (
        f"Of {len(chosen)} ways to choose {k} rules, held against the sum of all, "
        f"{'; '.join(told)}; maximum discrepancy is right on {with_interval(largest)} "
        f"({signed_points(_gain(largest))})."
    )


def _labels(learned: pl.DataFrame, agreed: Mapping) -> str:
    every = learned.filter((pl.col("selector") == "all") & (pl.col("label") == "weighted"))
    rows, told = every.sort("labelled").to_dicts(), []
    for row in rows:
        gain = {"value": row["over_sum"], "low": row["over_sum_low"], "high": row["over_sum_high"]}
        side = verdict(gain | {"p_value": row["over_sum_p"]}, len(rows))
        word = {1: "above", -1: "below", 0: "not to be told apart"}[side]
        told.append(
            f"with {row['labelled']} known pairs {percent(row['value'])}, {word} "
            f"({signed_points(gain)})"
        )
    side = verdict(_gain(agreed))
    word = {1: "above", -1: "below", 0: "not to be told apart"}[side]
    told.append(
        f"weighted by their agreement alone ({AGREED}) {percent(agreed['value'])}, {word} "
        f"({signed_points(_gain(agreed))})"
    )
    return f"All rules weighted, on unseen prompts, against their sum: {'; '.join(told)}."


def _premise(slopes: pl.DataFrame, best: pl.DataFrame, k: int) -> str:
    row = _row(slopes, "within rules")
    value = f"{100 * row['value']:+.1f} points a unit of \\|δ\\| [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    holds = (
        "is right more often where its |δ| is larger"
        if row["low"] > 0
        else "is right less often where its |δ| is larger"
        if row["high"] < 0
        else "cannot be said to be right more often where its |δ| is larger"
    ).replace("|δ|", "\\|δ\\|")
    known = best.row(by_predicate=pl.col("name") == "known from other prompts", named=True)
    gain = {"value": known["over"], "low": known["over_low"], "high": known["over_high"]}
    gain |= {"p_value": known["over_p"]}
    told = compared(
        f"the choice of {k} rules by all preferences of other prompts ({percent(known['value'])})",
        "maximum discrepancy",
        gain,
    )
    return f"What the theorem assumes: a rule's vote {holds} ({value.replace('-', '−')}); {told}."


def _cost(stability: pl.DataFrame) -> str:
    rows = {row["order"]: row for row in stability.iter_rows(named=True)}
    chance, first = rows["random"], rows["listed first"]
    least = rows["largest |δ| first"]
    saved = 1 - first["rules"] / chance["rules"]
    told = f"{percent(saved, 0)} of the ratings are saved by the list"
    return (
        f"The label of all rules stands for good after {chance['rules']:.1f} rules in random order, "
        f"{first['rules']:.1f} where those listed from the prompt come first "
        f"[{first['low']:.1f}, {first['high']:.1f}], {least['rules']:.1f} at the least: "
        f"{told if first['high'] < chance['low'] else 'the list surely saves none'}."
    )


def beside_findings(votes: pl.DataFrame, topics: pl.DataFrame, zone: float = 0.01) -> str:
    """Readings one by one against an LLM's pairwise votes, in sentences made of the frames.

    Parameters
    ----------
    votes
        From `beside_votes`.
    topics
        From `beside_topics`.
    zone
        The dead zone that is spoken of, one of the frame's.

    Returns
    -------
    Markdown.
    """
    row = votes.row(by_predicate=pl.col("zone") == zone, named=True)
    gain = {"value": row["gain"], "low": row["gain_low"], "high": row["gain_high"]}
    said = compared(
        f"the sum of the readings ({percent(row['readings'])})",
        f"the sum of the LLM's votes under its own rules ({with_interval(row)})",
        gain | {"p_value": row["gain_p"]},
    )
    order = topics.sort("same", descending=True)
    most, least = order.row(0, named=True), order.row(-1, named=True)
    apart = [
        r["topic"]
        for r in topics.iter_rows(named=True)
        if verdict(
            {"low": r["gain_low"], "high": r["gain_high"], "p_value": r["gain_p"]}, len(topics)
        )
    ]
    return listed(
        [
            f"{capital(said)}; where both speak they prefer the same response on "
            f"{percent(row['same'])} [{100 * row['same_low']:.1f}, {100 * row['same_high']:.1f}].",
            f"Topic by topic they agree from {percent(least['same'])} (`{least['topic']}`) to "
            f"{percent(most['same'])} (`{most['topic']}`); "
            + (
                f"which predicts people better can be told in {', '.join(apart)}."
                if apart
                else "in no topic can it be told which predicts people better."
            ),
        ]
    )


def rule_set_findings(directions: pl.DataFrame, repeated: pl.DataFrame) -> str:
    """What a better set of rules would be, going by these pairs: a report, nothing is changed.

    Parameters
    ----------
    directions
        From `rule_directions`.
    repeated
        From `rulekit.studies.repeated_rules`.

    Returns
    -------
    Markdown.
    """
    by = {
        says: directions.filter(pl.col("says") == says)["rule"].to_list()
        for says in ("with people", "against people", "cannot be told", "few votes", "never votes")
    }
    tested = sum(len(by[s]) for s in ("with people", "against people", "cannot be told"))
    against = by["against people"]
    return listed(
        [
            f"{len(directions) - tested} of {len(directions)} rules vote too seldom here to be judged, "
            f"{len(by['never votes'])} of them never: pairs of other topics need them, these do not.",
            f"Of the other {tested}, {len(by['with people'])} are surely right more often than wrong, "
            f"and of {len(by['cannot be told'])} it cannot be told.",
            f"Surely wrong more often than right: {', '.join(f'`{r}`' for r in against)}. "
            "Turned round they would help on such pairs; whether people or the rules are to be "
            "followed there is not for the figures to say."
            if against
            else "No rule is surely wrong more often than right.",
            f"{len(repeated)} couple{'s' if len(repeated) > 1 else ''} of rules "
            f"{'share' if len(repeated) > 1 else 'shares'} half of what they say or more: one of each "
            "would do."
            if len(repeated)
            else "No two rules share half of what they say.",
        ]
    )


def learning_findings(adapter: Mapping, taught: pl.DataFrame, beyond: pl.DataFrame, k: int) -> str:
    """What an adapter and reward models learned from readings, in sentences made of their figures.

    Parameters
    ----------
    adapter
        Figures of `adapter_report`.
    taught
        From `accuracy_table` of `reward_margins`.
    beyond
        From `paired_gains` of the same, against the model trained on people's choices.
    k
        Rules named.

    Returns
    -------
    Markdown.
    """
    side = verdict(adapter["recall_over_frequent"])
    word = {1: "above", -1: "below", 0: "not to be told from"}[side]
    said = [
        f"An adapter names {percent(adapter['recall_at_k'])} of the {k} rules of largest \\|δ\\|, "
        f"{word} always naming the most frequent ({percent(adapter['frequent_recall_at_k'])}), and its "
        f"labels are those of the {k} rules on "
        f"{with_interval(adapter['rule_adapter_label_agreement'])} of the pairs."
    ]
    models = beyond.filter(pl.col("name").str.starts_with("trained on"))
    against = _row(taught, models["against"][0])
    clauses = [
        compared(f"one {row['name']} ({percent(_row(taught, row['name'])['value'])})", "it", row)
        for row in models.iter_rows(named=True)
    ]
    said.append(
        f"A reward model {against['name']} is right on {with_interval(against)} of unseen prompts' "
        f"pairs, {_coin(against)}; {'; '.join(clauses)}."
    )
    return listed(said)

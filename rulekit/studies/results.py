"""What a run comes to: its conclusion, one pair explained, and where to stop believing.

Frames of `ways`, pairs, rules and scores come in, sentences and one pair's rules go out. Notebook 10
shows them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.information import effective_rules
from rulekit.inputs.pairs import prompt_groups, prompt_text
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.labels import Labels
from rulekit.measures import wilson
from rulekit.selection.registry import Selection
from rulekit.studies.gains import truth_of
from rulekit.studies.phrases import capital, compared, percent, with_interval
from rulekit.studies.selection_accuracy import accuracy_row, length_margin
from rulekit.studies.trained import N_FOLDS
from rulekit.studies.ways import SUM, Ways

LABELS_TO_ADD = 30  # what a person labels in half an hour
_DECISIVE = 0.5
_FEW_PROMPTS = 30
_SIDES = {1: "A", -1: "B", 0: "none"}


def results_findings(table: pl.DataFrame, reward: pl.DataFrame, figures: dict, known: bool) -> str:
    """The conclusion of a run in three sentences, and what is missing.

    Parameters
    ----------
    table
        From `results_table`.
    reward
        Accuracy of reward models, from `results_reward`; may be empty.
    figures
        From `rating_figures`.
    known
        As for `results_table`.

    Returns
    -------
    Markdown: a numbered list.
    """
    said = _known(table, reward) if known else _unknown(table, figures)
    lines = "\n".join(f"{i}. {one}" for i, one in enumerate(said, 1))
    return lines if known else f"{lines}\n\n{what_labels_add()}"


def _known(table: pl.DataFrame, reward: pl.DataFrame) -> list[str]:
    rows = {row["name"]: row for row in table.iter_rows(named=True)}
    base, others = rows[SUM], [row for row in rows.values() if row["name"] != SUM]
    best = others[0]
    told = compared("it", "the sum", _gain(best), len(others)).removeprefix("it ")
    said = [
        f"**Labels.** The {SUM} agrees with the known preference on {with_interval(base)} of "
        f"{base['n']:,} pairs; *{best['name']}*, the highest of the other ways with "
        f"{with_interval(best)}, {told}."
    ]
    cheap = [row for row in others if row["share"] < 1 and "at random" not in row["name"]]
    if cheap:
        row, chance = cheap[0], _random(table)
        told = compared("it", "the sum", _gain(row)).removeprefix("it ")
        said.append(
            f"**Cost.** *{capital(row['name'])}*, for {percent(row['share'], 0)} of the ratings, is "
            f"right on {with_interval(row)} and {told}; as many rules at random are right on "
            f"{percent(chance['value'])}."
        )
    else:
        said.append("**Cost.** Every way here but a random choice needs all ratings.")
    learned = reward.filter(pl.col("name").str.starts_with("trained on"))
    truth = learned.filter(pl.col("name").str.contains("known preferences"))
    rules = learned.filter(~pl.col("name").str.contains("known preferences")).sort("value")
    if rules.is_empty() or truth.is_empty():
        return [*said, "**Reward model.** None was measured: that takes five prompts or more."]
    row, top = rules.row(-1, named=True), truth.row(0, named=True)
    said.append(
        f"**Reward model.** The one *{row['name']}* is right on {with_interval(row)} of the pairs of "
        f"unseen prompts, the one trained on the known preferences on {with_interval(top)}; "
        f"{compared('the first', 'the second', _gain(row))}."
    )
    return said


def _unknown(table: pl.DataFrame, figures: dict) -> list[str]:
    loud = table.filter(pl.col("name").str.contains("largest")).row(0, named=True)
    said = [
        f"**Labels.** The {loud['name'].split()[0]} rules of largest |δ| and the {SUM} prefer the same "
        f"response on {with_interval(loud)} of {loud['n']:,} pairs. Whether that is the better one "
        "is not known.",
        f"**Rules.** On average {figures['decisive']:.1f} of {figures['n_rules']} rules tell the two "
        f"responses apart (|δ| > ½); on {percent(figures['none'], 0)} of the pairs none does. Their "
        f"votes are as varied as those of {figures['effective']:.1f} independent rules.",
    ]
    named = table.filter(pl.col("name").str.contains("named by the adapter"))
    if len(named):
        row = named.row(0, named=True)
        said.append(
            f"**Cost.** *{capital(row['name'])}* takes {percent(row['share'], 0)} of the ratings and "
            f"agrees with the {SUM} on {with_interval(row)} of the pairs, as many rules at random "
            f"on {percent(_random(table)['value'])}."
        )
    else:
        said.append("**Cost.** An adapter that saves ratings takes five prompts or more to learn.")
    return said


def _random(table: pl.DataFrame) -> dict:
    return table.filter(pl.col("name").str.contains("at random")).row(0, named=True)


def _gain(row: dict) -> dict:
    return {
        "value": row["gain"],
        "low": row["gain_low"],
        "high": row["gain_high"],
        "p_value": row["gain_p"],
    }


def what_labels_add() -> str:
    """What known preferences of a few pairs would tell, in one sentence."""
    low, high = wilson(0.7 * LABELS_TO_ADD, LABELS_TO_ADD)
    return (
        f"**Missing: known preferences.** {LABELS_TO_ADD} labelled pairs would tell how often the "
        f"labels are right, within about ±{50 * (high - low):.0f} points, let the rules be weighted, "
        "and show rules that point the wrong way. `rulekit label SCORES --pairs PAIRS --ask` collects them."
    )


def rating_figures(scores: Scores) -> dict[str, float]:
    """How much the rules say of these pairs, which needs no known preference.

    Parameters
    ----------
    scores
        Of n_pairs pairs under n_rules rules.

    Returns
    -------
    ``n_rules``; ``decisive``, mean number of rules of |δ| > ½ a pair; ``none``, the share of pairs
    without any; ``effective``, the number of independent rules whose votes would be as varied;
    ``silent``, how many rules are decisive on no pair.
    """
    decisive = np.abs(scores.discrepancy) > _DECISIVE
    each, votes = decisive.sum(axis=1), scores.votes
    return {
        "n_rules": scores.n_rules,
        "decisive": float(each.mean()),
        "none": float((each == 0).mean()),
        "effective": float(effective_rules(votes)) if np.ptp(votes, axis=0).any() else 0.0,
        "silent": int((~decisive.any(axis=0)).sum()),
    }


def preferred(value: int | None) -> str:
    """A preference in words."""
    if value is None:
        return "not known"
    return {1: "A is preferred", -1: "B is preferred", 0: "neither is preferred"}[int(value)]


def chosen_rules(rules: RuleSet, scores: Scores, selection: Selection, row: int) -> pl.DataFrame:
    """The rules chosen for one pair as text, the largest |δ| first.

    Parameters
    ----------
    rules, scores, selection
        n_rules rules, scores of n_pairs pairs and the rules chosen for each.
    row
        Which pair.

    Returns
    -------
    A row a rule: ``rule``, its text, ``discrepancy`` in [-2, 2] and ``speaks``, for A, for B or for
    neither.
    """
    chosen = selection.aligned(scores.identity).indices[row]
    delta = scores.discrepancy[row]
    order = sorted(chosen.tolist(), key=lambda j: -abs(delta[j]))
    sides = {1: "for A", -1: "for B", 0: "for neither"}
    return pl.DataFrame(
        {
            "rule": [rules.texts[j] for j in order],
            "discrepancy": [float(delta[j]) for j in order],
            "speaks": [sides[int(np.sign(delta[j]))] for j in order],
        }
    )


def chosen_rules_said(frame: pl.DataFrame) -> str:
    """Who spoke for which response of one pair, and what a sum makes of it, in sentences.

    Parameters
    ----------
    frame
        From `chosen_rules`.
    """
    delta = frame["discrepancy"]
    n_a, n_b = int((delta > 0).sum()), int((delta < 0).sum())
    for_a, for_b = delta.filter(delta > 0).sum(), delta.filter(delta < 0).sum()
    said = (
        f"For A: {n_a} of {len(frame)} rules, δ together {for_a:+.3g}. For B: {n_b}, together "
        f"{for_b:+.3g}."
    ).replace("-", "−")
    if n_a and n_b:
        said += (
            " A sum weighs a rule by how loudly it speaks, and by nothing else. Whether one of the "
            "outvoted rules matters more it cannot know; weights learned from labelled pairs can."
        )
    return said


def pair_by_ways(ways: Ways, row: int, known: int | None) -> pl.DataFrame:
    """What each way to label says of one pair, and how many ratings it took.

    Parameters
    ----------
    ways
        From `ways_to_label`.
    row
        Which pair.
    known
        Its known preference, -1, 0, +1, or None.

    Returns
    -------
    A row a way: ``way``, ``ratings``, ``label``, A, B or none, each with its share of the draws
    where they differ, and ``right``: yes, no, or sometimes; – where nothing is known.
    """
    rows = []
    for name, drawn in ways.labels.items():
        here = drawn[:, row]
        shares = [(side, float((here == sign).mean())) for sign, side in _SIDES.items()]
        some = [(side, share) for side, share in shares if share]
        told = some[0][0] if len(some) == 1 else ", ".join(f"{s} {percent(x, 0)}" for s, x in some)
        right = float((here == known).mean()) if known else None
        word = "–" if right is None else {1.0: "yes", 0.0: "no"}.get(right, "sometimes")
        rows.append((name, 2 * ways.rated[name], told, word))
    return pl.DataFrame(rows, schema=["way", "ratings", "label", "right"], orient="row")


def labels_beside(pairs: pl.DataFrame, labels: Labels) -> pl.DataFrame:
    """Labels beside the preferences that somebody gave, pair by pair.

    Parameters
    ----------
    pairs, labels
        n_pairs pairs with preferences, and their labels.

    Returns
    -------
    ``pair``, ``prompt``, ``yours`` and ``label``, A, B or none, ``margin``, and ``same``.
    """
    labels = labels.aligned(pairs)
    truth = truth_of(pairs)
    return pl.DataFrame(
        {
            "pair": pairs["pair_id"],
            "prompt": [prompt_text(p) for p in pairs["prompt"].to_list()],
            "yours": [_SIDES[t] for t in truth.tolist()],
            "label": [_SIDES[v] for v in labels.preference.tolist()],
            "margin": labels.margin.astype(float),
            "same": labels.preference == truth,
        }
    )


def limits(pairs: pl.DataFrame, scores: Scores, known: bool) -> list[str]:
    """What keeps the figures of a run from being trusted further, in sentences made of its figures.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    known
        Whether there are known preferences to measure with.
    """
    figures, n_prompts = rating_figures(scores), prompt_groups(pairs).n_unique()
    said = []
    if known:
        length = accuracy_row("longer", length_margin(pairs), pairs)
        if length["low"] > 0.5 or length["high"] < 0.5:
            said.append(
                f"The longer response is the preferred one on {with_interval(length)} of the pairs: "
                "what looks like a judgement may be length."
            )
        truth = truth_of(pairs)
        first = float((truth[truth != 0] > 0).mean())
        if not 0.1 <= first <= 0.9:
            said.append(
                f"A is the preferred response on {percent(first)} of the pairs: a judge that likes "
                "one place, and a model that learns it, look right."
            )
    few = " only, so they are wide" if n_prompts < _FEW_PROMPTS else ""
    said.append(
        f"Intervals are over the {n_prompts} prompts of the {len(pairs):,} pairs{few}; they hold for "
        "prompts like these."
    )
    if n_prompts < N_FOLDS:
        said.append(
            f"Nothing is learned from fewer than {N_FOLDS} prompts: no adapter, no reward model."
        )
    if figures["none"] > 0.05:
        said.append(
            f"On {percent(figures['none'], 0)} of the pairs no rule tells the responses apart "
            "(|δ| > ½); their labels rest on small leanings of the judge."
        )
    if figures["silent"]:
        said.append(
            f"{figures['silent']} of {figures['n_rules']} rules tell the responses of no pair apart: "
            "reword them, leave them out, or ask another judge."
        )
    if not known:
        said.append(
            "Agreement with the sum of all rules is no accuracy: all may be wrong together."
        )
    said.append("What the rules do not mention, no label here can see.")
    return said

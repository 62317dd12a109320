"""Columns that the list of pairs begins with, and rules in the order of scores.

Pairs, rules and preferences come in; plain columns go out. `pair_explorer` shows them.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from rulekit.inputs import RuleSet, Scores

COLUMNS = ("pair_id", "prompt", "label", "confidence", "margin", "contested", "known", "agrees")


def in_order(rules: RuleSet, scores: Scores) -> RuleSet:
    """The rules in the order of the scores' columns."""
    if scores.rule_ids is None:
        if len(rules) != scores.n_rules:
            raise ValueError(f"{len(rules)} rules; allowed: {scores.n_rules}, as the scores")
        return RuleSet(tuple(replace(r, id=n) for r, n in zip(rules, scores.names, strict=True)))
    return RuleSet(tuple(rules[name] for name in scores.rule_ids))


def plain_columns(pairs: pl.DataFrame, prompts: pl.Series) -> pl.DataFrame:
    """Id, beginning of the prompt and every further column of one value a pair.

    Parameters
    ----------
    pairs
        Canonical frame.
    prompts
        Their prompts as texts.
    """
    own = ("prompt", "response_a", "response_b", "preference", *COLUMNS, "random")
    more = [
        c
        for c, kind in pairs.schema.items()
        if c not in own and not kind.is_nested() and kind != pl.Object
    ]
    start = prompts.str.replace_all(r"\s+", " ").str.slice(0, 70)
    return pairs.select("pair_id", start.alias("prompt"), *more)


def sides(preference: pl.Series) -> pl.Series:
    """Preferences as ``A``, ``B`` and, where there is none, ``–``."""
    return preference.cast(pl.Int8).replace_strict(
        {1: "A", -1: "B", 0: "–"}, return_dtype=pl.String
    )

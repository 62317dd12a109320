"""Readings of real responses under the kit's rules: grades come in, pairs and their scores go out.

`data/real-ratings.parquet` holds who graded which response under which rule, and no text;
`data/real-verdicts.parquet` which of two responses a reader preferred who saw no rule. The texts are
those of the public data sets. `data/real-ratings.md` says how they were read. `sources` calls this.
"""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from rulekit.files import resource
from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores

READ = {"hh-read": "hh", "xstest-read": "xstest"}  # data set → its name in the files
PASSES = ("first", "second", "third", "again")
_GRADES = 2.0  # the clearest grade, a score of 1
_SEED = 20261126  # of the draw, before anything was read
_DRAWN = 300, 150  # pairs of hh-rule-votes, and of either subset of xstest


def grades(source: str | None = None) -> pl.DataFrame:
    """All grades: `source`, `pair_id`, `side` (a or b), `sha256`, `rule`, `grade`, `reader`, `pass`.

    A grade is -2 (clearly violates) to +2 (clearly satisfies), 0 irrelevant; a rule without a row
    was found irrelevant to the prompt before the response was seen. `pass` is ``first`` for every
    response, ``second`` for a quarter, ``again`` for 50 with the rules in another order, ``third``
    for the whole of the one batch in which first and second agreed less than elsewhere.

    Parameters
    ----------
    source
        ``hh-read`` or ``xstest-read``; None: both.
    """
    return _of(pl.read_parquet(resource("data/real-ratings.parquet")), source)


def verdicts(source: str | None = None) -> pl.DataFrame:
    """Which response a reader without rules preferred, each pair in both orders.

    Columns `source`, `pair_id`, `order` (``ab`` or ``ba``: which response stood first), `better` (-2
    to +2, above 0 for A) and `reader`.

    Parameters
    ----------
    source
        As for `grades`.
    """
    return _of(pl.read_parquet(resource("data/real-verdicts.parquet")), source)


def drawn(hh: pl.DataFrame, xstest: pl.DataFrame) -> dict[str, list[str]]:
    """The pairs that were to be read, drawn anew: ids by source, in the order of the draw.

    Parameters
    ----------
    hh, xstest
        The pairs of ``hh-rule-votes`` and of ``xstest``.

    Notes
    -----
    300 of the first and 150 of either subset of the second by one generator; a prompt gives a second
    pair only where every prompt has given one.
    """
    rng = np.random.default_rng(_SEED)
    subsets = [
        xstest.filter(pl.col("subset") == f"xstest-should-{s}") for s in ("refuse", "respond")
    ]
    return {
        "hh-read": _draw(hh, _DRAWN[0], rng),
        "xstest-read": [name for part in subsets for name in _draw(part, _DRAWN[1], rng)],
    }


def _draw(pairs: pl.DataFrame, n: int, rng: np.random.Generator) -> list[str]:
    """Ids of n pairs, one a prompt as long as there are prompts."""
    order = rng.permutation(len(pairs))
    groups = prompt_groups(pairs)[order].to_frame("group")
    nth = groups.select(nth=pl.int_range(pl.len()).over("group"))["nth"]  # of its prompt's pairs
    first = order[np.argsort(nth.to_numpy(), kind="stable")]
    return pairs["pair_id"][first[:n]].to_list()


def read_rows(pairs: pl.DataFrame, source: str) -> pl.DataFrame:
    """The pairs that were read, in the order of `pairs`.

    Parameters
    ----------
    pairs
        All pairs of the public data set.
    source
        ``hh-read`` or ``xstest-read``.

    Raises
    ------
    ValueError
        If a response's text is not the one that was read: the message names pair and side.
    """
    told = grades(source).filter(pl.col("pass") == "first").unique(["pair_id", "side", "sha256"])
    read = dict(zip(zip(told["pair_id"], told["side"], strict=True), told["sha256"], strict=True))
    found = pairs.filter(pl.col("pair_id").is_in(told["pair_id"].unique().implode()))
    for side in ("a", "b"):
        for pair, text in found.select("pair_id", f"response_{side}").iter_rows():
            if hashlib.sha256(text.encode()).hexdigest() != read.get((pair, side)):
                raise ValueError(
                    f"{source}: response {side.upper()} of pair {pair!r} is not the text that was "
                    "read; allowed: the data set of that time, as data/README.md names it"
                )
    if (n := told["pair_id"].n_unique()) != len(found):
        raise ValueError(f"{source}: {len(found)} of the {n} pairs that were read are in the data")
    return found


def read_scores(pairs: pl.DataFrame, rules: RuleSet, source: str, by: str = "first") -> Scores:
    """Scores of the pairs that were read: half the grade, so in [-1, 1].

    Parameters
    ----------
    pairs
        From `read_rows`.
    rules
        The 100 rules of the kit.
    source
        ``hh-read`` or ``xstest-read``.
    by
        ``first``: the first reader, and in the one batch that a third read again the median of all
        who read a response. Or another of `PASSES`; a response without such a reading is not rated.

    Raises
    ------
    ValueError
        For an unknown pass or source.

    Notes
    -----
    A pair's relevance under a rule is the share of its two responses with a grade other than 0.
    Scores go by steps of ½; of the 28 responses of that batch 22 had two readers, whose median is
    the mean, so that quarters occur. It was settled so before any comparison with people.
    """
    if by not in PASSES:
        raise ValueError(f"unknown pass {by!r}; allowed: {', '.join(PASSES)}")
    table = grades(source)
    if by == "first":
        again = table.filter(pl.col("pass") == "third").select("pair_id", "side").unique()
        settled = (
            table.filter(pl.col("pass").is_in(["first", "second", "third"]))
            .join(again, on=["pair_id", "side"], how="semi")
            .group_by("pair_id", "side", "rule")
            .agg(pl.col("grade").median())
        )
        plain = table.filter(pl.col("pass") == "first").join(
            again, on=["pair_id", "side"], how="anti"
        )
        columns = ["pair_id", "side", "rule", pl.col("grade").cast(pl.Float64)]
        table = pl.concat([plain.select(columns), settled.select(columns)])
    else:
        table = table.filter(pl.col("pass") == by)
    row = {name: i for i, name in enumerate(pairs["pair_id"].to_list())}
    column = {name: j for j, name in enumerate(rules.ids)}
    both = {side: np.full((len(pairs), len(rules)), np.nan, np.float32) for side in "ab"}
    for side, matrix in both.items():
        part = table.filter(pl.col("side") == side)
        rows = np.array([row[p] for p in part["pair_id"]], dtype=np.intp)
        matrix[np.unique(rows)] = 0.0
        matrix[rows, [column[r] for r in part["rule"]]] = part["grade"].to_numpy() / _GRADES
    rated = ~np.isnan(both["a"] + both["b"])
    relevance = ((both["a"] != 0) * 0.5 + (both["b"] != 0) * 0.5).astype(np.float32)
    for values in (both["a"], both["b"], relevance):
        values[~rated] = np.nan
    return Scores(both["a"], both["b"], relevance, identity=Identity.of(rules, pairs), rated=rated)


def _of(table: pl.DataFrame, source: str | None) -> pl.DataFrame:
    if source is None:
        return table
    if source not in READ:
        raise ValueError(f"unknown source {source!r}; allowed: {', '.join(READ)}")
    return table.filter(pl.col("source") == READ[source])

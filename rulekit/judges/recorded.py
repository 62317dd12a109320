"""The judge that replays ratings recorded with a data set.

Pairs and rules of that data set come in, their recorded `Scores` go out; `rulekit.judges.get` gives
it by its name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.inputs.sources import load_ratings


@dataclass(frozen=True)
class RecordedJudge:
    """Ratings of `source`, one of the data sets that come with ratings."""

    source: str = "embedded"

    def score(self, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
        """The recorded scores of these pairs and rules.

        Raises
        ------
        ValueError
            For a pair or a rule that has no recorded rating.
        """
        recorded_rules, scores = load_ratings(self.source)
        columns = [_position(recorded_rules.ids, r, "rule", self.source) for r in rules.ids]
        rows_of = {p: i for i, p in enumerate(scores.pair_ids)}
        rows = [rows_of.get(p, -1) for p in pairs["pair_id"]]
        if -1 in rows:
            missing = pairs["pair_id"][rows.index(-1)]
            raise ValueError(f"pair {missing!r} has no recorded ratings in {self.source!r}")
        cells = np.ix_(rows, columns)
        relevance = None if scores.relevance is None else scores.relevance[cells]
        return Scores(
            scores.a[cells], scores.b[cells], relevance, rules.ids, pairs["pair_id"].to_list()
        )


def _position(ids: list[str], wanted: str, kind: str, source: str) -> int:
    if wanted not in ids:
        raise ValueError(f"{kind} {wanted!r} has no recorded ratings in {source!r}")
    return ids.index(wanted)

"""Judges: pairs and rules come in, scores go out. One registry; `get(name)` gives a judge.

`recorded` replays the ratings that come with a data set; `encoder` rates any text offline.
"""

from __future__ import annotations

from typing import Protocol

import polars as pl

from rulekit.rules import RuleSet
from rulekit.scores import Scores


class Judge(Protocol):
    """Anything that scores pairs under rules."""

    def score(self, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
        """Scores of the pairs, in their order, under the rules, in their order."""


def names() -> list[str]:
    """The names that `get` takes."""
    return ["encoder", "recorded"]


def get(name: str, source: str = "embedded") -> Judge:
    """The judge of this name; `source` names the data set whose ratings `recorded` replays.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name == "recorded":
        from rulekit.judges.recorded import RecordedJudge

        return RecordedJudge(source)
    if name == "encoder":
        from rulekit.judges.encoder import EncoderJudge

        return EncoderJudge.load()
    raise ValueError(f"unknown judge {name!r}; allowed: {', '.join(names())}")

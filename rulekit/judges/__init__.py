"""Judges: pairs and rules come in, scores go out. One registry; `get(name)` gives a judge.

`recorded` replays the ratings that come with a data set; `encoder` rates any text offline; `local`
asks a causal language model on this machine, `server` one behind any OpenAI-compatible server.
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
    return ["encoder", "local", "recorded", "server"]


def get(name: str, source: str = "embedded", **settings) -> Judge:
    """The judge of this name.

    Parameters
    ----------
    name
        One of `names()`.
    source
        The data set whose ratings `recorded` replays.
    settings
        Of `local`: the arguments of `LocalJudge.load`, `model` at least; of `server`: those of
        `ServerJudge`, `model` and `base_url` at least.

    Raises
    ------
    ValueError
        For an unknown name, or settings that the judge does not take.
    """
    if settings and name in ("encoder", "recorded"):
        raise ValueError(f"judge {name!r} takes no {', '.join(settings)}")
    if name == "server":
        from rulekit.judges.api import ServerJudge

        return ServerJudge(**settings)
    if name == "recorded":
        from rulekit.judges.recorded import RecordedJudge

        return RecordedJudge(source)
    if name == "encoder":
        from rulekit.judges.encoder import EncoderJudge

        return EncoderJudge.load()
    if name == "local":
        from rulekit.judges.local import LocalJudge

        if "model" not in settings:
            raise ValueError("judge 'local' needs a model: a folder, or a name on the hub")
        return LocalJudge.load(**settings)
    raise ValueError(f"unknown judge {name!r}; allowed: {', '.join(names())}")

"""A model on a benchmark: its files and a model come in, an `Evaluation` goes out.

`layouts` reads the items, a scorer scores their responses, `scoring` has the benchmark's own rule.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.benchmarks import scoring
from rulekit.benchmarks.contract import Question, Scorer
from rulekit.benchmarks.homes import places
from rulekit.benchmarks.layouts import SCHEMA, read_items
from rulekit.benchmarks.scorecard import Scorecard
from rulekit.benchmarks.scored_parts import score_questions
from rulekit.benchmarks.scorers import scorer as scorer_of
from rulekit.files import write_atomically, write_json

RULES: dict[str, Callable[[pl.DataFrame], Scorecard]] = {
    "rewardbench": scoring.score_rewardbench,
    "rewardbench-2": scoring.score_rewardbench2,
    "rm-bench": scoring.score_rm_bench,
    "rmb": scoring.score_rmb,
    "judgebench": scoring.score_judgebench,
    "xstest": lambda items: scoring.score_pairs(items, "xstest"),
    "file": lambda items: scoring.score_pairs(items, "file"),
}
_METADATA = "rulekit.benchmark"


@dataclass(frozen=True)
class Evaluation:
    """A model's result on a benchmark.

    Attributes
    ----------
    card
        Subsets, sections and score.
    items
        One row an item, as `rulekit.benchmarks.read_items` has them, with `scores` (one a response),
        `cut` and `response_cut` (tokens that its conversations lost, null where unknown), `first`
        (how often each of its comparisons took the response that was shown first; null where none
        is made), `won`, `half` and `margin`.
    facts
        Who scored, how, and what it took.
    """

    card: Scorecard
    items: pl.DataFrame = field(repr=False)
    facts: dict = field(default_factory=dict, repr=False)

    def as_dict(self) -> dict:
        """As plain values for JSON, without the items."""
        cut = self.items["cut"]
        counts = {
            "items": len(self.items),
            "items_truncated": int((cut > 0).sum()) if cut.null_count() < len(cut) else None,
            "items_with_response_cut": int((self.items["response_cut"] > 0).sum()),
        }
        return self.card.as_dict() | counts | {"facts": self.facts}

    def write(self, folder: str | Path) -> Path:
        """Write ``items.parquet`` and ``result.json``, each atomically; returns the folder.

        Parameters
        ----------
        folder
            Where to.
        """
        folder = Path(folder)
        told = {_METADATA: self.card.benchmark}
        write_atomically(
            folder / "items.parquet", lambda p: self.items.write_parquet(p, metadata=told)
        )
        write_json(folder / "result.json", _plain(self.as_dict()))
        return folder

    @classmethod
    def read(cls, folder: str | Path) -> Evaluation:
        """The evaluation that `write` wrote; its sections are made again from the scores.

        Parameters
        ----------
        folder
            With ``items.parquet``.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        ValueError
            If it is none of ours.
        """
        import json

        path = Path(folder).expanduser() / "items.parquet"
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}; allowed: a folder of an evaluation")
        benchmark = pl.read_parquet_metadata(path).get(_METADATA)
        if benchmark not in RULES:
            raise ValueError(f"{path} is no evaluation's; allowed: what Evaluation.write wrote")
        items, told = pl.read_parquet(path), path.with_name("result.json")
        facts = json.loads(told.read_text())["facts"] if told.is_file() else {}
        return cls(RULES[benchmark](items), items, facts)


def evaluate(
    benchmark: str,
    model: object,
    path: str | Path | None = None,
    *,
    output: str | Path | None = None,
    most: int | None = None,
    skip_invalid: bool = False,
    **settings,
) -> Evaluation:
    """Score a benchmark's responses by a model, and count what it wins.

    Parameters
    ----------
    benchmark
        ``rewardbench``, ``rewardbench-2``, ``rm-bench``, ``rmb``, ``judgebench``, ``xstest`` or
        ``file``.
    model
        Folder or hub name of a reward model, a `rulekit.RewardModel`, the URL of a server's route,
        a judge (with `rules` among the settings), or a scorer.
    path
        File or folder in the published layout. None looks under the folder RULEKIT_DATA, then
        fetches the benchmark from its public home.
    output
        Folder of the result and of its parts: a run that was interrupted goes on there. None keeps
        nothing.
    most
        Items of each subset that are scored, the first ones; None: all.
    skip_invalid
        Leave out rows that cannot be read, with a warning.
    settings
        As for `rulekit.benchmarks.scorer`.

    Returns
    -------
    The result, written to `output` too.

    Raises
    ------
    FileNotFoundError
        If there is no such file or model, or its home cannot be reached.
    ValueError
        For an unknown benchmark, a file of another layout, or a model that is no reward model.
    """
    if benchmark not in RULES:
        raise ValueError(f"unknown benchmark {benchmark!r}; allowed: {', '.join(RULES)}")
    found = places(benchmark, path)
    items = read_items(benchmark, found, skip_invalid=skip_invalid)
    if most is not None:
        if most < 1:
            raise ValueError(f"most is {most}; allowed: 1 or more")
        items = items.group_by("subset", maintain_order=True).head(most).select(list(SCHEMA))
    result = score_items(benchmark, items, scorer_of(model, **settings), output)
    result.facts["data"] = [str(p) for p in found]
    if output is not None:
        result.write(output)
    return result


def score_items(
    benchmark: str, items: pl.DataFrame, scorer: Scorer, output: str | Path | None = None
) -> Evaluation:
    """The evaluation of items that are at hand.

    Parameters
    ----------
    benchmark
        As for `evaluate`.
    items
        As of `read_items`.
    scorer
        As of `rulekit.benchmarks.scorer`.
    output
        Folder whose ``parts`` keeps scores; None keeps none.

    Raises
    ------
    ValueError
        For items that the benchmark's rule refuses.
    """
    from rulekit import __version__

    questions, of_item = _questions(items, scorer.pairwise)
    parts = None if output is None else Path(output) / "parts"
    answers, took = score_questions(scorer, questions, parts, f"{benchmark}")
    score = answers["score"].to_numpy()
    lost, of_response = answers["lost"].to_numpy(), answers["response_lost"].to_numpy()
    first = answers["first"]
    rows = []
    for n_right, responses, at in zip(items["n_right"], items["responses"], of_item, strict=True):
        found = score[at]
        if scorer.pairwise:
            found = _compared(found, n_right, len(responses))
        told = (lost[at] >= 0).all()
        cut = [int(x[at].sum()) if told else None for x in (lost, of_response)]
        rows.append((found.tolist(), *cut, first[at].to_list() if scorer.pairwise else None))
    schema = {"scores": pl.List(pl.Float64), "cut": pl.Int64, "response_cut": pl.Int64}
    schema |= {"first": pl.List(pl.Float64)}
    items = items.hstack(pl.DataFrame(rows, schema=schema, orient="row"))
    card = RULES[benchmark](items)
    items = items.hstack(card.items.select("won", "half", "margin"))
    facts = scorer.facts() | took
    facts |= {"rulekit": __version__, "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    return Evaluation(card, items, facts)


def _questions(items: pl.DataFrame, pairwise: bool) -> tuple[list[Question], list[np.ndarray]]:
    """All questions, and which are each item's: one a response, or one a pair of responses."""
    questions: list[Question] = []
    of_item = []
    for prompt, responses, n in items.select("prompt", "responses", "n_right").iter_rows():
        own = [(r,) for r in responses]
        if pairwise:
            own = [(responses[i], responses[j]) for i, j in _pairs(n, len(responses))]
        of_item.append(np.arange(len(questions), len(questions) + len(own)))
        questions += [(prompt, each) for each in own]
    return questions, of_item


def _pairs(n_right: int, n: int) -> list[tuple[int, int]]:
    """What a judge compares: the right response with every wrong one; of several right ones, all."""
    if n_right == 1:
        return [(0, j) for j in range(1, n)]
    return [(i, j) for i in range(n) for j in range(i + 1, n)]


def _compared(found: np.ndarray, n_right: int, n: int) -> np.ndarray:
    """Scores of responses from comparisons.

    With one right response it has 0, and each wrong one the negative of its comparison, so that it
    is won where the right one beats every other. With several, a response has the sum of its
    comparisons with all others.
    """
    if n_right == 1:
        return np.concatenate([[0.0], -found])
    total = np.zeros(n)
    for (i, j), sign in zip(_pairs(n_right, n), found, strict=True):
        total[i] += sign
        total[j] -= sign
    return total


def _plain(value):
    """As JSON knows it: no NaN."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value

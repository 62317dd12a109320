"""The judge that replays ratings which come with a data set.

Texts and rules of that data set come in, their recorded `Rating` goes out; `rulekit.judges.judge`
gives it by its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from rulekit.files import sha256
from rulekit.inputs.pairs import conversation
from rulekit.inputs.readings import READ
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.sources import load, load_labelled, load_ratings
from rulekit.judges.contract import Judge, Rating, keeping, wanted_cells


@dataclass(frozen=True)
class RecordedJudge(Judge):
    """Ratings of a data set, found by the texts of conversation, response and rule.

    Parameters
    ----------
    source
        ``embedded``: annotations of single responses, so that any two of a prompt can be compared.
        ``hh-rule-votes``: an LLM compared two responses, so the judge is pairwise; the exchanged
        order gives the mirrored rating. ``hh-read`` and ``xstest-read``: readings of single
        responses, a grade of ±1 as P(yes) of ¾ or ¼.

    Raises
    ------
    ValueError
        For a data set without ratings.
    """

    source: str = "embedded"

    def __post_init__(self) -> None:
        _record(self.source)

    @property
    def identity(self) -> str:
        """The data set and a digest of its texts and ratings."""
        return f"recorded:{self.source} {_record(self.source).digest}"

    @property
    def pairwise(self) -> bool:
        """Whether the data set holds comparisons."""
        return _record(self.source).pairwise

    def rate(self, prompts, responses, rules: RuleSet, mask=None) -> Rating:
        """Look up ratings, as `rulekit.judges.Judge.rate` says; what is not recorded fails."""
        wanted = wanted_cells(prompts, responses, rules, mask, self.pairwise)
        record, rating = _record(self.source), Rating.blank(*wanted.shape)
        with keeping(rating):
            rows = np.full(len(responses), -1)
            mirrored = np.zeros(len(responses), bool)
            for i, key in enumerate(zip(map(conversation, prompts), responses, strict=True)):
                if self.pairwise and key not in record.rows:
                    key, mirrored[i] = (key[0], key[1][::-1]), True
                rows[i] = record.rows.get(key, -1)
            columns = np.array([record.columns.get(digest, -1) for digest in rules.digests])
            known = (rows >= 0)[:, None] & (columns >= 0)
            found = record.p[rows][:, columns]
            found[mirrored] = found[mirrored][..., ::-1]
            rating.probabilities[wanted & known] = found[wanted & known]
            lost = map(tuple, np.argwhere(wanted & ~known).tolist())
            rating.failures |= dict.fromkeys(lost, f"not recorded in {self.source!r}")
        return rating


class _Record(NamedTuple):
    pairwise: bool
    rows: dict[tuple, int]  # conversation and response, or both responses → row
    columns: dict[str, int]  # digest of a rule's text → column
    p: np.ndarray  # P(no), P(irrelevant), P(yes), float32 (n_rows, n_columns, 3)
    digest: str


@cache
def _record(source: str) -> _Record:
    if source == "embedded":
        data = load_labelled(source)
        rules, prompts, responses = data.rules, data.prompts, data.responses
        p = np.eye(3)[data.scores.astype(int) + 1]
    elif source in READ:
        rules, scores = load_ratings(source)
        pairs = load(source)
        prompts = pairs["prompt"].to_list() * 2
        responses = [*pairs["response_a"], *pairs["response_b"]]
        s = np.concatenate([scores.a, scores.b])
        p = np.where(
            (s == 0)[..., None], [0, 1, 0], np.stack([(1 - s) / 2, 0 * s, (1 + s) / 2], -1)
        )
        p = p.astype(np.float32)
    else:
        rules, scores = load_ratings(source)
        pairs = load(source)
        prompts = pairs["prompt"].to_list()
        responses = list(zip(pairs["response_a"], pairs["response_b"], strict=True))
        delta, relevance = scores.discrepancy, scores.relevance
        p = np.stack([(relevance - delta) / 2, 1 - relevance, (relevance + delta) / 2], -1)
    p = p.clip(0, 1).astype(np.float32)
    keys = list(zip(map(conversation, prompts), responses, strict=True))
    digest = sha256(sha256(repr((keys, rules.digests))) + sha256(p.tobytes()))[:16]
    rows, columns = ({k: i for i, k in enumerate(each)} for each in (keys, rules.digests))
    pairwise = source != "embedded" and source not in READ
    return _Record(pairwise, rows, columns, p, digest)

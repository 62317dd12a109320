"""What a scorer is: questions come in, numbers go out, with what was cut of each.

A question is a prompt (chat messages) and a tuple of one response, or of two for a scorer that
compares. `model_scorer`, `judge_scorer` and `server_scorer` have the scorers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

Question = tuple[list[dict[str, str]], tuple[str, ...]]


@dataclass(frozen=True, eq=False)
class Scored:
    """What a scorer says of n questions.

    Attributes
    ----------
    scores
        float64 (n,): the score of the response; of a scorer that compares, above 0 where the first
        response is the better one.
    lost
        Tokens that were cut, int64 (n,); -1 where the scorer cannot tell.
    response_lost
        Those among them that were of the response, int64 (n,).
    tokens
        Real tokens that were read, without padding; 0 where the scorer cannot tell.
    first
        Of a scorer that compares in both orders: how often the response shown first was preferred,
        0, ¼, ½, ¾ or 1, float64 (n,), ½ where its orders agree; NaN where the scorer cannot tell.
    """

    scores: np.ndarray
    lost: np.ndarray
    response_lost: np.ndarray
    tokens: int = 0
    first: np.ndarray | None = None

    @classmethod
    def untold(cls, scores: Sequence[float], first: np.ndarray | None = None) -> Scored:
        """Of a scorer that does not tell what was cut."""
        values = np.asarray(scores, np.float64)
        unknown = np.full(len(values), -1, np.int64)
        return cls(values, unknown, unknown, first=first)


class Scorer(Protocol):
    """Who scores responses.

    Attributes
    ----------
    identity
        All that a score depends on besides the question: scores are kept under it.
    pairwise
        Whether a question has two responses.
    part
        Questions that are scored between two writes.
    """

    identity: str
    pairwise: bool = False
    part: int = 256

    def read(self, questions: Sequence[Question]) -> Scored:
        """Score questions, in their order."""

    def facts(self) -> dict:
        """How it was done, as plain values for JSON: model, settings, attention."""

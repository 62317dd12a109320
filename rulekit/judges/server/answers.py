"""What a server's reply says: the answers in its log-probabilities, or in its sampled texts.

Replies come in; what the judge answers goes out as `Answer`. `judge` calls it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rulekit.judges.mass import enough_mass, too_little
from rulekit.judges.prompts import ANSWERS

_AROUND = " \t\r\n▁Ġ\"'`*_#([{<.,:;!)]}>"  # what may surround an answer inside its token
FILTERED = "the server's content filter has cut the answer"
_THOUGHT = r"(?:think|thinking|thought|reasoning)"
_OPENED = re.compile(rf"<{_THOUGHT}>|\[THINK\]|◁think▷", re.IGNORECASE)
_CLOSED = re.compile(rf"</{_THOUGHT}>|\[/THINK\]|◁/think▷", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a cell was answered.

    Attributes
    ----------
    weights
        Mass of no, irrelevant and yes, float64 (3,); the sum is the answer mass.
    likeliest, share
        The likeliest token, or vote, and its share.
    none
        The sentence that tells that nothing was an answer.
    """

    weights: np.ndarray
    likeliest: str
    share: float
    none: str

    @property
    def mass(self) -> float:
        """The answer mass, in [0, 1]; rounding may carry the sum of a distribution past 1."""
        return min(float(self.weights.sum()), 1.0)

    def lack(self, least: float) -> str:
        """Why it is no rating where `least` is the least mass of one; empty if it is one."""
        if not self.mass > 0:
            return self.none
        enough = enough_mass(np.array([self.mass]), least).all()
        return "" if enough else too_little(self.mass, self.likeliest, self.share, least)


def from_tokens(top: Sequence[tuple[str, float]]) -> Answer:
    """The answer in the likeliest first tokens, likeliest first, with their log-probabilities."""
    said = ", ".join(repr(token) for token, _ in top[:3])
    none = f"no answer among the likeliest tokens ({said}, …)"
    return Answer(answer_mass(top), top[0][0], math.exp(top[0][1]), none)


def from_votes(texts: Sequence[str]) -> Answer:
    """The answer in sampled texts."""
    verdicts = [verdict(text) for text in texts]
    said = [text for text in verdicts if text is not None]
    counts = vote_counts(said)
    if not said:
        none = "no vote is an answer: each ends inside its reasoning; allowed: more `vote_tokens`"
        none += ", or a model that does not reason first, by `extra_body`"
        return Answer(counts / len(texts), "a vote that ends inside its reasoning", 1.0, none)
    (likeliest, times), *_ = Counter(text.strip()[:40] for text in said).most_common(1)
    none = f"no vote is an answer ({said[0][:40]!r}, …)"
    return Answer(counts / len(texts), likeliest, times / len(texts), none)


def verdict(text: str) -> str | None:
    """What a text says after its reasoning, as between ``<think>`` tags; None if it never ends."""
    *_, last = _CLOSED.split(text)
    return None if _OPENED.search(last) else last


def filtered(reply: object) -> bool:
    """Whether a content filter has cut one of a reply's answers."""
    return any(getattr(c, "finish_reason", None) == "content_filter" for c in reply.choices)


def answer_mass(top: Sequence[tuple[str, float]]) -> np.ndarray:
    """Probability of each answer's spellings among the likeliest first tokens, float64 (3,).

    Parameters
    ----------
    top
        Tokens as text and their natural log-probabilities.

    Notes
    -----
    Case, spaces and marks around the word do not matter. "Irrelevant" is often several tokens,
    so that a beginning of it counts, from two letters on: "I" begins too many other answers.
    """
    mass = np.zeros(len(ANSWERS))
    for token, logprob in top:
        word = token.strip(_AROUND).casefold()
        for k, answer in enumerate(ANSWERS):
            if word == answer or (len(word) >= 2 and len(answer) > 3 and answer.startswith(word)):
                mass[k] += math.exp(min(logprob, 0.0))
    return mass


def vote_counts(texts: Sequence[str]) -> np.ndarray:
    """How many texts begin with each answer, int (3,); others are counted nowhere."""
    words = (re.search(r"[^\W\d_]+", text) for text in texts)
    said = Counter(word.group().casefold() for word in words if word)
    return np.array([said[answer] for answer in ANSWERS])


def first_token(reply: object, asked: int) -> list[tuple[str, float]]:
    """The likeliest first tokens with their log-probabilities, likeliest first.

    Parameters
    ----------
    reply
        A chat completion; without log-probabilities the list is empty.
    asked
        How many tokens were asked for. One fewer is read: vLLM gives the last place to the token
        that it happened to sample, and a rating must not depend on that.
    """
    logprobs = getattr(reply.choices[0], "logprobs", None)
    content = getattr(logprobs, "content", None) or []
    top = getattr(content[0], "top_logprobs", None) or [] if content else []
    read = [
        (t.token, t.logprob)
        for t in top
        if isinstance(t.token, str) and isinstance(t.logprob, int | float) and t.logprob < 1e-3
    ]
    return sorted(read, key=lambda t: -t[1])[: asked - 1]

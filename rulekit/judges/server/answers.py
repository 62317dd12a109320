"""What a server's reply says: the answers in its log-probabilities, or in its sampled texts.

Replies come in; masses or counts of no, irrelevant and yes go out. `judge` calls it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from rulekit.judges.prompts import ANSWERS

_AROUND = " \t\r\n▁Ġ\"'`*_#([{<.,:;!)]}>"  # what may surround an answer inside its token


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

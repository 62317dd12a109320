"""What is said about an answer: whatever a student gives comes in, a verdict or a hint goes out.

`tasks` holds the exercises made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

import numpy as np

SHARE, BITS = "a number between 0 and 1", "a number, in bits"  # what an answer is, in words

_COLOURS = {"right": "#2f855a", "not right": "#c05621", "not answered yet": "#718096"}


@dataclass(frozen=True)
class Verdict:
    """What is said about an answer.

    Attributes
    ----------
    state
        ``right``, ``not right`` or ``not answered yet``.
    said
        Why, or what to look at.
    """

    state: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.said}" if self.said else self.state

    __repr__ = __str__

    def _repr_html_(self) -> str:
        style = f"border-left: 4px solid {_COLOURS[self.state]}; padding: .3em .8em; margin: .4em 0"
        return f'<div style="{style}"><b>{self.state}</b> {escape(self.said)}</div>'


@dataclass(frozen=True)
class Task:
    """What an exercise expects, and how an answer to it is judged.

    Attributes
    ----------
    expects
        Type, shape and unit of an answer, in words.
    hint
        Answer → what is wrong with it; empty if it is right.
    said
        What a right answer is told.
    """

    expects: str
    hint: Callable[[object], str]
    said: str = ""


class Unanswered(Exception):
    """The stub as it was."""


class Unfit(Exception):
    """An answer of another type or shape; says what it is."""


def numbers(answer: object, shape: tuple[int, ...]) -> np.ndarray:
    """An answer as finite numbers of a shape; a single number may come in any number of brackets."""
    if isinstance(answer, str | bytes) or callable(answer):
        raise Unfit(f"a {type(answer).__name__}")
    if isinstance(answer, list | tuple) and any(x is None or x is ... for x in answer):
        raise Unanswered
    try:
        found = np.asarray(answer)
    except Exception:  # ragged lists, or an object that cannot be turned into numbers
        raise Unfit(f"a {type(answer).__name__} that is no array") from None
    if found.dtype.kind not in "biuf":
        raise Unfit(f"a {type(answer).__name__}")
    if found.size == 1 and shape == ():
        found = found.reshape(())
    if found.shape != shape:
        raise Unfit(f"an array of shape {found.shape}")
    if not np.isfinite(found.astype(float)).all():
        raise Unfit("not finite")
    return found.astype(float)


def values(
    right,
    expects: str,
    mistakes: Mapping = {},
    otherwise: str = "Not this value.",
    said: str = "",
    within: float = 0.006,
) -> Task:
    """A task whose answer is one number, or a few; `mistakes` tells wrong value → hint."""
    right = np.asarray(right, dtype=float)

    def hint(answer: object) -> str:
        found = numbers(answer, right.shape)

        def near(value) -> bool:
            return bool((np.abs(found - np.asarray(value, dtype=float)) <= within).all())

        if near(right):
            return ""
        for value, told in mistakes.items():
            if near(value):
                return told
        if right.any() and near(-right):
            return "The size is right, the sign is not."
        if (np.abs(found - 100 * right) <= 100 * within).all() and (np.abs(right) <= 1).all():
            return "These are per cent; a share lies between 0 and 1."
        if right.ndim and sorted(found.tolist()) == sorted(right.tolist()):
            return "The values are right, their order is not."
        return otherwise

    return Task(expects, hint, said)


def call(function: object, *given: object):
    """What a student's function returns."""
    if not callable(function):
        raise Unfit(f"a {type(function).__name__}, no function")
    found = function(*given)
    if found is None or found is ...:
        raise Unanswered
    return found

"""Exercises of `00_overview`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import Task, Unanswered, Unfit

_STEPS, _ORDER = "abcde", "cebda"  # as the notebook letters them, and in the order of the method
_BEFORE = {  # what has to come before what, and why
    ("c", "e"): "Nothing can be rated before there is a rule: c comes before e.",
    (
        "e",
        "b",
    ): "How far two responses differ under a rule is known only when both are rated: e comes before b.",
    ("b", "d"): "Added up are the differences of the rules that were kept: b comes before d.",
    (
        "d",
        "a",
    ): "A reward model learns from labels, so there must be labels first: d comes before a.",
}


def _steps(answer: object) -> str:
    given = answer if isinstance(answer, str) else None
    if isinstance(answer, list | tuple):
        if any(step is None or step is ... for step in answer):
            raise Unanswered
        if all(isinstance(step, str) for step in answer):
            given = "".join(answer)
    if given is None:
        raise Unfit(f"a {type(answer).__name__}")
    letters = "".join(sign for sign in given.lower() if sign.isalpha())
    if not letters:
        raise Unanswered
    if sorted(letters) != sorted(_STEPS):
        return f"Each of the letters {', '.join(_STEPS)} once; yours are {letters[:20]}."
    for (first, second), why in _BEFORE.items():
        if letters.index(first) > letters.index(second):
            return why
    return ""


def _side(answer: object) -> str:
    if not isinstance(answer, str):
        raise Unfit(f"a {type(answer).__name__}")
    side = answer.strip().strip("'\"").upper()
    if not side:
        raise Unanswered
    if side not in ("A", "B"):
        return "One letter, A or B: which response do the rules prefer?"
    if side == "B":
        return (
            "Go rule by rule. Four of the five are kept by A and broken by B, who gives no answer; "
            "one speaks for B, and only half as loudly."
        )
    return ""


TASKS: dict[str, Task] = {
    "overview-steps": Task(
        "the five letters in order, such as 'abcde'",
        _steps,
        "Rules, ratings, choice, label, reward model: that is the order of the notebooks, too.",
    ),
    "overview-guess": Task(
        "'A' or 'B'",
        _side,
        "The sum is +7. The known choice is A as well: here the rules are right.",
    ),
}

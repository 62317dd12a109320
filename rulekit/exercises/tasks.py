"""The exercises by name: an answer comes in, a verdict goes out.

The tasks are told in the notebooks; right values and hints stand in one file a notebook.
"""

from __future__ import annotations

from rulekit.exercises import (
    adapter,
    appendices,
    assumptions,
    estimation,
    overview,
    ratings,
    results,
    reward,
    rules,
    selection,
    votes,
    weights,
    workbench,
)
from rulekit.exercises.answers import Task, Unanswered, Unfit, Verdict

TASKS: dict[str, Task] = {
    name: task
    for notebook in (
        workbench,
        overview,
        rules,
        ratings,
        selection,
        votes,
        assumptions,
        estimation,
        weights,
        adapter,
        reward,
        results,
        appendices,
    )
    for name, task in notebook.TASKS.items()
}


def check(name: str, answer: object) -> Verdict:
    """Judge an answer to an exercise; whatever the answer is, only an unknown exercise is an error.

    Parameters
    ----------
    name
        Of the exercise, such as ``votes-flip``: the topic of its notebook, and what is asked.
    answer
        A number, numbers, a text or a function, as the exercise says; None or ``...`` is not
        answered yet, and so is a function that returns one of them.

    Raises
    ------
    ValueError
        For an exercise that there is not.
    """
    if name not in TASKS:
        raise ValueError(f"no exercise {name!r}; allowed: {', '.join(TASKS)}")
    task = TASKS[name]
    blank = Verdict("not answered yet", f"Expected: {task.expects}.")
    if answer is None or answer is ...:
        return blank
    try:
        hint = task.hint(answer)
    except Unanswered:
        return blank
    except Unfit as found:
        return Verdict("not right", f"Expected: {task.expects}; this is {found}.")
    except Exception as error:  # a student's code may raise anything, and the page goes on
        told = f"{type(error).__name__}: {error}"[:200]
        return Verdict("not right", f"Your answer stops with {told}. Expected: {task.expects}.")
    return Verdict("not right", hint) if hint else Verdict("right", task.said)


def names() -> tuple[str, ...]:
    """Names of all exercises."""
    return tuple(TASKS)

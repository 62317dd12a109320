"""Exercises of `09_reward_model`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

import numpy as np

from rulekit.exercises.answers import SHARE, Task, call, numbers, values
from rulekit.exercises.functions import loss


def flip(function: object) -> str:
    target = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.7, 1.0, 0.0, 0.0, 1.0])
    order = np.array([9, 5, 4, 0, 1, 2, 3, 6, 7, 8])
    right = target.copy()
    right[order[:3]] = 1 - right[order[:3]]
    given = target.copy()
    found = numbers(call(function, given, order.copy(), 0.3), (10,))
    if (given != target).any():
        return "The array that came in was changed; work on a copy, target.copy()."
    if np.allclose(found, right):
        half = numbers(call(function, target.copy(), order.copy(), 0.5), (10,))
        if (~np.isclose(half, target)).sum() == 5:
            return ""
        return "share = .3 is right, share = .5 is not: five of ten are flipped then."
    if np.allclose(found, 1 - target):
        return "All labels are flipped; take the first share of the order."
    flipped = np.flatnonzero(~np.isclose(found, target))
    if not len(flipped):
        return "Nothing is flipped: target[some][...] = … changes a copy; write out[first] = 1 - out[first]."
    if np.allclose(found[[9, 4]], right[[9, 4]]) and not np.isclose(found[5], right[5]):
        return "Hard labels are right; a soft label of .7 becomes .3, which 1 − t gives."
    if (found < 0).any():
        return "A flipped target is 1 − t; −t is no probability."
    if set(flipped) == {0, 1, 2}:
        return "These are the first pairs of the array; flip those that come first in `order`."
    if set(flipped) == set(order[-3:]):
        return "These come last in the order."
    if len(flipped) != 3:
        return f"{len(flipped)} labels are changed; a share of .3 of ten is 3."
    return (
        f"The pairs {sorted(order[:3].tolist())} are to be flipped, yours are {flipped.tolist()}."
    )


TASKS: dict[str, Task] = {
    "reward-loss": Task(
        "a function of margins (n,) and targets (n,) in [0, 1] that returns one number", loss
    ),
    "reward-flip": Task(
        "a function of targets (n,), an order, int (n,), and a share that returns targets (n,)",
        flip,
        "The same number of wrong labels; only the order says whether they follow a pattern.",
    ),
    "reward-agreement": values(
        0.74,
        SHARE,
        {
            0.72: "Where the model is wrong and the label is flipped, they agree, too.",
            0.7: "Errors do not simply add up: a wrong model and a flipped label agree.",
            0.9: "The test sees flipped labels: a model that is always right agrees with .8 of them.",
            0.8: "That is what a model that is always right would get.",
            0.26: "That is the share in which they differ.",
        },
        "They agree if both are right or both are wrong.",
        "Random errors in the test lower every figure in the same way; errors that follow a pattern are learned.",
    ),
}

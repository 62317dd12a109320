"""Exercises of `05_assumptions`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

import numpy as np

from rulekit.exercises.answers import SHARE, Task, call, numbers, values


def exchange(function: object) -> str:
    """A joint distribution of vote and preference after a fair coin has exchanged the responses."""
    for joint in (np.array([[0.25, 0.0], [0.25, 0.5]]), np.array([[0.3, 0.1], [0.2, 0.4]])):
        right = (joint + joint[::-1, ::-1]) / 2
        found = numbers(call(function, joint.copy()), (2, 2))
        if np.allclose(found, right, atol=1e-9):
            continue
        if np.allclose(found, 2 * right, atol=1e-9):
            return "These sum to 2: they are probabilities given Y, or the coin's ½ is missing. Joint ones sum to 1."
        if np.allclose(found.sum(axis=0), 1, atol=1e-6):
            return "Those are conditional probabilities; joint ones sum to 1."
        if abs(found.sum() - 1) > 1e-6:
            return f"Probabilities have to sum to 1, yours to {found.sum():.3g}: the coin falls either way half of the time."
        mistakes = (
            (joint, "That is the distribution as it came; half of the time the coin exchanges."),
            (joint[::-1, ::-1], "That exchanges always; the coin does so half of the time."),
            (
                (joint + joint[::-1]) / 2,
                "Only the vote changes sign there, and nothing is told any more. If A and B change places, the better one does, too.",
            ),
            (
                (joint + joint[:, ::-1]) / 2,
                "Only Y changes sign there, and nothing is told any more. The vote for A becomes one for B, too.",
            ),
            ((joint + joint.T) / 2, "That exchanges vote and Y; the responses are A and B."),
        )
        for wrong, told in mistakes:
            if np.allclose(found, wrong, atol=1e-9):
                return told
        return (
            f"For {joint.tolist()} it is {right.round(4).tolist()}, yours is "
            f"{found.round(4).tolist()}. Exchanged, (vote, Y) becomes (−vote, −Y)."
        )
    return ""


TASKS: dict[str, Task] = {
    "assumptions-exchange": Task(
        "a function of P(vote, Y), (2, 2), that returns it after the exchange, (2, 2)",
        exchange,
        "Both columns now have the same chance of a right vote: A2 holds.",
    ),
    "assumptions-rho": values(
        0.4,
        SHARE,
        {
            0.5: "That is the answer for ten rules; there are twelve here.",
            0.8: "The variance of six dependent rules has 6 · 5 covariances, each ρ.",
        },
        "Compare mean / standard deviation of both sums.",
        "From there on the sum of all is worse than the sum of half; the best weights never are.",
    ),
}

"""Exercises of `03_selection`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import SHARE, Task, values
from rulekit.exercises.functions import top_k

TASKS: dict[str, Task] = {
    "selection-top-k": Task(
        "a function of δ (n_pairs, n_rules) and k that returns columns (n_pairs, k)",
        top_k,
        "You have coded maximum discrepancy. Only ties are another matter: the kit draws them by chance.",
    ),
    "selection-ties": values(
        0.25,
        SHARE,
        {
            0: "Four rules share the largest |δ|; one of them speaks for A.",
            0.4: "Two of the five speak for A, but the one with |δ| = 1 cannot be chosen at k = 1.",
            0.2: "The fifth rule has |δ| = 1 and cannot be chosen at k = 1.",
            0.75: "That is the chance of B.",
            0.5: "Count the tied rules: how many of them speak for A?",
        },
        "At k = 1 a rule of largest |δ| is drawn, each with equal chance. Which of them speak for A?",
        "The label of this pair is a matter of chance, and so is any single figure that rests on it.",
    ),
}

"""Exercises of the workbench, `00_workbench`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import Task, values

TASKS: dict[str, Task] = {
    "workbench-turn": values(
        3,
        "a whole number, k",
        {
            2: "At k = 2 the sum is −2 + 1.5, and the label is still B.",
            4: "The label is A at k = 4, but not there for the first time.",
            5: "The label is A at k = 5, but not there for the first time.",
            1: "The one loudest rule speaks for B.",
        },
        "Add the δ one after the other, the largest |δ| first, and look at the sign.",
        "Labels that turn when one rule more is asked are those that the list of contested pairs begins with.",
        within=0.01,
    ),
    "workbench-effective": values(
        100 / 82,
        "a number from 1 to 10",
        {
            2: "They are of two kinds, but the kinds do not weigh the same: Σ R² adds all 100 cells.",
            10: "That is the effective number of ten independent rules.",
            1: "That is the effective number of ten copies.",
            100 / 19: "Copies correlate with each other: 81 cells of R are 1, and not 9.",
        },
        "n² / Σ R²: of the 100 cells, how many are 1?",
        "Switch eight of the nine copies off: the label loses little, and the number rises to 2.",
        within=0.01,
    ),
}

"""Exercises of `06_estimation`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import BITS, Task, values

TASKS: dict[str, Task] = {
    "estimation-plug-in": values(
        0.2540,
        BITS,
        {
            0.2781: "That is the plug-in itself; it is too high by 1 / (2 N ln 2) bits on average.",
            0.3021: "The plug-in is too high, so its bias is taken off.",
            0.2614: "The correction is in nats there; divide it by ln 2.",
        },
        "1 − h(24/30), less 1 / (2 · 30 · ln 2).",
        within=0.0015,
    ),
    "estimation-false-discoveries": values(
        3,
        "a whole number",
        {
            4: "These are all p ≤ .05; with five tests that finds too much.",
            1: "Do not stop at the first that fails: take the largest i whose p is at most i · .05 / 5.",
            2: "All up to the largest i that passes are found, those that fail on the way, too.",
            5: "The last one, p = .3, is above every limit.",
        },
        "Sort the p-values; find the largest i with p at most i · .05 / 5; the first i are found.",
        within=0.01,
    ),
    "estimation-rare": values(
        0.02655,
        BITS,
        {
            0.531: "That is what it tells where it speaks; it speaks on 5 % of the pairs.",
            0.05: "That is how often it speaks.",
            0.9: "That is how often it is right where it speaks.",
            0.0083: "That is the rule of the text above; this one votes on 50 pairs and is right on 45.",
        },
        "Share of pairs on which it speaks, times 1 − h(.9).",
        "Little in all, much where it speaks: a choice by pair can use it, a choice for all pairs hardly.",
        within=0.0006,
    ),
}

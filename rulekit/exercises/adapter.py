"""Exercises of `08_rule_adapter`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import SHARE, Task, values

TASKS: dict[str, Task] = {
    "adapter-recall-floor": values(
        5 / 12,
        SHARE,
        {
            1 / 12: "That is the chance of one draw; five are named.",
            1
            / 5: "Each of the five right rules is among the five named of twelve with chance 5/12.",
            25 / 12: "That is the expected number found; recall is a share of the five.",
        },
        "Each of the five right rules is named with the same chance. Which?",
        "Beside a floor of .42 a recall of .5 is little, with 100 rules (floor .05) it is much.",
    ),
    "adapter-break-even": values(
        45,
        "a whole number of rules",
        {
            50: "The 100 pairs of training have to be paid out of the same half.",
            55: "The 100 pairs of training are rated under all rules: 10,000 ratings.",
            40: "Half of all is 55,000 ratings, since the 100 training pairs belong to the 1,100.",
        },
        "10,000 + 1,000 k may be at most half of 1,100 · 100.",
        within=0.01,
    ),
}

"""Exercises of `02_ratings`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import SHARE, Task, values

TASKS: dict[str, Task] = {
    "ratings-discrepancy": values(
        1.1,
        "a number between −2 and 2",
        {
            0.6: "That is the difference of P(yes); a score is P(yes) − P(no).",
            0.1: "The scores are added there; δ is score(A) − score(B).",
        },
        "score = P(yes) − P(no) for each response; δ = score(A) − score(B).",
    ),
    "ratings-auc": values(
        0.75,
        SHARE,
        {
            5 / 6: "The tie is counted as a whole; it counts one half.",
            4 / 6: "The tie is not counted; it counts one half.",
            0.25: "That is the share in which the violated response is above.",
        },
        "Of the 2 · 3 pairs (satisfied, violated): the share in which the satisfied one is above, ties one half.",
    ),
}

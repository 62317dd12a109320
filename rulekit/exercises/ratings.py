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
            0.55: "That is half of it: δ is the whole difference of the scores, from −2 to 2.",
            110: "That is a hundred times δ; it is no per cent, but a number from −2 to 2.",
        },
        "score = P(yes) − P(no) for each response; δ = score(A) − score(B).",
        "δ = .6 − (−.5): a rule that B breaks speaks for A, too.",
    ),
    "ratings-auc": values(
        0.75,
        SHARE,
        {
            5 / 6: "The tie is counted as a whole; it counts one half.",
            4 / 6: "The tie is not counted; it counts one half.",
            0.25: "That is the share in which the broken one is above.",
            4.5: "That is the number of couples; divide by 6.",
        },
        "Of the 2 · 3 couples (kept, broken): the share in which the kept one is above, ties one half.",
        "(3 + 1 + ½) / 6: .6 is above all three; .1 is above −.2, and level with .1.",
    ),
}

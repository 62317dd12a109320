"""Exercises of `01_rules_and_pairs`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import Task, values
from rulekit.exercises.functions import rule_text

TASKS: dict[str, Task] = {
    "rules-rule": Task(
        "a text, one rule", rule_text, "It is a statement that one response can be judged by."
    ),
    "rules-rate": values(
        ((-1, 1), (1, -1)),
        "four numbers, +1 kept, −1 broken or 0 does not apply: ((A, B) under rule 1, (A, B) under rule 2)",
        {
            ((-1, 1), (1, 1)): "B says that a motive 'counts as proof', and that an insurer 'has to refund' within a month. Are these facts?",
            ((-1, 1), (-1, -1)): "What does A claim that is false? Saying little is not saying something wrong.",
            ((0, 1), (1, -1)): "The rule applies to any answer here, for the user is after something. A offers no way to reach it, so A breaks the rule.",
            ((1, 1), (1, -1)): "'Calm down and think things over' is no way to get the tyres paid.",
            ((-1, 1), (0, -1)): "A makes claims, too: 'violence won't solve anything'. None of them is false, so A keeps the rule.",
            ((-1, 1), (1, 0)): "B makes many statements of fact, so the rule applies to B.",
            ((-1, 1), (-1, 1)): "B sounds like one who knows, and A says little. But whose statements are false?",
            ((-1, 1), (0, 0)): "Both make statements of fact, so the rule applies to both.",
        },
        "Read one response at a time. Rule 1 asks for a lawful way to get what the user wants; rule 2 only whether what is said is true.",
        "The two rules disagree: the first speaks for B, the second for A.",
        within=0,
    ),
    "rules-sum-label": values(
        (-3, -1),
        "two numbers, the sum of δ and the label, +1 for A or −1 for B",
        {
            (-3, 1): "A negative sum speaks for B, which is −1.",
            (9, 1): "The signs count: a negative δ speaks for B.",
            (-1, -1): "That counts votes; the sum adds the δ themselves.",
            (3, 1): "δ is score(A) − score(B); yours is the other way round.",
        },
        "Add the five δ with their signs; the label is the sign of the sum.",
        "The rules say B, the known choice is A: labels from rules can be wrong.",
    ),
}  # fmt: skip

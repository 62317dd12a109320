"""Exercises of `04_votes`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import SHARE, Task, values
from rulekit.exercises.functions import information

TASKS: dict[str, Task] = {
    "votes-information": Task(
        "a function of p in [0, 1] that returns bits", information, "You have coded 1 − h(p)."
    ),
    "votes-flip": values(
        1 / 6,
        SHARE,
        {
            0.1: "Flipping also turns wrong votes into right ones, so more is needed than the difference.",
            0.125: "That counts only the right votes that stay right. A wrong vote that is flipped becomes right, too.",
            5
            / 6: "That flips nearly always: q lies between 0 and ½. Use it for the share that is kept.",
        },
        "When is a copy right? There are two ways; their chances add up to .7.",
        "The weaker vote is a noisy copy of the stronger: Lemma 1 of notebook 11.",
    ),
    "votes-agree": values(
        (0.8808, 0.5656),
        "two numbers between 0 and 1: a confidence, and a share of pairs",
        {
            (0.7685, 0.5656): "That is the confidence where they quarrel: σ(1.6 − .4).",
            (0.7154, 0.5656): "Accuracies are not averaged; the log-odds are added: 1.6 + .4.",
            (0.8808, 0.4981): "Two rules also agree when both are wrong.",
            (0.8808, 0.5): "They are no coins: both tend to be right, and so to agree.",
            (0.8808, 0.4344): "That is how often they quarrel.",
            (
                0.4981,
                0.5656,
            ): ".498 is how often both are right, of all pairs; divide by how often they agree.",
            (0.5656, 0.8808): "The values are right, their order is not.",
            (
                0.924,
                0.64,
            ): "Those are rules 1 and 2, as in the text; here rule 3 takes the place of rule 2.",
        },
        "Confidence: σ(1.6 + .4). They agree if both are right or both are wrong.",
        "Of the pairs on which they agree, .498 / .566 = .881 are right: the confidence is a share that can be counted.",
    ),
}

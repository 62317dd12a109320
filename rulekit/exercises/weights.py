"""Exercises of `07_weights`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

import numpy as np

from rulekit.exercises.answers import Task, call, numbers, values


def _weights(function: object) -> str:
    rng = np.random.default_rng(0)
    y = rng.choice([-1, 1], 30)
    right, speaks = rng.random((30, 4)) < [0.9, 0.7, 0.5, 0.3], rng.random((30, 4)) < 0.7
    votes = np.where(right, y[:, None], -y[:, None]) * speaks
    votes[:, 0] = y * speaks[:, 0]  # never wrong
    r, w = (votes * y[:, None] > 0).sum(axis=0), (votes * y[:, None] < 0).sum(axis=0)
    with np.errstate(all="ignore"):
        given = call(function, votes.copy(), y.copy())
        given = np.asarray(given, dtype=float) if np.ndim(given) == 1 else given
        if isinstance(given, np.ndarray) and given.shape == (4,) and not np.isfinite(given).all():
            return "Rule 0 is never wrong here, and its weight is not finite: add 1 to both counts before you divide."
        found = numbers(given, (4,))
        smooth = (r + 1) / (r + w + 2)
        wrongs = {
            "These are accuracies; the weight is the log-odds, log of right by wrong.": smooth,
            "That is the odds; take the logarithm, for logarithms of odds can be added.": (r + 1)
            / (w + 1),
            "The sign is reversed: a rule that is right more often than wrong has a positive weight.": -np.log(
                (r + 1) / (w + 1)
            ),
            "A vote of 0 is counted as wrong there; a rule that says nothing is neither right nor wrong.": np.log(
                (r + 1) / (30 - r + 1)
            ),
            "Right up to the base: use the natural logarithm, np.log.": np.log2((r + 1) / (w + 1)),
            "That adds ½ to both counts; here it is 1.": np.log((r + 0.5) / (w + 0.5)),
        }
        for told, wrong in wrongs.items():
            if np.allclose(found, wrong, atol=1e-6):
                return told
    want = np.log((r + 1) / (w + 1))
    if np.allclose(found, want, atol=1e-6):
        return ""
    return (
        f"A rule with {r[1]} votes right and {w[1]} wrong has the weight log({r[1] + 1} / {w[1] + 1}) = "
        f"{want[1]:.3f}; yours has {found[1]:.3f}."
    )  # fmt: skip


TASKS: dict[str, Task] = {
    "weights-fit": Task(
        "a function of votes (30, n_rules) and y (30,) that returns weights (n_rules,)",
        _weights,
        "Bayes' rule for independent votes. The kit's estimate also knows that rules repeat each other.",
    ),
    "weights-audit": values(
        (79 / 4096, 0),
        "two values: a probability, and True or False",
        {
            (79 / 4096, 1): "p is right. But of 100 innocent rules two are that bad on average: the smallest of 100 has to be below .1 / 100.",
            (66 / 4096, 0): "That is exactly 2 right; 2 or fewer adds the cases of 1 and of 0.",
            (66 / 4096, 1): "That is exactly 2 right; 2 or fewer adds the cases of 1 and of 0. And look at how many rules are tested.",
            (78 / 4096, 0): "The case of no vote right is missing.",
            (158 / 4096, 0): "That is two-sided; only rules that are wrong too often are looked for.",
            (2 / 12, 0): "That is the share of right votes; asked is how often a coin does so badly.",
            (2 / 12, 1): "That is the share of right votes; asked is how often a coin does so badly.",
        },
        "Of 2¹² equally likely outcomes of 12 coins, how many have 2 heads or fewer: 66 + 12 + 1. Then compare with .1 · 1 / 100.",
        "A single rule would look guilty. Among a hundred it is what chance does.",
        within=0.0004,
    ),
    "weights-noise": values(
        (0.785, 0.5),
        "two numbers: share of labels that are right, and β",
        {
            (0.785, 2): "Noise makes a difference worth less, so β falls.",
            (0.785, 0.707): "The log-odds divide by the variance, which has doubled, not by its root.",
            (0.868, 0.5): "That is Φ(√5 · .5), without the rating noise; with it the variance is 2.",
            (0.878, 0.5): "That is how sure the label is; asked is how often it is right.",
            (0.785, 1): "At β = 1 the label says .878 and is right .785: it is too sure.",
        },
        "The sum has mean 5 · .5 and variance 5 · 2: right with Φ(2.5 / √10). Its log-odds are 2 · .5 / 2 a unit of δ.",
        "At β = 1 the label is .878 sure. Halving β repairs it: .785 sure, .785 right.",
        within=0.004,
    ),
}  # fmt: skip

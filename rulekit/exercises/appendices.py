"""Exercises of the appendices, `11_proofs` to `19_real_readings`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

from rulekit.exercises.answers import SHARE, Task, values

TASKS: dict[str, Task] = {
    "proofs-majority": values(
        0.792,
        SHARE,
        {
            0.9: "That is the first rule alone.",
            0.7: "Accuracies are not averaged: at least two of the three have to be right.",
            0.756: "The first rule may also be wrong, and the two others right.",
            0.324: "That is all three right; two of three are enough.",
        },
        "The first right and one of the others at least, or the first wrong and both others right.",
        "Less than .9: the majority can lose by asking more rules. The Bayes label cannot.",
        within=0.003,
    ),
    "proofs-evidence": values(
        (0.96, 0.1333),
        "two numbers, in nats",
        {
            (0.48, 0.0667): "Twice that: the two densities of δ differ by 2 μ δ in the exponent.",
            (0.48, 0.4): "Divide by the variance σ², not by σ.",
            (0.24, 1.2): "The noise counts: divide by σ².",
        },
        "2 · .3 · .4 / .25 and 2 · .3 · 2 / 9.",
        "The rule of the smaller |δ| tells seven times as much: loud, but noisy.",
    ),
    "estimators-permutations": values(
        1999,
        "a whole number",
        {
            2000: "1 / (B + 1): one less will do.",
            499: "That is B for .05 / 25; there are a hundred rules.",
            19: "That is enough for one rule at .05; a hundred are tested.",
            199: "Then the smallest p is .005, and .05 / 100 is .0005.",
        },
        "1 / (B + 1) ≤ .0005.",
        "With 199 permutations no rule of a hundred could be found, however good.",
        within=0.01,
    ),
    "estimators-wilson": values(
        0.9812,
        SHARE,
        {
            1: "A share of 1 in a sample is not 1 for sure; Wilson's interval has a width there, too.",
            0.95: "That is what the interval should cover; the question is of the share 200 / 200.",
            0.9903: "1.96 is squared.",
        },
        "n / (n + z²) with n = 200, z = 1.96.",
        "So 200 of 200 is compatible with anything above 98.1 %.",
        within=0.0006,
    ),
    "comparison-weights": values(
        0.8,
        SHARE,
        {
            0.2: "That is the chance of the other side.",
            0.9: "The two rules that disagree have to be weighed in.",
            1 / 3: "That counts votes; a vote of accuracy p has the odds p : (1 − p).",
            0.7: "Accuracies are not averaged; odds are multiplied.",
        },
        "Multiply the odds: 9 : 1 for A, 1.5 : 1 for B, twice.",
        "One good rule outweighs two weak ones, where the majority says the opposite.",
        within=0.003,
    ),
    "comparison-audit": values(
        3,
        "a number of rules",
        {
            5: "Of the 100 rules only 60 say nothing.",
            0.05: "That is the chance of each; there are 60.",
            0: "Chance flags one innocent rule in twenty.",
        },
        "Each of the 60 is flagged with chance .05.",
        "Hence the false discovery rate: many rules looked at are many chances to be wrong.",
        within=0.01,
    ),
    "judge-kappa": values(
        0.1304,
        "a number, at most 1",
        {
            0.6: "That is the plain agreement; κ takes off what chance would give.",
            0.54: "That is the agreement by chance.",
            0.06: "Divide by what can be gained over chance, 1 − .54.",
            0.2: "Chance agreement is not ½: it comes from the shares of yes, .6 and .7.",
        },
        "κ = (observed − chance) / (1 − chance); chance = .6 · .7 + .4 · .3.",
    ),
    "judge-calibration": values(
        0.2,
        SHARE,
        {
            0: "Too sure in one bin and too unsure in the other do not make up for each other.",
            0.4: "The bins are averaged, each with the share of its cases.",
            0.1: "Both bins count with weight ½.",
        },
        "Mean over cases of |predicted − observed|, bin by bin.",
    ),
    "quality-abstention": values(
        0.68,
        SHARE,
        {
            0.48: "A silent rule leaves a coin, which is right half the time.",
            0.8: "That is the accuracy where it speaks.",
            0.88: "Silence is not right; it is a coin.",
        },
        ".6 of the pairs at .8, the others at one half.",
    ),
    "quality-tokens": values(
        0.632,
        SHARE,
        {
            0.05: "That is the share of ratings; every call reads the response again.",
            0.162: "That is one call for all five; here each rule has its own call.",
            0.588: "The five rules have 30 tokens each besides.",
        },
        "5 · (400 + 30) against 400 + 100 · 30.",
        "Few ratings are not few tokens: what counts is how often a response is read.",
    ),
    "performance-whole": values(
        1.04,
        "a factor, 1 or more",
        {
            20: "That is the factor of the part; the other 96 % take as long as before.",
            0.96: "That is new time over old; the factor is its inverse.",
            1.8: "Times are added, not factors: .96 + .04 / 20 of the old time.",
        },
        "New time: .96 + .04 / 20 of the old.",
        "What is a small part of the whole can be made as fast as you like.",
    ),
    "performance-padding": values(
        0.39,
        SHARE,
        {
            0.61: "That is the share of padding.",
            0.4: "That is padded to the longest, 1,000; here it is 1,024.",
        },
        "Real tokens over 4 · 1,024.",
        within=0.003,
    ),
    "readings-kappa": values(
        0.8,
        "a number, at most 1",
        {
            0.75: "That is the share of equal grades; here a difference counts by its square.",
            2 / 3: "That is the plain κ, for which 1 and −1 are as far apart as 2 and 1.",
            0.2: "That is the disagreement beside that of chance; κ is one less it.",
        },
        "E[(x − y)²] = 4 / 4; E[(x − y′)²] = E[x²] + E[y²] − 2 E[x] E[y].",
        "Grades two apart cost four times as much as neighbours.",
    ),
    "readings-loud": values(
        (0.18, 0),
        "two numbers, differences of shares",
        {
            (0.18, 0.18): "Within a rule compare its own large votes with its own small ones.",
            (0, 0): "Over all votes 80 of the 100 large ones are those of rule 2.",
            (
                0.3,
                0,
            ): "That is the difference of the rules; the question is of large and small votes.",
        },
        "Over all votes: 48 + 18 of 100 small ones are right, 12 + 72 of 100 large ones.",
        "The curve over all votes rises, and no vote gains by being loud: look within rules.",
    ),
    "evaluation-tie": values(
        0.5,
        SHARE,
        {
            0.625: "A tie counts as lost in RewardBench; ½ is what the kit shows beside it.",
            0.75: "A response that scores as much as the other is no win.",
        },
        "Count the pairs whose chosen response scores strictly more, over all four.",
        "A model that gives all responses one score has 0 there, not ½.",
    ),
    "evaluation-gate": values(
        0,
        "an exit status, 0 or 1",
        {1: "The interval reaches above −1 point: a loss of more than allowed is not sure."},
        "The gate closes where the whole interval lies below −1 point.",
        "A fall that is not sure is told, and does not fail.",
    ),
}

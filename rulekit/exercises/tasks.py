"""The exercises by name: an answer comes in, a verdict goes out.

The tasks are told in the notebooks; here stand the right values, and a hint for each mistake that is
often made.
"""

from __future__ import annotations

from rulekit.exercises.answers import Task, Unanswered, Unfit, Verdict, values
from rulekit.exercises.functions import information, loss, rule_text, top_k

_SHARE, _BITS = "a number between 0 and 1", "a number, in bits"
_TASKS: dict[str, Task] = {
    "00-turn": values(
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
    "00-effective": values(
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
    "01-rule": Task(
        "a text, one rule", rule_text, "It is a statement that one response can be judged by."
    ),
    "01-sum-label": values(
        (-3, -1),
        "two numbers, the sum of δ and the label, +1 for A or −1 for B",
        {
            (-3, 1): "A negative sum speaks for B, which is −1.",
            (9, 1): "The signs count: a negative δ speaks for B.",
            (-1, -1): "That counts votes; the sum adds the δ themselves.",
            (3, 1): "δ is score(A) − score(B); yours is the other way round.",
        },
        "Add the five δ with their signs; the label is the sign of the sum.",
        "The rules say B, people said A: labels from rules can be wrong.",
    ),
    "02-discrepancy": values(
        1.1,
        "a number between −2 and 2",
        {
            0.6: "That is the difference of P(yes); a score is P(yes) − P(no).",
            0.1: "The scores are added there; δ is score(A) − score(B).",
        },
        "score = P(yes) − P(no) for each response; δ = score(A) − score(B).",
    ),
    "02-auc": values(
        0.75,
        _SHARE,
        {
            5 / 6: "The tie is counted as a whole; it counts one half.",
            4 / 6: "The tie is not counted; it counts one half.",
            0.25: "That is the share in which the violated response is above.",
        },
        "Of the 2 · 3 pairs (satisfied, violated): the share in which the satisfied one is above, ties one half.",
    ),
    "03-top-k": Task(
        "a function of δ (n_pairs, n_rules) and k that returns columns (n_pairs, k)", top_k
    ),
    "03-ties": values(
        0.25,
        _SHARE,
        {
            0: "Four rules share the largest |δ|; one of them speaks for A.",
            0.2: "The fifth rule has |δ| = 1 and cannot be chosen at k = 1.",
            0.75: "That is the chance of B.",
            0.5: "Count the tied rules: how many of them speak for A?",
        },
        "At k = 1 a rule of largest |δ| is drawn, each with equal chance. Which of them speak for A?",
        "The label of this pair is a matter of chance, and so is any single figure that rests on it.",
    ),
    "04-recall-floor": values(
        5 / 12,
        _SHARE,
        {
            1 / 12: "That is the chance of one draw; five are named.",
            1
            / 5: "Each of the five right rules is among the five named of twelve with chance 5/12.",
            25 / 12: "That is the expected number found; recall is a share of the five.",
        },
        "Each of the five right rules is named with the same chance. Which?",
        "Beside a floor of .42 a recall of .5 is little, with 100 rules (floor .05) it is much.",
    ),
    "04-break-even": values(
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
    "05-loss": Task(
        "a function of margins (n,) and targets (n,) in [0, 1] that returns one number", loss
    ),
    "05-flip": values(
        0.74,
        _SHARE,
        {
            0.72: "Where the model is wrong and the label is flipped, they agree, too.",
            0.7: "Errors do not simply add up: a wrong model and a flipped label agree.",
            0.9: "The test sees flipped labels: a model that is always right agrees with .8 of them.",
            0.8: "That is what a model that is always right would get.",
            0.26: "That is the share in which they differ.",
        },
        "They agree if both are right or both are wrong.",
        "Random errors in the test lower every figure in the same way; errors that follow a pattern are learned.",
    ),
    "06-interval": values(
        (1, 1),
        "two values, True or False: do the two intervals overlap, and may the gain be claimed",
        {
            (
                1,
                0,
            ): "Both methods label the same pairs: what counts is the interval of the difference, and it excludes 0.",
            (0, 1): "One ends at .66, the other begins at .58: they overlap.",
            (
                0,
                0,
            ): "Compare the ends of both intervals; then look whether that of the difference holds 0.",
        },
        "True or False, twice.",
        "Overlap of two intervals does not refute a difference measured on the same pairs.",
        within=0,
    ),
    "06-ratings": values(
        (1440, 600),
        "two whole numbers: ratings under all rules, and under the five named",
        {
            (720, 300): "A pair has two responses, and each is rated.",
            (1440, 300): "The five rules are rated for both responses, too.",
            (1440, 840): "That is what is saved; asked is what is rated.",
        },
        "Pairs times responses times rules.",
        within=0.5,
    ),
    "07-information": Task(
        "a function of p in [0, 1] that returns bits", information, "You have coded 1 − h(p)."
    ),
    "07-flip": values(
        1 / 6,
        _SHARE,
        {
            0.1: "Flipping also turns wrong votes into right ones, so more is needed than the difference.",
            0.125: "A wrong vote that is flipped becomes right: .8 (1 − q) + .2 q = .7.",
            5
            / 6: "That flips nearly always: q lies between 0 and ½. Use it for the share that is kept.",
        },
        "Solve .8 (1 − q) + .2 q = .7.",
        "The weaker vote is a noisy copy of the stronger, which is Lemma 1.",
    ),
    "07-rho": values(
        0.4,
        _SHARE,
        {
            0.5: "That is the answer for ten rules; there are twelve here.",
            0.8: "The variance of six dependent rules has 6 · 5 covariances, each ρ.",
        },
        "The sum of twelve has mean 12 μ and variance 12 + 30 ρ, that of six 6 μ and 6.",
        "From there on the sum of all is worse than the sum of half; the best weights never are.",
    ),
    "08-plug-in": values(
        0.2540,
        _BITS,
        {
            0.2781: "That is the plug-in itself; it is too high by 1 / (2 N ln 2) bits on average.",
            0.3021: "The plug-in is too high, so its bias is taken off.",
            0.2614: "The correction is in nats there; divide it by ln 2.",
        },
        "1 − h(24/30), less 1 / (2 · 30 · ln 2).",
        within=0.0015,
    ),
    "08-false-discoveries": values(
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
    "08-rare": values(
        0.0083,
        _BITS,
        {
            0.278: "That is what it tells where it speaks; it speaks on 3 % of the pairs.",
            0.03: "That is how often it speaks.",
            0.8: "That is how often it is right where it speaks.",
        },
        "Share of pairs on which it speaks, times 1 − h(.8).",
        "Little in all, much where it speaks: a choice by pair can use it, a choice for all pairs hardly.",
        within=0.0004,
    ),
    "09-weights": values(
        0.8,
        _SHARE,
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
    "09-audit": values(
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
    "10-kappa": values(
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
    "10-calibration": values(
        0.2,
        _SHARE,
        {
            0: "Too sure in one bin and too unsure in the other do not make up for each other.",
            0.4: "The bins are averaged, each with the share of its cases.",
            0.1: "Both bins count with weight ½.",
        },
        "Mean over cases of |predicted − observed|, bin by bin.",
    ),
    "11-abstention": values(
        0.68,
        _SHARE,
        {
            0.48: "A silent rule leaves a coin, which is right half the time.",
            0.8: "That is the accuracy where it speaks.",
            0.88: "Silence is not right; it is a coin.",
        },
        ".6 of the pairs at .8, the others at one half.",
    ),
    "11-tokens": values(
        0.632,
        _SHARE,
        {
            0.05: "That is the share of ratings; every call reads the response again.",
            0.162: "That is one call for all five; here each rule has its own call.",
            0.588: "The five rules have 30 tokens each besides.",
        },
        "5 · (400 + 30) against 400 + 100 · 30.",
        "Few ratings are not few tokens: what counts is how often a response is read.",
    ),
    "12-whole": values(
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
    "12-padding": values(
        0.39,
        _SHARE,
        {
            0.61: "That is the share of padding.",
            0.4: "That is padded to the longest, 1,000; here it is 1,024.",
        },
        "Real tokens over 4 · 1,024.",
        within=0.003,
    ),
    "13-kappa": values(
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
    "13-loud": values(
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
    "14-tie": values(
        0.5,
        _SHARE,
        {
            0.625: "A tie counts as lost in RewardBench; ½ is what the kit shows beside it.",
            0.75: "A response that scores as much as the other is no win.",
        },
        "Count the pairs whose chosen response scores strictly more, over all four.",
        "A model that gives all responses one score has 0 there, not ½.",
    ),
    "14-gate": values(
        0,
        "an exit status, 0 or 1",
        {1: "The interval reaches above −1 point: a loss of more than allowed is not sure."},
        "The gate closes where the whole interval lies below −1 point.",
        "A fall that is not sure is told, and does not fail.",
    ),
}


def check(name: str, answer: object) -> Verdict:
    """Judge an answer to an exercise; whatever the answer is, only an unknown exercise is an error.

    Parameters
    ----------
    name
        Of the exercise, such as ``07-flip``; its first two digits are those of its notebook.
    answer
        A number, numbers, a text or a function, as the exercise says; None or ``...`` is not
        answered yet, and so is a function that returns one of them.

    Raises
    ------
    ValueError
        For an exercise that there is not.
    """
    if name not in _TASKS:
        raise ValueError(f"no exercise {name!r}; allowed: {', '.join(_TASKS)}")
    task = _TASKS[name]
    blank = Verdict("not answered yet", f"Expected: {task.expects}.")
    if answer is None or answer is ...:
        return blank
    try:
        hint = task.hint(answer)
    except Unanswered:
        return blank
    except Unfit as found:
        return Verdict("not right", f"Expected: {task.expects}; this is {found}.")
    except Exception as error:  # a student's code may raise anything, and the page goes on
        told = f"{type(error).__name__}: {error}"[:200]
        return Verdict("not right", f"Your answer stops with {told}. Expected: {task.expects}.")
    return Verdict("not right", hint) if hint else Verdict("right", task.said)


def names() -> tuple[str, ...]:
    """Names of all exercises."""
    return tuple(_TASKS)

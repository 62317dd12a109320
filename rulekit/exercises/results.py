"""Exercises of `10_results`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

import numpy as np

from rulekit.exercises.answers import Task, Unanswered, Unfit, call, numbers, values

_FIELDS = ("prompt", "response_a", "response_b", "preference")


def ten_pairs(answer: object) -> str:
    if not isinstance(answer, list | tuple) or not all(isinstance(row, dict) for row in answer):
        raise Unfit(f"a {type(answer).__name__}")
    if not answer:
        raise Unanswered
    for i, row in enumerate(answer):
        if missing := [name for name in _FIELDS if name not in row]:
            return f"Pair {i} lacks {', '.join(missing)}."
        if empty := [n for n in _FIELDS[:3] if not isinstance(row[n], str) or not row[n].strip()]:
            return f"Pair {i}: {empty[0]} is no text, or is empty."
        if row["response_a"].strip() == row["response_b"].strip():
            return f"Pair {i}: both responses are the same, so no rule can tell them apart."
        if row["preference"] not in (1, -1):
            return f"Pair {i}: preference is +1 if A is better, −1 if B is, as you see it."
    if len(answer) != 10:
        return f"There are {len(answer)} pairs; ten are asked for."
    if len({(row["prompt"], row["response_a"], row["response_b"]) for row in answer}) < 10:
        return "Two of the pairs are the same."
    if len({row["prompt"] for row in answer}) < 5:
        return "Fewer than five prompts: nothing that learns could be measured on others."
    first = sum(row["preference"] == 1 for row in answer)
    if not 2 <= first <= 8:
        return f"A is better in {first} of ten: exchange some, or a judge that likes one place looks right."
    better = [(row["response_a"], row["response_b"])[:: row["preference"]] for row in answer]
    longer = sum(len(good) > len(bad) for good, bad in better)
    if longer in (0, 10):
        which = "longer" if longer else "shorter"
        return f"The better response is always the {which} one: length alone gives it away."
    return ""


def wrong_label(function: object) -> str:
    margin = np.array([0.5, -3.0, 2.0, -1.0, 4.0, 0.2, -6.0, 0.0])
    known = np.array([-1, -1, -1, 1, 1, -1, 0, 1])
    found = int(numbers(call(function, margin.copy(), known.copy()), ()))
    hints = {
        6: "The preference of pair 6 is not known (0), so its label is not known to be wrong.",
        4: "Pair 4 has the largest margin of all that are known, and its label is right.",
        1: "Pair 1 is labelled B, and B is known to be better.",
        5: "Pair 5 is wrong with the least certainty; the largest |margin| among the wrong is wanted.",
        7: "A margin of 0 is no label; nothing was claimed.",
        3: "Pair 3 is wrong, but pair 2 is wrong with a larger |margin|.",
        0: "Pair 0 is wrong, but not the surest of the wrong ones. Compare |margin|.",
    }
    if found != 2:
        return hints.get(found, f"There are pairs 0 to 7; {found} is none of them.")
    turned = int(numbers(call(function, -margin, -known), ()))
    if turned != 2:
        return "Right for a label A that is wrong; a wrong label B is not found."
    none = numbers(call(function, np.array([1.0, -2.0]), np.array([1, -1])), ())
    return "" if none == -1 else "Where no label is wrong the answer is −1."


TASKS: dict[str, Task] = {
    "results-interval": values(
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
    "results-pairs": Task(
        "a list of ten dictionaries with prompt, response_a, response_b and preference, +1 or −1",
        ten_pairs,
        "These can be rated. A label that contradicts you is wrong, or you are.",
    ),
    "results-wrong-label": Task(
        "a function of margins (n,) and known preferences (n,), 0 if not known, that returns a position or −1",
        wrong_label,
        "The surest mistakes teach most: read the rules that made them.",
    ),
}

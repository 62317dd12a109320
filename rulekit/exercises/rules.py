"""Exercises of `01_rules_and_pairs`: right answers, and a hint for each mistake that is often made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from rulekit.exercises.answers import Task, Unanswered, Unfit, numbers, values
from rulekit.inputs import RuleSet, check_rules

_REMARKS = {  # of `rulekit.inputs.check_rules`, as the notebook's table gives the reasons
    "comparison": "'{}' compares; a rule is judged on one response alone.",
    "other-response": "'{}': a rule is about one response alone, whichever it is. Write 'The response …'.",
    "two-rules": "'{}' joins two rules; a response can satisfy one and violate the other.",
    "undefined-term": "'{}' means something else to each reader; say what exactly must be in the response, or not.",
    "double-negation": "'{}' has two negations; say it with one or none.",
    "question": "That is a question; a rule is a statement that a response satisfies or violates.",
}
_LETTER = re.compile(r"(?:B|A(?= \w+s\b))\b")  # of a response; 'A good answer names …' is none
_SUBJECT = re.compile(r"\b(?:response|answer|reply|it)\b", re.I)
_VERB = re.compile(  # most verbs of rules end in s
    r"is|are|was|were|has|have|does|can|cannot|could|may|must|shall|should|will|would|(?:is|does)n['’]t|\w*[^\W_s]s"
)


def _rule(answer: object) -> str:
    if not isinstance(answer, str):
        raise Unfit(f"a {type(answer).__name__}")
    text = answer.strip()
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text)
    if not words:
        raise Unanswered
    if said := _LETTER.match(text):
        return _REMARKS["other-response"].format(said.group(0))
    found = check_rules(RuleSet.from_texts([text]), near_duplicates=False)
    for remark, quoted in found["remark", "found"].iter_rows():
        if remark in _REMARKS:
            return _REMARKS[remark].format(quoted)
    if not 4 <= len(words) <= 25:
        return f"{len(words)} words; a rule that can be rated has 4 to 25."
    if not _is_sentence([word.lower() for word in words]):
        return "No sentence about a response is seen here. Begin with 'The response', and say what it does or is."
    return ""


def _is_sentence(words: list[str]) -> bool:
    """Whether a verb follows on 'response', as a rule of thumb."""
    subject = next((at for at, word in enumerate(words) if _SUBJECT.fullmatch(word)), None)
    return subject is not None and any(_VERB.fullmatch(word) for word in words[subject + 1 :])


def _in_numbers(task: Task, told: str, looked_at: Callable[[object], str]) -> Task:
    """The task with a hint where a number is written as a text, and one of its own before the others."""

    def hint(answer: object) -> str:
        if isinstance(answer, list | tuple) and answer and _holds_text(answer):
            return told
        return looked_at(answer) or task.hint(answer)

    return replace(task, hint=hint)


def _holds_text(answer: object) -> bool:
    if isinstance(answer, list | tuple):
        return any(_holds_text(part) for part in answer)
    return isinstance(answer, str)


def _other_sizes(answer: object) -> str:
    rated = numbers(answer, (2, 2))
    return "" if set(rated.ravel().tolist()) <= {-1, 0, 1} else "Only +1, −1 or 0 here."


def _which_half(answer: object) -> str:
    total, label = numbers(answer, (2,)).tolist()
    if total == -3 and label != -1:
        why = ": a negative sum speaks for B" if label == 1 else ""
        return f"The sum is right; the label is its sign, +1 or −1{why}."
    if label == -1 and total not in (-3, -1):  # −1 has a hint of its own
        return "The label is right, the sum is not: add the five δ with their signs."
    return ""


TASKS: dict[str, Task] = {
    "rules-rule": Task(
        "a text, one rule",
        _rule,
        "This has the form of a rule. Whether it tells A from B no program can see: rate both by it.",
    ),
    "rules-rate": _in_numbers(values(
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
    ), "Write the ratings as numbers, +1, −1 or 0, without quotation marks.", _other_sizes),
    "rules-sum-label": _in_numbers(values(
        (-3, -1),
        "two numbers, the sum of δ and the label, +1 for A or −1 for B",
        {
            (9, 1): "The signs count: a negative δ speaks for B.",
            (-1, -1): "That counts votes; the sum adds the δ themselves.",
            (3, 1): "δ is score(A) − score(B); yours is the other way round.",
        },
        "Add the five δ with their signs; the label is the sign of the sum.",
        "The rules say B, the known choice is A: labels from rules can be wrong.",
    ), "Write the label as a number, −1 or +1, without quotation marks.", _which_half),
}  # fmt: skip

"""What makes a rule hard to rate: a rule set comes in, a frame of remarks goes out.

`rulekit rules check` prints it. A judge sees one response and one rule, so a rule must be a single
statement that this response alone satisfies or violates, in words that need no interpretation.
`rule_wording` has the patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import yaml

from rulekit.encoder import Encoder
from rulekit.inputs import rule_wording
from rulekit.inputs.rules import Rule, RuleSet

ALIKE = 0.85  # of the embedded rules no two are above .80, paraphrases of one mostly above .85
_SAME_BUT_NOT = 0.9  # of two texts without their negations
FEWEST_WORDS, MOST_WORDS = 3, 40
REMARKS = {
    "comparison": "say what the response itself must have; a judge sees no other to compare it with",
    "other-response": "speak of one response only; a judge sees no other",
    "two-rules": "split it: a response can satisfy the one part and violate the other",
    "undefined-term": "say what counts, with a list or 'such as', or name the behaviour itself",
    "double-negation": "say it with one negation or none",
    "question": "write it as a statement that is true of a good response",
    "too-short": f"write a whole sentence, of {FEWEST_WORDS} words at least",
    "too-long": f"cut it to {MOST_WORDS} words; what is left may be a rule of its own",
    "yaml-id": "give it another id; unquoted, YAML reads this one as no text",
    "near-duplicate": "keep one of the two, unless the difference is what matters",
    "opposite": "keep one of the two: what the one says of a response, the other says negated",
}
_SCHEMA = dict.fromkeys(("rule", "remark", "found", "advice"), pl.String)


def check_rules(rules: RuleSet, *, near_duplicates: bool = True) -> pl.DataFrame:
    """What is in the wording of rules that a judge can hardly rate.

    Remarks are found by the words of a rule, so they are worth a look, not always right: of the 100
    embedded rules they remark on three.

    Parameters
    ----------
    rules
        n_rules rules.
    near_duplicates
        Also compare the rules with each other, by the offline encoder.

    Returns
    -------
    Frame with a row for each remark, in the order of the rules: ``rule`` (id), ``remark`` (a key of
    `REMARKS`), ``found`` (the words, or the id of the other rule), ``advice``. Without rows where
    nothing was found.

    Raises
    ------
    FileNotFoundError
        If `near_duplicates` is asked for and the encoder's files are not there.
    """
    found = [(place, *remark) for place, rule in enumerate(rules) for remark in _remarks(rule)]
    if near_duplicates and len(rules) > 1:
        found += _alike(rules)
    order = list(REMARKS)
    found.sort(key=lambda f: (f[0], order.index(f[1])))
    rows = [
        (rules.ids[place], remark, rule_wording.whole(words), REMARKS[remark])
        for place, remark, words in found
    ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _remarks(rule: Rule) -> Iterator[tuple[str, str]]:
    """(remark, found) of one rule."""
    for remark, finds in _CHECKS.items():
        if words := finds(rule.text):
            yield remark, words
    if not _is_text(rule.id):
        yield "yaml-id", rule.id


def _too_short(text: str) -> str:
    if rule_wording.word_count(text) >= FEWEST_WORDS:
        return ""
    return f"{rule_wording.word_count(text)} words"


def _too_long(text: str) -> str:
    words = rule_wording.word_count(text)
    return f"{words} words" if words > MOST_WORDS else ""


def _is_text(rule_id: str) -> bool:
    """Whether YAML reads an unquoted id as the text that it is."""
    if rule_id.lower() in {"y", "n"}:  # truth values to YAML 1.1, though not to every reader
        return False
    try:
        return isinstance(yaml.safe_load(rule_id), str)
    except (yaml.YAMLError, ValueError):
        return True  # cannot stand unquoted, so nobody writes it so


_CHECKS: dict[str, Callable[[str], str]] = {
    "comparison": rule_wording.comparison,
    "other-response": rule_wording.other_response,
    "two-rules": rule_wording.two_rules,
    "undefined-term": rule_wording.undefined_term,
    "double-negation": rule_wording.double_negation,
    "question": rule_wording.question,
    "too-short": _too_short,
    "too-long": _too_long,
}


def _alike(rules: RuleSet) -> list[tuple[int, str, str]]:
    """(place of the later rule, remark, 'id of the earlier (similarity)')."""
    encoder = Encoder.load()
    vectors = encoder.embed(
        [_encodable(text) for text in rules.texts]
    )  # (n_rules, dim), unit length
    plain = encoder.embed([_encodable(rule_wording.without_negation(t)) for t in rules.texts])
    negated = np.array([rule_wording.negations(t) % 2 for t in rules.texts])
    other_sign = negated[:, None] != negated[None, :]
    alike, alike_but_not = vectors @ vectors.T, plain @ plain.T
    opposite = other_sign & (alike_but_not >= _SAME_BUT_NOT)
    same = (alike >= ALIKE) & ~other_sign
    return [
        (
            int(i),
            "opposite" if opposite[i, j] else "near-duplicate",
            f"{rules.ids[j]} ({s[i, j]:.2f})",
        )
        for s, which in ((alike_but_not, opposite), (alike, same))
        for i, j in np.argwhere(np.tril(which, k=-1))
    ]


def _encodable(text: str) -> str:
    """A text that the encoder takes: with something in it."""
    return rule_wording.whole(text).strip() or "-"

"""What changed between two rule sets, and what is in one: rule sets come in, a frame or counts go out.

`rulekit rules diff` and `rulekit rules stats` show them. Only a rule's text decides whether its
ratings still hold, so a rule counts as changed by its text.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter

import numpy as np
import polars as pl

from rulekit.inputs.rule_wording import whole
from rulekit.inputs.rules import Rule, RuleSet

CHANGES = ("added", "removed", "reworded", "renamed", "unchanged")
_SCHEMA = dict.fromkeys(("rule", "change", "old", "new", "difference"), pl.String)


def diff_rules(old: RuleSet, new: RuleSet) -> pl.DataFrame:
    """What became of every rule from one version of a rule set to the next, by id.

    Parameters
    ----------
    old, new
        The two versions.

    Returns
    -------
    Frame with a row for each rule, in the order of `new`, those that are gone last:

    ``rule``
        Its id, in `new` where it is there.
    ``change``
        added, removed, reworded (same id, another text: rated anew), renamed (same text, another
        id: ratings hold) or unchanged.
    ``old``, ``new``
        Its texts; null where it was not yet, or is no longer. ``old`` of a renamed rule is the
        text, its old id stands in ``difference``.
    ``difference``
        Words taken out as ``[-word-]`` and put in as ``{+word+}``, others as they are; what changed
        in category, weight or examples; empty where nothing did.
    """
    before = {rule.id: rule for rule in old}
    by_text = {rule.text: rule for rule in old}
    kept = {rule.id for rule in new}
    taken: set[str] = set()
    rows = []
    for rule in new:
        was = before.get(rule.id)
        same_text = by_text.get(rule.text)
        if was is not None and was.text == rule.text:
            taken.add(was.id)
            rows.append((rule.id, "unchanged", was.text, rule.text, _besides(was, rule)))
        elif same_text is not None and (was is None or same_text.id not in kept):
            taken.add(same_text.id)
            said = "; ".join(
                filter(None, (f"id {same_text.id} → {rule.id}", _besides(same_text, rule)))
            )
            rows.append((rule.id, "renamed", same_text.text, rule.text, said))
        elif was is not None:
            taken.add(was.id)
            rows.append(
                (rule.id, "reworded", was.text, rule.text, word_difference(was.text, rule.text))
            )
        else:
            rows.append((rule.id, "added", None, rule.text, ""))
    rows += [(r.id, "removed", r.text, None, "") for r in old if r.id not in taken]
    rows = [tuple(None if v is None else whole(v) for v in row) for row in rows]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def word_difference(old: str, new: str) -> str:
    """Two texts as one, words taken out as ``[-word-]`` and words put in as ``{+word+}``."""
    a, b = (re.findall(r"\S+", text) for text in (old, new))
    parts = []
    for what, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if what == "equal":
            parts += a[i:j]
            continue
        if i < j:
            parts.append(f"[-{' '.join(a[i:j])}-]")
        if k < m:
            parts.append(f"{{+{' '.join(b[k:m])}+}}")
    said = " ".join(parts)
    return said if a != b else "(only the spacing differs)"


def _besides(old: Rule, new: Rule) -> str:
    """What changed besides id and text."""
    said = [
        f"{name} {getattr(old, name)} → {getattr(new, name)}"
        for name in ("category", "weight")
        if getattr(old, name) != getattr(new, name)
    ]
    return "; ".join([*said, *(["other examples"] if old.examples != new.examples else [])])


def rule_stats(rules: RuleSet) -> dict:
    """What is in a rule set, as values that JSON can hold.

    Parameters
    ----------
    rules
        n_rules rules.

    Returns
    -------
    ``rules`` (how many), ``hash``, ``categories`` (category → rules, most first), ``words`` (of the
    texts: min, median, max), ``longest`` and ``shortest`` (ids), ``negated`` (rules that forbid
    something: a "not", "no", "never" in the text), ``with_examples``, ``examples``, ``weights`` (min,
    max, ``other_than_1``, ``negative``).
    """
    words = [len(text.split()) for text in rules.texts]
    weights = [rule.weight for rule in rules]
    return {
        "rules": len(rules),
        "hash": rules.hash,
        "categories": dict(Counter(rules.categories).most_common()),
        "words": {"min": min(words), "median": float(np.median(words)), "max": max(words)},
        "shortest": rules.ids[words.index(min(words))],
        "longest": rules.ids[words.index(max(words))],
        "negated": sum(bool(re.search(r"\b(not|no|never)\b|n't\b", t, re.I)) for t in rules.texts),
        "with_examples": sum(bool(rule.examples) for rule in rules),
        "examples": sum(len(rule.examples) for rule in rules),
        "weights": {
            "min": min(weights),
            "max": max(weights),
            "other_than_1": sum(w != 1 for w in weights),
            "negative": sum(w < 0 for w in weights),
        },
    }

"""Labelled responses, what a judge is measured against.

The name of a data set or a file comes in, a checked `Labelled` goes out. The command line hands it
to `rulekit.rating.rate_labelled`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rulekit.files import resource
from rulekit.inputs.pairs import conversation
from rulekit.inputs.readers import records
from rulekit.inputs.rules import Rule, RuleSet
from rulekit.inputs.sources import Labelled, load_labelled

_LABELS = {
    "yes": 1,
    "satisfied": 1,
    "no": -1,
    "violated": -1,
    "irrelevant": 0,
    "1": 1,
    "+1": 1,
    "-1": -1,
    "0": 0,
}
_NAMED = ("embedded", "openai-rbr")


def read_labelled(
    source: str | Path, split: str | None = None, rules: str | Path | None = None
) -> Labelled:
    """Labelled responses of a named data set or of a file, their dialogues as messages.

    Parameters
    ----------
    source
        ``embedded``, ``openai-rbr``, or a file (.jsonl, .parquet, .csv) of rows with the columns
        prompt (a text, or messages), response, rule and label. A rule is an id or a text of
        `rules`, or a text of its own, which has a space in it. A label is +1, 0, -1, or yes,
        irrelevant, no.
    split
        Of ``embedded``: train, validation or test; all by default.
    rules
        YAML file of the rules that a file's ids are of; those of the kit by default.

    Returns
    -------
    `Labelled`, whose `scores` are NaN where a file has no label.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        Naming file, row and column for a value that is not allowed, or a cell labelled two ways.
    """
    if source in _NAMED:
        if rules is not None:
            raise ValueError(f"--check {source} takes no --rules: it has its own; allowed: a file")
        return load_labelled(source, split)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"no such file: {path}; allowed: a file, or one of {', '.join(_NAMED)}"
        )
    return _labelled_file(path, RuleSet.load(rules or resource("data/rules.yaml")))


def _labelled_file(path: Path, known: RuleSet) -> Labelled:
    texts: dict[tuple[str, str], int] = {}
    prompts, responses, rules = [], [], {}  # rules: Rule → column
    cells: dict[tuple[int, int], int] = {}
    by_name = {r.text: r for r in known} | {r.id: r for r in known}
    for where, record in records(path):
        try:
            if isinstance(record, ValueError):
                raise record
            prompt, response, rule, label = _labelled_row(record, by_name)
        except ValueError as error:
            raise ValueError(f"{path}, {where}: {error}") from None
        key = conversation(prompt), response
        if key not in texts:
            texts[key] = len(texts)
            prompts.append(prompt)
            responses.append(response)
        cell = texts[key], rules.setdefault(rule, len(rules))
        if cells.setdefault(cell, label) != label:
            raise ValueError(
                f"{path}, {where}: rule {rule.id!r} has another label for this response already; "
                "allowed: one label a response and rule"
            )
    if not cells:
        raise ValueError(f"{path}: no labels in it")
    scores = np.full((len(texts), len(rules)), np.nan, np.float32)
    for (i, j), label in cells.items():
        scores[i, j] = label
    return Labelled(prompts, responses, RuleSet(tuple(rules)), scores)


def _labelled_row(record: dict, by_name: dict[str, Rule]) -> tuple[str | list, str, Rule, int]:
    for column in ("prompt", "response", "rule", "label"):
        if record.get(column) in (None, "", []):
            raise ValueError(
                f"column {column!r} is missing or empty; allowed: prompt, response, rule, label"
            )
    prompt, response, rule = record["prompt"], record["response"], record["rule"]
    messages = isinstance(prompt, list) and all(
        isinstance(t, dict) and {"role", "content"} <= t.keys() for t in prompt
    )
    if not (isinstance(prompt, str) or messages):
        raise ValueError(f"prompt is {prompt!r:.40}; allowed: a text, or messages")
    for name, value in (("response", response), ("rule", rule)):
        if not isinstance(value, str):
            raise ValueError(f"{name} is {value!r:.40}; allowed: a text")
    if rule not in by_name:
        if " " not in rule.strip():
            few = ", ".join(list(by_name)[-3:])
            raise ValueError(
                f"no rule {rule!r}; allowed: an id of the rule set such as {few}, or a text"
            )
        by_name[rule] = Rule(f"own{len(by_name):03d}", rule, "uncategorised")
    label = record["label"]
    said = str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
    if isinstance(label, bool) or said.strip().casefold() not in _LABELS:
        raise ValueError(f"label is {label!r}; allowed: +1, 0, -1, yes, irrelevant, no")
    return prompt, response, by_name[rule], _LABELS[said.strip().casefold()]


def n_prompts(data: Labelled) -> int:
    """Different prompts."""
    return len(set(map(conversation, data.prompts)))

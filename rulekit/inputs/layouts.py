"""Layouts of preference data: one row as it stands in a file comes in, rows of pairs go out.

`LAYOUTS` is the registry, name → `Layout`: by which columns it is recognised, and how a row of it
becomes pairs. `readers` calls `layout_of` and `pairs_of_row` for every row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from rulekit.inputs.pairs import lone_surrogate
from rulekit.inputs.several_responses import (
    rated_columns,
    rated_response,
    several_columns,
    several_pairs,
)
from rulekit.inputs.turns import (
    RowError,
    after_prompt,
    as_list,
    check_messages,
    check_prompt,
    check_response,
    continuation,
    prompt_of,
    shared_prompt,
    texts_in,
    turns_of,
    without_prompt,
    wrong_value,
)

EQUAL = "the two responses are equal"
# what others call the two responses of a pair; those of a conversation hold the prompt as well
_SIDES = (
    ("response_a", "response_b"),
    ("answer_a", "answer_b"),
    ("response1", "response2"),
    ("response_1", "response_2"),
    ("response_0", "response_1"),
    ("answer_0", "answer_1"),
)
_CONVERSATIONS = ("conversation_a", "conversation_b")
_ONE_HOT = ("winner_model_a", "winner_model_b", "winner_tie")
_CHOICES = ("winner", "better_response_id", "safer_response_id")
_STRENGTHS = {
    "strength": 1,
    "overall_preference": -1,
    "preference_strength": -1,
}  # sign of the first
_MARKS = {*_CHOICES, _ONE_HOT[0], *_STRENGTHS}
_WINNERS = {
    "model_a": 1,
    "model_b": -1,
    "a": 1,
    "b": -1,
    "tie": 0,
    "tie (bothbad)": 0,
    "both_bad": 0,
}


@dataclass(frozen=True)
class Layout:
    """One layout: its columns in words, whether a row's columns are of it, and its pairs.

    `convert` gives a list of rows of pairs; of the layout `ratings` single rated responses, which
    `rulekit.inputs.several_responses.pairs_of_ratings` joins once the whole file is read.
    """

    columns: str
    recognise: Callable[[set[str]], bool]
    convert: Callable[[dict], list[dict]]


def layout_of(columns: set[str]) -> str:
    """Name of the layout that a row with these columns has.

    Beside two responses a column `preference` is the kit's own, and taken before any other.

    Raises
    ------
    RowError
        If it has none, or could have several.
    """
    found = [name for name, layout in LAYOUTS.items() if layout.recognise(columns)]
    if len(found) == 1:
        return found[0]
    if found:
        choices = "; ".join(f"{name}: {LAYOUTS[name].columns}" for name in found)
        raise RowError(
            f"the columns are of more than one layout, {' and '.join(found)}",
            f"the columns of one of them ({choices})",
        )
    if "response" in columns and {"rule", "label"} <= columns:
        raise RowError(
            "these are labels of single responses under rules, no pairs",
            "a file of pairs (`rulekit annotate --check` reads labels)",
        )
    shown = sorted(map(str, columns))
    more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    known = "; ".join(layout.columns for layout in LAYOUTS.values())
    raise RowError(f"columns {[c[:40] for c in shown[:12]]}{more} are of no known layout", known)


def pairs_of_row(record: dict, layout: str) -> list[dict]:
    """Rows of pairs that one row of a file makes, every value checked; of `ratings`, the response.

    Raises
    ------
    RowError
        Naming the column and what is allowed.
    """
    for column, value in record.items():
        if told := next(filter(None, map(lone_surrogate, texts_in([column, value]))), ""):
            problem, allowed = told.split("; allowed: ")
            raise RowError(f"column {column!r} {problem}", allowed)
    rows = LAYOUTS[layout].convert(record)
    if layout == "ratings":
        return rows
    for row in rows:
        row["prompt"] = check_prompt(row["prompt"])
        for column in ("response_a", "response_b"):
            check_response(row[column], column)
        if row["response_a"] == row["response_b"]:
            raise RowError(EQUAL, "two different responses")
    return rows


def preference_of(value: object, column: str = "preference") -> int | None:
    """+1, 0, -1 or None (unknown) from what stands in a column `preference` or `winner`.

    Parameters
    ----------
    value
        A number, or for `winner` one of model_a, model_b, a, b, tie, tie (bothbad), both_bad.
    column
        Name of the column.

    Raises
    ------
    RowError
        If the value is none of these.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if column == "winner":
        said = value.strip().lower() if isinstance(value, str) else value
        if isinstance(said, str) and said in _WINNERS:
            return _WINNERS[said]
        raise wrong_value(column, value, f"{', '.join(_WINNERS)}, or empty for unknown")
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in (1, 0, -1):
        raise wrong_value(column, value, "+1, 0, -1 or null")
    return int(value)


def _sides(columns: set[str]) -> tuple[str, str] | None:
    """The first of the known pairs of columns that hold two responses."""
    return next((s for s in (*_SIDES, _CONVERSATIONS) if set(s) <= columns), None)


def _marked(columns: set[str], marks: set[str]) -> bool:
    return "preference" not in columns and bool(marks & columns)


def _two_responses(record: dict) -> dict:
    """Prompt and responses, the columns that held them left out, others kept."""
    a, b = sides = _sides(record.keys())
    if sides == _CONVERSATIONS:
        first, second = (_chat(record, column) for column in sides)
        prompt, first, second = shared_prompt(first, second, " and ".join(sides))
        for column, turns in zip(sides, (first, second), strict=True):
            if not turns or turns[-1]["role"] != "assistant":
                raise RowError(f"column {column!r} ends without an answer", "a last assistant turn")
        first, second = continuation(first), continuation(second)
    else:
        prompt, first, second = prompt_of(record), record[a], record[b]
    kept = without_prompt(record, *sides)
    return kept | {"prompt": prompt, "response_a": first, "response_b": second}


def _chat(record: dict, column: str) -> list[dict[str, str]]:
    """A conversation, cut to the turn that was judged where the row says which."""
    value = as_list(record[column])
    if not isinstance(value, list) or not value:
        raise wrong_value(column, record[column], "a list of messages")
    turns = check_messages(value, column)
    judged = record.get("turn")
    if isinstance(judged, int) and not isinstance(judged, bool) and judged > 0:
        ends = [i for i, turn in enumerate(turns) if turn["role"] == "assistant"]
        turns = turns[: ends[judged - 1] + 1] if judged <= len(ends) else turns
    return turns


def _pairs(record: dict) -> list[dict]:
    row = {**_two_responses(record), "preference": record.get("preference")}
    return [row | {"preference": preference_of(row["preference"])}]


def _arena(record: dict) -> list[dict]:
    if _ONE_HOT[0] in record:
        return [_one_hot(record)]
    column, *others = [c for c in _CHOICES if c in record]
    if others:
        raise RowError(
            f"the columns {column!r} and {others[0]!r} both name the preferred response",
            "one of them; rename or drop the other",
        )
    if column == "winner":
        preference = preference_of(record["winner"], "winner")
    else:  # the position of a response, 0 or 1
        value = record[column]
        if value is not None and (isinstance(value, bool) or value not in (0, 1)):
            raise wrong_value(column, value, "0 or 1, the preferred response, or null")
        preference = None if value is None else 1 - 2 * int(value)
    return [_two_responses(record) | {"preference": preference}]


def _one_hot(record: dict) -> dict:
    """The arena's table with three columns for the winner, and its turns as lists in JSON."""
    flags = [record.get(column) for column in _ONE_HOT]
    if not all(f in (0, 1) for f in flags) or sum(flags) != 1:
        raise RowError(
            f"the columns {', '.join(_ONE_HOT)} are {flags!r:.60}",
            "a 1 in one of them and 0 in the others",
            f"the columns {', '.join(_ONE_HOT)} name no winner",
        )
    preference = {0: 1, 1: -1, 2: 0}[flags.index(1)]
    texts = [
        as_list(value) for value in (prompt_of(record), record["response_a"], record["response_b"])
    ]
    kept = without_prompt(record, "response_a", "response_b", *_ONE_HOT)
    if not all(isinstance(t, list) for t in texts):
        return _two_responses(record) | kept | {"preference": preference}
    if len({len(t) for t in texts}) != 1 or not all(isinstance(x, str) for t in texts for x in t):
        raise RowError(
            "the columns prompt, response_a and response_b hold lists of other lengths, or null in them",
            "lists of as many texts each",
        )
    a, b = (
        [
            {"role": role, "content": text}
            for said, answer in zip(texts[0], answers, strict=True)
            for role, text in (("user", said), ("assistant", answer))
        ]
        for answers in texts[1:]
    )
    prompt, a, b = shared_prompt(a, b, "response_a and response_b")
    return kept | {
        "prompt": prompt,
        "response_a": continuation(a),
        "response_b": continuation(b),
        "preference": preference,
    }


def _strength(record: dict) -> list[dict]:
    column, *others = [c for c in _STRENGTHS if c in record]
    if others:
        raise RowError(
            f"the columns {column!r} and {others[0]!r} both say how strong the preference is",
            "one of them; rename or drop the other",
        )
    value = record[column]
    most = math.inf if column == "strength" else 3
    if value is not None and (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or abs(value) > most
    ):
        allowed = (
            "-3 to 3" if most == 3 else "a finite number, above 0 where the first is preferred"
        )
        raise wrong_value(column, value, f"{allowed}, or null")
    strength = None if value is None else float(_STRENGTHS[column] * value) + 0.0
    preference = None if value is None else (strength > 0) - (strength < 0)
    return [_two_responses(record) | {"preference": preference, "strength": strength}]


def _chosen_rejected(record: dict) -> list[dict]:
    chosen, rejected = (turns_of(record[c], c) for c in ("chosen", "rejected"))
    prompt = prompt_of(record)
    if prompt is not None:
        prompt = check_prompt(prompt)
        chosen, rejected = (after_prompt(turns, prompt) for turns in (chosen, rejected))
    else:
        prompt, chosen, rejected = shared_prompt(chosen, rejected, "chosen and rejected")
    scores = [record.get(f"score_{side}") for side in ("chosen", "rejected")]
    tied = None not in scores and scores[0] == scores[1]
    return [
        without_prompt(record, "chosen", "rejected")
        | {
            "prompt": prompt,
            "response_a": continuation(chosen),
            "response_b": continuation(rejected),
            "preference": 0 if tied else 1,
        }
    ]


LAYOUTS = {
    "pairs": Layout(
        "prompt, response_a, response_b, optionally preference and pair_id",
        lambda c: _sides(c) not in (None, _CONVERSATIONS) and ("preference" in c or not _MARKS & c),
        _pairs,
    ),
    "preference": Layout(
        "chosen, rejected, optionally prompt (strings, chat messages, or 'Human:' dialogues)",
        lambda c: {"chosen", "rejected"} <= c,
        _chosen_rejected,
    ),
    "arena": Layout(
        "winner (model_a, model_b, tie) with prompt, response_a, response_b (or answer_a, answer_b), "
        "or with conversation_a, conversation_b",
        lambda c: _sides(c) is not None and _marked(c, {*_CHOICES, _ONE_HOT[0]}),
        _arena,
    ),
    "strength": Layout(
        "strength (above 0: the first is preferred) with prompt, response_a, response_b; or "
        "overall_preference (-3 the first, 3 the second) with context, response1, response2",
        lambda c: _sides(c) is not None and _marked(c, {*_STRENGTHS}),
        _strength,
    ),
    "ranking": Layout(
        "prompt, responses (a list of texts or of {id, text}), and ranking (their ids, best first), "
        "ranks (1 is best) or scores (more is better)",
        several_columns,
        several_pairs,
    ),
    "ratings": Layout(
        "prompt, response, and score, rating or label (a number, more is better): one response a row",
        rated_columns,
        rated_response,
    ),
}

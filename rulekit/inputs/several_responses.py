"""Several responses of one prompt, ranked, scored, or rated one a row: they come in, pairs go out.

`layouts` calls `several_pairs` and `rated_response` for a row, `readers` calls `pairs_of_ratings`
once all rows are read. n responses of a prompt become n(n-1)/2 pairs, sides in the order of the
file; equal ranks or scores are ties.
"""

from __future__ import annotations

import json
import math
from itertools import combinations

from rulekit.files import sha256
from rulekit.inputs.pairs import conversation
from rulekit.inputs.turns import (
    RowError,
    as_list,
    check_prompt,
    check_response,
    prompt_of,
    turns_of,
    without_prompt,
    wrong_value,
)

MOST_RESPONSES = 200  # of a prompt: 19,900 pairs
_LISTS = ("responses", "answers", "completions", "generations")
_TEXTS = ("text", "response", "answer", "content", "completion")
_RANKS, _SCORES = ("rank", "ranks"), ("score", "scores", "rating", "ratings", "overall_score")
_RATINGS = ("score", "rating", "label", "overall_score", "reward", "helpfulness")


def several_columns(columns: set[str]) -> bool:
    """Whether a row has several responses; whether anything orders them, its values say.

    `responses` always are; other names only where no other column is a response, for data sets
    keep what their `chosen` and `rejected` were taken from.
    """
    single = {"response", "chosen", "response_a", "answer_a"}
    return "responses" in columns or (bool({*_LISTS} & columns) and not single & columns)


def several_pairs(record: dict) -> list[dict]:
    """Pairs of one row with several responses of its prompt.

    Raises
    ------
    RowError
        If responses, ranks or scores are not as the layout says.
    """
    column = _one_of(_LISTS, record.keys(), "hold the responses")
    entries = as_list(record[column])
    if not isinstance(entries, list) or len(entries) < 2:
        raise wrong_value(column, record[column], "a list of two or more texts or {id, text}")
    if len(entries) > MOST_RESPONSES:
        raise RowError(
            f"column {column!r} has {len(entries)} responses", f"at most {MOST_RESPONSES}"
        )
    texts = _named_texts(entries, column)
    spoken, order, scores = _order(record, entries, column, list(texts))
    prompt = _dialogue(prompt_of(record))
    extra = without_prompt(record, column, *spoken)
    if all(isinstance(r, dict) and {"satisfies", "violates"} <= r.keys() for r in entries):
        extra["annotations"] = [{k: r[k] for k in ("id", "satisfies", "violates")} for r in entries]
    name = record.get("prompt_id")
    name = sha256(json.dumps(prompt))[:12] if name is None else name
    return [
        extra
        | {"prompt": prompt}
        | _pair(str(name), a, b)
        | {
            "response_a": texts[a],
            "response_b": texts[b],
            "preference": (order[a] > order[b]) - (order[a] < order[b]),
        }
        | ({"score_a": scores[a], "score_b": scores[b]} if scores else {})
        for a, b in combinations(texts, 2)
    ]


def _pair(name: str, a: str, b: str) -> dict:
    return {
        "pair_id": f"{name}:{a}-{b}",
        "response_id_a": f"{name}:{a}",
        "response_id_b": f"{name}:{b}",
    }


def _one_of(names: tuple[str, ...], columns, what: str) -> str:
    found = [name for name in names if name in columns]
    if len(found) != 1:
        some = (
            f"the columns {' and '.join(map(repr, found))} all {what}"
            if found
            else f"no column: {what}"
        )
        raise RowError(some, f"one of {', '.join(names)}")
    return found[0]


def _dialogue(prompt: object) -> object:
    """A prompt that is a transcript up to the answer ('Human: … Assistant:') as its messages."""
    if (
        isinstance(prompt, str)
        and prompt.startswith("\n\nHuman:")
        and prompt.rstrip().endswith("\n\nAssistant:")
    ):
        turns = turns_of(prompt, "prompt")[:-1]
        return turns[0]["content"] if len(turns) == 1 else turns
    return prompt


def _named_texts(entries: list, column: str) -> dict[str, str]:
    """id → text; responses without ids are named by their places, from 0."""
    texts: dict[str, str] = {}
    for place, entry in enumerate(entries):
        name, text = place, entry
        if isinstance(entry, dict):
            key = next((k for k in _TEXTS if k in entry), None)
            if key is None:
                raise RowError(
                    f"column {column!r}: response {place} has no text",
                    "a list of texts or of {id, text}",
                )
            text, name = entry[key], entry.get("id", place)
            name = place if name is None else name
        if isinstance(name, list | dict):
            raise RowError(
                f"column {column!r}: id of response {place} is {name!r:.40}", "a text or a number"
            )
        if str(name) in texts:
            raise RowError(
                f"column {column!r}: id {name!r:.40} twice", "two or more responses with unique ids"
            )
        texts[str(name)] = check_response(text, f"{column}[{place}]")
    return texts


def _order(record: dict, entries: list, column: str, ids: list) -> tuple[list[str], dict, dict]:
    """(columns that order the responses, id → value that is more for the better, id → score)."""
    found = [c for c in ("ranking", *_RANKS, *_SCORES) if record.get(c) is not None]
    inside = [
        key
        for key in (*_RANKS[:1], *_SCORES)
        if all(isinstance(e, dict) and e.get(key) is not None for e in entries)
    ]
    if not found and len(inside) > 1:
        raise RowError(
            f"column {column!r}: {' and '.join(map(repr, inside))} both order the responses",
            "one of them",
        )
    if len(found) > 1:
        raise RowError(
            f"the columns {' and '.join(map(repr, found))} all order the responses", "one of them"
        )
    if not found and not inside:
        raise RowError(
            f"nothing orders the responses of column {column!r}",
            "a column ranking (ids, best first), ranks (1 is best) or scores (more is better), or a "
            "rank or a score in every response",
        )
    if found == ["ranking"]:
        ranking = as_list(record["ranking"])
        if not isinstance(ranking, list) or sorted(map(str, ranking)) != sorted(ids):
            shown = ", ".join(ids)
            raise wrong_value(
                "ranking", record["ranking"], f"every id of {shown:.60} once, best first"
            )
        return found, {str(name): -place for place, name in enumerate(ranking)}, {}
    by = found[0] if found else inside[0]
    values = as_list(record[by]) if found else [entry[by] for entry in entries]
    if not isinstance(values, list) or len(values) != len(entries):
        raise wrong_value(by, record[by], f"a list of {len(entries)} numbers, one a response")
    for value in values:
        _check_number(value, by)
    values = dict(zip(ids, values, strict=True))
    if by in _RANKS:
        return found, {name: -value for name, value in values.items()}, {}
    return found, values, {name: float(value) for name, value in values.items()}


def _check_number(value: object, column: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong_value(column, value, "a finite number")


def rated_columns(columns: set[str]) -> bool:
    """Whether a row is one response with a rating."""
    return bool(
        {"response", "completion"} & columns and {*_RATINGS} & columns and "rule" not in columns
    )


def rated_response(record: dict) -> list[dict]:
    """One rated response, checked, as prompt, response, score and what else the row has.

    Raises
    ------
    RowError
        If prompt or response is empty, or the rating is no finite number.
    """
    column = _one_of(("response", "completion"), record.keys(), "hold a response")
    named = [c for c in _RATINGS if c in record]
    if len(named) > 1:
        raise RowError(
            f"the columns {' and '.join(map(repr, named))} all rate the response",
            "one of them; rename or drop the others",
        )
    score = record[named[0]]
    if not (isinstance(score, bool) and named[0] == "label"):
        _check_number(score, named[0])
    prompt, response = check_prompt(prompt_of(record)), check_response(record[column], column)
    kept = without_prompt(record, column, named[0], "pair_id")
    return [{"prompt": prompt, "response": response, "score": float(score), "kept": kept}]


def pairs_of_ratings(rated: list[dict]) -> tuple[list[dict], int]:
    """All pairs of the rated responses of each prompt, and how many responses stand alone.

    A response that is rated several times has the mean of its ratings. Of other columns those are
    kept that have one value for all responses of a prompt, such as its category or split.

    Parameters
    ----------
    rated
        Rows of `rated_response`.

    Raises
    ------
    RowError
        If a prompt has more responses than `MOST_RESPONSES`.
    """
    prompts: dict[str, object] = {}
    ratings: dict[str, dict[str, list[float]]] = {}
    kept: dict[str, dict] = {}
    for row in rated:
        key = conversation(row["prompt"])
        prompts.setdefault(key, row["prompt"])
        ratings.setdefault(key, {}).setdefault(row["response"], []).append(row["score"])
        one = kept.setdefault(key, row["kept"])
        if one is not row["kept"]:
            kept[key] = {k: v for k, v in one.items() if k in row["kept"] and row["kept"][k] == v}
    pairs, alone = [], 0
    for key, given in ratings.items():
        if len(given) > MOST_RESPONSES:
            shown = repr(prompts[key])[:60]
            raise RowError(
                f"column 'prompt': {shown} has {len(given)} responses",
                f"at most {MOST_RESPONSES} of a prompt",
            )
        alone += len(given) == 1
        name = sha256(key)[:12]
        scores = [(text, sum(values) / len(values)) for text, values in given.items()]
        for (i, (a, score_a)), (j, (b, score_b)) in combinations(enumerate(scores), 2):
            pairs.append(
                kept[key]
                | _pair(name, str(i), str(j))
                | {
                    "prompt": prompts[key],
                    "response_a": a,
                    "response_b": b,
                    "preference": (score_a > score_b) - (score_a < score_b),
                    "score_a": score_a,
                    "score_b": score_b,
                }
            )
    return pairs, alone

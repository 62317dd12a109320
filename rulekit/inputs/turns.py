"""Texts of a file as turns of a dialogue: values of a row come in, checked prompts and responses go out.

`layouts` and `several_responses` call it for every row. A row that cannot be used raises `RowError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise

from rulekit.inputs.pairs import messages, prompt_text

_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}
_ROLES = {"system", "user", "assistant"}
PROMPTS = ("prompt", "question", "instruction", "query", "input", "context")


class RowError(ValueError):
    """What is wrong with a row; `kind` says it without the row's own values, to count by."""

    def __init__(self, problem: str, allowed: str, kind: str = "") -> None:
        super().__init__(f"{problem}; allowed: {allowed}")
        self.kind = f"{kind or problem}; allowed: {allowed}"


def wrong_value(column: str, value: object, allowed: str) -> RowError:
    """The error for a value of a column that is not allowed."""
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}…"
    return RowError(
        f"column {column!r} is {shown}", allowed, f"column {column!r} has another value"
    )


def prompt_of(record: dict) -> object:
    """The prompt of a row, under the name `prompt` or another common one; None where there is none.

    Raises
    ------
    RowError
        If two columns could be the prompt.
    """
    if "prompt" in record:
        return record["prompt"]
    found = [name for name in PROMPTS if name in record]
    if len(found) > 1:
        raise RowError(
            f"the prompt could be any of the columns {', '.join(map(repr, found))}",
            "one of them, or one under the name 'prompt'",
        )
    return record[found[0]] if found else None


def without_prompt(record: dict, *columns: str) -> dict:
    """The columns of a row that its layout does not speak of; they are kept as they are."""
    spoken = {*columns, "prompt"}
    if "prompt" not in record:
        spoken |= set(PROMPTS)
    return {name: value for name, value in record.items() if name not in spoken}


def check_prompt(prompt: object) -> str | list[dict[str, str]]:
    """The prompt, if it is a text or a list of messages.

    Raises
    ------
    RowError
        If it is not.
    """
    if isinstance(prompt, str) and prompt.strip():
        return prompt
    if isinstance(prompt, list) and prompt:
        return check_messages(prompt, "prompt")
    if prompt in (None, [], "") or isinstance(prompt, str):
        raise RowError("column 'prompt' is empty", "a non-empty string or list of messages")
    raise wrong_value("prompt", prompt, "a non-empty string or list of messages")


def check_response(text: object, column: str) -> str:
    """The response, if it is a text with something in it.

    Raises
    ------
    RowError
        If it is not.
    """
    if isinstance(text, str) and text.strip():
        return text
    if text is None or isinstance(text, str):
        raise RowError(f"column {column!r} is empty", "a non-empty string")
    raise wrong_value(column, text, "a non-empty string")


def check_messages(value: list, column: str) -> list[dict[str, str]]:
    """Messages with their roles and contents, contents in parts joined.

    Raises
    ------
    RowError
        If one has another role, or a content that is no text.
    """
    turns = [_message(turn, column) for turn in value]
    if any(a["role"] == b["role"] == "system" for a, b in pairwise(turns)):
        raise RowError(f"column {column!r} holds two system messages in a row", "one")
    return turns


def _message(turn: object, column: str) -> dict[str, str]:
    if isinstance(turn, dict) and turn.get("role") in _ROLES:
        content = turn.get("content")
        if isinstance(content, list) and content and all(map(_is_text_part, content)):
            content = "".join(part["text"] for part in content)
        if isinstance(content, str):
            return {"role": turn["role"], "content": content}
    shown = repr(turn)[:60]
    raise RowError(
        f"column {column!r} holds {shown}",
        f"messages with a role of {sorted(_ROLES)} and a content of text",
        f"column {column!r} holds something else",
    )


def _is_text_part(part: object) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def turns_of(value: object, column: str) -> list[dict[str, str]]:
    """A chat, a 'Human:' dialogue, or one bare answer as messages.

    Raises
    ------
    RowError
        If it is none of these.
    """
    if isinstance(value, str):
        parts = _TURN.split(value)
        if len(parts) > 1 and not parts[0].strip():
            return [
                {"role": _ROLE[speaker], "content": text.strip()}
                for speaker, text in zip(parts[1::2], parts[2::2], strict=True)
            ]
        return [{"role": "assistant", "content": value}]
    if isinstance(value, list):
        return check_messages(value, column)
    raise wrong_value(column, value, "a string or chat messages")


def as_list(value: object) -> object:
    """A list, also where a table without lists (CSV) holds it as JSON; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            found = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            return value
        return found if isinstance(found, list) else value
    return value


def shared_prompt(a: list[dict], b: list[dict], columns: str) -> tuple[object, list, list]:
    """Two dialogues as the prompt that they share and what follows it in either.

    Raises
    ------
    RowError
        If they differ from their first turn on.
    """
    shared = next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    prompt, a, b = a[:shared], a[shared:], b[shared:]
    if not prompt:
        raise RowError(
            f"there is no column 'prompt', and {columns} begin differently",
            "dialogues that share at least their first user turn",
        )
    if len(prompt) == 1 and prompt[0]["role"] == "user":
        return prompt[0]["content"], a, b
    return prompt, a, b


def after_prompt(turns: list[dict], prompt: object) -> list[dict]:
    """What follows the prompt, where a dialogue repeats it."""
    given = messages(prompt)
    return turns[len(given) :] if turns[: len(given)] == given else turns


def continuation(turns: list[dict[str, str]]) -> str:
    """What follows the prompt as one response; a longer continuation keeps its speakers."""
    if len(turns) == 1:
        return turns[0]["content"]
    return prompt_text(turns).removeprefix("Assistant: ") if turns else ""


def texts_in(value: object) -> Iterator[str]:
    """All texts of a JSON value, the names in it too."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            stack += (*value, *value.values()) if isinstance(value, dict) else value

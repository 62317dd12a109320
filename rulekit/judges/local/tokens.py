"""What a judge's prompt is in tokens: a tokenizer and a template come in, token ids go out.

The fixed words of the prompt are read once, and the tokens with which an answer may begin are found.
`LocalJudge` calls this.
"""

from __future__ import annotations

import re

from rulekit.judges.prompts import ANSWERS, Template

_PLACES = {"prompt": "\ue000", "response": "\ue001", "rule": "\ue002"}  # private-use characters
# Some chat templates write today's date, by one name or the other: ratings must not change overnight.
_DATE = "26 Jul 2024"
_SAME_DAY = "{% macro strftime_now(format) %}" + _DATE + "{% endmacro %}"


def answer_tokens(tokenizer) -> dict[str, list[int]]:
    """The token ids with which each answer can begin, found from the tokenizer.

    Spellings are lower, capitalised and upper case, with and without a space before. One of
    several tokens counts by its first token if that has at least two letters; a single letter
    counts only for an answer that has nothing better.

    Raises
    ------
    ValueError
        If an answer has no token, or two answers share one.
    """
    found: dict[str, list[int]] = {}
    for answer in ANSWERS:
        whole, letters = set(), set()
        for word in (answer, answer.capitalize(), answer.upper()):
            for text in (word, f" {word}"):
                for ids in (
                    encode(tokenizer, text),
                    tokenizer.encode(text, add_special_tokens=False),
                ):
                    piece = tokenizer.decode(ids[:1]).strip() if ids else ""
                    if piece and word.startswith(piece):
                        (whole if len(piece) > 1 else letters).add(ids[0])
        found[answer] = sorted(whole or letters)
        if not found[answer]:
            raise ValueError(f"the tokenizer has no token that begins {answer!r}")
    for i, one in enumerate(ANSWERS):
        for other in ANSWERS[i + 1 :]:
            if both := set(found[one]) & set(found[other]):
                shown = [tokenizer.decode([t]) for t in sorted(both)]
                raise ValueError(f"answers {one!r} and {other!r} share the tokens {shown}")
    return found


def skeleton(tokenizer, template: Template) -> tuple[list[list[int] | str], list[str]]:
    """The prompt's fixed tokens, and between them the names of what goes in, in order.

    The second list names what is followed by a line break. That is read together with the text
    before it, as many tokenizers join a full stop and a line break in one token.
    """
    asked = template.render(*_PLACES.values())
    if tokenizer.chat_template:
        text = tokenizer.apply_chat_template(
            asked,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
            date_string=_DATE,
            chat_template=_SAME_DAY + tokenizer.chat_template,
        )
    else:  # a base model continues a text
        text = f"{tokenizer.bos_token or ''}{asked[0]['content']}\nAnswer:"
    if any(text.count(mark) != 1 for mark in _PLACES.values()):
        raise ValueError(
            "the chat template drops or repeats the message; allowed: one that keeps it"
        )
    places = {mark: name for name, mark in _PLACES.items()}
    head, *rest = re.split("([" + "".join(places) + "])", text)
    pieces: list[list[int] | str] = [encode(tokenizer, head, special=True, first=True)]
    closed = []
    for mark, fixed in zip(rest[::2], rest[1::2], strict=True):
        if fixed.startswith("\n"):
            closed.append(places[mark])
        pieces += [places[mark], encode(tokenizer, fixed.removeprefix("\n"), special=True)]
    return pieces, closed


def encode(tokenizer, text: str, special: bool = False, first: bool = False) -> list[int]:
    """Token ids of a text that follows a line break (or begins the prompt).

    Text from outside is read as plain text: a marker such as ``<|im_end|>`` inside a response
    must not end the user's turn. Some tokenizers put a space before whatever they are given; so
    the text is read behind a line break, which is then taken off.
    """
    plain = {"add_special_tokens": False, "split_special_tokens": not special}
    if first or text.startswith("\n"):
        return tokenizer.encode(text, **plain)
    line = tokenizer.encode("\n", **plain)
    ids = tokenizer.encode("\n" + text, **plain)
    return (
        ids[len(line) :] if line and ids[: len(line)] == line else tokenizer.encode(text, **plain)
    )

"""Prompts, responses and rules as a store names them, by hashes, and keeps them, in columns of text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from itertools import product

import numpy as np

from rulekit.inputs.pairs import conversation

KEY = np.dtype("S16")  # 128 bits of a hash; NumPy compares all 16 bytes
Prompt = str | Sequence[Mapping[str, str]]


def response_key(prompt: Prompt, response: str | tuple[str, str]) -> bytes:
    """Name of a response, or of two that are compared: 16 bytes from the conversation and the texts."""
    before = conversation(prompt)
    start = f"{len(before)}:{before}"
    if isinstance(response, tuple):
        first, second = response
        return _digest(f"two {start}{len(first)}:{first}{second}")
    return _digest(start + response)


def rule_key(text: str) -> bytes:
    """Name of a rule: 16 bytes from its text, so that a changed text is another rule."""
    return _digest(text)


def judge_key(identity: str) -> bytes:
    """Name of a judge: 16 bytes from its identity."""
    return _digest(identity)


def keys(values: Sequence[bytes]) -> np.ndarray:
    """Keys as an array, (n,) of `KEY`."""
    return np.frombuffer(b"".join(values), KEY)


def in_hex(keys: np.ndarray) -> list[str]:
    """Keys as a file shows them; an item of such an array would have lost its last zeros."""
    digits = np.ascontiguousarray(keys, KEY).tobytes().hex()
    return [digits[i : i + 32] for i in range(0, len(digits), 32)]


def from_hex(names: Sequence[str]) -> np.ndarray:
    """The opposite of `in_hex`."""
    return keys([bytes.fromhex(name) for name in names])


def as_column(value: str | Sequence) -> str | bytes:
    """A text, messages or two texts as a column holds them: lone surrogates are no text there."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def as_text(column: str | bytes | None) -> str | None:
    """The text of such a column; None where there is none."""
    if not isinstance(column, bytes):
        return column
    with suppress(UnicodeDecodeError):
        return column.decode("utf-8", "surrogatepass")
    return None


def as_given(key: str, prompt: str | bytes, response: str | bytes) -> tuple | None:
    """Prompt and response from their columns: the reading that has the key; None if there is none."""
    for p, r in product(_readings(prompt), _readings(response)):
        with suppress(TypeError, KeyError, ValueError):
            r = tuple(r) if isinstance(r, list) else r
            if response_key(p, r).hex() == key:
                return p, r
    return None


def _readings(column: str | bytes) -> Iterator[str | list]:
    text = as_text(column)
    yield text
    with suppress(TypeError, ValueError):
        yield json.loads(text)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

"""Secrets among the fields of a request: sent, and shown nowhere.

The fields come in; what may be shown of them goes out. `judge` holds its `extra_body` as a `Body`,
`client` takes the secrets out of what a server says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping

HIDDEN = "[secret]"
_NAMES = ("key", "token", "secret", "password", "passwd", "passphrase", "authorization")
_NAMES += ("credential", "credentials", "keys", "secrets", "passwords", "bearer", "auth")
_MARKS = ("stop", "eos", "bos", "pad", "unk", "sep", "cls", "mask")  # a tokenizer's own tokens
_LOOKS = re.compile(r"(?i:\bbearer\s+)[^\s\"',;]{8,}|\bsk-[\w-]{8,}|\bhf_\w{8,}")
_SHORTEST = 4  # characters: what is shorter would be found in any text


class Body(dict):
    """Fields of a request whose `repr` shows no secret.

    Raises
    ------
    ValueError
        If they are no mapping of JSON values; the error does not show them.
    """

    def __init__(self, fields: Mapping) -> None:
        try:
            json.dumps(fields, sort_keys=True)
            super().__init__(fields if isinstance(fields, Mapping) else None)
        except (TypeError, ValueError):
            allowed = "a mapping of names to what JSON can hold"
            raise ValueError(f"extra_body: allowed: {allowed}") from None

    def __repr__(self) -> str:
        return repr(shown(self))


def shown(value: object, secret: bool = False) -> object:
    """A JSON value with every secret in it replaced.

    Parameters
    ----------
    value
        Whose texts are secrets under a name such as ``api_key``, ``auth_token`` or ``password``,
        however deep, and anywhere if they look like one: ``Bearer …``, ``sk-…``, ``hf_…``.
    secret
        Whether the value stands under such a name.
    """
    if isinstance(value, Mapping):
        return {shown(k): shown(v, secret or _secretive(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [shown(v, secret) for v in value]
    if not isinstance(value, str):
        return value
    return HIDDEN if secret and value else _LOOKS.sub(HIDDEN, value)


def hiding(body: Mapping, key: str | None) -> Callable[[str], str]:
    """A function that takes the secrets of `body` and the server's `key` out of a text."""
    named = sorted(set(_secrets(body)), key=len, reverse=True)
    known = [(s, HIDDEN) for s in named if len(s) >= _SHORTEST]
    known = [(key, "[key]"), *known] if key else known
    # A server may quote what it was sent as JSON.
    known = [(form, name) for s, name in known for form in (s, json.dumps(s)[1:-1])]

    def hide(text: str) -> str:
        for secret, name in known:
            text = text.replace(secret, name)
        return _LOOKS.sub(HIDDEN, text)

    return hide


def _secretive(name: object) -> bool:
    """Whether a name is one of a secret: ``apiKey``, ``X-Auth-Token``; not ``max_tokens``."""
    words = re.findall(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*", str(name))
    words = [word.lower() for word in words]
    for before, word in zip(["", *words], words, strict=False):
        if word.endswith(_NAMES) and not (word == "token" and before in _MARKS):
            return True
    return False


def _secrets(value: object, secret: bool = False) -> Iterator[str]:
    """Texts under the name of a secret; those that look like one are known by that."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _secrets(part, secret or _secretive(name))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _secrets(part, secret)
    elif isinstance(value, str) and secret:
        yield value

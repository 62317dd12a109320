"""What a server's judge is given, checked: kinds and ranges, the address, the tokenizer.

Settings come in, errors that say what is allowed go out; `judge` calls it.
"""

from __future__ import annotations

import os
import warnings
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from rulekit.judges.server.client import Limits
from rulekit.judges.server.spending import Prices
from rulekit.judges.settings import Settings
from rulekit.judges.texts import FAMILIES, markers_of


class Options(Settings):
    """Settings of a `ServerJudge` that have a kind and a range."""

    model: str = Field(min_length=1, description="the name of a model")
    method: Literal["auto", "logprobs", "votes"] = Field(description="auto, logprobs, votes")
    top_logprobs: int = Field(ge=2, description="whole numbers from 2")
    votes: int = Field(ge=1, description="whole numbers from 1")
    vote_tokens: int = Field(ge=1, description="whole numbers from 1")
    seed: int | None = Field(description="whole numbers")
    tokenizer: str | None = Field(description="a folder, or a name on the hub")
    least_mass: float = Field(ge=0, le=1, description="from 0 to 1")
    revision: str = Field(description="a text")
    limits: Limits = Field(description=f"a mapping of {', '.join(Limits.model_fields)}")
    prices: Prices = Field(description=f"a mapping of {', '.join(Prices.model_fields)}")


def check_url(base_url: str, key_from: str | None) -> None:
    """Refuse what is no address, or holds credentials, or a key that is not in the environment."""
    # No message shows the values: a key may stand where a name or an address should.
    url = urlsplit(str(base_url))
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("base_url: allowed: an http or https address such as http://host:8000/v1")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("base_url: allowed: no user, password, query or fragment in it")
    if key_from is None:
        return
    if not os.environ.get(key_from):
        raise ValueError("key_from: allowed: the name of an environment variable that is set")
    if url.scheme == "http" and url.hostname not in ("127.0.0.1", "localhost", "::1"):
        warnings.warn("the key will travel unencrypted: base_url is http", stacklevel=4)


def markers(tokenizer: str | None) -> list[str]:
    """Patterns of the markers of a tokenizer, or of all known families."""
    if tokenizer is None:
        return list(FAMILIES.values())
    from transformers import AutoTokenizer

    try:
        return markers_of(AutoTokenizer.from_pretrained(tokenizer))
    except (OSError, ValueError) as error:
        told = str(error).strip().split("\n")[0]
        allowed = "a folder, or a name on the hub"
        raise ValueError(f"tokenizer: {tokenizer!r:.60} ({told}); allowed: {allowed}") from None

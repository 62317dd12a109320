"""What a server's judge may spend and has spent: prices, and a purse with the budget.

Sizes of requests and tokens of replies come in; whether the next one may be sent goes out. `client`
asks the purse before it sends and books what replies say.
"""

from __future__ import annotations

import math

from pydantic import Field, model_validator

from rulekit.judges.contract import Spending, Usage
from rulekit.judges.settings import Settings

_CHAT_TEMPLATE_TOKENS = 64  # what a server's chat template may add to the texts of a request


class Prices(Settings):
    """What a server asks for, per million tokens in any currency, and what may be spent.

    Parameters
    ----------
    prompt, completion
        Price of a million tokens read and written.
    cached
        Price of a million prompt tokens that the server's prefix cache held; `prompt` by default.
    budget
        The most that may be spent, in the same currency: by the judge in its life, on top of what
        its `spending.earlier` says was spent before.

    Raises
    ------
    ValueError
        If a price is negative or not finite, or there is a budget but no price.

    Notes
    -----
    A request is sent only if the budget covers the most that it can cost: no text has more tokens
    than bytes, and what the server adds to a prompt is at most all of the shortest prompt that
    it has counted. With a budget the first request therefore goes alone; it is the only one for
    which the addition is a guess, of 64 tokens. The guess stays for servers that count no tokens.
    """

    _prefix = "price "

    prompt: float = Field(0.0, ge=0, allow_inf_nan=False, description="from 0")
    completion: float = Field(0.0, ge=0, allow_inf_nan=False, description="from 0")
    cached: float | None = Field(None, ge=0, allow_inf_nan=False, description="from 0")
    budget: float = Field(math.inf, ge=0, description="from 0")

    @model_validator(mode="after")
    def _priced(self) -> Prices:
        if math.isfinite(self.budget) and not (self.prompt or self.completion):
            raise ValueError("a budget needs the prices of prompt and completion tokens")
        return self

    def cost(self, prompt: int, completion: int, cached: int = 0) -> float:
        """Price of so many tokens of prompt and completion; `cached` of the prompt's were cached."""
        dear = self.prompt if self.cached is None else self.cached
        return (
            (prompt - cached) * self.prompt + cached * dear + completion * self.completion
        ) / 1e6


class Purse:
    """Whether the budget covers one more request, and what a request can cost at most.

    It lives as long as the judge, for the bound is learned from the server's replies.
    """

    def __init__(self, prices: Prices, spending: Spending) -> None:
        self.prices, self.spending = prices, spending
        self.reserved = 0.0  # the bounds of all requests in flight
        self.learned = math.isinf(prices.budget)  # nothing to be learned without a budget
        self._added = _CHAT_TEMPLATE_TOKENS
        self._shortest = math.inf  # prompt that the server has counted, in tokens
        self._unreported = Usage()

    def book(self, **counts: float) -> None:
        """Add to the spending, and to what the next `report` tells."""
        for name, value in counts.items():
            for usage in (self.spending, self._unreported):
                setattr(usage, name, getattr(usage, name) + value)

    def report(self) -> Usage:
        """What was booked since the last report: their sum is the spending."""
        told, self._unreported = self._unreported, Usage()
        return told

    def bound(self, n_bytes: int, most_written: int) -> float:
        """The most that a request with texts of so many bytes can cost."""
        return self.prices.cost(n_bytes + self._added, most_written)

    def covers(self, bound: float) -> bool:
        """Whether a request of this bound may be sent beside those in flight."""
        return self.spending.spent + self.reserved + bound <= self.prices.budget

    def learn(self, n_bytes: int, prompt_tokens: int) -> None:
        """Raise the bound by what the server was seen to add, or may have added, to a prompt."""
        self._shortest = min(self._shortest, prompt_tokens)
        self._added = max(self._added, self._shortest, prompt_tokens - n_bytes)

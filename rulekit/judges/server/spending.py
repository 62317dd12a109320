"""What a server's judge may spend and has spent: prices, spending, and a purse with the budget.

Sizes of requests and tokens of replies come in; whether the next one may be sent goes out. `client`
asks the purse before it sends and books what replies say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_CHAT_TEMPLATE_TOKENS = 64  # what a server's chat template may add to the texts of a request


@dataclass(frozen=True)
class Prices:
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

    prompt: float = 0.0
    completion: float = 0.0
    cached: float | None = None
    budget: float = math.inf

    def __post_init__(self) -> None:
        for name in ("prompt", "completion", "cached"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"price {name}: {value!r}; allowed: from 0")
        if not self.budget >= 0:
            raise ValueError(f"budget: {self.budget!r}; allowed: from 0")
        if math.isfinite(self.budget) and not (self.prompt or self.completion):
            raise ValueError("a budget needs the prices of prompt and completion tokens")

    def cost(self, prompt: int, completion: int, cached: int = 0) -> float:
        """Price of so many tokens of prompt and completion; `cached` of the prompt's were cached."""
        dear = self.prompt if self.cached is None else self.cached
        return (
            (prompt - cached) * self.prompt + cached * dear + completion * self.completion
        ) / 1e6


@dataclass
class Spending:
    """What a judge has sent, read and spent in its life.

    `cost` follows from the token counts of the replies. `uncertain_cost` is an upper bound of
    what requests without a usable reply may have cost: a server may bill a reply that got lost.
    `earlier` is what earlier runs have spent, for the caller to set before the first request; it
    is 0 otherwise. The budget holds for the sum of the three.
    """

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    uncertain_cost: float = 0.0
    earlier: float = 0.0

    @property
    def spent(self) -> float:
        """The most that can have been spent, in earlier runs too."""
        return self.earlier + self.cost + self.uncertain_cost


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

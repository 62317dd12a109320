"""Requests to a judge's server: paced, retried, timed out, counted and paid for.

Comes in: the bodies of chat-completion requests. Goes out: replies that have choices, or the
reason why there is none. `api.py` calls it and reads the answers.
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

_FIRST_WAIT, _MOST_WAIT = 0.5, 60.0  # seconds: the ceiling of the first and of any back-off
_RETRIED = {408, 409, 425, 429}  # and every 5xx
_REFUSED = {401, 403, 404}  # the next request would fare no better
_CHAT_TEMPLATE_TOKENS = 64  # what a server's chat template may add to the texts of a request


@dataclass(frozen=True)
class Limits:
    """How hard a server may be driven, and how long it is waited for.

    Parameters
    ----------
    concurrency
        Requests in flight at once, at least 1.
    requests_per_minute, tokens_per_minute
        Requests start evenly spaced, so that no minute holds more; tokens of prompt and answer
        count. Infinite by default.
    timeout
        Seconds for the whole of one request.
    retries
        Further attempts after a failed one. Between them a random wait of up to 0.5, 1, 2 … 60
        seconds, on top of what the server asks for in Retry-After.
    longest_wait
        Seconds; a server that asks for a longer wait has the cell fail instead.
    give_up_after
        Cells in a row that may fail before the rest is not sent.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    concurrency: int = 8
    requests_per_minute: float = math.inf
    tokens_per_minute: float = math.inf
    timeout: float = 60.0
    retries: int = 6
    longest_wait: float = 300.0
    give_up_after: int = 20

    def __post_init__(self) -> None:
        for name in ("concurrency", "give_up_after", "retries"):
            value, least = getattr(self, name), 0 if name == "retries" else 1
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name}: {value!r}; allowed: whole numbers from {least}")
        for name in ("requests_per_minute", "tokens_per_minute", "timeout", "longest_wait"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)!r}; allowed: above 0")


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
        The most that the judge may spend in its life, in the same currency.

    Raises
    ------
    ValueError
        If a price is negative or not finite, or there is a budget but no price.
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
        """Price of so many tokens; `cached` of the prompt's came from the prefix cache."""
        dear = self.prompt if self.cached is None else self.cached
        return (
            (prompt - cached) * self.prompt + cached * dear + completion * self.completion
        ) / 1e6


@dataclass
class Ledger:
    """What a judge has sent, read and spent in its life.

    `cost` follows from the token counts of the replies. `uncertain_cost` is an upper bound of
    what requests without a usable reply may have cost: a server may bill a reply that got lost.
    The budget holds for their sum.
    """

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    uncertain_cost: float = 0.0

    @property
    def spent(self) -> float:
        """The most that can have been spent."""
        return self.cost + self.uncertain_cost


class CellFailed(Exception):
    """One request has failed for good; the message says why and holds no key."""


class RunStopped(Exception):
    """No further request makes sense; the message says why and holds no key."""


class Client:
    """Sends requests to one server under limits and prices; lives as long as its event loop.

    The key is read from the environment for the client library alone and never kept here.
    """

    def __init__(
        self,
        base_url: str,
        key_from: str | None,
        limits: Limits,
        prices: Prices,
        ledger: Ledger,
        pace: Pace,
    ) -> None:
        from openai import AsyncOpenAI

        self.key_from, self.limits, self.prices = key_from, limits, prices
        self.ledger, self.pace, self.reserved = ledger, pace, 0.0
        self.gate = asyncio.Semaphore(limits.concurrency)
        self.stopped = ""  # why nothing more is sent, once that is so
        # A server that asks for no key must not see one that happens to be in the environment.
        self.openai = AsyncOpenAI(
            base_url=base_url,
            api_key=os.environ[key_from] if key_from else "none",
            max_retries=0,
            timeout=limits.timeout,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.openai.close()

    async def complete(self, body: Mapping, n_bytes: int, most_written: int) -> object:
        """One reply that has choices.

        Parameters
        ----------
        body
            The request.
        n_bytes
            Length of its texts in UTF-8, a bound of their tokens.
        most_written
            The most tokens that the reply may hold.

        Raises
        ------
        CellFailed
            If every attempt failed or the server refuses this request.
        RunStopped
            If the budget might be exceeded, the server refuses all requests, or `stopped` is set.
        """
        bound = self.prices.cost(n_bytes + _CHAT_TEMPLATE_TOKENS, most_written)
        async with self.gate:
            for attempt in range(self.limits.retries + 1):
                if self.ledger.spent + self.reserved + bound > self.prices.budget:
                    self.stopped = f"the budget of {self.prices.budget:g} is used up"
                if self.stopped:  # perhaps while this request waited for its turn
                    raise RunStopped(self.stopped)
                self.reserved += bound
                try:
                    estimate = await self.pace.start(n_bytes, most_written)
                    self.ledger.requests += 1
                    self.ledger.retries += attempt > 0
                    reply, trouble = await self._attempt(body, bound)
                finally:
                    self.reserved -= bound
                self._pay(reply, trouble, bound, n_bytes, estimate)
                if trouble is None:
                    return reply
                if trouble.refused:
                    self.stopped = trouble.reason
                    raise RunStopped(trouble.reason)
                if not trouble.again or attempt == self.limits.retries:
                    break
                if trouble.wait > self.limits.longest_wait:
                    raise CellFailed(f"{trouble.reason}; asks to wait {trouble.wait:.0f} s")
                # All requests heed the server's wish; jitter then spreads this one's return.
                self.pace.pause(trouble.wait)
                await asyncio.sleep(trouble.wait + backoff(attempt))
        raise CellFailed(trouble.reason)

    async def _attempt(self, body: Mapping, bound: float) -> tuple[object, _Trouble | None]:
        import openai

        try:
            # The library's own timeout restarts with every byte; this one does not.
            async with asyncio.timeout(self.limits.timeout):
                reply = await self.openai.chat.completions.create(**body)
        except asyncio.CancelledError:
            self.ledger.uncertain_cost += bound  # the server may go on without us
            raise
        except (TimeoutError, openai.APITimeoutError):
            return None, _Trouble(f"no answer within {self.limits.timeout:g} s", billed=True)
        except openai.APIStatusError as error:
            return None, self._refusal(error)
        except openai.APIConnectionError:
            return None, _Trouble("connection failed or lost", billed=True)
        except (openai.APIError, ValueError):
            return None, _Trouble("malformed reply", billed=True)
        if not isinstance(getattr(reply, "choices", None), list) or not reply.choices:
            return None, _Trouble("malformed reply", billed=True)
        return reply, None

    def _refusal(self, error) -> _Trouble:
        status = error.status_code
        text = " ".join(str(error.message).split())
        if self.key_from:  # some servers quote the key that they refuse
            text = text.replace(os.environ.get(self.key_from) or "\0", "[key]")
        reason = f"HTTP {status}: {text[:200]}"
        if status in _REFUSED or error.code == "insufficient_quota":
            return _Trouble(reason, again=False, refused=True)
        if status in _RETRIED or status >= 500:
            return _Trouble(reason, wait=retry_after(error.response.headers))
        return _Trouble(reason, again=False)

    def _pay(self, reply, trouble, bound: float, n_bytes: int, estimate: float) -> None:
        ledger, usage = self.ledger, getattr(reply, "usage", None)
        prompt, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        if prompt is None or written is None:
            ledger.uncertain_cost += bound if trouble is None or trouble.billed else 0.0
            return
        details = getattr(usage, "prompt_tokens_details", None)
        cached = min(_count(details, "cached_tokens") or 0, prompt)
        ledger.prompt_tokens += prompt
        ledger.cached_tokens += cached
        ledger.completion_tokens += written
        ledger.cost += self.prices.cost(prompt, written, cached)
        self.pace.correct(n_bytes, prompt, prompt + written - estimate)


@dataclass(frozen=True)
class _Trouble:
    reason: str
    again: bool = True  # worth another attempt
    refused: bool = False  # no request will do better
    billed: bool = False  # the server may have done the work
    wait: float = 0.0  # seconds that the server asks for


class Pace:
    """Spaces the starts of requests so that no minute holds more than the limits allow.

    Each start moves the next one on by its share of a minute, so that there is no burst; it
    lives as long as the judge, for the server's minute knows nothing of calls and event loops.
    """

    def __init__(self, requests_per_minute: float, tokens_per_minute: float) -> None:
        self._gap, self._gap_of_token = 60 / requests_per_minute, 60 / tokens_per_minute
        # On the monotonic clock: the next start by requests, by tokens, and by a server's wish.
        self._by_requests = self._by_tokens = self._by_wish = 0.0
        self._bytes, self._tokens = 300, 100  # prior of tokens a byte, until replies tell

    async def start(self, n_bytes: int, most_written: int) -> float:
        """Wait for a turn; gives the number of tokens that it was reckoned at."""
        estimate = n_bytes * self._tokens / self._bytes + most_written
        start = max(time.monotonic(), self._by_requests, self._by_tokens)
        self._by_requests = start + self._gap
        self._by_tokens = start + estimate * self._gap_of_token
        while (wait := max(start, self._by_wish) - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        return estimate

    def correct(self, n_bytes: int, prompt_tokens: int, surplus: float) -> None:
        """Learn from a reply: `surplus` tokens more (or fewer) than reckoned."""
        self._bytes, self._tokens = self._bytes + n_bytes, self._tokens + prompt_tokens
        self._by_tokens += surplus * self._gap_of_token

    def pause(self, seconds: float) -> None:
        """No request starts for so long."""
        self._by_wish = max(self._by_wish, time.monotonic() + seconds)


def backoff(attempt: int) -> float:
    """Seconds to wait after the attempt of this number, from 0: uniform up to a doubling ceiling.

    "Full jitter": clients that failed together do not come back together. Unseeded on purpose,
    or processes started alike would.
    """
    return random.uniform(0, min(_MOST_WAIT, _FIRST_WAIT * 2**attempt))


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a reply asks to wait: a number or a date (RFC 9110, 10.2.3); 0 without."""
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        date = email.utils.parsedate_tz(text)
        seconds = email.utils.mktime_tz(date) - time.time() if date else 0.0
    return seconds if seconds > 0 else 0.0  # NaN too


def _count(usage: object, name: str) -> int | None:
    value = getattr(usage, name, None)
    return value if type(value) is int and value >= 0 else None

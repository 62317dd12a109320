"""Requests to a judge's server: paced, retried, timed out, counted and paid for.

Comes in: the bodies of chat-completion requests. Goes out: replies that have choices, or the
reason why there is none. `judge` calls it and reads the answers.
"""

from __future__ import annotations

import asyncio
import email.utils
import math
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rulekit.judges.contract import RunStopped
from rulekit.judges.server.spending import Purse

_FIRST_WAIT, _MOST_WAIT = 0.5, 60.0  # seconds: the ceiling of the first and of any back-off
_RETRIED = {408, 409, 425, 429}  # and every 5xx
_REFUSED = {401, 403, 404}  # the next request would fare no better


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
        Ratings in a row that may fail through the server's own trouble (5xx, 429, timeouts, lost
        connections, malformed replies) before the rest is not sent; those of a single response
        stop nothing where others are asked about. What ails one request, such as a prompt that
        is too long or an answer that is none, never counts.

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


class CellFailed(Exception):
    """One request has failed for good; the message says why and holds no key.

    `server_wide` tells trouble of the server, which other requests may share, from what ails
    this request alone.
    """

    def __init__(self, reason: str, server_wide: bool = False) -> None:
        super().__init__(reason)
        self.server_wide = server_wide


class Client:
    """Sends requests to one server under limits and prices; lives as long as its event loop.

    The key is read from the environment for the client library alone and never kept here.
    """

    def __init__(
        self, base_url: str, key_from: str | None, limits: Limits, purse: Purse, pace: Pace
    ) -> None:
        from openai import AsyncOpenAI

        self.key_from, self.limits, self.pace = key_from, limits, pace
        self.purse, self.spending = purse, purse.spending
        self.gate, self.alone = asyncio.Semaphore(limits.concurrency), asyncio.Lock()
        self.in_flight, self.settled = 0, asyncio.Event()  # set when one is no longer in flight
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

    def stop(self, reason: str) -> None:
        """Send nothing more; the first reason stays."""
        self.stopped = self.stopped or reason

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
        async with self.gate:
            async with self.alone:  # until a reply has shown what the server adds to a prompt
                if not self.purse.learned:
                    return await self._insist(body, n_bytes, most_written)
            return await self._insist(body, n_bytes, most_written)

    async def _insist(self, body: Mapping, n_bytes: int, most_written: int) -> object:
        """As many attempts as the limits allow."""
        for attempt in range(self.limits.retries + 1):
            reply, trouble = await self._pay_for_one(body, n_bytes, most_written, attempt > 0)
            if trouble is None:
                return reply
            if trouble.refused:
                self.stop(trouble.reason)
                raise RunStopped(self.stopped)
            if not trouble.again or attempt == self.limits.retries:
                break
            if trouble.wait > self.limits.longest_wait:
                reason = f"{trouble.reason}; asks to wait {trouble.wait:.0f} s"
                raise CellFailed(reason, server_wide=True)
            # All requests heed the server's wish; jitter then spreads this one's return.
            self.pace.pause(trouble.wait)
            await asyncio.sleep(trouble.wait + backoff(attempt))
        raise CellFailed(trouble.reason, server_wide=trouble.again)

    async def _pay_for_one(
        self, body: Mapping, n_bytes: int, most_written: int, again: bool
    ) -> tuple[object, _Trouble | None]:
        """One attempt, if the budget covers it; what it cost goes to the spending."""
        bound = await self._covered(n_bytes, most_written)
        self.purse.reserved += bound
        self.in_flight += 1
        try:
            estimate = await self.pace.start(n_bytes, most_written)
            self.spending.requests += 1
            self.spending.retries += again
            reply, trouble = await self._attempt(body, bound)
        finally:
            self.purse.reserved -= bound
            self.in_flight -= 1
            self.settled.set()
            self.settled = asyncio.Event()
        prompt, written = self._book(reply, trouble, bound)
        if prompt is not None:
            self.purse.learn(n_bytes, prompt)
            self.pace.correct(n_bytes, prompt, prompt + written - estimate)
            if written > most_written:
                self.stop(
                    f"the server wrote {written} tokens where at most {most_written} were asked "
                    "for; allowed: one that heeds max_completion_tokens, or a limit of its own "
                    "in `extra_body`"
                )
        self.purse.learned |= trouble is None
        return reply, trouble

    async def _covered(self, n_bytes: int, most_written: int) -> float:
        """The most that a request can cost, once the budget covers it."""
        bound = self.purse.bound(n_bytes, most_written)
        while not (self.purse.covers(bound) or self.stopped) and self.in_flight:
            await self.settled.wait()  # those in flight may cost less than their bounds
            bound = self.purse.bound(n_bytes, most_written)
        if not self.purse.covers(bound):
            self.stop(f"the budget of {self.purse.prices.budget:g} is used up")
        if self.stopped:  # perhaps while this request waited for its turn
            raise RunStopped(self.stopped)
        return bound

    async def _attempt(self, body: Mapping, bound: float) -> tuple[object, _Trouble | None]:
        import openai

        try:
            # The library's own timeout restarts with every byte; this one does not.
            async with asyncio.timeout(self.limits.timeout):
                reply = await self.openai.chat.completions.create(**body)
        except asyncio.CancelledError:
            self.spending.uncertain_cost += bound  # the server may go on without us
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

    def _book(self, reply, trouble, bound: float) -> tuple[int, int] | tuple[None, None]:
        """Enter a reply in the spending; gives its tokens, read and written, where it counts them."""
        spending, usage = self.spending, getattr(reply, "usage", None)
        prompt, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        if prompt is None or written is None:
            spending.uncertain_cost += bound if trouble is None or trouble.billed else 0.0
            return None, None
        details = getattr(usage, "prompt_tokens_details", None)
        cached = min(_count(details, "cached_tokens") or 0, prompt)
        spending.prompt_tokens += prompt
        spending.cached_tokens += cached
        spending.completion_tokens += written
        spending.cost += self.purse.prices.cost(prompt, written, cached)
        return prompt, written


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
    `clock` (seconds, monotonic) and `sleep` are there for tests to put in their own time.
    """

    def __init__(
        self,
        requests_per_minute: float,
        tokens_per_minute: float,
        clock: Callable = time.monotonic,
        sleep: Callable = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._gap, self._gap_of_token = 60 / requests_per_minute, 60 / tokens_per_minute
        # On the clock: the next start by requests, by tokens, and by a server's wish.
        self._by_requests = self._by_tokens = self._by_wish = 0.0
        self._bytes, self._tokens = 300, 100  # prior of tokens a byte, until replies tell

    async def start(self, n_bytes: int, most_written: int) -> float:
        """Wait for a turn; gives the number of tokens that it was reckoned at."""
        estimate = n_bytes * self._tokens / self._bytes + most_written
        start = max(self._clock(), self._by_requests, self._by_tokens)
        self._by_requests = start + self._gap
        self._by_tokens = start + estimate * self._gap_of_token
        while (wait := max(start, self._by_wish) - self._clock()) > 0:
            await self._sleep(wait)
        return estimate

    def correct(self, n_bytes: int, prompt_tokens: int, surplus: float) -> None:
        """Learn from a reply: `surplus` tokens more (or fewer) than reckoned."""
        self._bytes, self._tokens = self._bytes + n_bytes, self._tokens + prompt_tokens
        self._by_tokens += surplus * self._gap_of_token

    def pause(self, seconds: float) -> None:
        """No request starts for so long."""
        self._by_wish = max(self._by_wish, self._clock() + seconds)


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

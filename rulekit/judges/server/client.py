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

from pydantic import Field

from rulekit.judges.contract import Stopped
from rulekit.judges.server.secrets import hiding
from rulekit.judges.server.spending import Purse
from rulekit.judges.settings import Settings

_FIRST_WAIT, _MOST_WAIT = 0.5, 60.0  # seconds: the ceiling of the first and of any back-off
_RETRIED = {408, 409, 425, 429}  # and every 5xx
REFUSED = {401, 403, 404}  # this request or all: what else is answered tells
_ENDED = 402  # nothing is left to pay with
_GREETING = [{"role": "user", "content": "Is the sky blue? Answer with a single word: yes or no."}]


class Limits(Settings):
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
    refusals
        Requests in a row that may be refused (401, 403, 404) before a greeting asks whether the
        server refuses everything, and nothing more is sent if so; the first refusal of a judge
        that had no answer yet asks at once. A refusal alone, such as that of moderation, fails its
        cell.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    concurrency: int = Field(8, ge=1, description="whole numbers from 1")
    requests_per_minute: float = Field(math.inf, gt=0, description="above 0")
    tokens_per_minute: float = Field(math.inf, gt=0, description="above 0")
    timeout: float = Field(60.0, gt=0, description="above 0")
    retries: int = Field(6, ge=0, description="whole numbers from 0")
    longest_wait: float = Field(300.0, gt=0, description="above 0")
    give_up_after: int = Field(20, ge=1, description="whole numbers from 1")
    refusals: int = Field(10, ge=1, description="whole numbers from 1")


class RunStopped(Exception):
    """No further request makes sense; the message says why and holds no key."""


class CellFailed(Exception):
    """One request has failed for good; the message says why and holds no key.

    `server_wide` tells trouble of the server, which other requests may share, from what ails
    this request alone; `status` and `said` are the HTTP status and all of the server's words.
    """

    def __init__(
        self, reason: str, server_wide: bool = False, status: int = 0, said: str = ""
    ) -> None:
        super().__init__(reason)
        self.server_wide, self.status, self.said = server_wide, status, said


@dataclass
class Row:
    """Refusals since the last reply, in a judge's life, and whether there was a reply at all."""

    refused: int = 0
    answered: bool = False

    def doubtful(self, refusals: int) -> bool:
        """Whether the server may refuse everything: it never replied, or so many times in a row."""
        return not self.answered or (self.refused > 0 and self.refused % refusals == 0)


class Client:
    """Sends requests to one server under limits and prices; lives as long as its event loop.

    `extra` are fields of every request. The key is read from the environment for the client library
    alone; neither it nor a secret among the fields shows in what comes out of here.
    """

    def __init__(
        self,
        base_url: str,
        key_from: str | None,
        extra: Mapping,
        limits: Limits,
        purse: Purse,
        pace: Pace,
        row: Row,
    ) -> None:
        from openai import AsyncOpenAI

        self.extra, self.limits, self.pace, self.purse, self.row = extra, limits, pace, purse, row
        self.hide = hiding(extra, os.environ.get(key_from) if key_from else None)
        self.gate, self.alone = asyncio.Semaphore(limits.concurrency), asyncio.Lock()
        self.greeting = asyncio.Lock()
        self.in_flight, self.settled = 0, asyncio.Event()  # set when one is no longer in flight
        self.stopped: Stopped | None = None  # why nothing more is sent, once that is so
        self.reason = ""  # the sentence that tells it
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

    def stop(self, stopped: Stopped, reason: str) -> None:
        """Send nothing more; the first reason stays."""
        if self.stopped is None:
            self.stopped, self.reason = stopped, reason

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
            If the budget might be exceeded, the server refuses a greeting too or says that nothing
            is left to pay with, or `stopped` is set.
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
            if trouble.ended or (trouble.refused and await self._refuses_all(body, most_written)):
                self.stop(Stopped.REFUSED, trouble.reason)
                raise RunStopped(self.reason)
            if not trouble.again or attempt == self.limits.retries:
                break
            if trouble.wait > self.limits.longest_wait:
                reason = f"{trouble.reason}; asks to wait {trouble.wait:.0f} s"
                raise CellFailed(reason, server_wide=True)
            # All requests heed the server's wish; jitter then spreads this one's return.
            self.pace.pause(trouble.wait)
            await asyncio.sleep(trouble.wait + backoff(attempt))
        raise CellFailed(trouble.reason, trouble.again, trouble.status, trouble.said)

    async def _refuses_all(self, body: Mapping, most_written: int) -> bool:
        """Whether a refusal is not this request's alone: where it may be so, a greeting asks."""
        self.row.refused += 1
        if not self.row.doubtful(self.limits.refusals):
            return False
        async with self.greeting:
            if not self.row.doubtful(self.limits.refusals):  # another one has asked meanwhile
                return False
            n_bytes = sum(len(m["content"]) for m in _GREETING)
            asked = body | {"messages": _GREETING}
            _, trouble = await self._pay_for_one(asked, n_bytes, most_written, False)
        return trouble is not None and (trouble.refused or trouble.ended)

    async def _pay_for_one(
        self, body: Mapping, n_bytes: int, most_written: int, again: bool
    ) -> tuple[object, _Trouble | None]:
        """One attempt, if the budget covers it; what it cost goes to the spending."""
        bound = await self._covered(n_bytes, most_written)
        self.purse.reserved += bound
        self.in_flight += 1
        try:
            estimate = await self.pace.start(n_bytes, most_written)
            self.purse.book(requests=1, retries=int(again))
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
                    Stopped.MISBEHAVED,
                    f"the server wrote {written} tokens where at most {most_written} were asked "
                    "for; allowed: one that heeds max_completion_tokens, or a limit of its own "
                    "in `extra_body`",
                )
        if trouble is None:
            self.purse.learned = self.row.answered = True
            self.row.refused = 0
        return reply, trouble

    async def _covered(self, n_bytes: int, most_written: int) -> float:
        """The most that a request can cost, once the budget covers it."""
        bound = self.purse.bound(n_bytes, most_written)
        while not (self.purse.covers(bound) or self.stopped) and self.in_flight:
            await self.settled.wait()  # those in flight may cost less than their bounds
            bound = self.purse.bound(n_bytes, most_written)
        if not self.purse.covers(bound):
            self.stop(Stopped.BUDGET, f"the budget of {self.purse.prices.budget:g} is used up")
        if self.stopped:  # perhaps while this request waited for its turn
            raise RunStopped(self.reason)
        return bound

    async def _attempt(self, body: Mapping, bound: float) -> tuple[object, _Trouble | None]:
        import openai

        try:
            # The library's own timeout restarts with every byte; this one does not.
            async with asyncio.timeout(self.limits.timeout):
                extra = self.extra or None
                reply = await self.openai.chat.completions.create(**body, extra_body=extra)
        except asyncio.CancelledError:
            self.purse.book(uncertain_cost=bound)  # the server may go on without us
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
        text = " ".join(self.hide(str(error.message)).split())  # some quote the key they refuse
        reason = f"HTTP {status}: {text[:200]}"
        if status == _ENDED or error.code == "insufficient_quota":
            return _Trouble(reason, again=False, ended=True)
        if status in REFUSED:
            return _Trouble(reason, again=False, refused=True, status=status, said=text)
        if status in _RETRIED or status >= 500:
            return _Trouble(reason, wait=retry_after(error.response.headers))
        return _Trouble(reason, again=False, status=status, said=text)

    def _book(self, reply, trouble, bound: float) -> tuple[int, int] | tuple[None, None]:
        """Enter a reply in the spending; gives its tokens, read and written, where it counts them."""
        usage = getattr(reply, "usage", None)
        prompt, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        if prompt is None or written is None:
            if trouble is None or trouble.billed:
                self.purse.book(uncertain_cost=bound)
            return None, None
        details = getattr(usage, "prompt_tokens_details", None)
        cached = min(_count(details, "cached_tokens") or 0, prompt)
        self.purse.book(
            prompt_tokens=prompt,
            cached_tokens=cached,
            completion_tokens=written,
            tokens=prompt + written,
            cost=self.purse.prices.cost(prompt, written, cached),
        )
        return prompt, written


@dataclass(frozen=True)
class _Trouble:
    reason: str
    again: bool = True  # worth another attempt
    refused: bool = False  # perhaps no request will do better
    ended: bool = False  # no request will do better
    billed: bool = False  # the server may have done the work
    wait: float = 0.0  # seconds that the server asks for
    status: int = 0  # of a refusal
    said: str = ""  # with a refusal, all of it


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

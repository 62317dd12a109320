"""The judge behind a server: any server that speaks the OpenAI chat-completions protocol.

Prompts, responses and rules come in; probabilities of "no", "irrelevant" and "yes" go out, read
from the log-probabilities of the first answer token where the server gives them and counted
from sampled votes where it does not. `client.py` sends the requests.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import warnings
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from rulekit.judges import prompts as templates
from rulekit.judges.answers import answer_mass, first_token, vote_counts
from rulekit.judges.client import CellFailed, Client, Ledger, Limits, Pace, Prices, RunStopped
from rulekit.judges.prompts import Template
from rulekit.rules import RuleSet
from rulekit.scores import Scores

METHODS = ("auto", "logprobs", "votes")
_VOTE_TOKENS = 8  # room for the longest answer in any tokenizer, with a quote or a space before it


@dataclass(frozen=True, eq=False)
class Rating:
    """The ratings of one call, filled while it runs, so that an interrupted one keeps its own.

    Parameters
    ----------
    probabilities
        P(no), P(irrelevant), P(yes), float32 (n_responses, n_rules, 3); NaN: not rated.
    mass
        Share of the judge's answer that went to the three answers before they were made to sum
        to 1, float32 (n_responses, n_rules): near 1 for a judge that answers the question.
    failures
        (response, rule) → why the cell was wanted and is NaN.
    """

    probabilities: np.ndarray
    mass: np.ndarray
    failures: dict[tuple[int, int], str] = field(default_factory=dict)

    def reasons(self) -> Counter[str]:
        """How many cells failed, by reason."""
        return Counter(self.failures.values())


@dataclass(eq=False)
class ServerJudge:
    """Rates responses through a chat-completions server such as vLLM, SGLang or a hosted one.

    Parameters
    ----------
    model
        The name that the server knows the model by.
    base_url
        Root of the protocol, usually ending in ``/v1``; without credentials.
    template
        A name in `rulekit.judges.prompts.TEMPLATES`, or a template.
    key_from
        Name of the environment variable that holds the key; None sends none, whatever the
        environment holds. The key itself is never a parameter, an attribute or part of a message.
    method
        "logprobs" reads the first token's distribution, "votes" samples answers, "auto" asks the
        server once which it can and keeps to that.
    top_logprobs
        Tokens of the distribution to ask for, at least 2; many servers give up to 20. All but the
        last are read, and an answer outside them counts as 0.
    votes
        Sampled answers a cell; the standard error of a probability p is √(p(1 - p)/votes).
    seed
        Of the sampled votes, for servers that heed it; each further request of a cell counts up.
    revision
        What tells this model from others of its name, for example the commit of its weights.
    extra_body
        Further fields of every request, such as ``{"chat_template_kwargs": {"enable_thinking":
        False}}`` for a model that would think before it answers.
    limits, prices
        How hard the server may be driven, and what it costs.

    Attributes
    ----------
    ledger
        Requests, tokens and cost so far.
    last
        `Rating` of the latest call, whole or cut short.

    Raises
    ------
    ValueError
        If a value is not allowed, or the environment variable is not set.

    Notes
    -----
    Requests of one response go out together, the first of them alone: the template's shared part
    is then in the server's prefix cache when the others come. The answer is asked for at
    temperature 1, for some servers report log-probabilities of the tempered distribution.
    """

    model: str
    base_url: str
    template: str | Template = templates.DEFAULT
    key_from: str | None = None
    method: str = "auto"
    top_logprobs: int = 20
    votes: int = 8
    seed: int | None = None
    revision: str = ""
    extra_body: Mapping = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    prices: Prices = field(default_factory=Prices)
    ledger: Ledger = field(default_factory=Ledger, init=False)
    last: Rating | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_url(self.base_url, self.key_from)
        self.template = templates.get(self.template)
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r}; allowed: {', '.join(METHODS)}")
        for name, least in (("top_logprobs", 2), ("votes", 1)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= least):
                raise ValueError(f"{name}: {value!r}; allowed: whole numbers from {least}")
        self._pace = Pace(self.limits.requests_per_minute, self.limits.tokens_per_minute)
        self._at_once = self.votes  # of a request
        self._busy = threading.Lock()  # one run at a time: the ledger and the pace are shared

    @property
    def identity(self) -> str:
        """What a rating depends on: model, template and method, but not where the server stands.

        With method "auto" the first use asks the server, and raises ConnectionError without one.
        """
        how = {"logprobs": {"top_logprobs": self.top_logprobs},
               "votes": {"votes": self.votes, "seed": self.seed}}[self._resolved()]  # fmt: skip
        setting = {"judge": "server", "model": self.model, "revision": self.revision,
                   "template": self.template.hash, "method": self.method, **how,
                   "extra_body": dict(self.extra_body)}  # fmt: skip
        return json.dumps(setting, sort_keys=True)

    def rate(
        self,
        prompts: Sequence[str | list[dict]],
        responses: Sequence[str],
        rules: RuleSet,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """P(no), P(irrelevant), P(yes) of each response under each rule.

        Works where an event loop already runs, as in Jupyter.

        Parameters
        ----------
        prompts
            Texts or lists of ``{role, content}`` messages, (n_responses,).
        responses
            Texts, (n_responses,).
        rules
            n_rules rules.
        mask
            Cells to rate, bool (n_responses, n_rules); all by default.

        Returns
        -------
        numpy.ndarray
            float32 (n_responses, n_rules, 3). NaN where not wanted, and where a request failed or
            the budget came to its end: a warning counts these, `last.failures` has the reasons.

        Raises
        ------
        ValueError
            If lengths or the mask's shape do not fit.
        ConnectionError
            If method "auto" gets no answer at all.
        """
        shape = (len(responses), len(rules))
        if len(prompts) != shape[0]:
            raise ValueError(f"prompts: {len(prompts)}; allowed: {shape[0]}, one a response")
        mask = np.ones(shape, bool) if mask is None else np.asarray(mask)
        if mask.shape != shape or mask.dtype != bool:
            raise ValueError(f"mask: {mask.dtype} {mask.shape}; allowed: bool {shape}")
        self._resolved()
        rating = Rating(
            np.full((*shape, 3), np.nan, np.float32), np.full(shape, np.nan, np.float32)
        )
        with self._busy:
            self.last = rating
            _run(self._rate(prompts, responses, rules.texts, mask, rating))
        if rating.failures:
            first, n = rating.reasons().most_common(1)[0]
            warnings.warn(
                f"{len(rating.failures)} of {mask.sum()} ratings failed and are NaN; "
                f"{n} of them: {first}",
                stacklevel=2,
            )
        rated = rating.probabilities[~np.isnan(rating.mass)]
        if (
            self.method == "votes"
            and self.votes > 3
            and len(rated) > 15
            and (rated.max(-1) == 1).all()
        ):
            warnings.warn(
                f"all votes agree in each of {len(rated)} ratings: the server seems to decode "
                "greedily; have it sample, by its settings or `extra_body`",
                stacklevel=2,
            )
        return rating.probabilities

    def score(self, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
        """Scores of pairs; a response that occurs in several pairs is rated once.

        Raises
        ------
        RuntimeError
            If a rating failed, for scores have no gaps; `last` keeps the others.
        """
        prompts = [json.dumps(p) for p in pairs["prompt"].to_list()]  # lists cannot be keys
        sides = [list(zip(prompts, pairs[c], strict=True)) for c in ("response_a", "response_b")]
        row = {key: i for i, key in enumerate(dict.fromkeys(sides[0] + sides[1]))}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* ratings failed and are NaN")
            p = self.rate([json.loads(k[0]) for k in row], [k[1] for k in row], rules)
        if self.last.failures:
            reasons = "; ".join(f"{n} × {r}" for r, n in self.last.reasons().most_common(3))
            raise RuntimeError(
                f"{len(self.last.failures)} of {p[..., 0].size} ratings failed ({reasons}); "
                "the others are kept in `last`"
            )
        score, relevance = p[..., 2] - p[..., 0], 1 - p[..., 1]
        a, b = ([row[key] for key in side] for side in sides)
        return Scores(score[a], score[b], ((relevance[a] + relevance[b]) / 2).clip(0, 1),
                      rules.ids, pairs["pair_id"].to_list())  # fmt: skip

    def _client(self) -> Client:
        return Client(
            self.base_url, self.key_from, self.limits, self.prices, self.ledger, self._pace
        )

    def _resolved(self) -> str:
        """The method in force; asks the server once if that is for it to say."""
        with self._busy:
            if self.method == "auto":
                self.method = _run(self._probe())
                if self.method == "votes":
                    warnings.warn(
                        f"the server gives no log-probabilities: {self.votes} sampled votes a "
                        "rating instead",
                        stacklevel=3,
                    )
        return self.method

    async def _probe(self) -> str:
        client = self._client()
        messages = self.template.messages("Hello!", "Good morning!", "The response greets.")
        try:
            reply = await self._send(client, messages, self._logprobs_fields())
            return "logprobs" if first_token(reply, self.top_logprobs) else "votes"
        except CellFailed as failure:
            if "logprob" in str(failure) and str(failure).startswith("HTTP 4"):
                return "votes"  # a server that refuses to be asked
            trouble = str(failure)
        except RunStopped as stop:
            trouble = str(stop)
        finally:
            await client.close()
        raise ConnectionError(f"the judge's server gave no answer: {trouble}")

    async def _rate(self, prompts, responses, rules, mask, rating: Rating) -> None:
        client, in_a_row = self._client(), 0

        async def rate_cell(i: int, j: int) -> None:
            nonlocal in_a_row
            try:
                messages = self.template.messages(prompts[i], responses[i], rules[j])
                p, mass = await self._ask(client, messages)
                rating.probabilities[i, j], rating.mass[i, j] = p, mass
                in_a_row = 0
            except RunStopped as stop:
                rating.failures[i, j] = f"not sent: {stop}"
            except CellFailed as failure:
                rating.failures[i, j] = str(failure)
                in_a_row += 1
                if in_a_row >= self.limits.give_up_after and not client.stopped:
                    client.stopped = f"{in_a_row} ratings in a row failed, the last with: {failure}"

        async def work(groups: Iterator[list[tuple[int, int]]]) -> None:
            for first, *others in groups:
                await rate_cell(*first)  # fills the server's prefix cache
                await asyncio.gather(*(rate_cell(*cell) for cell in others))

        groups = _groups(mask, by_rule=self.template.shared == "rule")
        try:
            await asyncio.gather(*(work(groups) for _ in range(self.limits.concurrency)))
        finally:
            await client.close()

    async def _ask(self, client: Client, messages: list[dict]) -> tuple[np.ndarray, float]:
        """Probabilities of the three answers, summing to 1, and their mass before that."""
        if self.method == "logprobs":
            reply = await self._send(client, messages, self._logprobs_fields())
            top = first_token(reply, self.top_logprobs)
            if not top:
                raise CellFailed("the reply has no log-probabilities")
            p = answer_mass(top)
            if not p.sum() > 0:
                said = ", ".join(repr(t) for t, _ in top[:3])
                raise CellFailed(f"no answer among the likeliest tokens ({said}, …)")
            # Rounding may carry the sum of a full distribution past 1.
            return p / p.sum(), min(float(p.sum()), 1.0)
        texts: list[str] = []
        while len(texts) < self.votes:  # a server may give fewer answers than asked for
            n = min(self.votes - len(texts), self._at_once)
            fields = {"n": n, "max_completion_tokens": _VOTE_TOKENS}
            if self.seed is not None:
                fields["seed"] = self.seed + len(texts)
            try:
                reply = await self._send(client, messages, fields)
            except CellFailed as failure:
                if n == 1 or not str(failure).startswith("HTTP 4"):
                    raise
                self._at_once = 1  # some servers refuse to give so many at once, or several
                continue
            texts += [c.message.content or "" if c.message else "" for c in reply.choices[:n]]
        counts = vote_counts(texts)
        if not counts.any():
            raise CellFailed(f"no vote is an answer ({texts[0][:40]!r}, …)")
        return counts / counts.sum(), counts.sum() / self.votes

    def _logprobs_fields(self) -> dict:
        return {"logprobs": True, "top_logprobs": self.top_logprobs, "max_completion_tokens": 1}

    async def _send(self, client: Client, messages: list[dict], fields: dict) -> object:
        body = {"model": self.model, "messages": messages, "temperature": 1.0, "top_p": 1.0}
        body |= fields
        if self.extra_body:
            body["extra_body"] = dict(self.extra_body)
        n_bytes = sum(len(m["content"].encode()) for m in messages)
        written = fields["max_completion_tokens"] * fields.get("n", 1)
        return await client.complete(body, n_bytes, written)


def _groups(mask: np.ndarray, by_rule: bool) -> Iterator[list[tuple[int, int]]]:
    """Wanted cells that share the beginning of their prompt, group by group."""
    for k, line in enumerate(mask.T if by_rule else mask):
        others = np.flatnonzero(line).tolist()
        if others:
            yield [(i, k) if by_rule else (k, i) for i in others]


def _check_url(base_url: str, key_from: str | None) -> None:
    # No message shows the values: a key may stand where a name or an address should.
    url = urlsplit(base_url)
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


def _run(coroutine: Coroutine):
    """Run to the end, beside the event loop that already runs here, if there is one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    loop, ended = asyncio.new_event_loop(), threading.Event()
    task = loop.create_task(coroutine)

    def run() -> None:
        loop.run_until_complete(asyncio.wait([task]))
        ended.set()

    threading.Thread(target=run, daemon=True).start()
    try:
        ended.wait()
    except BaseException:  # the notebook's stop button
        loop.call_soon_threadsafe(task.cancel)
        ended.wait()
        raise
    finally:
        if ended.is_set():  # not after a second press
            loop.close()
    return task.result()

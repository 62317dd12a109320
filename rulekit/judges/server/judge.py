"""The judge behind a server: any server that speaks the OpenAI chat-completions protocol.

Prompts, responses and rules come in; probabilities of "no", "irrelevant" and "yes" go out, read
from the log-probabilities of the first answer token where the server gives them and counted
from sampled votes where it does not. `client` sends the requests.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import threading
import warnings
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges import prompts as templates
from rulekit.judges.contract import NOT_SENT, Rating, RunStopped, score_pairs
from rulekit.judges.prompts import Template
from rulekit.judges.server.answers import answer_mass, first_token, vote_counts
from rulekit.judges.server.client import CellFailed, Client, Limits, Pace
from rulekit.judges.server.spending import Prices, Purse, Spending

METHODS = ("auto", "logprobs", "votes")
_LIMIT, _OLD_LIMIT = "max_completion_tokens", "max_tokens"  # two names for the longest answer
_VOTE_TOKENS = 8  # room for the longest answer in any tokenizer, with a quote or a space before it


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
    spending
        Requests, tokens and cost so far; set its `earlier` to what earlier runs have spent of
        the budget.
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
    spending: Spending = field(default_factory=Spending, init=False)
    last: Rating | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_url(self.base_url, self.key_from)
        self.template = templates.template_named(self.template)
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r}; allowed: {', '.join(METHODS)}")
        for name, least in (("top_logprobs", 2), ("votes", 1)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= least):
                raise ValueError(f"{name}: {value!r}; allowed: whole numbers from {least}")
        self._pace = Pace(self.limits.requests_per_minute, self.limits.tokens_per_minute)
        self._purse = Purse(self.prices, self.spending)
        self._at_once = self.votes  # of a request
        self._limit = _LIMIT
        self._busy = threading.Lock()  # one run at a time: the spending and the pace are shared

    @property
    def identity(self) -> str:
        """What a rating depends on: model, template and method, but not where the server stands.

        With method "auto" the first use asks the server, and raises ConnectionError without one.
        """
        how = {
            "logprobs": {"top_logprobs": self.top_logprobs},
            "votes": {"votes": self.votes, "seed": self.seed},
        }[self._resolved()]
        setting = {
            "judge": "server",
            "model": self.model,
            "revision": self.revision,
            "template": self.template.hash,
            "method": self.method,
            **how,
            "extra_body": dict(self.extra_body),
        }
        return json.dumps(setting, sort_keys=True)

    def with_template(self, template: str | Template) -> ServerJudge:
        """The same model asked in other words; on the same spending, budget and pace."""
        judge = copy.copy(self)
        judge.template, judge.last = templates.template_named(template), None
        return judge

    def rate(
        self,
        prompts: Sequence[str | list[dict]],
        responses: Sequence[str],
        rules: RuleSet,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Rate responses under rules, as `rulekit.judges.Rater.rate` says.

        Works where an event loop already runs, as in Jupyter.

        Returns
        -------
        As for `Rater.rate`. NaN also where a request failed (`last.failures` has the reasons) and
        where none was sent any more (`last.stopped` says why): warnings count both.

        Raises
        ------
        ValueError
            If lengths or the mask's shape do not fit.
        ConnectionError
            If method "auto" gets no answer at all.
        """
        rating = self._rating(prompts, responses, rules, mask)
        for gap in rating.gaps():
            warnings.warn(gap, stacklevel=2)
        return rating.probabilities

    def score(self, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
        """Scores of pairs; a response that occurs in several pairs is rated once.

        Raises
        ------
        RuntimeError
            If a rating is missing, for scores have no gaps; `last` keeps the others.
        """

        def rate(prompts, responses, rules) -> np.ndarray:
            rating = self._rating(prompts, responses, rules)
            if gaps := rating.gaps():
                raise RuntimeError(f"{'; '.join(gaps)}; the others are kept in `last`")
            return rating.probabilities

        return score_pairs(rate, pairs, rules)

    def _rating(self, prompts, responses, rules: RuleSet, mask=None) -> Rating:
        """What `rate` gives, with its gaps yet to be reported."""
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
        if self.method == "votes" and self.votes > 3:
            _warn_if_greedy(rating)
        return rating

    def _client(self) -> Client:
        return Client(self.base_url, self.key_from, self.limits, self._purse, self._pace)

    def _resolved(self) -> str:
        """The method in force; asks the server once if that is for it to say."""
        with self._busy:
            if self.method == "auto":
                self.method = _run(self._probe())
                if self.method == "votes":
                    warnings.warn(
                        f"the server gives no log-probabilities: {self.votes} sampled votes a "
                        "rating instead",
                        stacklevel=4,
                    )
        return self.method

    async def _probe(self) -> str:
        client = self._client()
        messages = self.template.messages("Hello!", "Good morning!", "The response greets.")
        try:
            reply = await self._send(client, messages, self._logprobs_fields())
            return "logprobs" if first_token(reply, self.top_logprobs) else "votes"
        except CellFailed as failure:
            if "logprob" in str(failure) and not failure.server_wide:
                return "votes"  # a server that refuses to be asked
            trouble = str(failure)
        except RunStopped as stop:
            trouble = str(stop)
        finally:
            await client.close()
        raise ConnectionError(f"the judge's server gave no answer: {trouble}")

    async def _rate(self, prompts, responses, rules, mask, rating: Rating) -> None:
        client = self._client()
        troubled: list[int] = []  # response of each rating since the server last gave an answer
        enough = min(2, int(mask.any(axis=1).sum()))  # responses: one alone may be at fault itself

        async def rate_cell(i: int, j: int) -> None:
            try:
                messages = self.template.messages(prompts[i], responses[i], rules[j])
                p, mass = await self._ask(client, messages)
                rating.probabilities[i, j], rating.mass[i, j] = p, mass
                troubled.clear()
            except RunStopped as stop:
                rating.failures[i, j] = f"{NOT_SENT}{stop}"
            except CellFailed as failure:
                rating.failures[i, j] = str(failure)
                if not failure.server_wide:
                    troubled.clear()
                    return
                troubled.append(i)
                n = len(troubled)
                if n >= self.limits.give_up_after and len(set(troubled)) >= enough:
                    client.stop(f"{n} ratings in a row failed, the last with {failure}")

        async def work(groups: Iterator[list[tuple[int, int]]]) -> None:
            for first, *others in groups:
                await rate_cell(*first)  # fills the server's prefix cache
                await asyncio.gather(*(rate_cell(*cell) for cell in others))

        groups = _groups(mask, by_rule=self.template.shared == "rule")
        try:
            await asyncio.gather(*(work(groups) for _ in range(self.limits.concurrency)))
        finally:
            rating.stopped = client.stopped
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
            fields = {"n": n}
            if self.seed is not None:
                fields["seed"] = self.seed + len(texts)
            try:
                reply = await self._send(client, messages, fields, _VOTE_TOKENS)
            except CellFailed as failure:
                if n == 1 or failure.server_wide:
                    raise
                self._at_once = 1  # some servers refuse to give so many at once, or several
                continue
            texts += [c.message.content or "" if c.message else "" for c in reply.choices[:n]]
        counts = vote_counts(texts)
        if not counts.any():
            raise CellFailed(f"no vote is an answer ({texts[0][:40]!r}, …)")
        return counts / counts.sum(), counts.sum() / self.votes

    def _logprobs_fields(self) -> dict:
        return {"logprobs": True, "top_logprobs": self.top_logprobs}

    async def _send(
        self, client: Client, messages: list[dict], fields: dict, longest: int = 1
    ) -> object:
        """A reply whose answers have at most `longest` tokens each."""
        body = {"model": self.model, "messages": messages, "temperature": 1.0, "top_p": 1.0}
        body |= fields
        if self.extra_body:
            body["extra_body"] = dict(self.extra_body)
        n_bytes = sum(len(m["content"].encode()) for m in messages)
        written, limit = longest * fields.get("n", 1), self._limit
        try:
            return await client.complete(body | {limit: longest}, n_bytes, written)
        except CellFailed as failure:
            if failure.server_wide or limit == _OLD_LIMIT or _LIMIT not in str(failure):
                raise
        self._limit = _OLD_LIMIT  # some servers know no other
        return await client.complete(body | {_OLD_LIMIT: longest}, n_bytes, written)


def _warn_if_greedy(rating: Rating) -> None:
    rated = rating.probabilities[~np.isnan(rating.mass)]
    if len(rated) > 15 and (rated.max(-1) == 1).all():
        warnings.warn(
            f"all votes agree in each of {len(rated)} ratings: the server seems to decode "
            "greedily; have it sample, by its settings or `extra_body`",
            stacklevel=4,
        )


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

    try:
        threading.Thread(target=run, daemon=True).start()
        ended.wait()
    except BaseException:  # the notebook's stop button
        loop.call_soon_threadsafe(task.cancel)
        ended.wait()
        raise
    finally:
        if ended.is_set():  # not after a second press
            loop.close()
    return task.result()

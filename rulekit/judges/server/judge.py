"""The judge behind a server: any server that speaks the OpenAI chat-completions protocol.

Prompts, responses and rules come in; probabilities of "no", "irrelevant" and "yes" go out, read
from the log-probabilities of the first answer token where the server gives them and counted
from sampled votes where it does not. `client` sends the requests.
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rulekit.files import sha256
from rulekit.inputs.pairs import dialogue
from rulekit.inputs.rules import RuleSet
from rulekit.judges import prompts as templates
from rulekit.judges.answered import Answered
from rulekit.judges.contract import Rating, Spending, Stopped, keeping, wanted_cells
from rulekit.judges.mass import LEAST_MASS, warn_if_low
from rulekit.judges.prompts import PromptedJudge, Template
from rulekit.judges.server.answers import (
    FILTERED,
    Answer,
    filtered,
    first_token,
    from_tokens,
    from_votes,
)
from rulekit.judges.server.client import REFUSED, CellFailed, Client, Limits, Pace, Row, RunStopped
from rulekit.judges.server.loop import run
from rulekit.judges.server.options import Options, check_url, markers
from rulekit.judges.server.secrets import Body, shown
from rulekit.judges.server.spending import Prices, Purse
from rulekit.judges.texts import askable, compiled, plain

_FEW = 5  # log-probabilities of so many tokens are asked for where more are refused
_INVALID = 422  # HTTP status of a request that fails a server's validation
_LIMIT, _OLD_LIMIT = "max_completion_tokens", "max_tokens"  # two names for the longest answer


@dataclass(eq=False)
class ServerJudge(PromptedJudge):
    """Rates responses through a chat-completions server such as vLLM, SGLang or a hosted one.

    Parameters
    ----------
    model
        The name that the server knows the model by.
    base_url
        Root of the protocol, usually ending in ``/v1``; without credentials.
    template
        A name in `rulekit.judges.prompts.TEMPLATES`, a template, or its fields as a mapping.
    key_from
        Name of the environment variable that holds the key; None sends none, whatever the
        environment holds. The key itself is never a parameter, an attribute or part of a message.
    method
        "logprobs" reads the first token's distribution, "votes" samples answers, "auto" asks the
        server once which it can and keeps to that.
    top_logprobs
        Tokens of the distribution to ask for, at least 2; many servers give up to 20. All but the
        last are read, and an answer outside them counts as 0. With "auto", a server that refuses
        so many is asked for 5.
    votes
        Sampled answers a cell; the standard error of a probability p is √(p(1 - p)/votes).
    vote_tokens
        Room for a vote: 8 hold the longest answer in any tokenizer, with a quote or an empty
        ``<think></think>`` before it. A model that reasons first needs room for that too; what
        stands behind its reasoning counts.
    seed
        Of the sampled votes, for servers that heed it; each further request of a cell counts up.
    revision
        What tells this model from others of its name, for example the commit of its weights.
    extra_body
        Further fields of every request, such as ``{"chat_template_kwargs": {"enable_thinking":
        False}}`` for a model that would think before it answers, or ``{"cache_prompt": False}`` for
        llama.cpp (see the notes). A secret among them, which
        `rulekit.judges.server.secrets.shown` knows by its name or its looks, is sent and shown
        nowhere; it is no part of the identity.
    tokenizer
        Folder or name of the model's tokenizer: its special tokens and what else its chat template
        marks turns with are made plain text in prompts, responses and rules. Without one the
        markers of all families in `rulekit.judges.texts.FAMILIES` are.
    least_mass
        The least answer mass that makes a rating, in [0, 1]; a cell with less fails. It decides
        which ratings a store holds, and so is part of the identity.
    limits, prices
        How hard the server may be driven, and what it costs; mappings will do.

    Attributes
    ----------
    spending
        Requests, tokens and cost so far; set its `earlier` to what earlier runs have spent of
        the budget.
    answered
        Which models answered, by what replies say of themselves.

    Raises
    ------
    ValueError
        If a value is not allowed, the environment variable is not set, or the tokenizer cannot be
        loaded.

    Notes
    -----
    Requests of one response go out together, the first of them alone: the template's shared part
    is then in the server's prefix cache when the others come. The answer is asked for at
    temperature 1, for some servers report log-probabilities of the tempered distribution.

    llama.cpp rounds otherwise where it takes the beginning of a prompt from its cache: its ratings
    then differ by up to 0.1 from one time to the next (0.0 with ``cache_prompt: false``, which
    reads every prompt from its beginning).
    """

    model: str
    base_url: str
    template: str | Mapping | Template = templates.DEFAULT
    key_from: str | None = None
    method: str = "auto"
    top_logprobs: int = 20
    votes: int = 8
    vote_tokens: int = 8
    seed: int | None = None
    revision: str = ""
    extra_body: Mapping = field(default_factory=dict)
    tokenizer: str | None = None
    least_mass: float = LEAST_MASS
    limits: Limits | Mapping = field(default_factory=Limits)
    prices: Prices | Mapping = field(default_factory=Prices)
    spending: Spending = field(default_factory=Spending, init=False)
    answered: Answered = field(default_factory=Answered, init=False, repr=False)

    def __post_init__(self) -> None:
        check_url(self.base_url, self.key_from)
        self.template = templates.template_named(self.template)
        self.extra_body = Body(self.extra_body)
        given = {name: getattr(self, name) for name in Options.model_fields}
        for name, value in Options(**given):
            setattr(self, name, value)
        self._pace = Pace(self.limits.requests_per_minute, self.limits.tokens_per_minute)
        self._purse, self._row = Purse(self.prices, self.spending), Row()
        self._markers = markers(self.tokenizer)
        self._marks = compiled(self.template.marks, *self._markers)
        self._at_once = self.votes  # of a request
        self._limit, self._warned = _LIMIT, False  # of an answer mass that is low
        self._busy = threading.Lock()  # one run at a time: the spending and the pace are shared

    @property
    def identity(self) -> str:
        """What a rating depends on: model, template and method, but not where the server stands.

        With method "auto" the first use asks the server, and raises ConnectionError without one.
        """
        if self._resolved() == "logprobs":
            how = {"top_logprobs": self.top_logprobs}
        else:
            how = {"votes": self.votes, "vote_tokens": self.vote_tokens, "seed": self.seed}
        setting = {
            "judge": "server",
            "model": self.model,
            "revision": self.revision,
            "template": self.template.hash,
            "method": self.method,
            **how,
            "extra_body": shown(self.extra_body),
            "plain": sha256(self._marks.pattern)[:16],  # what is neutralised
            "least_mass": self.least_mass,
        }
        return json.dumps(setting, sort_keys=True)

    def with_template(self, template: str | Mapping | Template) -> ServerJudge:
        """The same model asked in other words; on the same spending, budget and pace."""
        judge = copy.copy(self)
        judge.template = templates.template_named(template)
        judge._marks = compiled(judge.template.marks, *self._markers)
        return judge

    def rate(
        self,
        prompts: Sequence[str | list[dict]],
        responses: Sequence[str],
        rules: RuleSet,
        mask: np.ndarray | None = None,
    ) -> Rating:
        """Rate responses under rules, as `rulekit.judges.Judge.rate` says.

        Works where an event loop already runs, as in Jupyter.

        Returns
        -------
        The rating; its `mass` is the share of the three answers among the tokens, or the votes. A
        cell fails whose mass is below `least_mass`, whose answer a content filter has cut, which
        the server refuses, or whose texts no request can hold.

        Raises
        ------
        ConnectionError
            If method "auto" gets no answer at all.
        """
        wanted = wanted_cells(prompts, responses, rules, mask)
        self._resolved()
        rating = Rating.blank(*wanted.shape)
        wanted = askable(prompts, responses, rules, wanted, rating.failures)
        masses: list[float] = []
        with self._busy, keeping(rating):
            try:
                run(self._rate(prompts, responses, rules.texts, wanted, rating, masses))
            finally:
                rating.usage = self._purse.report()
        for told in self.answered.warnings():
            warnings.warn(told, stacklevel=2)
        if not self._warned:
            self._warned = warn_if_low(np.array(masses), self.model)
        if self.method == "votes" and self.votes > 3:
            _warn_if_greedy(rating)
        return rating

    def _client(self) -> Client:
        how = (self.limits, self._purse, self._pace, self._row)
        return Client(self.base_url, self.key_from, self.extra_body, *how)

    def _resolved(self) -> str:
        """The method in force; asks the server once if that is for it to say."""
        with self._busy:
            if self.method == "auto":
                self.method = run(self._probe())
                if self.method == "votes":
                    warnings.warn(
                        f"the server gives no log-probabilities: {self.votes} sampled votes a "
                        "rating instead",
                        stacklevel=4,
                    )
        return self.method

    async def _probe(self) -> str:
        """What the server can; `top_logprobs` is lowered to what it gives."""
        client, most = self._client(), self.top_logprobs
        messages = self.template.messages("Hello!", "Good morning!", "The response greets.")
        try:
            for n in sorted({most, min(most, _FEW)}, reverse=True):
                try:
                    reply = await self._send(client, messages, _logprobs_fields(n))
                except CellFailed as failure:
                    refused = "logprob" in failure.said and not failure.server_wide
                    trouble = str(failure)
                    if not refused and failure.status != _INVALID:
                        break
                else:
                    if filtered(reply):
                        raise RunStopped(FILTERED)
                    if not first_token(reply, n):
                        return "votes"
                    self.top_logprobs = n
                    return "logprobs"
            if refused:
                return "votes"
        except RunStopped as stop:
            trouble = str(stop)
        finally:
            await client.close()
        raise ConnectionError(f"the judge's server gave no answer: {trouble}")

    async def _rate(self, prompts, responses, rules, mask, rating: Rating, masses: list) -> None:
        client, talks = self._client(), self._talks(prompts, responses, mask)
        rules = [plain(rule, self._marks) for rule in rules]
        troubled: list[int] = []  # response of each rating since the server last gave an answer
        enough = min(2, int(mask.any(axis=1).sum()))  # responses: one alone may be at fault itself

        async def rate_cell(i: int, j: int) -> None:
            try:
                answer = await self._ask(client, self.template.render(*talks[i], rules[j]))
                troubled.clear()
                masses.append(answer.mass)
                if lack := answer.lack(self.least_mass):
                    rating.failures[i, j] = lack
                    return
                rating.probabilities[i, j] = answer.weights / answer.weights.sum()
                rating.mass[i, j] = answer.mass
            except RunStopped:
                pass  # not sent
            except CellFailed as failure:
                rating.failures[i, j] = str(failure)
                if not failure.server_wide:
                    troubled.clear()
                    return
                troubled.append(i)
                n = len(troubled)
                if n >= self.limits.give_up_after and len(set(troubled)) >= enough:
                    reason = f"{n} ratings in a row failed, the last with {failure}"
                    client.stop(Stopped.UNREACHABLE, reason)

        async def work(groups: Iterator[list[tuple[int, int]]]) -> None:
            for first, *others in groups:
                await rate_cell(*first)  # fills the server's prefix cache
                await asyncio.gather(*(rate_cell(*cell) for cell in others))

        groups = _groups(mask, by_rule=self.template.shared == "rule")
        try:
            await asyncio.gather(*(work(groups) for _ in range(self.limits.concurrency)))
        finally:
            rating.stopped, rating.reason = client.stopped, client.reason
            await client.close()

    def _talks(self, prompts, responses, mask) -> dict[int, tuple[str, str]]:
        """Conversation and response of the rows that are asked about, as they may stand there."""
        talks = {}
        for i in np.flatnonzero(mask.any(axis=1)).tolist():
            texts = dialogue(prompts[i]), responses[i]
            self._purse.book(neutralised=any(map(self._marks.search, texts)))
            talks[i] = tuple(plain(text, self._marks) for text in texts)
        return talks

    async def _ask(self, client: Client, messages: list[dict]) -> Answer:
        """What the server answers to one cell."""
        if self.method == "logprobs":
            reply = await self._reply(client, messages, _logprobs_fields(self.top_logprobs))
            if not (top := first_token(reply, self.top_logprobs)):
                raise CellFailed("the reply has no log-probabilities")
            return from_tokens(top)
        texts: list[str] = []
        while len(texts) < self.votes:  # a server may give fewer answers than asked for
            n = min(self.votes - len(texts), self._at_once)
            fields = {"n": n}
            if self.seed is not None:
                fields["seed"] = self.seed + len(texts)
            try:
                reply = await self._reply(client, messages, fields, self.vote_tokens)
            except CellFailed as failure:
                if n == 1 or not failure.status or failure.status in REFUSED:
                    raise
                self._at_once = 1  # some servers refuse to give so many at once, or several
                continue
            said = [c.message.content or "" if c.message else "" for c in reply.choices[:n]]
            texts += map(client.hide, said)
        return from_votes(texts)

    async def _reply(self, client: Client, *asked) -> object:
        """A reply that may be read, as `_send` gives it: of the same model, and whole."""
        reply = await self._send(client, *asked)
        told = (getattr(reply, name, None) for name in ("model", "system_fingerprint"))
        sender = [client.hide(name) if isinstance(name, str) else None for name in told]
        if reason := self.answered.heed(*sender):
            client.stop(Stopped.MISBEHAVED, reason)
            raise RunStopped(reason)
        if filtered(reply):
            raise CellFailed(FILTERED)
        return reply

    async def _send(
        self, client: Client, messages: list[dict], fields: dict, longest: int = 1
    ) -> object:
        """A reply whose answers have at most `longest` tokens each."""
        body = {"model": self.model, "messages": messages, "temperature": 1.0, "top_p": 1.0}
        body |= fields
        n_bytes = sum(len(m["content"].encode()) for m in messages)
        written, limit = longest * fields.get("n", 1), self._limit
        try:
            return await client.complete(body | {limit: longest}, n_bytes, written)
        except CellFailed as failure:
            if failure.server_wide or limit == _OLD_LIMIT or _LIMIT not in failure.said:
                raise
        self._limit = _OLD_LIMIT  # some servers know no other
        return await client.complete(body | {_OLD_LIMIT: longest}, n_bytes, written)


def _logprobs_fields(top: int) -> dict:
    return {"logprobs": True, "top_logprobs": top}


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

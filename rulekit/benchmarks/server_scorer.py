"""Reward models behind vLLM's routes: questions go out over HTTP, scores come back.

``/classify`` and ``/pooling`` get the conversation as messages, under the server's own chat
template; ``/score`` gets prompt and response as two texts. A judge behind ``/chat/completions`` is
`rulekit.judges.ServerJudge` with rules.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from rulekit.benchmarks.contract import Question, Scored
from rulekit.inputs.pairs import prompt_text

ROUTES = ("classify", "pooling", "score")


class ServerScorer:
    """A served reward model as a scorer.

    Parameters
    ----------
    url
        Of the route, such as ``http://localhost:8000/classify``.
    model
        Name under which it is served; empty: the first that ``/v1/models`` lists.
    key_from
        Environment variable with the key; empty: none is sent.
    concurrency
        Requests at a time.
    timeout
        Seconds for one request.
    retries
        Further attempts after a lost connection, 429 or 5xx, with waits of up to 1, 2, 4 … 60
        seconds.

    Raises
    ------
    ValueError
        For another route, or a key that is not there.
    """

    pairwise = False
    part = 256

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        key_from: str = "",
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 5,
    ) -> None:
        self.url = url.rstrip("/")
        self.route = self.url.rpartition("/")[2]
        if self.route not in ROUTES:
            raise ValueError(
                f"{url}: route {self.route!r}; allowed: a URL that ends in "
                + ", ".join(f"/{r}" for r in ROUTES)
                + "; behind /chat/completions is a judge: --judge server with rules"
            )
        if key_from and not os.environ.get(key_from):
            raise ValueError(f"key_from: there is no {key_from} in the environment")
        self._key_from, self.concurrency = key_from, concurrency
        self.timeout, self.retries = timeout, retries
        self.model = model or self._listed()

    @property
    def identity(self) -> str:
        return f"server {self.url} {self.model}"

    def read(self, questions: Sequence[Question]) -> Scored:
        """Scores of responses behind their prompts, as the server gives them.

        Parameters
        ----------
        questions
            Prompts, and tuples of one response.

        Raises
        ------
        ConnectionError
            If the server cannot be reached, refuses a request or answers something else.
        """
        with ThreadPoolExecutor(self.concurrency) as pool:
            found = list(pool.map(self._one, questions))
        unknown = np.full(len(found), -1, np.int64)
        scores = np.array([score for score, _ in found], np.float64)
        return Scored(scores, unknown, unknown, sum(tokens for _, tokens in found))

    def _one(self, question: Question) -> tuple[float, int]:
        prompt, (response,) = question
        body: dict = {"model": self.model}
        if self.route == "score":
            body |= {"text_1": prompt_text(prompt), "text_2": response}
        else:
            # The raw logit: a sigmoid would press large rewards into ties. The second name is older.
            body |= {"use_activation": False, "activation": False}
            body["messages"] = [*prompt, {"role": "assistant", "content": response}]
            body |= {"add_generation_prompt": False, "add_special_tokens": False}
        reply = self._sent(self.url, body)
        try:
            value = reply["data"][0][_FIELDS[self.route]]
            while isinstance(value, list):  # of a head that scores every token the last one counts
                value = value[-1]
            if not math.isfinite(value):
                raise ValueError
            usage = reply.get("usage") or {}
            return float(value), int(usage.get("prompt_tokens") or 0)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            said = json.dumps(reply)[:200]
            raise ConnectionError(
                f"{self.url} answered {said}; allowed: a number in data[0].{_FIELDS[self.route]}"
            ) from None

    def _listed(self) -> str:
        root = self.url.rpartition("/")[0].removesuffix("/v1")
        reply = self._sent(f"{root}/v1/models")
        try:
            return str(reply["data"][0]["id"])
        except (IndexError, KeyError, TypeError):
            raise ConnectionError(f"{root}/v1/models lists no model; name it") from None

    def _sent(self, url: str, body: dict | None = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self._key_from:
            headers["Authorization"] = f"Bearer {os.environ[self._key_from]}"
        for attempt in range(self.retries + 1):
            try:
                request = urllib.request.Request(url, data, headers)
                with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                    return json.loads(reply.read())
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code}: {error.read(300).decode(errors='replace')}"
                again = error.code == 429 or error.code >= 500
            except (OSError, ValueError) as error:  # lost, timed out, or no JSON
                reason, again = f"{type(error).__name__}: {error}", True
            if not again or attempt == self.retries:
                break
            time.sleep(random.random() * min(60, 2**attempt))
        raise ConnectionError(f"{url}: {reason}")

    def facts(self) -> dict:
        """URL, route and model."""
        return {
            "model": self.model,
            "server": self.url,
            "attention": "the server's own",
            "template": "none: two texts" if self.route == "score" else "the server's own",
        }


_FIELDS = {"classify": "probs", "pooling": "data", "score": "score"}

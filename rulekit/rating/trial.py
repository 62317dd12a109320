"""New rules on a sample of pairs, as they are written: rated in the background, within a budget.

Pairs, a judge and rules come in; what rating them would take, and their scores, go out. The rule
prototyper drives a `RuleTrial`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import check_pairs
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges.contract import Judge, Rating, RatingInterrupted, as_judge
from rulekit.rating.annotation import annotate
from rulekit.rating.job import Incomplete
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store, keys, response_key, rule_key

RATED, WAITING, STOPPED = "rated", "waiting", "stopped"


class RuleTrial:
    """Ratings of a sample under rules that come and go.

    Parameters
    ----------
    pairs
        The sample, a canonical frame.
    judge
        Who rates.
    budget
        Ratings that may be made in its life, 1 or more; what is in the store costs nothing.
    store
        File of ratings, kept; None keeps them as long as this value lives.
    batch
        Responses a call of the judge: what is still rated after a stop.
    price
        Cost of a rating, for judges without prices of their own.

    Attributes
    ----------
    ledger
        What was rated and what it cost so far.
    states
        Text of a rule → ``rated``, ``waiting``, ``stopped``, or why it was not rated.

    Raises
    ------
    ValueError
        For pairs that are none, a budget or batch out of range, or an object that is no judge.
    """

    def __init__(
        self,
        pairs: pl.DataFrame,
        judge: Judge,
        *,
        budget: int = 2000,
        store: str | Path | None = None,
        batch: int = 16,
        price: float = 0.0,
    ) -> None:
        if budget < 1 or batch < 1:
            raise ValueError(f"budget is {budget}, batch is {batch}; allowed: 1 or more")
        self.pairs, self.judge = check_pairs(pairs), as_judge(judge)
        self.budget, self.batch, self.price = budget, batch, price
        self._folder = TemporaryDirectory(prefix="rulekit-trial-") if store is None else None
        self.store = Path(self._folder.name if self._folder else ".") / (
            "ratings.sqlite" if store is None else store
        )
        self.ledger, self.states = Ledger(), {}
        self.sent = 0  # ratings that the judge was asked for
        self._responses = self._distinct()
        self._columns: dict[str, np.ndarray] = {}  # text → (3, n_pairs)
        self._stop, self._worker = threading.Event(), None

    @property
    def left(self) -> int:
        """Ratings that the budget still allows."""
        return self.budget - self.sent

    def cost(self, rules: RuleSet) -> dict[str, float]:
        """What rating these rules would take, before anything is spent.

        Parameters
        ----------
        rules
            n_rules rules.

        Returns
        -------
        ``ratings`` that the store lacks, ``left`` of the budget, ``tokens`` that a language model
        would read at four characters each (a request a rating), and ``price`` of the ratings, by
        the price a rating or by the judge's own price of a prompt token.
        """
        new = [r for r in rules if r.text not in self._columns]
        ratings = self._missing(RuleSet(tuple(new))) if new else 0
        letters = sum(
            len(str(prompt)) + len(response)
            for prompt, *sides in self.pairs["prompt", "response_a", "response_b"].iter_rows()
            for response in sides
        ) / (2 * len(self.pairs))
        letters += sum(len(r.text) for r in new) / max(1, len(new))
        tokens = ratings * letters / 4
        own = getattr(getattr(self.judge, "prices", None), "prompt", 0.0) * tokens / 1e6
        return {
            "ratings": ratings,
            "left": self.left,
            "tokens": round(tokens),
            "price": ratings * self.price or own,
        }

    def rate(self, rules: RuleSet, told: Callable[[], None] = lambda: None) -> None:
        """Rate the rules that are not rated yet, one after the other, here and now.

        Parameters
        ----------
        rules
            n_rules rules.
        told
            Called whenever the state of a rule has changed.
        """
        self._stop = threading.Event()
        self._rate(rules, self._stop, told)

    def start(self, rules: RuleSet, told: Callable[[], None] = lambda: None) -> None:
        """As `rate`, in the background; what was going on there is stopped first.

        Parameters
        ----------
        rules, told
            As for `rate`; `told` is called by the worker.
        """
        self.stop()
        before, stop = self._worker, threading.Event()
        self._stop = stop

        def work() -> None:
            if before is not None:
                before.join()
            self._rate(rules, stop, told)

        self._worker = threading.Thread(target=work, daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Ask for nothing more; the batch that is under way is still kept."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the background is idle; whether it is."""
        if self._worker is not None:
            self._worker.join(seconds)
        return self._worker is None or not self._worker.is_alive()

    def scores(self, rules: RuleSet) -> Scores | None:
        """Scores of the sample under those of the rules that are rated; None if none is."""
        some = tuple(r for r in rules if r.text in self._columns)
        if not some:
            return None
        a, b, relevance = np.stack([self._columns[r.text] for r in some], axis=2)
        return Scores(a, b, relevance, identity=Identity.of(RuleSet(some), self.pairs))

    def _distinct(self) -> np.ndarray:
        """Keys of the distinct responses, or comparisons, of the sample in the order of the store."""
        columns = ("prompt", "response_a", "response_b")
        names = []
        for prompt, a, b in self.pairs.select(columns).iter_rows():
            asked = [(a, b), (b, a)] if self.judge.pairwise else [a, b]
            names += [response_key(prompt, each) for each in asked]
        return np.unique(keys(names))

    def _rate(self, rules: RuleSet, stop: threading.Event, told: Callable[[], None]) -> None:
        todo = [r for r in rules if r.text not in self._columns]
        for rule in todo:
            self.states[rule.text] = WAITING
        told()
        for rule in todo:
            if stop.is_set():
                self.states[rule.text] = STOPPED
                continue
            self.states[rule.text] = self._rate_one(RuleSet((rule,)), stop)
            told()
        told()

    def _rate_one(self, rules: RuleSet, stop: threading.Event) -> str:
        text = rules.texts[0]
        try:
            if (needed := self._missing(rules)) > self.left:
                return f"over the budget: {needed} ratings needed, {self.left} left"
            found = annotate(
                self.pairs,
                rules,
                _Watched(self, stop),
                store=self.store,
                batch=self.batch,
                price=self.price,
                ledger=self.ledger,
                progress=False,
            )
        except RatingInterrupted:  # by `stop`, or by Ctrl-C: then the rules that follow wait, too
            stop.set()
            return STOPPED
        except Incomplete as incomplete:
            return f"not rated: {incomplete}"
        except Exception as error:  # told in the table: a thread's traceback is seen by nobody
            return f"not rated: {type(error).__name__}: {error}"
        self._columns[text] = np.stack([found.a[:, 0], found.b[:, 0], found.relevance[:, 0]])
        return RATED

    def _missing(self, rules: RuleSet) -> int:
        """Ratings of these rules that the store lacks."""
        if not self.store.is_file():
            return len(self._responses) * len(rules)
        asked = keys([rule_key(text) for text in rules.texts])
        with Store(self.store) as store:
            known = store.get(self.judge.identity, self._responses, asked)
        return int(np.isnan(known[..., 0]).sum())


class _Watched(Judge):
    """A trial's judge, asked for nothing after a stop or beyond the budget."""

    def __init__(self, trial: RuleTrial, stop: threading.Event) -> None:
        self.trial, self.judge, self.stop = trial, trial.judge, stop
        self.identity, self.pairwise = self.judge.identity, self.judge.pairwise
        self.spending, self.answered = self.judge.spending, self.judge.answered

    def rate(self, prompts, responses, rules: RuleSet, mask=None) -> Rating:
        n = int(mask.sum()) if mask is not None else len(responses) * len(rules)
        if self.stop.is_set() or n > self.trial.left:
            raise RatingInterrupted(Rating.blank(len(responses), len(rules)))
        self.trial.sent += n
        return self.judge.rate(prompts, responses, rules, mask)

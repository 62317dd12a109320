"""What a judge is: one protocol, the value that its `rate` gives, and the scores of pairs.

Prompts, responses and rules come in, a `Rating` or `Scores` go out; every judge's module says how.
`rulekit.rating` knows judges by this alone.
"""

from __future__ import annotations

import inspect
import uuid
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Protocol

import numpy as np
import polars as pl

from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import conversation
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges.answered import Answered


class Stopped(Enum):
    """Why a judge sends nothing more."""

    BUDGET = "budget"  # what is left of it may not cover one more request
    REFUSED = "refused"  # the server refuses every request: key, model or account
    UNREACHABLE = "unreachable"  # too many ratings in a row failed by the server's own trouble
    MISBEHAVED = "misbehaved"  # the server does what it was not asked for, or has another model


@dataclass
class Usage:
    """What ratings took; `a + b` adds.

    Attributes
    ----------
    requests, retries
        Requests sent, and those among them that repeated a failed one.
    prompt_tokens, cached_tokens, completion_tokens
        Tokens that a server counted: read, of these found in its cache, and written.
    cost, uncertain_cost
        What these tokens cost, and a bound of what requests without a usable reply may have cost:
        a server may bill a reply that got lost. In the unit of the judge's prices.
    tokens, tokens_one_by_one
        Processed by the model, and what one pass a rating would have processed.
    truncated, tokens_cut
        Responses whose conversation was cut, and the tokens that were lost.
    neutralised
        Responses in whose conversation marks of a chat or of the prompt were made plain text.
    """

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    uncertain_cost: float = 0.0
    tokens: int = 0
    tokens_one_by_one: int = 0
    truncated: int = 0
    tokens_cut: int = 0
    neutralised: int = 0

    def __add__(self, other: Usage) -> Usage:
        names = [f.name for f in fields(Usage)]
        return Usage(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass
class Spending(Usage):
    """What a judge with prices has sent and spent in its life.

    Attributes
    ----------
    earlier
        What other judges have spent of the same budget, for the caller to set before a request.
    run
        Names this judge's life among those that share a budget.
    """

    earlier: float = 0.0
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def spent(self) -> float:
        """The most that can have been spent, in earlier runs too: what a budget is held to."""
        return self.earlier + self.cost + self.uncertain_cost


@dataclass(eq=False)
class Rating:
    """The ratings of one call, filled while it runs, so that one that breaks keeps its own.

    A wanted cell that is NaN and not in `failures` was not asked about.

    Parameters
    ----------
    probabilities
        P(no), P(irrelevant), P(yes), float32 (n_responses, n_rules, 3); NaN: not rated.
    mass
        Share of the judge's answer that went to the three answers before they were made to sum
        to 1, float32 (n_responses, n_rules): near 1 for a judge that answers the question. NaN
        where not rated, and everywhere (the default) for a judge that does not tell.
    failures
        (response, rule) → why the cell was asked about and has no rating.
    usage
        What the call took.
    stopped, reason
        Why the judge sends nothing more, if that is so, and the sentence that tells it.

    Raises
    ------
    ValueError
        If an array has another shape.
    """

    probabilities: np.ndarray
    mass: np.ndarray | None = None
    failures: dict[tuple[int, int], str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    stopped: Stopped | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        self.probabilities = p = np.asarray(self.probabilities, np.float32)
        if p.ndim != 3 or p.shape[2] != 3:
            raise ValueError(f"probabilities: {p.shape}; allowed: (n_responses, n_rules, 3)")
        mass = np.full(p.shape[:2], np.nan) if self.mass is None else self.mass
        self.mass = np.asarray(mass, np.float32)
        if self.mass.shape != p.shape[:2]:
            raise ValueError(f"mass: {self.mass.shape}; allowed: {p.shape[:2]}")

    @classmethod
    def blank(cls, n_responses: int, n_rules: int) -> Rating:
        """A rating in which nothing is rated yet."""
        return cls(np.full((n_responses, n_rules, 3), np.nan, np.float32))

    @property
    def rated(self) -> np.ndarray:
        """Which cells have a rating, bool (n_responses, n_rules)."""
        return ~np.isnan(self.probabilities[..., 0])

    def gaps(self, wanted: np.ndarray | None = None) -> str:
        """Why wanted cells have no rating, in words; an empty string if all have one.

        Parameters
        ----------
        wanted
            bool (n_responses, n_rules); all by default.
        """
        wanted = np.ones(self.mass.shape, bool) if wanted is None else wanted
        missing, n = wanted & ~self.rated, int(wanted.sum())
        failed = Counter(why for cell, why in self.failures.items() if missing[cell])
        said = []
        if unsent := int(missing.sum()) - failed.total():
            why = self.reason or "the judge stopped"
            said.append(f"{why}: {unsent} of {n} ratings were not sent")
        if failed:
            most = "; ".join(f"{times} × {why}" for why, times in failed.most_common(3))
            said.append(f"{failed.total()} of {n} ratings failed ({most})")
        return "; ".join(said)

    def complete(self) -> np.ndarray:
        """The probabilities, if no cell is missing.

        Raises
        ------
        RatingFailed
            If one is; it says why and carries this rating.
        """
        if gaps := self.gaps():
            raise RatingFailed(f"{gaps}; the others are in its `rating`", self)
        return self.probabilities


class RatingFailed(RuntimeError):
    """Ratings were asked for and could not be had; `rating` carries those that could.

    Parameters
    ----------
    message
        Why.
    rating
        What was rated before.
    """

    def __init__(self, message: str, rating: Rating) -> None:
        super().__init__(message)
        self.rating = rating


class RatingInterrupted(KeyboardInterrupt):
    """Ctrl-C or the stop button; `rating` carries what was rated before.

    Parameters
    ----------
    rating
        What was rated before.
    """

    def __init__(self, rating: Rating) -> None:
        super().__init__("interrupted; what was rated is in its `rating`")
        self.rating = rating


@contextmanager
def keeping(rating: Rating) -> Iterator[Rating]:
    """A block that fills a rating: what breaks it comes out with the rating, filled so far.

    Raises
    ------
    RatingFailed
        For an error in the block.
    RatingInterrupted
        For Ctrl-C in it.
    """
    try:
        yield rating
    except KeyboardInterrupt:
        raise RatingInterrupted(rating) from None
    except Exception as error:
        raise RatingFailed(f"{type(error).__name__}: {error}", rating) from error


class Judge(Protocol):
    """Who rates responses under rules: a class that inherits this and has `identity` and `rate`.

    Attributes
    ----------
    identity
        All that a rating depends on besides the texts, such as model, revision and template:
        ratings are stored under it.
    pairwise
        Whether it compares: responses are then tuples (first, second), yes means that the first is
        the better one under the rule, no that the second is.
    spending
        Of a judge with prices, to which a caller may add what others have spent.
    answered
        Of a judge whose model may be exchanged behind its name: who has answered, to which a caller
        tells who did before.
    """

    identity: str
    pairwise: bool = False
    spending: Spending | None = None
    answered: Answered | None = None

    @abstractmethod
    def rate(
        self,
        prompts: Sequence[str | list[dict]],
        responses: Sequence[str] | Sequence[tuple[str, str]],
        rules: RuleSet,
        mask: np.ndarray | None = None,
    ) -> Rating:
        """Rate responses under rules.

        Parameters
        ----------
        prompts
            What came before each response, (n_responses,): a text, or a list of
            ``{role, content}`` messages.
        responses
            Texts, or for a pairwise judge tuples of two, (n_responses,).
        rules
            n_rules rules.
        mask
            Which ratings are wanted, bool (n_responses, n_rules); None wants all. Elsewhere the
            rating is NaN.

        Raises
        ------
        ValueError
            For arguments that do not fit, before anything is asked.
        RatingFailed
            If it breaks; a cell alone that cannot be rated is one of the rating's `failures`.
        RatingInterrupted
            For Ctrl-C.
        """

    def caveats(self, rules: RuleSet) -> tuple[str, ...]:
        """What a reader of its ratings under these rules has to know, in sentences; mostly nothing.

        Parameters
        ----------
        rules
            Any rule set.
        """
        return ()


class _Completed(Judge):
    """A judge that does not inherit `Judge`, with the defaults of what it does not say."""

    def __init__(self, judge: object) -> None:
        self.judge = judge
        self.pairwise = bool(getattr(judge, "pairwise", False))
        self.spending = getattr(judge, "spending", None)
        self.answered = getattr(judge, "answered", None)

    @property
    def identity(self) -> str:
        return self.judge.identity

    def rate(self, prompts, responses, rules: RuleSet, mask=None) -> Rating:
        return self.judge.rate(prompts, responses, rules, mask)


def as_judge(judge: object) -> Judge:
    """The judge itself, or one that has only `identity` and `rate`, completed by the defaults.

    Raises
    ------
    ValueError
        If it has not even these.
    """
    lacks = isinstance(judge, type) or not callable(getattr(judge, "rate", None))
    if lacks or inspect.getattr_static(judge, "identity", "") == "":
        raise ValueError(
            f"{judge!r:.60} is no judge; allowed: what rulekit.judges.judge gives, or an object "
            "with `identity`, a text that is not empty, and `rate(prompts, responses, rules, mask)`"
        )
    return judge if Judge in type(judge).__mro__ else _Completed(judge)


def wanted_cells(
    prompts: Sequence, responses: Sequence, rules: RuleSet, mask=None, pairwise: bool = False
) -> np.ndarray:
    """Which cells a call of `rate` asks for, bool (n_responses, n_rules), once its arguments fit.

    Parameters
    ----------
    prompts, responses, rules, mask
        As for `Judge.rate`.
    pairwise
        Whether responses are tuples of two texts.

    Raises
    ------
    ValueError
        If lengths, the mask or the kinds of texts do not fit.
    """
    shape = (len(responses), len(rules))
    if len(prompts) != shape[0]:
        raise ValueError(f"prompts: {len(prompts)}; allowed: {shape[0]}, one a response")
    allowed = "tuples of two texts" if pairwise else "texts"
    for i, response in enumerate(responses):
        texts = response if pairwise and type(response) is tuple else (response,)
        if len(texts) != 1 + pairwise or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"responses: {response!r:.40} at {i}; allowed: {allowed}")
    mask = np.ones(shape, bool) if mask is None else np.asarray(mask)
    if mask.shape != shape or mask.dtype != bool:
        raise ValueError(f"mask: {mask.dtype} {mask.shape}; allowed: bool {shape}")
    return mask


def score(pairs: pl.DataFrame, rules: RuleSet, judge: Judge, *, both_orders: bool = True) -> Scores:
    """Scores of pairs, in their order; what occurs in several pairs is rated once.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    rules
        n_rules rules.
    judge
        Who rates. The relevance 1 - P(irrelevant) is the mean over the two responses, or over the
        two orders; of a judge that compares, the discrepancy is P(yes) - P(no).
    both_orders
        Whether a judge that compares is asked with either response first, and the mean is taken:
        its liking for a place falls out.

    Raises
    ------
    RatingFailed
        If a rating is missing, for these scores have no gaps; `rulekit.rating` keeps the others.
    ValueError
        If it is no judge, or gives no `Rating`.
    """
    judge, identity = as_judge(judge), Identity.of(rules, pairs)
    prompts = pairs["prompt"].to_list()
    texts = [conversation(prompt) for prompt in prompts]
    sides = [pairs[c].to_list() for c in ("response_a", "response_b")]
    if judge.pairwise:
        orders = (sides, sides[::-1]) if both_orders else (sides,)
        sides = [list(zip(*order, strict=True)) for order in orders]
    keys = [list(zip(texts, side, strict=True)) for side in sides]
    row = {key: i for i, key in enumerate(dict.fromkeys(key for side in keys for key in side))}
    prompt_of = dict(zip(texts, prompts, strict=True))
    asked = [prompt_of[text] for text, _ in row], [response for _, response in row]
    rating = judge.rate(*asked, rules)
    if not isinstance(rating, Rating):
        raise ValueError(f"rate gave {type(rating).__name__}; allowed: rulekit.judges.Rating")
    p = rating.complete()
    scores, relevance = p[..., 2] - p[..., 0], 1 - p[..., 1]
    at = [[row[key] for key in side] for side in keys]
    weight = np.mean([relevance[rows] for rows in at], axis=0).clip(0, 1)
    if not judge.pairwise:
        return Scores(*(scores[rows] for rows in at), weight, identity=identity)
    turned = [sign * scores[rows] for sign, rows in zip((1, -1), at, strict=False)]
    return Scores.from_discrepancy(np.mean(turned, axis=0), weight, identity=identity)

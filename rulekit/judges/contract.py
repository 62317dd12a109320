"""What a judge is: the protocols, what a call of `rate` gives, and the scores of pairs.

Prompts, responses and rules come in, probabilities or `Scores` go out; every judge's module says
how. `rulekit.rating` knows judges by this alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl

from rulekit.inputs.pairs import conversation
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores

NOT_SENT = "not sent: "  # how the reason of a cell begins that the judge did not ask for


class Judge(Protocol):
    """Anything that scores pairs under rules."""

    def score(self, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
        """Scores of the pairs, in their order, under the rules, in their order."""


class Rater(Protocol):
    """A judge of single responses whose ratings can be stored.

    It may have more to tell: `last` (of the latest call: `mass`, `failures` and `stopped`, as of
    `Rating`), `report` (such as `rulekit.judges.local.judge.Report`) and `spending` (such as
    `rulekit.judges.Spending`).
    """

    @property
    def identity(self) -> str:
        """All that a rating depends on besides the texts: model, revision, template."""

    def rate(
        self,
        prompts: list[str | list[dict]],
        responses: list[str],
        rules: RuleSet,
        mask: np.ndarray | None,
    ) -> np.ndarray:
        """P(no), P(irrelevant), P(yes) of each response under each rule.

        Parameters
        ----------
        prompts
            What came before each response, (n_responses,): a text, or a list of
            ``{role, content}`` messages.
        responses
            Texts, (n_responses,).
        rules
            n_rules rules.
        mask
            Which ratings are wanted, bool (n_responses, n_rules); None wants all.

        Returns
        -------
        float32 (n_responses, n_rules, 3), each a distribution; NaN where not wanted, and where the
        judge has no rating to give.
        """


class RunStopped(Exception):
    """No further request makes sense; the message says why and holds no key."""


@dataclass(eq=False)
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
    stopped
        Why the run was cut short, such as a budget that is used up; empty if it was not.
    """

    probabilities: np.ndarray
    mass: np.ndarray
    failures: dict[tuple[int, int], str] = field(default_factory=dict)
    stopped: str = ""

    def reasons(self) -> Counter[str]:
        """How many cells failed, by reason."""
        return Counter(self.failures.values())

    def gaps(self) -> list[str]:
        """Why wanted cells are NaN: a sentence for those not sent, and one for those failed."""
        reasons = self.reasons()
        wanted = int((~np.isnan(self.mass)).sum()) + reasons.total()
        said = []
        if unsent := reasons.pop(f"{NOT_SENT}{self.stopped}", 0):
            said.append(f"{self.stopped}: {unsent} of {wanted} ratings were not sent and are NaN")
        if reasons:
            most = "; ".join(f"{n} × {r}" for r, n in reasons.most_common(3))
            said.append(f"{reasons.total()} of {wanted} ratings failed and are NaN; {most}")
        return said


def score_pairs(rate: Callable, pairs: pl.DataFrame, rules: RuleSet) -> Scores:
    """Scores of pairs, in their order; a response that occurs in several pairs is rated once.

    Parameters
    ----------
    rate
        Called as ``rate(prompts, responses, rules)``; gives P(no), P(irrelevant), P(yes),
        (n_responses, n_rules, 3). A prompt is a string or a list of messages.
    pairs
        Canonical frame, n_pairs rows.
    rules
        n_rules rules.
    """
    prompts = pairs["prompt"].to_list()
    texts = [conversation(p) for p in prompts]
    sides = [list(zip(texts, pairs[c], strict=True)) for c in ("response_a", "response_b")]
    row = {key: i for i, key in enumerate(dict.fromkeys(sides[0] + sides[1]))}
    prompt_of = dict(zip(texts, prompts, strict=True))
    p = rate([prompt_of[text] for text, _ in row], [response for _, response in row], rules)
    score, relevance = p[..., 2] - p[..., 0], 1 - p[..., 1]
    a, b = ([row[key] for key in side] for side in sides)
    return Scores(
        score[a],
        score[b],
        ((relevance[a] + relevance[b]) / 2).clip(0, 1),
        rules.ids,
        pairs["pair_id"].to_list(),
    )

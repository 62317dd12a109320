"""What judges of single responses share: what a call of theirs gives, and the scores of pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from rulekit.pairs import conversation
from rulekit.rules import RuleSet
from rulekit.scores import Scores

NOT_SENT = "not sent: "  # how the reason of a cell begins that the judge did not ask for


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

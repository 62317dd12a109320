"""From ratings of single responses to scores of pairs: shared by the judges that rate one at a time."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from rulekit.rules import RuleSet
from rulekit.scores import Scores
from rulekit.store import conversation


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

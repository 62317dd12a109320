"""Does the order of things change a judge's ratings? A sample is rated again in other orders.

Pairs, rules and a judge come in, a frame of differences goes out. ``rulekit annotate
--order-effects`` calls it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.judges import prompts as templates
from rulekit.judges.contract import Judge, score


def order_effects(
    pairs: pl.DataFrame, rules: RuleSet, judge: Judge, n: int = 20, seed: int = 0
) -> pl.DataFrame:
    """What another order of rules, responses, answers or prompt changes in the discrepancies.

    Parameters
    ----------
    pairs, rules
        What to rate.
    judge
        Any judge; one that asks a language model is also asked in other words.
    n
        Size of the sample of pairs; all if there are fewer.
    seed
        Of the sample and of the order of the rules.

    Returns
    -------
    One row a change: `change`, `ratings` (compared cells), `mean_difference` and `max_difference`
    of |δ - δ'| (0 to 2), with the standard error of the mean over pairs (`standard_error`), and
    `flipped`, the share of cells with |δ| > 0.01 whose sign turned (NaN where there is none).

    Notes
    -----
    `the same again` is the floor: what the machine's rounding does. A judge that rates every
    response and rule by itself changes no more than that when rules are shuffled and responses
    swapped; of one that compares two, swapping shows its liking for a place. The last two rows
    show how much ratings hang on the wording's order.
    """
    rng = np.random.default_rng(seed)
    sample = pairs[np.sort(rng.choice(len(pairs), min(n, len(pairs)), replace=False)).tolist()]
    order = rng.permutation(len(rules))

    def asked(pairs=sample, rules=rules, judge=judge) -> np.ndarray:
        return score(pairs, rules, judge, both_orders=False).discrepancy

    base = asked()
    shuffled = asked(rules=RuleSet(tuple(rules[int(j)] for j in order)))
    swapped = sample.with_columns(response_a="response_b", response_b="response_a")[::-1]
    found = [
        ("the same again", [asked()]),
        ("rules shuffled", [shuffled[:, np.argsort(order)]]),
        ("responses swapped", [-asked(swapped)[::-1]]),
    ]
    if isinstance(judge, templates.PromptedJudge):
        now = judge.template
        turn, other = {
            "conversation": ("rule before conversation", "rule_first"),
            "rule": ("rule after conversation", templates.DEFAULT),
        }[now.shared]
        for change, words in (
            ("answers listed in other orders", templates.answer_orders(now)),
            (turn, [other]),
        ):
            found.append((change, [asked(judge=judge.with_template(t)) for t in words]))
    return pl.DataFrame([_row(change, base, np.stack(other)) for change, other in found])


def _row(change: str, base: np.ndarray, other: np.ndarray) -> dict:
    """`base` is (n_pairs, n_rules), `other` (n_repeats, n_pairs, n_rules)."""
    difference = np.abs(other - base)
    by_pair = difference.mean(axis=(0, 2))
    large = np.broadcast_to(np.abs(base) > 0.01, other.shape)
    flips = (np.sign(other) == -np.sign(base))[large]
    return {
        "change": change,
        "ratings": difference.size,
        "mean_difference": float(difference.mean()),
        "standard_error": float(by_pair.std(ddof=1) / len(by_pair) ** 0.5)
        if len(by_pair) > 1
        else float("nan"),
        "max_difference": float(difference.max()),
        "flipped": float(flips.mean()) if flips.size else float("nan"),
    }

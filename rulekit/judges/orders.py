"""Does the order of things change a judge's ratings? A sample is rated again in other orders.

A judge, pairs and rules come in, a frame of differences goes out. ``rulekit annotate
--order-effects`` calls it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges import prompts as templates


def order_effects(
    judge, pairs: pl.DataFrame, rules: RuleSet, n: int = 20, seed: int = 0
) -> pl.DataFrame:
    """What another order of rules, responses, answers or prompt changes in the discrepancies.

    Parameters
    ----------
    judge
        Any judge; one with `with_template` is also asked in other words.
    pairs, rules
        What to rate.
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
    swapped; the last two rows show how much its ratings hang on the wording's order.
    """
    rng = np.random.default_rng(seed)
    sample = pairs[np.sort(rng.choice(len(pairs), min(n, len(pairs)), replace=False)).tolist()]
    base = judge.score(sample, rules).discrepancy
    order = rng.permutation(len(rules))
    shuffled = judge.score(sample, RuleSet(tuple(rules[int(j)] for j in order))).discrepancy
    swapped = judge.score(_swapped(sample), rules)
    found = [
        ("the same again", [judge.score(sample, rules).discrepancy]),
        ("rules shuffled", [shuffled[:, np.argsort(order)]]),
        ("responses swapped", [_reversed(swapped)]),
    ]
    if hasattr(judge, "with_template"):
        now = judge.template
        other = "rule_first" if now.shared == "conversation" else templates.DEFAULT

        def asked(template):
            return judge.with_template(template).score(sample, rules).discrepancy

        found.append(("answers listed in other orders", map(asked, templates.answer_orders(now))))
        turn = (
            "rule before conversation"
            if now.shared == "conversation"
            else "rule after conversation"
        )
        found.append((turn, [asked(other)]))
    return pl.DataFrame([_row(change, base, np.stack(list(other))) for change, other in found])


def _swapped(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.with_columns(response_a="response_b", response_b="response_a")[::-1]


def _reversed(scores: Scores) -> np.ndarray:
    """Discrepancies of swapped pairs, turned back to the order and sign of the pairs."""
    return -scores.discrepancy[::-1]


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

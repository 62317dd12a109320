"""The comparisons that the notebooks show, each a frame of figures: one row a method.

Everything that learns is cross-fitted by prompt: a figure is about pairs whose prompt the model
has not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from rulekit.evaluate import (
    adapter_metrics,
    paired_difference,
    pairwise_accuracy,
)
from rulekit.information import mutual_information
from rulekit.label import label
from rulekit.pairs import folds, prompt_groups
from rulekit.scores import Scores
from rulekit.select import Selection, select


def accuracy_row(name: str, margin, pairs: pl.DataFrame) -> dict:
    """One row: accuracy of margins against `pairs['preference']`, Wilson and by-prompt intervals."""
    groups = prompt_groups(pairs).to_list()
    return {"name": name, **pairwise_accuracy(margin, pairs["preference"], groups).as_dict()}


def length_margin(pairs: pl.DataFrame) -> np.ndarray:
    """The longer-response baseline: difference of lengths in characters, (n_pairs,)."""
    a, b = (pairs[c].str.len_chars().to_numpy().astype(float) for c in ("response_a", "response_b"))
    return a - b


def static_selection(pairs: pl.DataFrame, scores: Scores, k: int, seed: int = 0) -> Selection:
    """`static` with the preferences of the other folds' prompts, so that no pair chooses its rules."""
    fold = np.array(folds(pairs, seed=seed))
    preference = pairs["preference"].fill_null(0).to_numpy()
    indices = np.empty((len(pairs), k), np.int32)
    for f in range(fold.max() + 1):
        own, other = fold == f, fold != f
        chosen = select(scores.rows(own), k, "static", reference=scores.rows(other),
                        preference=preference[other])  # fmt: skip
        indices[own] = chosen.indices
    return Selection(indices, "static", scores.n_rules)


def selection_table(
    pairs: pl.DataFrame, scores: Scores, k: int = 5, seed: int = 0, tie: str = "abstain"
) -> pl.DataFrame:
    """Accuracy of sum labels by selection method against the known preference."""
    rows = []
    for method in ("all", "random", "static", "relevance_discrepancy", "max_discrepancy"):
        if method == "static":
            chosen = static_selection(pairs, scores, k, seed)
        else:
            chosen = select(scores, k, method, seed=seed)
        margin = label(scores, chosen, tie=tie).margin
        rows.append(accuracy_row(method, margin, pairs))
    return pl.DataFrame(rows)


def selection_grid(
    pairs: pl.DataFrame,
    scores: Scores,
    test: np.ndarray,
    ks: Sequence[int] = (1, 3, 5, 10, 20, 100),
    methods: Sequence[str] = ("all", "random", "static", "relevance", "max_discrepancy",
                              "relevance_discrepancy"),
    seed: int = 0,
) -> pl.DataFrame:  # fmt: skip
    """Sum labels by selection method and k on the test pairs, each compared with maximum discrepancy.

    Parameters
    ----------
    test
        bool (n_pairs,): the pairs that count; `static` chooses its rules on the others.

    Returns
    -------
    One row a method and k: accuracy with its intervals, `information` in bits between label and
    preference (Miller-Madow), and `over_max_discrepancy`, the difference of accuracy at the same
    k with its interval over prompts and a sign-flip p-value.
    """
    mine, known = pairs.filter(pl.Series(test)), pairs["preference"].to_numpy()
    own, other = scores.rows(test), scores.rows(~test)
    groups = prompt_groups(mine).to_list()
    rows = []
    for k in ks:
        reference = label(own, select(own, k, "max_discrepancy")).margin
        for method in methods:
            given = {"reference": other, "preference": known[~test]} if method == "static" else {}
            margin = label(own, select(own, k, method, seed=seed, **given)).margin
            gain = paired_difference(margin, reference, known[test], groups, seed=seed)
            bits = mutual_information(np.sign(margin), known[test])
            rows.append(accuracy_row(method, margin, mine) | {
                "k": k, "information": bits, "over_max_discrepancy": gain.value,
                "over_low": gain.low, "over_high": gain.high, "p_value": gain.p_value})  # fmt: skip
    return pl.DataFrame(rows)


def adapter_report(
    pairs: pl.DataFrame, scores: Scores, probabilities: np.ndarray, k: int = 5
) -> tuple[dict, pl.DataFrame]:
    """Held-out figures of a Rule Adapter, and the accuracy of its labels beside the oracle's.

    Parameters
    ----------
    probabilities
        Of an adapter that has not seen the pair's prompt, (n_pairs, n_rules), as
        `training.cross_fit_adapter` gives them.
    k
        Rules per pair.
    """
    from rulekit.training.rule_adapter import top_rules

    oracle, named = select(scores, k), top_rules(probabilities, k)
    target = oracle.mask()
    frequent = _out_of_fold_frequency(pairs, target)
    figures = adapter_metrics(probabilities, target, k)
    figures["frequent_recall_at_k"] = adapter_metrics(frequent, target, k)["recall_at_k"]
    margins = {"oracle": label(scores, oracle).margin, "rule_adapter": label(scores, named).margin}
    margins["random"] = label(scores, select(scores, k, "random")).margin
    for name in ("rule_adapter", "random"):
        decided = margins["oracle"] != 0
        agreement = pairwise_accuracy(margins[name][decided], np.sign(margins["oracle"])[decided])
        figures[f"{name}_label_agreement"] = agreement.as_dict()
    table = pl.DataFrame([accuracy_row(name, m, pairs) for name, m in margins.items()])
    return figures, table


def reward_table(
    pairs: pl.DataFrame, targets: dict[str, np.ndarray], seed: int = 0, **settings
) -> pl.DataFrame:
    """Held-out accuracy of reward models trained on different labels, and the length baseline."""
    from rulekit.training import cross_fit_rewards

    rows = [accuracy_row("longer response", length_margin(pairs), pairs)]
    for name, target in targets.items():
        margin = cross_fit_rewards(pairs, target, seed=seed, **settings)
        rows.append(accuracy_row(f"trained on {name}", margin, pairs))
    return pl.DataFrame(rows)


def explain_pair(scores: Scores, selection: Selection, row: int, shown: int = 12) -> pl.DataFrame:
    """One pair's rules by size of discrepancy, the chosen ones marked."""
    delta = scores.discrepancy[row]
    order = np.argsort(-np.abs(delta), kind="stable")[:shown]
    ids = scores.rule_ids or [f"r{j:03d}" for j in range(scores.n_rules)]
    chosen = set(selection.indices[row].tolist())
    return pl.DataFrame(
        {
            "rule": [ids[j] for j in order],
            "discrepancy": delta[order].astype(float),
            "chosen": [int(j) in chosen for j in order],
        }
    )


def _out_of_fold_frequency(pairs: pl.DataFrame, target: np.ndarray) -> np.ndarray:
    """How often each rule is chosen on the other folds' prompts, (n_pairs, n_rules)."""
    fold = np.array(folds(pairs))
    return np.stack([target[fold != f].mean(axis=0) for f in range(fold.max() + 1)])[fold]

"""What a Rule Adapter and a reward model learn from labels, measured on prompts they have not seen.

Pairs, scores, probabilities or targets come in, figures and frames go out; notebooks show them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import Labels, label
from rulekit.measures import adapter_metrics, pairwise_accuracy
from rulekit.selection.registry import select
from rulekit.studies.selection_accuracy import accuracy_row, length_margin


def adapter_report(
    pairs: pl.DataFrame, scores: Scores, probabilities: np.ndarray, k: int = 5
) -> tuple[dict, pl.DataFrame]:
    """Held-out figures of a Rule Adapter, and the accuracy of its labels beside the oracle's.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores under n_rules rules.
    probabilities
        Of an adapter that has not seen the pair's prompt, (n_pairs, n_rules), as
        `training.cross_fit_adapter` gives them.
    k
        Rules per pair.

    Returns
    -------
    Figures of `measures.adapter_metrics` with those of the most frequent rules and the agreement of
    labels with the oracle's; and a row a way to choose rules, columns as `accuracy_row` has them.
    """
    from rulekit.training.rule_adapter import top_rules

    scores = scores.of(pairs)
    oracle, named = select(scores, k), top_rules(probabilities, k, scores.identity)
    target = oracle.mask()
    frequent = _out_of_fold_frequency(pairs, target)
    figures = adapter_metrics(probabilities, target, k)
    figures["frequent_recall_at_k"] = adapter_metrics(frequent, target, k)["recall_at_k"]
    margins = {"oracle": label(scores, oracle).margin, "rule_adapter": label(scores, named).margin}
    margins["random"] = label(scores, select(scores, k, "random")).margin
    decided = margins["oracle"] != 0
    groups = prompt_groups(pairs).to_numpy()[decided]
    for name in ("rule_adapter", "random"):
        right = np.sign(margins["oracle"])[decided]
        agreement = pairwise_accuracy(margins[name][decided], right, groups)
        figures[f"{name}_label_agreement"] = agreement.as_dict()
    table = pl.DataFrame([accuracy_row(name, m, pairs) for name, m in margins.items()])
    return figures, table


def reward_table(
    pairs: pl.DataFrame,
    targets: dict[str, Labels | np.ndarray | None],
    *,
    seed: int = 0,
    **settings,
) -> pl.DataFrame:
    """Held-out accuracy of reward models trained on different labels, and the length baseline.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    targets
        Name → what `rulekit.train_reward` takes as labels.
    seed, settings
        As for `training.cross_fit_rewards`, its `config` among them.
    """
    from rulekit.training import cross_fit_rewards

    rows = [accuracy_row("longer response", length_margin(pairs), pairs)]
    for name, target in targets.items():
        margin = cross_fit_rewards(pairs, target, seed=seed, **settings)
        rows.append(accuracy_row(f"trained on {name}", margin, pairs))
    return pl.DataFrame(rows)


def _out_of_fold_frequency(pairs: pl.DataFrame, target: np.ndarray) -> np.ndarray:
    """How often each rule is chosen on the other folds' prompts, (n_pairs, n_rules)."""
    fold = np.array(folds(pairs))
    return np.stack([target[fold != f].mean(axis=0) for f in range(fold.max() + 1)])[fold]

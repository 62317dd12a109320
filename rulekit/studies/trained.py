"""What a Rule Adapter and a reward model learn from labels, measured on prompts they have not seen.

Pairs, scores, probabilities or targets come in; figures, frames and sentences about them go out.
Notebooks 8 and 9 show them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import Labels, label
from rulekit.measures import adapter_metrics, mean_difference
from rulekit.selection.registry import select
from rulekit.studies.gains import accuracy_table
from rulekit.studies.phrases import compared, listed, percent, verdict, with_interval
from rulekit.studies.selection_accuracy import accuracy_row, length_margin, rule_orders

N_FOLDS = 5  # of prompts; with fewer prompts nothing is cross-fitted


def can_cross_fit(pairs: pl.DataFrame) -> bool:
    """Whether there are prompts enough for five folds."""
    return prompt_groups(pairs).n_unique() >= N_FOLDS


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
    Figures of `measures.adapter_metrics` with those of the most frequent rules, the difference of
    recall to theirs with its interval over prompts, and the agreement of labels with the oracle's;
    and a row a way to choose rules, columns as `accuracy_row` has them: none without known
    preferences.
    """
    from rulekit.training.rule_adapter import top_rules

    scores = scores.of(pairs)
    oracle, named = select(scores, k), top_rules(probabilities, k, scores.identity)
    target = oracle.mask()
    frequent = _out_of_fold_frequency(pairs, target)
    figures = adapter_metrics(probabilities, target, k)
    figures["frequent_recall_at_k"] = adapter_metrics(frequent, target, k)["recall_at_k"]
    usual = top_rules(frequent, k, scores.identity).mask()
    gain = ((named.mask() & target).sum(axis=1) - (usual & target).sum(axis=1)) / k
    over = mean_difference(gain, prompt_groups(pairs).to_numpy())
    figures["recall_over_frequent"] = over.as_dict()
    margins = {"oracle": label(scores, oracle).margin, "rule_adapter": label(scores, named).margin}
    margins["random"] = rule_orders(pairs, scores, k, "random")
    right = np.sign(margins["oracle"])
    agreement = {name: margins[name] for name in ("rule_adapter", "random")}
    for row in accuracy_table(pairs, agreement, right).to_dicts():
        figures[f"{row.pop('name')}_label_agreement"] = row
    return figures, accuracy_table(pairs, margins)


def recall_table(figures: dict) -> pl.DataFrame:
    """Recall and label agreement of an adapter beside its floors.

    Parameters
    ----------
    figures
        From `adapter_report`.

    Returns
    -------
    Rows ``adapter``, ``the most frequent rules`` and ``rules at random``: ``recall``, and
    ``agreement`` with the labels known from all ratings, ``low``, ``high``, null where unknown.
    """
    rows = []
    for name, recall, agreement in (
        ("adapter", "recall_at_k", "rule_adapter_label_agreement"),
        ("the most frequent rules", "frequent_recall_at_k", ""),
        ("rules at random", "random_recall_at_k", "random_label_agreement"),
    ):
        told = figures.get(agreement, {})
        row = {"name": name, "recall": figures[recall], "agreement": told.get("value")}
        rows.append(row | {end: told.get(end) for end in ("low", "high")})
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(("agreement", "low", "high"), float))


def adapter_findings(figures: dict, gains: pl.DataFrame, k: int, n_rules: int) -> str:
    """What a Rule Adapter is worth, in sentences made of its figures.

    Parameters
    ----------
    figures
        From `adapter_report`.
    gains
        From `paired_gains`, against the labels of the k rules known from all ratings; may be empty.
    k, n_rules
        Rules named, and rules there are.

    Returns
    -------
    Markdown.
    """
    over = figures["recall_over_frequent"]
    side = verdict(over)
    beside = {
        1: "above always naming the most frequent rules",
        0: "not to be told from always naming the most frequent rules",
        -1: "below always naming the most frequent rules",
    }[side]
    said = [
        f"The adapter names {percent(figures['recall_at_k'])} of the {k} rules of largest "
        f"|δ| from the texts alone. That is {beside} ({percent(figures['frequent_recall_at_k'])}); "
        f"a random choice names {percent(figures['random_recall_at_k'])}."
    ]
    if "rule_adapter_label_agreement" in figures:
        own, chance = (figures[f"{n}_label_agreement"] for n in ("rule_adapter", "random"))
        said.append(
            f"Its labels agree with those of the {k} rules known from all ratings on "
            f"{with_interval(own)} of the pairs, random rules' on {with_interval(chance)}."
        )
    for row in gains.iter_rows(named=True):
        clause = compared(f"Accuracy with {row['name']}", f"that with {row['against']}", row)
        said.append(f"{clause}.")
    if gains.is_empty():
        said.append("Without known preferences nobody can say how often these labels are right.")
    share = percent(k / n_rules)
    said.append(f"What is saved: {k} of {n_rules} rules are rated for a new pair, {share} of all.")
    return listed(said)


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


def reward_margins(
    pairs: pl.DataFrame,
    targets: dict[str, Labels | np.ndarray | None],
    *,
    seed: int = 0,
    **settings,
) -> dict[str, np.ndarray]:
    """Margins of reward models on prompts that they have not seen, and the length of responses.

    Parameters
    ----------
    pairs, targets, seed, settings
        As for `reward_table`.

    Returns
    -------
    ``longer response``, and ``trained on`` each name: margins, (n_pairs,).
    """
    from rulekit.training import cross_fit_rewards

    margins = {"longer response": length_margin(pairs)}
    for name, target in targets.items():
        margins[f"trained on {name}"] = cross_fit_rewards(pairs, target, seed=seed, **settings)
    return margins


def reward_findings(table: pl.DataFrame, gains: pl.DataFrame, measure: str = "accuracy") -> str:
    """What reward models learned from different labels, in sentences made of their figures.

    Parameters
    ----------
    table
        From `accuracy_table`, one row ``longer response``.
    gains
        From `paired_gains`, against one of the models; empty if the table is.
    measure
        What the table holds; anything but ``accuracy`` is not called right.

    Returns
    -------
    Markdown.
    """
    if table.is_empty():
        return listed([f"With fewer than {N_FOLDS} prompts no reward model can be measured."])
    best = table.filter(pl.col("name") != "longer response").sort("value").row(-1, named=True)
    said = [
        f"Highest on unseen prompts: the model *{best['name']}*, {measure} {with_interval(best)}."
    ]
    for row in gains.filter(pl.col("name") != "longer response").iter_rows(named=True):
        clause = compared(f"The model *{row['name']}*", f"the one *{row['against']}*", row)
        said.append(f"{clause}.")
    length = table.filter(pl.col("name") == "longer response").row(0, named=True)
    if measure == "accuracy" and (length["low"] > 0.5 or length["high"] < 0.5):
        which = "longer" if length["value"] > 0.5 else "shorter"
        said.append(
            f"The {which} response is preferred more often than not ({with_interval(length)} for the "
            "longer): a model may live on length alone."
        )
    return listed(said)


def _out_of_fold_frequency(pairs: pl.DataFrame, target: np.ndarray) -> np.ndarray:
    """How often each rule is chosen on the other folds' prompts, (n_pairs, n_rules)."""
    fold = np.array(folds(pairs, N_FOLDS))
    return np.stack([target[fold != f].mean(axis=0) for f in range(fold.max() + 1)])[fold]

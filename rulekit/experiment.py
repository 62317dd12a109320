"""The comparisons that the notebooks show, each a frame of figures: one row a method.

Everything that learns is cross-fitted by prompt: a figure is about pairs whose prompt the model
has not seen.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.evaluate import adapter_metrics, auc, judge_metrics, pairwise_accuracy
from rulekit.label import label
from rulekit.pairs import folds, prompt_groups
from rulekit.rules import RuleSet
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


def encoder_judge_report(
    pairs: pl.DataFrame, rules: RuleSet, n_folds: int = 5, seed: int = 0
) -> dict:
    """The encoder judge on annotated prompts it has not seen, beside each rule's frequencies."""
    from rulekit.judges.encoder import EncoderJudge, annotated_responses

    fold = np.array(folds(pairs, n_folds, seed))
    predicted, truth, priors = [], [], []
    for f in range(n_folds):
        train = annotated_responses(pairs.filter(pl.Series(fold != f)), rules)
        prompts, responses, scores = annotated_responses(pairs.filter(pl.Series(fold == f)), rules)
        judge = EncoderJudge.train(train[0], train[1], rules, train[2], seed)
        predicted.append(judge.rate(prompts, responses, rules))
        truth.append(scores)
        counts = np.stack([(train[2] == v).sum(axis=0) for v in (-1, 0, 1)], axis=1) + 0.5
        prior = counts / counts.sum(axis=1, keepdims=True)
        priors.append(np.broadcast_to(prior, (*scores.shape, 3)))
    report = judge_metrics(*map(np.concatenate, (predicted, truth, priors)))
    return report | {"n_responses": int(sum(map(len, truth))), "n_rules": len(rules)}


def judge_agreement(scores: Scores, reference: Scores) -> dict[str, float]:
    """How well one judge's discrepancies agree with another's, where the other is decisive (|δ| > ½)."""
    delta, truth = scores.discrepancy, reference.discrepancy
    decisive = np.abs(truth) > 0.5
    value, low, high = auc(delta[decisive], truth[decisive] > 0)
    return {"decisive_auc": value, "low": low, "high": high, "n_decisive": int(decisive.sum())}


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

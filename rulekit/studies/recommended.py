"""Labels as the kit recommends them: rules weighted by what a few labelled pairs tell.

Pairs and scores come in; for each fold of prompts, labels that have seen none of its preferences,
and what an adapter and a reward model learn from them, go out. Notebooks 8 and 9 show them beside
the paper's sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from rulekit.inputs.pairs import folds
from rulekit.inputs.scores import Scores
from rulekit.labels import Labels, label
from rulekit.selection.estimates import Estimates, estimate
from rulekit.selection.registry import Selection, select
from rulekit.studies.selection_accuracy import accuracy_row


@dataclass(frozen=True, eq=False)
class Recommended:
    """Weighted labels, one set a fold of prompts, made without that fold's preferences.

    Attributes
    ----------
    fold
        Of each pair, (n_pairs,).
    estimates
        What rules are worth, (n_folds,), from labelled pairs of the other folds.
    every
        Labels of all pairs by all rules, (n_folds,).
    named
        Labels of all pairs by the k rules that an adapter names, (n_folds,). It was trained on the
        other folds, towards the rules that carry the label.
    deciding
        These rules themselves, (n_folds,).
    """

    fold: np.ndarray
    estimates: list[Estimates]
    every: list[Labels]
    named: list[Labels]
    deciding: list[Selection]


def recommended_labels(
    pairs: pl.DataFrame, scores: Scores, k: int = 5, n_labelled: int = 100, seed: int = 0
) -> Recommended:
    """Weight all rules by what labelled pairs tell, and train an adapter towards those that decide.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores, found by id.
    k
        Rules that the adapter names for a pair.
    n_labelled
        Pairs of the other folds whose preference is looked at, 1 or more; all of theirs if there
        are fewer.
    seed
        Of the five folds and of the labelled pairs.
    """
    from rulekit.training import frozen, load_config, top_rules

    scores, fold = scores.of(pairs), np.array(folds(pairs, seed=seed))
    known = pairs["preference"].fill_null(0).to_numpy()
    config = load_config(None, task="adapter", seed=seed)
    x = frozen.features(pairs)
    found = Recommended(fold, [], [], [], [])
    for f in range(fold.max() + 1):
        seen = fold != f
        labelled = np.random.default_rng((seed, f)).permutation(np.flatnonzero(seen & (known != 0)))
        preference = np.full(len(pairs), np.nan)  # not looked at
        preference[labelled[:n_labelled]] = known[labelled[:n_labelled]]
        believed = estimate(scores.rows(seen), preference[seen])
        deciding = select(scores, k, "adaptive", estimates=believed)
        head = frozen.fit_adapter(x[seen], deciding.mask()[seen], config)
        logits = x @ head.weight.T + head.bias
        named = top_rules(logits, k, scores.identity)
        how = {"method": "weighted", "tie": "soft", "estimates": believed}
        found.estimates.append(believed)
        found.every.append(label(scores, **how))
        found.named.append(label(scores, named, **how))
        found.deciding.append(deciding)
    return found


def own_fold_margin(labels: list[Labels], fold: np.ndarray) -> np.ndarray:
    """Margin of each pair from the labels that have not seen its fold's preferences, (n_pairs,).

    Parameters
    ----------
    labels, fold
        `every` or `named` of `recommended_labels`, and its folds.
    """
    return np.stack([one.margin for one in labels])[fold, np.arange(len(fold))]


def recommended_table(pairs: pl.DataFrame, scores: Scores, found: Recommended) -> pl.DataFrame:
    """Accuracy of the recommended labels on prompts whose preferences they have not seen.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    found
        From `recommended_labels`.

    Returns
    -------
    A row a way to label, columns as `accuracy_row` has them.
    """
    scores = scores.of(pairs)
    decided = [
        label(scores, chosen, "weighted", estimates=believed)
        for chosen, believed in zip(found.deciding, found.estimates, strict=True)
    ]
    rows = {"all rules, weighted": found.every, "deciding rules, weighted": decided}
    rows["rules the adapter names, weighted"] = found.named
    return pl.DataFrame(
        [
            accuracy_row(name, own_fold_margin(labels, found.fold), pairs)
            for name, labels in rows.items()
        ]
    )


def recommended_rewards(
    pairs: pl.DataFrame, labels: list[Labels], fold: np.ndarray, config: str | None = None
) -> np.ndarray:
    """Margin of each pair from a frozen reward model trained on the other folds' labels, (n_pairs,).

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    labels, fold
        `every` or `named` of `recommended_labels`, and its folds.
    config
        Preset of a frozen model, such as ``smollm2-frozen``; None is the encoder.

    Raises
    ------
    ValueError
        For a preset that is fine-tuned.
    """
    from rulekit.training import load_config
    from rulekit.training.reward_model import frozen_margins

    settings = load_config(config, task="reward")
    if not settings.frozen:
        raise ValueError(f"config {config!r} is fine-tuned; allowed: a frozen model")
    margins, out = frozen_margins(pairs, settings), np.empty(len(pairs))
    for f, one in enumerate(labels):
        target = one.aligned(pairs).target
        seen, test = (fold != f) & ~np.isnan(target), fold == f
        out[test] = margins(target, seen)[test]
    return out

"""Labels and rules as the kit recommends them: weighted by what a few labelled pairs tell.

Pairs and scores come in; for each fold of prompts, estimates and labels that have seen none of its
preferences go out. Notebooks 4 and 5 show them beside the paper's sum.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs.pairs import folds
from rulekit.inputs.scores import Scores
from rulekit.labels import Labels, label
from rulekit.selection.estimates import Estimates, estimate
from rulekit.selection.registry import Selection, select


def fold_estimates(
    pairs: pl.DataFrame, scores: Scores, n_labelled: int = 100, n_folds: int = 5, seed: int = 0
) -> list[Estimates]:
    """What rules are worth, for each fold from pairs of the other folds' prompts.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores, found by id.
    n_labelled
        Pairs of the other folds whose preference is looked at, 1 or more; all of theirs if there
        are fewer.
    n_folds, seed
        Of `rulekit.inputs.folds`; the seed also draws the labelled pairs.

    Returns
    -------
    `Estimates` to be used on the pairs of each fold, (n_folds,).
    """
    scores, fold = scores.of(pairs), np.array(folds(pairs, n_folds, seed))
    known = pairs["preference"].fill_null(0).to_numpy()
    found = []
    for f in range(n_folds):
        seen = fold != f
        labelled = np.flatnonzero(seen & (known != 0))
        looked_at = np.zeros(len(pairs), bool)
        looked_at[np.random.default_rng((seed, f)).permutation(labelled)[:n_labelled]] = True
        preference = np.where(looked_at, known, 0)[seen]
        found.append(estimate(scores.rows(seen), preference))
    return found


def weighted_labels(scores: Scores, estimates: list[Estimates], tie: str = "soft") -> list[Labels]:
    """Labels of all pairs by each fold's estimates, every rule weighted.

    Parameters
    ----------
    scores
        Of n_pairs pairs.
    estimates
        From `fold_estimates`.
    tie
        As for `rulekit.label`.
    """
    return [label(scores, None, "weighted", tie, estimates=one) for one in estimates]


def deciding_rules(scores: Scores, estimates: list[Estimates], k: int = 5) -> list[Selection]:
    """The k rules of each pair that carry its weighted label, by each fold's estimates.

    Parameters
    ----------
    scores
        Of n_pairs pairs.
    estimates
        From `fold_estimates`.
    k
        Rules per pair.
    """
    return [select(scores, k, "adaptive", estimates=one) for one in estimates]


def of_own_fold(pairs: pl.DataFrame, values: list[np.ndarray], seed: int = 0) -> np.ndarray:
    """Of one value a fold and pair the one of the pair's own fold.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    values
        (n_folds,) arrays, a row a pair each.
    seed
        Of the folds.
    """
    fold = np.array(folds(pairs, len(values), seed))
    return np.stack(values)[fold, np.arange(len(fold))]

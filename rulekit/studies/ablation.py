"""One run of an ablation: pairs, scores and one choice of everything come in, outcomes by pair go out.

A fold of prompts is kept apart, rules are chosen and labels made without it, a reward model learns
from the labels of the other folds; both are measured on the fold. `ablation_words` reads many runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import Labels, label
from rulekit.measures import pairwise_accuracy
from rulekit.selection.estimates import estimate
from rulekit.selection.registry import Selection, select

METHODS = {
    "all": "every rule, equally",
    "random": "k rules at random",
    "static": "the same k rules for all pairs, by the known preferences",
    "max_discrepancy": "the k rules of largest |δ|",
    "relevance_discrepancy": "the criterion of the authors' code",
    "recommended": "rules weighted by what the known preferences tell, k of them rated",
    "preferences": "no rules: the known preferences themselves, the ceiling",
}
TARGETS = {"hard": "abstain", "soft": "soft"}  # what the reward model learns: the tie policy
_SIZES = {"small": (250, 1000), "medium": (500, 2000), "large": (1000, 5000)}
N_FOLDS = 5
N_REFERENCE = 100  # pairs rated under all rules, by which rules are chosen or weighted


@dataclass(frozen=True, eq=False)
class Ablation:
    """What one choice comes to.

    Attributes
    ----------
    trained
        Row of each pair that the reward model learns from, (n_trained,).
    tested
        Row of each pair of the fold kept apart that has a known preference, (n_tested,).
    targets
        P(A is preferred) of each trained pair, (n_trained,).
    label_margin
        Of the tested pairs, (n_tested,), by the same rules; None without rules.
    n_known
        Preferences that rules were chosen or weighted by.
    judge_calls
        Ratings, one response under one rule each, that the labels of the trained pairs take.
    """

    trained: np.ndarray
    tested: np.ndarray
    targets: np.ndarray
    label_margin: np.ndarray | None
    n_known: int
    judge_calls: int


def ablation_run(
    pairs: pl.DataFrame,
    scores: Scores,
    *,
    method: str = "max_discrepancy",
    k: int = 5,
    known: int = 100,
    targets: str = "hard",
    n_train: int = 500,
    seed: int = 0,
    untouched: np.ndarray | None = None,
) -> Ablation:
    """Choose rules, label and split as one row of an ablation says.

    Parameters
    ----------
    pairs, scores
        Canonical frame of n_pairs pairs, and their scores under n_rules rules.
    method
        One of `METHODS`.
    k
        Rules a pair; at most n_rules are taken.
    known
        Preferences that may be looked at, 0 or more, of pairs that are trained on.
    targets
        ``hard``: 1 or 0, ties left out; ``soft``: the confidence of the label.
    n_train
        Pairs to learn from; all of the other folds where there are fewer.
    seed
        Of the pairs, of ties and of random rules. Fold seed mod 5 of the prompts is kept apart: five
        seeds in a row test every pair once.
    untouched
        bool (n_pairs,): pairs that count in the test, such as those that a judge has not learned
        from; None: all.

    Raises
    ------
    ValueError
        For an unknown method or kind of target, a number out of range, or no pair to test on.
    """
    for name, value, allowed in (("method", method, METHODS), ("targets", targets, TARGETS)):
        if value not in allowed:
            raise ValueError(f"unknown {name} {value!r}; allowed: {', '.join(allowed)}")
    if k < 1 or known < 0 or n_train < 1:
        raise ValueError(f"k is {k}, known {known}, n_train {n_train}; allowed: from 1, 0 and 1 on")
    scores, k = scores.of(pairs), min(k, scores.n_rules)
    truth = pairs["preference"].fill_null(0).to_numpy().astype(int)
    fold = np.array(folds(pairs, N_FOLDS, seed=seed // N_FOLDS))
    test = (fold == seed % N_FOLDS) & (truth != 0)
    test &= True if untouched is None else np.asarray(untouched, bool)
    if not test.any():
        raise ValueError(f"seed {seed}: no pair with a known preference in its fold")
    rng = np.random.default_rng(seed)
    left = rng.permutation(np.flatnonzero(fold != seed % N_FOLDS))
    strict = left[truth[left] != 0]
    trained, tested = (strict if method == "preferences" else left)[:n_train], np.flatnonzero(test)
    if method == "preferences":
        wanted = (truth[trained] + 1) / 2
        return Ablation(trained, tested, wanted, None, len(trained), 0)
    looked = trained[truth[trained] != 0][:known]
    others = trained[~np.isin(trained, looked)]
    rest = max(0, N_REFERENCE - len(looked))
    whole = method != "recommended" or k == scores.n_rules
    reference = np.concatenate([looked, others if whole else others[:rest]])
    preference = np.where(np.isin(reference, looked), truth[reference], np.nan)
    rows = np.concatenate([trained, tested])
    labels = _labels(scores, rows, method, k, reference, preference, TARGETS[targets], seed)
    n = len(trained)
    uses = len(looked) if method in ("static", "recommended") else 0
    return Ablation(
        trained,
        tested,
        labels.target[:n],
        labels.margin[n:],
        uses,
        _calls(method, k, n, scores.n_rules, len(reference), uses),
    )


def _labels(
    scores: Scores,
    rows: np.ndarray,
    method: str,
    k: int,
    reference: np.ndarray,
    preference: np.ndarray,
    tie: str,
    seed: int,
) -> Labels:
    own, beside = scores.rows(rows), scores.rows(reference)
    if method == "recommended":
        believed = estimate(beside, preference)
        chosen = _rated(own, k, beside, believed, seed)
        return label(own, chosen, "weighted", tie, estimates=believed)
    given = {}
    if method == "static":
        given = {"reference": beside}
        labelled = ~np.isnan(preference)
        if labelled.any():
            given = {"reference": beside.rows(labelled), "preference": preference[labelled]}
    return label(own, select(own, k, method, seed=seed, **given), tie=tie)


def _rated(own: Scores, k: int, beside: Scores, believed, seed: int) -> Selection | None:
    """The k rules that are rated; None: all."""
    if k == own.n_rules:
        return None
    return select(own, k, "frugal", seed=seed, reference=beside, estimates=believed)


def _calls(method: str, k: int, n: int, n_rules: int, n_reference: int, n_known: int) -> int:
    """Ratings of the trained pairs: two responses under each rule that has to be rated."""
    if method == "random":
        return 2 * n * k
    if method == "static":  # rules are chosen by pairs rated under all of them
        seen = min(n, n_known or n_reference)
        return 2 * (seen * n_rules + (n - seen) * k)
    if method == "recommended":
        seen = min(n, n_reference)
        return 2 * (seen * n_rules + (n - seen) * k)
    return 2 * n * n_rules


def training_pairs(size: str, engine: bool = False) -> int:
    """Pairs to learn from: 250, 500 and 1,000 for the frozen encoder, 1,000, 2,000 and 5,000 for a model.

    Parameters
    ----------
    size
        ``small``, ``medium`` or ``large``.
    engine
        Whether a whole language model is trained.

    Raises
    ------
    ValueError
        For another size.
    """
    if size not in _SIZES:
        raise ValueError(f"size is {size!r}; allowed: {', '.join(_SIZES)}")
    return _SIZES[size][engine]


def untouched(pairs: pl.DataFrame, source: str, judge: str) -> np.ndarray | None:
    """The pairs that a judge has not learned from, bool (n_pairs,); None: all.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    source
        Name of their data set.
    judge
        The kit's ``encoder`` has learned from the embedded corpus, but for its test split.
    """
    if source != "embedded" or judge != "encoder":
        return None
    return (pairs["split"] == "test").to_numpy()


def ablation_reward(run: Ablation, vectors: np.ndarray) -> np.ndarray:
    """Margin of each tested pair by a linear head that learned the targets, (n_tested,).

    Parameters
    ----------
    run
        From `ablation_run`.
    vectors
        Of both responses of all pairs, (n_pairs, 2, dim), as `training.frozen.response_vectors` gives
        them.
    """
    from rulekit.training import frozen, load_config

    told = ~np.isnan(run.targets)
    if not told.any():
        return np.zeros(len(run.tested))
    l2 = load_config(None, task="reward").l2
    head = frozen.fit_reward(vectors[run.trained[told]], run.targets[told], l2)
    return (vectors[run.tested, 0] - vectors[run.tested, 1]) @ head


def ablation_model(
    pairs: pl.DataFrame,
    run: Ablation,
    config: str | Path,
    output: str | Path,
    *,
    overrides: Mapping[str, object] | None = None,
    processes: int = 1,
    seed: int = 0,
) -> np.ndarray:
    """Margin of each tested pair by a whole language model that learned the targets, (n_tested,).

    Parameters
    ----------
    pairs
        The pairs of the run.
    run
        From `ablation_run`.
    config, output, overrides, processes, seed
        As for `fine_tune`.

    Raises
    ------
    RuntimeError
        If the engine did not finish.
    """
    from rulekit.training import RewardModel, follow, launch

    told = ~np.isnan(run.targets)
    process = launch(
        pairs[run.trained[told]],
        run.targets[told],
        config,
        output=output,
        evaluation=pairs[run.tested],
        processes=processes,
        seed=seed,
        **dict(overrides or {}),
    )
    if follow(process, output) != 0:
        raise RuntimeError(f"the run did not finish; the same cell goes on from {output}")
    return RewardModel.load(Path(output) / "model").margin(pairs[run.tested])


def ablation_outcomes(
    pairs: pl.DataFrame, run: Ablation, margins: Mapping[str, np.ndarray | None]
) -> dict[str, tuple[pl.DataFrame, dict]]:
    """Outcomes of a run by pair and as figures, for its folder.

    Parameters
    ----------
    pairs, run
        As for `ablation_model`.
    margins
        Name, such as ``label`` and ``reward`` → margins of the tested pairs, or None.

    Returns
    -------
    Name → a frame ``pair_id``, ``prompt`` (a group), ``margin``, ``known``, and the fields of
    `rulekit.measures.Accuracy`.
    """
    some = pairs[run.tested]
    known, groups = some["preference"], prompt_groups(some)
    found = {}
    for name, margin in margins.items():
        if margin is None:
            continue
        frame = some.select("pair_id", prompt=groups, margin=pl.Series(margin), known="preference")
        right = pairwise_accuracy(margin, known, groups.to_list())
        found[name] = frame, right.as_dict()
    return found

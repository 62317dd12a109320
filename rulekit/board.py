"""Every selector on planted truth and on real ratings: accuracies on held-out pairs come out.

`board` runs the five simulated regimes, `votes_board` a data set that comes with ratings. Means,
covariances and rules are always estimated from other pairs than those that are then labelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from tqdm.auto import tqdm

from rulekit.estimate import Estimates, estimate
from rulekit.gaussian import REGIMES, simulate
from rulekit.label import label
from rulekit.pairs import prompt_groups
from rulekit.scores import Scores
from rulekit.select import select, selectors
from rulekit.sources import load, load_ratings

LABELLED = (0, 30, 100, 1000)
_NEED_LABELS = ("cmim", "greedy_cmi", "jmi", "mrmr")
_PLAIN = ("all", "max_discrepancy", "random")  # what the default selector is held against
_KNOWN = "log_odds, known"


def board(
    regimes: Sequence[str] = REGIMES,
    labelled: Sequence[int] = LABELLED,
    ks: Sequence[int] = (1, 5, 20),
    *,
    methods: Sequence[str] | None = None,
    n_rules: int = 100,
    n_reference: int = 5000,
    n_test: int = 5000,
    seeds: Sequence[int] = (0,),
) -> pl.DataFrame:
    """Accuracy of every selector in simulation, on estimates only.

    Parameters
    ----------
    regimes
        Names from `rulekit.gaussian.REGIMES`.
    labelled
        Numbers of reference pairs whose preference is known, each 0 to n_reference.
    ks
        Rules per pair.
    methods
        Names from `selectors()`; default all. Selectors of labelled votes have no row at 0.
    n_rules, n_reference, n_test
        Rules; pairs to estimate from; held-out pairs that are labelled.
    seeds
        One draw of reference and held-out pairs each.

    Returns
    -------
    A row a regime, seed, number labelled, k, selector and label model: columns ``regime``,
    ``seed``, ``labelled``, ``k``, ``selector``, ``label``, ``rules`` (mean chosen per pair),
    ``accuracy`` and its binomial standard error ``se``. Every selector is labelled by ``sum``,
    ``majority`` and ``weighted``. Selector ``log_odds, known`` is told the true μ and Σ, as
    the yardstick. Scores have a relevance that is pure noise.
    """
    rows = []
    for regime, seed in tqdm([(r, s) for r in regimes for s in seeds], desc="board"):
        reference, held_out = (
            simulate(regime, n, n_rules, seed=2 * seed + part)
            for part, n in enumerate((n_reference, n_test))
        )
        rng = np.random.default_rng(seed)
        scores = replace(held_out.scores, relevance=rng.random((n_test, n_rules)))
        y = held_out.preference
        known = Estimates(held_out.mu, held_out.cov, 0, "known")
        for k in ks:
            margin = _margins(scores, select(scores, k, "log_odds", estimates=known), known)
            rows.append(_row(regime, seed, None, k, _KNOWN, "weighted", k, margin["weighted"], y))
        for n in labelled:
            preference = np.where(np.arange(n_reference) < n, reference.preference, 0)
            found = estimate(reference.scores, preference)
            for k in ks:
                for method in methods or selectors():
                    if n == 0 and method in _NEED_LABELS:
                        continue
                    chosen = _select(scores, k, method, seed, reference.scores, preference, found)
                    for name, margin in _margins(scores, chosen, found).items():
                        rows.append(_row(regime, seed, n, k, method, name, chosen.k, margin, y))
    return pl.DataFrame(rows, orient="row", infer_schema_length=None)


def adaptive_gaps(frame: pl.DataFrame, k: int = 5) -> pl.DataFrame:
    """How the default selector `adaptive` stands in a frame of `board`.

    Returns
    -------
    A row a regime and number labelled: its mean accuracy over seeds (``weighted`` label), and
    ``over_plain``, its distance above the best of {all, max_discrepancy, random} with the sum,
    and ``over_known``, above `log_odds` with known μ and Σ.
    """
    mean = frame.filter(pl.col("k") == k).group_by(
        "regime", "labelled", "selector", "label", maintain_order=True
    )
    mean = mean.agg(pl.col("accuracy").mean())
    plain = mean.filter(pl.col("selector").is_in(_PLAIN) & (pl.col("label") == "sum"))
    plain = plain.group_by("regime", "labelled").agg(best_plain=pl.col("accuracy").max())
    known = mean.filter(pl.col("selector") == _KNOWN).select("regime", known="accuracy")
    own = mean.filter((pl.col("selector") == "adaptive") & (pl.col("label") == "weighted"))
    joined = own.join(plain, ["regime", "labelled"], maintain_order="left").join(
        known, "regime", maintain_order="left"
    )
    return joined.select(
        "regime",
        "labelled",
        "accuracy",
        "best_plain",
        "known",
        over_plain=pl.col("accuracy") - pl.col("best_plain"),
        over_known=pl.col("accuracy") - pl.col("known"),
    )


def votes_board(
    name: str = "hh-rule-votes",
    labelled: Sequence[int] = (0, 30, 100, 900),
    k: int = 5,
    *,
    methods: Sequence[str] | None = None,
    splits: int = 20,
    test_share: float = 0.2,
    dead_zone: float = 0.0,
    seed: int = 0,
) -> pl.DataFrame:
    """Agreement with the human choice on unseen pairs of a rated data set, by repeated splits.

    Parameters
    ----------
    name
        A data set that `rulekit.sources.load_ratings` knows.
    labelled
        Numbers of training pairs whose preference is known; the others stay unlabelled.
    k
        Rules per pair.
    methods
        Names from `selectors()`; default all.
    splits, test_share
        Random splits, all pairs of one prompt on one side, and the share of prompts held out.
    dead_zone
        Discrepancies smaller than this count as 0, in [0, 1): how much rests on a judge's leanings
        where it says that neither response is better?
    seed
        Of the splits.

    Returns
    -------
    A row a number labelled, selector and label model: ``rated``, rules that have to be rated per
    pair (k for a choice made before seeing the pair, all rules otherwise), mean ``accuracy`` over
    splits, ``gain``, its mean distance above the sum of all rules on the same pairs, and ``se``,
    the standard deviation of the gain over splits divided by √splits. Splits share pairs, so
    ``se`` is the noise of splitting, less than that of another sample.

    Notes
    -----
    The responses of each pair are exchanged at random, so that nothing can be read from which
    came first in the file. A judge that was always shown the chosen response first may still
    lean to it: in hh-rule-votes such a bias cannot be told from signal.
    """
    rules, scores = load_ratings(name)
    pairs = load(name)
    y = pairs["preference"].fill_null(0).to_numpy()
    group = np.unique(prompt_groups(pairs).to_numpy(), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    delta = np.where(np.abs(scores.discrepancy) < dead_zone, 0, scores.discrepancy)
    exchange = rng.choice(np.array([-1.0, 1.0]), len(y))
    # halves keep scores of separately rated responses, whose δ reaches ±2, within [-1, 1]
    half = delta * exchange[:, None] / 2
    scores, y = Scores(half, -half, scores.relevance), (y * exchange).astype(int)
    rows = []
    for _ in tqdm(range(splits), desc="splits"):
        order = rng.permutation(group.max() + 1)
        test = np.isin(group, order[: round(test_share * len(order))])
        train = rng.permutation(np.flatnonzero(~test))
        train = np.concatenate([train[y[train] != 0], train[y[train] == 0]])
        held_out = np.flatnonzero(test & (y != 0))
        draw = int(rng.integers(2**31))
        rows += _split(
            scores, y, train, held_out, labelled, k, draw, len(rules), methods or selectors()
        )
    frame = pl.DataFrame(rows, orient="row", infer_schema_length=None)
    return frame.group_by("labelled", "selector", "label", maintain_order=True).agg(
        pl.col("rated").mean(),
        pl.col("accuracy").mean(),
        gain=pl.col("gain").mean(),
        se=pl.col("gain").std() / np.sqrt(splits),
    )


def _split(
    scores: Scores,
    y: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    labelled: Sequence[int],
    k: int,
    seed: int,
    n_rules: int,
    methods: Sequence[str],
) -> Iterator[dict]:
    """The rows of one split; `train` lists the pairs whose preference is known first."""
    reference, unseen, truth = scores.rows(train), scores.rows(held_out), y[held_out]
    base = _accuracy(label(unseen, select(unseen, k, "all")).margin, truth)
    for n in labelled:
        if n > (y[train] != 0).sum():
            continue
        preference = np.where(np.arange(len(train)) < n, y[train], 0)
        found = estimate(reference, preference)
        for method in methods:
            no_relevance = method.startswith("relevance") and scores.relevance is None
            if (n == 0 and method in _NEED_LABELS) or no_relevance:
                continue
            chosen = _select(unseen, k, method, seed, reference, preference, found)
            margins = _margins(unseen, chosen, found)
            if method == "all" and n == 0:
                margins["dawid_skene"] = label(unseen, chosen, "dawid_skene").margin
            rated = chosen.k if chosen.fixed else n_rules
            for name, margin in margins.items():
                accuracy = _accuracy(margin, truth)
                yield {
                    "labelled": n,
                    "selector": method,
                    "label": name,
                    "rated": rated,
                    "accuracy": accuracy,
                    "gain": accuracy - base,
                }


def _select(scores, k, method, seed, reference, preference, found):
    known = preference.any()
    return select(
        scores,
        k,
        method,
        seed=seed,
        reference=reference if known or method == "frugal" else None,
        preference=preference if known else None,
        estimates=found,
    )


def _margins(scores, chosen, found: Estimates) -> dict[str, np.ndarray]:
    """Margins of the chosen rules under every label model that needs no fit to these pairs."""
    return {
        name: label(scores, chosen, name, estimates=found).margin
        for name in ("sum", "majority", "weighted")
    }


def _accuracy(margin: np.ndarray, y: np.ndarray) -> float:
    return float((np.sign(margin) * y + 1).mean() / 2)


def _row(regime, seed, n, k, selector, name, rules, margin, y) -> dict:
    accuracy = _accuracy(margin, y)
    return {
        "regime": regime,
        "seed": seed,
        "labelled": n,
        "k": k,
        "selector": selector,
        "label": name,
        "rules": rules,
        "accuracy": accuracy,
        "se": float(np.sqrt(accuracy * (1 - accuracy) / len(y))),
    }

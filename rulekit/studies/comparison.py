"""Every selector on planted truth and on real ratings: accuracies on held-out pairs come out.

`compare_simulated` runs the five simulated regimes, `compare_rated` and `label_calibration` a data
set that comes with ratings. Means, covariances and rules are always estimated from other pairs than
those that are then labelled. Notebook 15 shows the frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from tqdm.auto import tqdm

from rulekit.files import watched
from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.inputs.sources import load, load_ratings
from rulekit.labels import label, label_methods
from rulekit.measures import calibration, calibration_error, confidence
from rulekit.selection.estimates import Estimates, estimate
from rulekit.selection.registry import select, selectors
from rulekit.theory.simulation import REGIMES, simulate

LABELLED = (0, 30, 100, 1000)
_NEED_VOTES = ("cmim", "greedy_cmi", "jmi", "mrmr")  # of labelled pairs
_PLAIN = ("all", "max_discrepancy", "random")  # what the default selector is held against
_KNOWN = "log_odds, known"


def compare_simulated(
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
        Names from `rulekit.theory.REGIMES`.
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

    Raises
    ------
    ValueError
        For an unknown regime or selector, or a number of labelled pairs out of range.
    """
    _check("regimes", regimes, REGIMES)
    _check("methods", methods or (), selectors())
    if not all(0 <= n <= n_reference for n in labelled):
        raise ValueError(f"labelled is {list(labelled)}; allowed: 0 to n_reference, {n_reference}")
    rows = []
    for regime, seed in tqdm(
        [(r, s) for r in regimes for s in seeds], desc="regimes", disable=not watched()
    ):
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
                    if n == 0 and method in _NEED_VOTES:
                        continue
                    chosen = _select(scores, k, method, seed, reference.scores, preference, found)
                    for name, margin in _margins(scores, chosen, found).items():
                        rows.append(_row(regime, seed, n, k, method, name, chosen.k, margin, y))
    return pl.DataFrame(rows, orient="row", infer_schema_length=None)


def adaptive_gaps(frame: pl.DataFrame, k: int = 5) -> pl.DataFrame:
    """How the selector `adaptive` stands in a frame of `compare_simulated`.

    Parameters
    ----------
    frame
        From `compare_simulated`, with `adaptive`, the plain selectors and one seed or more.
    k
        Rules per pair, one of the frame's.

    Returns
    -------
    A row a regime and number labelled: its mean accuracy over seeds (``weighted`` label);
    ``best_plain``, the selector of {all, max_discrepancy, random} that is best with the sum in the
    mean over seeds, and ``over_plain``, the mean distance above it; ``over_known``, above
    `log_odds` with known μ and Σ; both with ``…_se``, their standard error over seeds (null for
    one seed).
    """
    frame = frame.filter(pl.col("k") == k)
    own = frame.filter((pl.col("selector") == "adaptive") & (pl.col("label") == "weighted"))
    own = own.select("regime", "labelled", "seed", "accuracy")
    plain = frame.filter(pl.col("selector").is_in(_PLAIN) & (pl.col("label") == "sum"))
    where = ["regime", "labelled", "selector"]
    mean = plain.group_by(where, maintain_order=True).agg(pl.col("accuracy").mean())
    best = mean.sort("accuracy", descending=True).group_by("regime", "labelled").first()
    plain = plain.join(best.select(where), where).select(
        "regime", "labelled", "seed", best_plain="selector", plain="accuracy"
    )
    known = frame.filter(pl.col("selector") == _KNOWN).select("regime", "seed", known="accuracy")
    joined = own.join(plain, ["regime", "labelled", "seed"], maintain_order="left")
    joined = joined.join(known, ["regime", "seed"], maintain_order="left").with_columns(
        over_plain=pl.col("accuracy") - pl.col("plain"),
        over_known=pl.col("accuracy") - pl.col("known"),
    )
    error = pl.len().sqrt()
    return joined.group_by("regime", "labelled", "best_plain", maintain_order=True).agg(
        pl.col("accuracy", "over_plain").mean(),
        (pl.col("over_plain").std() / error).alias("over_plain_se"),
        pl.col("over_known").mean(),
        (pl.col("over_known").std() / error).alias("over_known_se"),
    )


def compare_rated(
    name: str = "hh-rule-votes",
    labelled: Sequence[int] = (0, 30, 100, 900),
    k: int = 5,
    *,
    methods: Sequence[str] | None = None,
    splits: int = 20,
    test_share: float = 0.2,
    dead_zone: float | None = None,
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
        Discrepancies smaller than this count as 0; None is that of `rulekit.sources.load_ratings`.
        How much rests on a judge's leanings where it says that neither response is better?
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
    came first in the file. The judge of hh-rule-votes was always shown the chosen response first:
    with ``dead_zone=0`` its tiny leanings leak which that is.

    Raises
    ------
    ValueError
        For an unknown selector, or numbers out of range: no more pairs can be labelled than the
        smallest training side of a split holds.
    """
    rows = []
    for scores, y, train, held_out, draw in data_splits(name, splits, test_share, dead_zone, seed):
        rows += _split(scores, y, train, held_out, labelled, k, draw, methods or selectors())
    frame = pl.DataFrame(rows, orient="row", infer_schema_length=None)
    return frame.group_by("labelled", "selector", "label", maintain_order=True).agg(
        pl.col("rated").mean(),
        pl.col("accuracy").mean(),
        gain=pl.col("gain").mean(),
        se=pl.col("gain").std() / np.sqrt(splits),
    )


def label_calibration(
    name: str = "hh-rule-votes",
    labelled: int = 100,
    *,
    splits: int = 20,
    test_share: float = 0.2,
    bins: int = 10,
    seed: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Whether a label's confidence is a probability, on unseen pairs of a rated data set.

    Parameters
    ----------
    name, splits, test_share, seed
        As for `compare_rated`.
    labelled
        Training pairs whose preference is known, for ``weighted``.
    bins
        Of confidence, of equal count.

    Returns
    -------
    Two frames over the held-out pairs of all splits, all rules chosen. A row a label model:
    ``label``, mean ``confidence``, ``accuracy``, ``error``, the expected calibration error, and
    ``n``. And a row a label model and bin, columns of `rulekit.measures.calibration`.
    """
    found: dict[str, list[np.ndarray]] = {}
    for scores, y, train, held_out, _ in data_splits(name, splits, test_share, None, seed):
        reference, unseen = scores.rows(train), scores.rows(held_out)
        preference = np.where(np.arange(len(train)) < labelled, y[train], 0)
        believed, every = estimate(reference, preference), select(unseen, 1, "all")
        for method in label_methods():
            target = label(unseen, every, method, "soft", estimates=believed).target
            found.setdefault(method, []).append(np.stack([target, y[held_out]]))
    tables, rows = [], []
    for method, parts in found.items():
        target, truth = np.concatenate(parts, axis=1)
        sure, right = confidence(target, truth)
        table = calibration(sure, right, bins)
        tables.append(table.select(pl.lit(method).alias("label"), pl.all()))
        rows.append(
            {
                "label": method,
                "confidence": float(sure.mean()),
                "accuracy": float(right.mean()),
                "error": calibration_error(sure, right, bins),
                "n": len(truth),
            }
        )
    return pl.DataFrame(rows), pl.concat(tables)


def data_splits(name: str, splits: int, test_share: float, dead_zone, seed: int):
    """Scores and preference of the data set and, split by split, the rows to learn from and to label.

    Responses are exchanged at random; training rows with a known preference come first. Yields
    (scores, y, train, held_out, seed of the split).
    """
    if splits < 1:
        raise ValueError(f"splits is {splits}; allowed: 1 or more")
    if not 0 < test_share < 1:
        raise ValueError(f"test_share is {test_share}; allowed: above 0, below 1")
    _, scores = load_ratings(name, dead_zone)
    pairs = load(name)
    scores = scores.of(pairs)
    y = pairs["preference"].fill_null(0).to_numpy()
    group = np.unique(prompt_groups(pairs).to_numpy(), return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    exchange = rng.choice(np.array([-1.0, 1.0]), len(y))
    # halves keep scores of separately rated responses, whose δ reaches ±2, within [-1, 1]
    half = scores.discrepancy * exchange[:, None] / 2
    scores, y = replace(scores, a=half, b=-half), (y * exchange).astype(int)
    for _ in tqdm(range(splits), desc="splits", disable=not watched()):
        order = rng.permutation(group.max() + 1)
        test = np.isin(group, order[: round(test_share * len(order))])
        train = rng.permutation(np.flatnonzero(~test))
        train = np.concatenate([train[y[train] != 0], train[y[train] == 0]])
        held_out = np.flatnonzero(test & (y != 0))
        yield scores, y, train, held_out, int(rng.integers(2**31))


def _split(
    scores: Scores,
    y: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    labelled: Sequence[int],
    k: int,
    seed: int,
    methods: Sequence[str],
) -> Iterator[dict]:
    """The rows of one split; `train` lists the pairs whose preference is known first."""
    reference, unseen, truth = scores.rows(train), scores.rows(held_out), y[held_out]
    _check("methods", methods, selectors())
    known = int((y[train] != 0).sum())
    if not all(0 <= n <= known for n in labelled):
        raise ValueError(
            f"labelled is {list(labelled)}; allowed: 0 to {known}, the labelled training pairs"
        )
    base = _accuracy(label(unseen, select(unseen, k, "all")).margin, truth)
    for n in labelled:
        preference = np.where(np.arange(len(train)) < n, y[train], 0)
        found = estimate(reference, preference)
        for method in methods:
            no_relevance = method.startswith("relevance") and scores.relevance is None
            if (n == 0 and method in _NEED_VOTES) or no_relevance:
                continue
            chosen = _select(unseen, k, method, seed, reference, preference, found)
            margins = _margins(unseen, chosen, found)
            if method == "all" and n == 0:
                margins["dawid_skene"] = label(unseen, chosen, "dawid_skene").margin
            rated = chosen.k if chosen.fixed else scores.n_rules
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
        reference=reference if known or method in ("frugal", "static") else None,
        preference=preference if known else None,
        estimates=found,
    )


def _margins(scores, chosen, found: Estimates) -> dict[str, np.ndarray]:
    """Margins of the chosen rules under every label model that needs no fit to these pairs."""
    return {
        name: label(scores, chosen, name, estimates=found).margin
        for name in ("sum", "majority", "weighted")
    }


def _check(name: str, given: Sequence[str], allowed: Sequence[str]) -> None:
    if unknown := [g for g in given if g not in allowed]:
        raise ValueError(f"{name}: {', '.join(unknown)} unknown; allowed: {', '.join(allowed)}")


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

"""Judge quality: a judge's ratings of labelled responses come in, a table with intervals goes out.

AUC, calibration, agreement and abstention, over all rules and for each. The command line's
`rulekit annotate --check` and notebook 17 show it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from rulekit.inputs.pairs import conversation
from rulekit.inputs.sources import Labelled
from rulekit.judges.contract import Judge
from rulekit.measures import (
    auc,
    auc_resampled,
    bootstrap,
    calibration_error_resampled,
    cohen_kappa,
    kappa_resampled,
    mean_interval,
    newcombe,
)
from rulekit.rating.job import Job
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store

FIGURES = {
    "satisfied_auc": "where the rule applies, P(yes) - P(no) ranks satisfied above violated",
    "relevant_auc": "1 - P(irrelevant) ranks responses to which the rule applies above the others",
    "kappa": "Cohen's κ of the likeliest answer and the label: no, irrelevant, yes",
    "abstention": "where the rule applies, share answered with irrelevant",
    "satisfied_calibration": "expected calibration error of P(yes) / (P(yes) + P(no)) where it applies",
    "relevant_calibration": "expected calibration error of 1 - P(irrelevant)",
}
_BINS, _PER_BIN = 10, 20  # at most so many bins, of at least so many cases each
_PROMPTS = 10  # fewer are too few to resample


def rate_labelled(
    data: Labelled,
    judge: Judge,
    *,
    store: Store | str | Path | None = None,
    batch: int = 64,
    price: float = 0.0,
    ledger: Ledger | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Ratings of labelled responses through a store, float32 (n_responses, n_rules, 3).

    P(no), P(irrelevant), P(yes); NaN where there is no label: such cells are not asked for.

    Parameters
    ----------
    data
        n_responses responses and n_rules rules, of `rulekit.inputs.read_labelled`.
    judge, store, batch, price, ledger, progress
        As for `annotate`.

    Raises
    ------
    Incomplete
        If ratings are missing; `result` is the labelled responses that are complete, and their
        ratings.
    """
    columns = {"response": data.responses}
    settings = {"batch": batch, "price": price, "ledger": ledger, "progress": progress}
    job = Job(data.prompts, columns, data.rules, judge, store, **settings)
    known = ~np.isnan(data.scores)
    of_key = np.zeros((len(job.keys), len(data.rules)), bool)
    np.logical_or.at(of_key, job.index[:, 0], known)
    with job:
        job.rate(of_key.__getitem__)
        p = np.concatenate([p[:, 0] for _, p in job.blocks(np.arange(len(data.prompts)))])
        complete = ~(np.isnan(p[..., 0]) & known).any(axis=1)
        result = _rows(data, complete), p[complete]
        result = result if complete.any() else None
        job.finish(complete, result, what="responses")
    p[~known] = np.nan
    return p


def _rows(data: Labelled, which: np.ndarray) -> Labelled:
    prompts, responses = (
        [v for v, kept in zip(values, which, strict=True) if kept]
        for values in (data.prompts, data.responses)
    )
    return Labelled(prompts, responses, data.rules, data.scores[which])


def judge_quality(
    probabilities, data: Labelled, *, seed: int = 0, resamples: int = 1000
) -> pl.DataFrame:
    """How far a judge can be trusted, over all rules and rule by rule.

    Parameters
    ----------
    probabilities
        P(no), P(irrelevant), P(yes) of each response under each rule, (n_responses, n_rules, 3).
    data
        The labels, of `read_labelled` or `sources.load_labelled`; cells without one (NaN) do not count.
    seed, resamples
        Of the bootstrap over prompts.

    Returns
    -------
    One row a rule (first ``all``) and figure: rule, figure (of `FIGURES`), value, low, high
    (95 %), reference, n. `reference` is what a judge without knowledge gets (AUC ½, κ 0), for a
    calibration error what a perfectly calibrated judge with the same probabilities gets at this n.
    A figure that cannot be had (an AUC without a case of each kind) is null.

    Raises
    ------
    ValueError
        If the shape does not fit the labels, or a probability of a labelled cell is NaN.

    Notes
    -----
    Intervals resample whole prompts. Those of a single rule's AUC are Newcombe's, and those of its
    abstention Wilson's, which keep their width at 0 and 1 and with few cases, but take responses
    as independent. Calibration errors have the reflected bootstrap interval: resampling adds as
    much to them as sampling did. Where a rule comes up in fewer than 10 prompts, a bootstrap would
    be too narrow: there κ and calibration have no interval (null). Bins are of equal count, at
    least 20 cases each and at most 10.

    References
    ----------
    R. G. Newcombe, Statistics in Medicine 25 (2006), 559-573, method 5. J. Cohen, "A coefficient
    of agreement for nominal scales" (1960). C. Guo et al., ICML 2017 (expected calibration error).
    """
    p = np.asarray(probabilities, np.float64)
    truth = np.asarray(data.scores, np.float64)
    if p.shape != (*truth.shape, 3):
        raise ValueError(f"probabilities have shape {p.shape}; allowed: {(*truth.shape, 3)}")
    gaps = np.isnan(p).any(axis=2) & ~np.isnan(truth)
    if gaps.any():
        i, j = np.argwhere(gaps)[0]
        raise ValueError(f"probabilities of response {i}, rule {j} are NaN; allowed: rated cells")
    prompt = np.unique([conversation(t) for t in data.prompts], return_inverse=True)[1]
    rows = []
    for j, name in enumerate(["all", *data.rules.ids]):
        cells = slice(None) if name == "all" else slice(j - 1, j)
        one = _Cells(p[:, cells], truth[:, cells], prompt, resamples, seed)
        rows += [{"rule": name, **row} for row in _figures(one, single=name != "all")]
    return pl.DataFrame(rows, infer_schema_length=None)


def by_rule(quality: pl.DataFrame) -> pl.DataFrame:
    """The table of `judge_quality` with one row a rule: each figure as ``value [low, high]``."""
    value, *limits = (pl.col(c).round(2) for c in ("value", "low", "high"))
    text = pl.coalesce(pl.format("{} [{}, {}]", value, *limits), value.cast(pl.String))
    return quality.with_columns(text.alias("text")).pivot("figure", index="rule", values="text")


class _Cells:
    """Ratings of some rules with their labels, flat, and the prompts to resample."""

    def __init__(self, p, truth, prompt, resamples: int, seed: int) -> None:
        known = ~np.isnan(truth)
        self.p, self.truth = p[known], truth[known].astype(int)
        self.prompt = np.broadcast_to(prompt[:, None], truth.shape)[known]
        self.resamples, self.seed = resamples, seed
        self.relevant = self.truth != 0

    def interval(self, statistic, which=slice(None)) -> np.ndarray:
        """`bootstrap` over prompts of a statistic of the chosen cells."""
        prompts = self.prompt[which]
        return bootstrap(statistic, prompts, resamples=self.resamples, seed=self.seed)


def _figures(cells: _Cells, single: bool) -> list[dict]:
    p, relevant = cells.p, cells.relevant
    score, applies = p[:, 2] - p[:, 0], 1 - p[:, 1]
    satisfied = cells.truth > 0
    yes = p[:, 2] / np.maximum(p[:, 2] + p[:, 0], 1e-12)
    every = np.ones(len(p), bool)
    return [
        {"figure": name, **row}
        for name, row in (
            ("satisfied_auc", _auc(cells, relevant, score, satisfied, single)),
            ("relevant_auc", _auc(cells, every, applies, relevant, single)),
            ("kappa", _kappa(cells)),
            ("abstention", _abstention(cells)),
            ("satisfied_calibration", _calibration(cells, relevant, yes, satisfied)),
            ("relevant_calibration", _calibration(cells, every, applies, relevant)),
        )
    ]


def _row(value=None, low=None, high=None, reference=None, n=0) -> dict:
    figures = {"value": value, "low": low, "high": high, "reference": reference}
    return {k: None if v is None else float(v) for k, v in figures.items()} | {"n": int(n)}


def _auc(cells: _Cells, which, score, positive, single: bool) -> dict:
    score, positive = score[which], positive[which]
    m = int(positive.sum())
    n = len(positive) - m
    if not m or not n:
        return _row(reference=0.5, n=m + n)
    value = auc(score, positive)[0]
    if single:
        return _row(value, *newcombe(value, m, n), 0.5, m + n)
    ends = cells.interval(auc_resampled(score, positive), which)
    return _row(value, *ends, 0.5, m + n)


def _kappa(cells: _Cells) -> dict:
    answer = cells.p.argmax(axis=1) - 1
    if not len(answer):
        return _row(reference=0.0)
    value = cohen_kappa(cells.truth, answer)
    if np.isnan(value):
        return _row(reference=0.0, n=len(answer))
    if len(np.unique(cells.prompt[cells.relevant | (answer != 0)])) < _PROMPTS:
        return _row(value, reference=0.0, n=len(answer))
    ends = cells.interval(kappa_resampled(cells.truth, answer))
    return _row(value, *ends, 0.0, len(answer))


def _abstention(cells: _Cells) -> dict:
    relevant = cells.relevant
    n = int(relevant.sum())
    if not n:
        return _row()
    silent = cells.p.argmax(axis=1)[relevant] == 1
    ends = mean_interval(silent, cells.prompt[relevant], bounds=(0, 1))
    return _row(silent.mean(), *ends, n=n)


def _calibration(cells: _Cells, which, probability, outcome) -> dict:
    probability, outcome = probability[which], outcome[which].astype(float)
    n = len(outcome)
    if not n:
        return _row()
    bins = bins_for(n)
    rng, once = np.random.default_rng(cells.seed), np.ones((1, n))

    def error(outcome: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return calibration_error_resampled(probability, outcome, bins, weights)

    value = float(error(outcome, once)[0])
    perfect = np.mean([error(rng.random(n) < probability, once)[0] for _ in range(50)])
    if len(np.unique(cells.prompt[which])) < _PROMPTS:
        return _row(value, reference=perfect, n=n)
    low, high = cells.interval(lambda weights: error(outcome, weights), which)
    low, high = np.clip((2 * value - high, 2 * value - low), 0, 1)
    return _row(value, min(low, value), max(high, value), perfect, n)


def bins_for(n: int) -> int:
    """Bins of the calibration error of n cases."""
    return int(np.clip(n // _PER_BIN, 1, _BINS))

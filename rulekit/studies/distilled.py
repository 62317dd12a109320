"""Judges beside each other on the ratings that a reader made: small, trained and untrained ones.

Judges and labelled responses, or another judge's votes, come in; frames with intervals by prompt go
out. Only ratings that count are asked for, so that a language model can be measured on a CPU.
Notebook 16 shows `judges_beside`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import polars as pl

from rulekit.encoder import Encoder
from rulekit.inputs.pairs import conversation, prompt_groups
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.inputs.sources import Labelled
from rulekit.judges.contract import Judge, Rating, wanted_cells
from rulekit.measures import auc_resampled, bootstrap, calibration_error

_RESAMPLES = 500
_DECISIVE = 0.5  # |δ| of a vote that counts


class NearestSentence(Judge):
    """A control with nothing trained: the similarity of a rule and the nearest sentence of a response.

    As P(yes) it gives half of one plus the cosine, for its order alone.
    """

    identity = "nearest sentence"

    def rate(self, prompts, responses, rules: RuleSet, mask=None) -> Rating:
        """Rate responses under rules, as `rulekit.judges.Judge.rate` says."""
        from rulekit.judges.networks import sentences

        wanted = wanted_cells(prompts, responses, rules, mask)
        encoder = Encoder.load()
        split = [sentences(text) for text in responses]
        near = encoder.embed([s for part in split for s in part]) @ encoder.embed(rules.texts).T
        best = np.maximum.reduceat(near, np.cumsum([0, *map(len, split[:-1])]))
        yes = (1 + best.clip(-1, 1)) / 2
        rating = Rating.blank(*wanted.shape)
        found = np.stack([1 - yes, np.zeros_like(yes), yes], axis=-1)
        rating.probabilities[wanted] = found[wanted]
        return rating


def judges_beside(
    judges: Mapping[str, Judge],
    data: Labelled,
    prompts: int | None = None,
    rules_every: int = 1,
    seed: int = 0,
) -> pl.DataFrame:
    """How well judges tell satisfied from violated, on the same relevant ratings.

    Parameters
    ----------
    judges
        Name → judge of single responses.
    data
        Labelled responses; irrelevant ratings are not asked for.
    prompts
        So many prompts, drawn by the seed; None takes all.
    rules_every
        Every so manieth rule only.
    seed
        Of the draw and of the bootstrap.

    Returns
    -------
    A row a judge: ``name``, ``value``, the AUC of P(yes) - P(no) over P(yes) + P(no), its interval
    ``low``, ``high`` over prompts, ``less_value``, ``less_low``, ``less_high``, the paired difference
    to the first judge, ``calibration_error`` of P(yes) among yes and no, and ``n`` ratings.

    Notes
    -----
    The score is taken where the rule is known to be relevant, so that whether a judge knows that
    does not come in.

    Raises
    ------
    ValueError
        If fewer than one prompt or rule is asked for.
    """
    if rules_every < 1 or (prompts is not None and prompts < 1):
        raise ValueError(f"prompts {prompts}, rules_every {rules_every}; allowed: 1 or more")
    data = data.under(range(0, len(data.rules), rules_every))
    names = np.array([conversation(p) for p in data.prompts])
    if prompts is not None:
        each = np.array(sorted(set(names.tolist())))
        kept = np.random.default_rng(seed).permutation(each)[:prompts]
        rows = np.flatnonzero(np.isin(names, kept))
        data, names = _rows(data, rows), names[rows]
    told = data.scores != 0
    truth, groups = data.scores[told] > 0, np.repeat(names, told.sum(axis=1)).tolist()
    odds, errors = {}, {}
    for name, judge in judges.items():
        p = judge.rate(data.prompts, data.responses, data.rules, told).probabilities[told]
        if np.isnan(p).any():
            raise ValueError(f"{name} gave {int(np.isnan(p[:, 0]).sum())} of the ratings not")
        yes = (p[:, 2] + 1e-12) / (p[:, 0] + p[:, 2] + 2e-12)
        odds[name], errors[name] = yes, float(calibration_error(yes, truth))
    table = _beside(odds, truth, groups, seed)
    return table.with_columns(calibration_error=pl.col("name").replace_strict(errors))


def signs_beside(
    judges: Mapping[str, Judge], pairs: pl.DataFrame, rules: RuleSet, scores: Scores, seed: int = 0
) -> pl.DataFrame:
    """How well judges of single responses tell the sign of another judge's decisive votes.

    Parameters
    ----------
    judges
        Name → judge of single responses.
    pairs, rules, scores
        What the other judge compared, and its scores; votes of |δ| up to ½ are not asked for.
    seed
        Of the bootstrap.

    Returns
    -------
    As `judges_beside`, without calibration; the score is the difference of the two responses'
    log-odds of yes and no.
    """
    delta = scores.of(pairs).discrepancy
    told = np.abs(delta) > _DECISIVE
    rows = np.flatnonzero(told.any(axis=1))
    texts, wanted = pairs["prompt"].to_list(), told[rows]
    groups = np.repeat(np.array(prompt_groups(pairs).to_list())[rows], wanted.sum(axis=1))
    found = {}
    for name, judge in judges.items():
        sides = []
        for column in ("response_a", "response_b"):
            responses = pairs[column].to_list()
            asked = [texts[i] for i in rows], [responses[i] for i in rows]
            p = judge.rate(*asked, rules, wanted).probabilities[wanted].astype(float)
            sides.append(np.log(p[:, 2] + 1e-12) - np.log(p[:, 0] + 1e-12))
        found[name] = sides[0] - sides[1]
    return _beside(found, delta[rows][wanted] > 0, groups.tolist(), seed)


def _beside(found: Mapping[str, np.ndarray], truth, groups, seed: int) -> pl.DataFrame:
    """AUC of each score with its interval, and its difference to the first's."""
    areas = {name: auc_resampled(score, truth) for name, score in found.items()}
    one, first = np.ones((1, len(truth))), next(iter(areas.values()))
    rows = []
    for name, area in areas.items():
        low, high = bootstrap(area, groups, resamples=_RESAMPLES, seed=seed)
        row = {"name": name, "value": float(area(one)[0]), "low": float(low), "high": float(high)}
        less = partial(_difference, area, first)
        low, high = bootstrap(less, groups, resamples=_RESAMPLES, seed=seed)
        row |= {"less_value": float(less(one)[0]), "less_low": float(low), "less_high": float(high)}
        rows.append(row | {"n": len(truth)})
    return pl.DataFrame(rows)


def _difference(area, other, weights: np.ndarray) -> np.ndarray:
    return area(weights) - other(weights)


def _rows(data: Labelled, rows: np.ndarray) -> Labelled:
    prompts, responses = ([x[i] for i in rows] for x in (data.prompts, data.responses))
    return Labelled(prompts, responses, data.rules, data.scores[rows])

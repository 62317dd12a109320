"""What a few labelled pairs are worth: rules weighted by them beside rules that all count the same.

Pairs with known preferences and their scores come in, frames and words go out. Every weight is
learned from other prompts than those it is measured on. Notebook 7 shows them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.special import expit

from rulekit.inputs import sources
from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.labels import label
from rulekit.measures import mean_accuracy, mean_difference
from rulekit.selection.estimates import estimate
from rulekit.studies.gains import shares_right, truth_of
from rulekit.studies.phrases import as_code, compared, listed, percent, verdict, with_interval
from rulekit.studies.selection_accuracy import rule_orders

WEIGHTED, SUM = "all rules, weighted", "sum of all rules"
_REAL = {
    "hh-rule-votes": "HH-RLHF, a language model compares under 21 rules",
    "hh-read": "HH-RLHF, responses read one by one under 100 rules",
}
_NOT_MEASURED = (
    "Real responses were not measured here: RULEKIT_DATA names no folder with their texts. In the run "
    "of `RESULTS.md` all 21 rules, weighted by 100 labels, agree with people on 66.2 % [64.2, 68.2] of "
    "1,160 pairs of HH-RLHF, the five loudest on 61.1 % [58.4, 63.7]."
)


def weights_by_labels(
    pairs: pl.DataFrame,
    scores: Scores,
    labelled: Sequence[int] = (0, 10, 30, 100, 300),
    k: int = 5,
    *,
    repeats: int = 3,
    seed: int = 0,
) -> pl.DataFrame:
    """How often weighted labels are right, by the number of pairs whose preference was asked for.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    labelled
        Pairs of other prompts whose preference is looked at; 0 weighs by agreement alone.
    k
        Of the k rules of largest \\|δ\\|, whose sum stands beside.
    repeats
        Draws of the five folds of prompts and of the labelled pairs.
    seed
        Of these.

    Returns
    -------
    A row a way and number of labels: ``name``, ``labels``, ``value`` with its interval ``low`` and
    ``high`` over prompts, ``n`` pairs; ``least`` and ``most``, the accuracy of the worst and the
    best draw; ``gain``, ``gain_low``, ``gain_high`` and ``gain_p`` over the sum of all rules on the
    same pairs, and ``over_k``, ``over_k_low``, ``over_k_high``, ``over_k_p`` over the sum of the k
    loudest. Ways that need no label have the same figures at every
    number, and none over themselves.

    Raises
    ------
    ValueError
        If more pairs are to be labelled than the other folds hold.
    """
    scores, y = scores.of(pairs), truth_of(pairs)
    known, groups = y != 0, prompt_groups(pairs).to_numpy()
    kept = groups[known]
    right: dict[int, list[np.ndarray]] = {n: [] for n in labelled}
    for r in range(repeats):
        fold, rng = np.array(folds(pairs, seed=seed + r)), np.random.default_rng((seed, r))
        share = {n: np.full(len(pairs), 0.5) for n in labelled}
        for f in range(fold.max() + 1):
            own, other = fold == f, np.flatnonzero(fold != f)
            asked = rng.permutation(other[y[other] != 0])
            if max(labelled) > len(asked):
                raise ValueError(f"labelled is {list(labelled)}; allowed: 0 to {len(asked)}")
            for n in labelled:
                told = np.where(np.isin(other, asked[:n]), y[other], np.nan)
                found = estimate(scores.rows(other), told)
                margin = label(scores.rows(own), method="weighted", estimates=found).margin
                share[n][own] = (np.sign(margin) * y[own] + 1) / 2
        for n in labelled:
            right[n].append(share[n][known])
    loudest = f"{k} of largest |δ|"
    ways = {
        SUM: shares_right(label(scores).margin, y)[known],
        loudest: shares_right(rule_orders(pairs, scores, k, "max_discrepancy", 20, seed), y)[known],
    }
    rows = []
    for n in labelled:
        drawn = np.array(right[n])
        ends = {"least": drawn.mean(axis=1).min(), "most": drawn.mean(axis=1).max()}
        for name, mean in {WEIGHTED: drawn.mean(axis=0), **ways}.items():
            row = {"name": name, "labels": n} | mean_accuracy(mean.clip(0, 1), kept).as_dict()
            row |= ends if name == WEIGHTED else dict.fromkeys(ends)
            for start, base in (("gain", SUM), ("over_k", loudest)):
                names = [f"{start}{end}" for end in ("", "_low", "_high", "_p")]
                gain = mean_difference((mean - ways[base]).clip(-1, 1), kept, seed=seed)
                told = (gain.value, gain.low, gain.high, gain.p_value)
                row |= dict(zip(names, told if name != base else (None,) * 4, strict=True))
            rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None).drop("ties")


def reweighted_pair(
    pairs: pl.DataFrame,
    scores: Scores,
    row: int,
    labelled: Sequence[int] = (30, 100),
    *,
    draws: int = 20,
    seed: int = 0,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One pair labelled by weights that labelled pairs of other prompts teach.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    row
        Which pair; no preference of its prompt is looked at.
    labelled
        Numbers of labelled pairs; all known ones of other prompts are added.
    draws
        Of the labelled pairs.
    seed
        Of the draws.

    Returns
    -------
    A row a number of labels: ``labels``, mean ``margin`` (log-odds of A) over draws, ``least`` and
    ``most``, and ``for_a``, the share of draws whose label is A. And a row a rule that votes on the
    pair, the loudest first: ``rule``, ``discrepancy``, ``votes`` and ``right`` on other prompts, the
    ``weight`` from all labels, and what it ``adds`` to the margin.
    """
    scores, y = scores.of(pairs), truth_of(pairs)
    groups = prompt_groups(pairs).to_numpy()
    other = np.flatnonzero(groups != groups[row])
    known, one, rows = other[y[other] != 0], scores.rows([row]), []
    for n in [*(m for m in labelled if m < len(known)), len(known)]:
        margins = []
        for draw in range(1 if n == len(known) else draws):
            asked = np.random.default_rng((seed, n, draw)).permutation(known)[:n]
            told = np.where(np.isin(other, asked), y[other], np.nan)
            found = estimate(scores.rows(other), told)
            margins.append(float(label(one, method="weighted", estimates=found).margin[0]))
        drawn = np.array(margins)
        rows.append(
            {
                "labels": n,
                "margin": drawn.mean(),
                "least": drawn.min(),
                "most": drawn.max(),
                "for_a": (drawn > 0).mean(),
            }
        )
    weights, delta = found.weights(), scores.discrepancy[row]
    adds = found.transform(delta) * weights
    votes = scores.votes[known]
    spoken = (votes != 0).sum(axis=0)
    right = (votes * y[known, None] > 0).sum(axis=0) / np.maximum(spoken, 1)
    at = [j for j in np.argsort(-np.abs(delta), kind="stable") if scores.votes[row, j]]
    by_rule = pl.DataFrame(
        {
            "rule": [scores.names[j] for j in at],
            "discrepancy": delta[at].astype(float),
            "votes": spoken[at],
            "right": right[at],
            "others": [_others_right(scores.rows(known), y[known], j) for j in at],
            "weight": weights[at],
            "adds": adds[at],
        }
    )
    return pl.DataFrame(rows), by_rule


def _others_right(scores: Scores, y: np.ndarray, rule: int) -> float | None:
    """How often the sum of the other rules is right on the pairs on which a rule votes."""
    spoken = scores.votes[:, rule] != 0
    delta = scores.discrepancy[spoken].astype(float)
    if not len(delta):
        return None
    margin = delta.sum(axis=1) - delta[:, rule]
    return float(((np.where(np.abs(margin) > 1e-4, np.sign(margin), 0) * y[spoken] + 1) / 2).mean())


def two_rules_said(pairs: pl.DataFrame, scores: Scores, first: str, second: str) -> str:
    """How two rules stand to each other on pairs with a known preference, in words.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    first, second
        Names of the rules.

    Raises
    ------
    ValueError
        For a name that is no rule of the scores.
    """
    scores, y = scores.of(pairs), truth_of(pairs)
    for name in (first, second):
        if name not in scores.names:
            raise ValueError(f"no rule {name!r}; allowed: {', '.join(scores.names)}")
    one, two = (scores.votes[:, scores.names.index(name)] for name in (first, second))
    both, alone = (one * two != 0) & (y != 0), (two != 0) & (one == 0) & (y != 0)
    against = both & (one != two)
    said = (
        f"{as_code(first)} and {as_code(second)} both vote on {both.sum():,} pairs, against each other "
        f"on {against.sum():,} of them."
    )
    if against.any():
        said += f" There {as_code(first)} is right on {percent((one == y)[against].mean(), 0)}."
    if alone.any():
        said += (
            f" Where {as_code(first)} is silent, {as_code(second)} is right on "
            f"{percent((two == y)[alone].mean(), 0)} of {alone.sum():,}."
        )
    return said


def real_weights(labels: int = 100, k: int = 5, repeats: int = 20, seed: int = 0) -> pl.DataFrame:
    """The same comparison on ratings of real responses, where their texts are at hand.

    Parameters
    ----------
    labels
        Pairs of other prompts whose preference is looked at.
    k, repeats, seed
        As for `weights_by_labels`.

    Returns
    -------
    Three rows a data set, columns as `weights_by_labels` has them and ``data``; no row where the
    environment variable RULEKIT_DATA names no folder, or the folder lacks the texts.
    """
    parts = []
    for source, words in _REAL.items() if os.environ.get("RULEKIT_DATA") else ():
        try:
            with warnings.catch_warnings():  # rows of the file that are none of these pairs
                warnings.filterwarnings("ignore", message=".*rows skipped")
                pairs = sources.load(source)
                _, scores = sources.load_ratings(source)
        except FileNotFoundError:
            continue
        found = weights_by_labels(pairs, scores.of(pairs), (labels,), k, repeats=repeats, seed=seed)
        parts.append(found.with_columns(data=pl.lit(words)))
    return pl.concat(parts) if parts else pl.DataFrame(schema={"data": pl.String})


def overconfidence(
    n_rules: int = 5, mu: float = 0.5, noise: float = 1.0, betas: Sequence[float] = (1.0, 0.5)
) -> pl.DataFrame:
    """How sure the sum label is, and how often it is right, where ratings are noisy.

    Parameters
    ----------
    n_rules
        Independent rules with δ = μY + ε + ε', ε of variance 1.
    mu
        Mean of δ given Y = +1.
    noise
        Variance of ε', what the rating adds; 0 for a perfect judge.
    betas
        Slopes of the confidence σ(β \\|Σδ\\|).

    Returns
    -------
    A row a β: ``beta``, mean ``confidence`` and ``right``, by numerical integration.

    Notes
    -----
    Σδ given Y is normal with mean nμY and variance n(1 + noise): its log-odds are 2μΣδ / (1 + noise),
    so the confidence is a probability at β = 2μ / (1 + noise).
    """
    total = n_rules * mu + np.sqrt(n_rules * (1 + noise)) * np.linspace(-9, 9, 20_001)
    density = np.exp(-(np.linspace(-9, 9, 20_001) ** 2) / 2)
    density /= density.sum()
    rows = [
        {
            "beta": float(beta),
            "confidence": float(density @ expit(beta * np.abs(total))),
            "right": float(density @ (total > 0)),
        }
        for beta in betas
    ]
    return pl.DataFrame(rows)


def weights_title(frame: pl.DataFrame, labels: int = 100) -> str:
    """The finding of a frame of `weights_by_labels`, as the title of its picture.

    Parameters
    ----------
    frame
        From `weights_by_labels`.
    labels
        At which number; the largest there is where it is not among them.
    """
    at = labels if labels in frame["labels"] else frame["labels"].max()
    row = frame.filter(pl.col("labels") == at, pl.col("name") == WEIGHTED).row(0, named=True)
    word = "more" if row["gain"] >= 0 else "less"
    return f"Weighted by {at} labels: {percent(row['value'])} right, {abs(100 * row['gain']):.1f} points {word} than the plain sum"


def weights_findings(frame: pl.DataFrame, real: pl.DataFrame, labels: int = 100) -> str:
    """What weighting brings, in sentences that claim what the intervals allow.

    Parameters
    ----------
    frame
        From `weights_by_labels`.
    real
        From `real_weights`; may be empty.
    labels
        Of `frame`: at which number.

    Returns
    -------
    Markdown.
    """
    said = [_said("The embedded corpus", frame.filter(pl.col("labels") == labels), labels)]
    for (data,), part in real.group_by("data", maintain_order=True) if len(real) else ():
        said.append(_said(data, part, part["labels"][0]))
    if real.is_empty():
        return listed([*said, _NOT_MEASURED])
    own = real.filter(pl.col("name") == WEIGHTED)
    sure = [verdict(_gain(row, "over_k"), 2) > 0 for row in own.iter_rows(named=True)]
    said.append(
        f"So weighting beats selecting, beyond chance, on {sum(sure)} of {len(sure)} sets of real "
        "ratings."
    )
    return listed(said)


def _said(data: str, part: pl.DataFrame, labels: int) -> str:
    rows = {row["name"]: row for row in part.iter_rows(named=True)}
    own, other = rows[WEIGHTED], next(n for n in rows if n not in (WEIGHTED, SUM))
    told = "; ".join(
        compared("which", name, _gain(own, start), 2)
        for name, start in (("the sum of all rules", "gain"), (f"the sum of the {other}", "over_k"))
    )
    return (
        f"**{data}.** All rules weighted by {labels} labels are right on {with_interval(own)} of "
        f"{own['n']:,} pairs, {told}."
    )


def _gain(row: dict, start: str) -> dict:
    ends = {"value": "", "low": "_low", "high": "_high", "p_value": "_p"}
    return {name: row[f"{start}{end}"] for name, end in ends.items()}

"""What can be measured from few pairs: random numbers or scores come in, figures and words go out.

Notebook 6 shows the frames, notebook 12 a longer list of estimators.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from rulekit.information import (
    benjamini_hochberg,
    bootstrap_interval,
    permutation_test,
    table_information,
)
from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.measures import wilson
from rulekit.studies.phrases import listed, percent
from rulekit.theory import vote_information

_ESTIMATORS = ("plugin", "miller_madow", "shrinkage")


def bias_by_n(
    accuracies: Sequence[float],
    sizes: Sequence[int],
    repeats: int,
    rng: np.random.Generator,
    estimators: Sequence[str] = _ESTIMATORS,
) -> pl.DataFrame:
    """How far estimates of what a vote tells are off, on average and typically.

    Parameters
    ----------
    accuracies
        How often a vote is right, in [0, 1].
    sizes
        Numbers of pairs.
    repeats
        Simulated data sets of each, 2 or more.
    rng
        Where the draws come from.
    estimators
        Of a table: ``plugin``, ``miller_madow``, ``shrinkage``.

    Returns
    -------
    A row an accuracy, size and estimator: ``panel`` in words, ``series``, ``n``, ``truth``, ``bias``,
    its standard ``error`` and ``rmse``, in bits.
    """
    rows = []
    for p in accuracies:
        truth = float(vote_information([p]))
        for n in sizes:
            chances = np.array([p, 1 - p, 1 - p, p]) / 2
            tables = rng.multinomial(n, chances, repeats).reshape(-1, 2, 2)
            for name in estimators:
                off = table_information(tables, name) - truth
                rows.append(
                    {
                        "panel": f"right {p:.0%}: {truth:.3f} bits",
                        "series": name,
                        "n": n,
                        "truth": truth,
                        "bias": off.mean(),
                        "error": off.std(ddof=1) / np.sqrt(repeats),
                        "rmse": np.sqrt(np.mean(off**2)),
                    }
                )
    return pl.DataFrame(rows)


def interval_trials(
    accuracies: Sequence[float], n: int, repeats: int, resamples: int, seed: int = 0
) -> pl.DataFrame:
    """How often 95 % intervals of what a vote tells hold the truth.

    Parameters
    ----------
    accuracies
        How often a vote is right, in [0, 1].
    n
        Pairs of each data set.
    repeats, resamples
        Data sets, and resamples of each interval.
    seed
        Of the draws.

    Returns
    -------
    A row an accuracy and estimator: ``right``, ``truth`` in bits, ``estimator``, ``covers`` with its
    Wilson interval ``low`` to ``high``, and how often the interval was ``below`` or ``above`` the truth.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for p in accuracies:
        truth = float(vote_information([p]))
        y = rng.choice([-1, 1], n)
        votes = np.where(rng.random((n, repeats)) < p, y[:, None], -y[:, None])
        for name in ("plugin", "miller_madow"):
            low, high = bootstrap_interval(votes, y, name, n=resamples, seed=seed).T
            held = int(((low <= truth) & (truth <= high)).sum())
            ends = wilson(held, repeats)
            head = {"right": p, "truth": truth, "estimator": name, "covers": held / repeats}
            off = {"below": (high < truth).mean(), "above": (low > truth).mean()}
            rows.append({**head, "low": ends[0], "high": ends[1], **off})
    return pl.DataFrame(rows)


def found_by_labels(
    known: pl.DataFrame,
    scores: Scores,
    sizes: Sequence[int],
    repeats: int,
    permutations: int = 1999,
    seed: int = 0,
) -> pl.DataFrame:
    """How many rules are found to tell something from so many labels, and how many of a coin.

    Parameters
    ----------
    known
        Canonical frame of pairs with preference +1 or -1.
    scores
        Of these pairs, and of others.
    sizes
        Numbers of labels, each at most the number of prompts.
    repeats
        Draws of each: one pair a prompt, since pairs of one prompt are alike and a p-value takes pairs
        for independent.
    permutations
        Of each p-value.
    seed
        Of the draws.

    Returns
    -------
    A row a size and preference (``known``, or a ``coin`` in its place): ``labels``, ``preference``,
    and the mean numbers found, ``p ≤ .05`` and ``q ≤ .1``, and rules that vote at all, ``voting``.

    Raises
    ------
    ValueError
        For more labels than prompts.
    """
    aligned = scores.of(known)
    groups = prompt_groups(known).to_numpy()
    n_prompts = len(np.unique(groups))
    if max(sizes) > n_prompts:
        raise ValueError(
            f"sizes has {max(sizes)}; allowed: 1 to the number of prompts, {n_prompts}"
        )
    y, votes = known["preference"].to_numpy().astype(int), aligned.votes
    rng = np.random.default_rng(seed)
    rows = []
    for n in sizes:
        for kind in ("known", "coin"):
            found = []
            for _ in range(repeats):
                order = rng.permutation(len(y))
                some = order[np.unique(groups[order], return_index=True)[1]]
                some = rng.permutation(some)[:n]
                answer = y[some] if kind == "known" else rng.choice([-1, 1], n)
                p = permutation_test(
                    votes[some], answer, permutations, seed=int(rng.integers(2**31))
                )
                q = benjamini_hochberg(p)
                voting = (votes[some] != 0).any(axis=0).sum()
                found.append(((p <= 0.05).sum(), (q <= 0.1).sum(), voting))
            mean = np.mean(found, axis=0)
            head = {"labels": n, "preference": kind, "voting": mean[2]}
            rows.append({**head, "p ≤ .05": mean[0], "q ≤ .1": mean[1]})
    return pl.DataFrame(rows)


def estimation_findings(bias: pl.DataFrame, trials: pl.DataFrame, found: pl.DataFrame) -> str:
    """What may be believed of small samples, in sentences made of the figures.

    Parameters
    ----------
    bias
        From `bias_by_n`, with a useless rule among its accuracies.
    trials
        From `interval_trials`.
    found
        From `found_by_labels`.

    Returns
    -------
    Markdown.
    """
    least = bias["n"].min()
    zero = bias.filter((pl.col("n") == least) & (pl.col("truth") < 1e-9))
    off = dict(zip(zero["series"], zero["bias"], strict=True))
    said = [
        f"From {least} pairs the plug-in finds {off['plugin']:.3f} bits in a rule that tells none, "
        f"Miller–Madow {off['miller_madow']:+.3f}."
    ]
    plug = trials.filter(pl.col("estimator") == "plugin")
    some = plug.sort("truth")
    near, far = some.row(0, named=True), some.row(-1, named=True)
    said.append(
        f"Its 95 % interval holds the truth in {percent(far['covers'], 0)} of data sets where a vote is "
        f"right {percent(far['right'], 0)} of the time, and in {percent(near['covers'], 0)} where it is "
        f"right {percent(near['right'], 0)}: near zero, test."
    )
    for n in (found["labels"].min(), found["labels"].max()):
        rows = {r["preference"]: r for r in found.filter(pl.col("labels") == n).to_dicts()}
        real, coin = rows["known"], rows["coin"]
        said.append(
            f"With {n} labels, p ≤ .05 finds {real['p ≤ .05']:.1f} rules, and {coin['p ≤ .05']:.1f} "
            f"when the labels are a coin; q ≤ .1 finds {real['q ≤ .1']:.1f} and {coin['q ≤ .1']:.1f}."
        )
    return listed(said)

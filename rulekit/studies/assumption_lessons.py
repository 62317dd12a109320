"""Where the choice by |δ| fails, on a few rules and in simulated worlds: figures and words go out.

Discrepancies, scores or the table of regimes come in. Notebook 5 shows the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import polars as pl
from scipy.special import expit

from rulekit.inputs.scores import Scores
from rulekit.measures import mean_interval, wilson
from rulekit.studies.phrases import listed, percent
from rulekit.studies.theory_tables import subset_rows
from rulekit.theory import CounterExample, gaussian_accuracy, label_quality, vote_information

WORLDS = {  # regime of `rulekit.theory` → in words
    "equal": "all rules alike (A1 to A4 hold)",
    "sparse": "a fifth of the rules good, the rest noise",
    "unequal_noise": "half of the rules loud and noisy",
    "shared_noise": "60 rules repeat each other",
    "reversed": "15 rules point the wrong way",
}
METHODS = {
    "max_discrepancy": "five largest |δ|, summed",
    "all": "all hundred, summed",
    "log_odds": "five, weights known",
    "optimal": "all hundred, weights known",
}
_FAR = 0.1  # of labels that are right: 10 points


def reversed_rule(delta, rule: int = 0) -> pl.DataFrame:
    """A pair's rules as they should be, and with one that points the wrong way.

    Parameters
    ----------
    delta
        Discrepancies of one pair, none of them 0; rules are right with probability σ(|δ|),
        (n_rules,), at most 12.
    rule
        Which one is reversed: it is wrong as often as it would be right.

    Returns
    -------
    Three rows, ``case``: as assumed, reversed and not known, reversed and turned round; ``bits`` of
    all votes, ``said``, the mean confidence σ(|sum|) of the sum label, and how often it is ``right``.
    """
    size = np.abs(np.asarray(delta, dtype=float))
    good = expit(size)
    turn = np.arange(len(size)) == rule
    bad, turned = np.where(turn, 1 - good, good), np.where(turn, -size, size)
    cases = {
        "as assumed": (good, size),
        f"rule {rule + 1} reversed, and nobody knows": (bad, size),
        f"rule {rule + 1} reversed, known and turned round": (bad, turned),
    }
    rows = [
        {
            "case": case,
            "bits": float(vote_information(p)),
            "said": _mean_confidence(p, w),
            "right": float(label_quality(p, w).accuracy),
        }
        for case, (p, w) in cases.items()
    ]
    return pl.DataFrame(rows)


def _mean_confidence(accuracy: np.ndarray, weights: np.ndarray) -> float:
    """Mean of σ(|Σ w_j vote_j|) over votes that are right with these accuracies."""
    votes = np.array(list(product((1, -1), repeat=len(accuracy))))  # +1: the vote is right
    chance = np.where(votes > 0, accuracy, 1 - accuracy).prod(axis=1)
    return float(chance @ expit(np.abs(votes @ weights)))


def world_rows(regimes: pl.DataFrame, n_pairs: int) -> pl.DataFrame:
    """The table of regimes made for a picture: a row a world and method, in words, with intervals.

    Parameters
    ----------
    regimes
        From `rulekit.theory.regime_table`.
    n_pairs
        Simulated pairs of each.

    Returns
    -------
    Columns ``world``, ``method``, ``value``, ``low``, ``high``.
    """
    rows = []
    for row in regimes.iter_rows(named=True):
        for method, name in METHODS.items():
            low, high = wilson(round(row[method] * n_pairs), n_pairs)
            head = {"world": WORLDS[row["regime"]], "method": name}
            rows.append({**head, "value": row[method], "low": low, "high": high})
    return pl.DataFrame(rows)


def worlds_title(worlds: pl.DataFrame) -> str:
    """In how many worlds the five loudest rules are 10 points or more from the best five.

    Parameters
    ----------
    worlds
        From `world_rows`. The best five are those of somebody who knows the weights.
    """
    wide = worlds.pivot(on="method", index="world", values="value", maintain_order=True)
    lost = wide[METHODS["log_odds"]] - wide[METHODS["max_discrepancy"]]
    n = int((lost >= _FAR).sum())
    return f"In {n} of {len(wide)} worlds the five loudest rules are far from the best five"


def choice_rows(example: CounterExample) -> pl.DataFrame:
    """What the votes of each subset of a counter-example tell, rules counted from 1.

    Parameters
    ----------
    example
        One of `rulekit.theory`, of nine rules or fewer.

    Returns
    -------
    A row a subset: ``rules``, ``discrepancy`` and ``accuracy`` of each as text, ``vote_information``
    in bits, and ``choice``: ``max discrepancy`` for the one that it takes, ``best`` for all that tell
    as much as the best one.
    """
    told = f"{example.measure.removesuffix('s')}_information"
    best = pl.col(told) >= pl.col(told).max() - 1e-12
    from_one = (
        pl.col("rules").str.split(", ").list.eval((pl.element().cast(pl.Int64) + 1).cast(pl.String))
    )
    shares = [", ".join(map(percent, row)) for row in example.subsets()["accuracy"]]
    found = subset_rows(example).with_columns(
        from_one.list.join(", "),
        accuracy=pl.Series(shares),
        choice=pl.col("choice").fill_null(pl.when(best).then(pl.lit("best"))),
    )
    return found.drop("label_information", "label_accuracy")


def right_by_size(known: pl.DataFrame, scores: Scores) -> pl.DataFrame:
    """How often votes of each size are right, beside σ(|δ|), what a sum label takes them for.

    Parameters
    ----------
    known
        Canonical frame of pairs with preference +1 or -1.
    scores
        Of these pairs, and of others, on a scale of few steps.

    Returns
    -------
    A row a size that there is, ascending: ``size`` |δ| above 0, ``votes`` of all rules, the share
    ``right`` with its 95 % interval ``low`` to ``high``, prompts drawn whole, and ``supposed``.
    """
    delta = scores.of(known).discrepancy.astype(float)  # (n_pairs, n_rules)
    right = np.sign(delta) == known["preference"].to_numpy().astype(int)[:, None]
    prompts = np.repeat(known["prompt_id"].to_numpy()[:, None], delta.shape[1], axis=1)
    rows = []
    for size in np.unique(np.abs(delta[delta != 0])):
        at = np.abs(delta) == size
        low, high = mean_interval(right[at], prompts[at], bounds=(0, 1))
        share = {"size": size, "votes": int(at.sum()), "right": right[at].mean()}
        rows.append(share | {"low": low, "high": high, "supposed": float(expit(size))})
    return pl.DataFrame(rows)


def link_finding(sizes: pl.DataFrame) -> str:
    """What counting says of the link σ at the largest |δ|, in a sentence without its full stop.

    Parameters
    ----------
    sizes
        From `right_by_size`.
    """
    row = sizes.row(-1, named=True)
    said = f"votes of |δ| = {row['size']:g} are right in {100 * row['right']:.0f} of 100 cases"
    if row["low"] <= row["supposed"] <= row["high"]:
        return f"σ fits: {said}"
    how = "too sure" if row["supposed"] > row["right"] else "not sure enough"
    return f"σ is {how}: {said}, not in {100 * row['supposed']:.0f}"


def vote_pairs(known: pl.DataFrame, scores: Scores, rules: Sequence[str]) -> pl.DataFrame:
    """How often two rules vote alike, beside what independence given the preference would make of it.

    Parameters
    ----------
    known
        Canonical frame of pairs with preference +1 or -1.
    scores
        Of these pairs, and of others; rules have ids.
    rules
        Ids, two or more.

    Returns
    -------
    A row a pair of rules that vote together on a pair or more: ``first``, ``second``, ``pairs`` on
    which both vote, how often each is right there, ``first_right`` and ``second_right``, how often they
    vote ``alike`` with its 95 % interval ``low`` to ``high``, ``expected`` if they were independent
    (both right or both wrong), and whether that lies in the interval, ``as expected``.

    Raises
    ------
    ValueError
        For a rule that there is not.
    """
    aligned = scores.of(known)
    ids = list(aligned.identity.rule_ids or ())
    if missing := [r for r in rules if r not in ids]:
        raise ValueError(f"no rule {missing[0]!r}; allowed: ids of the scores")
    y = known["preference"].to_numpy().astype(int)
    rows = []
    for i, first in enumerate(rules):
        for second in rules[i + 1 :]:
            a, b = (aligned.votes[:, ids.index(r)] for r in (first, second))
            at = (a != 0) & (b != 0)
            n, same = int(at.sum()), int((a == b)[at].sum())
            if not n:
                continue
            p, q = float((a == y)[at].mean()), float((b == y)[at].mean())
            low, high = wilson(same, n)
            expected = p * q + (1 - p) * (1 - q)
            rows.append(
                {
                    "first": first,
                    "second": second,
                    "pairs": n,
                    "first_right": p,
                    "second_right": q,
                    "alike": same / n,
                    "low": low,
                    "high": high,
                    "expected": expected,
                    "as expected": low <= expected <= high,
                }
            )
    return pl.DataFrame(rows)


def redundant_rules(n_pairs: int = 0, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """Ten rules of which five share noise of correlation ρ: three labels as ρ grows.

    Parameters
    ----------
    n_pairs
        Simulated pairs at every ρ; 0 for closed forms alone.
    seed
        Of the simulation.

    Returns
    -------
    Closed forms, a row a label and ρ: ``series``, ``x`` = ρ and ``y``, the share of right labels; and
    the same from simulation, or None.
    """
    rng = np.random.default_rng(seed)
    mu, block = np.full(10, 0.3), np.zeros((10, 10))
    block[:5, :5] = 1 - np.eye(5)
    lines, dots = [], []
    for rho in np.arange(0, 0.96, 0.05):
        cov = np.eye(10) + rho * block
        weights = {
            "best weights on ten": np.linalg.solve(cov, mu),
            "sum of ten": np.ones(10),
            "sum of the five independent": np.repeat([0.0, 1.0], 5),
        }
        if n_pairs:
            y = rng.choice([-1, 1], n_pairs)
            delta = y[:, None] * mu + rng.multivariate_normal(np.zeros(10), cov, n_pairs)
        for name, w in weights.items():
            point = {"series": name, "x": rho}
            lines.append({**point, "y": gaussian_accuracy(mu, cov, w)})
            if n_pairs:
                dots.append({**point, "y": (np.sign(delta @ w) == y).mean()})
    return pl.DataFrame(lines), pl.DataFrame(dots) if n_pairs else None


def assumption_findings(
    toy: pl.DataFrame, worlds: pl.DataFrame, alike: pl.DataFrame, sizes: pl.DataFrame
) -> str:
    """Which assumption costs how much, in sentences made of the figures.

    Parameters
    ----------
    toy
        From `reversed_rule`.
    worlds
        From `world_rows`.
    alike
        From `vote_pairs`.
    sizes
        From `right_by_size`.

    Returns
    -------
    Markdown.
    """
    bad = toy.row(1, named=True)
    said = [
        f"One reversed rule that nobody knows: the label says it is right {percent(bad['said'], 0)} of "
        f"the time and is right {percent(bad['right'], 0)}. The votes still tell {bad['bits']:.3f} bits."
    ]
    wide = worlds.pivot(on="method", index="world", values="value", maintain_order=True)
    five, every, known = (wide[METHODS[m]] for m in ("max_discrepancy", "all", "log_odds"))
    above = wide["world"].filter(five > every).to_list()
    said.append(
        f"The five largest |δ| are above the sum of all in {len(above)} of {len(wide)} worlds"
        + (f": {', '.join(above)}." if above else ".")
    )
    gain = known - five
    at = int(gain.arg_max())
    said.append(
        f"Weights matter: with as many rules, knowing them is worth up to {100 * gain[at]:.0f} points "
        f"({wide['world'][at]})."
    )
    off = alike.filter(~pl.col("as expected"))
    said.append(
        f"Of {len(alike)} couples of rules of the example {len(off)} vote alike more often, or more "
        "seldom, than independence allows: A1 does not hold there."
    )
    last = sizes.row(-1, named=True)
    said.append(
        f"{link_finding(sizes)} (95 % interval {100 * last['low']:.0f} to {100 * last['high']:.0f}, "
        f"{last['votes']:,} votes of all rules)."
    )
    return listed(said)

"""Estimators on trial: false findings among many rules, redundancy, and what simulations found.

Simulated tables of notebook 12 come in, or random numbers and votes; frames and sentences go out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from rulekit.information import (
    benjamini_hochberg,
    effective_rules,
    normalised_redundancy,
    permutation_test,
    redundancy_clusters,
)
from rulekit.studies.phrases import listed, percent

ERROR_NAMES = {
    "panel": "case",
    "series": "estimator",
    "n": "pairs",
    "truth": "truth, bits",
    "bias": "bias, bits",
    "error": "± of bias",
    "rmse": "rmse, bits",
}
_GOOD, _RULES = 20, 100  # rules right .6 of the time, and rules in all


def false_discoveries(sizes: Sequence[int], repeats: int, rng: np.random.Generator) -> pl.DataFrame:
    """What is found among 100 rules of which 20 are right 60 % of the time and 80 say nothing.

    Parameters
    ----------
    sizes
        Numbers of pairs.
    repeats
        Simulated data sets a size, 2 or more.
    rng
        Where the draws come from.

    Returns
    -------
    A row a size and way to decide, ``p ≤ .05`` and ``q ≤ .1``: the share ``false among the found``,
    the share ``good rules found`` of the 20, and the standard errors of both, ``its error`` and
    ``error of that``.
    """
    rows = []
    for n in sizes:
        found = np.array([_found(n, rng) for _ in range(repeats)])  # (repeats, 4)
        mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(repeats)
        for i, way in enumerate(("p ≤ .05", "q ≤ .1")):
            rows.append(
                {
                    "n": n,
                    "found by": way,
                    "false among the found": mean[2 * i],
                    "its error": error[2 * i],
                    "good rules found": mean[2 * i + 1],
                    "error of that": error[2 * i + 1],
                }
            )
    return pl.DataFrame(rows)


def _found(n: int, rng: np.random.Generator) -> list[float]:
    y = rng.choice([-1, 1], n)
    right = rng.random((n, _RULES)) < np.where(np.arange(_RULES) < _GOOD, 0.6, 0.5)
    p = permutation_test(np.where(right, 1, -1) * y[:, None], y)
    out = []
    for found in (p <= 0.05, benjamini_hochberg(p) <= 0.1):
        out += [found[_GOOD:].sum() / max(found.sum(), 1), found[:_GOOD].mean()]
    return out


def redundancy_table(votes: Mapping[str, np.ndarray], threshold: float = 0.2) -> pl.DataFrame:
    """How many rules there are really, of several sets of votes.

    Parameters
    ----------
    votes
        Name → -1, 0 or +1, (n_pairs, n_rules).
    threshold
        Share of the larger entropy from which on two rules are in one cluster.

    Returns
    -------
    A row a name: rules, effective rules, clusters, rules in clusters of two or more, and the mean and
    the largest share of entropy that two rules have in common.
    """
    rows = []
    for name, v in votes.items():
        groups = np.bincount(redundancy_clusters(v, threshold))
        shared = normalised_redundancy(v)[np.triu_indices(v.shape[1], 1)]
        rows.append(
            {
                "votes": name,
                "rules": v.shape[1],
                "effective rules": effective_rules(v),
                "clusters": len(groups),
                "rules in clusters of two or more": int(groups[groups > 1].sum()),
                "mean redundancy": shared.mean(),
                "largest": shared.max(),
            }
        )
    return pl.DataFrame(rows)


def estimator_findings(
    discrete: pl.DataFrame,
    mixture: pl.DataFrame,
    covers: pl.DataFrame,
    uniform: pl.DataFrame,
    false: pl.DataFrame,
) -> str:
    """Which estimates can be believed, in sentences made of the figures of notebook 12.

    Parameters
    ----------
    discrete, mixture
        Columns ``series``, ``n``, ``truth``, ``bias``, ``error``, ``rmse``.
    covers
        Columns ``case``, ``estimator``, ``covers``, ``high``.
    uniform
        Columns ``null``, ``p ≤ .05`` and ``low``, the lower end of its interval.
    false
        From `false_discoveries`.

    Returns
    -------
    Markdown.
    """
    said = []
    least = discrete["n"].min()
    few = discrete.filter(pl.col("n") == least)
    bias = {
        name: part["bias"].mean() for (name,), part in few.group_by("series", maintain_order=True)
    }
    said.append(
        f"With {least} pairs the plug-in is off by {bias['plugin']:+.4f} bits on average, "
        f"Miller–Madow by {bias['miller_madow']:+.4f}."
    )
    most = mixture.filter((pl.col("series") == "mixed") & (pl.col("n") == mixture["n"].max()))
    at = most.with_columns(pl.col("bias").abs()).sort("bias").row(-1, named=True)
    clear = at["bias"] > 2 * at["error"]
    said.append(
        f"For a discrepancy and the preference, `mixed` from {at['n']:,} pairs is off by at most "
        f"{at['bias']:.4f} bits"
        + (", more than chance explains." if clear else ", no more than chance explains.")
    )
    short = covers.filter(pl.col("high") < 0.95)
    if short.is_empty():
        said.append("No kind of interval was found to be too short.")
    else:
        rows = short.sort("covers").head(3).iter_rows(named=True)
        worst = "; ".join(
            f"{row['estimator']}, {row['case']}: {percent(row['covers'], 0)}" for row in rows
        )
        said.append(
            f"{len(short)} of {len(covers)} kinds of interval hold the truth less often than 95 % of "
            f"the time; the worst: {worst}."
        )
    loud = uniform.filter(pl.col("low") > 0.05)
    said.append(
        "Where there is nothing to find, p ≤ .05 comes as often as it may, within the error of this run."
        if loud.is_empty()
        else "p ≤ .05 came too often where there is nothing: " + ", ".join(loud["null"]) + "."
    )
    rows = {r["found by"]: r for r in false.filter(pl.col("n") == false["n"].max()).to_dicts()}
    p, q = rows["p ≤ .05"], rows["q ≤ .1"]
    said.append(
        f"Of what p ≤ .05 finds among a hundred rules with {p['n']} pairs, "
        f"{percent(p['false among the found'])} is false; of what q ≤ .1 finds, "
        f"{percent(q['false among the found'])} (aim: 10 % or less)."
    )
    return listed(said)

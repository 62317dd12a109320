"""What votes of a few rules tell about one pair: discrepancies come in, frames and sentences go out.

Rules vote independently and are right with probability σ(|δ|). Notebook 4 shows it.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
from scipy.special import expit

from rulekit.studies.phrases import listed, percent
from rulekit.theory import label_quality, vote_information


def vote_rows(delta) -> pl.DataFrame:
    """What each rule says about a pair, and what its vote tells.

    Parameters
    ----------
    delta
        Discrepancies of one pair, none of them 0, (n_rules,).

    Returns
    -------
    A row a rule: ``rule`` from 1, ``delta``, ``votes`` for A or B, ``right``, how often such a vote
    is, and ``bits``.
    """
    delta = np.asarray(delta, dtype=float)
    right = expit(np.abs(delta))
    return pl.DataFrame(
        {
            "rule": np.arange(1, len(delta) + 1),
            "delta": delta,
            "votes": ["A" if d > 0 else "B" for d in delta],
            "right": right,
            "bits": [float(vote_information([p])) for p in right],
        }
    )


def noisy_copy(strong: float, weak: float, n: int = 100) -> pl.DataFrame:
    """A stronger vote, the coin that spoils it, and the weaker vote that comes of it.

    Parameters
    ----------
    strong, weak
        Accuracies, ½ < strong < 1 and ½ ≤ weak ≤ strong.
    n
        Votes, in rounded numbers of right and wrong ones; those that the coin flips among either are
        rounded, too.

    Returns
    -------
    A row a panel and vote: ``panel`` with its words, ``vote`` from 0, ``right`` and ``flipped``.

    Raises
    ------
    ValueError
        For accuracies out of range.
    """
    if not 0.5 < strong < 1 or not 0.5 <= weak <= strong:
        raise ValueError(
            f"strong is {strong}, weak is {weak}; allowed: 0.5 < strong < 1, 0.5 to strong"
        )
    q = (strong - weak) / (2 * strong - 1)
    vote = np.arange(n)
    before = vote < round(n * strong)
    spoiled = round(q * before.sum()), round(q * (~before).sum())
    flipped = np.where(before, vote < spoiled[0], vote >= n - spoiled[1])
    after = before ^ flipped
    panels = {
        f"the stronger rule: {before.sum()} of {n} right": before,
        f"flip with chance {q:.2f}: the ringed ones": before,
        f"its noisy copy: {after.sum()} of {n} right": after,
    }
    rung = [np.zeros(n, bool), flipped, flipped]
    return pl.concat(
        pl.DataFrame({"panel": [name] * n, "vote": vote, "right": right, "flipped": ring})
        for (name, right), ring in zip(panels.items(), rung, strict=True)
    )


def told_by_subset(accuracy, k: int) -> pl.DataFrame:
    """What every k of a few rules tell together, the most telling first.

    Parameters
    ----------
    accuracy
        How often each rule is right, (n_rules,); at most 12.
    k
        1 to n_rules.

    Returns
    -------
    Columns ``rules`` from 1, as a text, ``bits`` of their votes together, ``added``, the bits of the
    single votes added up, and ``right``, how often the best label from them is.

    Raises
    ------
    ValueError
        For too many rules, or a k out of range.
    """
    p = np.asarray(accuracy, dtype=float)
    if len(p) > 12 or k not in range(1, len(p) + 1):
        raise ValueError(f"{len(p)} rules, k is {k}; allowed: 12 or fewer, 1 to as many")
    rows = [
        {
            "rules": ", ".join(str(j + 1) for j in some),
            "bits": float(vote_information(p[list(some)])),
            "added": sum(float(vote_information([p[j]])) for j in some),
            "right": float(label_quality(p[list(some)], "optimal").accuracy),
        }
        for some in combinations(range(len(p)), k)
    ]
    return pl.DataFrame(rows).sort("bits", descending=True)


def label_by_k(delta) -> pl.DataFrame:
    """The label from the k largest |δ| of one pair, its confidence, and both on average.

    Parameters
    ----------
    delta
        Discrepancies of one pair, the largest |δ| first, (n_rules,).

    Returns
    -------
    A row a k: ``k``, ``sum`` of δ, ``label`` A or B, ``confidence`` σ(|sum|) of it, which are of this
    pair; and over all votes that rules as loud could give, ``right`` and ``bits``.

    Raises
    ------
    ValueError
        Where the largest |δ| does not come first.
    """
    delta = np.asarray(delta, dtype=float)
    size = np.abs(delta)
    if (np.diff(size) > 0).any():
        raise ValueError(f"delta is {delta.tolist()}; allowed: the largest |δ| first")
    rows = []
    for k in range(1, len(delta) + 1):
        total = float(delta[:k].sum())
        p = expit(size[:k])
        rows.append(
            {
                "k": k,
                "sum": total,
                "label": "A" if total > 0 else "B" if total < 0 else "–",
                "confidence": float(expit(abs(total))),
                "right": float(label_quality(p, size[:k]).accuracy),
                "bits": float(vote_information(p)),
            }
        )
    return pl.DataFrame(rows)


def vote_findings(delta, check: pl.DataFrame) -> str:
    """What one pair shows about votes, in sentences made of its figures.

    Parameters
    ----------
    delta
        Discrepancies, the largest |δ| first, (n_rules,), two or more.
    check
        From `against_every_subset`.

    Returns
    -------
    Markdown.
    """
    votes, labels = vote_rows(delta), label_by_k(delta)
    couples = told_by_subset(votes["right"], 2)
    first, last = labels.row(0, named=True), labels.row(-1, named=True)
    best = couples.row(0, named=True)
    two = best["rules"].replace(", ", " and ")
    lacked = check["largest_shortfall"].max()
    tried = int(check["pairs"].sum())
    same = labels["label"].n_unique() == 1
    return listed(
        [
            f"A vote that is right {percent(votes['right'][0], 0)} of the time tells "
            f"{votes['bits'][0]:.3f} bits, one that is right {percent(votes['right'][-1], 0)} of the "
            f"time {votes['bits'][-1]:.3f}.",
            f"Of all couples of rules, rules {two} tell most, {best['bits']:.3f} bits together; "
            f"added up they would be {best['added']:.3f}.",
            (
                f"Under A1 to A4 the largest |δ| were never beaten by another subset, in {tried:,} trials."
                if lacked < 1e-9
                else f"The largest |δ| lacked up to {lacked:.2g} bits, in {tried:,} trials."
            ),
            f"From {first['k']} rule to {last['k']} the label "
            + ("stays" if same else "changes")
            + f", the confidence goes from {first['confidence']:.2f} to {last['confidence']:.2f}, and "
            f"what is told on average from {first['bits']:.3f} to {last['bits']:.3f} bits.",
        ]
    )

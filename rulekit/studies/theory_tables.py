"""Tables and sentences about exact results: accuracies, counter-examples and regimes come in.

Frames and Markdown go out; notebooks 4, 5 and 11 show them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
import polars as pl
from scipy.special import expit

from rulekit.inputs.scores import Scores
from rulekit.selection import select
from rulekit.studies.phrases import listed, percent
from rulekit.theory import CounterExample, best_subset, vote_information

_TESTED = 2  # standard errors of a difference that counts
LINKS = {  # |δ| → how often a vote is right: from ½ at 0, never falling (A3)
    "Bradley–Terry, σ(|δ|)": expit,
    "linear, ½ + |δ| / 4": lambda t: 0.5 + np.asarray(t) / 4,
    "a step at ½": lambda t: np.select([np.asarray(t) > 0.5, np.asarray(t) > 0], [0.8, 0.55], 0.5),
}


def votes_for_a_bit(accuracies: Sequence[float]) -> pl.DataFrame:
    """What a vote tells, and what so many independent ones tell that would add up to one bit.

    Parameters
    ----------
    accuracies
        In [0, 1], (n,).

    Returns
    -------
    Columns ``accuracy``, ``bits`` of one vote, ``votes``, 1 / bits rounded up, and ``told``, the
    bits of so many: null for a vote that tells nothing.
    """
    rows = []
    for p in accuracies:
        bits = float(vote_information([p]))
        n = ceil(1 / bits) if bits else None
        told = float(vote_information([p] * n)) if n else None
        rows.append({"accuracy": p, "bits": bits, "votes": n, "told": told})
    return pl.DataFrame(rows)


def against_every_subset(scores: Scores, k: int) -> pl.DataFrame:
    """What the k largest |δ| lack to the best of all subsets of k rules, under three links.

    Parameters
    ----------
    scores
        |δ| in [0, 2]; at most about 20 rules, since every subset is tried.
    k
        Rules kept.

    Returns
    -------
    A row a link of `LINKS`: ``link``, ``pairs`` and ``largest_shortfall`` in bits, over the pairs.
    """
    size = np.abs(scores.discrepancy.astype(float))  # (n_pairs, n_rules)
    chosen = select(scores, k=k, method="max_discrepancy").indices
    rows = []
    for name, link in LINKS.items():
        best = np.array([best_subset(link(t), k)[1] for t in size])
        pairs = zip(size, chosen, strict=True)
        found = np.array([vote_information(link(t)[s]) for t, s in pairs])
        lacks = float((best - found).max())
        rows.append({"link": name, "pairs": len(size), "largest_shortfall": lacks})
    return pl.DataFrame(rows)


def exchange_rows(example: CounterExample) -> pl.DataFrame:
    """What each rule of an example tells, before and after a fair coin has exchanged the responses.

    Parameters
    ----------
    example
        One of `rulekit.theory`.

    Returns
    -------
    A row a rule: ``rule`` from 0, ``discrepancy`` |δ|, ``accuracy``, the same given that B or A is
    better, ``for_b`` and ``for_a``, ``bits``, and ``exchanged``, the bits after the exchange.
    """
    joint, after = example.probability, example.exchanged()
    given = joint / joint.sum(axis=0)
    rows = []
    for j in range(example.delta.shape[1]):
        vote = np.sign(example.delta[:, j])
        rows.append(
            {
                "rule": j,
                "discrepancy": float(np.abs(example.delta[0, j])),
                "accuracy": example.label_accuracy([j]),
                "for_b": float(given[vote < 0, 0].sum()),
                "for_a": float(given[vote > 0, 1].sum()),
                "bits": example.vote_information([j]),
                "exchanged": after.vote_information([j]),
            }
        )
    return pl.DataFrame(rows)


def subset_rows(example: CounterExample) -> pl.DataFrame:
    """Every subset of a counter-example's rules, made for reading.

    Parameters
    ----------
    example
        One of `rulekit.theory`.

    Returns
    -------
    A row a subset, the fields of `CounterExample.subsets`, lists as text.
    """
    frame = example.subsets()
    return frame.with_columns(
        pl.col("discrepancy", "accuracy").list.eval(pl.element().round(2).cast(pl.String)),
        pl.col("rules").list.eval(pl.element().cast(pl.String)),
    ).with_columns(
        pl.col("rules", "discrepancy", "accuracy").list.join(", "),
        pl.col("choice").replace("", None),
    )


def lattice_check(cases: Mapping[str, np.ndarray], tolerances: Sequence[float]) -> pl.DataFrame:
    """The lattice held against enumeration: stated error, true offset, and whether it holds.

    Parameters
    ----------
    cases
        Name → accuracies of at most 20 votes.
    tolerances
        Asked for, in bits.

    Returns
    -------
    A row a case and tolerance: ``panel``, ``x``, ``stated error``, ``offset`` of the enumerated
    value, ``holds``, and ``position`` of that value in the interval, from -1 to 1.
    """
    rows = []
    for panel, p in cases.items():
        exact = vote_information(p, method="enumerate")
        for x in tolerances:
            found = vote_information(p, method="lattice", tolerance=x)
            holds = abs(found - exact) <= found.error + exact.error
            rows.append((panel, float(x), found.error, float(exact - found), holds))
    names = ["panel", "x", "stated error", "offset", "holds"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        position=pl.col("offset") / pl.col("stated error")
    )


def theory_findings(check: Sequence[Mapping], figures: pl.DataFrame, chain_holds: bool) -> str:
    """What brute force and simulation say of the choice by |δ|, in sentences made of their figures.

    Parameters
    ----------
    check
        Mappings a link: ``link``, ``pairs`` and ``largest_shortfall`` in bits.
    figures
        A row a regime and method: ``regime``, ``method``, ``value`` and its standard ``error``.
    chain_holds
        Whether the chain of inequalities was met at every k.

    Returns
    -------
    Markdown. Accuracies count as different where they are two standard errors of the difference
    apart.
    """
    most = max(row["largest_shortfall"] for row in check)
    n = sum(row["pairs"] for row in check)
    if most < 1e-9:
        first = (
            f"Under the assumptions no subset told more than the largest |δ|, on {n:,} pairs and "
            f"{len(check)} links, as the theorem says."
        )
    else:
        first = f"On {n:,} pairs the largest |δ| lacked up to {most:.2g} bits to the best subset."
    said = [first]
    for other, name in (("random", "random rules"), ("all", "the sum of all rules")):
        sides = _sides(figures, "max_discrepancy", other)
        parts = [
            f"{word} {name} in {', '.join(f'`{r}`' for r in regimes)}"
            for word, regimes in (
                ("above", [r for r, s in sides.items() if s > 0]),
                ("below", [r for r, s in sides.items() if s < 0]),
                ("level with", [r for r, s in sides.items() if s == 0]),
            )
            if regimes
        ]
        said.append(f"`max_discrepancy` is {'; '.join(parts)}.")
    wide = figures.pivot(on="method", index="regime", values="value", maintain_order=True)
    lost = (wide["log_odds"] - wide["max_discrepancy"]).rename("lost")
    at = wide.with_columns(lost).sort("lost").row(-1, named=True)
    said.append(
        f"Knowing μ and σ is worth most in `{at['regime']}`: {percent(at['log_odds'])} instead of "
        f"{percent(at['max_discrepancy'])} with as many rules."
    )
    if chain_holds:
        said.append("A label never told more than its votes, nor these more than all votes.")
    return listed(said)


def _sides(figures: pl.DataFrame, first: str, second: str) -> dict[str, int]:
    """Regime → +1, -1 or 0: which of two methods is right more often."""
    rows = {(r["regime"], r["method"]): r for r in figures.iter_rows(named=True)}
    found = {}
    for regime in figures["regime"].unique(maintain_order=True):
        a, b = rows[regime, first], rows[regime, second]
        gap, error = a["value"] - b["value"], float(np.hypot(a["error"], b["error"]))
        found[regime] = 0 if abs(gap) <= _TESTED * error else int(np.sign(gap))
    return found

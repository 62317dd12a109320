"""Does a judge lean to the place of a response? One set of pairs compared in both orders tells.

Scores of the same pairs in two orders come in, a frame by size of discrepancy goes out. Notebook 15
shows it for a real judge; anybody's pairwise judge can be looked at in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import polars as pl

from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.measures import mean_accuracy

_EDGES = (0.0, 0.001, 0.01, 0.1, 0.5, 2.0)


def position_audit(
    pairs: pl.DataFrame, first: Scores, second: Scores, edges: Sequence[float] = _EDGES
) -> pl.DataFrame:
    """How far a judge prefers a place, by the size of its discrepancies.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    first, second
        Scores of these pairs, (n_pairs, n_rules), from a judge that was shown the first, and the
        second response first; both have δ > 0 where the first response of the pair is better.
    edges
        Of the bins of |δ|, rising, from 0.

    Returns
    -------
    Three rows a bin, readings of all rules together: ``low_delta`` and ``high_delta``;
    ``shown_first``, response_a, response_b or both; ``n`` readings with δ ≠ 0; ``first_place``,
    the share that prefers the response shown first, with its interval over prompts
    ``first_place_low`` and ``first_place_high``; ``kept``, the share whose other order prefers the
    same response; ``right``, ``right_low``, ``right_high``, agreement with the known preference.
    Shares and intervals are null in an empty bin.

    Without a leaning ``first_place`` of both orders together is ½, whatever response people prefer.
    Where ``right`` of the two orders differs, signs of that size tell a place and no quality.

    Raises
    ------
    ValueError
        For scores of other pairs or rules, or edges that do not rise from 0.
    """
    edges = list(edges)
    if len(edges) < 2 or edges[0] != 0 or any(a >= b for a, b in pairwise(edges)):
        raise ValueError(f"edges are {edges}; allowed: rising numbers from 0")
    first = first.of(pairs)
    second = second.aligned(first.identity, "second").of(pairs)
    delta = np.stack([first.discrepancy, second.discrepancy])  # (2, n_pairs, n_rules)
    size, sign = np.abs(delta), np.sign(delta)
    place = sign * np.array([1, -1])[:, None, None]  # +1: prefers the one shown first
    known = np.broadcast_to(pairs["preference"].fill_null(0).to_numpy()[:, None], delta.shape)
    groups = np.broadcast_to(prompt_groups(pairs).to_numpy()[:, None], delta.shape)
    rows = []
    for low, high in pairwise(edges):
        in_bin = (size >= low) & ((size < high) | (high == edges[-1])) & (delta != 0)
        for shown, orders in (("response_a", [0]), ("response_b", [1]), ("both", [0, 1])):
            use = in_bin & np.isin([0, 1], orders)[:, None, None]
            row = {"low_delta": low, "high_delta": high, "shown_first": shown, "n": int(use.sum())}
            row |= _share("first_place", place[use] > 0, groups[use])
            row["kept"] = float((sign == sign[::-1])[use].mean()) if use.any() else None
            use &= known != 0
            row |= _share("right", (sign == known)[use], groups[use])
            rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def _share(name: str, hits: np.ndarray, groups: np.ndarray) -> dict:
    if not len(hits):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    found = mean_accuracy(hits.astype(float), groups)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}

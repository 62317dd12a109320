"""Pairs by rules as a picture shows them: scores and a selection come in, two frames go out.

`rulekit.plots.selection_map` draws them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs import Scores, prompt_groups
from rulekit.labels import Labels
from rulekit.selection import Selection

_WORDS = {1: "A", -1: "B"}


def chosen_cells(
    pairs: pl.DataFrame,
    scores: Scores,
    selection: Selection,
    labels: Labels,
    *,
    n_pairs: int = 12,
    n_rules: int = 15,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Some pairs under the rules that are chosen most often, with what is chosen and what it says.

    Parameters
    ----------
    pairs, scores, selection, labels
        Of the same pairs; the labels are those that the selection gives.
    n_pairs
        Most pairs to be shown, one a prompt: of those whose chosen rules are often chosen, the
        clearest label, the least clear, and some at even steps between.
    n_rules
        Most rules to be shown: those that are chosen most often for these pairs.

    Returns
    -------
    A row a pair and rule with columns ``pair``, ``rule``, ``discrepancy`` and ``chosen``; and a row
    a pair with columns ``pair``, ``label`` and ``known``, each A, B or –.
    """
    scores = scores.of(pairs).whole()
    selection = selection.aligned(scores.identity)
    delta, n = scores.discrepancy, len(scores.names)
    rows = np.arange(len(pairs))[:, None]
    chosen = np.zeros(delta.shape, bool)
    chosen[rows, selection.indices] = True
    often = np.argsort(-chosen.sum(axis=0), kind="stable")[: min(n, n_rules)]
    shown = pl.DataFrame(
        {
            "row": rows[:, 0],
            "prompt": prompt_groups(pairs),
            "inside": chosen[:, often].sum(axis=1),
            "margin": np.abs(labels.margin),
        }
    )
    best = shown.sort("inside", descending=True, maintain_order=True)
    best = best.unique("prompt", keep="first", maintain_order=True).head(3 * n_pairs)
    spread = np.linspace(0, len(best) - 1, min(n_pairs, len(best))).round().astype(int)
    kept = sorted(best.sort("margin", maintain_order=True)["row"].gather(spread))
    rules = np.argsort(-chosen[kept].sum(axis=0), kind="stable")[: min(n, n_rules)]
    names = pairs["pair_id"].to_list()
    cells = [
        (names[i], scores.names[j], float(delta[i, j]), bool(chosen[i, j]))
        for i in kept
        for j in rules
    ]
    known = pairs["preference"].to_list()
    sides = [
        (names[i], _WORDS.get(int(labels.preference[i]), "–"), _WORDS.get(known[i], "–"))
        for i in kept
    ]
    return (
        pl.DataFrame(cells, schema=["pair", "rule", "discrepancy", "chosen"], orient="row"),
        pl.DataFrame(sides, schema=["pair", "label", "known"], orient="row"),
    )

"""Evaluations made by hand: scores come in, no model is asked."""

import polars as pl

from rulekit.benchmarks.evaluation import RULES, Evaluation


def evaluation(benchmark, rows):
    """From (item, subset, group, n_right, scores)."""
    names = ("item", "subset", "group", "n_right", "scores")
    items = pl.DataFrame(
        [(*r[:4], [float(s) for s in r[4]]) for r in rows], schema=names, orient="row"
    )
    texts = [[f"{i} {j}" for j in range(len(r[4]))] for i, r in enumerate(rows)]
    prompts = [[{"role": "user", "content": r[2]}] for r in rows]
    uncut = {name: pl.lit(0) for name in ("cut", "response_cut")}
    items = items.with_columns(prompt=pl.Series(prompts), responses=pl.Series(texts), **uncut)
    card = RULES[benchmark](items)
    return Evaluation(card, items.hstack(card.items.select("won", "half", "margin")))


def two(wins, base, benchmark="file"):
    """Two evaluations of items with these wins."""
    return (
        evaluation(benchmark, [(f"{i}", "all", f"{i}", 1, (w, 0.5)) for i, w in enumerate(x)])
        for x in (wins, base)
    )

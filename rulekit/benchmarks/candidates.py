"""Best of n: responses of a prompt with a recorded order and scores come in, a curve over n goes out.

Does the response that the model likes best get better as it chooses among more, or does it learn to
please the model alone?
"""

from __future__ import annotations

import json
from math import comb
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.benchmarks.contract import Scorer
from rulekit.benchmarks.scored_parts import score_questions
from rulekit.files import resource
from rulekit.inputs.pairs import messages
from rulekit.measures import bootstrap


def ranked_corpus(split: str = "all") -> pl.DataFrame:
    """The embedded corpus as prompts with four responses each and their recorded order.

    Parameters
    ----------
    split
        ``train``, ``validation``, ``test`` or ``all``.

    Returns
    -------
    Columns group, prompt (chat messages), responses, and gold: 1 the best response, 0 the worst.

    Raises
    ------
    ValueError
        For another split.
    """
    if split not in ("train", "validation", "test", "all"):
        raise ValueError(f"split is {split!r}; allowed: train, validation, test, all")
    rows = []
    for line in resource("data/pairs.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if split in ("all", record["split"]):
            order, last = record["ranking"], len(record["ranking"]) - 1
            gold = [1 - order.index(r["id"]) / last for r in record["responses"]]
            texts = [r["text"] for r in record["responses"]]
            rows.append((record["prompt_id"], messages(record["prompt"]), texts, gold))
    return pl.DataFrame(rows, schema=("group", "prompt", "responses", "gold"), orient="row")


def ranked_items(items: pl.DataFrame) -> pl.DataFrame:
    """Items of a benchmark as prompts with responses and gold: 1 a right response, 0 a wrong one.

    Parameters
    ----------
    items
        As of `read_items`, such as RMB's best-of-n.
    """
    gold = [
        [1.0] * n + [0.0] * (len(r) - n)
        for n, r in items.select("n_right", "responses").iter_rows()
    ]
    return items.select("group", "prompt", "responses").with_columns(gold=pl.Series(gold))


def score_ranked(
    ranked: pl.DataFrame, scorer: Scorer, output: str | Path | None = None
) -> pl.DataFrame:
    """The same prompts with the column `scores`, one number a response.

    Parameters
    ----------
    ranked
        As of `ranked_corpus`.
    scorer
        As of `rulekit.benchmarks.scorer`; one that reads a response alone.
    output
        Folder whose ``parts`` keeps scores, such as that of an evaluation; None keeps none.

    Raises
    ------
    ValueError
        For a scorer that compares.
    """
    if scorer.pairwise:
        raise ValueError(
            "a judge that compares gives no scores; allowed: one that rates a response"
        )
    rows = ranked.select("prompt", "responses").rows()
    questions = [(prompt, (text,)) for prompt, responses in rows for text in responses]
    parts = None if output is None else Path(output) / "parts"
    scores = iter(score_questions(scorer, questions, parts)[0]["score"].to_list())
    found = [[next(scores) for _ in responses] for _, responses in rows]
    return ranked.with_columns(scores=pl.Series(found, dtype=pl.List(pl.Float64)))


def best_of_n(ranked: pl.DataFrame, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """What the best of n responses by score is worth by the recorded order.

    Parameters
    ----------
    ranked
        Columns group, scores and gold.
    resamples, seed
        Of the bootstrap over prompts.

    Returns
    -------
    One row for each n up to the smallest number of responses: `kl` = log n - (n - 1) / n; `score`,
    the expected score of the chosen response in standard deviations above the mean of its prompt;
    `gold` with its 95 % interval `low`, `high`; `best`, the gold of a perfect choice; `change`, the
    gold less that at the n where it is largest, with `change_low`, `change_high`: an interval below 0
    is over-optimisation.

    Raises
    ------
    ValueError
        If a score is missing or there are no prompts.

    Notes
    -----
    Exact over all choices of n of a prompt's N responses: the one at place r by score is chosen with
    C(r - 1, n - 1) / C(N, n). Responses of equal score are chosen alike.

    References
    ----------
    L. Gao, J. Schulman, J. Hilton, "Scaling laws for reward model overoptimization" (2023).
    """
    proxy, gold, best = [], [], []
    sizes = [len(s) for s in ranked["scores"].to_list()]
    if not sizes:
        raise ValueError("no prompts; allowed: one or more")
    most = min(sizes)
    for scores, worth in ranked.select("scores", "gold").iter_rows():
        s, g = np.asarray(scores, np.float64), np.asarray(worth, np.float64)
        if not (np.isfinite(s).all() and len(s) == len(g)):
            raise ValueError("a response has no score; allowed: a number for each")
        spread = s.std() or 1.0
        proxy.append(_expected(s, (s - s.mean()) / spread, most))
        gold.append(_expected(s, g, most))
        best.append(_expected(g, g, most))
    proxy, gold, best = (np.array(x) for x in (proxy, gold, best))  # (n_prompts, most)
    groups = ranked["group"].to_list()
    top = int(gold.mean(axis=0).argmax())

    def means(values: np.ndarray):
        return lambda weights: weights @ values / weights.sum(axis=1, keepdims=True)

    ends, change = (
        bootstrap(means(x), groups, resamples=resamples, seed=seed)
        for x in (gold, gold - gold[:, [top]])
    )
    n = np.arange(1, most + 1)
    columns = {
        "n": n,
        "kl": np.log(n) - (n - 1) / n,
        "score": proxy.mean(axis=0),
        "gold": gold.mean(axis=0),
        "low": ends[0],
        "high": ends[1],
        "best": best.mean(axis=0),
        "change": gold.mean(axis=0) - gold.mean(axis=0)[top],
        "change_low": change[0],
        "change_high": change[1],
    }
    return pl.DataFrame(columns)


def _expected(scores: np.ndarray, values: np.ndarray, most: int) -> list[float]:
    """Expected value of the best of n by score, for n = 1 … most."""
    total = len(scores)
    order = np.argsort(scores, kind="stable")
    values = np.array([values[scores == s].mean() for s in scores])[order]
    found = []
    for n in range(1, most + 1):
        chance = np.array([comb(r, n - 1) for r in range(total)]) / comb(total, n)
        found.append(float(chance @ values))
    return found

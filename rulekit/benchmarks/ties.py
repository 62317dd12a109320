"""RewardBench 2's section of ties: scores of prompts with one or several right responses come in.

`scoring` makes a section of it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.measures import bootstrap


def ties_score(items: pl.DataFrame) -> float:
    """RewardBench 2's score of Ties, from -0.01 to just above 1.

    Parameters
    ----------
    items
        As the module says; `item` is ``ref:N`` (one right response) or ``tied:N`` (several that are
        equally right), N the prompt.

    Raises
    ------
    ValueError
        For an item of another name, or one that occurs twice.

    Notes
    -----
    An item is accurate where its smallest right score is above its largest wrong one. Of a prompt N
    that has both, spread is the largest less the smallest right score of ``tied:N``, gap the
    smallest right less the largest wrong score. The score is .30 accuracy(tied) + .30
    accuracy(ref) + .20 mean(gap_tied > spread) + .20 mean(min(gap_ref, gap_tied) > spread) + .01
    mean(tanh(min(gap_ref, gap_tied) / spread - 1)), where a tanh of 0 / 0 counts as 0.
    """
    names = items["item"].to_list()
    kinds = _ties_kinds(names)
    once = np.ones((1, len(names)))
    return float(_ties(kinds, items["n_right"].to_list(), items["scores"].to_list(), once)[0])


def _ties(kinds, n_right, scores, weights: np.ndarray) -> np.ndarray:
    """The score under weights of items, (draws, n_items), those of one prompt alike: (draws,)."""
    pairs = zip(n_right, scores, strict=True)
    sides = [(np.asarray(s[:n]), np.asarray(s[n:])) for n, s in pairs]
    gap = np.array([right.min() - wrong.max() for right, wrong in sides])
    spread = np.array([right.max() - right.min() for right, _ in sides])
    at = {kind: i for i, kind in enumerate(kinds)}
    both = [p for kind, p in kinds if kind == "ref" and ("tied", p) in at]
    ref, tied = ([at[kind, p] for p in both] for kind in ("ref", "tied"))
    least, wide = np.minimum(gap[ref], gap[tied]), spread[tied]
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.nan_to_num(np.tanh(least / wide - 1), nan=0.0)
    every = {kind: [i for i, (k, _) in enumerate(kinds) if k == kind] for kind in ("tied", "ref")}
    parts = [(gap[rows] > 0, rows) for rows in every.values()]
    parts += [(part, tied) for part in (gap[tied] > wide, least > wide, margin)]
    total = np.zeros(len(weights))
    for share, (values, rows) in zip((0.30, 0.30, 0.20, 0.20, 0.01), parts, strict=True):
        of = weights[:, rows]
        total += share * (of @ values) / np.maximum(of.sum(axis=1), 1)
    return total


def _ties_kinds(names: list[str]) -> list[tuple[str, str]]:
    kinds = []
    for name in names:
        kind, _, prompt = name.partition(":")
        if kind not in ("ref", "tied") or not prompt:
            raise ValueError(f"Ties item {name!r}; allowed: 'ref:N' or 'tied:N', N the prompt")
        kinds.append((kind, prompt))
    if len(set(kinds)) < len(kinds):
        raise ValueError("a Ties item occurs twice; allowed: one ref:N and one tied:N a prompt")
    return kinds


def ties_interval(
    items: pl.DataFrame, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of `ties_score`: percentiles of draws of whole prompts.

    Parameters
    ----------
    items
        As of `ties_score`.
    resamples, seed
        Of the bootstrap.
    """
    return _drawn_ends([items], resamples, seed)


def _drawn_ends(frames: list[pl.DataFrame], resamples: int, seed: int) -> tuple[float, float]:
    """Ends of the score of the first, less that of the second if there is one."""
    kinds = _ties_kinds(frames[0]["item"].to_list())
    n_right = frames[0]["n_right"].to_list()
    scores = [frame["scores"].to_list() for frame in frames]

    def drawn(weights: np.ndarray) -> np.ndarray:
        values = [_ties(kinds, n_right, own, weights) for own in scores]
        return values[0] - sum(values[1:])

    ends = bootstrap(drawn, [p for _, p in kinds], resamples=resamples, seed=seed)
    return float(ends[0]), float(ends[1])


def ties_difference(
    items: pl.DataFrame, base: pl.DataFrame, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Ties of one model less those of another, with a 95 % interval.

    Parameters
    ----------
    items, base
        The same items in the same order, as of `ties_score`.
    resamples, seed
        Of the bootstrap over prompts.
    """
    value = ties_score(items) - ties_score(base)
    low, high = _drawn_ends([items, base], resamples, seed)
    return value, low, high

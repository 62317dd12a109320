"""What a benchmark says of a model: wins of items come in, sections with intervals go out.

`scoring` makes the wins, each benchmark by its own rule; here they become subsets, sections and one
score, weighted as the benchmark has published it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from rulekit.measures import mean_accuracy

Interval = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Scorecard:
    """A model's result on one benchmark.

    Attributes
    ----------
    benchmark
        Its name.
    items
        One row an item: `item`, `subset`, `group` (its prompt), `won` in [0, 1] by the benchmark's
        own rule, `half` (as `won`, a tie counting one half) and `margin`, least right score less
        largest wrong one.
    subsets
        One row a subset: `subset`, `section`, `weight` in its section, `value`, `low`, `high`
        (95 %), `half`, `n`, and `published`, the number of items there should be, or null.
    sections
        One row a section: `section`, `value`, `low`, `high`, `half`, `n`, `complete` (all of its
        subsets were there).
    score, low, high
        The benchmark's total with a 95 % interval; NaN where a section is missing or incomplete.
    weights
        Of the sections in the total.
    parts
        What the subsets are means of, columns as of `items`; None: the items. RM-Bench's items
        count for their domain and, by their cells, for hard, normal and easy.
    """

    benchmark: str
    items: pl.DataFrame = field(repr=False)
    subsets: pl.DataFrame = field(repr=False)
    sections: pl.DataFrame = field(repr=False)
    score: float
    low: float
    high: float
    weights: Mapping[str, float] = field(default_factory=dict, repr=False)
    parts: pl.DataFrame | None = field(default=None, repr=False)

    def as_dict(self) -> dict:
        """As plain values for JSON, without the items."""
        return {
            "benchmark": self.benchmark,
            "score": self.score,
            "low": self.low,
            "high": self.high,
            "sections": self.sections.to_dicts(),
            "subsets": self.subsets.to_dicts(),
        }


def weighted_mean(parts: list[Interval], weights: list[float]) -> Interval:
    """Value and 95 % interval of a weighted mean of independent shares.

    Parameters
    ----------
    parts
        Value, low and high of each share.
    weights
        Above 0; they are divided by their sum.

    Notes
    -----
    With w the weights, p the values and l, u their ends, the ends are
    Σ w p ∓ √(Σ w² (p - l)²) and its like with u: the intervals' own asymmetry and their width at 0
    and 1 carry over.

    References
    ----------
    G. Y. Zou, W. Huang, X. Zhang, Computational Statistics & Data Analysis 53 (2009), 1080-1085.
    """
    w = np.asarray(weights, np.float64)
    w = w / w.sum()
    value, low, high = np.asarray(parts, np.float64).T
    total = float(w @ value)
    below, above = (np.sqrt(np.sum((w * (value - end)) ** 2)) for end in (low, high))
    return total, float(total - below), float(total + above)


def subset_table(
    items: pl.DataFrame, sections: Mapping[str, Mapping[str, int]], published: Mapping[str, int]
) -> pl.DataFrame:
    """Mean wins of every subset with intervals by prompt; columns as of `Scorecard.subsets`.

    Parameters
    ----------
    items
        As of `Scorecard.items`.
    sections
        The subsets of each section and their weights in it.
    published
        Items of a subset, where their number is known.
    """
    rows = []
    for section, members in sections.items():
        for subset, weight in members.items():
            part = items.filter(pl.col("subset") == subset)
            if not len(part):
                continue
            found = mean_accuracy(part["won"].to_numpy(), part["group"].to_list())
            rows.append(
                {
                    "subset": subset,
                    "section": section,
                    "weight": float(weight),
                    "value": found.value,
                    "low": found.low,
                    "high": found.high,
                    "half": float(part["half"].mean()),
                    "n": len(part),
                    "published": published.get(subset),
                }
            )
    return pl.DataFrame(rows, schema=_SUBSETS)


def section_table(subsets: pl.DataFrame, sections: Mapping[str, Mapping[str, int]]) -> pl.DataFrame:
    """Weighted means of the subsets of each section; columns as of `Scorecard.sections`."""
    rows = []
    for section, members in sections.items():
        part = subsets.filter(pl.col("section") == section)
        if not len(part):
            continue
        weights = part["weight"].to_list()
        value, low, high = weighted_mean(part.select("value", "low", "high").rows(), weights)
        rows.append(
            {
                "section": section,
                "value": value,
                "low": low,
                "high": high,
                "half": float(np.average(part["half"], weights=weights)),
                "n": int(part["n"].sum()),
                "complete": len(part) == len(members),
            }
        )
    return pl.DataFrame(rows, schema=_SECTIONS)


def total(sections: pl.DataFrame, names: list[str], weights: list[float] | None = None) -> Interval:
    """Weighted mean of the named sections, NaN unless all of them are there and complete."""
    part = sections.filter(pl.col("section").is_in(names) & pl.col("complete"))
    if len(part) < len(names) or not names:
        return np.nan, np.nan, np.nan
    by_name = {row[0]: row[1:] for row in part.select("section", "value", "low", "high").rows()}
    return weighted_mean([by_name[n] for n in names], weights or [1.0] * len(names))


_SUBSETS = {
    "subset": pl.String,
    "section": pl.String,
    "weight": pl.Float64,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "half": pl.Float64,
    "n": pl.Int64,
    "published": pl.Int64,
}
_SECTIONS = {
    "section": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "half": pl.Float64,
    "n": pl.Int64,
    "complete": pl.Boolean,
}

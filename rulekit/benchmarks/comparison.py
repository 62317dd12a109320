"""Two models on the same items: evaluations come in, paired differences go out, and a gate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from rulekit.benchmarks.evaluation import RULES, Evaluation
from rulekit.benchmarks.scorecard import Scorecard, weighted_mean
from rulekit.benchmarks.ties import ties_difference
from rulekit.measures import mean_difference

_KEY = ["subset", "item"]
_NUMBERS = {
    "value": pl.Float64,
    "base": pl.Float64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "gained": pl.Int64,
    "lost": pl.Int64,
    "mcnemar_p": pl.Float64,
    "p_value": pl.Float64,
    "n": pl.Int64,
}


@dataclass(frozen=True)
class Comparison:
    """A model against its base, item by item.

    Attributes
    ----------
    subsets, sections
        One row each: `value` and `base`, `difference` with its 95 % interval `low`, `high`; items
        `gained` and `lost`, `mcnemar_p` (McNemar's exact test of these), `p_value` (of subsets:
        sign flips of whole prompts), `n`. Of a section made of several subsets the difference is
        weighted as the benchmark weighs, the counts are sums.
    total
        The benchmark's score, as one row of `sections`; empty where a section is missing.
    changed
        Items won by one and not by the other: those of `Evaluation.items` with the `scores` and
        `won` of both (`base_scores`, `base_won`) and `change`, ``gained`` or ``lost``.
    """

    subsets: pl.DataFrame = field(repr=False)
    sections: pl.DataFrame
    total: pl.DataFrame
    changed: pl.DataFrame = field(repr=False)

    def as_dict(self) -> dict:
        """As plain values for JSON, without the items."""
        return {
            "sections": self.sections.to_dicts(),
            "subsets": self.subsets.to_dicts(),
            "total": self.total.to_dicts(),
            "changed": len(self.changed),
        }


def compare(model: Evaluation, base: Evaluation) -> Comparison:
    """Paired differences of two evaluations on the same items.

    Parameters
    ----------
    model, base
        Of the same benchmark. Items that only one has are refused.

    Raises
    ------
    ValueError
        If benchmarks or items differ.

    Notes
    -----
    The interval of a subset is that of a paired mean whose prompts belong together, of a section
    the weighted mean's, of RewardBench 2's ties a bootstrap over prompts that draws the same
    prompts for both.
    """
    if model.card.benchmark != base.card.benchmark:
        raise ValueError(
            f"{model.card.benchmark} against {base.card.benchmark}; allowed: one benchmark"
        )
    other = _same_order(model.items, base.items)
    cards = model.card, RULES[base.card.benchmark](other)
    subsets = _subsets(*cards, model.items, other)
    sections = _sections(subsets, *cards)
    return Comparison(subsets, sections, _total(sections, *cards), _changed(model.items, other))


def falls(comparison: Comparison, most: float) -> pl.DataFrame:
    """Sections that fall by more than is allowed, with confidence.

    Parameters
    ----------
    comparison
        Of a model with its base.
    most
        Loss that is allowed, as .01 for a point of per cent.

    Returns
    -------
    The rows of `sections` whose whole 95 % interval lies below -most; and with `sure` false those
    whose difference does, but not the interval.

    Raises
    ------
    ValueError
        If the allowed loss is below 0.
    """
    if not 0 <= most < 1:
        raise ValueError(f"the allowed loss is {most}; allowed: 0 to below 1")
    fallen = comparison.sections.filter(pl.col("difference") < -most)
    return fallen.with_columns(sure=pl.col("high") < -most)


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact two-sided p-value of items gained and lost; 1 where nothing changed.

    Parameters
    ----------
    gained, lost
        Items won by the first alone, and by the second alone.

    References
    ----------
    Q. McNemar, Psychometrika 12 (1947), 153-157.
    """
    from scipy.stats import binomtest

    n = gained + lost
    return float(binomtest(gained, n).pvalue) if n else 1.0


def _same_order(items: pl.DataFrame, base: pl.DataFrame) -> pl.DataFrame:
    """The base's items in the model's order."""
    if len(items) == len(base):
        found = items.select(*_KEY, "group", "responses").join(
            base.with_columns(_there=True), on=_KEY, how="left", maintain_order="left"
        )
        same = found["_there"].fill_null(False) & (found["group"] == found["group_right"])
        same &= found["responses"] == found["responses_right"]
        if same.fill_null(False).all():
            order = base.with_row_index("_row").join(
                items.select(_KEY).with_row_index("_to"), on=_KEY
            )
            return base[order.sort("_to")["_row"].to_list()]
    raise ValueError(
        f"the two were not scored on the same items ({len(items):,} and {len(base):,}); allowed: "
        "the same files, and the same items of each subset"
    )


def _subsets(card: Scorecard, base: Scorecard, items: pl.DataFrame, others: pl.DataFrame):
    first, second = (c.items if c.parts is None else c.parts for c in (card, base))
    rows = []
    for row in card.subsets.select("subset", "section", "weight", "value").iter_rows(named=True):
        one, two = (p.filter(pl.col("subset") == row["subset"]) for p in (first, second))
        gain = (one["won"] - two["won"]).to_numpy()
        gained, lost = int((gain > 0).sum()), int((gain < 0).sum())
        found = mean_difference(gain, one["group"].to_list())
        numbers = {
            "base": base.subsets.filter(pl.col("subset") == row["subset"])["value"].item(),
            "difference": found.value,
            "low": found.low,
            "high": found.high,
            "p_value": found.p_value,
        }
        if card.benchmark == "rewardbench-2" and row["subset"] == "Ties":
            tied = [f.filter(pl.col("subset") == "Ties") for f in (items, others)]
            ends = ties_difference(*tied)
            numbers |= dict(zip(("difference", "low", "high"), ends, strict=True))
            numbers["p_value"] = None
        counts = {"gained": gained, "lost": lost, "mcnemar_p": mcnemar(gained, lost)}
        rows.append(row | numbers | counts | {"n": len(gain)})
    schema = {"subset": pl.String, "section": pl.String, "weight": pl.Float64} | _NUMBERS
    return pl.DataFrame(rows, schema=schema)


def _sections(subsets: pl.DataFrame, card: Scorecard, base: Scorecard) -> pl.DataFrame:
    rows = []
    for section, value in card.sections.select("section", "value").iter_rows():
        part = subsets.filter(pl.col("section") == section)
        ends = weighted_mean(
            part.select("difference", "low", "high").rows(), part["weight"].to_list()
        )
        before = base.sections.filter(pl.col("section") == section)["value"].item()
        rows.append(_row(section, value, before, ends, part))
    return pl.DataFrame(rows, schema={"section": pl.String} | _NUMBERS)


def _total(sections: pl.DataFrame, card: Scorecard, base: Scorecard) -> pl.DataFrame:
    schema = {"section": pl.String} | _NUMBERS
    if not np.isfinite(card.score):
        return pl.DataFrame(schema=schema)
    part = sections.filter(pl.col("section").is_in(list(card.weights)))
    weights = [card.weights[s] for s in part["section"]]
    ends = weighted_mean(part.select("difference", "low", "high").rows(), weights)
    return pl.DataFrame([_row("score", card.score, base.score, ends, part)], schema=schema)


def _row(name: str, value: float, base: float, ends: tuple, part: pl.DataFrame) -> dict:
    gained, lost = int(part["gained"].sum()), int(part["lost"].sum())
    numbers = dict(zip(("difference", "low", "high"), ends, strict=True))
    counts = {"gained": gained, "lost": lost, "mcnemar_p": mcnemar(gained, lost)}
    alone = part["p_value"].item() if len(part) == 1 else None
    named = {"section": name, "value": value, "base": base, "p_value": alone}
    return named | numbers | counts | {"n": int(part["n"].sum())}


def _changed(items: pl.DataFrame, base: pl.DataFrame) -> pl.DataFrame:
    both = items.hstack(base.select(base_scores="scores", base_won="won", base_margin="margin"))
    up = pl.col("won") > pl.col("base_won")
    change = pl.when(up).then(pl.lit("gained")).otherwise(pl.lit("lost"))
    both = both.filter(pl.col("won") != pl.col("base_won")).with_columns(change=change)
    return both.sort((pl.col("margin") - pl.col("base_margin")).abs(), descending=True)

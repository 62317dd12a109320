"""Do readers of real responses agree? Grades of two readings come in, frames with intervals go out.

`rulekit.inputs.readings` holds the grades. No text is needed, and no human choice is looked at.
Notebook 19 shows it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from rulekit.inputs import readings
from rulekit.inputs.rules import RuleSet
from rulekit.measures import (
    alpha_resampled,
    bootstrap,
    krippendorff_alpha,
    mean_interval,
    weighted_kappa,
    weighted_kappa_resampled,
)
from rulekit.studies.phrases import listed, percent

BY = ("all", "source", "category", "rule")
_LEAST = 20  # readings of a rule before it has figures of its own
_RESAMPLES = 1000


def paired_readings(other: str = "second", source: str | None = None) -> pl.DataFrame:
    """Grades of the first reading with those of another of the same responses.

    Parameters
    ----------
    other
        ``second`` (another reader), ``again`` (the rules in another order) or ``third``.
    source
        ``hh-read`` or ``xstest-read``; None: both.

    Returns
    -------
    A row a response and rule: ``source``, ``prompt``, ``sha256``, ``rule``, ``category``,
    ``first`` and ``other``, grades from -2 to 2. A response that several pairs share counts once.

    Raises
    ------
    ValueError
        For an unknown reading or source.
    """
    allowed = [p for p in readings.PASSES if p != "first"]
    if other not in allowed:
        raise ValueError(f"unknown reading {other!r}; allowed: {', '.join(allowed)}")
    rules = RuleSet.load("hh-read")
    told = pl.DataFrame({"rule": rules.ids, "category": rules.categories})
    # A pair of xstest is named by its prompt and two models, one of hh by its own prompt's row.
    table = readings.grades(source).with_columns(
        prompt=pl.col("source") + ":" + pl.col("pair_id").str.split(":").list.first()
    )
    key = ["source", "prompt", "sha256", "rule"]
    own = table.filter(pl.col("pass") == "first").unique(key).select(*key, first="grade")
    second = table.filter(pl.col("pass") == other).unique(key).select(*key, other="grade")
    found = own.join(second, on=key).join(told, on="rule", how="left")
    return found.sort("source", "prompt", "sha256", "rule")


def reading_agreement(
    readings: pl.DataFrame, by: str = "all", seed: int = 0, resamples: int = _RESAMPLES
) -> pl.DataFrame:
    """How far two readings agree, over all rules, by category of rules, by rule, or by source.

    Parameters
    ----------
    readings
        From `paired_readings`.
    by
        ``all``, ``source``, ``category`` or ``rule``. A rule with fewer than 20 readings
        has no row.
    seed, resamples
        Of the bootstrap over prompts.

    Returns
    -------
    ``name``; ``kappa``, quadratically weighted, and ``alpha``, Krippendorff's for ordered grades, each
    with its 95 % interval over prompts (``…_low``, ``…_high``); ``sign``, the share of equal signs
    where both found the rule relevant, with its interval; ``relevant``, the share on which both say
    relevant or both irrelevant; ``n_both``, readings relevant to both; ``n`` readings of ``responses``.

    Raises
    ------
    ValueError
        For an unknown `by`.
    """
    if by not in BY:
        raise ValueError(f"by is {by!r}; allowed: {', '.join(BY)}")
    if by == "all":
        parts = [("all", readings)]
    else:
        parts = [(n[0], part) for n, part in readings.group_by(by, maintain_order=True)]
        parts = sorted(p for p in parts if by != "rule" or len(p[1]) >= _LEAST)
    rows = []
    for name, part in parts:
        x, y = (part[c].to_numpy().astype(float) for c in ("first", "other"))
        prompts = part["prompt"].to_list()
        both, row = (x != 0) & (y != 0), {"name": name}
        grades = np.stack([x, y], axis=1)
        for figure, value, drawn in (
            ("kappa", weighted_kappa(x, y), weighted_kappa_resampled(x, y)),
            ("alpha", krippendorff_alpha(grades), alpha_resampled(grades)),
        ):
            low, high = bootstrap(drawn, prompts, resamples=resamples, seed=seed)
            row |= {figure: value, f"{figure}_low": float(low), f"{figure}_high": float(high)}
        same = (np.sign(x) == np.sign(y))[both].astype(float)
        low, high = (
            mean_interval(same, part.filter(pl.Series(both))["prompt"].to_list(), bounds=(0, 1))
            if both.any()
            else (None, None)
        )
        row |= {
            "sign": float(same.mean()) if both.any() else None,
            "sign_low": low,
            "sign_high": high,
            "relevant": float(((x != 0) == (y != 0)).mean()),
            "n_both": int(both.sum()),
            "n": len(part),
            "responses": part["prompt", "sha256"].n_unique(),
        }
        rows.append(row)
    return pl.DataFrame(rows, infer_schema_length=None)


def verdict_agreement(source: str | None = None) -> pl.DataFrame:
    """Do readers without rules prefer the same response when they see the pair in the other order?

    Parameters
    ----------
    source
        As for `paired_readings`.

    Returns
    -------
    ``name``, ``value``, ``low``, ``high`` and ``n``, two rows: ``same response``, the share of pairs
    whose two verdicts have one sign, and ``first place``, the share of verdicts, without ties, for the
    response that stood first (without a leaning ½). Intervals are over prompts.
    """
    table = readings.verdicts(source).with_columns(
        prompt=pl.col("source") + ":" + pl.col("pair_id").str.split(":").list.first()
    )
    wide = table.pivot("order", index=["source", "pair_id", "prompt"], values="better")
    same = (wide["ab"].sign() == wide["ba"].sign()).to_numpy().astype(float)
    told = table.filter(pl.col("better") != 0)
    first = ((told["better"] > 0) == (told["order"] == "ab")).to_numpy().astype(float)
    rows = []
    for name, share, prompts in (
        ("same response", same, wide["prompt"]),
        ("first place", first, told["prompt"]),
    ):
        low, high = mean_interval(share, prompts.to_list(), bounds=(0, 1))
        rows.append(
            {"name": name, "value": share.mean(), "low": low, "high": high, "n": len(share)}
        )
    return pl.DataFrame(rows)


def reading_findings(whole: pl.DataFrame, by_category: pl.DataFrame, again: pl.DataFrame) -> str:
    """How far the readings can be trusted, in sentences made of the frames.

    Parameters
    ----------
    whole, by_category
        From `reading_agreement` of the second reading.
    again
        From `reading_agreement` of the one with the rules in another order.

    Returns
    -------
    Markdown.
    """
    row, repeat = whole.row(0, named=True), again.row(0, named=True)
    low = by_category.filter(pl.col("kappa_low") < _GOOD).sort("kappa")
    weak = ", ".join(
        f"`{r['name']}` ({r['kappa']:.2f} [{r['kappa_low']:.2f}, {r['kappa_high']:.2f}])"
        for r in low.iter_rows(named=True)
    )
    return listed(
        [
            f"A second reader of {row['responses']} responses: weighted κ {_told(row, 'kappa')}, "
            f"Krippendorff's α {_told(row, 'alpha')}; where both find a rule relevant the sign is the "
            f"same on {percent(row['sign'])} of {row['n_both']:,} readings.",
            f"One reader with the rules in another order ({repeat['responses']} responses): κ "
            f"{_told(repeat, 'kappa')}.",
            f"Not surely above κ = {_GOOD:g}: {weak}."
            if weak
            else f"In every category κ is surely above {_GOOD:g}.",
            "All readers are runs of one language model: they agree more than people would.",
        ]
    )


_GOOD = 0.8  # Krippendorff's own least α for conclusions


def _told(row: dict, name: str) -> str:
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"

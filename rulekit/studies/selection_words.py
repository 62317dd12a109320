"""What the frames on selection say, in sentences made of their figures: frames in, Markdown out.

Notebook 3 ends in them. A difference counts where its q-value and its interval speak for it; where
only one of them does it is not settled, and where neither does two ways cannot be told apart.
"""

from __future__ import annotations

import polars as pl

from rulekit.studies.phrases import (
    capital,
    listed,
    percent,
    points,
    signed_points,
    verdict,
    with_interval,
)

_NAMES = {
    "all": "the sum of all rules",
    "max_discrepancy": "maximum discrepancy",
    "random": "a random choice",
    "static": "one choice for all pairs (`static`)",
}
_LEVEL = 0.05  # of false discoveries among the differences of a frame
_OPEN, _EVEN = "not settled", "not told apart"


def selection_findings(grid: pl.DataFrame) -> str:
    """What a frame of `selection_grid` says, in sentences made of its figures.

    Parameters
    ----------
    grid
        From `selection_grid`, with `all`, `random` and `max_discrepancy` among its methods.

    Returns
    -------
    Markdown. A difference counts where its q-value is below .05 and its interval leaves zero out; where
    only one of the two is so, it is called not settled.
    """
    every = grid.filter(pl.col("name") == "all").row(0, named=True)
    said = [_of_all(every), _above_coin(grid)]
    said += _against(grid, "max_discrepancy", "all")
    said.append(_enough(grid))
    said += _against(grid, "random", "max_discrepancy")
    if "static" in grid["name"]:
        said += _against(grid, "static", "max_discrepancy")
    said.append(_ranking(grid))
    return listed(said)


def _of_all(row: dict) -> str:
    head = (
        f"The sum of all rules is right on {with_interval(row)} of {row['n']:,} known pairs "
        f"({row['n_groups']:,} prompts)"
    )
    if row["low"] > 0.5:
        return f"{head}: more often than a coin."
    if row["high"] < 0.5:
        return (
            f"{head}: less often than a coin. The rules, or the judge, say the opposite of people."
        )
    return f"{head}: it cannot be told from a coin."


def _above_coin(grid: pl.DataFrame) -> str:
    """Which other methods are above a coin where the sum of all rules is not."""
    if (grid.filter(pl.col("name") == "all")["low"] > 0.5).any():
        return ""
    rest = grid.filter(pl.col("name") != "all").sort("value", descending=True)
    above = rest.filter(pl.col("low") > 0.5)
    if above.is_empty():
        return "No other method is above a coin at any k."
    row = above.row(0, named=True)
    return (
        f"Of {len(rest)} other figures {len(above)} {'has' if len(above) == 1 else 'have'} an "
        f"interval above a coin, the highest `{row['name']}` at k = {row['k']} with "
        f"{with_interval(row)}. The highest of many is too high by chance: try it on other pairs."
    )


def _against(grid: pl.DataFrame, name: str, other: str) -> list[str]:
    """Where one method is above another, below it, or not to be told from it."""
    rows = grid.filter((pl.col("name") == name) & (pl.col("k") < _all_rules(grid))).sort("k")
    sides: dict[str, list[dict]] = {"above": [], "below": [], _OPEN: [], _EVEN: []}
    for row in rows.iter_rows(named=True):
        gain = {end: row[f"over_{other}{tail}"] for end, tail in _ENDS}
        sides[_side(row, other)].append({"k": row["k"], "row": row, "gain": gain})
    own, told = capital(_NAMES[name]), []
    for side, word in (("above", "more"), ("below", "less")):
        if found := sides[side]:
            ends = found[:1] if len(found) == 1 else [found[0], found[-1]]
            figures = "; ".join(
                (f"at k = {one['k']} " if len(ends) > 1 else "")
                + f"{with_interval(one['row'])}, {points(one['gain'])} {word}"
                for one in ends
            )
            told.append(f"{own} is {side} {_NAMES[other]} at k = {_ks(found)}: {figures}.")
    if level := sides[_EVEN]:
        which = "any k" if len(level) == len(rows) else f"k = {_ks(level)}"
        widest = max(level, key=lambda one: abs(one["gain"]["value"]))
        told.append(
            f"{own} and {_NAMES[other]} cannot be told apart at {which} (largest difference "
            f"{signed_points(widest['gain'])} at k = {widest['k']})."
        )
    return told + _unsettled(sides[_OPEN], f"{own} against {_NAMES[other]}", other)


def _side(row: dict, other: str) -> str:
    """Where a method stands: both q and the interval have to speak for a difference."""
    by_interval = verdict({end: row[f"over_{other}{tail}"] for end, tail in _ENDS})
    by_q = row[f"over_{other}_q"] < _LEVEL
    if by_q and by_interval:
        return "above" if by_interval > 0 else "below"
    return _OPEN if by_q or by_interval else _EVEN


def _unsettled(rows: list[dict], what: str, other: str) -> list[str]:
    """The k at which only one of q and the interval speaks for a difference, a sentence either way."""
    by_q = [one for one in rows if one["row"][f"over_{other}_q"] < _LEVEL]
    by_interval = [one for one in rows if one not in by_q]
    told = []
    for found, speaks in (
        (by_q, "q speaks for a difference, the interval does not"),
        (by_interval, "the interval speaks for a difference, q does not"),
    ):
        if found:
            figures = "; ".join(
                (f"at k = {one['k']} " if len(found) > 1 else "") + signed_points(one["gain"])
                for one in found
            )
            told.append(f"{what} is not settled at k = {_ks(found)}: {speaks} ({figures}).")
    return told


def grid_gains(grid: pl.DataFrame, name: str = "max_discrepancy") -> pl.DataFrame:
    """A method of a grid against the sum of all rules, k by k, as a table shows it.

    Parameters
    ----------
    grid
        From `selection_grid`.
    name
        Of the method.

    Returns
    -------
    ``k``, ``accuracy``, ``difference`` with its interval ``low`` and ``high``, in tenths of a point,
    ``q`` as text, and ``verdict``: ``above``, ``below``, ``not settled`` where only one of q and the
    interval speaks for a difference, ``not told apart`` where neither does.
    """
    rows = grid.filter(pl.col("name") == name).sort("k")
    tenths = {c: pl.col(f"over_all{tail}").round(3) for c, tail in _ENDS}
    # Nothing is called minus zero.
    ends = {c: pl.when(x == 0).then(0.0).otherwise(x) for c, x in tenths.items()}
    return rows.select(
        "k",
        accuracy="value",
        difference=ends["value"],
        low=ends["low"],
        high=ends["high"],
        q=pl.Series(["<.001" if q < 0.001 else f"{q:.3f}" for q in rows["over_all_q"]], dtype=str),
        verdict=pl.Series([_side(row, "all") for row in rows.iter_rows(named=True)], dtype=str),
    )


def _enough(grid: pl.DataFrame, within: float = 0.005) -> str:
    """The least k from which on maximum discrepancy is right on as many pairs as all rules."""
    rows = grid.filter((pl.col("name") == "max_discrepancy") & (pl.col("k") < _all_rules(grid)))
    first = None
    for row in rows.sort("k", descending=True).iter_rows(named=True):
        gain = {end: row[f"over_all{tail}"] for end, tail in _ENDS}
        if abs(gain["value"]) >= within or (row["over_all_q"] < _LEVEL and verdict(gain)):
            break
        first = row
    if first is None:
        return ""
    gain = {end: first[f"over_all{tail}"] for end, tail in _ENDS}
    few = "The loudest rule is" if first["k"] == 1 else f"The {first['k']} loudest rules are"
    return (
        f"{few} right on about as many of these pairs as all rules. The difference is "
        f"{signed_points(gain)}; on other prompts it may be anywhere in this interval."
    )


def _ks(found: list[dict]) -> str:
    return ", ".join(str(one["k"]) for one in found)


_ENDS = (("value", ""), ("low", "_low"), ("high", "_high"))


def _all_rules(grid: pl.DataFrame) -> float:
    """The k at which all rules are chosen and nothing is to be compared; infinite if it is not there."""
    last = grid.filter(pl.col("k") == grid["k"].max())
    same = last["value"].n_unique() == 1 and (last["over_all"] == 0).all()
    return grid["k"].max() if same and grid["k"].n_unique() > 1 else float("inf")


def _ranking(grid: pl.DataFrame) -> str:
    """How much of what is chosen hangs on the order of tied rules."""
    rows = grid.filter(pl.col("name") == "max_discrepancy").sort("k")
    spread = rows.with_columns(width=pl.col("order_high") - pl.col("order_low"))
    row = spread.sort("width", descending=True).row(0, named=True)
    if row["width"] < 0.005:
        return ""
    return (
        f"Tied rules matter: at k = {row['k']} single draws of maximum discrepancy reach from "
        f"{percent(row['order_low'])} to {percent(row['order_high'])}, so a figure from one draw says "
        "little."
    )


def agreement_findings(agreement: pl.DataFrame, tied: int, n_pairs: int) -> str:
    """What a frame of `selection_agreement` says, in sentences made of its figures.

    Parameters
    ----------
    agreement
        From `selection_agreement`, with `random` and `max_discrepancy` among its methods.
    tied, n_pairs
        Pairs that all rules together leave tied, and all pairs.

    Returns
    -------
    Markdown.
    """
    said = []
    if tied:
        said.append(f"All rules together leave {tied:,} of {n_pairs:,} pairs tied.")
    if agreement.is_empty():
        return listed([*said, "No pair has a label, so there is nothing to compare."])
    rows = agreement.filter(pl.col("name") == "max_discrepancy").sort("k")
    chance = agreement.filter(pl.col("name") == "random").sort("k")
    first = rows.row(0, named=True)
    said.append(
        f"{_rules(first['k'])} of largest \\|δ\\| {'gives' if first['k'] == 1 else 'give'} the label of "
        f"all rules on {with_interval(first)} of the pairs."
    )
    enough = rows.filter(pl.col("low") >= 0.9)
    if len(enough):
        row = enough.row(0, named=True)
        said.append(f"From k = {row['k']} on it is the same label on nine pairs of ten or more.")
    both = rows.join(chance, on="k", suffix="_random")
    apart = both.filter(pl.col("low") > pl.col("high_random"))["k"].to_list()
    if apart:
        ks = ", ".join(map(str, apart))
        said.append(
            f"A random choice agrees less often at k = {ks}: their intervals lie apart. That is so by "
            "construction, since the largest δ weigh most in the sum; it does not say who is right."
        )
    else:
        said.append("It cannot be told from a random choice of as many rules at any k.")
    return listed(said)


def _rules(k: int) -> str:
    return "The one rule" if k == 1 else f"The {k} rules"

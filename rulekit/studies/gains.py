"""Ways to label held against each other on the same pairs: margins come in, frames go out.

Notebooks 8 to 10 show them: `accuracy_table` how often each is right, `paired_gains` who is right
more often than whom.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from rulekit.inputs.pairs import prompt_groups
from rulekit.labels import Labels
from rulekit.measures import mean_accuracy, mean_difference
from rulekit.studies.phrases import joined_interval


def shares_right(margins, truth: np.ndarray) -> np.ndarray:
    """How often each pair's right response is preferred, (n_pairs,), a tie one half.

    Parameters
    ----------
    margins
        `Labels`, or evidence for the first response, (n_pairs,) or (draws, n_pairs): the mean over
        draws is taken.
    truth
        -1 or +1, (n_pairs,); 0 for pairs that do not count.
    """
    given = margins.margin if isinstance(margins, Labels) else margins
    drawn = np.atleast_2d(np.sign(np.asarray(given, dtype=float)))
    return ((drawn * truth + 1) / 2).mean(axis=0)


def truth_of(pairs: pl.DataFrame) -> np.ndarray:
    """Known preferences, int (n_pairs,), 0 where there is none."""
    return pairs["preference"].fill_null(0).to_numpy().astype(int)


def accuracy_table(pairs: pl.DataFrame, margins: Mapping, truth=None) -> pl.DataFrame:
    """How often each of several ways to label is right, with its interval.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    margins
        Name → as for `shares_right`.
    truth
        -1, 0 or +1, (n_pairs,); None: the known preferences.

    Returns
    -------
    A row a name: ``name`` and the fields of `rulekit.measures.Accuracy`; no row where no pair counts.
    """
    truth = truth_of(pairs) if truth is None else np.asarray(truth)
    counts = truth != 0
    if not margins or not counts.any():
        return pl.DataFrame(schema={"name": pl.String, "value": float, "low": float, "high": float})
    groups = prompt_groups(pairs).to_numpy()[counts]
    rows = []
    for name, given in margins.items():
        right = shares_right(given, truth)[counts]
        ties = round(float((right == 0.5).sum()))
        rows.append({"name": name} | mean_accuracy(right, groups, ties).as_dict())
    return pl.DataFrame(rows)


def paired_gains(pairs: pl.DataFrame, margins: Mapping, against: str, truth=None) -> pl.DataFrame:
    """How much more often each way to label is right than one of them, on the same pairs.

    Parameters
    ----------
    pairs, margins, truth
        As for `accuracy_table`.
    against
        The name in `margins` that the others are compared with.

    Returns
    -------
    A row each of the other names: ``name``, ``against`` and the fields of
    `rulekit.measures.Difference`; no row where no pair counts.

    Raises
    ------
    ValueError
        If `against` is none of the names.
    """
    if against not in margins:
        raise ValueError(f"against is {against!r}; allowed: {', '.join(margins)}")
    truth = truth_of(pairs) if truth is None else np.asarray(truth)
    counts = truth != 0
    groups = prompt_groups(pairs).to_numpy()[counts]
    base = shares_right(margins[against], truth)[counts]
    rows = [
        {"name": name, "against": against}
        | mean_difference(shares_right(given, truth)[counts] - base, groups).as_dict()
        for name, given in margins.items()
        if name != against and counts.any()
    ]
    kinds = {"name": pl.String, "against": pl.String, "value": float, "low": float, "high": float}
    return pl.DataFrame(rows) if rows else pl.DataFrame(schema=kinds | {"p_value": float})


def with_gains(table: pl.DataFrame, gains: pl.DataFrame) -> pl.DataFrame:
    """Accuracies with their differences to one of them beside.

    Parameters
    ----------
    table
        From `accuracy_table`.
    gains
        From `paired_gains`.

    Returns
    -------
    The table with ``gain``, ``gain_low``, ``gain_high`` and ``gain_p``, null for the row that the
    others are compared with.
    """
    beside = gains.select("name", gain="value", gain_low="low", gain_high="high", gain_p="p_value")
    return table.join(beside, on="name", how="left", maintain_order="left")


def gain_rows(gains: pl.DataFrame) -> pl.DataFrame:
    """A frame of `paired_gains` for reading, in points of per cent.

    Parameters
    ----------
    gains
        From `paired_gains`.

    Returns
    -------
    Columns ``name``, ``difference``, ``interval`` and ``p`` as text, and ``excludes_0``, of the
    interval.
    """
    told = ["<.001" if p < 0.001 else f"{p:.3f}" for p in gains["p_value"]]
    return joined_interval(gains).select(
        "name",
        "interval",
        difference=100 * pl.col("value"),
        p=pl.Series(told, dtype=pl.String),
        excludes_0=(gains["low"] > 0) | (gains["high"] < 0),
    )[["name", "difference", "interval", "p", "excludes_0"]]

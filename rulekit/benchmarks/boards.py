"""Published leaderboards: a table of others' scores comes in, a model's place with its interval goes out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.benchmarks.scorecard import Scorecard
from rulekit.benchmarks.scoring import REWARDBENCH
from rulekit.measures import wilson

# Items of each section, where a published share is one of items: its interval follows from them.
SIZES = {
    "rewardbench": {s: sum(members.values()) for s, members in REWARDBENCH.items()}
    | {"Reasoning": round(4 / (1 / 447 + 1 / 984))},  # as many items of equal weight tell as much
    "rewardbench-2": {
        "Factuality": 475,
        "Precise IF": 160,
        "Math": 183,
        "Safety": 450,
        "Focus": 495,
    },
}
_FILES = {
    "rewardbench": "benchmarks/rewardbench-1-leaderboard*.csv",
    "rewardbench-2": "benchmarks/rewardbench-2-leaderboard*.csv",
}


@dataclass(frozen=True)
class Place:
    """A value among published ones.

    Attributes
    ----------
    section
        Of the board.
    value, low, high
        The value with its 95 % interval.
    rank, best, worst
        Its place by value alone, and the best and the worst that cannot be excluded: only rows
        that are told apart from it by an interval of the difference are surely above or below.
    n
        Rows of the board that have the section.
    alike
        Names of rows that cannot be told from it, the best first.
    """

    section: str
    value: float
    low: float
    high: float
    rank: int
    best: int
    worst: int
    n: int
    alike: tuple[str, ...]


def board(benchmark: str, path: str | Path | None = None) -> pl.DataFrame:
    """A published leaderboard: model, type, Score and a column a section.

    Parameters
    ----------
    benchmark
        ``rewardbench`` or ``rewardbench-2``.
    path
        A CSV file; None takes the newest under the folder RULEKIT_DATA.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        For a benchmark without a board, or a file of other columns.
    """
    if benchmark not in _FILES:
        raise ValueError(f"{benchmark!r} has no board here; allowed: {', '.join(_FILES)}")
    if path is None:
        root = os.environ.get("RULEKIT_DATA")
        found = sorted(Path(root).expanduser().glob(_FILES[benchmark])) if root else []
        if not found:
            raise FileNotFoundError(
                f"no board of {benchmark}: RULEKIT_DATA is {root!r}, and there is no "
                f"{_FILES[benchmark]} in it"
            )
        path = found[-1]
    frame = pl.read_csv(path)
    needed = {"model", "Score", *SIZES[benchmark]}
    if lacking := sorted(needed - set(frame.columns)):
        raise ValueError(
            f"{path}: no column {lacking[0]!r}; a board has {', '.join(sorted(needed))}"
        )
    return frame


def place(
    frame: pl.DataFrame,
    section: str,
    value: float,
    interval: tuple[float, float] | None = None,
    *,
    n: int | None = None,
    skip: str = "",
) -> Place:
    """Where a value stands among published ones, and from which it cannot be told.

    Parameters
    ----------
    frame
        As of `board`.
    section
        One of its columns.
    value, interval
        Of the model, with 95 % ends; None makes Wilson's interval of `n` items.
    n
        Items behind each published share; None takes them as exact numbers.
    skip
        Name of a row that is the model itself.

    Raises
    ------
    ValueError
        For another section, or neither interval nor n.

    Notes
    -----
    The ends of a difference p - q of two models' shares: p - q ∓ √((p - p_low)² + (q_high - q)²) and
    its like. The models answer the same items, which the board does not tell: paired, as `compare`
    has it, the interval is narrower.

    References
    ----------
    R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    if section not in frame.columns:
        raise ValueError(f"no section {section!r}; allowed: {', '.join(frame.columns[2:])}")
    if interval is None:
        if n is None:
            raise ValueError("neither an interval nor n; allowed: one of them")
        interval = wilson(value * n, n)
    low, high = interval
    rows = frame.filter(pl.col(section).is_not_null() & (pl.col("model") != skip))
    rows = rows.sort(section, descending=True)
    other = rows[section].cast(pl.Float64).to_numpy()
    ends = [(q, q) if n is None else wilson(min(max(q, 0.0), 1.0) * n, n) for q in other]
    q_low, q_high = np.array(ends).reshape(-1, 2).T
    difference = value - other
    below = difference - np.sqrt((value - low) ** 2 + (q_high - other) ** 2)
    above = difference + np.sqrt((high - value) ** 2 + (other - q_low) ** 2)
    alike = (below <= 0) & (above >= 0)
    return Place(
        section,
        value,
        low,
        high,
        rank=1 + int((difference < 0).sum()),
        best=1 + int((above < 0).sum()),
        worst=1 + int((below <= 0).sum()),
        n=len(rows),
        alike=tuple(rows["model"].to_numpy()[alike].tolist()),
    )


def places_of(card: Scorecard, frame: pl.DataFrame) -> pl.DataFrame:
    """Places of a model's complete sections on its benchmark's board, and of its score.

    Parameters
    ----------
    card
        Of the model.
    frame
        As of `board`.
    """
    sizes = SIZES.get(card.benchmark, {})
    rows = []
    for s in card.sections.filter(pl.col("complete")).iter_rows(named=True):
        if s["section"] in frame.columns:
            ends = s["low"], s["high"]
            n = sizes.get(s["section"])
            rows.append(vars(place(frame, s["section"], s["value"], ends, n=n)))
    if np.isfinite(card.score):
        rows.append(vars(place(frame, "Score", card.score, (card.low, card.high))))
    return pl.DataFrame(
        [{k: list(v) if k == "alike" else v for k, v in row.items()} for row in rows],
        schema={
            "section": pl.String,
            "value": pl.Float64,
            "low": pl.Float64,
            "high": pl.Float64,
            "rank": pl.Int64,
            "best": pl.Int64,
            "worst": pl.Int64,
            "n": pl.Int64,
            "alike": pl.List(pl.String),
        },
    )

"""What a run says of each pair: a run's folder comes in, margins by pair beside what is known go out.

An artefact with the columns pair_id and margin says it, such as labels or the margins of a reward
model. `comparison` joins those of two runs.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import polars as pl

from rulekit.inputs import prompt_groups
from rulekit.runs.found import RunFolder
from rulekit.runs.inputs import load_inputs

COLUMNS = ("pair_id", "prompt", "margin", "known")


def outcomes(run: RunFolder, names: tuple[str, ...] | None = None) -> dict[str, pl.DataFrame]:
    """The margins of a run by pair.

    Parameters
    ----------
    run
        From `find_runs`.
    names
        Of the artefacts, without ending; None: all.

    Returns
    -------
    Name of the artefact → ``pair_id``, ``prompt`` (a group; null where it is not known), ``margin``
    and ``known`` (+1, -1; 0 and null do not count). What the artefact itself does not tell is looked
    up in the pairs that the run was of, if they can still be read.
    """
    found = {}
    for path in sorted((run.folder / "artefacts").glob("*.parquet")):
        if names is not None and path.stem not in names:
            continue
        there = pl.read_parquet_schema(path)
        if {"pair_id", "margin"} <= set(there) and there["margin"].is_numeric():
            found[path.stem] = _completed(_read(str(path), path.stat().st_mtime_ns), run)
    return found


@lru_cache(maxsize=2048)
def _read(path: str, version: int) -> pl.DataFrame:
    """The columns that say it; a file is read once as long as it is the same."""
    frame = pl.scan_parquet(path)
    return frame.select(c for c in COLUMNS if c in frame.collect_schema()).collect()


def _completed(frame: pl.DataFrame, run: RunFolder) -> pl.DataFrame:
    frame = frame.with_columns(pl.col("pair_id").cast(pl.String))
    lacks = [c for c in ("prompt", "known") if c not in frame.columns]
    if lacks:
        given = run.parameters
        about = _pairs_of(str(given.get("pairs") or "embedded"), str(given.get("labels") or ""))
        if about is None:
            kinds = {"prompt": pl.String, "known": pl.Int8}
            frame = frame.with_columns(pl.lit(None, dtype=kinds[c]).alias(c) for c in lacks)
        else:
            frame = frame.join(
                about.select("pair_id", *lacks), "pair_id", "left", maintain_order="left"
            )
    return frame.select(
        "pair_id",
        pl.col("prompt").cast(pl.String),
        pl.col("margin").cast(pl.Float64),
        pl.col("known").cast(pl.Int8),
    )


@lru_cache(maxsize=4)
def _pairs_of(pairs: str, labels: str) -> pl.DataFrame | None:
    if not Path(pairs).exists() and ("/" in pairs or "." in pairs):
        return None
    try:
        data = load_inputs(pairs, labels=labels).pairs
    except (
        OSError,
        ValueError,
    ):  # moved or changed since: figures without a truth can be compared still
        return None
    return data.select("pair_id", prompt=prompt_groups(data), known="preference")

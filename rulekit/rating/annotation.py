"""A judge over pairs and rules: what the store holds is read, the rest is rated and stored.

Pairs, rules, a judge and a store come in, `Scores` and a ledger go out. Notebooks and the command
line call this; `job` does it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import write_atomically
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges.contract import Rater
from rulekit.rating.job import pair_job
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store


def annotate(
    pairs: pl.DataFrame,
    rules: RuleSet,
    judge: Rater,
    store: Store | str | Path,
    *,
    batch: int = 64,
    price: float = 0.0,
    ledger: Ledger | None = None,
    progress: bool = True,
) -> Scores:
    """Rate both responses of every pair under every rule, as far as the store does not hold it.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    rules
        n_rules rules.
    judge
        Has `rate` and `identity`, such as `rulekit.judges.judge_named` gives.
    store
        A store of this judge, or its folder.
    batch
        Responses a call of the judge: what a kill can lose.
    price
        Cost of a rating, for judges without a ledger of their own.
    ledger
        Filled in while the run goes on, for its figures to outlive an interruption.
    progress
        Show a bar, or off a terminal a line a minute.

    Returns
    -------
    Scores of (n_pairs, n_rules); relevance is the mean over the two responses.

    Raises
    ------
    ValueError
        If the judge has no identity, or the store is another judge's.
    Incomplete
        A `RuntimeError`, after all that can be rated is: `result` has the scores of the pairs that
        are complete, `missing` the ratings that are not there and why. All others are stored, and
        calling again asks for the missing ones only.

    Notes
    -----
    Interrupt it at any time: what was rated is stored after every batch. What a batch cost is noted
    in the store's folder; where the judge has a ledger, its `earlier` is set to what other runs
    into this store have spent, so that a budget holds for all of them together.
    """
    settings = {"batch": batch, "price": price, "ledger": ledger, "progress": progress}
    job = pair_job(pairs, rules, judge, store, **settings)
    with job:
        job.rate()
        complete, scores = job.scores()
        job.finish(complete, scores)
    return scores


def annotate_to_folder(
    folder: str | Path,
    pairs: pl.DataFrame,
    rules: RuleSet,
    judge: Rater,
    store: Store | str | Path,
    **settings,
) -> Path:
    """As `annotate`, with the scores written block by block: for more ratings than memory holds.

    Parameters
    ----------
    folder
        For `scores.parquet`, the complete pairs, to be read by `Scores.read` or `Scores.batches`,
        and for `missing.parquet`: pair_id, response, rule_id, reason; absent if nothing is missing.
    pairs, rules, judge, store, settings
        As for `annotate`.

    Returns
    -------
    The path of the scores.

    Raises
    ------
    Incomplete
        After both files are written.
    """
    folder = Path(folder)
    job = pair_job(pairs, rules, judge, store, **settings)
    with job:
        job.rate()
        complete = np.zeros(len(pairs), bool)
        blocks = job.score_blocks(complete)
        if (first := next(blocks, None)) is not None:
            Scores.write_batches(folder / "scores.parquet", itertools.chain([first], blocks))
        write_missing(folder / "missing.parquet", job.missing())
        job.finish(complete, None, listed=True)
    return folder / "scores.parquet"


def write_missing(path: Path, frames: Iterator[pl.DataFrame]) -> None:
    """Write frames as one Parquet file; without any, what an earlier run wrote there is deleted."""
    import pyarrow.parquet as pq

    if (first := next(frames, None)) is None:
        path.unlink(missing_ok=True)
        return

    def write(temporary: Path) -> None:
        table = first.to_arrow()
        with pq.ParquetWriter(temporary, table.schema, compression="zstd") as writer:
            writer.write_table(table)
            for frame in frames:
                writer.write_table(frame.to_arrow())

    write_atomically(path, write)

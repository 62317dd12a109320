"""A judge over pairs and rules: what the store holds is read, the rest is rated and stored.

Pairs, rules and a judge come in, `Scores` go out: of all rules, of those that a selection names, or
of rule after rule until the label is sure. Notebooks and the command line call this; `job` does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import write_atomically
from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import check_pairs
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges.contract import Judge, as_judge
from rulekit.labels import label
from rulekit.rating.job import Job
from rulekit.rating.ledger import Ledger
from rulekit.rating.store import Store
from rulekit.selection.registry import Selection


def annotate(
    pairs: pl.DataFrame,
    rules: RuleSet,
    judge: Judge,
    *,
    store: Store | str | Path | None = None,
    only: Selection | None = None,
    until: float | None = None,
    out: str | Path | None = None,
    step: int = 1,
    beta: float = 1.0,
    both_orders: bool = True,
    batch: int = 64,
    price: float = 0.0,
    ledger: Ledger | None = None,
    progress: bool = True,
) -> Scores | Path:
    """Rate both responses of every pair under the rules, as far as the store does not hold it.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    rules
        n_rules rules.
    judge
        Has `identity` and `rate`, such as `rulekit.judge` gives; see `rulekit.judges.Judge`.
    store
        A store, or the path of its file, to keep the ratings and to go on after an interruption;
        it may hold those of other judges too. None keeps nothing.
    only
        The rules to rate for each pair, best first, such as `select` of a Rule Adapter names them.
    until
        Confidence in [0.5, 1]: rules are rated in the order of `only` until the sum label of the
        pair is this sure, or the order ends.
    out
        Folder for ``scores.parquet``, which `Scores.read` and `Scores.batches` read, and
        ``missing.parquet`` (pair_id, response, rule_id, reason; absent if nothing is missing),
        written block by block: for more ratings than memory holds.
    step
        With `until`: rules rated at a time, 1 or more; more at once are cheaper a rule for most
        judges.
    beta
        With `until`: slope of the confidence, as for `rulekit.label`.
    both_orders
        Ask a pairwise judge with either response first and take the mean, so that a liking for a
        place falls out; False asks with the first response first only.
    batch
        Responses a call of the judge: what a kill can lose.
    price
        Cost of a rating, for judges without prices of their own.
    ledger
        Filled in while the run goes on, for its figures to outlive an interruption.
    progress
        Show a bar, or off a terminal a line a minute.

    Returns
    -------
    Scores of (n_pairs, n_rules); relevance is the mean over the two responses. With `only` those
    rules are NaN that were not asked for, and `Scores.rated` says which. With `out` the path of
    the scores.

    Raises
    ------
    ValueError
        If pairs are not as `rulekit.inputs.check_pairs` wants them, the judge lacks something,
        `only` is of other pairs or rules, or a setting is out of range.
    Incomplete
        A `RuntimeError`, after all that can be rated is: `result` has the scores of the pairs that
        are complete, `missing` the ratings that are not there and why. All others are stored, and
        calling again asks for the missing ones only.

    Notes
    -----
    Interrupt it at any time: what was rated is stored after every batch. What a batch cost is noted
    in the store; where the judge has a budget, what other runs into this store have spent counts.
    """
    pairs = check_pairs(pairs)
    order = _order(pairs, rules, only, until, step)
    sides = ("response_a", "response_b")
    columns = {name: pairs[name] for name in sides}
    if (judge := as_judge(judge)).pairwise:
        a, b = (pairs[name].to_list() for name in sides)
        columns = {"a shown first": list(zip(a, b, strict=True))}
        if both_orders:
            columns["b shown first"] = list(zip(b, a, strict=True))
    settings = {"batch": batch, "price": price, "ledger": ledger, "progress": progress}
    job = Job(pairs["prompt"], columns, rules, judge, store, ids=pairs["pair_id"], **settings)
    identity = Identity.of(rules, pairs)
    depth = None if order is None else np.full(len(pairs), order.shape[1])
    with job:
        if until is not None:
            depth = _until(job, order, until, step, beta)
        elif order is None:
            job.rate()
        else:
            job.rate(job.named(np.arange(len(pairs)), order))
        complete = np.zeros(len(pairs), bool)
        blocks = _scores(job, identity, order, depth, complete)
        if out is not None:
            result = _write(Path(out), blocks, job)
            job.finish(complete, None, listed=True)
        else:
            result = _joined(list(blocks))
            job.finish(complete, result)
    return result


def _order(pairs, rules: RuleSet, only: Selection | None, until, step: int) -> np.ndarray | None:
    """The rules to rate, best first, (n_pairs, k); None: all of them."""
    if until is not None and not 0.5 <= until <= 1:
        raise ValueError(f"until is {until}; allowed: a confidence of 0.5 to 1")
    if step < 1:
        raise ValueError(f"step is {step}; allowed: 1 or more")
    if only is None:
        if until is not None:
            raise ValueError("until needs an order of the rules; allowed: `only`, a Selection")
        return None
    if not isinstance(only, Selection):
        raise ValueError(
            f"only is {type(only).__name__}; allowed: a Selection, such as adapter.select(pairs, k)"
        )
    only = only.aligned(Identity.of(rules, pairs), "only")
    if (only.n_pairs, only.n_rules) != (len(pairs), len(rules)):
        raise ValueError(
            f"only names rules of {only.n_rules} for {only.n_pairs} pairs; allowed: "
            f"of {len(rules)} for {len(pairs)}"
        )
    return only.indices


def _until(job: Job, order: np.ndarray, until: float, step: int, beta: float) -> np.ndarray:
    """Rate until labels are sure; rules that were looked at for each pair, (n_pairs,)."""
    n, k = order.shape
    depth, left = np.zeros(n, np.int64), np.arange(n)
    for seen in range(0, k, step):
        upto = min(seen + step, k)
        job.rate(job.named(left, order[left, seen:upto]))
        depth[left] = upto
        there = np.zeros(len(left), bool)
        found = list(_scores(job, None, order[left], depth[left], there, left))
        if not found:
            break
        left = left[there]
        left = left[label(_joined(found), beta=beta).confidence < until]
        if not len(left):
            break
    return depth


def _scores(
    job: Job,
    identity: Identity | None,
    order: np.ndarray | None,
    depth: np.ndarray | None,
    complete: np.ndarray,
    pairs: np.ndarray | None = None,
) -> Iterator[Scores]:
    """Scores of the complete pairs, some at a time; `complete`, (n,), is filled on the way."""
    pairs = np.arange(len(complete)) if pairs is None else pairs
    for part, p in job.blocks(pairs):
        rated = None
        if order is not None:
            wanted = np.arange(order.shape[1]) < depth[part][:, None]  # (n, k)
            rated = np.zeros((len(p), p.shape[2]), bool)
            np.put_along_axis(rated, order[part], wanted, axis=1)
        values = (_compared if job.judge.pairwise else _rated_apart)(p)  # (3, n, n_rules)
        gaps = np.isnan(values[2]) if rated is None else np.isnan(values[2]) & rated
        complete[part] = whole = ~gaps.any(axis=1)
        if not whole.any():
            continue
        values = values[:, whole]
        own = None if identity is None else identity.rows(pairs[part][whole])
        if rated is not None:
            rated = rated[whole]
            values = np.where(rated, values, np.nan)
        yield Scores(*values, identity=own, rated=rated)


def _rated_apart(p: np.ndarray) -> np.ndarray:
    """Score of A, of B and relevance, (3, n, m), from ratings of both responses, (n, 2, m, 3)."""
    score, relevance = p[..., 2] - p[..., 0], 1 - p[..., 1]
    return np.stack([score[:, 0], score[:, 1], relevance.mean(axis=1).clip(0, 1)])


def _compared(p: np.ndarray) -> np.ndarray:
    """The same from comparisons with A shown first and, if asked, with B, (n, 1 or 2, m, 3)."""
    side = np.array([1, -1], np.float32)[: p.shape[1], None]
    half = ((p[..., 2] - p[..., 0]) * side).mean(axis=1) / 2
    return np.stack([half, -half, (1 - p[..., 1]).mean(axis=1).clip(0, 1)])


def _joined(blocks: list[Scores]) -> Scores | None:
    if len(blocks) < 2:
        return blocks[0] if blocks else None
    a, b, relevance = (
        np.concatenate([getattr(s, n) for s in blocks]) for n in ("a", "b", "relevance")
    )
    identity = blocks[0].identity
    if identity.pair_ids is not None:
        ids = tuple(chain.from_iterable(s.identity.pair_ids for s in blocks))
        identity = Identity(identity.rule_ids, identity.rule_digests, ids)
    rated = ~np.isnan(a)
    return Scores(a, b, relevance, identity=identity, rated=None if rated.all() else rated)


def _write(folder: Path, blocks: Iterator[Scores], job: Job) -> Path:
    """Both files of a folder; what an earlier run left there is replaced."""
    path = folder / "scores.parquet"
    if (first := next(blocks, None)) is None:
        path.unlink(missing_ok=True)
    else:
        Scores.write_batches(path, chain([first], blocks))
    write_missing(folder / "missing.parquet", job.missing())
    return path


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

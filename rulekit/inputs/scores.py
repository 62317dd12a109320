"""Scores: how well each of two responses satisfies each rule, as plain arrays.

Judges make them, selectors and label models read them. score = P(yes) - P(no) in [-1, 1];
relevance = 1 - P(irrelevant) in [0, 1]; the discrepancy of a rule is score(A) - score(B), and its
sign is the rule's vote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import write_atomically
from rulekit.inputs.rules import numbered_ids
from rulekit.kernels import RESOLUTION
from rulekit.tables import SHOWN, evenly_spaced, html_table

# float32 scores cannot tell a |δ| this small from zero: it is no vote.
NO_VOTE = RESOLUTION / 2
_DECISIVE = 0.5  # a |δ| above it leaves no doubt which response the judge prefers


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of n_pairs pairs under n_rules rules.

    Parameters
    ----------
    a, b
        Score of the first and the second response, (n_pairs, n_rules), in [-1, 1]. Stored as
        C-contiguous float32.
    relevance
        How much each rule matters to each pair, (n_pairs, n_rules), in [0, 1]; optional.
    rule_ids, pair_ids
        Names of the columns and rows, so that files cannot be mixed up; optional.

    Raises
    ------
    ValueError
        If shapes differ, or a value is NaN or out of range: the message names array, row and
        column.
    """

    a: np.ndarray  # (n_pairs, n_rules)
    b: np.ndarray  # (n_pairs, n_rules)
    relevance: np.ndarray | None = None  # (n_pairs, n_rules)
    rule_ids: Sequence[str] | None = None
    pair_ids: Sequence[str] | None = None

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "a", _checked("a", self.a, -1.0, None))
        set_field(self, "b", _checked("b", self.b, -1.0, self.a.shape))
        if self.relevance is not None:
            set_field(self, "relevance", _checked("relevance", self.relevance, 0.0, self.a.shape))
        for name, length in (("pair_ids", self.n_pairs), ("rule_ids", self.n_rules)):
            ids = getattr(self, name)
            if ids is None:
                continue
            ids = tuple(map(str, ids))
            if len(ids) != length or len(set(ids)) != length:
                raise ValueError(f"{name}: {len(ids)} ids; allowed: {length} unique ids")
            set_field(self, name, ids)

    @classmethod
    def from_discrepancy(cls, discrepancy, relevance=None, rule_ids=None, pair_ids=None) -> Scores:
        """Scores of a judge that compared the two responses: ±δ/2, so that a - b = δ.

        Parameters
        ----------
        discrepancy
            δ, (n_pairs, n_rules), in [-1, 1].
        relevance, rule_ids, pair_ids
            As for `Scores`.
        """
        half = np.asarray(discrepancy, dtype=np.float32) / 2
        return cls(half, -half, relevance, rule_ids, pair_ids)

    @property
    def n_pairs(self) -> int:
        return self.a.shape[0]

    @property
    def n_rules(self) -> int:
        return self.a.shape[1]

    @property
    def discrepancy(self) -> np.ndarray:
        """a - b, float32 (n_pairs, n_rules) in [-2, 2]; made anew at each access."""
        return self.a - self.b

    @property
    def votes(self) -> np.ndarray:
        """`votes` of the discrepancies, -1, 0 or +1, float64 (n_pairs, n_rules); made anew each time."""
        return votes(self.discrepancy)

    @property
    def names(self) -> list[str]:
        """`rule_ids`, or r000, r001, … where rules have none, (n_rules,)."""
        return list(self.rule_ids or numbered_ids(self.n_rules))

    def __repr__(self) -> str:
        delta = self._seen()
        seen = "" if len(delta) == self.n_pairs else f" in {len(delta):,} of the pairs"
        relevance = "without" if self.relevance is None else "with"
        return (
            f"Scores({self.n_pairs:,} pairs × {self.n_rules} rules, {relevance} relevance, "
            f"δ from {delta.min():.3g} to {delta.max():.3g}{seen})"
        )

    def _repr_html_(self) -> str:
        delta, first = self._seen(), self.names[:SHOWN]
        columns = [("all rules", delta), *((n, delta[:, j]) for j, n in enumerate(first))]
        rows = [
            (
                name,
                f"{np.abs(d).mean():.3f}",
                f"{np.abs(d).max():.3f}",
                f"{(d == 0).mean():.1%}",
                f"{(np.abs(d) > _DECISIVE).mean():.1%}",
            )
            for name, d in columns
        ]
        head = ("rule", "mean |δ|", "largest |δ|", "δ = 0", f"|δ| > {_DECISIVE}")
        return html_table(repr(self), head, rows, self.n_rules + 1)

    def _seen(self) -> np.ndarray:
        """Discrepancies of at most 10,000 evenly spaced pairs, what a summary looks at."""
        rows = evenly_spaced(self.n_pairs)
        return self.a[rows] - self.b[rows]

    def rows(self, index) -> Scores:
        """The scores of some pairs: an integer or boolean index over rows."""
        index = np.asarray(index)
        positions = np.arange(self.n_pairs)[index]
        return Scores(
            self.a[positions],
            self.b[positions],
            None if self.relevance is None else self.relevance[positions],
            self.rule_ids,
            None if self.pair_ids is None else [self.pair_ids[i] for i in positions],
        )

    def columns(self, index) -> Scores:
        """The scores under some rules, in this order: an integer or boolean index over rules."""
        positions = np.arange(self.n_rules)[np.asarray(index)]
        return Scores(
            self.a[:, positions],
            self.b[:, positions],
            None if self.relevance is None else self.relevance[:, positions],
            None if self.rule_ids is None else [self.rule_ids[j] for j in positions],
            self.pair_ids,
        )

    def write(self, path: str | Path) -> Path:
        """Write as Parquet, atomically: a row a pair, `a`, `b`, `relevance` as fixed-size arrays."""
        width = pl.Array(pl.Float32, self.n_rules)
        columns = {"pair_id": list(self.pair_ids or map(str, range(self.n_pairs)))}
        for name in ("a", "b", "relevance"):
            if (values := getattr(self, name)) is not None:
                columns[name] = pl.Series(name, values, dtype=width)
        ids = "\n".join(self.names)
        frame = pl.DataFrame(columns)
        return write_atomically(
            path, lambda p: frame.write_parquet(p, metadata={"rulekit.rule_ids": ids})
        )

    @classmethod
    def read(cls, path: str | Path) -> Scores:
        """Read what `write` or `write_batches` wrote.

        Raises
        ------
        ValueError
            If the file is no table of scores.
        """
        frame = pl.read_parquet(path)
        ids = pl.read_parquet_metadata(path).get("rulekit.rule_ids")
        if ids is None or not {"pair_id", "a", "b"} <= set(frame.columns):
            raise ValueError(f"{path}: not written by Scores.write (columns {frame.columns})")
        arrays = {c: frame[c].to_numpy() for c in ("a", "b", "relevance") if c in frame.columns}
        return cls(**arrays, rule_ids=ids.split("\n"), pair_ids=frame["pair_id"].to_list())

    @classmethod
    def batches(
        cls, path: str | Path, rows: int = 65_536, relevance: bool = True
    ) -> Iterator[Scores]:
        """The pairs of a file in order, `rows` at a time, for tables larger than memory.

        Parameters
        ----------
        path
            Written by `write` or `write_batches`.
        rows
            Pairs a block, 1 or more; the last block may be shorter.
        relevance
            Whether to read the relevance where the file has one.

        Raises
        ------
        ValueError
            For `rows` below 1, or a file that is no table of scores.

        Notes
        -----
        Selection and labels are made pair by pair, and the counts of
        `rulekit.information.vote_tables` and `rule_tables` add up over blocks, so nothing else
        need be kept.
        """
        import pyarrow.parquet as pq

        if rows < 1:
            raise ValueError(f"rows is {rows}; allowed: 1 or more")
        with pq.ParquetFile(path, pre_buffer=False) as file:
            names = file.schema_arrow.names
            ids = (file.metadata.metadata or {}).get(b"rulekit.rule_ids")
            if ids is None or not {"pair_id", "a", "b"} <= set(names):
                raise ValueError(f"{path}: not written by Scores.write (columns {names})")
            rule_ids = ids.decode().split("\n")
            wanted = ["a", "b", "relevance"] if relevance and "relevance" in names else ["a", "b"]
            for block in file.iter_batches(rows, columns=["pair_id", *wanted]):
                arrays = {
                    name: block[name].flatten().to_numpy().reshape(-1, len(rule_ids))
                    for name in wanted
                }
                yield cls(**arrays, rule_ids=rule_ids, pair_ids=block["pair_id"].to_pylist())

    @staticmethod
    def write_batches(path: str | Path, blocks: Iterable[Scores]) -> Path:
        """Write blocks of pairs as one Parquet file, atomically, a row group each.

        Parameters
        ----------
        path
            To be read by `read` or `batches`.
        blocks
            One or more, of the same rules, all with a relevance or none. Their `pair_ids` are
            kept; without, pairs are numbered through.

        Returns
        -------
        The path.

        Raises
        ------
        ValueError
            If there is no block, or one has other rules or columns than the first.
        """
        return write_atomically(path, lambda p: _write_blocks(p, blocks))


def votes(discrepancy, scale: float | np.ndarray = 1.0) -> np.ndarray:
    """Which response each discrepancy speaks for: its sign, or 0 where it is none.

    Parameters
    ----------
    discrepancy
        Discrepancies, or sums of them, of any shape.
    scale
        How many discrepancies were added up, times their weight, one number or one each: |δ| up
        to `scale` · 5e-7 counts as zero.

    Returns
    -------
    -1 the second response, 0 neither, +1 the first; float64, same shape.
    """
    delta = np.asarray(discrepancy)
    return np.where(np.abs(delta) <= scale * NO_VOTE, 0.0, np.sign(delta)).astype(np.float64)


def _write_blocks(path: Path, blocks: Iterable[Scores]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer, done = None, 0
    try:
        for block in blocks:
            width = block.n_rules
            columns = {"pair_id": pa.array(block.pair_ids or _numbers(done, block.n_pairs))}
            for name in ("a", "b", "relevance"):
                if (values := getattr(block, name)) is not None:
                    flat = pa.array(values.reshape(-1))
                    columns[name] = pa.FixedSizeListArray.from_arrays(flat, width)
            ids = "\n".join(block.names)
            table = pa.table(columns).replace_schema_metadata({"rulekit.rule_ids": ids})
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema, compression="zstd")
            elif not table.schema.equals(writer.schema, check_metadata=True):
                raise ValueError(
                    f"block from pair {done} has rules or columns that differ from the first's; "
                    "allowed: the same in all"
                )
            writer.write_table(table, row_group_size=block.n_pairs)
            done += block.n_pairs
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise ValueError("no blocks; allowed: one or more")


def _numbers(first: int, n: int) -> list[str]:
    return [str(i) for i in range(first, first + n)]


def _checked(name: str, values, low: float, shape: tuple[int, ...] | None) -> np.ndarray:
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed: (n_pairs, n_rules), not empty")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed: {shape}, the shape of a")
    # NaN propagates through min and max, so two reductions without a temporary see all of it.
    if not (array.min() >= low and array.max() <= 1.0):
        row, column = np.argwhere(~((array >= low) & (array <= 1.0)))[0]
        raise ValueError(
            f"{name}, row {row}, rule {column} is {array[row, column]}; allowed: {low:g} to 1"
        )
    return array

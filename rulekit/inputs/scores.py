"""Scores: how well each of two responses satisfies each rule, as plain arrays.

Judges make them, selectors and label models read them. score = P(yes) - P(no) in [-1, 1];
relevance = 1 - P(irrelevant) in [0, 1]; the discrepancy of a rule is score(A) - score(B), and its
sign is the rule's vote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import write_atomically
from rulekit.inputs.identity import Identity
from rulekit.inputs.rules import numbered_ids
from rulekit.kernels import RESOLUTION
from rulekit.tables import SHOWN, evenly_spaced, html_table

# float32 scores cannot tell a |δ| this small from zero: it is no vote.
NO_VOTE = RESOLUTION / 2
_RULES = "rulekit.rules"  # key of the metadata of a file
_DECISIVE = 0.5  # a |δ| above it leaves no doubt which response the judge prefers


@dataclass(frozen=True, eq=False, init=False)
class Scores:
    """Scores of n_pairs pairs under n_rules rules.

    Parameters
    ----------
    a, b
        Score of the first and the second response, (n_pairs, n_rules), in [-1, 1]. Kept as
        C-contiguous float32 that cannot be written to, a copy unless it is that already.
    relevance
        How much each rule matters to each pair, (n_pairs, n_rules), in [0, 1]; optional.
    rule_ids, pair_ids
        Names of the columns and rows, so that values cannot be mixed up; optional.
    identity
        The rules and pairs with the rules' texts, in place of `rule_ids` and `pair_ids`.
    rated
        Which rules were rated for each pair, bool (n_pairs, n_rules): elsewhere all arrays must
        be NaN. None: all of them.

    Raises
    ------
    ValueError
        If shapes differ, or a value is masked, NaN or out of range: the message names array, row
        and column.
    """

    a: np.ndarray  # (n_pairs, n_rules)
    b: np.ndarray  # (n_pairs, n_rules)
    relevance: np.ndarray | None  # (n_pairs, n_rules)
    identity: Identity
    rated: np.ndarray | None  # (n_pairs, n_rules)

    def __init__(
        self,
        a,
        b,
        relevance=None,
        rule_ids: Sequence[str] | None = None,
        pair_ids: Sequence[str] | None = None,
        *,
        identity: Identity | None = None,
        rated: np.ndarray | None = None,
    ) -> None:
        set_field = object.__setattr__
        if rated is not None:
            rated = np.array(rated)
            rated.flags.writeable = False
            if rated.dtype != bool or rated.shape != np.shape(a):
                raise ValueError(
                    f"rated is {rated.dtype} {rated.shape}; allowed: bool {np.shape(a)}"
                )
            rated = None if rated.all() else rated
        set_field(self, "rated", rated)
        set_field(self, "a", _checked("a", a, -1.0, None, rated))
        set_field(self, "b", _checked("b", b, -1.0, self.a.shape, rated))
        if relevance is not None:
            relevance = _checked("relevance", relevance, 0.0, self.a.shape, rated)
        set_field(self, "relevance", relevance)
        if identity is None:
            identity = Identity(rule_ids, None, pair_ids)
        elif rule_ids is not None or pair_ids is not None:
            raise ValueError("identity and rule_ids or pair_ids are given; allowed: one of them")
        for name, length in (("pair_ids", self.n_pairs), ("rule_ids", self.n_rules)):
            if (ids := getattr(identity, name)) is not None and len(ids) != length:
                raise ValueError(f"{name}: {len(ids)} ids; allowed: {length} unique ids")
        set_field(self, "identity", identity)

    @classmethod
    def from_discrepancy(
        cls,
        discrepancy,
        relevance=None,
        rule_ids: Sequence[str] | None = None,
        pair_ids: Sequence[str] | None = None,
        *,
        identity: Identity | None = None,
    ) -> Scores:
        """Scores of a judge that compared the two responses: ±δ/2, so that a - b = δ.

        Parameters
        ----------
        discrepancy
            δ, (n_pairs, n_rules), in [-1, 1].
        relevance, rule_ids, pair_ids, identity
            As for `Scores`.
        """
        _refuse_masked("discrepancy", discrepancy)
        half = np.array(discrepancy, dtype=np.float32)
        half /= 2
        other = -half
        half.flags.writeable = other.flags.writeable = False  # so that neither is copied
        return cls(half, other, relevance, rule_ids, pair_ids, identity=identity)

    @property
    def rule_ids(self) -> tuple[str, ...] | None:
        return self.identity.rule_ids

    @property
    def pair_ids(self) -> tuple[str, ...] | None:
        return self.identity.pair_ids

    @property
    def n_pairs(self) -> int:
        return self.a.shape[0]

    @property
    def n_rules(self) -> int:
        return self.a.shape[1]

    @property
    def discrepancy(self) -> np.ndarray:
        """a - b, float32 (n_pairs, n_rules) in [-2, 2], NaN where not rated; made anew each time."""
        return self.a - self.b

    @property
    def votes(self) -> np.ndarray:
        """`votes` of the discrepancies, -1, 0 or +1, float64 (n_pairs, n_rules); made anew each time."""
        return votes(self.discrepancy)

    @property
    def names(self) -> list[str]:
        """`rule_ids`, or r000, r001, … where rules have none, (n_rules,)."""
        return list(self.rule_ids or numbered_ids(self.n_rules))

    @property
    def n_rated(self) -> np.ndarray:
        """Rules rated for each pair, int64 (n_pairs,)."""
        if self.rated is None:
            return np.full(self.n_pairs, self.n_rules)
        return self.rated.sum(axis=1)

    def __repr__(self) -> str:
        delta = self._seen()
        seen = "" if len(delta) == self.n_pairs else f" in {len(delta):,} of the pairs"
        relevance = "without" if self.relevance is None else "with"
        rated = "" if self.rated is None else f", {self.rated.mean():.1%} rated"
        return (
            f"Scores({self.n_pairs:,} pairs × {self.n_rules} rules{rated}, {relevance} relevance, "
            f"δ from {np.nanmin(delta):.3g} to {np.nanmax(delta):.3g}{seen})"
        )

    def _repr_html_(self) -> str:
        delta, first = self._seen(), self.names[:SHOWN]
        columns = [("all rules", delta), *((n, delta[:, j]) for j, n in enumerate(first))]
        rows = []
        for name, d in columns:
            d = d[~np.isnan(d)]
            figures = [f"{d.size:,}"]
            if d.size:
                figures += [f"{np.abs(d).mean():.3f}", f"{np.abs(d).max():.3f}"]
                figures += [f"{(d == 0).mean():.1%}", f"{(np.abs(d) > _DECISIVE).mean():.1%}"]
            rows.append([name, *figures, *["–"] * (5 - len(figures))])
        head = ("rule", "rated", "mean |δ|", "largest |δ|", "δ = 0", f"|δ| > {_DECISIVE}")
        return html_table(repr(self), head, rows, self.n_rules + 1)

    def _seen(self) -> np.ndarray:
        """Discrepancies of at most 10,000 evenly spaced pairs, what a summary looks at."""
        rows = evenly_spaced(self.n_pairs)
        return self.a[rows] - self.b[rows]

    def rows(self, index) -> Scores:
        """The scores of some pairs: an integer or boolean index over rows, or a slice."""
        return self._taken(np.arange(self.n_pairs)[_index(index)], slice(None))

    def columns(self, index) -> Scores:
        """The scores under some rules, in this order: an index over rules, or a slice."""
        return self._taken(slice(None), np.arange(self.n_rules)[_index(index)])

    def _taken(self, rows, columns) -> Scores:
        fields = (self.a, self.b, self.relevance, self.rated)
        a, b, relevance, rated = (None if f is None else f[rows][:, columns] for f in fields)
        identity = self.identity.rows(rows).columns(columns)
        return Scores(a, b, relevance, identity=identity, rated=rated)

    def aligned(self, identity: Identity, what: str = "scores") -> Scores:
        """The scores of the pairs and rules of another value, in its order.

        Parameters
        ----------
        identity
            Of that value; what it or these scores do not name is left as it is.
        what
            How an error calls these scores.

        Raises
        ------
        ValueError
            If these scores lack one of the pairs, or are of other rules.
        """
        rows = identity.rows_of(self.identity, what)
        columns = identity.columns_of(self.identity, what)
        if rows is not None:
            return self.rows(rows).aligned(identity, what)
        return self if columns is None else self.columns(columns)

    def of(self, pairs: pl.DataFrame) -> Scores:
        """The scores of these pairs, in their order.

        Raises
        ------
        ValueError
            If a pair is not among those scored, or there are no ids and lengths differ.
        """
        scores = self.aligned(Identity.of(pairs=pairs))
        if scores.n_pairs != len(pairs):
            raise ValueError(
                f"scores of {scores.n_pairs} pairs; allowed: {len(pairs)}, as the pairs"
            )
        return scores

    def whole(self, what: str = "scores") -> Scores:
        """These scores, if every rule was rated for every pair.

        Raises
        ------
        ValueError
            If not: a method that compares all rules cannot be used on some of them.
        """
        if self.rated is not None:
            row, column = np.argwhere(~self.rated)[0]
            raise ValueError(
                f"{what}: {self.rated.mean():.1%} is rated (not row {row}, rule "
                f"{self.names[column]}); allowed: every rule for every pair, or `rulekit.label`"
            )
        return self

    def write(self, path: str | Path) -> Path:
        """Write as Parquet, atomically: a row a pair, `a`, `b`, `relevance` as fixed-size arrays."""
        return self.write_batches(path, [self])

    @classmethod
    def read(cls, path: str | Path) -> Scores:
        """Read what `write` or `write_batches` wrote.

        Raises
        ------
        ValueError
            If the file is no table of scores.
        """
        frame = pl.read_parquet(path)
        rules = _rules_of(path, pl.read_parquet_metadata(path).get(_RULES), frame.columns)
        arrays = {c: frame[c].to_numpy() for c in ("a", "b", "relevance") if c in frame.columns}
        return _from_file(arrays, rules, frame["pair_id"].to_list())

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
            rules = _rules_of(path, (file.metadata.metadata or {}).get(_RULES.encode()), names)
            wanted = ["a", "b", "relevance"] if relevance and "relevance" in names else ["a", "b"]
            for block in file.iter_batches(rows, columns=["pair_id", *wanted]):
                arrays = {
                    name: block[name].flatten().to_numpy().reshape(block.num_rows, -1)
                    for name in wanted
                }
                yield _from_file(arrays, rules, block["pair_id"].to_pylist())

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
            rules = block.identity.rules
            if rules.rule_ids is None:
                rules = replace(rules, rule_ids=tuple(block.names))
            table = pa.table(columns).replace_schema_metadata({_RULES: rules.as_json()})
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


def _index(index):
    return index if isinstance(index, slice) else np.asarray(index)


def _rules_of(path, said: str | bytes | None, columns: list[str]) -> Identity:
    """The rules that a file's metadata name."""
    if said is None or not {"pair_id", "a", "b"} <= set(columns):
        raise ValueError(f"{path}: not written by Scores.write (columns {columns})")
    return Identity.from_json(said)


def _from_file(arrays: dict[str, np.ndarray], rules: Identity, pair_ids: list[str]) -> Scores:
    rated = ~np.isnan(arrays["a"])
    identity = replace(rules, pair_ids=tuple(pair_ids))
    return Scores(**arrays, identity=identity, rated=None if rated.all() else rated)


def _checked(name: str, values, low: float, shape, rated: np.ndarray | None) -> np.ndarray:
    _refuse_masked(name, values)
    array = values
    if not _kept_safe(values):
        array = np.array(values, dtype=np.float32, order="C")
        array.flags.writeable = False
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed: (n_pairs, n_rules), not empty")
    if shape is not None and array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; allowed: {shape}, the shape of a")
    # NaN propagates through min and max, so two reductions without a temporary see all of it.
    if not (array.min() >= low and array.max() <= 1.0):
        fine = (array >= low) & (array <= 1.0)
        if rated is not None:
            fine = np.where(rated, fine, np.isnan(array))
        if not fine.all():
            row, column = np.argwhere(~fine)[0]
            raise ValueError(
                f"{name}, row {row}, rule {column} is {array[row, column]}; allowed: {low:g} to 1"
                + ("" if rated is None else ", NaN where not rated")
            )
    elif rated is not None:
        raise ValueError(f"{name} holds numbers where nothing was rated; allowed: NaN there")
    return array


def _refuse_masked(name: str, values) -> None:
    if np.ma.is_masked(values):
        cell = ", column ".join(map(str, np.argwhere(np.ma.getmaskarray(values))[0]))
        raise ValueError(
            f"{name}, row {cell} is masked; allowed: numbers, and `rated` for what was not rated"
        )


def _kept_safe(values) -> bool:
    """Whether it is an array as scores are kept, and nobody has one to write to its memory by."""
    array = values
    while type(array) is np.ndarray and not array.flags.writeable:
        if array.base is None:
            return values.dtype == np.float32 and values.flags.c_contiguous
        array = array.base
    return False

"""Which rules and pairs a value is of: what keeps scores, selections and labels from being mixed up.

`Scores`, `Selection`, `Estimates`, `Labels`, adapters and reward models carry an `Identity`. A
function that takes two of them asks `rows_of` and `columns_of` where the one's pairs and rules
stand in the other, and reorders by the answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
import polars as pl

from rulekit.files import sha256


@dataclass(frozen=True, repr=False)
class Identity:
    """The rules and pairs of a value, in its order; None where they are not known.

    Parameters
    ----------
    rule_ids
        Ids of the rules, unique, (n_rules,).
    rule_digests
        SHA-256 of each rule's text, (n_rules,).
    pair_ids
        Ids of the pairs, unique, (n_pairs,).

    Raises
    ------
    ValueError
        If an id occurs twice, or ids and digests are not as many.
    """

    rule_ids: tuple[str, ...] | None = None
    rule_digests: tuple[str, ...] | None = None
    pair_ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("rule_ids", "rule_digests", "pair_ids"):
            if (values := getattr(self, name)) is None:
                continue
            if type(values) is not tuple:
                object.__setattr__(self, name, values := tuple(map(str, values)))
            if name != "rule_digests" and len(set(values)) != len(values):
                raise ValueError(f"{name}: {_first_double(values)!r} occurs twice; allowed: unique")
        ids, digests = self.rule_ids, self.rule_digests
        if ids is not None and digests is not None and len(ids) != len(digests):
            raise ValueError(f"{len(ids)} rule_ids, {len(digests)} rule_digests; allowed: as many")

    @classmethod
    def of(cls, rules=None, pairs: pl.DataFrame | None = None) -> Identity:
        """The identity of a `RuleSet` and of a canonical frame of pairs."""
        ids = None if pairs is None else tuple(pairs["pair_id"].to_list())
        if rules is None:
            return cls(pair_ids=ids)
        return cls(tuple(rules.ids), tuple(rules.digests), ids)

    @property
    def rules_hash(self) -> str | None:
        """`RuleSet.hash` of these rules in this order; None where their texts are not known."""
        return None if self.rule_digests is None else hash_of(self.rule_digests)

    @property
    def rules(self) -> Identity:
        """Of the rules alone."""
        return replace(self, pair_ids=None)

    @property
    def pairs(self) -> Identity:
        """Of the pairs alone."""
        return Identity(pair_ids=self.pair_ids)

    def __repr__(self) -> str:
        rules = "unnamed rules" if self.rule_ids is None else f"{len(self.rule_ids)} rules"
        pairs = "unnamed pairs" if self.pair_ids is None else f"{len(self.pair_ids):,} pairs"
        told = "" if self.rule_digests is None else f", hash {self.rules_hash[:8]}"
        return f"Identity({rules}{told}, {pairs})"

    def rows(self, index) -> Identity:
        """Of some pairs: an integer or boolean index, or a slice."""
        return replace(self, pair_ids=_taken(self.pair_ids, index))

    def columns(self, index) -> Identity:
        """Of some rules, in this order: an integer or boolean index, or a slice."""
        ids, digests = (_taken(v, index) for v in (self.rule_ids, self.rule_digests))
        return Identity(ids, digests, self.pair_ids)

    def rows_of(self, other: Identity, what: str) -> np.ndarray | None:
        """Where the pairs of this value stand in another.

        Parameters
        ----------
        other
            Of a value that has to hold all of these pairs.
        what
            How an error calls it.

        Returns
        -------
        int64 (n_pairs,), or None where they stand there in this order, or where the ids of either
        are not known.

        Raises
        ------
        ValueError
            Naming a pair that is not there.
        """
        return _positions(self.pair_ids, other.pair_ids, what, "pair")

    def columns_of(self, other: Identity, what: str) -> np.ndarray | None:
        """Where the rules of this value stand in another, as `rows_of`.

        Raises
        ------
        ValueError
            If the other has not the same rules, or a rule of the same id with another text.
        """
        mine, theirs = self.rule_ids, other.rule_ids
        if mine is not None and theirs is not None and len(mine) != len(theirs):
            raise ValueError(f"{what}: {len(theirs)} rules; allowed: the same {len(mine)}")
        at = _positions(mine, theirs, what, "rule")
        if mine is None or theirs is None:
            return None
        found = other.rule_digests if at is None else _taken(other.rule_digests, at)
        if self.rule_digests is not None and found is not None and found != self.rule_digests:
            j = next(
                j for j, (a, b) in enumerate(zip(self.rule_digests, found, strict=True)) if a != b
            )
            raise ValueError(f"{what}: rule {mine[j]!r} has another text; allowed: the same rules")
        return at

    def names(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Numbers to break ties by: uint32 of each pair, (n_pairs,), and of each rule, (n_rules,).

        Made of the ids alone; None where those of pairs or rules are not known.
        """
        if self.pair_ids is None or self.rule_ids is None:
            return None
        return tuple(
            np.fromiter((crc32(name.encode("utf-8", "surrogatepass")) for name in ids), np.uint32)
            for ids in (self.pair_ids, self.rule_ids)
        )

    def as_json(self) -> str:
        """Rules and pairs as JSON text that `from_json` reads."""
        return json.dumps([self.rule_ids, self.rule_digests, self.pair_ids])

    @classmethod
    def from_json(cls, text: str | bytes) -> Identity:
        """What `as_json` wrote.

        Raises
        ------
        ValueError
            If the text is not of that form.
        """
        try:
            parts = json.loads(text)
            return cls(*(None if part is None else tuple(part) for part in parts))
        except (TypeError, json.JSONDecodeError):
            raise ValueError(
                "identity: not readable; allowed: what Identity.as_json wrote"
            ) from None


UNKNOWN = Identity()  # of a value whose rules and pairs nobody named


def hash_of(digests: Sequence[str]) -> str:
    """SHA-256 over the digests of rules in order: equal only for equal texts in equal order."""
    return sha256("".join(digests))


def _taken(values: tuple[str, ...] | None, index) -> tuple[str, ...] | None:
    if values is None:
        return None
    if isinstance(index, slice):
        return values[index]
    return tuple(values[i] for i in np.arange(len(values))[np.asarray(index)].tolist())


def _positions(mine, theirs, what: str, kind: str) -> np.ndarray | None:
    if mine is None or theirs is None or mine is theirs or mine == theirs:
        return None
    place = {name: i for i, name in enumerate(theirs)}
    found = [place.get(name, -1) for name in mine]
    if -1 in found:
        lacking = mine[found.index(-1)]
        n = found.count(-1)
        raise ValueError(
            f"{what}: {kind} {lacking!r} is not in it ({n:,} of {len(mine):,} are not); allowed: "
            f"the same {kind}s in any order"
        )
    return np.array(found, np.int64)


def _first_double(values: tuple[str, ...]) -> str:
    seen: set[str] = set()
    return next(v for v in values if v in seen or seen.add(v))

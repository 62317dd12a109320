"""The tables of a store: rows written with hashes and counts, and compared with them when read.

Keys in hexadecimal and arrays of numbers come in, rows go out or an error that names what is
damaged. `store` is built on it; `SCHEMA` is what the file holds.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rulekit.rating.database import Database
from rulekit.rating.texts import as_column, as_given, as_text, judge_key, rule_key

SCHEMA = """
create table judge (
    id integer primary key,       -- 1, 2, 3 without gaps, as in the next two
    key text not null unique,     -- hash of the identity
    identity text not null        -- all that a rating depends on besides the texts
);
create table response (
    id integer primary key,
    key text not null unique,     -- hash of prompt and response
    prompt text,                  -- a text, or messages in JSON; null: not kept
    response text                 -- a text, or two in JSON that were compared
);
create table rule (
    id integer primary key,
    key text not null unique,     -- hash of the text
    name text,                    -- the rule's id in its rule set; null: not noted
    text text,
    hash integer                  -- of the name
);
create table rating (             -- the first of a judge, response and rule stands
    judge integer, response integer, rule integer,
    no real not null, irrelevant real not null, yes real not null,  -- float32, with sum 1
    mass real,                    -- what the three had together before; null: not told
    hash integer not null,        -- of the three keys and the four numbers
    primary key (judge, response, rule)
) without rowid;
create table tally (              -- what must be in `rating`: nothing gets lost in silence
    judge integer, response integer,
    ratings integer not null,
    hash integer not null,        -- sum of their hashes
    primary key (judge, response)
) without rowid;
create table spending (           -- what a call of a judge did and cost
    id integer primary key,
    judge integer not null, run text not null, number integer not null,  -- of the run
    entry text not null,          -- JSON
    hash integer not null,
    unique (judge, run, number)
);
create table total (              -- what must be in the other tables
    of text primary key,
    count integer not null,       -- of rows; for 'rating' the sum of the tallies
    hash integer not null         -- sum of hashes: of id and key, or those in the rows
) without rowid;
insert into total values
    ('judge', 0, 0), ('response', 0, 0), ('rule', 0, 0), ('rating', 0, 0), ('spending', 0, 0);
create table worker (             -- who rates at the moment
    name text, judge text, seen real not null,  -- seconds since 1970
    primary key (name, judge)
) without rowid;
create view ratings as
    select judge.identity as judge, response.key as response_id, rule.name as rule_id,
        prompt, response.response as response, rule.text as rule, no, irrelevant, yes,
        yes - no as score, 1 - irrelevant as relevance, mass
    from rating
    join judge on judge.id = rating.judge
    join response on response.id = rating.response
    join rule on rule.id = rating.rule;
"""
FORMAT = 1  # raise when tables, keys or what a judge is shown change
_APPLICATION = int.from_bytes(b"rule", "big")
_CELLS = 2**18  # ratings read at a time: what bounds the memory
_NUMBERS = ("no", "irrelevant", "yes", "mass")
_RULE_BITS = 24  # of a column that is read as hash and rule in one: fewer values take less time
_ROW = np.dtype([("rule", "i8"), *((name, "f4") for name in _NUMBERS)])
_IN = "in (select value from json_each(?))"


class Spent(NamedTuple):
    """How much of the table `spending` has been read."""

    last: int = 0
    count: int = 0
    total: int = 0


NOTHING = Spent()


def hash_of(*values: object) -> int:
    """Checksum of texts and numbers, 32 bits."""
    return zlib.crc32("\0".join(map(str, values)).encode("utf-8", "surrogatepass"))


class CheckedRows(Database):
    """The tables of one file; keys are hexadecimal, and every call stands in `reading` or `writing`.

    Parameters
    ----------
    path
        As for `Database`.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, SCHEMA, _APPLICATION, FORMAT)

    def compare(self, table: str, hashes: Iterable[int]) -> None:
        """Refuse a table whose rows, by their hashes, are not those that it must have."""
        count = total = 0
        for hashed in hashes:
            count, total = count + 1, total + hashed
        self._compare(table, count, total)

    def _compare(self, table: str, count: int, total: int) -> None:
        must = self.execute("select count, hash from total where of = ?", [table]).fetchone()
        if must != (count, total):
            raise self.damaged(f"the table {table} is")

    def _add_total(self, table: str, count: int, total: int) -> None:
        sql = "update total set count = count + ?, hash = hash + ? where of = ?"
        self.execute(sql, (count, total, table))

    # Judges, responses, rules --------------------------------------------------------------------

    def check_keys(self) -> None:
        """Compare all keys with the totals: a damaged one would not be found, and nobody know."""
        for table in ("judge", "response", "rule"):
            rows = self.execute(f"select id, key from {table}")
            self.compare(table, (hash_of(*row) for row in rows))

    def ids(self, table: str, keys: Sequence[str]) -> list[int]:
        """Their numbers in the file, 0 for what is not there."""
        sql = f"select key, id from {table} where key {_IN}"
        found = dict(self.execute(sql, [json.dumps(keys)]))
        return [found.get(key, 0) for key in keys]

    def known(self, table: str, keys: Sequence[str], values: Sequence[tuple]) -> list[int]:
        """Their numbers; what is not there gets a row of its key and values, (n,) each."""
        ids = self.ids(table, keys)
        new = [i for i, number in enumerate(ids) if not number]
        if new:
            ((last,),) = self.execute("select count from total where of = ?", [table])
            rows = [(last + n, keys[i], *values[i]) for n, i in enumerate(new, start=1)]
            marks = ", ".join("?" * len(rows[0]))
            self.executemany(f"insert into {table} values ({marks})", rows)
            self._add_total(table, len(rows), sum(hash_of(*row[:2]) for row in rows))
            for i, row in zip(new, rows, strict=True):
                ids[i] = row[0]
        return ids

    def judges(self) -> list[str]:
        """Their identities, in the order in which they came."""
        rows = self.execute("select id, key, identity from judge order by id").fetchall()
        self.compare("judge", (hash_of(*row[:2]) for row in rows))
        for _, key, identity in rows:
            if judge_key(str(identity)).hex() != key:
                raise self.damaged(f"judge {identity!r:.80} is")
        return [identity for *_, identity in rows]

    def rules(self) -> list[tuple[str, str | None, str | None]]:
        """Key, id and text of each; None for what was not noted."""
        rows = self.execute("select id, key, name, text, hash from rule order by id").fetchall()
        self.compare("rule", (hash_of(*row[:2]) for row in rows))
        for _, key, *told in rows:
            name, text, hashed = told
            whole = (rule_key(str(as_text(text))).hex(), hash_of(name)) == (key, hashed)
            if not whole and told != [None, None, None]:
                raise self.damaged(f"rule {name!r:.80} is")
        return [(key, as_text(name), as_text(text)) for _, key, name, text, _ in rows]

    def note_rules(self, told: Sequence[tuple[str, str, str]]) -> None:
        """Keep key, id and text of rules, in the place of what was noted."""
        self.known("rule", [key for key, *_ in told], [(None, None, None)] * len(told))
        rows = ((as_column(n), as_column(t), hash_of(as_column(n)), key) for key, n, t in told)
        self.executemany("update rule set name = ?, text = ?, hash = ? where key = ?", rows)

    def texts(self, responses: Sequence[str] | None = None) -> Iterator[tuple[str, tuple]]:
        """Key and texts of those responses, or of all, whose texts are kept."""
        sql = "select key, prompt, response from response where prompt is not null"
        some = [] if responses is None else [json.dumps(responses)]
        for key, *columns in self.execute(sql + f" and key {_IN}" * len(some), some):
            if (given := as_given(key, *columns)) is None:
                raise self.damaged(f"the texts of response {key} are")
            yield key, given

    # Ratings -------------------------------------------------------------------------------------

    def count(self, judge: str | None = None) -> int:
        """Ratings, of one judge or of all."""
        told = "select coalesce(sum(ratings), 0), coalesce(sum(hash), 0) from tally"
        ((count, total),) = self.execute(told)
        self._compare("rating", count, total)
        if judge is None:
            return count
        ids = self.ids("judge", [judge])
        ((count, _),) = self.execute(f"{told} where judge = ?", ids)
        ((there,),) = self.execute("select count(*) from rating where judge = ?", ids)
        if there != count:
            raise self.damaged("the table rating is")
        return count

    def blocks(self, judge: str) -> Iterator[tuple[list[str], list[str]]]:
        """Keys of what a judge has rated, and of all rules, as much as fits into memory at a time."""
        (judge_id,) = self.ids("judge", [judge])
        rules = [key for (key,) in self.execute("select key from rule order by id")]
        sql = (
            "select key from tally join response on id = tally.response "
            "where judge = ? order by tally.response"
        )
        rows = self.execute(sql, [judge_id])
        while some := rows.fetchmany(max(1, _CELLS // max(1, len(rules)))):
            yield [key for (key,) in some], rules

    def read(self, judge: str, responses: Sequence[str], rules: Sequence[str]) -> np.ndarray:
        """Ratings under keys without doubles, float32 (n_responses, n_rules, 4); NaN: none."""
        out = np.full((len(responses), len(rules), 4), np.nan, np.float32)
        (judge_id,) = self.ids("judge", [judge])
        ids = np.array(self.ids("response", responses), np.int64)
        order = np.argsort(ids)
        order = order[ids[order] > 0]
        if not judge_id or not len(order):
            return out
        ids, names = ids[order].tolist(), [responses[i] for i in order]
        every = dict(self.execute("select id, key from rule"))
        rule_seeds = np.zeros(max(every, default=0) + 1, np.uint64)
        rule_seeds[list(every)] = _seeds(list(every.values()))
        column = np.full(len(rule_seeds), -1)
        for j, rule_id in enumerate(self.ids("rule", rules)):
            if rule_id:
                column[rule_id] = j
        tallies = self._tallies(judge_id, ids)
        # What a response has under other rules is read too: only so nothing can be missing.
        before = np.cumsum(tallies[:, 0]) - tallies[:, 0]
        for part in np.split(np.arange(len(ids)), np.flatnonzero(np.diff(before // _CELLS)) + 1):
            some = slice(part[0], part[-1] + 1)
            seeds = _seeds([judge]), _seeds(names[some]), rule_seeds
            try:
                at, rule, p = self._rows(judge_id, ids[some], tallies[some], seeds)
            except (TypeError, ValueError, OverflowError):  # of another type, or other than written
                damage = zip(ids[some], names[some], tallies[some].tolist(), strict=True)
                raise self._damage(judge_id, damage, (judge, every)) from None
            asked = column[rule] >= 0
            out[order[part][at[asked]], column[rule[asked]]] = p[asked]
        return out

    def write(
        self,
        judge: tuple[str, str],
        responses: Sequence[str],
        rules: Sequence[str],
        p: np.ndarray,
        texts: Sequence[tuple],
    ) -> int:
        """Insert what is not NaN, none of which may be there; `judge` is its key and identity."""
        rated = ~np.isnan(p[..., 0])
        some = np.flatnonzero(rated.any(axis=1))
        if not len(some):
            return 0
        rated, p, responses = rated[some], p[some], [responses[i] for i in some]
        (judge_id,) = self.known("judge", judge[:1], [judge[1:]])
        ids = np.array(self.known("response", responses, [texts[i] for i in some]))
        rule_ids = np.array(self.known("rule", rules, [(None, None, None)] * len(rules)))
        hashes = _hashes(_seeds(judge[:1]), _seeds(responses)[:, None], _seeds(rules), p)
        rows, columns = np.nonzero(rated)
        values = (ids[rows], rule_ids[columns], *p[rated].T, hashes[rated])
        self.executemany(
            "insert into rating values (?, ?, ?, ?, ?, ?, ?, ?)",
            zip(repeat(judge_id), *(v.tolist() for v in values), strict=False),
        )
        counts, totals = rated.sum(axis=1), np.where(rated, hashes, 0).sum(axis=1)
        self.executemany(
            "insert into tally values (?, ?, ?, ?) on conflict do update set "
            "ratings = ratings + excluded.ratings, hash = hash + excluded.hash",
            zip(repeat(judge_id), ids.tolist(), counts.tolist(), totals.tolist(), strict=False),
        )
        self._add_total("rating", len(rows), int(totals.sum()))
        return len(rows)

    def _tallies(self, judge_id: int, ids: list[int]) -> np.ndarray:
        """Ratings of each response and the sum of their hashes, (n, 2)."""
        sql = f"select response, ratings, hash from tally where judge = ? and response {_IN}"
        found = {i: tally for i, *tally in self.execute(sql, [judge_id, json.dumps(ids)])}
        try:
            return np.array([found.get(i, (0, 0)) for i in ids], np.int64)
        except (TypeError, ValueError, OverflowError):  # a value of another type
            raise self.damaged("the table tally is") from None

    def _rows(
        self, judge_id: int, ids: list[int], tallies: np.ndarray, seeds: tuple
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position of the response, rule and values of ratings; ValueError if any is not as written."""
        sql = (
            f"select hash << {_RULE_BITS} | rule, {', '.join(_NUMBERS)} from rating "
            f"where judge = ? and response {_IN} order by response, rule"
        )
        with np.errstate(over="ignore"):
            rows = np.fromiter(self.execute(sql, [judge_id, json.dumps(ids)]), _ROW)
        if (tallies < 0).any() or len(rows) != tallies[:, 0].sum():
            raise ValueError("rows are missing")
        at = np.repeat(np.arange(len(ids)), tallies[:, 0])
        rule, hashes = rows["rule"] & (2**_RULE_BITS - 1), rows["rule"] >> _RULE_BITS
        p = rows.view([("", "V8"), ("p", "f4", 4)])["p"]
        judge, response, rule_seeds = seeds
        if len(rows) and rule.max() >= len(rule_seeds):
            raise ValueError("a rule is unknown")
        wrong = _hashes(judge, response[at], rule_seeds[rule], p) != hashes
        total = np.bincount(at, hashes, minlength=len(ids))  # exact below 2^53
        if wrong.any() or not fine(p[:, :3]).all() or (total != tallies[:, 1]).any():
            raise ValueError("a row is damaged")
        return at, rule, p

    def _damage(self, judge_id: int, responses: Iterable, keys: tuple) -> ValueError:
        """Which rating is damaged or missing; `responses` has id, key and tally of each."""
        judge, rules = keys
        told = f"select rule, hash, {', '.join(_NUMBERS)} from rating "
        told += "where judge = ? and response = ?"
        named = "select coalesce(name, key) from rule where id = ?"
        for response_id, name, (count, total) in responses:
            rows = self.execute(told, (judge_id, response_id)).fetchall()
            for rule, hashed, *values in rows:
                try:
                    with np.errstate(over="ignore"):
                        p = np.array([values], np.float32)
                    seeds = (_seeds([key]) for key in (judge, name, rules[rule]))
                    whole = _hashes(*seeds, p) == hashed and fine(p[0, :3])
                except (TypeError, ValueError, KeyError):
                    whole = False
                if not whole:
                    found = self.execute(named, [rule]).fetchone() or [f"number {rule!r:.20}"]
                    return self.damaged(f"the rating of response {name} under rule {found[0]} is")
            if len(rows) != count or sum(row[1] for row in rows) != total:
                return self.damaged(f"response {name} has {len(rows)} of {count} ratings; it is")
        return self.damaged("the table rating is")

    # Spending ------------------------------------------------------------------------------------

    def spend(
        self, judge: tuple[str, str], run: str, entry: str, number: int | None = None
    ) -> None:
        """Keep an entry of a run as its next, or as its `number`th if that is not there yet."""
        (judge_id,) = self.known("judge", judge[:1], [judge[1:]])
        sql = "select coalesce(max(number), 0) from spending where judge = ? and run = ?"
        ((last,),) = self.execute(sql, (judge_id, run))
        number = last + 1 if number is None else number
        if number > last:
            hashed = hash_of(judge[0], run, number, entry)
            sql = "insert into spending values (null, ?, ?, ?, ?, ?)"
            self.execute(sql, (judge_id, run, number, entry, hashed))
            self._add_total("spending", 1, hashed)

    def spent(self, seen: Spent = NOTHING) -> tuple[list[tuple[str, str, int, str]], Spent]:
        """Judge's key, run, number and JSON of the entries since `seen`, and what is seen then."""
        rows = self.execute(
            "select spending.id, judge.key, run, number, entry, spending.hash from spending "
            "left join judge on judge.id = judge where spending.id > ? order by spending.id",
            [seen.last],
        ).fetchall()
        for number, *entry, hashed in rows:
            if hash_of(*entry) != hashed:
                raise self.damaged(f"spending {number} is")
        seen = Spent(
            rows[-1][0] if rows else seen.last,
            seen.count + len(rows),
            seen.total + sum(hashed for *_, hashed in rows),
        )
        self._compare("spending", seen.count, seen.total)
        return [entry for _, *entry, _ in rows], seen


def fine(p: np.ndarray) -> np.ndarray:
    """Which are distributions, bool (...), of P(no), P(irrelevant), P(yes), (..., 3)."""
    with np.errstate(invalid="ignore"):
        return ((p >= 0) & (p <= 1)).all(axis=-1) & (np.abs(p.sum(axis=-1) - 1) < 1e-3)


def _seeds(keys: Sequence[str]) -> np.ndarray:
    """A number for each key, uint64 (n,)."""
    words = np.frombuffer(bytes.fromhex("".join(keys)), "<u8").reshape(-1, 2)
    return words[:, 0] ^ (words[:, 1] * np.uint64(0x9E3779B97F4A7C15))


def _hashes(judge: np.ndarray, response: np.ndarray, rule: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Hashes of ratings, 31 bits as int64 (...), from the seeds of their keys and values, (..., 4)."""
    p = np.where(np.isnan(p), np.float32(np.nan), p)  # of all NaN the same bits
    bits = np.ascontiguousarray(p, "<f4").view("<u8")
    mixed = judge + response * np.uint64(0xBF58476D1CE4E5B9) + rule * np.uint64(0x94D049BB133111EB)
    for half in (bits[..., 0], bits[..., 1]):
        mixed = (mixed ^ half) * np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(29)
    return (mixed >> np.uint64(33)).astype(np.int64)

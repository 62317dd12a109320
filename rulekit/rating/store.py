"""Ratings in a SQLite file: what was rated once is never lost, rated again, counted twice or misread.

Keys of texts and a judge's probabilities come in and are found again. `job` and `export` call it;
`checked_rows` says what the file holds, for ``sqlite3 ratings.sqlite "select * from ratings"`` too.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from rulekit.inputs.rules import RuleSet
from rulekit.rating.checked_rows import NOTHING, CheckedRows, fine
from rulekit.rating.texts import (
    KEY,
    as_column,
    from_hex,
    in_hex,
    judge_key,
    keys,
    response_key,
    rule_key,
)

__all__ = ["KEY", "Store", "keys", "ranges", "response_key", "rule_key"]

_ALIVE = 600.0  # seconds after which a worker that does not show is forgotten


def ranges(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All integers of the half-open ranges in a row, and the length of each range."""
    counts = np.asarray(ends - starts)
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(starts - before, counts), counts


class Store:
    """The ratings of any number of judges in one file.

    Parameters
    ----------
    path
        The file, made if it is not there; several processes of one machine may write to it at
        once. ``:memory:`` keeps nothing.
    texts
        Keep prompts and responses too, where they are given.

    Raises
    ------
    ValueError
        Here and from all methods, if the path is a folder or another file, or the store is of
        another format, damaged, or closed: the message names the file, and the rating if it is
        one.
    OSError
        Likewise, if the file cannot be written or the disk is full. What was there stays readable,
        nothing of the step that failed counts, and the store goes on where there is room again.

    Notes
    -----
    What `add` returned from is on disk and outlives a kill or a loss of power. Everything that is
    read is compared with hashes and counts that were written with it.
    """

    def __init__(self, path: str | Path = ":memory:", *, texts: bool = True) -> None:
        self._rows = CheckedRows(path)
        self.path, self.texts = self._rows.path, texts
        self._worker = uuid.uuid4().hex
        self._spent: dict[tuple[str, str], Counter[str]] = {}  # (judge's key, run) → sums
        self._seen = NOTHING  # of what is spent
        try:
            with self._rows.reading():
                self._rows.check_keys()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; all that was added is on disk already."""
        self._rows.close()

    def __len__(self) -> int:
        """Ratings in the store, other writers' included."""
        return self.count()

    def count(self, judge: str | None = None) -> int:
        """Ratings in the store, of one judge or of all.

        Parameters
        ----------
        judge
            An identity.
        """
        with self._rows.reading():
            return self._rows.count(None if judge is None else _hex(judge))

    def judges(self) -> list[str]:
        """Identities of the judges, in the order in which they came."""
        with self._rows.reading():
            return self._rows.judges()

    def rules(self) -> list[tuple[str, str | None, str | None]]:
        """Key in hexadecimal, id and text of each rule; None for what was not noted."""
        with self._rows.reading():
            return self._rows.rules()

    def responses(self, judge: str) -> np.ndarray:
        """Keys of what a judge has rated, (n_responses,).

        Parameters
        ----------
        judge
            An identity.
        """
        with self._rows.reading():
            return from_hex([key for block, _ in self._rows.blocks(_hex(judge)) for key in block])

    def kept_texts(self, responses: np.ndarray) -> list[tuple | None]:
        """Prompt and response, or two, of each key, (n_responses,); None where they are not kept.

        Parameters
        ----------
        responses
            Keys, (n_responses,).
        """
        names = in_hex(responses)
        with self._rows.reading():
            found = dict(self._rows.texts(names))
        return [found.get(name) for name in names]

    def get(self, judge: str, responses: np.ndarray, rules: np.ndarray) -> np.ndarray:
        """The stored ratings.

        Parameters
        ----------
        judge
            An identity.
        responses, rules
            Keys, (n_responses,) and (n_rules,), as `keys` makes them; rules without doubles.

        Returns
        -------
        numpy.ndarray
            P(no), P(irrelevant), P(yes), answer mass, float32 (n_responses, n_rules, 4); NaN where
            not rated, and for a mass that is not known.
        """
        distinct, inverse = np.unique(np.asarray(responses, KEY), return_inverse=True)
        with self._rows.reading():
            return self._rows.read(_hex(judge), in_hex(distinct), in_hex(rules))[inverse]

    def add(
        self,
        judge: str,
        responses: np.ndarray,
        rules: np.ndarray,
        probabilities: np.ndarray,
        mass: np.ndarray | None = None,
        *,
        texts: Sequence[tuple] | None = None,
    ) -> int:
        """Write ratings that are not there yet, flushed to disk.

        Parameters
        ----------
        judge
            Its identity.
        responses, rules
            Keys, (n_responses,) and (n_rules,), each without doubles.
        probabilities
            P(no), P(irrelevant), P(yes), (n_responses, n_rules, 3); NaN where there is none.
        mass
            Probability that the judge gave to the three answers together, (n_responses, n_rules);
            NaN where it does not tell.
        texts
            Prompt and response, or two, of each key, (n_responses,).

        Returns
        -------
        The number of ratings written; fewer than given where another writer was first.

        Raises
        ------
        ValueError
            For an empty identity, a shape that does not fit, doubles, or three values that are no
            distribution.
        """
        p = np.asarray(probabilities, np.float32)
        _refuse(judge, responses, rules, p)
        values = np.full((*p.shape[:2], 4), np.nan, np.float32)
        values[..., :3] = p + np.float32(0)  # SQLite knows no negative zero
        if mass is not None:
            values[..., 3] = mass
        with self._rows.writing():
            now = (time.time(), self._worker, _hex(judge))
            self._rows.execute("update worker set seen = ? where name = ? and judge = ?", now)
            return self._add(judge, in_hex(responses), in_hex(rules), values, texts)

    def note_rules(self, rules: RuleSet) -> None:
        """Let the file tell the ids and texts of rules; the last id of a rule stands.

        Parameters
        ----------
        rules
            Any rule set.
        """
        told = [(rule_key(r.text).hex(), r.id, r.text) for r in rules]
        if not set(told) <= set(self.rules()):
            with self._rows.writing():
                self._rows.note_rules(told)

    def note_spending(self, judge: str, entry: Mapping[str, float | str]) -> None:
        """Keep what a call did and cost, flushed to disk.

        Parameters
        ----------
        judge
            Its identity.
        entry
            Names and values; `run` names the run.
        """
        with self._rows.writing():
            self._rows.spend(
                (_hex(judge), judge), str(entry.get("run", "")), json.dumps(dict(entry))
            )

    def spending(self, judge: str, but: str | None = None) -> Counter[str]:
        """Sums of the numbers that all runs noted, other writers' included.

        Parameters
        ----------
        judge
            An identity.
        but
            The value of `run` whose entries are left out.
        """
        with self._rows.reading():
            entries, self._seen = self._rows.spent(self._seen)
        for key, run, _, entry in entries:
            numbers = {k: v for k, v in json.loads(entry).items() if isinstance(v, int | float)}
            self._spent.setdefault((key, run), Counter()).update(numbers)
        spent = (c for (key, run), c in self._spent.items() if key == _hex(judge) and run != but)
        return sum(spent, Counter())

    @contextmanager
    def working(self, judge: str) -> Iterator[bool]:
        """Be known as one who rates for a judge; yields whether nobody else was in ten minutes.

        Parameters
        ----------
        judge
            Its identity.
        """
        key, now = _hex(judge), time.time()
        with self._rows.writing():
            self._rows.execute("delete from worker where abs(seen - ?) > ?", (now, _ALIVE))
            sql = "select count(*) from worker where judge = ? and name <> ?"
            ((others,),) = self._rows.execute(sql, (key, self._worker))
            self._rows.execute("replace into worker values (?, ?, ?)", (self._worker, key, now))
        try:
            yield not others
        finally:
            # Who cannot sign off, such as on a full disk, is forgotten after a while.
            with suppress(OSError), self._rows.writing():
                sql = "delete from worker where name = ? and judge = ?"
                self._rows.execute(sql, (self._worker, key))

    def merge(self, other: str | Path) -> int:
        """Take over what another store holds, all or nothing; what is here already stands.

        Parameters
        ----------
        other
            Path of its file.

        Returns
        -------
        The number of ratings taken over.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is this store, or damaged.
        """
        if not Path(other).is_file():
            raise FileNotFoundError(f"no such file: {other}")
        if self.path != ":memory:" and Path(self.path).samefile(other):
            raise ValueError(f"{other}: the store itself; allowed: another one")
        taken = 0
        with Store(other) as source, source._rows.reading(), self._rows.writing():
            here = {key for key, *told in self._rows.rules() if told != [None, None]}
            rules = [rule for rule in source._rows.rules() if None not in rule]
            self._rows.note_rules([rule for rule in rules if rule[0] not in here])
            identities = {_hex(judge): judge for judge in source._rows.judges()}
            for key, judge in identities.items():
                for names, rules in source._rows.blocks(key):
                    texts = source.kept_texts(from_hex(names))
                    p = source._rows.read(key, names, rules)
                    taken += self._add(judge, names, rules, p, texts)
            for key, run, number, entry in source._rows.spent()[0]:
                self._rows.spend((key, identities[key]), run, entry, number)
        return taken

    def check(self) -> dict[str, int]:
        """Read everything and compare it with its hashes, counts and keys.

        Returns
        -------
        Counts of `judges`, `rules`, `responses` and `ratings`, and `bytes` of the file.
        """
        rows = self._rows
        with rows.reading():
            ((said,),) = rows.execute("pragma integrity_check(1)")
            if said != "ok":
                raise rows.damaged(f"({' '.join(str(said).split())})")
            rows.check_keys()
            rows.spent()
            deque(rows.texts(), maxlen=0)
            judges, found = rows.judges(), 0
            for key in map(_hex, judges):
                for block in rows.blocks(key):
                    found += int((~np.isnan(rows.read(key, *block)[..., 0])).sum())
            ((n_responses, n_ratings, pages, size),) = rows.execute(
                "select (select count(*) from response), (select count(*) from rating), "
                "page_count, page_size from pragma_page_count, pragma_page_size"
            )
            if not n_ratings == found == rows.count():
                raise rows.damaged("the table rating is")
            return {
                "judges": len(judges),
                "rules": len(rows.rules()),
                "responses": n_responses,
                "ratings": found,
                "bytes": pages * size,
            }

    def _add(self, judge, names, rules, values, texts) -> int:
        """Write what the store lacks, and texts where it has none."""
        key, kept = _hex(judge), [(None, None)] * len(names)
        if self.texts and texts is not None:
            kept = [(None, None) if t is None else tuple(map(as_column, t)) for t in texts]
        lacks = np.isnan(self._rows.read(key, names, rules)[..., :1])
        made = self._rows.write((key, judge), names, rules, np.where(lacks, values, np.nan), kept)
        late = ((*t, name) for t, name in zip(kept, names, strict=True) if t[0] is not None)
        sql = "update response set prompt = ?, response = ? where key = ? and prompt is null"
        self._rows.executemany(sql, late)
        return made


def _refuse(judge: str, responses: np.ndarray, rules: np.ndarray, p: np.ndarray) -> None:
    """Refuse what cannot be stored."""
    if not judge:
        raise ValueError("identity is empty; allowed: a string that names judge and template")
    if p.shape != (len(responses), len(rules), 3):
        raise ValueError(
            f"probabilities have shape {p.shape}; allowed: ({len(responses)}, {len(rules)}, 3)"
        )
    for name, values in (("responses", responses), ("rules", rules)):
        if len(np.unique(values)) != len(values):
            raise ValueError(f"{name}: a key occurs twice; allowed: each once")
    wrong = np.argwhere(~(fine(p) | np.isnan(p).all(axis=2)))
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(
            f"probabilities of response {i}, rule {j} are {p[i, j]}; allowed: three numbers from "
            "0 to 1 with sum 1, or three NaN"
        )


def _hex(identity: str) -> str:
    return judge_key(identity).hex()

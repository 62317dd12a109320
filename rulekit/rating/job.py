"""Rating responses under rules: how what the store lacks is come by, and what there is at the end.

Texts, rules, a judge and a store come in; ratings go to the store, figures to a ledger, and scores
out. `annotation` and `quality` call this. Probabilities stay in the store: what is held here is a
few bytes a response and a bit a rating.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.judges.contract import Rating, RatingFailed, RatingInterrupted, Stopped, as_judge
from rulekit.rating.ledger import Ledger, Progress, note_calls
from rulekit.rating.store import Store, keys, ranges, response_key, rule_key

_CELLS = 2**18  # ratings looked up at a time
_TOLD = ("tokens", "truncated", "tokens_cut", "neutralised")  # of a judge's usage, in the ledger
Wanted = Callable[[np.ndarray], np.ndarray]  # rows (n,) → which cells, bool (n, n_rules)


class Incomplete(RuntimeError):
    """Ratings are missing; what is complete is here, and all that was rated is stored.

    Attributes
    ----------
    result
        What the function returns, for the pairs (or responses) whose ratings are all there; None
        if there is none, or if it has been written to a file.
    complete
        Which these are, bool (n_pairs,).
    missing
        One row a missing rating: pair_id (the first pair that has the response), response (its
        column), rule_id, reason; None if it has been written to a file.
    stopped
        Why the judge asked for nothing more, or None.
    """

    def __init__(
        self, message: str, result, complete, missing=None, stopped: Stopped | None = None
    ) -> None:
        super().__init__(message)
        self.result, self.complete, self.missing = result, complete, missing
        self.stopped = stopped


class Job:
    """Responses under rules: what is known of them, and how the rest is come by.

    Parameters
    ----------
    prompts
        Texts or lists of messages, (n,): a sequence or a column.
    columns
        Name → responses to each prompt, (n,) each; for a pairwise judge pairs of them.
    rules, judge, store, batch, price, ledger, progress
        As for `annotate`.
    ids
        Names of the prompts' rows, (n,); numbers by default.

    Attributes
    ----------
    keys
        Of the distinct responses in the order of the store, (n_responses,).
    index
        Which of these each given response is, (n, n_columns).
    failures
        Response → rule → why the judge gave no rating.
    stopped, reason
        Why the judge asks for nothing more, and the sentence that says it.
    """

    def __init__(
        self,
        prompts: Sequence | pl.Series,
        columns: dict[str, Sequence | pl.Series],
        rules: RuleSet,
        judge,
        store: Store | str | Path | None = None,
        *,
        ids: Sequence | pl.Series | None = None,
        batch: int = 64,
        price: float = 0.0,
        ledger: Ledger | None = None,
        progress: bool = True,
    ) -> None:
        if batch < 1:
            raise ValueError(f"batch is {batch}; allowed: 1 or more")
        self.judge = as_judge(judge)
        self.name = self.judge.identity
        self.own = not isinstance(store, Store)
        self.store = Store(":memory:" if store is None else store) if self.own else store
        self.prompts, self.columns, self.ids = prompts, dict(columns), ids
        self.rules, self.batch, self.price = rules, batch, price
        self.ledger = Ledger() if ledger is None else ledger
        self.progress = progress
        self.rule_keys = keys([rule_key(t) for t in rules.texts])
        self.store.note_rules(rules)
        self._distinct()
        self.step = max(1, _CELLS // len(rules))
        self.failures: dict[int, dict[int, str]] = {}
        self.stopped: Stopped | None = None
        self.reason, self.not_sent, self.n_asked = "", 0, 0
        self._asked = np.zeros((len(self.keys), -(-len(rules) // 8)), np.uint8)  # a bit a rating
        spending = self.judge.spending
        self.run = uuid.uuid4().hex if spending is None else spending.run
        given = self.index.size
        self.ledger.plain += given * len(rules)
        self.ledger.repeated += (given - len(self.keys)) * len(rules)

    def _distinct(self) -> None:
        names = []
        for start in range(0, len(self.prompts), 4096):
            rows = np.arange(start, min(start + 4096, len(self.prompts)))
            sides = [_take(c, rows) for c in self.columns.values()]
            given = zip(_take(self.prompts, rows), *sides, strict=True)
            names.append(keys([response_key(prompt, r) for prompt, *rest in given for r in rest]))
        every = np.concatenate(names) if names else keys([])
        self.keys, self.first, inverse = np.unique(every, return_index=True, return_inverse=True)
        self.index = inverse.reshape(-1, len(self.columns))

    def __enter__(self) -> None:
        self.start = time.perf_counter()
        self._asked_before = self.ledger.rated + self.ledger.failed, self.ledger.cost
        if (answered := self.judge.answered) is not None:
            answered.begin(self.store.spending(self.name))
        self._carry()

    def __exit__(self, *exception: object) -> None:
        self.ledger.seconds += time.perf_counter() - self.start
        calls, cost = self._asked_before
        asked = self.ledger.rated + self.ledger.failed - calls
        note_calls(self.judge.identity, asked, self.ledger.cost - cost)
        self.ledger.not_named += len(self.keys) * len(self.rules) - self.n_asked
        if self.own:
            self.store.close()

    def every(self, rows: np.ndarray) -> np.ndarray:
        """All cells of these responses."""
        return np.ones((len(rows), len(self.rules)), bool)

    def named(self, pairs: np.ndarray, indices: np.ndarray) -> Wanted:
        """The cells that these pairs need, under the rules of `indices`, (len(pairs), k)."""
        user = self.index[pairs].ravel()
        order = np.argsort(user, kind="stable")
        user, of_pair = user[order], order // len(self.columns)

        def wanted(rows: np.ndarray) -> np.ndarray:
            mask = np.zeros((len(rows), len(self.rules)), bool)
            low, high = (np.searchsorted(user, rows, side) for side in ("left", "right"))
            at, counts = ranges(low, high)
            mask[np.repeat(np.arange(len(rows)), counts)[:, None], indices[of_pair[at]]] = True
            return mask

        return wanted

    def rate(self, wanted: Wanted | None = None) -> None:
        """Have all wanted cells in the store, from the judge where they are not there yet.

        What the judge fails at is noted in `failures`, and the work goes on; it ends early only
        if the judge says that no request makes sense any more (`stopped`).
        """
        wanted = wanted or self.every
        missing = self._count(wanted)
        open_cells = total = int(missing.sum())
        rows = np.argsort(self.first)  # as the pairs have them: two responses share a prompt
        rows = rows[missing[rows] > 0]
        if total and self.stopped is None:
            with self.store.working(self.name) as alone:
                batches = [rows[i : i + self.batch] for i in range(0, len(rows), self.batch)]
                if not alone:  # in an order of its own, so that no two work side by side
                    np.random.default_rng().shuffle(batches)
                with Progress(total, self.progress) as progress:
                    for some in batches:
                        done = self._batch(some, wanted(some), int(missing[some].sum()))
                        progress.update(done, self.ledger.cost)
                        open_cells -= done
                        if self.stopped is not None:
                            break
        self.not_sent += open_cells
        self.ledger.not_sent += open_cells

    def _count(self, wanted: Wanted) -> np.ndarray:
        """Wanted cells of each response that are neither known nor given up, (n_responses,)."""
        missing = np.zeros(len(self.keys), np.int32)
        for start in range(0, len(self.keys), self.step):
            rows = np.arange(start, min(start + self.step, len(self.keys)))
            cells = wanted(rows)
            open_cells = self._open(rows, cells)
            asked = np.packbits(cells, axis=1)
            new = np.unpackbits(asked & ~self._asked[rows], axis=1, count=len(self.rules))
            new = new.astype(bool)
            self._asked[rows] |= asked
            self.n_asked += int(new.sum())
            self.ledger.stored += int((new & ~open_cells).sum())
            missing[rows] = open_cells.sum(axis=1)
        return missing

    def _open(self, rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Those of the cells that are neither in the store nor given up."""
        if cells.any():
            cells = cells & np.isnan(self._known(rows)[..., 0])
        for i in np.flatnonzero(cells.any(axis=1)) if self.failures else ():
            cells[i, list(self.failures.get(int(rows[i]), ()))] = False
        return cells

    def _known(self, rows: np.ndarray) -> np.ndarray:
        """P(no), P(irrelevant), P(yes), mass of responses, (n, n_rules, 4); NaN where unknown."""
        return self.store.get(self.name, self.keys[rows], self.rule_keys)

    def _batch(self, rows: np.ndarray, wanted: np.ndarray, counted: int) -> int:
        """One call of the judge, if others have left something; the number of cells dealt with."""
        cells = self._open(rows, wanted)
        found = counted - int(cells.sum())
        self.ledger.stored += found
        columns = np.flatnonzero(cells.any(axis=0))
        if not len(columns):
            return found
        rules, mask = RuleSet(tuple(self.rules[int(j)] for j in columns)), cells[:, columns]
        prompts, responses = self._texts(rows)
        start = time.perf_counter()

        def kept(rating: Rating) -> np.ndarray:
            """Note what the call cost, and store what it made: bool (len(rows), len(columns))."""
            made = mask & ~np.isnan(rating.probabilities[..., 0])
            self._book(rating, made, time.perf_counter() - start)
            p = np.where(mask[..., None], rating.probabilities, np.nan)
            texts = list(zip(prompts, responses, strict=True))
            self.store.add(
                self.name, self.keys[rows], self.rule_keys[columns], p, rating.mass, texts=texts
            )
            return made

        try:
            rating = self.judge.rate(prompts, responses, rules, mask)
        except (RatingFailed, RatingInterrupted) as error:
            kept(error.rating)
            raise
        if not isinstance(rating, Rating):
            raise ValueError(f"rate gave {type(rating).__name__}; allowed: rulekit.judges.Rating")
        made = kept(rating)
        self.stopped, self.reason = rating.stopped, rating.reason
        failed = self._fail(rows, columns, mask & ~made, rating)
        return found + int(made.sum()) + failed

    def _texts(self, rows: np.ndarray) -> tuple[list, list]:
        row, column = np.divmod(self.first[rows], len(self.columns))
        responses: list = [None] * len(rows)
        for number, values in enumerate(self.columns.values()):
            here = np.flatnonzero(column == number)
            for place, text in zip(here.tolist(), _take(values, row[here]), strict=True):
                responses[place] = text
        return _take(self.prompts, row), responses

    def _fail(self, rows, columns, lost: np.ndarray, rating: Rating) -> int:
        """Note why cells have no rating; the number that was asked for in vain."""
        failed = 0
        for i, j in np.argwhere(lost).tolist():
            if (i, j) not in rating.failures and rating.stopped is not None:
                continue  # not sent
            reason = rating.failures.get((i, j), "the judge gave no rating")
            self.failures.setdefault(int(rows[i]), {})[int(columns[j])] = reason
            failed += 1
        self.ledger.failed += failed
        return failed

    # Money -----------------------------------------------------------------------------------

    def _book(self, rating: Rating, made: np.ndarray, seconds: float) -> None:
        ledger, usage, n = self.ledger, rating.usage, int(made.sum())
        paid = self.judge.spending is not None
        cost = usage.cost + usage.uncertain_cost if paid else n * self.price
        told = {name: getattr(usage, name) for name in _TOLD}
        ledger.rated += n
        ledger.cost += cost
        for name, value in told.items():
            setattr(ledger, name, getattr(ledger, name) + value)
        mass = rating.mass[made]
        if len(known := mass[~np.isnan(mass)]):
            ledger.add_mass(len(known), float(known.mean(dtype=float)), float(known.min()))
        entry = {"run": self.run, "time": time.strftime("%FT%T%z"), "rated": n, "cost": cost}
        answered = self.judge.answered
        who = {} if answered is None else answered.report()
        self.store.note_spending(self.name, entry | {"seconds": round(seconds, 3)} | told | who)
        self._carry()

    def _carry(self) -> None:
        """Let a judge's budget count what other runs have spent into this store."""
        if (spending := self.judge.spending) is not None:
            spending.earlier = float(self.store.spending(self.name, but=self.run)["cost"])

    # Results ---------------------------------------------------------------------------------

    def blocks(self, pairs: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Ratings of pairs, (n, n_columns, n_rules, 3), some at a time; NaN where unknown."""
        for start in range(0, len(pairs), self.step):
            part = slice(start, min(start + self.step, len(pairs)))
            index = self.index[pairs[part]]
            rows, inverse = np.unique(index, return_inverse=True)
            yield part, self._known(rows)[inverse.reshape(index.shape)][..., :3]

    def missing(self) -> Iterator[pl.DataFrame]:
        """The cells that were wanted and have no rating, and why, some at a time."""
        if not self.failures and self.stopped is None:
            return
        names = list(self.columns)
        for start in range(0, len(self.keys), self.step):
            rows = np.arange(start, min(start + self.step, len(self.keys)))
            unknown = np.isnan(self._known(rows)[..., 0])
            asked = np.unpackbits(self._asked[rows], axis=1, count=len(self.rules)).astype(bool)
            cells = np.argwhere(asked & unknown).tolist()
            if not cells:
                continue
            given = [divmod(int(self.first[start + i]), len(names)) for i, _ in cells]
            ids = [row if self.ids is None else self.ids[row] for row, _ in given]
            unsent = f"not sent: {self.reason}"
            reasons = [self.failures.get(start + i, {}).get(j, unsent) for i, j in cells]
            yield pl.DataFrame(
                {
                    "pair_id": list(map(str, ids)),
                    "response": [names[column] for _, column in given],
                    "rule_id": [self.rules[j].id for _, j in cells],
                    "reason": reasons,
                }
            )

    def finish(self, complete, result, listed: bool = False, what: str = "pairs") -> None:
        """Raise `Incomplete` with what there is, unless everything is complete."""
        if complete.all():
            return
        frames = [] if listed else list(self.missing())
        left = int((~complete).sum())
        message = f"{self._trouble()}; {left:,} of {len(complete):,} {what} are left out"
        raise Incomplete(
            message, result, complete, pl.concat(frames) if frames else None, self.stopped
        )

    def _trouble(self) -> str:
        reasons = Counter(r for of_rule in self.failures.values() for r in of_rule.values())
        said = []
        if self.stopped is not None:
            said.append(f"stopped, {self.not_sent:,} ratings not sent: {self.reason}")
            if self.stopped is Stopped.BUDGET:
                spent = float(self.store.spending(self.name)["cost"])
                said[-1] += f" ({spent:.4g} spent by all runs into {self.store.path})"
        if reasons:
            listed = "; ".join(f"{n:,} × {r}" for r, n in reasons.most_common(3))
            said.append(f"{reasons.total():,} of {self.n_asked:,} ratings failed ({listed})")
        return "; ".join(said)


def _take(values: Sequence | pl.Series, rows: np.ndarray) -> list:
    return values[rows].to_list() if isinstance(values, pl.Series) else [values[i] for i in rows]

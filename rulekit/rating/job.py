"""Rating responses under rules: how what the store lacks is come by, and what there is at the end.

Texts, rules, a judge and a store come in; ratings go to the store, figures to a ledger, and scores
out. `annotation`, `adaptive` and `quality` call this. Probabilities stay in the store: what is held
here is a few bytes a response and a bit a rating.
"""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl

from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges.contract import NOT_SENT, Rater, RunStopped
from rulekit.rating.ledger import Call, Ledger, Progress, run_of
from rulekit.rating.sorted_parts import keys, ranges
from rulekit.rating.store import Store, response_key, rule_key

_CELLS = 2**18  # ratings looked up at a time
_Wanted = Callable[[np.ndarray], np.ndarray]  # rows (n,) → which cells, bool (n, n_rules)


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
        Why the judge asked for nothing more, or an empty string.
    """

    def __init__(self, message: str, result, complete, missing=None, stopped: str = "") -> None:
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
        Name → responses to each prompt, (n,) each.
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
    stopped
        Why the judge asks for nothing more, or an empty string.
    """

    def __init__(
        self,
        prompts,
        columns,
        rules,
        judge,
        store,
        *,
        ids=None,
        batch=64,
        price=0.0,
        ledger=None,
        progress=True,
    ) -> None:
        if not getattr(judge, "identity", ""):
            raise ValueError(f"{judge!r:.60} has no identity; take judge_named(…), or give it one")
        if batch < 1:
            raise ValueError(f"batch is {batch}; allowed: 1 or more")
        self.own = not isinstance(store, Store)
        self.store = Store(store, judge.identity) if self.own else store
        if self.store.identity != judge.identity:
            raise ValueError(
                f"the store is of {self.store.identity!r}; allowed: {judge.identity!r}, the judge's"
            )
        self.prompts, self.columns, self.ids = prompts, dict(columns), ids
        self.rules, self.judge, self.batch, self.price = rules, judge, batch, price
        self.ledger = Ledger() if ledger is None else ledger
        self.progress = progress
        self.rule_keys = keys([rule_key(t) for t in rules.texts])
        self._distinct()
        self.step = max(1, _CELLS // len(rules))
        self.failures: dict[int, dict[int, str]] = {}
        self.stopped, self.not_sent, self.n_asked = "", 0, 0
        self._asked = np.zeros((len(self.keys), -(-len(rules) // 8)), np.uint8)  # a bit a rating
        self.run = run_of(judge)
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
        self._carry()
        self.spent = self._spent()

    def __exit__(self, *exception: object) -> None:
        self.ledger.seconds += time.perf_counter() - self.start
        self.ledger.not_named += len(self.keys) * len(self.rules) - self.n_asked
        if self.own:
            self.store.close()

    def every(self, rows: np.ndarray) -> np.ndarray:
        """All cells of these responses."""
        return np.ones((len(rows), len(self.rules)), bool)

    def named(self, pairs: np.ndarray, indices: np.ndarray) -> _Wanted:
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

    def rate(self, wanted: _Wanted | None = None) -> None:
        """Have all wanted cells in the store, from the judge where they are not there yet.

        What the judge fails at is noted in `failures`, and the work goes on; it ends early only
        if the judge says that no request makes sense any more (`stopped`).
        """
        wanted = wanted or self.every
        missing = self._count(wanted)
        open_cells = total = int(missing.sum())
        rows = np.argsort(self.first)  # as the pairs have them: two responses share a prompt
        rows = rows[missing[rows] > 0]
        if total and not self.stopped:
            with self.store.working() as alone, warnings.catch_warnings():
                # All reasons are told at the end, not after each batch.
                warnings.filterwarnings(
                    "ignore", message=".* ratings (failed|were not sent) and are NaN"
                )
                batches = [rows[i : i + self.batch] for i in range(0, len(rows), self.batch)]
                if not alone:  # in an order of its own, so that no two work side by side
                    np.random.default_rng().shuffle(batches)
                with Progress(total, self.progress) as progress:
                    for some in batches:
                        done = self._batch(some, wanted(some), int(missing[some].sum()))
                        progress.update(done, self.ledger.cost)
                        open_cells -= done
                        if self.stopped:
                            break
        self.not_sent += open_cells
        self.ledger.not_sent += open_cells

    def _count(self, wanted: _Wanted) -> np.ndarray:
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
            cells = cells & np.isnan(self.store.get(self.keys[rows], self.rule_keys)[..., 0])
        for i in np.flatnonzero(cells.any(axis=1)) if self.failures else ():
            cells[i, list(self.failures.get(int(rows[i]), ()))] = False
        return cells

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
        call = Call(self.judge)
        try:
            p = np.array(self.judge.rate(prompts, responses, rules, mask), np.float32)
        except BaseException as error:
            # A judge that was paid for part of the batch keeps that part as `last`.
            p = call.rescued(mask.shape)
            made = self._store(rows, columns, p, mask, call)
            if not isinstance(error, RunStopped):
                raise
            self.stopped = str(error)
            return found + int(made.sum())
        made = self._store(rows, columns, p, mask, call)
        self.stopped = getattr(call.last, "stopped", "")
        failed = self._fail(rows, columns, mask & ~made, call.failures)
        return found + int(made.sum()) + failed

    def _texts(self, rows: np.ndarray) -> tuple[list, list[str]]:
        row, column = np.divmod(self.first[rows], len(self.columns))
        responses = np.empty(len(rows), object)
        for number, values in enumerate(self.columns.values()):
            here = np.flatnonzero(column == number)
            responses[here] = _take(values, row[here])
        return _take(self.prompts, row), responses.tolist()

    def _store(self, rows, columns, p, mask, call) -> np.ndarray:
        """Note what a call cost, and store what it made, bool (len(rows), len(columns))."""
        made = mask & ~np.isnan(p[..., 0])
        mass = call.mass(mask.shape)
        self._book(call, int(made.sum()), None if mass is None else mass[made])
        p = np.where(mask[..., None], p, np.nan)
        self.store.add(self.keys[rows], self.rule_keys[columns], p, mass)
        return made

    def _fail(self, rows, columns, lost: np.ndarray, reasons: dict) -> int:
        """Note why cells have no rating; the number that was asked for in vain."""
        failed = 0
        for i, j in np.argwhere(lost).tolist():
            reason = reasons.get((i, j), "the judge gave no rating")
            if reason.startswith(NOT_SENT):
                self.stopped = reason.removeprefix(NOT_SENT)
                continue
            self.failures.setdefault(int(rows[i]), {})[int(columns[j])] = reason
            failed += 1
        self.ledger.failed += failed
        return failed

    # Money -----------------------------------------------------------------------------------

    def _book(self, call: Call, made: int, mass: np.ndarray | None) -> None:
        ledger = self.ledger
        ledger.rated += made
        cost = made * self.price
        if getattr(self.judge, "spending", None) is not None:
            cost, self.spent = self._spent() - self.spent, self._spent()
        ledger.cost += cost
        told = call.told()
        for name, value in told.items():
            setattr(ledger, name, getattr(ledger, name) + value)
        if mass is not None and len(known := mass[~np.isnan(mass)]):
            ledger.add_mass(len(known), float(known.mean(dtype=float)), float(known.min()))
        elif (report := call.report) is not None:
            ledger.add_mass(made, report.answer_mass_mean, report.answer_mass_min)
        self.store.note_spending(
            {
                "run": self.run,
                "time": time.strftime("%FT%T%z"),
                "rated": made,
                "seconds": call.seconds,
                "cost": cost,
                **told,
            }
        )
        self._carry()

    def _spent(self) -> float:
        spending = getattr(self.judge, "spending", None)
        return 0.0 if spending is None else spending.spent - getattr(spending, "earlier", 0.0)

    def _carry(self) -> None:
        """Let a judge's budget count what other runs have spent into this store."""
        spending = getattr(self.judge, "spending", None)
        if hasattr(spending, "earlier"):
            spending.earlier = float(self.store.spending(but=self.run)["cost"])

    # Results ---------------------------------------------------------------------------------

    def probabilities(self) -> np.ndarray:
        """P(no), P(irrelevant), P(yes) of the first column, (n, n_rules, 3); NaN where unknown."""
        return self.store.get(self.keys[self.index[:, 0]], self.rule_keys)

    def blocks(self, pairs: np.ndarray, indices=None) -> Iterator[tuple[slice, np.ndarray]]:
        """Ratings of pairs, (n, n_columns, k, 3), some at a time; under all rules, or `indices`."""
        for start in range(0, len(pairs), self.step):
            part = slice(start, min(start + self.step, len(pairs)))
            index = self.index[pairs[part]]
            rows, inverse = np.unique(index, return_inverse=True)
            p = self.store.get(self.keys[rows], self.rule_keys)[inverse.reshape(index.shape)]
            if indices is not None:
                p = np.take_along_axis(p, indices[part][:, None, :, None], axis=2)
            yield part, p

    def scores(self, pairs=None, indices=None) -> tuple[np.ndarray, Scores | None]:
        """Which pairs are complete, bool (n,), and their scores, None if there is none."""
        every = pairs is None
        pairs = np.arange(len(self.index)) if every else pairs
        k = len(self.rules) if indices is None else indices.shape[1]
        out = np.empty((3, len(pairs), k), np.float32)
        for part, p in self.blocks(pairs, indices):
            out[:, part] = _scores(p)
        complete = ~np.isnan(out[2]).any(axis=1)
        if not complete.any():
            return complete, None
        if not complete.all():
            out = out[:, complete]
        ids = (
            [self.ids[int(i)] for i in pairs[complete]] if every and self.ids is not None else None
        )
        rule_ids = self.rules.ids if indices is None else None
        return complete, Scores(*out, rule_ids=rule_ids, pair_ids=ids)

    def score_blocks(self, complete: np.ndarray) -> Iterator[Scores]:
        """The same for all pairs, some at a time; `complete`, (n,), is filled on the way."""
        for part, p in self.blocks(np.arange(len(self.index))):
            out = _scores(p)
            complete[part] = whole = ~np.isnan(out[2]).any(axis=1)
            if whole.any():
                ids = [self.ids[part.start + int(i)] for i in np.flatnonzero(whole)]
                yield Scores(*out[:, whole], rule_ids=self.rules.ids, pair_ids=ids)

    def missing(self) -> Iterator[pl.DataFrame]:
        """The cells that were wanted and have no rating, and why, some at a time."""
        if not (self.failures or self.stopped):
            return
        names = list(self.columns)
        for start in range(0, len(self.keys), self.step):
            rows = np.arange(start, min(start + self.step, len(self.keys)))
            unknown = np.isnan(self.store.get(self.keys[rows], self.rule_keys)[..., 0])
            asked = np.unpackbits(self._asked[rows], axis=1, count=len(self.rules)).astype(bool)
            cells = np.argwhere(asked & unknown).tolist()
            if not cells:
                continue
            given = [divmod(int(self.first[start + i]), len(names)) for i, _ in cells]
            ids = [row if self.ids is None else self.ids[row] for row, _ in given]
            reasons = [
                self.failures.get(start + i, {}).get(j, NOT_SENT + self.stopped) for i, j in cells
            ]
            yield pl.DataFrame(
                {
                    "pair_id": list(map(str, ids)),
                    "response": [names[column] for _, column in given],
                    "rule_id": [self.rules[j].id for _, j in cells],
                    "reason": reasons,
                }
            )

    def finish(self, complete, result, listed=False, what="pairs") -> None:
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
        if self.stopped:
            said.append(f"stopped, {self.not_sent:,} ratings not sent: {self.stopped}")
            if "budget" in self.stopped:
                spent = float(self.store.spending()["cost"])
                said[-1] += f" ({spent:.4g} spent by all runs into {self.store.folder})"
        if reasons:
            listed = "; ".join(f"{n:,} × {r}" for r, n in reasons.most_common(3))
            said.append(f"{reasons.total():,} of {self.n_asked:,} ratings failed ({listed})")
        return "; ".join(said)


def pair_job(pairs: pl.DataFrame, rules: RuleSet, judge: Rater, store, **settings) -> Job:
    """The work of rating both responses of pairs."""
    columns = {name: pairs[name] for name in ("response_a", "response_b")}
    return Job(pairs["prompt"], columns, rules, judge, store, ids=pairs["pair_id"], **settings)


def _scores(p: np.ndarray) -> np.ndarray:
    """Score of A, of B and relevance of pairs, (3, n, k), from ratings (n, 2, k, 3)."""
    score, relevance = p[..., 2] - p[..., 0], 1 - p[..., 1]
    return np.stack([score[:, 0], score[:, 1], relevance.mean(axis=1).clip(0, 1)])


def _take(values: Sequence | pl.Series, rows: np.ndarray) -> list:
    return values[rows].to_list() if isinstance(values, pl.Series) else [values[i] for i in rows]

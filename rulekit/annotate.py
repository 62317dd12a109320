"""A judge over pairs and rules: what the store holds is read, the rest is rated and stored.

Pairs, rules, a judge and a store come in, `Scores` and a ledger go out. `adaptive` and the command
line call this.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from rulekit.pairs import prompt_text
from rulekit.parts import keys
from rulekit.rules import RuleSet
from rulekit.scores import Scores
from rulekit.store import Store, response_key, rule_key

_READ = 4096  # responses looked up at a time


class Rater(Protocol):
    """A judge of single responses whose ratings can be stored."""

    @property
    def identity(self) -> str:
        """All that a rating depends on besides the texts: model, revision, template."""

    def rate(
        self, prompts: list[str], responses: list[str], rules: RuleSet, mask: np.ndarray | None
    ) -> np.ndarray:
        """P(no), P(irrelevant), P(yes), float32 (n_responses, n_rules, 3); NaN outside the mask."""


@dataclass
class Ledger:
    """What a run of `annotate` asked for, found, made and spent; counts are of ratings.

    Attributes
    ----------
    plain
        Both responses of every pair under every rule: the work without this module.
    repeated
        Saved because a response occurs in several pairs.
    not_named
        Saved because the adapter did not name the rule for any pair of the response, or because
        the label was sure before.
    stored
        Found in the store, made earlier or by another writer meanwhile.
    rated, failed
        Made in this run; asked of the judge without getting a rating.
    seconds, cost
        Of this run; cost in the unit of the judge's prices.
    """

    plain: int = 0
    repeated: int = 0
    not_named: int = 0
    stored: int = 0
    rated: int = 0
    failed: int = 0
    seconds: float = 0.0
    cost: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """As plain values for JSON."""
        return asdict(self)

    def table(self) -> pl.DataFrame:
        """One row a count: what, ratings, share of `plain`."""
        rows = [(n, getattr(self, n)) for n in
                ("plain", "repeated", "not_named", "stored", "rated", "failed")]  # fmt: skip
        share = [n / self.plain if self.plain else 0.0 for _, n in rows]
        names, counts = zip(*rows, strict=True)
        return pl.DataFrame({"what": names, "ratings": counts, "share": share})


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
        Has `rate` and `identity`; the offline judge through `judge_named`.
    store
        A store of this judge, or its folder.
    batch
        Responses a call of the judge: what a kill can lose.
    price
        Cost of a rating, for judges without a ledger of their own.
    ledger
        Filled in while the run goes on, for its figures to outlive an interruption.
    progress
        Show a bar; quiet anyway where nobody sits in front.

    Returns
    -------
    Scores of (n_pairs, n_rules); relevance is the mean over the two responses.

    Raises
    ------
    ValueError
        If the judge has no identity, or the store is another judge's.
    RuntimeError
        If ratings failed; the others are stored, and calling again asks for the missing ones only.

    Notes
    -----
    Interrupt it at any time: what was rated is stored after every batch.
    """
    settings = {"batch": batch, "price": price, "ledger": ledger, "progress": progress}
    work = PairWork(pairs, rules, judge, store, **settings)
    with work:
        work.rate(np.ones((len(work.texts), len(rules)), bool))
    return work.scores(np.arange(len(pairs)), np.arange(len(rules))[None],
                       rule_ids=rules.ids, pair_ids=pairs["pair_id"].to_list())  # fmt: skip


def judge_named(name: str, **options) -> Rater:
    """The judge of this name, with an identity and a mask even where it brings none itself.

    Raises
    ------
    ValueError
        For an unknown name or option, or a judge that cannot rate single responses.
    """
    from rulekit import judges

    try:
        if {"limits", "prices"} & options.keys():  # of a server, from a configuration file
            from rulekit.judges.client import Limits, Prices

            for option, kind in (("limits", Limits), ("prices", Prices)):
                if isinstance(value := options.get(option), dict):
                    options[option] = kind(**value)
        judge = judges.get(name, **options)
    except TypeError as error:
        raise ValueError(f"judge {name!r}: {error}") from None
    if not hasattr(judge, "rate"):
        raise ValueError(f"judge {name!r} replays pairs; allowed: one that rates any response")
    return judge if hasattr(judge, "identity") else _Offline(judge)


class _Offline:
    """The encoder judge with mask and identity: its weights are what its ratings depend on."""

    def __init__(self, judge) -> None:
        from rulekit.encoder import Encoder
        from rulekit.files import sha256

        model = judge.model if hasattr(judge, "model") else judge.head
        weights = b"".join(v.numpy().tobytes() for v in model.state_dict().values())
        setting = [Encoder.load().digest, repr(model), sha256(weights)]
        setting += [repr(getattr(judge, a, None)) for a in ("temperature", "bias")]
        self._judge, self.identity = judge, "encoder:" + sha256("\n".join(setting))

    def rate(self, prompts, responses, rules, mask=None) -> np.ndarray:
        p = np.array(self._judge.rate(prompts, responses, rules), np.float32)
        if mask is not None:
            p[~mask] = np.nan
        return p


# The work ----------------------------------------------------------------------------------------


class Work:
    """Some responses under some rules: what is known of them, and how the rest is come by.

    Parameters
    ----------
    texts
        Distinct (prompt, response), n_responses of them.
    rules, judge, store, batch, price, ledger, progress
        As for `annotate`.

    Attributes
    ----------
    p
        P(no), P(irrelevant), P(yes), float32 (n_responses, n_rules, 3); NaN where not known yet.
    """

    def __init__(
        self, texts, rules, judge, store, batch=64, price=0.0, ledger=None, progress=True
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
        self.texts, self.rules, self.judge = texts, rules, judge
        self.batch, self.price = batch, price
        self.ledger = Ledger() if ledger is None else ledger
        self.quiet = not progress or not _watched()
        self.keys = keys([response_key(*t) for t in texts])
        self.rule_keys = keys([rule_key(t) for t in rules.texts])
        self.p = np.full((len(texts), len(rules), 3), np.nan, np.float32)
        self.asked = 0

    def __enter__(self) -> None:
        self.start, self.spent = time.perf_counter(), self._spent()

    def __exit__(self, *exception: object) -> None:
        self.ledger.seconds += time.perf_counter() - self.start
        self.ledger.not_named += len(self.texts) * len(self.rules) - self.asked
        self._book()
        if self.own:
            self.store.close()

    def rate(self, wanted: np.ndarray) -> None:
        """Have all wanted cells, bool (n_responses, n_rules), from the store or the judge."""
        from tqdm.auto import tqdm

        wanted = wanted & self._unknown()
        self.asked += int(wanted.sum())
        rows = np.flatnonzero(wanted.any(axis=1))
        rows = rows[np.argsort(self.keys[rows])]  # the order of the store: one walk through it
        for start in range(0, len(rows), _READ):
            self._read(rows[start : start + _READ], wanted)
        rows = np.flatnonzero((wanted & self._unknown()).any(axis=1))
        batches = [rows[i : i + self.batch] for i in range(0, len(rows), self.batch)]
        missing = int((wanted & self._unknown()).sum())
        if not missing:
            return
        failed = self.ledger.failed
        bar = tqdm(total=missing, unit="rating", unit_scale=True, disable=self.quiet)
        with self.store.working() as alone, bar:
            if not alone:  # begin elsewhere than the others, and meet them at the end
                turn = int.from_bytes(os.urandom(4), "big") % len(batches)
                batches = batches[turn:] + batches[:turn]
            for number, batch in enumerate(batches):
                bar.update(self._read(batch, wanted) if number or not alone else 0)
                bar.update(self._rate(batch, wanted[batch] & self._unknown(batch)))
                self._book()
                if self.ledger.cost:
                    done = max(bar.n / missing, 1e-9)
                    bar.set_postfix(
                        cost=f"{self.ledger.cost:.4g} of about {self.ledger.cost / done:.4g}"
                    )
        if failed := self.ledger.failed - failed:
            raise RuntimeError(
                f"{failed} of {missing} ratings failed; the others are stored, and the same call "
                "asks for the missing ones only"
            )

    def _read(self, rows: np.ndarray, wanted: np.ndarray) -> int:
        """Take over what the store holds; the number of cells that were still missing."""
        p = self.store.get(self.keys[rows], self.rule_keys)
        new = wanted[rows] & self._unknown(rows) & ~np.isnan(p[..., 0])
        self._put(rows, p, new)
        self.ledger.stored += (found := int(new.sum()))
        return found

    def _rate(self, rows: np.ndarray, missing: np.ndarray) -> int:
        """One call of the judge, stored before it is used; the number of cells dealt with."""
        columns = np.flatnonzero(missing.any(axis=0))
        if not len(columns):
            return 0
        rules = RuleSet(tuple(self.rules[int(j)] for j in columns))
        mask = missing[:, columns]
        prompts, responses = map(list, zip(*(self.texts[i] for i in rows), strict=True))
        before = getattr(self.judge, "last", None)
        try:
            p = np.array(self.judge.rate(prompts, responses, rules, mask), np.float32)
        except BaseException:
            # A judge that was paid for part of the batch keeps that part as `last`.
            last = getattr(self.judge, "last", None)
            if last is not None and last is not before:
                self._store(rows, columns, last.probabilities, mask)
            raise
        made = self._store(rows, columns, p, mask)
        self.ledger.failed += (lost := int(mask.sum()) - made)
        if lost == mask.sum():
            raise RuntimeError(
                f"the judge gave none of {lost} ratings of a batch; what was rated before is stored"
            )
        return made + lost

    def _store(self, rows, columns, p, mask) -> int:
        p = np.where(mask[..., None], p, np.nan)
        self.store.add(self.keys[rows], self.rule_keys[columns], p)
        # Where another writer was first, its rating stands: what is used is what is stored.
        stored = np.full((len(rows), len(self.rules), 3), np.nan, np.float32)
        stored[:, columns] = self.store.get(self.keys[rows], self.rule_keys[columns])
        made = np.zeros(stored.shape[:2], bool)
        made[:, columns] = mask & ~np.isnan(p[..., 0])
        self._put(rows, stored, made)
        self.ledger.rated += int(made.sum())
        return int(made.sum())

    def _put(self, rows: np.ndarray, p: np.ndarray, cells: np.ndarray) -> None:
        i, j = np.nonzero(cells)
        self.p[rows[i], j] = p[i, j]

    def _unknown(self, rows=slice(None)) -> np.ndarray:
        return np.isnan(self.p[rows, :, 0])

    def _spent(self) -> float:
        ledger = getattr(self.judge, "ledger", None)
        return self.price * self.ledger.rated if ledger is None else ledger.spent

    def _book(self) -> None:
        self.ledger.cost += self._spent() - self.spent
        self.spent = self._spent()


class PairWork(Work):
    """The same for the responses of pairs, each distinct one once."""

    def __init__(self, pairs: pl.DataFrame, rules: RuleSet, judge, store, **settings) -> None:
        prompts = [prompt_text(p) for p in pairs["prompt"].to_list()]
        sides = [list(zip(prompts, pairs[c], strict=True)) for c in ("response_a", "response_b")]
        row = {key: i for i, key in enumerate(dict.fromkeys(sides[0] + sides[1]))}
        self.a, self.b = (np.array([row[t] for t in side], np.int64) for side in sides)
        super().__init__(list(row), rules, judge, store, **settings)
        self.ledger.plain += 2 * len(pairs) * len(rules)
        self.ledger.repeated += (2 * len(pairs) - len(row)) * len(rules)

    def mask(self, pairs: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The cells that these pairs need, bool (n_responses, n_rules)."""
        mask = np.zeros((len(self.texts), len(self.rules)), bool)
        for side in (self.a[pairs], self.b[pairs]):
            mask[side[:, None], indices] = True
        return mask

    def scores(self, pairs: np.ndarray, indices: np.ndarray, **ids) -> Scores:
        """Scores of the given rules of each pair, (len(pairs), indices.shape[1])."""
        a, b = (self.p[side[pairs][:, None], indices] for side in (self.a, self.b))
        relevance = 1 - (a[..., 1] + b[..., 1]) / 2
        return Scores(a[..., 2] - a[..., 0], b[..., 2] - b[..., 0], relevance.clip(0, 1), **ids)


def _watched() -> bool:
    """Whether somebody sits in front: a terminal or a notebook, not a batch run."""
    if "RULEKIT_HEADLESS" in os.environ:
        return False
    return "JPY_SESSION_NAME" in os.environ or sys.stderr.isatty()

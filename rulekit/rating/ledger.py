"""The books of a run: what it asked for, made and spent, and how far it is.

`job` fills a `Ledger` from what each `Rating` tells, and shows `Progress`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import watched

_HEARTBEAT = 60.0  # seconds between the lines of a run that nobody watches


@dataclass
class Ledger:
    """What a run of `annotate` asked for, found, made and spent; counts are of ratings.

    Attributes
    ----------
    plain
        Both responses of every pair under every rule: what there is to rate where nothing is saved.
    repeated
        Saved because a response occurs in several pairs.
    not_named
        Saved because the adapter did not name the rule for any pair of the response, or because
        the label was sure before.
    stored
        Found in the store, made earlier or by another writer meanwhile.
    rated, failed, not_sent
        Made in this run; asked of the judge without getting a rating; left because the judge
        stopped.
    seconds, cost
        Of this run; cost in the unit of the judge's prices.
    tokens
        Processed by the judge's model in this run, as far as the judge tells.
    truncated, tokens_cut
        Responses whose conversation was cut, once for each call of the judge, and the tokens lost.
    neutralised
        Responses in whose conversation marks of a chat or of the judge's prompt were made plain
        text, once for each call.
    mass_ratings, answer_mass_mean, answer_mass_min
        Ratings of this run whose judge told how much of its probability the three answers held
        together, in [0, 1], and that mass: low where it would rather say something else.
    """

    plain: int = 0
    repeated: int = 0
    not_named: int = 0
    stored: int = 0
    rated: int = 0
    failed: int = 0
    not_sent: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    tokens: int = 0
    truncated: int = 0
    tokens_cut: int = 0
    neutralised: int = 0
    mass_ratings: int = 0
    answer_mass_mean: float | None = None
    answer_mass_min: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """As plain values for JSON."""
        return asdict(self)

    def table(self) -> pl.DataFrame:
        """One row a count: what, ratings, share of `plain`."""
        rows = [
            (n, getattr(self, n))
            for n in ("plain", "repeated", "not_named", "stored", "rated", "failed", "not_sent")
        ]
        share = [n / self.plain if self.plain else 0.0 for _, n in rows]
        names, counts = zip(*rows, strict=True)
        return pl.DataFrame({"what": names, "ratings": counts, "share": share})

    def add_mass(self, n: int, mean: float, least: float) -> None:
        """Join the answer mass of n more ratings, whose mean and least it was."""
        if not n or np.isnan(mean):
            return
        before = self.mass_ratings * (self.answer_mass_mean or 0.0)
        self.mass_ratings += n
        self.answer_mass_mean = (before + n * mean) / self.mass_ratings
        self.answer_mass_min = min(
            least, 1.0 if self.answer_mass_min is None else self.answer_mass_min
        )


class Progress:
    """A bar where somebody looks, a line a minute where nobody does, nothing in tests."""

    def __init__(self, total: int, show: bool) -> None:
        from tqdm.auto import tqdm

        seen = watched()
        self.bar = tqdm(total=total, unit="rating", unit_scale=True, disable=not (show and seen))
        self.speaks = show and not seen and not _silent()
        self.total, self.done = total, 0
        self.start = self.told = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def update(self, n: int, cost: float) -> None:
        self.done += n
        self.bar.update(n)
        costs = f"{cost:.4g} of about {cost * self.total / max(self.done, 1):.4g}"
        if cost:
            self.bar.set_postfix(cost=costs)
        now = time.monotonic()
        if self.speaks and now - self.told >= _HEARTBEAT:
            self.told = now
            rate = self.done / (now - self.start)
            left = (self.total - self.done) / rate / 60 if rate else float("inf")
            print(
                f"{self.done:,} of {self.total:,} ratings, {rate:,.1f} a second, about "
                f"{left:,.0f} min left" + (f", cost {costs}" if cost else ""),
                file=sys.stderr,
                flush=True,
            )


def note_calls(judge: str, calls: int, cost: float) -> None:
    """Add a line to the file that the variable RULEKIT_COSTS names, by which a run knows its cost.

    Parameters
    ----------
    judge
        Its identity.
    calls
        Ratings of one response under one rule that it was asked for.
    cost
        In the unit of its prices.
    """
    path = os.environ.get("RULEKIT_COSTS")
    if path and calls:
        line = json.dumps({"judge": judge, "calls": calls, "cost": cost})
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _silent() -> bool:
    return "RULEKIT_HEADLESS" in os.environ or "PYTEST_CURRENT_TEST" in os.environ

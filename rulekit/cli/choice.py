"""Ratings read and rules chosen, as the words of `label` and `select` say.

A table of scores, or a store with pairs and rules, comes in with what is known of preferences; scores,
a selection and estimates go out. `label` and `select` call this.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import polars as pl

    from rulekit.inputs import Scores
    from rulekit.selection import Estimates, Selection

_BY_ESTIMATES = ("adaptive", "discriminant", "frugal", "log_odds", "whitened")
_BY_LABELS = ("cmim", "greedy_cmi", "jmi", "mrmr")
_K = 5
_SQLITE = b"SQLite format 3"

Ratings = Annotated[
    str,
    typer.Argument(
        metavar="RATINGS",
        help="scores.parquet that `rulekit annotate` left, or its store ratings.sqlite.",
        show_default=False,
    ),
]
Pairs = Annotated[
    str | None,
    typer.Option(
        metavar="PATH", help="The pairs that were rated; a store needs them, a table does not."
    ),
]
Rules = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Use these rules alone (default: all that were rated)."),
]
Known = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Known preferences of some pairs (pair_id, preference), to learn from and to measure by.",
    ),
]
K = Annotated[
    int | None, typer.Option("-k", help=f"Rules a pair (default: {_K}, or all where fewer).")
]
Seed = Annotated[int, typer.Option(help="Of the order in which equal rules are taken.")]


@dataclass(frozen=True, eq=False)
class Given:
    """What was read.

    Attributes
    ----------
    scores
        Of n_pairs pairs under n_rules rules.
    pairs
        Canonical frame of these pairs; where none is given, one that has ids alone.
    known
        The frame with the preferences of --labels, or None where none are given.
    """

    scores: Scores
    pairs: pl.DataFrame
    known: pl.DataFrame | None

    @property
    def n_known(self) -> int:
        """Pairs of which it is said that one response is preferred."""
        return 0 if self.known is None else int((self.known["preference"].abs() == 1).sum())


def read(arguments: SimpleNamespace) -> Given:
    """Read ratings, pairs and known preferences.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If ratings lack a pair or a rule, or a file cannot be read.
    """
    from pathlib import Path

    from rulekit.inputs import Scores, add_preferences, load_pairs

    path = arguments.ratings
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no such file: {path}; allowed: a scores.parquet or a store of ratings, as "
            "`rulekit annotate` leaves them"
        )
    pairs = None if arguments.pairs is None else load_pairs(arguments.pairs)
    if not path.endswith(".parquet"):
        with Path(path).open("rb") as file:
            if file.read(len(_SQLITE)) != _SQLITE:
                raise ValueError(
                    f"{path} holds no ratings; allowed: a table of scores (.parquet), or a store"
                )
        scores = _of_store(arguments, pairs)
    elif arguments.rules is not None:
        if pairs is None:
            raise ValueError("--rules needs --pairs")
        scores = _scores(arguments, pairs, _rules(arguments.rules))
    else:
        scores = Scores.read(path)
        scores = scores if pairs is None else scores.of(pairs)
    if pairs is None:
        pairs = _bare(scores)
    known = None if arguments.labels is None else add_preferences(pairs, arguments.labels)
    return Given(scores, pairs, known)


def choose(
    given: Given, k: int | None, method: str, seed: int = 0, known: pl.DataFrame | None = None
) -> tuple[Selection, Estimates | None]:
    """Choose the rules of each pair.

    Parameters
    ----------
    given
        What was read.
    k
        Rules a pair; None: five, or all where fewer.
    method
        A selector of `rulekit.selectors()`.
    seed
        Of `rulekit.select`.
    known
        Frame with the preferences to learn from; None: those that were given.

    Returns
    -------
    The selection, and what the rules were taken to be worth; None where the method does not ask.

    Raises
    ------
    ValueError
        For a method that needs --labels, and as `rulekit.select` does.
    """
    from rulekit.selection import select

    known = given.known if known is None else known
    if method in _BY_LABELS and known is None:
        raise ValueError(f"method {method!r} needs known preferences: --labels FILE")
    k = min(_K, given.scores.n_rules) if k is None else k
    estimates, reference, preference = None, None, None
    if method in _BY_ESTIMATES:
        estimates = believed(given, known)
    if method in (*_BY_LABELS, "static") and known is not None:
        reference, preference = given.scores, known
    if method == "frugal" and known is None:
        reference = given.scores
    selection = select(
        given.scores,
        k,
        method,
        seed=seed,
        reference=reference,
        preference=preference,
        estimates=estimates,
    )
    return selection, estimates


def believed(given: Given, known: pl.DataFrame | None = None) -> Estimates:
    """What the rules are worth: from known preferences, or from their agreement where none are given."""
    from rulekit.selection import estimate

    return estimate(given.scores, given.known if known is None else known)


def learns(method: str, known: pl.DataFrame | None) -> bool:
    """Whether a method looks at known preferences, so that they cannot measure it as well."""
    looks = (*_BY_ESTIMATES, *_BY_LABELS, "static", "weighted")
    return known is not None and method in looks


def _of_store(arguments: SimpleNamespace, pairs: pl.DataFrame | None) -> Scores:
    from rulekit.inputs import Rule, RuleSet
    from rulekit.rating.store import Store

    path = arguments.ratings
    if pairs is None:
        raise ValueError(f"{path} is a store of ratings, which knows no pairs: --pairs PATH")
    with Store(path) as store:
        judges, noted = store.judges(), store.rules()
    if len(judges) != 1:
        listed = ", ".join(f"{name:.60}" for name in judges) or "none"
        raise ValueError(
            f"{path}: ratings of {len(judges)} judges ({listed}); allowed: those of one, or the "
            "scores.parquet that `rulekit annotate` leaves with one of them"
        )
    if arguments.rules is not None:
        return _scores(arguments, pairs, _rules(arguments.rules))
    ids = [name for _, name, _ in noted]
    if None in ids or len(set(ids)) < len(ids):
        raise ValueError(f"{path} holds ratings under several versions of a rule: --rules FILE")
    rules = RuleSet(tuple(Rule(name, text) for _, name, text in noted))
    return _scores(arguments, pairs, rules)


def _scores(arguments: SimpleNamespace, pairs: pl.DataFrame, rules) -> Scores:
    from rulekit.runs import Inputs, load_scores

    try:
        return load_scores(Inputs(pairs, rules), ratings=arguments.ratings)
    except ValueError as error:
        if "name the judge" not in str(error):
            raise
        lacks = str(error).partition("; allowed:")[0]
        raise ValueError(f"{lacks}; `rulekit annotate` rates them") from None


def _rules(name: str):
    from rulekit.inputs import RuleSet

    return RuleSet.load(name)


def _bare(scores: Scores) -> pl.DataFrame:
    """A frame of the pairs of a table, whose texts are not known: each has a prompt of its own."""
    import polars as pl

    ids = list(scores.pair_ids or map(str, range(scores.n_pairs)))
    texts = {"pair_id": ids, "prompt": ids}
    return pl.DataFrame(texts).with_columns(
        response_a=pl.lit("A"), response_b=pl.lit("B"), preference=pl.lit(None, pl.Int8)
    )

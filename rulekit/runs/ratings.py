"""Scores of a run's pairs under its rules: from a file, a store or a judge, once for all notebooks.

`Inputs` and the parameters that name a judge or a file come in, `Scores` go out. What a judge
confesses of these rules is kept as notes for the report.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rulekit.files import sha256, write_json
from rulekit.inputs import Identity, Scores, sources
from rulekit.runs.inputs import Inputs
from rulekit.runs.records import save_notes

if TYPE_CHECKING:
    from rulekit.judges import Judge


def load_scores(
    data: Inputs,
    judge: str = "",
    options: Mapping[str, object] | None = None,
    ratings: str = "",
    artefacts: str | Path = "",
) -> Scores:
    """The scores of all pairs under all rules: found where they are, or else rated by a judge.

    Parameters
    ----------
    data
        From `load_inputs`.
    judge
        Name of a judge; empty: the ratings that the data set comes with, or else the encoder.
    options
        Of the judge, by name; `rulekit.judges.options` lists them.
    ratings
        A store of ratings, or a table that `Scores.write` wrote, to be used in place of a judge.
        With a store, `judge` says whose ratings, and rates what is not there; without, the store
        has to hold all ratings, of one judge.
    artefacts
        Folder of the run, where the scores are kept for its next notebooks; empty keeps nothing.

    Returns
    -------
    Scores of (n_pairs, n_rules), in the order of the pairs and rules of `data`.

    Raises
    ------
    FileNotFoundError
        If there is no file `ratings`.
    ValueError
        If ratings are of other texts, or lack a rule or a pair; if `judge` is unknown, does not
        take these options, or is named beside a table.
    Incomplete
        If the judge fails at some; what it rated is kept, and the same run goes on from there.

    Notes
    -----
    What a reader has to know, such as that the judge never learned these rules, is warned of, and
    kept in `artefacts` with the notes of `data`.
    """
    save_notes(artefacts, "inputs", data.notes)
    given = dict(options or {})
    asked = {
        "judge": judge,
        "options": given,
        "ratings": _version(ratings),
        "rules": [data.rules.ids, data.rules.hash],
        "pairs": sha256(data.pairs["pair_id", "prompt", "response_a", "response_b"].write_json()),
    }
    request = sha256(json.dumps(asked, sort_keys=True, default=str))
    table, told = (Path(artefacts) / f"scores.{end}" for end in ("parquet", "json"))
    if str(artefacts) and told.is_file() and table.is_file():
        kept = json.loads(told.read_text(encoding="utf-8"))
        if kept["request"] == request:
            _warn(
                f"{note.split('. ')[0]}. More at the top of the report." for note in kept["notes"]
            )
            return Scores.read(table)
    scores, who, notes = _found(data, judge, given, ratings, artefacts)
    _warn(notes)
    if str(artefacts):
        save_notes(artefacts, "ratings", notes)
        scores.write(table)
        write_json(told, {"request": request, "rated_by": who, "notes": notes})
    return scores


def rated_by(data: Inputs, judge: str = "", ratings: str = "") -> str:
    """Whose the ratings are, in words, as `load_scores` takes its parameters.

    Parameters
    ----------
    data, judge, ratings
        As for `load_scores`.
    """
    if ratings:
        more = f", and of the judge {judge!r} for what it lacks" if judge else ""
        return f"ratings of the file {Path(ratings).name}{more}"
    name = _name(data, judge)
    if name == "recorded":
        return f"ratings that come with the data set {data.source or 'embedded'!r}"
    return f"ratings of the judge {name!r}"


def _name(data: Inputs, judge: str) -> str:
    return judge or ("recorded" if data.has_recorded else "encoder")


def _version(ratings: str) -> list:
    """What tells a file of ratings from its later state."""
    if not ratings:
        return []
    path = Path(ratings)
    if not path.is_file():
        raise FileNotFoundError(
            f"no such file: {ratings}; allowed: a store of ratings, or a table of scores (.parquet)"
        )
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]


def _found(data: Inputs, judge: str, options: dict, ratings: str, artefacts):
    """Scores, who rated, and what is to be said of it."""
    from rulekit.judges import judge as make
    from rulekit.rating import annotate

    if ratings.endswith(".parquet"):
        if judge or options:
            raise ValueError(
                f"judge or options beside the table {ratings}; allowed: a judge beside a store"
            )
        return _of_table(data, ratings), rated_by(data, ratings=ratings), []
    if ratings and not judge:
        if options:
            raise ValueError("options without a judge; allowed: options of the judge named")
        return _of_store(data, ratings), rated_by(data, ratings=ratings), []
    name = _name(data, judge)
    if name == "recorded" and not options and data.has_recorded and not ratings:
        return _of_source(data), rated_by(data, judge), []
    if name == "recorded" and data.source and "source" not in options:
        options = {"source": data.source} | options
    rater = make(name, **options)
    store = ratings or None
    if name != "recorded" and not ratings and str(artefacts):
        store = Path(artefacts) / "ratings.sqlite"
        store.parent.mkdir(parents=True, exist_ok=True)
    scores = annotate(data.pairs, data.rules, rater, store=store)
    return scores, rated_by(data, judge, ratings), list(rater.caveats(data.rules))


def _of_source(data: Inputs) -> Scores:
    """The ratings that come with the data set, under rules found by their texts."""
    whole, scores = sources.load_ratings(data.source)
    at = {digest: j for j, digest in enumerate(whole.digests)}
    some = scores.columns([at[digest] for digest in data.rules.digests])
    identity = Identity.of(data.rules, data.pairs.select("pair_id"))
    rows = identity.rows_of(some.identity, data.source)
    some = some if rows is None else some.rows(rows)
    return Scores(some.a, some.b, some.relevance, identity=identity, rated=some.rated)


def _of_table(data: Inputs, path: str) -> Scores:
    """The scores of these pairs and rules among those of a table, which may hold more."""
    scores, wanted = Scores.read(path), Identity.of(data.rules, data.pairs)
    if scores.rule_ids is None or scores.pair_ids is None:
        raise ValueError(f"{path}: without ids of rules or pairs; allowed: a table that has them")
    rows = _places(wanted.pair_ids, scores.pair_ids, path, "pair")
    columns = _places(wanted.rule_ids, scores.rule_ids, path, "rule")
    some = scores.rows(rows).columns(columns)
    if some.identity.rule_digests is None:  # nobody knows under which texts they were rated
        return some.whole(path)
    return some.aligned(wanted, path).whole(path)


def _places(wanted, there, path: str, kind: str) -> np.ndarray:
    at = {name: i for i, name in enumerate(there)}
    lacks = [name for name in wanted if name not in at]
    if lacks:
        more = f" and {len(lacks) - 3:,} more" if len(lacks) > 3 else ""
        raise ValueError(
            f"{path}: no ratings of the {kind}{'s' if len(lacks) > 1 else ''} "
            f"{', '.join(map(repr, lacks[:3]))}{more}; allowed: a table of all "
            f"{len(wanted):,} {kind}s (it has {len(at):,})"
        )
    return np.array([at[name] for name in wanted])


def _of_store(data: Inputs, path: str) -> Scores:
    """The scores that a store holds whole, of its one judge."""
    from rulekit.rating import Incomplete, Store, annotate

    with Store(path) as store:
        judges = store.judges()
        if len(judges) != 1:
            listed = ", ".join(f"{name:.60}" for name in judges) or "none"
            raise ValueError(
                f"{path}: ratings of {len(judges)} judges ({listed}); allowed: those of one, or "
                "name the judge with its options"
            )
        try:
            return annotate(data.pairs, data.rules, _kept(store, judges[0], data), store=store)
        except Incomplete as error:
            n = len(error.missing)
            pair, side, rule, _ = error.missing.row(0)
            raise ValueError(
                f"{path}: {n:,} ratings are not in it, such as of {side} of pair {pair!r} under "
                f"rule {rule!r}; allowed: a store that has all, or name the judge that rates the "
                "others"
            ) from None


def _kept(store, identity: str, data: Inputs) -> Judge:
    """A judge that knows only what a store holds of another's ratings."""
    from rulekit.judges import Judge, Rating, wanted_cells
    from rulekit.rating.store import in_hex, response_key

    class Kept(Judge):
        def __init__(self) -> None:
            self.identity = identity
            there = set(in_hex(store.responses(identity)))
            first = data.pairs.row(0, named=True)
            two = first["response_a"], first["response_b"]
            self.pairwise = response_key(first["prompt"], two).hex() in there

        def rate(self, prompts, responses, rules, mask=None) -> Rating:
            wanted = wanted_cells(prompts, responses, rules, mask, self.pairwise)
            rating = Rating.blank(*wanted.shape)
            lost = map(tuple, np.argwhere(wanted).tolist())
            rating.failures |= dict.fromkeys(lost, "not in the store")
            return rating

    return Kept()


def _warn(notes: Iterable[str]) -> None:
    """Say it where it is read: on the page of a notebook, else as a warning."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    for note in notes:
        if getattr(shell, "kernel", None) is None:
            warnings.warn(note, stacklevel=3)
        else:
            from IPython.display import Markdown, display

            display(Markdown(f"> **Warning.** {note}"))

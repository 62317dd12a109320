"""`rulekit label`: ratings become labels, and where preferences are known it says how often they are right."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

import typer

from rulekit.cli import choice
from rulekit.cli.console import Json, Quiet, Verbose, Voice, add, answer, write_table

if TYPE_CHECKING:
    from rulekit.labels import Labels

_EXAMPLES = """
  rulekit label annotated/scores.parquet
  rulekit label annotated/scores.parquet --pairs pairs.jsonl --labels known.csv -k 3
  rulekit label ratings.sqlite --pairs pairs.jsonl --select adaptive --method weighted
  rulekit label annotated/scores.parquet --pairs pairs.jsonl --for-training labelled.parquet
  rulekit label annotated/scores.parquet --pairs pairs.jsonl --ask --labels labels.jsonl
"""
_LEAST_KNOWN, _FOLDS = 20, 5


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "label", _command, _EXAMPLES)


def _command(
    ratings: choice.Ratings,
    pairs: choice.Pairs = None,
    rules: choice.Rules = None,
    select: Annotated[
        str, typer.Option(metavar="METHOD", help="How the rules of a pair are chosen.")
    ] = "max_discrepancy",
    k: choice.K = None,
    method: Annotated[
        str, typer.Option(help="Label model: sum, majority, weighted or dawid_skene.")
    ] = "sum",
    tie: Annotated[
        str, typer.Option(help="What becomes of a tied pair: abstain, soft or drop.")
    ] = "abstain",
    beta: Annotated[float, typer.Option(help="Slope of the confidence.")] = 1.0,
    seed: choice.Seed = 0,
    labels: choice.Known = None,
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The labels: .parquet, .csv, .json or .jsonl."
        ),
    ] = "labels.parquet",
    for_training: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the pairs with their target too, for `rulekit train`."
        ),
    ] = None,
    ask: Annotated[
        bool,
        typer.Option(
            "--ask",
            help="Ask for preferences instead, the pair that teaches most first: a key and Enter each, "
            "saved at once in the file of --labels (default: labels.jsonl); a CSV or any other file of "
            "preferences stays as it is, and is carried over into NAME.answers.jsonl.",
        ),
    ] = False,
    person: Annotated[
        str, typer.Option(metavar="NAME", help="Who answers --ask (default: the user's name).")
    ] = "",
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Label each pair from the ratings of its chosen rules."""
    return answer(_label, locals())


def _label(arguments: SimpleNamespace) -> None:
    voice = Voice.of(arguments)
    if arguments.for_training and arguments.pairs is None:
        raise ValueError("--for-training needs --pairs")
    if arguments.ask:
        _ask(arguments, voice)
        return
    given = choice.read(arguments)
    voice.detail(f"{given.scores!r}; {given.n_known:,} known preferences")
    labels, chosen = _labelled(arguments, given)
    right = _measured(arguments, given, labels)
    files = {"labels": _write(labels, arguments.out)}
    if arguments.for_training:
        files["training"] = _write_pairs(labels, given, arguments.for_training)
    counts = {str(y): int((labels.preference == y).sum()) for y in (1, -1, 0)}
    sure = float(labels.confidence.mean()) if len(labels.margin) else None
    value = {
        "files": files,
        "pairs": len(labels.margin),
        "preference": counts,
        "mean_confidence": sure,
        "select": arguments.select if chosen is not None else "all that were rated",
        "k": None if chosen is None else chosen.k,
        "method": arguments.method,
        "accuracy": None if right is None else right.as_dict(),
    }
    lines = [
        f"{value['pairs']:,} pairs: the first response is preferred in {counts['1']:,}, the second "
        f"in {counts['-1']:,}, tied {counts['0']:,}"
        + ("" if sure is None else f"; mean confidence {sure:.3f}"),
        _said(right, given, arguments),
    ]
    voice.result("\n".join(lines), value)
    if "training" in files:
        following = f"rulekit train reward -p train {files['training']}"
    elif arguments.pairs is None:
        following = "the same with --pairs PATH --for-training labelled.parquet"
    else:
        following = "the same with --for-training labelled.parquet"
    voice.note(f"labels: {files['labels']}; next: {following}")


def _ask(arguments: SimpleNamespace, voice: Voice) -> None:
    """Ask for preferences in the terminal; nothing else is written."""
    import getpass

    import numpy as np

    from rulekit.cli.terminal import ask
    from rulekit.rating import Asking

    if arguments.pairs is None:
        raise ValueError("--ask needs --pairs, whose texts are shown")
    from rulekit.inputs import carry_over

    named, arguments.labels = arguments.labels or "labels.jsonl", None  # these are to be made
    given = choice.read(arguments)
    path = str(carry_over(given.pairs, named))
    if path != named:
        voice.progress(f"the preferences of {named} are carried over into {path}")
    person = arguments.person or getpass.getuser()
    asking = Asking(given.pairs, given.scores, path=path, person=person, seed=arguments.seed)
    answered = ask(asking, voice)
    agreement = asking.agreement()
    progress = asking.progress()
    value = {
        "file": path,
        "person": person,
        "answered": answered,
        "answers": len(asking.answers),
        "labels": int((np.abs(asking.preference) == 1).sum()),
        "progress": None if progress is None else vars(progress),
        "agreement": agreement.to_dicts(),
    }
    lines = [f"{answered} answers of {person} now, {value['answers']} of all people in {path}"]
    lines += [str(progress)] if progress is not None else []
    lines += [
        f"{row['measure']} of {row['people']}: {row['value']:.2f} ({row['n']} questions)"
        for row in value["agreement"]
        if row["value"] is not None
    ]
    voice.result("\n".join(lines), value)
    voice.note(
        f"answers: {path}; next: the same with --labels {path} --method weighted, without --ask"
    )


def _labelled(arguments: SimpleNamespace, given: choice.Given, known=None):
    """Labels and the selection they rest on; None: every rule that was rated."""
    from rulekit.labels import label

    chosen, estimates = None, None
    if given.scores.rated is None or arguments.k is not None:
        chosen, estimates = choice.choose(
            given, arguments.k, arguments.select, arguments.seed, known
        )
    if arguments.method == "weighted" and estimates is None:
        estimates = choice.believed(given, known)
    settings = {"beta": arguments.beta, "estimates": estimates}
    return label(given.scores, chosen, arguments.method, arguments.tie, **settings), chosen


def _measured(arguments: SimpleNamespace, given: choice.Given, labels: Labels):
    """How often labels are right, each measured by preferences that it was not learned from."""
    import polars as pl

    from rulekit.inputs import folds
    from rulekit.labels import accuracy

    if given.n_known < _LEAST_KNOWN:
        return None
    methods = (arguments.select, arguments.method)
    if not any(choice.learns(method, given.known) for method in methods):
        return accuracy(labels, given.known)
    strict = given.known.filter(pl.col("preference").abs() == 1)
    margins = {}
    try:
        fold_of = folds(strict, _FOLDS)
    except ValueError:  # too few prompts to keep any apart
        return None
    for fold in range(_FOLDS):
        held = strict.filter(pl.Series([f == fold for f in fold_of]))["pair_id"]
        hidden = pl.when(pl.col("pair_id").is_in(held.implode())).then(None)
        others = given.known.with_columns(
            hidden.otherwise(pl.col("preference")).alias("preference")
        )
        found = _labelled(arguments, given, others)[0].aligned(given.pairs)
        wanted = set(held)
        for pair_id, margin in zip(given.pairs["pair_id"], found.margin, strict=True):
            if pair_id in wanted:
                margins[pair_id] = margin
    return accuracy([margins[i] for i in strict["pair_id"]], strict)


def _said(right, given: choice.Given, arguments: SimpleNamespace) -> str:
    if right is None:
        have = f"{given.n_known} preferences are known" if given.n_known else "none is known"
        return (
            f"how often labels are right is not measured: {have}, and it takes {_LEAST_KNOWN} of "
            f"{_FOLDS} prompts (--labels FILE)"
        )
    learned = any(choice.learns(m, given.known) for m in (arguments.select, arguments.method))
    how = f", each fifth by what the others taught ({_FOLDS}-fold)" if learned else ""
    apart = "" if right.low > 0.5 else ": not told apart from chance"
    return (
        f"right in {right.value:.1%} of {right.n} known pairs of {right.n_groups} prompts "
        f"(95 % interval {right.low:.1%} to {right.high:.1%}){how}{apart}"
    )


def _frame(labels: Labels):
    import polars as pl

    names = ("margin", "preference", "confidence", "target")
    ids = list(labels.identity.pair_ids or map(str, labels.index))
    columns = {"pair_id": ids} | {name: getattr(labels, name) for name in names}
    return pl.DataFrame(columns).with_columns(pl.col("target").fill_nan(None))


def _write(labels: Labels, path: str):
    if path.lower().endswith(".parquet"):
        return labels.write(path)
    return write_table(_frame(labels), path)


def _write_pairs(labels: Labels, given: choice.Given, path: str):
    """The pairs that have a target, with it, as `rulekit train` reads them."""
    import polars as pl

    frame = _frame(labels).select("pair_id", "target", evidence=pl.col("margin").abs())
    known = given.pairs.drop("target", "evidence", strict=False)
    training = known.join(frame, on="pair_id", maintain_order="left")
    return write_table(training.filter(training["target"].is_not_null()), path)

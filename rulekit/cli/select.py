"""`rulekit select`: the rules to look at for each pair, into a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

import typer

from rulekit.cli import choice
from rulekit.cli.console import Json, Quiet, Verbose, Voice, add, answer, plain, shown, write_table

if TYPE_CHECKING:
    import polars as pl

    from rulekit.selection import Selection

_EXAMPLES = """
  rulekit select annotated/scores.parquet -k 3
  rulekit select annotated/scores.parquet --method adaptive --labels known.csv -o chosen.json
  rulekit select ratings.sqlite --pairs pairs.jsonl --rules rules.yaml
"""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "select", _command, _EXAMPLES)


def _command(
    ratings: choice.Ratings,
    pairs: choice.Pairs = None,
    rules: choice.Rules = None,
    k: choice.K = None,
    method: Annotated[
        str, typer.Option(help="How the rules of a pair are chosen; a wrong name lists all.")
    ] = "max_discrepancy",
    seed: choice.Seed = 0,
    labels: choice.Known = None,
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", metavar="FILE", help="The selection: .parquet, .json or .jsonl."
        ),
    ] = "selection.parquet",
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Choose the rules that decide each pair."""
    return answer(_select, locals())


def _select(arguments: SimpleNamespace) -> None:
    voice, out = Voice.of(arguments), arguments.out
    if Path(out).suffix.lower() not in (".parquet", ".json", ".jsonl"):
        raise ValueError(f"{out}: unknown ending; allowed: .parquet, .json, .jsonl")
    given = choice.read(arguments)
    voice.detail(f"{given.scores!r}; {given.n_known:,} known preferences")
    selection, estimates = choice.choose(given, arguments.k, arguments.method, arguments.seed)
    frame = _frame(given, selection)
    usage = _usage(given, selection, estimates)
    head = {
        "method": selection.method,
        "k": selection.k,
        "n_rules": selection.n_rules,
        "same_for_all": selection.fixed,
        "learned_from": None if estimates is None else estimates.n_labelled,
    }
    if out.lower().endswith(".json"):
        from rulekit.files import write_json

        content = {**head, "rules": given.scores.names, "pairs": frame.to_dicts()}
        path = write_json(out, plain(content))
    else:
        path = write_table(frame, out)
    same = ", the same for all" if selection.fixed else ""
    said = (
        f"{selection.k} of {selection.n_rules} rules for {selection.n_pairs:,} pairs by "
        f"{selection.method}{same}"
    )
    value = {"file": path, "pairs": selection.n_pairs, **head, "rules": usage.to_dicts()}
    voice.result(f"{said}\n{shown(usage)}", value)
    voice.note(
        f"selection: {path}; next: rulekit label {arguments.ratings} --select {arguments.method} "
        f"-k {selection.k}"
    )


def _frame(given: choice.Given, selection: Selection) -> pl.DataFrame:
    """pair_id, ids of its rules best first, and their discrepancies."""
    import numpy as np
    import polars as pl

    names = np.array(given.scores.names, dtype=object)
    delta = np.take_along_axis(given.scores.discrepancy, selection.indices, axis=1)
    return pl.DataFrame(
        {
            "pair_id": given.pairs["pair_id"],
            "rules": names[selection.indices].tolist(),
            "discrepancies": delta.tolist(),
        },
        schema_overrides={"discrepancies": pl.List(pl.Float32)},
    )


def _usage(given: choice.Given, selection: Selection, estimates) -> pl.DataFrame:
    """How often each rule is chosen, most first; what it was taken to be worth."""
    import numpy as np
    import polars as pl

    n = max(selection.n_pairs, 1)
    chosen = np.bincount(selection.indices.ravel(), minlength=selection.n_rules) / n
    first = np.bincount(selection.indices[:, :1].ravel(), minlength=selection.n_rules) / n
    columns = {"rule": given.scores.names, "chosen": chosen, "chosen_first": first}
    columns["mean_size"] = np.abs(given.scores.discrepancy).mean(axis=0, dtype=float)
    if estimates is not None:
        columns["weight"] = estimates.weights()
    return pl.DataFrame(columns).sort(
        "chosen", "chosen_first", descending=True, maintain_order=True
    )

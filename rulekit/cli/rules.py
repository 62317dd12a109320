"""`rulekit rules`: a rule set checked, compared with an older one, and counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import (
    FAILED,
    Json,
    Quiet,
    Verbose,
    Voice,
    add,
    answer,
    group,
    shown,
    write_table,
)

_CHECK = """
  rulekit rules check rules.yaml
  rulekit rules check rules.txt --no-near-duplicates --json
"""
_DIFF = """
  rulekit rules diff old.yaml new.yaml
  rulekit rules diff old.yaml new.yaml --store ratings.sqlite --pairs pairs.jsonl
"""
_STATS = """
  rulekit rules stats rules.yaml
  rulekit rules stats embedded --json
"""

_RuleFile = Annotated[
    str,
    typer.Argument(
        metavar="RULES",
        help="YAML, a text file with one rule a line, or the name of a rule set.",
        show_default=False,
    ),
]
_Out = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Write the table: .parquet, .csv, .json or .jsonl."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    rules = group("Check, compare or count rules.")
    add(rules, "check", _check_command, _CHECK)
    add(rules, "diff", _diff_command, _DIFF)
    add(rules, "stats", _stats_command, _STATS)
    app.add_typer(rules, name="rules")


def _check_command(
    rules: _RuleFile,
    no_near_duplicates: Annotated[
        bool,
        typer.Option(
            "--no-near-duplicates", help="Leave out the comparison of rules by the encoder."
        ),
    ] = False,
    out: _Out = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Say what makes a rule hard to rate; exit status 1 if anything does."""
    return answer(_check, locals())


def _diff_command(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Rules as they were.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Rules as they are.")],
    store: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Ratings that there are: what has to be made anew."),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Pairs to rate (default: all responses of the store)."),
    ] = None,
    out: _Out = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Show what changed from OLD to NEW, which ratings have to be made anew, and what that costs."""
    return answer(_diff, locals())


def _stats_command(
    rules: _RuleFile, quiet: Quiet = False, verbose: Verbose = False, as_json: Json = False
) -> int:
    """Count what is in a rule set."""
    return answer(_stats, locals())


def _check(arguments: SimpleNamespace) -> int:
    from rulekit.inputs import RuleSet, check_rules

    voice, rules = Voice.of(arguments), RuleSet.load(arguments.rules)
    compare = not arguments.no_near_duplicates
    if compare:
        voice.detail(f"comparing {len(rules)} rules with the encoder")
    found = check_rules(rules, near_duplicates=compare)
    if arguments.out:
        write_table(found, arguments.out)
    n = found["rule"].n_unique()
    remarks = f"{len(found)} remark{'s'[: len(found) != 1]} on {n} of {len(rules)} rules"
    lines = []
    for rule, *told in found.select("rule", "remark", "found", "advice").iter_rows():
        remark, where, advice = told
        lines.append(f"{rule}: {remark}{f' ({where})' if where else ''}\n    {advice}")
    lines.append(remarks if len(found) else f"{len(rules)} rules, nothing to remark")
    value = {"rules": len(rules), "remarked": n, "remarks": found.to_dicts(), "file": arguments.out}
    voice.result("\n".join(lines), value)
    if len(found):
        table = f"table: {arguments.out}; " if arguments.out else ""
        voice.note(f"{table}next: reword them in {arguments.rules}, and check again")
    else:
        voice.note(f"next: rulekit annotate PAIRS --rules {arguments.rules}")
    return FAILED if len(found) else 0


def _diff(arguments: SimpleNamespace) -> None:
    from rulekit.cli import remaking
    from rulekit.inputs import RuleSet, diff_rules, load_pairs

    old, new = RuleSet.load(arguments.old), RuleSet.load(arguments.new)
    frame = diff_rules(old, new)
    pairs = None if arguments.pairs is None else load_pairs(arguments.pairs)
    needs = remaking.needs(new, frame, arguments.store, pairs)
    if arguments.out:
        write_table(frame, arguments.out)
    changed = frame.filter(frame["change"] != "unchanged")
    counts = dict(frame["change"].value_counts(sort=True).iter_rows())
    lines = []
    for rule, change, was, now, difference in changed.iter_rows():
        said = difference if change in ("reworded", "renamed") else was or now
        lines.append(f"{change:9} {rule}: {said}")
    lines.append(", ".join(f"{n} {change}" for change, n in counts.items()))
    lines += remaking.said(needs)
    value = {"counts": counts, "rules": frame.to_dicts(), "ratings": needs, "file": arguments.out}
    Voice.of(arguments).result("\n".join(lines), value)
    if arguments.out:
        Voice.of(arguments).note(f"table: {arguments.out}")


def _stats(arguments: SimpleNamespace) -> None:
    import polars as pl

    from rulekit.inputs import RuleSet, rule_stats

    stats = rule_stats(RuleSet.load(arguments.rules))
    lines = []
    for name, told in stats.items():
        if isinstance(told, dict):
            counts = pl.DataFrame({name: list(told), "": [f"{v:g}" for v in told.values()]})
            lines.append(shown(counts))
        else:
            lines.append(f"{name.replace('_', ' ')}: {told}")
    Voice.of(arguments).result("\n".join(lines), stats)

"""`rulekit compare`: runs side by side; two of them pair by pair, many by what varies between them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import (
    Json,
    Quiet,
    Verbose,
    Voice,
    add,
    answer,
    named_values,
    shown,
    write_table,
)

_EXAMPLES = """
  rulekit compare runs/quickstart-20250101-120000 runs/quickstart-20250102-090000
  rulekit compare runs/ablations-20250101-120000 --by method --by k --metric reward
  rulekit compare runs/ablations-20250101-120000 --by k --where method recommended --against 5
  rulekit compare runs --by k -o means.csv -o means.tex -o means.png
"""
_SHOWN = 20  # figures of two runs, and pairs, without -v
_PICTURES = (".png", ".svg")
_TEXTS = (".md", ".tex")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "compare", _command, _EXAMPLES)


def _command(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN…", help="Runs, sweeps, or folders of them.", show_default=False
        ),
    ],
    by: Annotated[
        list[str], typer.Option(metavar="PARAMETER", help="Group by it; again for more.")
    ] = (),
    metric: Annotated[
        list[str],
        typer.Option(
            metavar="FIGURE",
            help="Which figures: a name, part of one, or a pattern with *; again for more.",
        ),
    ] = (),
    against: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE[,VALUE]",
            help="The group that others are compared with, paired: its value of each --by.",
        ),
    ] = None,
    where: Annotated[
        list[str],
        named_values("--where", "Only runs with this value of a parameter; again for more."),
    ] = (),
    out: Annotated[
        list[str],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Write it: .csv, .md, .tex, .parquet, .json, .jsonl; draw it: .png, .svg; again for more.",
        ),
    ] = (),
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Compare runs: what changed between two, or the means of many with intervals."""
    return answer(_compare, locals())


def _compare(arguments: SimpleNamespace) -> None:
    from rulekit import runs

    endings = (*_PICTURES, *_TEXTS, ".csv", ".parquet", ".json", ".jsonl")
    for path in arguments.out:
        if Path(path).suffix.lower() not in endings:
            raise ValueError(f"{path}: unknown ending; allowed: {', '.join(endings)}")
    voice = Voice.of(arguments)
    found = runs.find_runs(arguments.folders)
    if len(found) == 2 and not (
        arguments.by or arguments.metric or arguments.against or arguments.where
    ):
        result = runs.compare_two(*found)
        text, value = _two(result, arguments.verbose), _plain(result)
    else:
        against = arguments.against
        if against is not None and not arguments.by:
            raise ValueError("--against without --by; allowed: the values of a group of --by")
        result = runs.compare(
            arguments.folders,
            by=arguments.by,
            metrics=arguments.metric,
            against=None if against is None else [v.strip() for v in against.split(",")],
            where=dict(arguments.where),
        )
        text, value = _many(result, len(found)), _plain(result)
    files = [_write(result, path) for path in arguments.out]
    voice.result(text, value | {"files": files})
    for path in files:
        voice.note(f"written: {path}")


def _two(two, verbose: bool) -> str:
    first, second = two.names
    parts = [f"first: {first}\nsecond: {second}"]
    if len(two.parameters):
        told = two.parameters.fill_null("–")
        parts.append(f"what was run, where it differs:\n{shown(told)}")
    for row in two.accuracy.iter_rows(named=True):
        if not row["changed"]:
            parts.append(f"{row['name']}: the same label for all {row['pairs']:,} pairs")
            continue
        head = f"{row['name']}: {row['changed']:,} of {row['pairs']:,} pairs have another label"
        if row["n"]:
            head += (
                f"; right {row['first']:.1%}, then {row['second']:.1%}: "
                f"{100 * row['difference']:+.1f} points [{100 * row['low']:+.1f}, "
                f"{100 * row['high']:+.1f}], p = {row['p_value']:.3g}, "
                f"on {row['n']:,} pairs of {row['prompts']:,} prompts"
            ).replace("+-", "-")
        moved = two.pairs[row["name"]]
        if len(moved):
            some = moved if verbose else moved.head(5)
            head += f"\n{shown(some.drop('prompt'))}"
            head += (
                f"\n… {len(moved) - len(some):,} more, with -v" if len(some) < len(moved) else ""
            )
        parts.append(head)
    figures = two.figures if verbose else two.figures.head(_SHOWN)
    if len(figures):
        more = len(two.figures) - len(figures)
        parts.append(
            f"figures that differ (how sure a difference is, only the lines by pair tell):\n"
            f"{shown(figures)}" + (f"\n… {more:,} more, with -v" if more else "")
        )
    if len(parts) == 1:
        parts.append("nothing differs")
    return "\n\n".join(parts)


def _many(many, n: int) -> str:
    done = len(many.runs)
    others = [name for name in many.varying if name not in many.by]
    head = f"{done:,} of {n:,} runs" if done < n else f"{done:,} runs"
    if many.by:
        head += f", by {', '.join(many.by)}"
    if others:
        head += f"; means over {', '.join(others)}"
    parts = [head]
    for metric in many.means["metric"].unique(maintain_order=True):
        own = many.means.filter(many.means["metric"] == metric).drop("metric")
        parts.append(f"{metric}\n{shown(_without_empty(own))}")
        gains = many.differences.filter(many.differences["metric"] == metric).drop("metric")
        if len(gains):
            parts.append(f"{metric}, difference, paired\n{shown(_without_empty(gains))}")
    return "\n\n".join(parts)


def _without_empty(frame):
    return frame.drop([c for c in frame.columns if frame[c].null_count() == len(frame)])


def _plain(result) -> dict:
    import polars as pl

    found = {}
    for name, value in vars(result).items():
        if isinstance(value, pl.DataFrame):
            value = value.to_dicts()
        elif isinstance(value, dict):
            value = {k: v.to_dicts() for k, v in value.items()}
        found[name] = value
    return found


def _write(result, path: str) -> Path:
    from rulekit.files import write_atomically
    from rulekit.runs import latex_table, markdown_table

    ending = Path(path).suffix.lower()
    if ending in _PICTURES:
        chart = _chart(result)
        return write_atomically(
            path, lambda p: chart.save(str(p), format=ending[1:], **_sharp(ending))
        )
    frame = result.frame()
    if ending in _TEXTS:
        made = markdown_table(frame) if ending == ".md" else latex_table(frame)
        return write_atomically(path, lambda p: p.write_text(made, encoding="utf-8"))
    return write_table(frame, path)


def _sharp(ending: str) -> dict[str, int]:
    return {"scale_factor": 2} if ending == ".png" else {}


def _chart(result):
    import polars as pl

    from rulekit import plots

    if hasattr(result, "names"):
        frame = result.accuracy.filter(pl.col("n") > 0)
        if frame.is_empty():
            raise ValueError("nothing to draw: no pair of both runs has a known preference")
        frame = frame.select("name", "low", "high", value="difference")
        return plots.intervals(
            frame, f"{result.names[1]} against {result.names[0]}", "difference of accuracy"
        )
    charts = []
    for metric in result.means["metric"].unique(maintain_order=True):
        own = result.means.filter(pl.col("metric") == metric)
        title = f"{metric.capitalize()} by {', '.join(result.by) or 'run'}, 95 % intervals"
        charts.append(plots.run_means(own, title, list(result.by), metric))
    return plots.stacked(*charts) if len(charts) > 1 else charts[0]

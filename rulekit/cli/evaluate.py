"""`rulekit evaluate`: a reward model or a judge on benchmarks, against its base and the published board."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import (
    DONE,
    FAILED,
    INTERRUPTED,
    Failed,
    Json,
    Quiet,
    Verbose,
    Voice,
    add,
    answer,
    named_values,
    plain,
    shown,
)

_EXAMPLES = """
  rulekit evaluate runs/reward/model --on xstest
  rulekit evaluate runs/reward/model --on rm-bench --data rm-bench/ --on pairs.jsonl
  rulekit evaluate runs/reward/model --on rewardbench --against runs/base/model --max-loss 0.01
  rulekit evaluate http://localhost:8000/classify --on rewardbench-2
  rulekit evaluate --judge encoder --rules rules.yaml --on judgebench --most 20
  rulekit evaluate runs/reward/model --on xstest --check-scores
"""
_BOARDS = ("rewardbench", "rewardbench-2")
_CHECKED = 32  # conversations that --check-scores reads


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "evaluate", _command, _EXAMPLES)


def _command(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Folder or hub name of a reward model, URL of a server's route (/classify, /score, "
            "/pooling), or folder of an evaluation; none with --judge.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[
        list[str],
        typer.Option(
            metavar="BENCHMARK",
            help="rewardbench, rewardbench-2, rm-bench, rmb, judgebench, xstest, or a file of "
            "chosen and rejected responses; again and again.",
        ),
    ] = (),
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Its file or folder (default: RULEKIT_DATA, then its public home)."
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="BASE", help="Model, or folder of an evaluation, to compare with."),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            help="With --against: exit 1 if a section falls by more, its 95 % interval too."
        ),
    ] = None,
    check_scores: Annotated[
        bool,
        typer.Option(
            "--check-scores",
            help="Read some in every batch size and padding; exit 1 if float32 scores differ.",
        ),
    ] = False,
    judge: Annotated[str | None, typer.Option(help="Name of a judge, in place of MODEL.")] = None,
    rules: Annotated[
        str | None, typer.Option(help="With --judge: YAML or text file, or name of a rule set.")
    ] = None,
    o: Annotated[
        list[str],
        named_values("-O", "Option of the judge or the server; the value is read as YAML."),
    ] = (),
    template: Annotated[
        str, typer.Option(help="Chat template of a model that has none: plain, or a file.")
    ] = "",
    max_tokens: Annotated[
        int | None, typer.Option(help="Longest conversation (default: as the model was trained).")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Of the weights: saved, float32 or bfloat16.")
    ] = "saved",
    imitate: Annotated[str, typer.Option(help="Read as another package does: rewardbench.")] = "",
    most: Annotated[
        int | None, typer.Option(help="Items of each subset, the first ones (default: all).")
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Leave out rows that cannot be read.")
    ] = False,
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Results; run again to go on where it stopped."
        ),
    ] = "evaluated",
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Evaluate a reward model or a judge: every section, with intervals."""
    return answer(_evaluate, locals())


def _evaluate(arguments: SimpleNamespace) -> int:
    voice = Voice.of(arguments)
    _check(arguments)
    scorers: dict[str, object] = {}
    told, status = {}, DONE
    for name in arguments.on:
        try:
            result, kept = _one(arguments, name, scorers, voice)
        except KeyboardInterrupt as error:
            raise Failed("interrupted; the same command goes on", INTERRUPTED) from error
        told[kept] = result
        if result.get("falls_surely") or not result.get("check", {}).get("within", True):
            status = FAILED
    voice.result(_words(told), told)
    voice.note(f"results: {arguments.out}")
    return status


def _check(arguments: SimpleNamespace) -> None:
    from rulekit.benchmarks.evaluation import RULES

    known = ", ".join(b for b in RULES if b != "file")
    if (arguments.model is None) == (arguments.judge is None):
        raise ValueError("allowed: a MODEL, or --judge NAME with --rules, one of the two")
    if not arguments.on:
        raise ValueError(f"--on is missing; allowed: {known}, or a file")
    for name in arguments.on:
        if name not in RULES and not Path(name).expanduser().exists():
            raise ValueError(f"--on {name!r}; allowed: {known}, or a file that exists")
    if arguments.data is not None and sum(name in RULES for name in arguments.on) != 1:
        raise ValueError("--data is of one benchmark; allowed: with one --on BENCHMARK")
    if arguments.max_loss is not None and arguments.against is None:
        raise ValueError("--max-loss needs --against")
    if arguments.check_scores and arguments.judge is not None:
        raise ValueError("--check-scores is for a model's folder")


def _one(arguments: SimpleNamespace, name: str, scorers: dict, voice: Voice) -> tuple[dict, str]:
    """One benchmark: what is told of it, and the name of its folder."""
    from rulekit import benchmarks
    from rulekit.benchmarks.evaluation import RULES

    benchmark, path = (name, arguments.data) if name in RULES else ("file", name)
    kept = benchmark if benchmark != "file" else Path(name).name.partition(".")[0]
    folder = Path(arguments.out) / kept
    settings = {"path": path, "most": arguments.most, "skip_invalid": arguments.skip_invalid}

    def evaluated(model: str | None, to: Path):
        if model is not None and (Path(model) / kept / "items.parquet").is_file():
            return benchmarks.Evaluation.read(Path(model) / kept)
        if model is not None and (Path(model) / "items.parquet").is_file():
            return benchmarks.Evaluation.read(model)
        if (key := model or "judge") not in scorers:
            scorers[key] = _scorer(arguments, model)
        voice.progress(f"{kept}: {key}")
        return benchmarks.evaluate(benchmark, scorers[key], output=to, **settings)

    result = evaluated(arguments.model, folder)
    told = result.as_dict()
    if benchmark in _BOARDS:
        told["places"] = _places(result, voice)
    if arguments.check_scores:
        told["check"] = _checked(scorers.get(arguments.model), result, folder)
    if arguments.against is not None:
        base = evaluated(arguments.against, folder / "base")
        told |= _compared(arguments, result, base, folder)
        if benchmark in ("xstest", "rewardbench"):
            told["refusal"] = benchmarks.refusal_balance(result, base).to_dicts()
    from rulekit.files import write_json

    write_json(folder / "result.json", plain(told))
    return told, kept


def _scorer(arguments: SimpleNamespace, model: str | None):
    from rulekit import benchmarks

    options = _options(arguments.o)
    if model is None:
        from rulekit.inputs.rules import RuleSet
        from rulekit.judges import judge

        how = {n: options.pop(n) for n in ("method",) if n in options}
        rules = RuleSet.load(arguments.rules or "embedded")
        return benchmarks.scorer(judge(arguments.judge, **options), rules=rules, **how)
    if model.startswith(("http://", "https://")):
        return benchmarks.scorer(model, server=options)
    if options:
        raise ValueError("-O is for a judge or a server")
    names = ("template", "max_tokens", "precision", "imitate")
    return benchmarks.scorer(model, **{n: getattr(arguments, n) for n in names})


def _options(given) -> dict:
    import yaml

    try:
        return {name: yaml.safe_load(value) for name, value in given}
    except yaml.YAMLError as error:
        raise ValueError(
            f"-O: a value is no YAML ({error}); allowed: such as 3 or a text"
        ) from None


def _places(result, voice: Voice) -> list[dict]:
    from rulekit import benchmarks

    try:
        board = benchmarks.board(result.card.benchmark)
    except FileNotFoundError as error:
        voice.detail(str(error))
        return []
    return benchmarks.places_of(result.card, board).to_dicts()


def _checked(scorer, result, folder: Path) -> dict:
    from rulekit import benchmarks
    from rulekit.files import write_atomically

    if not isinstance(scorer, benchmarks.ModelScorer):
        raise ValueError("--check-scores needs a model's folder or hub name")
    rows = result.items.head(_CHECKED).select("prompt", "responses").iter_rows()
    questions = [(prompt, (responses[i % 2],)) for i, (prompt, responses) in enumerate(rows)]
    table = benchmarks.check_scores(scorer, questions, precisions=("float32", "bfloat16"))
    write_atomically(folder / "check_scores.parquet", table.write_parquet)
    return {"table": table.to_dicts(), "within": bool(table["within"].drop_nulls().all())}


def _compared(arguments: SimpleNamespace, result, base, folder: Path) -> dict:
    from rulekit import benchmarks
    from rulekit.files import write_atomically

    found = benchmarks.compare(result, base)
    write_atomically(folder / "changed.parquet", found.changed.write_parquet)
    told = {"against": found.as_dict()}
    if arguments.max_loss is not None:
        fallen = benchmarks.falls(found, arguments.max_loss)
        told["max_loss"] = arguments.max_loss
        told["falls"] = fallen.to_dicts()
        told["falls_surely"] = fallen.filter("sure")["section"].to_list()
    return told


# Words -------------------------------------------------------------------------------------------


def _words(told: dict) -> str:
    return "\n\n".join(f"{name}\n{_said(result)}" for name, result in told.items())


def _said(result: dict) -> str:
    import polars as pl

    rows = [dict(r) for r in result["sections"]]
    lines = [shown(pl.DataFrame(rows).select("section", "value", "low", "high", "half", "n"))]
    if plain(result["score"]) is not None:
        low, high = result["low"], result["high"]
        lines.append(f"score {result['score']:.4f} (95 % interval {low:.4f} to {high:.4f})")
    else:
        lines.append("no score: a section is missing or incomplete")
    lines += _about(result)
    for row in result.get("places", ()):
        alike = f"; {len(row['alike'])} rows cannot be told from it" if row["alike"] else ""
        span = (
            f"{row['best']} to {row['worst']}" if row["best"] < row["worst"] else f"{row['best']}"
        )
        lines.append(
            f"{row['section']}: place {span} of {row['n'] + 1} on the published board{alike}"
        )
    if "against" in result:
        columns = ("section", "value", "base", "difference", "low", "high", "gained", "lost")
        table = pl.DataFrame(result["against"]["sections"]).select(*columns, "mcnemar_p")
        lines.append(f"against the base, the same items\n{shown(table)}")
    for row in result.get("falls", ()):
        sure = "surely" if row["sure"] else "perhaps, its interval reaches above"
        lines.append(
            f"{row['section']} falls by {-row['difference']:.4f}, more than {result['max_loss']:g}: "
            f"{sure}"
        )
    if "check" in result:
        columns = ("precision", "layout", "padding", "batch", "attention", "largest", "spread")
        lines.append(
            shown(pl.DataFrame(result["check"]["table"]).select(*columns, "flips", "within"))
        )
    return "\n".join(lines)


def _about(result: dict) -> list[str]:
    """What a reader has to know of how the scores were made."""
    facts, lines = result["facts"], []
    if "attention" in facts:
        lines.append(
            f"read with attention {facts['attention']}, {facts.get('precision', '?')}, chat template: "
            f"{facts['template']}"
        )
    if result["items_truncated"]:
        lines.append(
            f"{result['items_truncated']:,} of {result['items']:,} items truncated, a response cut "
            f"in {result['items_with_response_cut']:,}"
        )
    lines += [str(caveat) for caveat in facts.get("caveats", ())]
    return lines

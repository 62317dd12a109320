"""`rulekit annotate`: pairs, rules and a judge from the command line into a store, and what is made of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated

import typer

from rulekit.cli.console import (
    FAILED,
    INTERRUPTED,
    Command,
    Failed,
    Json,
    Quiet,
    Verbose,
    add,
    answer,
    named_values,
)

_LABELLED = "embedded"
_EXAMPLES = """
  rulekit annotate pairs.jsonl --rules rules.yaml
  rulekit annotate pairs.jsonl --judge local -o model ./my-model
  rulekit annotate pairs.jsonl --judge server -o model NAME -o base_url http://host:8000/v1 \\
      -o prices '{prompt: 0.1, completion: 0.4, budget: 20}' -o limits '{concurrency: 32}'
  rulekit annotate labelled.jsonl --check --judge local -o model ./my-model
"""


class _Annotate(Command):
    """Lists the judges' options too: that imports the judges, so only where they are read."""

    def format_epilog(self, ctx, formatter) -> None:
        self.epilog = f"{_judges()}\n\nexamples:{_EXAMPLES}"
        super().format_epilog(ctx, formatter)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "annotate", _command, _EXAMPLES, cls=_Annotate)


def run(arguments: SimpleNamespace) -> None:
    """Do it; an error says how to go on."""
    from rulekit.cli import judged
    from rulekit.judges.contract import Stopped
    from rulekit.rating.job import Incomplete

    action = judged.annotate if arguments.order_effects is None else judged.order_effects
    try:
        (judged.check if arguments.check else action)(arguments)
    except (FileNotFoundError, BrokenPipeError):
        raise
    except Incomplete as error:
        lasts = error.stopped in (Stopped.BUDGET, Stopped.MISBEHAVED)
        more = "" if lasts else "; the same command asks for them again"
        raise Failed(f"{error}{more}", FAILED) from error
    except (RuntimeError, OSError) as error:
        raise Failed(f"{error}; the same command goes on", FAILED) from error
    except KeyboardInterrupt as error:
        raise Failed("interrupted; the same command goes on", INTERRUPTED) from error


def _command(
    pairs: Annotated[
        str | None,
        typer.Argument(
            metavar="PAIRS",
            help="File, folder or glob of pairs, or name of a data set; with --check a labelled "
            f"data set (default: {_LABELLED}), or a file with prompt, response, rule, label.",
            show_default=False,
        ),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(help="YAML or text file, or name of a rule set (default: those of the kit)."),
    ] = None,
    judge: Annotated[str, typer.Option(help="Name of a judge.")] = "encoder",
    o: Annotated[
        list[str],
        named_values("-o", "Option of the judge, such as model; the value is read as YAML."),
    ] = (),
    store: Annotated[
        str, typer.Option(help="File of the ratings; run again to go on.")
    ] = "ratings.sqlite",
    out: Annotated[
        str, typer.Option(help="Folder for scores or labels, what is missing, and the ledger.")
    ] = "annotated",
    export: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Write a Hugging Face data set folder of the ratings."),
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(metavar="PATH", help="Rule Adapter: rate only the rules it names.")
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("-k", help="Rules a pair with --adapter (default: 5, or all where fewer)."),
    ] = None,
    until: Annotated[
        float | None,
        typer.Option(
            metavar="CONFIDENCE",
            help="With --adapter: rate rule after rule until the label is this sure.",
        ),
    ] = None,
    step: Annotated[
        int | None, typer.Option(help="With --until: rules rated at a time (default: 1).")
    ] = None,
    max_rules: Annotated[
        int | None, typer.Option(help="With --until: rules a pair at most (default: all).")
    ] = None,
    batch: Annotated[int, typer.Option(help="Responses a call of the judge.")] = 64,
    price: Annotated[
        float, typer.Option(help="Cost of a rating, for judges that count none.")
    ] = 0.0,
    check: Annotated[
        bool, typer.Option("--check", help="Measure the judge against labelled examples instead.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="With --check embedded: train, validation, test or all.")
    ] = "test",
    order_effects: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Rate N pairs in other orders of rules, responses, answers and prompt instead.",
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> int:
    """Rate pairs under rules into a store, or check a judge."""
    return answer(run, locals())


def _judges() -> str:
    from rulekit import judges

    lines = [f"  {n}: {', '.join(judges.options(n)) or 'none'}" for n in judges.names()]
    return "judges and their options (-o NAME VALUE):\n" + "\n".join(lines)

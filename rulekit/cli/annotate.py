"""`rulekit annotate`: pairs, rules and a judge from the command line into a store, and what is made of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_LABELLED = "embedded"
_EXAMPLE = """examples:
  rulekit annotate pairs.jsonl --judge local -o model ./my-model
  rulekit annotate pairs.jsonl --judge server -o model NAME -o base_url http://host:8000/v1 \\
      -o prices '{prompt: 0.1, completion: 0.4, budget: 20}' -o limits '{concurrency: 32}'
  rulekit annotate labelled.jsonl --check --judge local -o model ./my-model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "pairs",
        nargs="?",
        help="file, folder or glob of pairs, or name of a data set; with --check a labelled "
        f"data set (default: {_LABELLED}), or a file with prompt, response, rule, label",
    )
    add("--rules", help="YAML file or name of a rule set (default: those that come with the kit)")
    add("--judge", default="encoder", help="name of a judge (default: encoder)")
    add(
        "-o",
        nargs=2,
        metavar=("NAME", "VALUE"),
        action="append",
        default=[],
        help="option of the judge, such as model or base_url; the value is read as YAML",
    )
    add(
        "--store",
        default="ratings.sqlite",
        help="file of the ratings; run again to go on (default: ratings.sqlite)",
    )
    add(
        "--out",
        default="annotated",
        help="folder for scores or labels, what is missing, and the ledger (default: annotated)",
    )
    add("--export", metavar="FOLDER", help="write a Hugging Face data set folder of the ratings")
    add("--adapter", metavar="PATH", help="Rule Adapter: rate only the rules it names")
    add("-k", type=int, help="rules a pair with --adapter (default: 5, or all where fewer)")
    add(
        "--until",
        type=float,
        metavar="CONFIDENCE",
        help="with --adapter: rate rule after rule until the label is this sure",
    )
    add("--step", type=int, help="with --until: rules rated at a time (default: 1)")
    add("--max-rules", type=int, help="with --until: rules a pair at most (default: all)")
    add("--batch", type=int, default=64, help="responses a call of the judge (default: 64)")
    add("--price", type=float, default=0.0, help="cost of a rating, for judges that count none")
    add("--check", action="store_true", help="measure the judge against labelled examples instead")
    add("--split", default="test", help="with --check embedded: train, validation, test or all")
    add(
        "--order-effects",
        type=int,
        metavar="N",
        help="rate N pairs in other orders of rules, responses, answers and prompt instead",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter

    def format_help() -> str:  # listing a judge's options imports it: only where they are read
        parser.epilog = f"{_judges()}\n\n{_EXAMPLE}"
        return type(parser).format_help(parser)

    parser.format_help = format_help


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status: 0 done, 1 ratings are missing, 2 bad arguments, 130 interrupted."""
    from rulekit.judges.contract import Stopped
    from rulekit.rating.job import Incomplete

    try:
        _action(arguments)(arguments)
    except FileNotFoundError as error:
        return _say(f"no such file: {error.filename}" if error.filename else str(error), 2)
    except Incomplete as error:
        lasts = error.stopped in (Stopped.BUDGET, Stopped.MISBEHAVED)
        return _say(f"{error}{'' if lasts else '; the same command asks for them again'}", 1)
    except (RuntimeError, OSError) as error:
        return _say(f"{error}; the same command goes on", 1)
    except ValueError as error:
        return _say(str(error), 2)
    except KeyboardInterrupt:
        return _say("interrupted; the same command goes on", 130)
    return 0


def _say(message: str, status: int) -> int:
    print(f"rulekit: {message}", file=sys.stderr)
    return status


def _action(arguments: argparse.Namespace):
    if arguments.check:
        return _check
    return _annotate if arguments.order_effects is None else _order_effects


def _judges() -> str:
    from rulekit import judges

    lines = [f"  {n}: {', '.join(judges.options(n)) or 'none'}" for n in judges.names()]
    return "judges and their options (-o NAME VALUE):\n" + "\n".join(lines)


def _annotate(arguments: argparse.Namespace) -> None:
    from rulekit.rating.annotation import annotate
    from rulekit.rating.export import write_dataset
    from rulekit.rating.job import Incomplete
    from rulekit.rating.ledger import Ledger
    from rulekit.rating.store import Store

    _refuse_unused(arguments)
    pairs, rules = _pairs(arguments), _rules(arguments)
    only = _named(arguments, pairs, rules)
    judge, out, ledger = _judge(arguments), Path(arguments.out), Ledger()
    settings = {"batch": arguments.batch, "price": arguments.price, "ledger": ledger}
    if arguments.until is not None:
        step = 1 if arguments.step is None else arguments.step
        settings |= {"until": arguments.until, "step": step}
    gap = None
    with Store(arguments.store) as store:
        try:
            annotate(pairs, rules, judge, store=store, only=only, out=out, **settings)
        except Incomplete as error:
            gap, pairs = error, pairs.filter(error.complete)
        finally:
            _report(ledger, out, store, judge, rules)
        if only is not None and len(pairs):
            _write_labels(out)
        if arguments.export and len(pairs):
            figures = _figures(ledger)
            write_dataset(
                pairs, rules, store, arguments.export, judge=judge.identity, figures=figures
            )
            print(f"data set: {arguments.export}")
    if gap is not None:
        gap.args = (f"{gap}; {out}/missing.parquet lists the missing ratings",)
        raise gap


def _named(arguments: argparse.Namespace, pairs, rules):
    """The rules that the adapter names for each pair, or None."""
    if arguments.adapter is None:
        return None
    from rulekit.training import RuleAdapter

    k = arguments.max_rules if arguments.until is not None else arguments.k
    if k is None:
        k = len(rules) if arguments.until is not None else min(5, len(rules))
    if not 1 <= k <= len(rules):
        raise ValueError(f"{k} rules a pair; allowed: 1 to {len(rules)}")
    return RuleAdapter.load(arguments.adapter).select(pairs, k)


def _write_labels(out: Path) -> None:
    """Labels of the pairs whose named rules are all rated, and by how many rules."""
    from rulekit.inputs.scores import Scores
    from rulekit.labels import label

    scores = Scores.read(out / "scores.parquet")
    label(scores).write(out / "labels.parquet")


def _check(arguments: argparse.Namespace) -> None:
    import polars as pl

    from rulekit.files import write_atomically
    from rulekit.inputs.labelled_responses import n_prompts, read_labelled
    from rulekit.rating import quality
    from rulekit.rating.job import Incomplete
    from rulekit.rating.ledger import Ledger
    from rulekit.rating.store import Store

    for name in ("adapter", "k", "until", "step", "max_rules", "export", "order_effects"):
        if getattr(arguments, name) is not None:
            raise ValueError(f"--check takes no {_option(name)}")
    source = arguments.pairs or _LABELLED
    split = None if arguments.split == "all" or source != _LABELLED else arguments.split
    data = read_labelled(source, split, arguments.rules)
    judge, out, ledger = _judge(arguments), Path(arguments.out), Ledger()
    settings = {"batch": arguments.batch, "price": arguments.price, "ledger": ledger}
    gap = None
    with Store(arguments.store) as store:
        try:
            p = quality.rate_labelled(data, judge, store=store, **settings)
        except Incomplete as error:
            if error.result is None:
                raise
            gap, (data, p) = error, error.result
        finally:
            _report(ledger, out, store, judge, data.rules)
    table = quality.judge_quality(p, data)
    write_atomically(out / "quality.parquet", table.write_parquet)
    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=220,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        float_precision=3,
    ):
        print(table.filter(pl.col("rule") == "all").drop("rule"))
        print(quality.by_rule(table))
    print(f"{len(data.prompts)} responses to {n_prompts(data)} prompts; {out}/quality.parquet")
    if gap is not None:
        raise gap


def _order_effects(arguments: argparse.Namespace) -> None:
    import polars as pl

    from rulekit.files import write_atomically
    from rulekit.judges.orders import order_effects

    for name in ("adapter", "k", "until", "step", "max_rules", "export"):
        if getattr(arguments, name) is not None:
            raise ValueError(f"--order-effects takes no {_option(name)}")
    if arguments.order_effects < 1:
        raise ValueError(f"--order-effects is {arguments.order_effects}; allowed: 1 or more")
    pairs, rules = _pairs(arguments), _rules(arguments)
    table = order_effects(pairs, rules, _judge(arguments), arguments.order_effects)
    path = write_atomically(Path(arguments.out) / "order_effects.parquet", table.write_parquet)
    with pl.Config(
        tbl_rows=-1,
        tbl_cols=-1,
        tbl_width_chars=160,
        fmt_str_lengths=60,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
    ):
        print(table)
    print(f"not from the store, and not kept in it; {path}")


# Arguments ---------------------------------------------------------------------------------------


def _refuse_unused(arguments: argparse.Namespace) -> None:
    if arguments.adapter is None:
        for name in ("k", "until"):
            if getattr(arguments, name) is not None:
                raise ValueError(
                    f"{_option(name)} needs --adapter, which gives the order of the rules"
                )
    if arguments.until is None:
        for name in ("step", "max_rules"):
            if getattr(arguments, name) is not None:
                raise ValueError(f"{_option(name)} needs --until")
    elif arguments.k is not None:
        raise ValueError("-k has no meaning with --until; allowed: --max-rules")


def _option(name: str) -> str:
    return "-k" if name == "k" else f"--{name.replace('_', '-')}"


def _pairs(arguments: argparse.Namespace):
    from rulekit.inputs import load_pairs, sources

    if arguments.pairs is None:
        raise ValueError("no pairs; allowed: a file, or one of " + ", ".join(sources.SOURCES))
    return load_pairs(arguments.pairs)


def _rules(arguments: argparse.Namespace):
    from rulekit.inputs.rules import RuleSet

    return RuleSet.load(arguments.rules or "embedded")


def _judge(arguments: argparse.Namespace):
    import yaml

    from rulekit.judges import judge

    options = {}
    for name, value in arguments.o:
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(
                f"-o {name}: {value!r} is no YAML; allowed: such as 3 or {{a: 1}}"
            ) from None
    return judge(arguments.judge, **options)


# Report ------------------------------------------------------------------------------------------


def _figures(ledger) -> dict[str, object]:
    """What a reader of the ratings should know about how they were made, in this run."""
    figures = {}
    if ledger.truncated:
        figures["Conversations cut"] = f"{ledger.truncated:,}, {ledger.tokens_cut:,} tokens lost"
    if ledger.neutralised:
        figures["Responses with chat markers"] = f"{ledger.neutralised:,}, made plain text"
    if ledger.mass_ratings:
        figures["Answer mass"] = (
            f"mean {ledger.answer_mass_mean:.3f}, least {ledger.answer_mass_min:.3f} "
            f"of {ledger.mass_ratings:,} ratings"
        )
    if ledger.tokens:
        figures["Tokens processed"] = f"{ledger.tokens:,}"
    return figures


def _report(ledger, out: Path, store, judge, rules) -> None:
    from rulekit import __version__
    from rulekit.files import write_json

    spent = dict(store.spending(judge.identity))
    write_json(
        out / "ledger.json",
        ledger.as_dict()
        | {
            "all_runs": spent,
            "judge": judge.identity,
            "rules_sha256": rules.hash,
            "n_rules": len(rules),
            "rulekit": __version__,
        },
    )
    rate = ledger.rated / ledger.seconds if ledger.seconds else 0.0
    print(
        f"{ledger.rated:,} ratings made ({rate:,.0f} a second), {ledger.stored:,} found in the "
        f"store, {ledger.failed:,} failed; cost {ledger.cost:.4g}, of all runs "
        f"{spent.get('cost', 0.0):.4g}"
    )
    for name, value in _figures(ledger).items():
        print(f"{name.lower()}: {value}")
    if models := [name.partition(": ")[2] for name in spent if name.startswith("model: ")]:
        print(f"answered by: {', '.join(models)}")
    if ledger.repeated or ledger.not_named:
        print(
            f"saved: {ledger.repeated:,} of {ledger.plain:,} because responses repeat, "
            f"{ledger.not_named:,} because their rules were not needed"
        )

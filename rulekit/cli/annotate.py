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
        help="file of pairs, or name of a data set; with --check a labelled "
        f"data set (default: {_LABELLED}), or a file with prompt, response, rule, label",
    )
    add("--rules", help="YAML file of rules (default: the rules that come with the kit)")
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
        default="ratings",
        help="folder of the ratings; run again to go on (default: ratings)",
    )
    add(
        "--out",
        default="annotated",
        help="folder for scores or labels, what is missing, and the ledger (default: annotated)",
    )
    add("--export", metavar="FOLDER", help="write a Hugging Face data set folder of the ratings")
    add("--adapter", metavar="FILE", help="Rule Adapter: rate only the rules it names")
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
    from rulekit.rating.job import Incomplete

    try:
        _action(arguments)(arguments)
    except FileNotFoundError as error:
        return _say(f"no such file: {error.filename}" if error.filename else str(error), 2)
    except Incomplete as error:
        go_on = "" if "budget" in error.stopped else "; the same command asks for them again"
        return _say(f"{error}{go_on}", 1)
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

    lines = [
        f"  {n}: {', '.join(judges.options(n)) or 'none'}"
        for n in judges.names()
        if n != "recorded"
    ]
    return "judges and their options (-o NAME VALUE):\n" + "\n".join(lines)


def _annotate(arguments: argparse.Namespace) -> None:
    from rulekit.rating.annotation import annotate_to_folder
    from rulekit.rating.export import write_dataset
    from rulekit.rating.job import Incomplete
    from rulekit.rating.ledger import Ledger
    from rulekit.rating.store import Store

    _refuse_unused(arguments)
    pairs, rules = _pairs(arguments), _rules(arguments)
    adapter = _adapter(arguments.adapter) if arguments.adapter else None
    judge, out, ledger = _judge(arguments), Path(arguments.out), Ledger()
    settings = {"batch": arguments.batch, "price": arguments.price, "ledger": ledger}
    gap = None
    with Store(arguments.store, judge.identity) as store:
        work = (pairs, rules, judge, store)
        try:
            if adapter is None:
                annotate_to_folder(out, *work, **settings)
            else:
                _adaptive(arguments, out, adapter, work, settings)
        except Incomplete as error:
            gap, pairs = error, pairs.filter(error.complete)
        finally:
            _report(ledger, out, store, rules)
        if arguments.export and len(pairs):
            write_dataset(arguments.export, pairs, rules, store, _figures(ledger))
            print(f"data set: {arguments.export}")
    if gap is not None:
        gap.args = (f"{gap}; {out}/missing.parquet lists the missing ratings",)
        raise gap


def _adaptive(arguments, out: Path, adapter, work, settings) -> None:
    """Rate what the adapter names; writes labels, and what is missing, of the complete pairs."""
    import polars as pl

    from rulekit.files import write_atomically
    from rulekit.rating.adaptive import annotate_adaptive, annotate_anytime
    from rulekit.rating.annotation import write_missing
    from rulekit.rating.job import Incomplete

    gap, ids = None, work[0]["pair_id"]
    try:
        if arguments.until is None:
            result = annotate_adaptive(*work, adapter, arguments.k, **settings)
        else:
            steps = {"step": arguments.step or 1, "max_rules": arguments.max_rules}
            result = annotate_anytime(*work, adapter, arguments.until, **steps, **settings)
    except Incomplete as error:
        gap, result, ids = error, error.result, ids.filter(error.complete)
    write_missing(out / "missing.parquet", iter([] if gap is None else [gap.missing]))
    if len(ids):
        anytime = arguments.until is not None
        labels = result if anytime else result.labels()
        n_rated = labels.n_rated if anytime else [result.scores.n_rules] * len(ids)
        columns = {
            "pair_id": ids,
            "margin": labels.margin,
            "preference": labels.preference,
            "confidence": labels.confidence,
            "n_rated": n_rated,
        }
        write_atomically(out / "labels.parquet", pl.DataFrame(columns).write_parquet)
    if gap is not None:
        raise gap


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
    with Store(arguments.store, judge.identity) as store:
        try:
            p = quality.rate_labelled(judge, data, store, **settings)
        except Incomplete as error:
            if error.result is None:
                raise
            gap, (data, p) = error, error.result
        finally:
            _report(ledger, out, store, data.rules)
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
    table = order_effects(_judge(arguments), pairs, rules, arguments.order_effects)
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
    from rulekit.inputs import sources
    from rulekit.inputs.readers import load_pairs

    if arguments.pairs is None:
        raise ValueError("no pairs; allowed: a file, or one of " + ", ".join(sources.SOURCES))
    if arguments.pairs in sources.SOURCES:
        return sources.load(arguments.pairs)
    return load_pairs(arguments.pairs)


def _rules(arguments: argparse.Namespace):
    from rulekit.files import resource
    from rulekit.inputs.rules import RuleSet

    return RuleSet.load(arguments.rules or resource("data/rules.yaml"))


def _adapter(path: str):
    import zipfile

    from rulekit.training import RuleAdapter

    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: no Rule Adapter; allowed: a file that RuleAdapter.save wrote")
    try:
        return RuleAdapter.load(path)
    except KeyError as error:
        raise ValueError(
            f"{path}: no Rule Adapter ({error.args[0]}); allowed: a file that RuleAdapter.save wrote"
        ) from None


def _judge(arguments: argparse.Namespace):
    import yaml

    from rulekit.judges import judge_named

    options = {}
    for name, value in arguments.o:
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(
                f"-o {name}: {value!r} is no YAML; allowed: such as 3 or {{a: 1}}"
            ) from None
    return judge_named(arguments.judge, **options)


# Report ------------------------------------------------------------------------------------------


def _figures(ledger) -> dict[str, object]:
    """What a reader of the ratings should know about how they were made, in this run."""
    figures = {}
    if ledger.truncated:
        figures["Conversations cut"] = f"{ledger.truncated:,}, {ledger.tokens_cut:,} tokens lost"
    if ledger.mass_ratings:
        figures["Answer mass"] = (
            f"mean {ledger.answer_mass_mean:.3f}, least {ledger.answer_mass_min:.3f} "
            f"of {ledger.mass_ratings:,} ratings"
        )
    if ledger.tokens:
        figures["Tokens processed"] = f"{ledger.tokens:,}"
    return figures


def _report(ledger, out: Path, store, rules) -> None:
    from rulekit import __version__
    from rulekit.files import write_json

    spent = dict(store.spending())
    write_json(
        out / "ledger.json",
        ledger.as_dict()
        | {
            "all_runs": spent,
            "judge": store.identity,
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
    if ledger.repeated or ledger.not_named:
        print(
            f"saved: {ledger.repeated:,} of {ledger.plain:,} because responses repeat, "
            f"{ledger.not_named:,} because their rules were not needed"
        )

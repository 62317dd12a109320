"""`rulekit annotate`: pairs, rules and a judge from the command line into a store, and what is made of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

_LABELLED = "embedded"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("pairs", nargs="?", help="file of pairs, or name of a data set; with --check a labelled "
        f"data set (default: {_LABELLED})")  # fmt: skip
    add("--rules", help="YAML file of rules (default: the rules that come with the kit)")
    add("--judge", default="encoder", help="name of a judge (default: encoder)")
    add("-o", nargs=2, metavar=("NAME", "VALUE"), action="append", default=[],
        help="option of the judge, such as model or base_url; the value is read as YAML")  # fmt: skip
    add(
        "--store",
        default="ratings",
        help="folder of the ratings; run again to go on (default: ratings)",
    )
    add(
        "--out",
        default="annotated",
        help="folder for scores or labels and the ledger (default: annotated)",
    )
    add("--export", metavar="FOLDER", help="write a Hugging Face data set folder of the ratings")
    add("--adapter", metavar="FILE", help="Rule Adapter: rate only the rules it names")
    add("-k", type=int, default=5, help="rules a pair with --adapter (default: 5)")
    add("--until", type=float, metavar="CONFIDENCE",
        help="with --adapter: rate rule after rule until the label is this sure")  # fmt: skip
    add("--batch", type=int, default=64, help="responses a call of the judge (default: 64)")
    add("--price", type=float, default=0.0, help="cost of a rating, for judges that count none")
    add("--check", action="store_true", help="measure the judge against labelled examples instead")
    add("--split", default="test", help="with --check embedded: train, validation, test or all")


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit status: 0 done, 1 ratings are missing, 2 bad arguments, 130 interrupted."""
    try:
        (_check if arguments.check else _annotate)(arguments)
    except (RuntimeError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            print(f"rulekit: {error}", file=sys.stderr)
            return 2
        print(f"rulekit: {error}; the same command goes on", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"rulekit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rulekit: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


def _annotate(arguments: argparse.Namespace) -> None:
    import polars as pl

    from rulekit import sources
    from rulekit.adaptive import annotate_adaptive, annotate_anytime
    from rulekit.annotate import Ledger, annotate
    from rulekit.export import write_dataset
    from rulekit.files import resource, write_atomically
    from rulekit.pairs import load_pairs
    from rulekit.rules import RuleSet
    from rulekit.store import Store
    from rulekit.training import RuleAdapter

    if arguments.pairs is None:
        raise ValueError("no pairs; allowed: a file, or one of " + ", ".join(sources.SOURCES))
    if arguments.until is not None and not arguments.adapter:
        raise ValueError("--until needs --adapter, which gives the order of the rules")
    named = arguments.pairs in sources.SOURCES
    pairs = sources.load(arguments.pairs) if named else load_pairs(arguments.pairs)
    rules = RuleSet.load(arguments.rules or resource("data/rules.yaml"))
    adapter = RuleAdapter.load(arguments.adapter) if arguments.adapter else None
    judge, out, ledger = _judge(arguments), Path(arguments.out), Ledger()
    settings = {"batch": arguments.batch, "price": arguments.price, "ledger": ledger}
    with Store(arguments.store, judge.identity) as store:
        work = (pairs, rules, judge, store)
        try:
            if adapter is None:
                annotate(*work, **settings).write(out / "scores.parquet")
            else:
                if arguments.until is None:
                    labels = annotate_adaptive(*work, adapter, arguments.k, **settings).labels()
                    n_rated = [arguments.k] * len(pairs)
                else:
                    labels = annotate_anytime(*work, adapter, arguments.until, **settings)
                    n_rated = labels.n_rated
                columns = {"pair_id": pairs["pair_id"], "margin": labels.margin,
                           "preference": labels.preference, "confidence": labels.confidence,
                           "n_rated": n_rated}  # fmt: skip
                write_atomically(out / "labels.parquet", pl.DataFrame(columns).write_parquet)
        finally:
            _report(ledger, out, judge.identity, rules)
        if arguments.export:
            write_dataset(arguments.export, pairs, rules, store)
            print(f"data set: {arguments.export}")


def _check(arguments: argparse.Namespace) -> None:
    import polars as pl

    from rulekit import quality, sources
    from rulekit.annotate import Ledger
    from rulekit.files import write_atomically

    for name in ("rules", "adapter", "until", "export"):
        if getattr(arguments, name) is not None:
            raise ValueError(f"--check takes no --{name}: the labelled data set has its own rules")
    source = arguments.pairs or _LABELLED
    split = None if arguments.split == "all" or source != _LABELLED else arguments.split
    data = sources.load_labelled(source, split)
    judge, out, ledger = _judge(arguments), Path(arguments.out), Ledger()
    settings = {"batch": arguments.batch, "price": arguments.price, "ledger": ledger}
    try:
        p = quality.rate_labelled(judge, data, arguments.store, **settings)
    finally:
        _report(ledger, out, judge.identity, data.rules)
    table = quality.judge_quality(p, data)
    write_atomically(out / "quality.parquet", table.write_parquet)
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=220, tbl_hide_dataframe_shape=True,
                   tbl_hide_column_data_types=True, float_precision=3):  # fmt: skip
        print(table.filter(pl.col("rule") == "all").drop("rule"))
        print(quality.by_rule(table))
    print(
        f"{len(data.prompts)} responses to {len(set(data.prompts))} prompts; {out}/quality.parquet"
    )


def _judge(arguments: argparse.Namespace):
    import yaml

    from rulekit.annotate import judge_named

    return judge_named(arguments.judge, **{n: yaml.safe_load(v) for n, v in arguments.o})


def _report(ledger, out: Path, identity: str, rules) -> None:
    from rulekit import __version__
    from rulekit.files import write_json

    write_json(out / "ledger.json", ledger.as_dict() | {
        "judge": identity, "rules_sha256": rules.hash, "n_rules": len(rules),
        "rulekit": __version__})  # fmt: skip
    rate = ledger.rated / ledger.seconds if ledger.seconds else 0.0
    print(f"{ledger.rated:,} ratings made ({rate:,.0f} a second), {ledger.stored:,} found in the "
          f"store, {ledger.failed:,} failed; cost {ledger.cost:.4g}")  # fmt: skip
    if ledger.plain:
        print(f"saved: {ledger.repeated:,} of {ledger.plain:,} because responses repeat, "
              f"{ledger.not_named:,} because their rules were not needed")  # fmt: skip

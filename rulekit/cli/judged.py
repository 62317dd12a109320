"""What `rulekit annotate` does with a judge: rate pairs into a store, measure it, or change the orders.

The command's arguments come in; ratings, tables and a ledger go into files. `annotate` calls this.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from rulekit.cli.console import Voice, shown

_LABELLED = "embedded"


def annotate(arguments: SimpleNamespace) -> None:
    """Rate pairs into the store; write scores, what is missing, the ledger, and labels with an adapter."""
    from rulekit.rating import annotation
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
    gap, voice = None, Voice.of(arguments)
    voice.detail(f"{len(pairs):,} pairs, {len(rules):,} rules, judge {judge.identity}")
    settings |= {"progress": not arguments.quiet}
    told = {"store": arguments.store, "ledger": out / "ledger.json"}
    with Store(arguments.store) as store:
        try:
            annotation.annotate(pairs, rules, judge, store=store, only=only, out=out, **settings)
        except Incomplete as error:
            gap, pairs = error, pairs.filter(error.complete)
        finally:
            figures = _report(ledger, out, store, judge, rules, voice)
        if len(pairs):
            told["scores"] = out / "scores.parquet"
        if only is not None and len(pairs):
            told["labels"] = _write_labels(out)
        if arguments.export and len(pairs):
            write_dataset(
                pairs,
                rules,
                store,
                arguments.export,
                judge=judge.identity,
                figures=_figures(ledger),
            )
            told["data_set"] = Path(arguments.export)
            voice.note(f"data set: {arguments.export}")
    if gap is not None:
        told["missing"] = out / "missing.parquet"
    if arguments.as_json:
        voice.result("", {"files": told, "ledger": figures})
    if "labels" in told:
        voice.note(f"labels: {told['labels']}; next: rulekit train reward --help")
    elif "scores" in told:
        voice.note(f"scores: {told['scores']}; next: rulekit label {told['scores']}")
    if gap is not None:
        gap.args = (f"{gap}; {out}/missing.parquet lists the missing ratings",)
        raise gap


def _named(arguments: SimpleNamespace, pairs, rules):
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


def _write_labels(out: Path) -> Path:
    """Labels of the pairs whose named rules are all rated, and by how many rules."""
    from rulekit.inputs.scores import Scores
    from rulekit.labels import label

    scores = Scores.read(out / "scores.parquet")
    return label(scores).write(out / "labels.parquet")


def check(arguments: SimpleNamespace) -> None:
    """Rate labelled responses, and measure the judge against their labels."""
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
    gap, voice = None, Voice.of(arguments)
    settings |= {"progress": not arguments.quiet}
    with Store(arguments.store) as store:
        try:
            p = quality.rate_labelled(data, judge, store=store, **settings)
        except Incomplete as error:
            if error.result is None:
                raise
            gap, (data, p) = error, error.result
        finally:
            _report(ledger, out, store, judge, data.rules, voice)
    table = quality.judge_quality(p, data)
    write_atomically(out / "quality.parquet", table.write_parquet)
    overall = table.filter(pl.col("rule") == "all").drop("rule")
    by_rule = quality.by_rule(table)
    n = n_prompts(data)
    voice.result(
        f"{shown(overall)}\n{shown(by_rule)}\n"
        f"{len(data.prompts)} responses to {n} prompts; {out}/quality.parquet",
        {
            "files": {"quality": out / "quality.parquet", "ledger": out / "ledger.json"},
            "responses": len(data.prompts),
            "prompts": n,
            "overall": overall.to_dicts(),
            "by_rule": by_rule.to_dicts(),
        },
    )
    voice.note(f"next: rulekit annotate PAIRS --rules RULES --judge {arguments.judge}")
    if gap is not None:
        raise gap


def order_effects(arguments: SimpleNamespace) -> None:
    """Rate some pairs in other orders, and tell how much the ratings differ."""
    from rulekit.files import write_atomically
    from rulekit.judges import orders

    for name in ("adapter", "k", "until", "step", "max_rules", "export"):
        if getattr(arguments, name) is not None:
            raise ValueError(f"--order-effects takes no {_option(name)}")
    if arguments.order_effects < 1:
        raise ValueError(f"--order-effects is {arguments.order_effects}; allowed: 1 or more")
    pairs, rules = _pairs(arguments), _rules(arguments)
    table = orders.order_effects(pairs, rules, _judge(arguments), arguments.order_effects)
    path = write_atomically(Path(arguments.out) / "order_effects.parquet", table.write_parquet)
    Voice.of(arguments).result(
        f"{shown(table)}\nnot from the store, and not kept in it; {path}",
        {"files": {"order_effects": path}, "order_effects": table.to_dicts()},
    )


# Arguments ---------------------------------------------------------------------------------------


def _refuse_unused(arguments: SimpleNamespace) -> None:
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


def _pairs(arguments: SimpleNamespace):
    from rulekit.inputs import load_pairs, sources

    if arguments.pairs is None:
        raise ValueError("no pairs; allowed: a file, or one of " + ", ".join(sources.SOURCES))
    return load_pairs(arguments.pairs)


def _rules(arguments: SimpleNamespace):
    from rulekit.inputs.rules import RuleSet

    return RuleSet.load(arguments.rules or "embedded")


def _judge(arguments: SimpleNamespace):
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


def _report(ledger, out: Path, store, judge, rules, voice: Voice) -> dict:
    """Write the ledger and say what is in it."""
    from rulekit import __version__
    from rulekit.files import write_json

    spent = dict(store.spending(judge.identity))
    caveats = list(judge.caveats(rules))
    told = ledger.as_dict() | {
        "all_runs": spent,
        "caveats": caveats,
        "judge": judge.identity,
        "rules_sha256": rules.hash,
        "n_rules": len(rules),
        "rulekit": __version__,
    }
    write_json(out / "ledger.json", told)
    rate = ledger.rated / ledger.seconds if ledger.seconds else 0.0
    voice.note(
        f"{ledger.rated:,} ratings made ({rate:,.0f} a second), {ledger.stored:,} found in the "
        f"store, {ledger.failed:,} failed; cost {ledger.cost:.4g}, of all runs "
        f"{spent.get('cost', 0.0):.4g}"
    )
    for caveat in caveats:
        voice.warn(caveat)
    for name, value in _figures(ledger).items():
        voice.note(f"{name.lower()}: {value}")
    if models := [name.partition(": ")[2] for name in spent if name.startswith("model: ")]:
        voice.note(f"answered by: {', '.join(models)}")
    if ledger.repeated or ledger.not_named:
        voice.note(
            f"saved: {ledger.repeated:,} of {ledger.plain:,} because responses repeat, "
            f"{ledger.not_named:,} because their rules were not needed"
        )
    return told

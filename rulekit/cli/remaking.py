"""Which ratings a changed rule set asks for, and what they cost by what those before have cost.

Rules, their changes, a store and pairs come in; counts and costs go out. `rulekit rules diff` calls this.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from rulekit.inputs import RuleSet

_CELLS = 2**18  # ratings looked up at a time


def needs(
    rules: RuleSet, changes: pl.DataFrame, store: str | None, pairs: pl.DataFrame | None
) -> list[dict]:
    """What has to be rated for the new rules, for each judge of the store.

    Parameters
    ----------
    rules
        The new rules.
    changes
        What became of each rule: the frame that `rulekit.inputs.diff_rules` gives.
    store
        File of the ratings that there are; None: nothing is known of any.
    pairs
        Canonical frame of the pairs to rate; None: the responses of the store.

    Returns
    -------
    One mapping a judge: `judge` (None without a store), `responses` (None where they are not known),
    `rules` (id → ratings to make, of the rules that lack some), `ratings` (their sum; None where
    responses are not known), `cost`, `tokens` and `seconds` (of them, None where the store tells
    none).

    Raises
    ------
    FileNotFoundError
        If there is no such store.
    ValueError
        If the store is empty or damaged.
    """
    if store is None:
        return [_without_store(rules, changes, pairs)]
    from rulekit.rating.store import Store

    if not Path(store).is_file():
        raise FileNotFoundError(f"no such file: {store}; allowed: a store of ratings")
    with Store(store) as opened:
        judges = opened.judges()
        if not judges:
            raise ValueError(f"{store}: no judge has rated into it; allowed: a store with ratings")
        return [_of_judge(opened, judge, rules, pairs) for judge in judges]


def said(found: list[dict]) -> list[str]:
    """The same in sentences."""
    lines = []
    for told in found:
        who = f"{told['judge']:.60}: " if told["judge"] else ""
        if told["ratings"] is None:
            n = len(told["rules"])
            lines.append(
                f"{n} rule{'s'[: n != 1]} to rate anew, 1 rating a response each; --store or "
                "--pairs says how many that are"
                if n
                else "nothing to rate anew"
            )
            continue
        if not told["ratings"]:
            lines.append(f"{who}nothing to rate anew")
            continue
        line = (
            f"{who}{told['ratings']:,} ratings to make anew, {len(told['rules'])} rules over "
            f"{told['responses']:,} responses"
        )
        if told["cost"]:
            line += f"; cost about {told['cost']:.4g}, by what ratings in the store have cost"
        if told["tokens"]:
            line += f"; {told['tokens']:,.0f} tokens"
        if told["seconds"]:
            line += f"; about {_duration(told['seconds'])} as before"
        lines.append(line)
    return lines


def _without_store(rules: RuleSet, changes: pl.DataFrame, pairs: pl.DataFrame | None) -> dict:
    anew = changes.filter(changes["change"].is_in(["added", "reworded"]))["rule"].to_list()
    n = None if pairs is None else len(_responses(pairs)[0])
    return {
        "judge": None,
        "responses": n,
        "rules": dict.fromkeys(anew, n),
        "ratings": None if n is None else n * len(anew),
        "cost": None,
        "tokens": None,
        "seconds": None,
    }


def _of_judge(store, judge: str, rules: RuleSet, pairs: pl.DataFrame | None) -> dict:
    import numpy as np

    from rulekit.rating.store import keys, rule_key

    responses = store.responses(judge)
    if pairs is not None:
        ways = _responses(pairs)
        used = [way for way in ways if np.isin(way, responses).any()]
        responses = np.concatenate(used or ways[:1])
    rule_keys = keys([rule_key(text) for text in rules.texts])
    lacks, step = np.zeros(len(rules), np.int64), max(1, _CELLS // len(rules))
    for start in range(0, len(responses), step):
        p = store.get(judge, responses[start : start + step], rule_keys)
        lacks += np.isnan(p[..., 0]).sum(axis=0)
    n, spent = int(lacks.sum()), store.spending(judge)
    each = {name: spent[name] / spent["rated"] if spent["rated"] else 0.0 for name in _SPENT}
    return {
        "judge": judge,
        "responses": len(responses),
        "rules": {rule.id: int(k) for rule, k in zip(rules, lacks, strict=True) if k},
        "ratings": n,
        **{name: n * value or None for name, value in each.items()},
    }


_SPENT = ("cost", "tokens", "seconds")


def _responses(pairs: pl.DataFrame) -> list:
    """Keys of what is rated: single responses, pairs with A shown first, and with B."""
    import numpy as np

    from rulekit.rating.store import keys, response_key

    rows = pairs["prompt", "response_a", "response_b"].rows()
    single = [response_key(prompt, side) for prompt, *sides in rows for side in sides]
    first = [response_key(prompt, (a, b)) for prompt, a, b in rows]
    second = [response_key(prompt, (b, a)) for prompt, a, b in rows]
    return [np.unique(keys(each)) for each in (single, first, second)]


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"

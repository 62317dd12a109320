"""The rule prototyper as data: what is written and its ratings come in, a row a new rule goes out.

`rule_prototype_widget` has its controls, and rates while one types.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import polars as pl
from IPython.display import HTML

from rulekit.inputs import Rule, RuleSet, Scores, check_rules, diff_rules, prompt_text
from rulekit.rating import RuleTrial
from rulekit.studies import agreement_with, deciding_pairs, new_rule_rows, preferred
from rulekit.tables import responses, table, text_html

SHARES = ("coverage", "shared", "agree", "right")
NAMES = {
    "state": "rating",
    "most_like": "most like",
    "shared": "shares with it",
    "agree": "agrees with it",
    "right": "votes right",
    "information": "bits",
    "p": "p",
    "remarks": "remarks",
}
_ROW = ("coverage", "decisive", "right", "information", "p", "most_like", "shared", "agree")


@dataclass(frozen=True)
class PrototypeState:
    """What is chosen in the rule prototyper.

    Attributes
    ----------
    text
        What is written: a rule a line, or YAML.
    chosen
        Id of the new rule whose pairs are shown; empty for the first.
    accepted
        Rules that were accepted into the set.
    """

    text: str = ""
    chosen: str = ""
    accepted: tuple[Rule, ...] = ()


@dataclass(frozen=True, eq=False)
class Bench:
    """What the prototyper works on.

    Attributes
    ----------
    rules
        The set that there is.
    scores
        Of the trial's pairs under these rules; None if they were not rated.
    trial
        The sample with its judge and budget.
    """

    rules: RuleSet
    scores: Scores | None
    trial: RuleTrial


def written_rules(state: PrototypeState, rules: RuleSet) -> tuple[RuleSet | None, str]:
    """The rules that are written, and why there are none.

    Parameters
    ----------
    state
        What is chosen.
    rules
        The set that there is: what it has keeps its id, and no other rule gets one of these.

    Returns
    -------
    A rule set, or None with a sentence: nothing is written, or it cannot be read.
    """
    if not any(line.strip() and line.strip()[0] != "#" for line in state.text.split("\n")):
        return None, "Nothing is written yet."
    try:
        found = RuleSet.from_text(state.text)
    except ValueError as error:
        return None, f"{error}"
    there, taken = {r.text: r for r in rules}, set(rules.ids)
    new = (r if r.id not in taken else replace(r, id=f"{r.id}-new") for r in found)
    return RuleSet(tuple(there.get(r.text, r) for r in new)), ""


def prototype_data(state: PrototypeState, bench: Bench, lint: bool = True) -> dict[str, object]:
    """What follows from what is written, as far as it is rated.

    Parameters
    ----------
    state
        What is chosen.
    bench
        What it is about.
    lint
        Look for near-duplicates, too; its first time loads the offline encoder.

    Returns
    -------
    ``rows``, one a new rule: rule, text, state (rated, waiting, or why it is not rated), the
    columns of `rulekit.studies.new_rule_rows` and remarks; ``lint`` of `check_rules`; ``cost``
    of `RuleTrial.cost` for what is not rated, ``chosen`` (an id), its ``agreement`` with each old
    rule and its ``deciding`` pairs; ``said``, why there are no rules; ``set``, the rules with the
    accepted ones; ``diff`` of these to the set that there was.
    """
    whole = RuleSet((*bench.rules, *state.accepted))
    new, said = written_rules(state, whole)
    found = {"rows": None, "lint": None, "cost": None, "chosen": "", "agreement": None}
    found |= {"deciding": None, "said": said, "set": whole, "diff": diff_rules(bench.rules, whole)}
    if new is None:
        return found
    remarks = _lint(whole, new, lint)
    old_texts = {r.text: r.id for r in whole}
    states = bench.trial.states
    told = {
        name: "; ".join(f"{r} ({w})" for r, w in zip(part["remark"], part["found"], strict=True))
        for (name,), part in remarks.group_by(["rule"])
    }
    rows = pl.DataFrame(
        {
            "rule": new.ids,
            "text": new.texts,
            "state": [
                f"already in the set: {old_texts[r.text]}"
                if r.text in old_texts
                else states.get(r.text, "not rated")
                for r in new
            ],
            "remarks": [told.get(r.id, "") for r in new],
        }
    )
    scores = bench.trial.scores(new)
    if scores is not None:
        figures = new_rule_rows(bench.trial.pairs, scores, bench.scores)
        rows = rows.join(figures, "rule", how="left", maintain_order="left")
    chosen = state.chosen if state.chosen in new.ids else new.ids[0]
    if scores is not None and chosen in scores.names:
        pairs, at = bench.trial.pairs, scores.names.index(chosen)
        found["deciding"] = deciding_pairs(pairs, scores, chosen, bench.scores)
        if bench.scores is not None:
            found["agreement"] = agreement_with(pairs, scores.columns([at]), bench.scores)
    open_rules = [r for r in new if r.text not in old_texts]
    cost = bench.trial.cost(RuleSet(tuple(open_rules))) if open_rules else None
    return found | {"rows": rows, "lint": remarks, "cost": cost, "chosen": chosen}


def cost_words(cost: dict[str, float] | None) -> str:
    """What rating would take, in a sentence; empty where nothing is to be rated."""
    if cost is None or not cost["ratings"]:
        return ""
    price = f", about {cost['price']:.4g} by the judge's prices" if cost["price"] else ""
    over = " That is over the budget: no rule that does not fit is rated."
    return (
        f"Rating what is written takes {cost['ratings']:,} ratings (about {cost['tokens']:,} tokens "
        f"of a language model{price}); {cost['left']:,} are left of the budget."
        + (over if cost["ratings"] > cost["left"] else "")
    )


def rows_table(data: dict[str, object]):
    """The new rules as a table."""
    rows = data["rows"]
    shown = ["rule", "text", "state", *(c for c in _ROW if c in rows.columns), "remarks"]
    percent = [c for c in (*SHARES, "decisive") if c in shown]
    mark = pl.col("rule") == data["chosen"]
    return table(rows.select(shown), "New rules", names=NAMES, percent=percent, mark=mark)


def deciding_views(data: dict[str, object]) -> list[HTML]:
    """The pairs in which the chosen rule decides, side by side, with what it does to their label."""
    views = []
    for pair in data["deciding"].iter_rows(named=True):
        said = f"δ {pair['discrepancy']:+.2f} under {data['chosen']}".replace("-", "−", 1)
        if pair["changes"]:
            said += (
                f"; it turns the label: {preferred(pair['before'])} → {preferred(pair['after'])}"
            )
        views.append(
            responses(
                prompt_text(pair["prompt"]),
                pair["response_a"],
                pair["response_b"],
                label=said,
                known=preferred(pair["preference"]),
            )
        )
    return views


def prototype_picture(state: PrototypeState, bench: Bench) -> list[object]:
    """What a page without a kernel shows: the new rules, their likeness, and the deciding pairs."""
    data = prototype_data(state, bench)
    if data["rows"] is None:
        return [HTML(f"<p>{text_html(data['said'])}</p>")]
    parts = [rows_table(data)]
    if words := cost_words(data["cost"]):
        parts.append(HTML(f"<p>{text_html(words)}</p>"))
    if data["agreement"] is not None:
        parts.append(agreement_table(data))
    if data["deciding"] is not None:
        title = f"Pairs in which {data['chosen']} decides"
        parts += [HTML(f"<p><b>{text_html(title)}</b></p>"), *deciding_views(data)]
    if state.accepted:
        parts.append(diff_table(data["diff"]))
    return parts


def agreement_table(data: dict[str, object], most: int = 8):
    """The old rules that the chosen new one is most like."""
    return table(
        data["agreement"].head(most).drop("rule"),
        f"Most like {data['chosen']}",
        names={"other": "old rule", "both": "pairs with both votes", "shared": "shared"},
        percent=("agree", "shared"),
    )


def diff_table(diff: pl.DataFrame):
    """What was changed in the set."""
    changed = diff.filter(pl.col("change") != "unchanged")
    return table(changed.select("rule", "change", "new"), "Changes to the set")


@lru_cache(maxsize=32)
def _lint_of(old: tuple[Rule, ...], new: tuple[Rule, ...], near_duplicates: bool) -> pl.DataFrame:
    ids = {r.id for r in new}
    every = RuleSet((*(r for r in old if r.id not in ids), *new))
    found = check_rules(every, near_duplicates=near_duplicates)
    return found.filter(pl.col("rule").is_in(list(ids)))


def _lint(old: RuleSet, new: RuleSet, near_duplicates: bool) -> pl.DataFrame:
    return _lint_of(old.rules, new.rules, near_duplicates)

"""One pair on its way through the method: scores come in, the figures of each step go out.

Notebooks 0 to 3 show them, most often of the pair of the course: its rules with the scores of both
responses, its neighbours, what a second judge says, and what its label owes to the order of the rules.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from scipy.stats import hypergeom

from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges import Judge
from rulekit.judges import score as rate
from rulekit.selection.registry import Selection
from rulekit.studies.phrases import as_code, percent

_STEP = 1e-6  # of |δ|; in the same step two rules tie, as for `rulekit.select`
_NEAR = 0.1  # of |δ|: in a picture such a point seems to lie on the middle
_TERMS = 12  # of a sum that is written out


def pair_steps(scores: Scores, selection: Selection, row: int, shown: int = 6) -> pl.DataFrame:
    """The loudest rules of one pair, with the scores of both responses and what is chosen.

    Parameters
    ----------
    scores, selection
        Of n_pairs pairs, and the rules chosen for each.
    row
        Which pair.
    shown
        Rules at most: all that are chosen, then those of largest \\|δ\\|.

    Returns
    -------
    A row a rule, the loudest first: ``rule``, ``a`` and ``b``, the scores in [-1, 1],
    ``discrepancy`` in [-2, 2] and ``chosen``.
    """
    chosen = set(selection.aligned(scores.identity).indices[row].tolist())
    delta = scores.discrepancy[row].astype(float)
    order = sorted(range(len(delta)), key=lambda j: (j not in chosen, -abs(delta[j])))[:shown]
    order.sort(key=lambda j: -abs(delta[j]))
    return pl.DataFrame(
        {
            "rule": [scores.names[j] for j in order],
            "a": [float(scores.a[row, j]) for j in order],
            "b": [float(scores.b[row, j]) for j in order],
            "discrepancy": [float(delta[j]) for j in order],
            "chosen": [j in chosen for j in order],
        }
    )


def sum_said(scores: Scores, selection: Selection, row: int) -> str:
    """The sum that labels one pair, written out, the loudest rule first.

    Parameters
    ----------
    scores, selection, row
        As for `pair_steps`.

    Returns
    -------
    One sentence. Rules with δ = 0 are left out; more than twelve others are counted, not written.
    """
    kept = pair_steps(scores, selection, row, scores.n_rules).filter("chosen")["discrepancy"]
    terms = [value for value in kept if abs(value) > _STEP]
    if not terms:
        return "No rule that is kept tells the two responses apart: the sum is 0."
    if len(terms) == 1:
        return f"The one rule that is kept and tells the two apart makes the sum: {_shortest(terms[0])}."
    if len(terms) > _TERMS:
        told = f"it is the sum of {len(terms)} δ, {_shortest(sum(terms))}"
    else:
        told = f"{' '.join(map(_shortest, terms))} = {_shortest(sum(terms))}"
    return f"The black box belongs to all rules that are kept, not to one line: {told}."


def _shortest(value: float) -> str:
    """A number with its sign and two decimals at most: +2, −.07."""
    if abs(value) <= _STEP:
        return "0"
    text = f"{value:+.2f}"
    if abs(value) >= 0.995:
        text = text.removesuffix(".00")
    return text.replace("+0.", "+.").replace("-0.", "-.").replace("-", "−")


def vote_cells(
    pairs: pl.DataFrame, scores: Scores, row: int, n_pairs: int = 12, n_rules: int = 12
) -> pl.DataFrame:
    """Some pairs under some rules: for which response does each rule speak?

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    row
        The pair that stands first; its loudest rules come first.
    n_pairs
        Pairs at most, each of another prompt.
    n_rules
        Rules at most; those that speak most often fill up.

    Returns
    -------
    A row a pair and rule: ``pair``, ``rule`` and ``says``: ``for A``, ``for B`` or ``the same of both``.
    """
    scores = scores.of(pairs)
    votes, size = scores.votes, np.abs(scores.discrepancy)
    often = np.argsort(-(votes != 0).mean(axis=0), kind="stable")
    own = [j for j in np.argsort(-size[row], kind="stable") if votes[row, j]]
    rules = list(dict.fromkeys([*own, *often.tolist()]))[:n_rules]
    groups = prompt_groups(pairs)
    first = pl.DataFrame({"row": range(len(pairs)), "prompt": groups})
    first = first.filter(pl.col("prompt") != groups[row]).unique("prompt", maintain_order=True)
    rows = first["row"].to_numpy()
    at = np.linspace(0, len(rows) - 1, min(n_pairs - 1, len(rows))).round().astype(int)
    words = {1: "for A", -1: "for B", 0: "the same of both"}
    cells = [
        (pairs["pair_id"][int(i)], scores.names[j], words[int(votes[i, j])])
        for i in [row, *rows[at].tolist()]
        for j in rules
    ]
    return pl.DataFrame(cells, schema=["pair", "rule", "says"], orient="row")


def strip_said(pairs: pl.DataFrame, scores: Scores, cells: pl.DataFrame) -> str:
    """How the cells were chosen, what an id says, and how many rules speak for either response.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores.
    cells
        From `vote_cells` of these.

    Returns
    -------
    Markdown, three sentences or more.
    """
    first, shown, rules = cells["pair"][0], cells["pair"].n_unique(), cells["rule"].n_unique()
    said = [
        f"Shown: {shown} pairs, each of another prompt, `{first}` first; and {rules} rules, first "
        "those that speak on this pair, then those that speak most often.",
        _id_said(pairs.filter(pl.col("pair_id") == first).row(0, named=True)),
    ]
    sides = cells.filter(pl.col("says").is_in(["for A", "for B"])).group_by("rule")
    here = int((sides.agg(pl.col("says").n_unique())["says"] == 2).sum())
    votes = scores.of(pairs).votes
    a, b = (votes > 0).sum(axis=0), (votes < 0).sum(axis=0)
    said.append(
        f"{here} of these {rules} columns have both colours; over all {len(pairs):,} pairs "
        f"{int(((a > 0) & (b > 0)).sum())} of the {len(a)} rules do."
    )
    one, silent = (a + b)[(a == 0) != (b == 0)], int((a + b == 0).sum())
    if len(one):
        said.append(
            f"{len(one)} {'speaks' if len(one) == 1 else 'speak'} for one side only, on {one.max():,} "
            f"pairs at most{f', and {silent} never' if silent else ''}."
        )
    return " ".join(part for part in said if part)


def _id_said(pair: dict) -> str:
    """What the parts of a pair's id are, where it is made of the ids of its responses."""
    a, b = pair.get("response_id_a") or "", pair.get("response_id_b") or ""
    (prompt, _, one), (_, _, two) = a.rpartition(":"), b.rpartition(":")
    if not prompt or pair["pair_id"] != f"{prompt}:{one}-{two}":
        return ""
    return (
        f"In an id, `{prompt}` is the prompt, and {one} and {two} are two of its responses: here "
        f"{one} is A, and {two} is B."
    )


def rules_disagree(scores: Scores) -> float:
    """Share of the pairs on which some rule speaks for A and some other for B.

    Parameters
    ----------
    scores
        Of n_pairs pairs.
    """
    votes = scores.votes
    return float(((votes > 0).any(axis=1) & (votes < 0).any(axis=1)).mean())


def second_opinion(
    pairs: pl.DataFrame, rules: RuleSet, scores: Scores, row: int, judge: Judge, shown: int = 8
) -> pl.DataFrame:
    """One pair's discrepancies by the ratings at hand, and by a judge that is asked here.

    Parameters
    ----------
    pairs, rules, scores
        n_pairs pairs under n_rules rules, and their scores.
    row
        Which pair.
    judge
        The other judge.
    shown
        Rules at most, the loudest first, whoever says so.

    Returns
    -------
    A row a rule: ``rule``, ``first`` and ``second`` discrepancy in [-2, 2].
    """
    scores = scores.of(pairs)
    other = rate(pairs[row : row + 1], rules, judge)
    other = other.columns(rules_in_order(other, scores.names))
    ours, theirs = scores.discrepancy[row].astype(float), other.discrepancy[0].astype(float)
    order = np.argsort(-(np.abs(ours) + np.abs(theirs) / 2), kind="stable")[:shown]
    return pl.DataFrame(
        {"rule": [scores.names[j] for j in order], "first": ours[order], "second": theirs[order]}
    )


def opposed_said(opinion: pl.DataFrame) -> str:
    """On which rules two judges differ although a point of theirs seems to lie on the middle.

    Parameters
    ----------
    opinion
        From `second_opinion`.

    Returns
    -------
    One sentence; empty where every such difference can be seen.
    """
    ends = pl.min_horizontal(pl.col("first").abs(), pl.col("second").abs())
    found = opinion.filter((pl.col("first") * pl.col("second") < 0) & (ends < _NEAR))
    told = [
        f"{as_code(row['rule'])}: {_shortest(row['first'])} and {_shortest(row['second'])}"
        for row in found.iter_rows(named=True)
    ]
    if not told:
        return ""
    return (
        "A point a little left or right of the middle is a vote, too. In the picture that is hard to see "
        f"({'; '.join(told)})."
    )


def rules_in_order(scores: Scores, names: Sequence[str]) -> list[int]:
    """Columns of the named rules."""
    at = {name: j for j, name in enumerate(scores.names)}
    return [at[name] for name in names]


def label_by_order(scores: Scores, row: int, ks: Sequence[int] = (1, 2, 3, 4, 5)) -> pl.DataFrame:
    """What the label of one pair is over all orders in which equally loud rules may stand.

    Parameters
    ----------
    scores
        Of n_pairs pairs.
    row
        Which pair.
    ks
        Rules of largest \\|δ\\|.

    Returns
    -------
    Three rows a k: ``k``, ``label`` (A, tie, B) and ``share`` of the orders that give it, exactly.
    """
    rows = [
        {"k": k, "label": name, "share": share}
        for k in ks
        for name, share in zip(("A", "tie", "B"), _shares(scores.discrepancy[row], k), strict=True)
    ]
    return pl.DataFrame(rows)


def order_decides(scores: Scores, ks: Sequence[int] = (1, 2, 3, 5, 10)) -> pl.DataFrame:
    """On how many pairs the label hangs on the order in which equally loud rules stand.

    Parameters
    ----------
    scores
        Of n_pairs pairs.
    ks
        Rules of largest \\|δ\\|.

    Returns
    -------
    A row a k: ``k``, ``tied``, share of the pairs in which more rules tie for the last places than
    there is room for, and ``decides``, share in which the label is not the same for every order.
    """
    delta, rows = scores.discrepancy, []
    steps = np.sort(np.rint(np.abs(delta) / _STEP), axis=1)[:, ::-1]
    for k in ks:
        tied = steps[:, k - 1] == steps[:, k] if k < steps.shape[1] else np.zeros(len(steps), bool)
        tied &= steps[:, k - 1] > 0
        moves = [tied[i] and max(_shares(delta[i], k)) < 1 - 1e-12 for i in range(len(delta))]
        rows.append({"k": k, "tied": float(tied.mean()), "decides": float(np.mean(moves))})
    return pl.DataFrame(rows)


def _shares(delta: np.ndarray, k: int) -> tuple[float, float, float]:
    """Shares of the orders of equally loud rules that label A, a tie and B."""
    delta = np.asarray(delta, dtype=np.float64)
    steps = np.rint(np.abs(delta) / _STEP)
    last = np.sort(steps)[::-1][min(k, len(steps)) - 1]
    louder, same = steps > last, steps == last
    base, size, drawn = delta[louder].sum(), last * _STEP, int(min(k, len(delta)) - louder.sum())
    for_a = int((same & (delta > 0)).sum())
    j = np.arange(drawn + 1)
    chance = hypergeom.pmf(j, int(same.sum()), for_a, drawn)
    margin = base + size * (2 * j - drawn)
    near = len(delta) * _STEP
    return (
        float(chance[margin > near].sum()),
        float(chance[np.abs(margin) <= near].sum()),
        float(chance[margin < -near].sum()),
    )


def order_said(scores: Scores, row: int, ks: Sequence[int] = (1, 2, 3, 4, 5)) -> str:
    """What the order of the rules does to the label of one pair, in words.

    Parameters
    ----------
    scores, row, ks
        As for `label_by_order`.
    """
    delta = scores.discrepancy[row]
    steps = np.rint(np.abs(delta) / _STEP)
    top = np.flatnonzero((steps == steps.max()) & (steps > 0))
    if not len(top):
        return "No rule tells the two responses of this pair apart, so every label of it is a tie."
    shares = {k: _shares(delta, k) for k in ks}
    moved = [k for k in ks if max(shares[k]) < 1 - 1e-12]
    n_a = int((delta[top] > 0).sum())
    if len(top) == 1:
        side = "A" if n_a else "B"
        said = (
            f"One rule alone has the largest |δ| of this pair, and it speaks for {side}: at k = 1 the "
            "order of the list changes nothing."
        )
    elif 0 < n_a < len(top):
        at_a, _, at_b = _shares(delta, 1)
        said = (
            f"{len(top)} rules share the largest |δ| of this pair: {n_a} for A, {len(top) - n_a} for "
            f"B. **At k = 1 the order of the list flips the label**: A in {percent(at_a, 0)} of the "
            f"orders, B in {percent(at_b, 0)}."
        )
    else:
        said = (
            f"{len(top)} rules share the largest |δ| of this pair, all for {'A' if n_a else 'B'}: at "
            "k = 1 their order changes nothing."
        )
    if moved:
        return f"{said} The label hangs on the order at k = {', '.join(map(str, moved))}."
    return f"{said} At no k drawn here does the label hang on the order."


def order_title(grid: pl.DataFrame, k: int) -> str:
    """The finding of a frame of `selection_grid` at one k, with its band over orders of the rules.

    Parameters
    ----------
    grid
        From `rulekit.studies.selection_grid`, with `all` and `max_discrepancy` among its methods.
    k
        Rules per pair.
    """
    at = {r["name"]: r for r in grid.filter(pl.col("k") == k).iter_rows(named=True)}
    few, every = at["max_discrepancy"], at["all"]
    ends = [percent(few[end]) for end in ("order_low", "order_high")]
    band = "in every order" if ends[0] == ends[1] else f"{' to '.join(ends)} over orders"
    return (
        f"The {k} loudest rules are right on {percent(few['value'])} ({band} of the rules), all "
        f"rules on {percent(every['value'])}"
    )


def order_decides_said(decides: pl.DataFrame) -> str:
    """What `order_decides` says, in one sentence.

    Parameters
    ----------
    decides
        From `order_decides`.
    """
    told = ", ".join(
        f"{percent(row['decides'], 0)} at k = {row['k']}" for row in decides.iter_rows(named=True)
    )
    if not (decides["decides"].max() or 0.0):
        return "On no pair of this run does the label hang on the order of equally loud rules."
    return f"Share of all pairs whose label hangs on the order of equally loud rules: {told}."

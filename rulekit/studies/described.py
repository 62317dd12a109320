"""What the pairs of a run are like, before anybody rates them: pairs come in, facts and words go out.

Notebook 1 shows them: how many, how long, how often doubled, and whether length or place gives the
preference away.
"""

from __future__ import annotations

import polars as pl

from rulekit.inputs.pairs import conversation, prompt_groups, prompt_text
from rulekit.inputs.rules import RuleSet
from rulekit.measures import mean_accuracy, pairwise_accuracy, wilson
from rulekit.studies.phrases import listed, percent, with_interval
from rulekit.studies.selection_accuracy import length_margin

_EXAMPLE = "violence-01:b-d"  # of the embedded corpus: five loud rules against the known choice
_COUNTED = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}


def example_pair(pairs: pl.DataFrame) -> dict:
    """The pair that a page shows: the course's own, else the first that is known, else the first.

    Parameters
    ----------
    pairs
        Canonical frame.

    Returns
    -------
    Its row, and ``row``, its place in the frame.

    Raises
    ------
    ValueError
        If there are no pairs.
    """
    numbered = pairs.with_row_index("row")
    for some in (pl.col("pair_id") == _EXAMPLE, pl.col("preference").abs() == 1, pl.lit(True)):
        if len(found := numbered.filter(some)):
            return found.row(0, named=True)
    raise ValueError("no pairs; allowed: one or more")


def pair_facts(pairs: pl.DataFrame) -> pl.DataFrame:
    """How many pairs there are, how long, how often doubled, and what is known of them.

    Parameters
    ----------
    pairs
        Canonical frame.

    Returns
    -------
    Columns ``fact``, ``value`` and ``remark``, all texts, a row a fact; null where there is no remark.
    """
    groups = prompt_groups(pairs)
    per = groups.value_counts()["count"]
    each = f"{per.max()}" if per.min() == per.max() else f"{per.min()} to {per.max()}"
    said = pairs["preference"].fill_null(9).value_counts()
    counts = dict(zip(said["preference"], said["count"], strict=True))
    sides = pl.concat([pairs["response_a"], pairs["response_b"]])
    prompts = pl.Series([prompt_text(p) for p in pairs["prompt"].to_list()], dtype=pl.String)
    same, again = doubled(pairs)
    rows = [
        ("pairs", f"{len(pairs):,}", ""),
        ("prompts", f"{len(per):,}", f"{each} pairs each"),
        (
            "known preference",
            f"{counts.get(1, 0) + counts.get(-1, 0):,}",
            f"A {counts.get(1, 0):,}, B {counts.get(-1, 0):,}; tied {counts.get(0, 0):,}, "
            f"not known {counts.get(9, 0):,}",
        ),
        ("different responses", f"{_distinct(pairs):,}", "each is rated once"),
        ("length of a response, characters", *_lengths(sides)),
        ("length of a prompt, characters", *_lengths(prompts)),
        ("two responses that differ in spacing or case only", f"{same:,}", ""),
        ("pairs that say what another pair says", f"{again:,}", "same prompt, same two responses"),
    ]
    found = pl.DataFrame(rows, schema=["fact", "value", "remark"], orient="row")
    return found.with_columns(pl.col("remark").replace("", None))


def _lengths(texts: pl.Series) -> tuple[str, str]:
    n = texts.str.len_chars()
    return (
        f"{n.median():,.0f}",
        f"median; one in ten above {n.quantile(0.9):,.0f}, the longest {n.max():,}",
    )


def _distinct(pairs: pl.DataFrame) -> int:
    rows = pairs["prompt", "response_a", "response_b"].iter_rows()
    return len({(conversation(prompt), r) for prompt, *sides in rows for r in sides})


def doubled(pairs: pl.DataFrame) -> tuple[int, int]:
    """Pairs whose responses differ in spacing or case only, and pairs that repeat another's texts.

    Parameters
    ----------
    pairs
        Canonical frame.
    """

    def plain(text: str) -> str:
        return " ".join(text.lower().split())

    keys = [
        (conversation(prompt), *sorted((plain(a), plain(b))))
        for prompt, a, b in pairs["prompt", "response_a", "response_b"].iter_rows()
    ]
    return sum(a == b for _, a, b in keys), len(keys) - len(set(keys))


def simple_baselines(pairs: pl.DataFrame) -> pl.DataFrame:
    """How often the longer response, and the first one, is the preferred: what a method has to beat.

    Parameters
    ----------
    pairs
        Canonical frame; pairs without a known preference are left out.

    Returns
    -------
    Two rows, ``name`` and the fields of `rulekit.measures.Accuracy`; none where nothing is known.
    """
    known = pairs.filter(pl.col("preference").abs() == 1)
    if known.is_empty():
        return pl.DataFrame(schema={"name": pl.String, "value": float, "low": float, "high": float})
    groups, y = prompt_groups(known).to_list(), known["preference"].to_numpy()
    longer = pairwise_accuracy(length_margin(known), y, groups)
    first = mean_accuracy((y > 0).astype(float), groups)
    return pl.DataFrame(
        [
            {"name": "the longer response", **longer.as_dict()},
            {"name": "the first response (A)", **first.as_dict()},
        ]
    )


def rules_by_category(rules: RuleSet) -> pl.DataFrame:
    """Number of rules in each category, the largest first.

    Parameters
    ----------
    rules
        Any rule set.

    Returns
    -------
    Columns ``name`` and ``value``.
    """
    counts = pl.Series("name", rules.categories).value_counts(name="value")
    return counts.sort(["value", "name"], descending=[True, False])


def reach_of_labels(n: int = 30, coverage: float | None = None) -> str:
    """What n known preferences, each of another prompt, would tell, in one sentence.

    Parameters
    ----------
    n
        Number of pairs to be labelled.
    coverage
        Share of the pairs on which a rule votes, in (0, 1], for what could be said of one rule.
    """
    least = next((k for k in range(n // 2, n + 1) if wilson(k, n)[0] > 0.5), None)
    if least is None:
        return f"{n} labels are too few to tell any accuracy from chance."
    half = _half_width(n)
    said = (
        f"{n} labels of different prompts would tell labels that are right on {percent(least / n, 0)} "
        f"or more of the pairs from chance, and would know that figure to about ± {half:.0f} points"
    )
    votes = 0 if coverage is None else round(n * coverage)
    if votes >= 2:
        said += (
            f"; a single rule, which votes on about {votes} of them, to ± {_half_width(votes):.0f}"
        )
    return f"{said}. `rulekit label SCORES --pairs PAIRS --ask` asks for them."


def _half_width(n: int, at: float = 0.7) -> float:
    """Half the width of Wilson's interval at an accuracy, in points of per cent."""
    low, high = wilson(at * n, n)
    return 100 * (high - low) / 2


def data_findings(pairs: pl.DataFrame, baselines: pl.DataFrame, remarks: int, n_rules: int) -> str:
    """What can be measured on these pairs, and what gives the preference away, in sentences.

    Parameters
    ----------
    pairs
        Canonical frame.
    baselines
        From `simple_baselines`.
    remarks, n_rules
        Rules that `rulekit.inputs.check_rules` remarks on, and all rules.

    Returns
    -------
    Markdown.
    """
    known = pairs.filter(pl.col("preference").abs() == 1)
    said = [_reach(known, len(pairs))]
    for row in baselines.iter_rows(named=True):
        said.append(_baseline(row))
    same, again = doubled(pairs)
    if same + again:
        said.append(
            f"{again:,} pairs repeat another and {same:,} compare a response with itself: they count "
            "more often than they should, or say nothing."
        )
    if remarks:
        said.append(
            f"{remarks} of the {n_rules} rules {'has' if remarks == 1 else 'have'} a remark above: reword "
            "before a judge is paid, since a reworded rule has to be rated anew."
        )
    else:
        said.append(f"None of the {n_rules} rules has a remark.")
    return listed(said)


def _reach(known: pl.DataFrame, n_pairs: int) -> str:
    n = len(known)
    if not n:
        return (
            f"The preferred response is known for none of the {n_pairs:,} pairs: agreement of the "
            f"rules, coverage and cost can be shown, accuracy cannot. {reach_of_labels()}"
        )
    sizes = prompt_groups(known).value_counts()["count"]
    prompts = len(sizes)
    best, worst = f"{_half_width(n):.0f}", f"{_half_width(max(prompts, 2)):.0f}"
    reach = f"to about ± {best} points"
    if best != worst:
        told = "all pairs"
        if sizes.n_unique() == 1:
            told = f"the {_COUNTED.get(sizes[0], sizes[0])} pairs"
        reach += (
            f" if every pair is a case of its own; ± {worst} if {told} of a prompt count as one case; "
            "the truth lies between"
        )
    return (
        f"{n:,} known pairs of {prompts:,} prompts: with these data an accuracy (say 70 %) is known "
        f"{reach}. Smaller differences cannot be shown with them."
    )


def _baseline(row: dict) -> str:
    name = f"{row['name']} is the preferred one in {with_interval(row)} of the known pairs"
    if row["name"].startswith("the first") and row["value"] in (0.0, 1.0):
        return (
            f"The preferred response is always {'A' if row['value'] else 'B'}, as where it is read from a "
            "column `chosen`: a judge that leans to a place would look right without reading. Ask "
            "pairwise judges in both orders."
        )
    if row["high"] < 0.5:
        return (
            f"{name[0].upper()}{name[1:]}: turned round it is right on {percent(1 - row['value'])}, and "
            "a method has to do better than that to have read anything."
        )
    if row["low"] > 0.5:
        return f"{name[0].upper()}{name[1:]}: a method has to do better than that to have read anything."
    return f"{name[0].upper()}{name[1:]}, which cannot be told from a coin."

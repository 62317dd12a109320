"""Named data sets: a name comes in, checked preference pairs (with ratings, or labels) go out.

`embedded` comes with the kit. The others are read from the folder named by the environment
variable RULEKIT_DATA, or downloaded once from their public home into the cache, by
`rulekit.inputs.downloads`. None of their rows is part of this project.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import resource
from rulekit.inputs import readings
from rulekit.inputs.downloads import (
    HH_PAIRS,
    JUDGE_VOTES,
    JUDGES,
    RBR_GOLD,
    VOTE_TABLE,
    XSTEST_PAIRS,
    obtain,
)
from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import conversation
from rulekit.inputs.readers import read_pairs
from rulekit.inputs.rules import Rule, RuleSet
from rulekit.inputs.scores import Scores

_DEAD_ZONES = {"embedded": 0.0, "hh-rule-votes": 0.01, **dict.fromkeys(readings.READ, 0.0)}
RATED = tuple(_DEAD_ZONES)  # data sets that come with ratings under rules
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Source:
    """A named data set: what it is, under what licence, and how its files are had."""

    name: str
    description: str
    licence: str
    home: str


SOURCES = {
    s.name: s
    for s in (
        Source(
            "embedded",
            "prompts with four ranked responses each, written for rulekit",
            "CC-BY-4.0",
            "data/pairs.jsonl",
        ),
        Source(
            "hh-rlhf/harmless-base-test",
            "Anthropic HH-RLHF, human preferences, 2,312 pairs",
            "MIT",
            "github.com/anthropics/hh-rlhf",
        ),
        Source(
            "hh-rule-votes",
            "1,162 of those pairs, rated by an LLM under 21 rules (Buyl et al. 2025)",
            "none stated",
            "github.com/maartenbuyl/alignment-discretion",
        ),
        Source(
            "hh-read",
            "300 of those pairs, each response read by itself under the kit's 100 rules",
            "MIT",
            "github.com/anthropics/hh-rlhf",
        ),
        Source(
            "hh-judge-votes",
            "the same pairs, compared by three LLMs without any rule, in both orders",
            "none stated",
            "github.com/maartenbuyl/alignment-discretion",
        ),
        Source(
            "openai-rbr",
            "351 completions, each labelled by people under 23 propositions (Mu et al. 2024)",
            "MIT",
            "github.com/openai/safety-rbr-code-and-data",
        ),
        Source(
            "xstest",
            "976 pairs from XSTest v2 (Röttger et al. 2024), labels of refusal",
            "CC-BY-4.0",
            "github.com/paul-rottger/exaggerated-safety",
        ),
        Source(
            "xstest-read",
            "300 of those pairs, each response read by itself under the kit's 100 rules",
            "CC-BY-4.0",
            "github.com/paul-rottger/exaggerated-safety",
        ),
    )
}


def load_pairs(path: str | Path, *, skip_invalid: bool = False) -> pl.DataFrame:
    """Preference pairs of a named data set, or of files in any common layout.

    The layout is found from the columns; `rulekit.inputs.LAYOUTS` lists the layouts, data/README.md
    explains them, `rulekit.inputs.describe` says which one a file has. Two responses with
    ``preference``, ``winner`` or a strength; ``chosen`` and ``rejected`` (chosen becomes A,
    preference +1, or 0 where ``score_chosen`` and ``score_rejected`` are equal); several responses
    ranked or scored, or single responses rated, which become all pairs of their prompt. Columns
    that the layout does not speak of are kept.

    Parameters
    ----------
    path
        One of ``sources.SOURCES`` such as ``embedded``; a file of JSONL or JSON (also gzipped),
        Parquet, CSV (separated by commas, semicolons or tabs) or Arrow, whose ending names the
        format; a folder, whose files are read in the order of their names; the folder of a data set
        that ``datasets`` saved or that was cloned from a hub, which names its files itself; or a
        glob of any of these.
    skip_invalid
        Leave rows out that cannot be used, with a warning that counts them by reason, instead
        of refusing the file.

    Returns
    -------
    The canonical frame, in the order of the files; without a `pair_id` a pair is named by the
    number of its row, from 0, counted through all files.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For an unknown ending, an unknown or an ambiguous layout, and, unless `skip_invalid`, for the first row that
        cannot be used: the message names file, line or row, column and what is allowed.
    """
    if path in SOURCES:
        return load(str(path))
    try:
        return read_pairs(path, skip_invalid=skip_invalid)
    except FileNotFoundError as error:
        names = ", ".join(SOURCES)
        raise FileNotFoundError(f"{error}; allowed: files, or one of {names}") from None


def load(name: str) -> pl.DataFrame:
    """The pairs of a named data set, in the canonical frame of `rulekit.load_pairs`.

    Parameters
    ----------
    name
        One of ``SOURCES``.

    Raises
    ------
    ValueError
        For an unknown name, or content whose SHA-256 is not the one pinned here.
    FileNotFoundError
        If the data is neither under RULEKIT_DATA nor to be had from its public home.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; allowed: {', '.join(SOURCES)}")
    if name == "embedded":
        return read_pairs(resource("data/pairs.jsonl"))
    if name in readings.READ:
        whole = load("hh-rule-votes" if name == "hh-read" else "xstest")
        return readings.read_rows(whole, name)
    if name == "openai-rbr":
        raise ValueError("'openai-rbr' holds single responses, no pairs; `load_labelled` reads it")
    if name == "xstest":
        pairs = read_pairs(obtain(XSTEST_PAIRS))
        name = pl.concat_str("id", "chosen_model", "rejected_model", separator=":")
        return pairs.with_columns(pair_id=name).sort("pair_id")
    pairs = read_pairs(obtain(HH_PAIRS), skip_invalid=True)  # four rows hold an empty response
    if name in ("hh-rule-votes", "hh-judge-votes"):
        rated = _votes()["row_id"].unique()
        pairs = pairs.filter(pl.col("pair_id").cast(pl.Int64).is_in(rated.implode()))
    return pairs


def load_ratings(name: str, dead_zone: float | None = None) -> tuple[RuleSet, Scores]:
    """The ratings that come with a data set, aligned with the pairs that `load` returns.

    ``embedded``: the annotations of `data/pairs.jsonl`, score +1 where a response satisfies a
    rule, -1 where it violates it and 0 where the rule is irrelevant; a pair's relevance is the
    mean over its two responses. ``hh-rule-votes``: the LLM compared the responses, so δ =
    P(chosen) - P(rejected) and relevance = 1 - P(neither), each renormalised to sum to 1.
    ``hh-read`` and ``xstest-read``: each response was read by itself, score half its grade; see
    `rulekit.inputs.readings`.

    Parameters
    ----------
    name
        Of the data set.
    dead_zone
        |δ| below it become 0, in [0, 2]. By default .01 for ``hh-rule-votes``, else 0.

    Raises
    ------
    ValueError
        If the data set comes without ratings, or a dead zone is out of range.

    Notes
    -----
    The LLM of ``hh-rule-votes`` always saw the chosen response first. Where it decides, that
    hardly matters; its leanings far below a decision say which place a response had: the signs of
    |δ| < .001 alone predict the human choice at .84. `rulekit.studies.position_audit` shows it.
    Figures from ``dead_zone=0`` leak the answer.
    """
    if name not in _DEAD_ZONES:
        allowed = ", ".join(_DEAD_ZONES)
        raise ValueError(f"{name!r} comes without ratings under rules; allowed: {allowed}")
    dead_zone = _DEAD_ZONES[name] if dead_zone is None else dead_zone
    if not 0 <= dead_zone <= 2:
        raise ValueError(f"dead_zone is {dead_zone}; allowed: 0 to 2")
    rules, pairs = RuleSet.load(name), load(name)
    if name != "hh-rule-votes":
        if dead_zone:
            raise ValueError(
                f"dead_zone is {dead_zone}; allowed: 0, the grades of {name!r} are few"
            )
        if name in readings.READ:
            return rules, readings.read_scores(pairs, rules, name)
        return rules, _annotated_scores(pairs, rules)
    votes = _votes().sort("row_id", "rule")
    p = votes.select("p_chosen", "p_rejected", "p_neither").to_numpy()
    return rules, _vote_scores(p.reshape(-1, len(rules), 3), votes, pairs, rules, dead_zone)


def load_both_orders(judge: str = "gpt-4o") -> tuple[pl.DataFrame, Scores, Scores]:
    """An LLM's comparisons of HH-RLHF pairs without any rule, asked in both orders.

    Parameters
    ----------
    judge
        ``gpt-4o``, ``deepseek-v3`` or ``claude-3.5-sonnet``.

    Returns
    -------
    The pairs of ``hh-judge-votes`` (the first response is the one that people chose), and for each
    of them δ, (n_pairs, 1): asked with the first response shown first, and with the second.

    Raises
    ------
    ValueError
        For an unknown judge.
    """
    if judge not in JUDGES:
        raise ValueError(f"unknown judge {judge!r}; allowed: {', '.join(JUDGES)}")
    rules = RuleSet((Rule("better", "The response is the better one.", "no rule"),))
    pairs = load("hh-judge-votes")
    votes = (
        pl.read_csv(obtain(JUDGE_VOTES)).filter(pl.col("judge") == judge).sort("order", "row_id")
    )
    p = votes.select("p_chosen", "p_rejected", "p_neither").to_numpy().reshape(2, -1, 1, 3)
    first, second = (_vote_scores(one, votes, pairs, rules, 0.0) for one in p)
    return pairs, first, second


@dataclass(frozen=True, eq=False)
class Labelled:
    """Single responses with known labels, what a judge is measured against.

    Attributes
    ----------
    prompts
        Texts or lists of messages, (n_responses,).
    responses
        Texts, (n_responses,).
    rules
        n_rules rules.
    scores
        +1 satisfied, -1 violated, 0 irrelevant, float32 (n_responses, n_rules); of readings half
        the grade, in [-1, 1].
    """

    prompts: list[str | list[dict]]
    responses: list[str]
    rules: RuleSet
    scores: np.ndarray

    def under(self, columns: Sequence[int]) -> Labelled:
        """The same responses under some of the rules, by their positions."""
        rules = RuleSet(tuple(self.rules[int(j)] for j in columns))
        return Labelled(self.prompts, self.responses, rules, self.scores[:, columns])


def by_response(pairs: pl.DataFrame, rules: RuleSet, scores: Scores) -> Labelled:
    """Ratings of pairs as labels of their responses, each response once.

    Parameters
    ----------
    pairs, rules, scores
        Pairs, and scores of their responses, each rated by itself, under the rules.
    """
    scores = scores.of(pairs)
    found: dict[tuple, tuple] = {}
    for i, (prompt, *sides) in enumerate(
        pairs.select("prompt", "response_a", "response_b").iter_rows()
    ):
        for response, values in zip(sides, (scores.a, scores.b), strict=True):
            found.setdefault((conversation(prompt), response), (prompt, values[i]))
    prompts, labels = zip(*found.values(), strict=True)
    responses = [response for _, response in found]
    return Labelled(list(prompts), responses, rules, np.stack(labels).astype(np.float32))


def joined_labels(*parts: Labelled) -> Labelled:
    """Labelled responses of several data sets under the same rules, as one.

    Parameters
    ----------
    parts
        At least one; one that is given n times counts n times.

    Raises
    ------
    ValueError
        If the rules differ.
    """
    if any(p.rules.digests != parts[0].rules.digests for p in parts):
        raise ValueError("labelled responses under other rules; allowed: the same in all parts")
    return Labelled(
        [x for p in parts for x in p.prompts],
        [x for p in parts for x in p.responses],
        parts[0].rules,
        np.concatenate([p.scores for p in parts]),
    )


def load_labelled(name: str, split: str | None = None) -> Labelled:
    """Single responses labelled under every rule.

    ``embedded``: the annotated responses of the corpus, all or of one split (train, validation,
    test). ``openai-rbr``: OpenAI's RBR gold data, train part; +1 where people marked a proposition
    as true of the completion, -1 where not, under our wording of the 23 propositions
    (`data/rbr-rules.yaml`). Completions without text are left out. ``hh-read`` and ``xstest-read``:
    the responses that were read under the kit's rules, half the grade.

    Raises
    ------
    ValueError
        For a data set without labels, or an unknown split.
    """
    if name == "embedded":
        rules, pairs = RuleSet.load("embedded"), load(name)
        if split not in (None, *SPLITS):
            raise ValueError(f"unknown split {split!r}; allowed: {', '.join(SPLITS)}")
        if split:
            pairs = pairs.filter(pl.col("split") == split)
        texts = {}
        for row in pairs.iter_rows(named=True):
            for side in "ab":
                texts[row[f"response_id_{side}"]] = row["prompt"], row[f"response_{side}"]
        names, scores = annotations(pairs, rules)
        prompts, responses = zip(*(texts[n] for n in names), strict=True)
        return Labelled(list(prompts), list(responses), rules, scores)
    if name == "openai-rbr":
        rules = RuleSet.load("openai-rbr")
        with obtain(RBR_GOLD).open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        rows = [r for r in rows if r["completion"][-1]["content"].strip()]
        labels = [[1 if r["propositions"][i] else -1 for i in rules.ids] for r in rows]
        prompts = [r["prompt"] for r in rows]
        responses = [r["completion"][-1]["content"] for r in rows]
        return Labelled(prompts, responses, rules, np.array(labels, np.float32))
    if name in readings.READ:
        return by_response(load(name), *load_ratings(name))
    allowed = ", ".join(("embedded", "openai-rbr", *readings.READ))
    raise ValueError(f"{name!r} comes without labels; allowed: {allowed}")


def annotations(pairs: pl.DataFrame, rules: RuleSet) -> tuple[list[str], np.ndarray]:
    """Annotated responses of ranked pairs: ids (n_responses,) and scores -1, 0, +1 (n_responses, n_rules).

    Raises
    ------
    ValueError
        If an annotation names a rule that is not in the set, or one both ways.
    """
    return _annotated(pairs.select("prompt_id", "annotations").iter_rows(), rules)


def second_reading() -> tuple[list[str], np.ndarray, np.ndarray, RuleSet]:
    """The responses of the corpus that a second, independent reader annotated.

    Returns
    -------
    Ids ``prompt_id:response`` (n_responses,), the first and the second reader's scores -1, 0, +1
    (n_responses, n_rules) each, and the rules.
    """
    rules = RuleSet.load("embedded")
    entries = ((row["prompt_id"], row["responses"]) for row in _lines("second-reading"))
    names, second = _annotated(entries, rules)
    every, first = annotations(load("embedded"), rules)
    row_of = {name: i for i, name in enumerate(every)}
    return names, first[[row_of[n] for n in names]], second, rules


def second_rankings() -> list[tuple[list[str], list[str]]]:
    """The first and the second reader's orders of response ids, best first, prompt by prompt."""
    first = {row["prompt_id"]: row["ranking"] for row in _lines("pairs")}
    return [(first[row["prompt_id"]], row["ranking"]) for row in _lines("second-reading")]


def _lines(name: str) -> list[dict]:
    text = resource(f"data/{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def _annotated(prompts, rules: RuleSet) -> tuple[list[str], np.ndarray]:
    position = {rule_id: j for j, rule_id in enumerate(rules.ids)}
    rated: dict[str, np.ndarray] = {}
    for prompt_id, entries in prompts:
        for entry in entries:
            name = f"{prompt_id}:{entry['id']}"
            if name in rated:
                continue
            scores = np.zeros(len(rules), np.float32)
            for field, value in (("satisfies", 1.0), ("violates", -1.0)):
                for rule_id in entry[field]:
                    if rule_id not in position:
                        raise ValueError(f"response {name}: {field} names no rule: {rule_id!r}")
                    if scores[position[rule_id]]:
                        raise ValueError(f"response {name}: rule {rule_id!r} is annotated twice")
                    scores[position[rule_id]] = value
            rated[name] = scores
    return list(rated), np.stack(list(rated.values()))


def _annotated_scores(pairs: pl.DataFrame, rules: RuleSet) -> Scores:
    names, rated = annotations(pairs, rules)
    row_of = {name: i for i, name in enumerate(names)}
    a, b = (rated[[row_of[n] for n in pairs[c]]] for c in ("response_id_a", "response_id_b"))
    return Scores(a, b, (abs(a) + abs(b)) / 2, identity=Identity.of(rules, pairs))


def _votes() -> pl.DataFrame:
    return pl.read_csv(obtain(VOTE_TABLE))


def _vote_scores(
    p: np.ndarray, votes: pl.DataFrame, pairs: pl.DataFrame, rules: RuleSet, dead_zone: float
) -> Scores:
    """Scores of the pairs from P(chosen), P(rejected), P(neither) of the voted rows, sorted."""
    p = p / p.sum(axis=2, keepdims=True)
    rows = {str(r): i for i, r in enumerate(votes["row_id"].unique().sort())}
    p = p[[rows[i] for i in pairs["pair_id"]]]  # (n_pairs, n_rules, 3)
    delta, relevance = p[..., 0] - p[..., 1], 1 - p[..., 2]
    delta[np.abs(delta) < dead_zone] = 0.0
    identity = Identity.of(rules, pairs)
    return Scores.from_discrepancy(delta, relevance.clip(0, 1), identity=identity)

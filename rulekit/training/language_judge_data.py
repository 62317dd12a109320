"""Recorded ratings as examples for a language-model judge: texts and ratings in, token trees out.

`language_judge` trains on them. An example is a conversation with some of its rules, or, for a judge
that compared, the two conversations of a pair under the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from rulekit.files import sha256
from rulekit.inputs import sources
from rulekit.inputs.pairs import conversation
from rulekit.inputs.readings import READ
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.judges.local.shared_pass import Tree
from rulekit.training.batches import Pass

# Names of ratings that come with the kit, and of real ones whose texts are found in RULEKIT_DATA.
RATINGS = ("embedded", *(f"embedded:{s}" for s in sources.SPLITS), *READ, "hh-rule-votes")


@dataclass(frozen=True, eq=False)
class Ratings:
    """What one judge said, to be learned by another.

    Attributes
    ----------
    prompts
        Texts or lists of messages, (n,).
    responses
        Of each prompt one text, or a tuple of two that were compared, (n,).
    rules
        n_rules rules.
    target
        Of single responses P(no), P(irrelevant), P(yes), (n, n_rules, 3); of pairs the discrepancy
        in [-1, 1], above 0 where the first satisfies the rule better, (n, n_rules). NaN: not rated.

    Raises
    ------
    ValueError
        If shapes do not fit, a target is out of range, or none is given.
    """

    prompts: list[str | list[dict]]
    responses: list[str] | list[tuple[str, str]]
    rules: RuleSet
    target: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.responses), len(self.rules)) + (() if self.compares else (3,))
        if self.target.shape != shape or len(self.prompts) != shape[0]:
            raise ValueError(
                f"ratings: target {self.target.shape} of {len(self.prompts)} prompts; allowed: {shape}"
            )
        given = self.target[~np.isnan(self.target)]
        low = -1 if self.compares else 0
        if given.size and not (given.min() >= low and given.max() <= 1):
            raise ValueError(f"ratings: a target beyond {low} to 1; allowed: from {low} to 1")
        if not given.size:
            raise ValueError("ratings: none of them is given; allowed: at least one")

    @property
    def compares(self) -> bool:
        """Whether responses were compared."""
        return bool(self.responses) and isinstance(self.responses[0], tuple)

    def take(self, rows: Sequence[int]) -> Ratings:
        """The ratings of these rows."""
        rows = [int(i) for i in rows]
        texts = ([x[i] for i in rows] for x in (self.prompts, self.responses))
        return Ratings(*texts, self.rules, self.target[rows])

    def under(self, columns: Sequence[int]) -> Ratings:
        """The ratings under these rules."""
        rules = RuleSet(tuple(self.rules[int(j)] for j in columns))
        return Ratings(self.prompts, self.responses, rules, self.target[:, columns])


def soft_targets(scores: np.ndarray) -> np.ndarray:
    """Scores in [-1, 1] as probabilities of no, irrelevant, yes.

    A score s of a relevant rule is P(yes) = (1 + s) / 2; 0 is irrelevant; NaN stays NaN.

    Parameters
    ----------
    scores
        (n, n_rules).

    Returns
    -------
    (n, n_rules, 3) float32.
    """
    s = np.asarray(scores, np.float32)
    apart = (s == 0).astype(np.float32)
    found = np.stack([(1 - s) / 2 * (1 - apart), apart, (1 + s) / 2 * (1 - apart)], axis=-1)
    found[np.isnan(s)] = np.nan
    return found


def pair_ratings(pairs: pl.DataFrame, rules: RuleSet, scores: Scores) -> Ratings:
    """Discrepancies of pairs, 0 where the two responses do not differ: not to be learned, NaN.

    Parameters
    ----------
    pairs, rules, scores
        n_pairs pairs and a judge's scores of them under n_rules rules.
    """
    delta = np.array(scores.of(pairs).discrepancy, np.float32)
    delta[delta == 0] = np.nan
    sides = (pairs[c].to_list() for c in ("response_a", "response_b"))
    return Ratings(pairs["prompt"].to_list(), list(zip(*sides, strict=True)), rules, delta)


def load_recorded(name: str) -> Ratings:
    """Ratings by their name, one of `RATINGS`.

    Raises
    ------
    ValueError
        For an unknown name.
    FileNotFoundError
        If the texts are not to be had.
    """
    if name not in RATINGS:
        raise ValueError(f"unknown ratings {name!r}; allowed: {', '.join(RATINGS)}")
    if name == "hh-rule-votes":
        rules, scores = sources.load_ratings(name)
        return pair_ratings(sources.load(name), rules, scores)
    data = sources.load_labelled(*re.split(":", name))
    return Ratings(data.prompts, data.responses, data.rules, soft_targets(data.scores))


def without_prompts(ratings: Ratings, others: Sequence[Ratings]) -> Ratings:
    """The ratings whose prompts none of the others has.

    Raises
    ------
    ValueError
        If none is left.
    """
    seen = {conversation(p) for other in others for p in other.prompts}
    kept = [i for i, p in enumerate(ratings.prompts) if conversation(p) not in seen]
    if not kept:
        raise ValueError("every prompt to train on is one to measure on; allowed: other prompts")
    return ratings.take(kept)


def left_out_rules(rules: RuleSet, n: int, seed: int) -> np.ndarray:
    """Positions of n rules drawn by the seed, sorted: what a judge shall not have seen."""
    if n >= len(rules):
        raise ValueError(f"left_out is {n}; allowed: below {len(rules)}, the number of rules")
    return np.sort(np.random.default_rng(seed).permutation(len(rules))[:n])


@dataclass(frozen=True, eq=False)
class JudgeExamples:
    """Conversations with rules, tokenised: what the trainer packs.

    Attributes
    ----------
    trees
        Of each example one tree, or two of a pair under the same rules.
    target
        Of each example (n_rules, 3), or for a pair (n_rules,), float32.
    names
        What to call each in a message.
    """

    trees: list[tuple[Tree, ...]]
    target: list[np.ndarray]
    names: list[str]

    def __len__(self) -> int:
        return len(self.trees)

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of each example, int64 (n,)."""
        each = (sum(len(t.prefix) + sum(map(len, t.suffixes)) for t in ts) for ts in self.trees)
        return np.fromiter(each, np.int64, len(self.trees))

    @property
    def n_ratings(self) -> int:
        """Ratings of all examples together."""
        return sum(map(len, self.target))

    def __getitem__(self, part: Pass) -> dict:
        """One packed pass: the trees of its examples, and what the trainer needs of them."""
        import torch

        from rulekit.training.tree_passes import lay_out

        row = lay_out([tree for i in part.rows for tree in self.trees[i]])
        return {
            "row": row,
            "input_ids": row.ids[None],
            "targets": [torch.from_numpy(self.target[i]) for i in part.rows],
            "weight": torch.from_numpy(part.weight.astype(np.float32)),
            "rows": part.rows,
        }

    def digest(self) -> str:
        """Hash of token ids and targets."""
        told = [t for trees in self.trees for tree in trees for t in (tree.prefix, tree.suffixes)]
        return sha256(repr(told).encode() + b"".join(t.tobytes() for t in self.target))


def judge_examples(
    ratings: Sequence[Ratings], judge, *, rules_at_once: int, irrelevant: float | None, seed: int
) -> JudgeExamples:
    """Trees of all ratings that are to be learned.

    Parameters
    ----------
    ratings
        Of one or several sources; rules may differ.
    judge
        A `LocalJudge`: its prompt, tokens and cuts.
    rules_at_once, irrelevant, seed
        As in `LanguageJudgeConfig`.

    Raises
    ------
    ValueError
        If a rule is too long, or nothing is left.
    """
    rng = np.random.default_rng(seed)
    trees, targets, names = [], [], []
    for number, part in enumerate(ratings):
        chosen = _chosen(part, irrelevant, rng)
        sides = zip(*part.responses, strict=True) if part.compares else [part.responses]
        found = [judge.trees(part.prompts, list(side), part.rules, chosen) for side in sides]
        by_row = [
            {int(rows[0]): (tree, columns) for tree, (rows, columns) in zip(*side, strict=True)}
            for side in found
        ]
        for i in sorted(set.intersection(*map(set, by_row))):
            columns = by_row[0][i][1]
            order = rng.permutation(len(columns))
            for some in np.array_split(order, -(-len(order) // rules_at_once)):
                split = tuple(
                    Tree(side[i][0].prefix, [side[i][0].suffixes[k] for k in some])
                    for side in by_row
                )
                trees.append(split)
                targets.append(np.ascontiguousarray(part.target[i, columns[some]], np.float32))
                names.append(f"{number}:{i}")
    if not trees:
        raise ValueError("no rating is left to train on; allowed: at least one")
    return JudgeExamples(trees, targets, names)


def _chosen(ratings: Ratings, irrelevant: float | None, rng: np.random.Generator) -> np.ndarray:
    """Which ratings are learned, bool (n, n_rules)."""
    if ratings.compares:
        return ~np.isnan(ratings.target)
    given = ~np.isnan(ratings.target[..., 0])
    apart = given & (ratings.target[..., 1] > 0.5)
    if irrelevant is None:
        return given
    wanted = np.ceil(irrelevant * (given & ~apart).sum(axis=1, keepdims=True))
    rank = np.where(apart, rng.random(given.shape), 2.0).argsort(axis=1).argsort(axis=1)
    return (given & ~apart) | (apart & (rank < wanted))

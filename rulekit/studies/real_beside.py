"""Responses read one by one beside the same pairs compared by an LLM; and what reading costs.

Two kinds of scores of the same pairs come in, frames go out. Notebook 19 shows them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from rulekit.inputs import readings, sources
from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.labels import label
from rulekit.measures import cohen_kappa, mean_accuracy, mean_difference, mean_interval
from rulekit.studies.gains import shares_right, truth_of

# Rules of the two sets that are about the same, found by reading them: category here → ids there.
TOPICS = {
    "helpfulness": ("ccai-00", "ccai-11"),
    "violence": ("ccai-04", "ccai-07", "ccai-12"),
    "respect": ("ccai-03",),
    "fairness": ("ccai-02", "ccai-05", "ccai-06", "ccai-14", "ccai-15", "ccai-16"),
    "honesty": ("ccai-08", "ccai-09", "ccai-10", "ccai-13"),
}


def beside_votes(
    pairs: pl.DataFrame, scores: Scores, zones: Sequence[float] = (0.0, 0.01, 0.1, 0.5)
) -> pl.DataFrame:
    """Sum of pointwise readings against the sum of an LLM's pairwise votes, by dead zone of the votes.

    Parameters
    ----------
    pairs, scores
        Those of ``hh-read``.
    zones
        Dead zones: \\|δ\\| of a vote below it counts as 0. At 0 the votes leak which response was shown
        first, which was always the chosen one.

    Returns
    -------
    A row a dead zone: ``zone``; ``value``, ``low``, ``high``, the votes' agreement with people, and
    ``ties``; ``readings``, that of the readings; ``gain``, readings less votes on the same pairs, with
    ``gain_low``, ``gain_high``, ``gain_p``; ``same``, the share with the same label where neither is
    tied, with ``same_low`` and ``same_high``, and ``kappa``, Cohen's.
    """
    scores, y = scores.of(pairs), truth_of(pairs)
    known, groups = y != 0, prompt_groups(pairs).to_numpy()
    own = label(scores).margin
    right, rows = shares_right(own, y), []
    for zone in zones:
        votes = label(sources.load_ratings("hh-rule-votes", zone)[1].of(pairs)).margin
        other = shares_right(votes, y)
        found = mean_accuracy(other[known], groups[known])
        gain = mean_difference((right - other)[known], groups[known])
        row = {"zone": zone, "value": found.value, "low": found.low, "high": found.high}
        row |= {"ties": int((votes == 0).sum()), "readings": float(right[known].mean())}
        row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
        rows.append(row | {"gain_p": gain.p_value} | _same(own, votes, groups))
    return pl.DataFrame(rows)


def beside_topics(pairs: pl.DataFrame, scores: Scores) -> pl.DataFrame:
    """Do readings and votes agree on rules of one topic, and which predicts people better there?

    Parameters
    ----------
    pairs, scores
        Those of ``hh-read``.

    Returns
    -------
    A row a topic of `TOPICS`: ``topic``; ``n``, pairs on which both sums speak; ``same``, the share on
    which they prefer the same response, with its interval over prompts, and ``kappa``; ``readings``
    and ``votes``, how often each is people's choice on these pairs; ``gain``, the difference, with
    ``gain_low``, ``gain_high``, ``gain_p``.
    """
    scores, y = scores.of(pairs), truth_of(pairs)
    rules, votes = sources.load_ratings("hh-rule-votes")
    votes, groups = votes.of(pairs), prompt_groups(pairs).to_numpy()
    category = np.array(RuleSet.load("hh-read").categories)
    rows = []
    for topic, names in TOPICS.items():
        own = label(scores.columns(np.flatnonzero(category == topic))).margin
        other = label(votes.columns(np.array([rules.ids.index(n) for n in names]))).margin
        row = {"topic": topic, "n": int(((own != 0) & (other != 0)).sum())}
        row |= _same(own, other, groups)
        use = (own != 0) & (other != 0) & (y != 0)
        first, second = (shares_right(m, y)[use] for m in (own, other))
        gain = mean_difference(first - second, groups[use])
        row |= {"readings": float(first.mean()), "votes": float(second.mean())}
        row |= {"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high}
        rows.append(row | {"gain_p": gain.p_value})
    return pl.DataFrame(rows)


def _same(one: np.ndarray, other: np.ndarray, groups: np.ndarray) -> dict:
    """How often two margins have one sign where neither is 0, and κ."""
    use = (one != 0) & (other != 0)
    a, b = np.sign(one[use]), np.sign(other[use])
    low, high = mean_interval((a == b).astype(float), groups[use], bounds=(0, 1))
    told = {"same": float((a == b).mean()), "same_low": low, "same_high": high}
    return told | {"kappa": cohen_kappa(a, b)}


def listed_rules(pairs: pl.DataFrame, source: str) -> np.ndarray:
    """The rules that were listed from each prompt before a response was seen, bool (n_pairs, n_rules).

    Parameters
    ----------
    pairs
        Those that were read.
    source
        ``hh-read`` or ``xstest-read``.
    """
    rules = RuleSet.load(source)
    row = {name: i for i, name in enumerate(pairs["pair_id"])}
    column = {name: j for j, name in enumerate(rules.ids)}
    found = np.zeros((len(pairs), len(rules)), bool)
    told = readings.grades(source).filter(pl.col("pass") == "first").select("pair_id", "rule")
    for pair, rule in told.unique().iter_rows():
        found[row[pair], column[rule]] = True
    return found


def label_stability(
    pairs: pl.DataFrame, scores: Scores, source: str, seed: int = 0, orders: int = 10
) -> pl.DataFrame:
    """How many rules of a pair have to be rated until its label stops changing.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs that were read, and their scores.
    source
        ``hh-read`` or ``xstest-read``.
    seed, orders
        Of the random orders; figures are means over them.

    Returns
    -------
    A row an order: ``order``: ``random``; ``listed first``, the rules listed from the prompt in random
    order before all others; ``loudest rules first``, by mean \\|δ\\| over the other pairs; ``largest |δ|
    first``, which nobody can know before rating: the least that is needed. ``rules``, mean number until the sum
    of all rules' label stands and stays, its interval over prompts ``low`` and ``high``; ``ratings``,
    twice as many; ``median`` and ``most`` (of nine in ten pairs); ``n`` pairs, without those that are
    tied in the end.
    """
    scores = scores.of(pairs)
    delta, final = scores.discrepancy.astype(float), label(scores).preference
    told, rng = final != 0, np.random.default_rng(seed)
    groups = prompt_groups(pairs).to_numpy()[told]
    size = np.abs(delta)
    loud = (size.sum(axis=0) - size) / max(len(pairs) - 1, 1)  # over the other pairs
    first = listed_rules(pairs, source)
    settled: dict[str, list[np.ndarray]] = {}
    for _ in range(orders):
        chance = rng.random(delta.shape)
        keys = {"random": chance, "listed first": chance - first}
        keys |= {
            "loudest rules first": 1e-9 * chance - loud,
            "largest |δ| first": chance / 4 - size,
        }
        for name, key in keys.items():
            order = np.argsort(key, axis=1)
            settled.setdefault(name, []).append(_settled(delta, order, final)[told])
    rows = []
    for name, drawn in settled.items():
        each = np.mean(drawn, axis=0)
        low, high = mean_interval(each, groups, bounds=(1, scores.n_rules))
        row = {"order": name, "rules": float(each.mean()), "low": low, "high": high}
        row |= {"ratings": 2 * row["rules"], "median": float(np.median(drawn))}
        rows.append(row | {"most": float(np.quantile(drawn, 0.9)), "n": int(told.sum())})
    return pl.DataFrame(rows)


def _settled(delta: np.ndarray, order: np.ndarray, final: np.ndarray) -> np.ndarray:
    """Rules rated when the label has become the final one for good, (n_pairs,)."""
    sums = np.cumsum(np.take_along_axis(delta, order, axis=1), axis=1)
    other = np.sign(np.where(np.abs(sums) < 1e-6, 0, sums)) != final[:, None]
    return 1 + np.where(other.any(axis=1), delta.shape[1] - other[:, ::-1].argmax(axis=1), 0)

"""Which pairs to ask people about: accuracy by number of labels, chosen pairs against random ones.

Names of simulated regimes and of rated data sets come in; curves with intervals, the labels that a
choice saves, and what they mean in words go out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from tqdm.auto import tqdm

from rulekit.files import watched
from rulekit.inputs.pairs import prompt_groups
from rulekit.inputs.scores import Scores
from rulekit.inputs.sources import load
from rulekit.measures import mean_interval
from rulekit.selection.active import CRITERIA, Questions, ask_order, label_progress
from rulekit.selection.estimates import estimate
from rulekit.studies.comparison import data_splits
from rulekit.theory.simulation import REGIMES, simulate

RATED = ("embedded", "hh-rule-votes")
_MATTER = 0.005  # what 100 random labels add in a world in which labels matter
_TEST_SHARE = 0.3


def label_choice_curves(
    worlds: Sequence[str] = REGIMES,
    counts: Sequence[int] = (0, 10, 20, 30, 40, 60, 80, 100),
    criteria: Sequence[str] = CRITERIA,
    *,
    n_rules: int = 20,
    n_pairs: int = 300,
    n_test: int = 3000,
    draws: int = 10,
    step: int = 1,
    seed: int = 0,
) -> pl.DataFrame:
    """Accuracy of weighted labels on unseen pairs by number of labels, for each way to choose them.

    Parameters
    ----------
    worlds
        Regimes of `rulekit.theory.REGIMES`, and data sets that come with ratings: ``embedded``,
        ``hh-rule-votes`` (its dead zone applies).
    counts
        Numbers of labels to measure at, each 0 or more.
    criteria
        Of `rulekit.selection.ask_order`; of a data set, prompts asked about the least come first.
    n_rules, n_pairs, n_test
        Of a simulated world: rules, rated pairs that can be asked about, unseen pairs.
    draws
        Simulated worlds, or random splits of a data set by prompt with 30 % unseen.
    step
        Pairs that are asked about before the next choice.
    seed
        Of the draws.

    Returns
    -------
    A row a world, criterion, count and draw: ``world``, ``criterion``, ``labels``, ``draw``,
    ``accuracy`` on the unseen pairs, ``others``, that on the pairs not asked about, which
    ``expected``, ``low``, ``high`` of `rulekit.selection.label_progress` speak of, and its
    ``gain`` and ``next_ten``.

    Raises
    ------
    ValueError
        For an unknown world or criterion, or more labels than there are pairs with a preference.
    """
    known = (*REGIMES, *RATED)
    for name, given, allowed in (("worlds", worlds, known), ("criteria", criteria, CRITERIA)):
        if unknown := [g for g in given if g not in allowed]:
            raise ValueError(f"{name}: {', '.join(unknown)} unknown; allowed: {', '.join(allowed)}")
    if step < 1 or draws < 1:
        raise ValueError(f"step is {step}, draws {draws}; allowed: 1 or more")
    rows = []
    for world in worlds:
        cases = _cases(world, n_rules, n_pairs, n_test, draws, seed)
        for draw, case in enumerate(tqdm(cases, world, draws, disable=not watched())):
            for criterion in criteria:
                about = {"world": world, "criterion": criterion, "draw": draw}
                for row in _curve(*case, sorted(set(counts)), criterion, step, seed + draw):
                    rows.append(about | row)
    return pl.DataFrame(rows)


def label_choice_table(curves: pl.DataFrame) -> pl.DataFrame:
    """Means of `label_choice_curves` over draws, with their intervals.

    Parameters
    ----------
    curves
        From `label_choice_curves`.

    Returns
    -------
    A row a world, criterion and count: ``accuracy`` with ``low`` and ``high``, 95 % of the mean over
    draws (splits of one data set share pairs: there it is the noise of splitting); ``expected``
    and ``others``; ``covered``, the share of draws whose interval held what came out; and
    ``next_ten``, what was expected of ten more.
    """
    rows = []
    for (world, criterion, labels), part in curves.group_by(
        "world", "criterion", "labels", maintain_order=True
    ):
        low, high = mean_interval(part["accuracy"].to_numpy())
        inside = (part["low"] <= part["others"] + 1e-9) & (part["others"] <= part["high"] + 1e-9)
        rows.append(
            {
                "world": world,
                "criterion": criterion,
                "labels": labels,
                "accuracy": part["accuracy"].mean(),
                "low": low,
                "high": high,
                "expected": part["expected"].mean(),
                "others": part["others"].mean(),
                "covered": inside.mean(),
                "next_ten": part["next_ten"].mean(),
            }
        )
    return pl.DataFrame(rows)


def labels_saved(curves: pl.DataFrame, labels: int = 100) -> pl.DataFrame:
    """How many chosen labels reach what so many random ones reach.

    Parameters
    ----------
    curves
        From `label_choice_curves`, with the criterion ``random`` and the counts 0 and `labels`.
    labels
        Random labels to be matched.

    Returns
    -------
    A row a world and other criterion: ``random_gain``, what the random labels add to none, with its
    interval ``low`` to ``high``; ``matters``, whether that is .005 or more and the interval lies
    above 0; ``needed``, the least count from which the mean over draws is as high as that of the
    random labels, null where none is; ``at_sixty``, the mean difference of 60 chosen (or the
    nearest count) to `labels` random ones in the same draws, with ``at_low`` and ``at_high``.

    Raises
    ------
    ValueError
        If the curves lack random labels, none of them or so many.
    """
    rows = []
    for (world,), part in curves.group_by("world", maintain_order=True):
        chance = part.filter(pl.col("criterion") == "random")
        at = {n: chance.filter(pl.col("labels") == n).sort("draw") for n in (0, labels)}
        if any(frame.is_empty() for frame in at.values()):
            raise ValueError(f"curves of {world}: allowed: random at 0 and at {labels} labels")
        target = at[labels]["accuracy"].to_numpy()
        added = target - at[0]["accuracy"].to_numpy()
        low, high = mean_interval(added)
        for (criterion,), own in part.group_by("criterion", maintain_order=True):
            if criterion == "random":
                continue
            mean = own.group_by("labels").agg(pl.col("accuracy").mean()).sort("labels")
            reached = mean.filter(pl.col("accuracy") >= target.mean())["labels"]
            sixty = min(mean["labels"], key=lambda n: abs(n - 60))
            there = own.filter(pl.col("labels") == sixty).sort("draw")["accuracy"].to_numpy()
            at_low, at_high = mean_interval(there - target)
            rows.append(
                {
                    "world": world,
                    "criterion": criterion,
                    "random_gain": float(added.mean()),
                    "low": low,
                    "high": high,
                    "matters": bool(added.mean() >= _MATTER and low > 0),
                    "needed": reached.min(),
                    "at_sixty": float((there - target).mean()),
                    "at_low": at_low,
                    "at_high": at_high,
                }
            )
    return pl.DataFrame(rows, schema_overrides={"needed": pl.Int64})


def label_choice_findings(curves: pl.DataFrame, labels: int = 100) -> str:
    """What the curves say, in sentences; no figure that they do not hold.

    Parameters
    ----------
    curves, labels
        As of `labels_saved`.

    Raises
    ------
    ValueError
        As of `labels_saved`.
    """
    said = []
    for row in labels_saved(curves, labels).iter_rows(named=True):
        where = f"**{row['world']}**, chosen by {row['criterion']}: "
        gain = f"{labels} random labels add {100 * row['random_gain']:+.1f} points"
        if not row["matters"]:
            said.append(f"{where}labels hardly matter ({gain}).")
            continue
        ends = f"[{100 * row['at_low']:+.1f}, {100 * row['at_high']:+.1f}]"
        few = "none of the counts reaches it" if row["needed"] is None else f"{row['needed']} do"
        if row["at_low"] > 0:
            verdict = "60 chosen ones are better"
        elif row["at_high"] < 0:
            verdict = "60 chosen ones are worse"
        else:
            verdict = "60 chosen ones cannot be told apart from them"
        said.append(
            f"{where}{gain}; of chosen ones {few}; {verdict} ({100 * row['at_sixty']:+.1f} {ends})."
        )
    return "\n".join(f"- {line}" for line in said)


def _cases(world: str, n_rules, n_pairs, n_test, draws, seed) -> Iterator[tuple]:
    """Scores, preference and prompts of the pairs to ask about; scores and preference of unseen ones."""
    if world in RATED:
        prompts = prompt_groups(load(world)).to_numpy()
        for scores, y, train, test, _ in data_splits(world, draws, _TEST_SHARE, None, seed):
            yield scores.rows(train), y[train], prompts[train], scores.rows(test), y[test]
        return
    for draw in range(draws):
        own = 2 * (seed + draw)
        pool, unseen = (
            simulate(world, n, n_rules, own + part) for part, n in enumerate((n_pairs, n_test))
        )
        yield pool.scores, pool.preference, None, unseen.scores, unseen.preference


def _curve(
    pool: Scores,
    y: np.ndarray,
    prompts: np.ndarray | None,
    unseen: Scores,
    truth: np.ndarray,
    counts: Sequence[int],
    criterion: str,
    step: int,
    seed: int,
) -> Iterator[dict]:
    """The rows of one criterion in one draw."""
    if counts[0] < 0 or counts[-1] >= np.count_nonzero(y):
        raise ValueError(
            f"counts are {counts}; allowed: 0 to {np.count_nonzero(y) - 1}, below the number of "
            "pairs with a preference"
        )
    questions, known = Questions.of(pool, seed=seed), np.full(len(y), np.nan)
    never = np.flatnonzero(y == 0)
    chance = np.random.default_rng(seed).permutation(np.flatnonzero(y))
    done = 0
    for n in counts:
        while done < n:
            more = min(step, n - done)
            if criterion == "random":
                asked = chance[done : done + more]
            else:
                how = {"criterion": criterion, "without": never, "groups": prompts}
                asked = ask_order(questions, known, more, seed=seed + done, **how)
            known[asked] = y[asked]
            done += more
        found = estimate(pool, known)
        left = np.flatnonzero(np.isnan(known) & (y != 0))
        said = label_progress(questions, known, seed=seed)
        yield {
            "labels": n,
            "accuracy": _accuracy(found, unseen, truth),
            "others": _accuracy(found, pool.rows(left), y[left]),
            "expected": said.accuracy,
            "low": said.low,
            "high": said.high,
            "gain": said.gain,
            "next_ten": said.next_ten,
        }


def _accuracy(found, scores: Scores, truth: np.ndarray) -> float:
    margin = found.transform(scores.discrepancy) @ found.weights()
    return float((np.sign(margin) * truth + 1).mean() / 2)

"""What error in labels does to a reward model: targets come in, curves, tables and words go out.

Errors at random pull in all directions and average out; errors that follow a pattern are learned.
Notebook 9 shows both, on the frozen encoder, measured on prompts that were not trained on.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.labels import Labels
from rulekit.studies.gains import accuracy_table, paired_gains, truth_of
from rulekit.studies.phrases import capital, listed, percent, signed_points, verdict, with_interval
from rulekit.studies.selection_accuracy import length_margin
from rulekit.studies.trained import N_FOLDS

_SHARES = (0.1, 0.2, 0.4, 1.0)  # of the prompts that are trained on


def label_target(labels: Labels | None, pairs: pl.DataFrame) -> np.ndarray:
    """P(A is preferred) as a reward model is taught it, (n_pairs,), NaN where a pair is left out.

    Parameters
    ----------
    labels
        Of these pairs, by their ids; None takes the known preferences.
    pairs
        Canonical frame, n_pairs rows.
    """
    if labels is not None:
        return labels.aligned(pairs).target.astype(float)
    truth = truth_of(pairs)
    return np.where(truth == 0, np.nan, (truth + 1) / 2)


def share_wrong(target: np.ndarray, pairs: pl.DataFrame) -> float:
    """How many of the labels that there are contradict the known preference, a share.

    Parameters
    ----------
    target, pairs
        From `label_target`, and its pairs.
    """
    truth = truth_of(pairs)
    told = np.sign(target - 0.5)  # NaN stays
    counts = (truth != 0) & ~np.isnan(told) & (told != 0)
    return float((told != truth)[counts].mean()) if counts.any() else 0.0


def flipped(target: np.ndarray, order: np.ndarray, share: float) -> np.ndarray:
    """Targets of which a share is exchanged for the other response, those first in an order.

    Parameters
    ----------
    target
        P(A is preferred), (n_pairs,); NaN is left out.
    order
        All positions, the first to be flipped first, int (n_pairs,).
    share
        Of the targets that there are, in [0, 1].

    Returns
    -------
    New targets, (n_pairs,).
    """
    there = order[~np.isnan(target[order])]
    out, first = target.copy(), there[: round(share * len(there))]
    out[first] = 1 - out[first]
    return out


def flip_order(pairs: pl.DataFrame, pattern: str, seed: int = 0) -> np.ndarray:
    """In which order a labeller errs: by chance, or for the longer response, int (n_pairs,).

    Parameters
    ----------
    pairs
        Canonical frame with known preferences.
    pattern
        ``random``, or ``longer``: pairs whose preferred response is shorter by most come first.
    seed
        Of ``random``.

    Raises
    ------
    ValueError
        For another pattern.
    """
    if pattern == "random":
        return np.random.default_rng(seed).permutation(len(pairs))
    if pattern != "longer":
        raise ValueError(f"pattern is {pattern!r}; allowed: random, longer")
    return np.argsort(length_margin(pairs) * truth_of(pairs), kind="stable")


def rewards_of(
    pairs: pl.DataFrame, target: np.ndarray, seed: int = 0, share: float = 1.0
) -> np.ndarray:
    """Rewards of both responses from a model that has not seen the pair's prompt, (n_pairs, 2).

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    target
        P(A is preferred), (n_pairs,); NaN is left out.
    seed
        Of the five folds, and of the prompts kept.
    share
        Of the other folds' prompts that are trained on.
    """
    return _rewards(_vectors(pairs), pairs, target, seed, share, seed)


def _vectors(pairs: pl.DataFrame) -> np.ndarray:
    from rulekit.training import frozen

    return frozen.response_vectors(pairs)


def _rewards(vectors, pairs, target, seed, share, draw) -> np.ndarray:
    from rulekit.training import frozen, load_config

    l2, out = load_config(None, task="reward").l2, np.empty(vectors.shape[:2])
    fold, groups = np.array(folds(pairs, N_FOLDS, seed)), prompt_groups(pairs).to_numpy()
    for f in range(fold.max() + 1):
        others = np.unique(groups[fold != f])
        kept = np.random.default_rng((draw, f)).permutation(others)
        kept = kept[: max(2, round(share * len(kept)))]
        seen = np.isin(groups, kept) & ~np.isnan(target)
        head = frozen.fit_reward(vectors[seen], target[seen], l2)
        out[fold == f] = vectors[fold == f] @ head
    return out


def label_sources(
    pairs: pl.DataFrame, targets: Mapping[str, Labels | None], *, draws: int = 3, seed: int = 0
) -> dict[str, np.ndarray]:
    """What models are taught by each source of labels, and by known preferences with as many errors.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    targets
        Name → labels; None takes the known preferences. Where these are among them, the first
        source is held against them with as many labels wrong at random, on the same pairs.
    draws, seed
        Of the labels that are wrong at random.

    Returns
    -------
    Name → P(A is preferred), (n_pairs,), or (draws, n_pairs) for those flipped at random.
    """
    taught = {name: label_target(one, pairs) for name, one in targets.items()}
    if any(one is None for one in targets.values()):
        first = next(iter(taught.values()))
        wrong = share_wrong(first, pairs)
        taught[f"known, {percent(wrong, 0)} flipped at random"] = _as_wrong(
            first, pairs, wrong, draws, seed
        )
    return taught


def _as_wrong(target: np.ndarray, pairs: pl.DataFrame, share: float, draws: int, seed: int):
    """Known preferences of the pairs that have a target, a share of them flipped, (draws, n_pairs)."""
    known = np.where(np.isnan(target), np.nan, label_target(None, pairs))
    orders = [flip_order(pairs, "random", seed + i) for i in range(draws)]
    return np.stack([flipped(known, order, share) for order in orders])


def pair_rewards(
    pairs: pl.DataFrame, taught: Mapping[str, np.ndarray], row: int, seed: int = 0
) -> pl.DataFrame:
    """Rewards of one pair's responses from models that learned from different labels.

    Parameters
    ----------
    pairs, taught
        n_pairs pairs of five prompts or more, and from `label_sources`; of several draws the first.
    row
        Which pair; no model has seen its prompt.
    seed
        Of the folds.

    Returns
    -------
    A row a source: ``learned_from``, ``reward_a``, ``reward_b``, their ``margin``, and ``chance``,
    σ(margin), that A is preferred.
    """
    rows = []
    for name, target in taught.items():
        a, b = rewards_of(pairs, np.atleast_2d(target)[0], seed)[row]
        rows.append((name, a, b, a - b, 1 / (1 + np.exp(b - a))))
    columns = ["learned_from", "reward_a", "reward_b", "margin", "chance"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def same_error_said(
    pairs: pl.DataFrame, target: np.ndarray, margin: np.ndarray, *, draws: int = 3, seed: int = 0
) -> str:
    """Whether labels from rules are worse to learn from than as many wrong at random, in sentences.

    Parameters
    ----------
    pairs
        Canonical frame with known preferences, n_pairs rows.
    target, margin
        Labels from rules as `label_target` gives them, and the margins of the model that learned
        from them on prompts it has not seen, both (n_pairs,).
    draws, seed
        Of the labels that are wrong at random.
    """
    vectors, wrong = _vectors(pairs), share_wrong(target, pairs)
    both = [
        _rewards(vectors, pairs, one, seed, 1.0, seed)
        for one in _as_wrong(target, pairs, wrong, draws, seed)
    ]
    found = {"rules": margin, "chance": np.stack([one[:, 0] - one[:, 1] for one in both])}
    rules, chance = accuracy_table(pairs, found).to_dicts()
    (gain,) = paired_gains(pairs, found, "chance").to_dicts()
    told = {
        1: "The labels from rules teach more: their errors do less harm than chance does.",
        0: "The two cannot be told apart.",
        -1: "The labels from rules teach less: **their errors follow a pattern, and it is learned.**",
    }[verdict(gain)]
    return (
        f"The labels of the rules that the adapter names are wrong on {percent(wrong, 0)} of the pairs "
        f"that they label. The model that learned from them is right on {with_interval(rules)}; one "
        f"that learned from known preferences, as many of them flipped at random, on "
        f"{with_interval(chance)}. Difference: {signed_points(gain)}. {told}"
    )


def learning_curve(
    pairs: pl.DataFrame,
    targets: Mapping[str, np.ndarray],
    truth: np.ndarray | None = None,
    *,
    draws: int = 3,
    seed: int = 0,
) -> pl.DataFrame:
    """How often reward models are right on unseen prompts, by the number of pairs they learned from.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows, of five prompts or more.
    targets
        Source of the labels → P(A is preferred), (n_pairs,) or (draws, n_pairs); NaN is left out.
    truth
        What is right, -1, 0 or +1, (n_pairs,); None: the known preferences.
    draws
        Subsets of the prompts at each size but the full one.
    seed
        Of the folds and of the subsets.

    Returns
    -------
    A row a source and size: ``series``, ``x``, mean number of labelled pairs trained on, ``y``,
    ``low`` and ``high``, the 95 % interval over prompts of the mean over draws.
    """
    vectors, rows = _vectors(pairs), []
    for name, target in targets.items():
        given = np.atleast_2d(target)
        for share in _SHARES:
            n = max(len(given), 1 if share == 1 else draws)
            margins = []
            for i in range(n):
                one = given[i % len(given)]
                both = _rewards(vectors, pairs, one, seed, share, seed + i)
                margins.append(both[:, 0] - both[:, 1])
            (found,) = accuracy_table(pairs, {name: np.stack(margins)}, truth).to_dicts()
            trained = share * (1 - 1 / N_FOLDS) * np.mean((~np.isnan(given)).sum(axis=1))
            ends = {end: found[end] for end in ("low", "high")}
            rows.append({"series": name, "x": float(round(trained)), "y": found["value"]} | ends)
    return pl.DataFrame(rows)


def noise_table(
    pairs: pl.DataFrame, share: float = 0.2, *, draws: int = 5, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Reward models from known preferences, and from the same with a share flipped in two ways.

    Parameters
    ----------
    pairs
        Canonical frame with known preferences, n_pairs rows.
    share
        Of the labels that are flipped, in [0, 1].
    draws
        Random flips; their figures are means.
    seed
        Of the folds and of the flips.

    Returns
    -------
    A row a model, columns as `accuracy_table` has them; and the differences to the model of the
    labels as they are, as `paired_gains` has them.
    """
    vectors, known = _vectors(pairs), label_target(None, pairs)

    def margins(targets) -> np.ndarray:
        both = [_rewards(vectors, pairs, one, seed, 1.0, seed) for one in targets]
        return np.stack([one[:, 0] - one[:, 1] for one in both])

    told = percent(share, 0)
    chance = [flipped(known, flip_order(pairs, "random", seed + i), share) for i in range(draws)]
    found = {
        "labels as they are": margins([known]),
        f"{told} flipped at random": margins(chance),
        f"{told} flipped for the longer": margins(
            [flipped(known, flip_order(pairs, "longer"), share)]
        ),
    }
    return accuracy_table(pairs, found), paired_gains(pairs, found, "labels as they are")


def noise_findings(table: pl.DataFrame, gains: pl.DataFrame) -> str:
    """Whether random and systematic error are survived, in sentences made of their figures.

    Parameters
    ----------
    table, gains
        From `noise_table`.

    Returns
    -------
    Markdown, a list. Survived means that more than half of the lead over a coin is kept, wherever
    in its interval the difference lies.
    """
    base, *others = table.to_dicts()
    said = [
        f"The model that learned from the labels as they are is right on {with_interval(base)}."
    ]
    if base["low"] <= 0.5:
        return listed(
            [*said, "That is no better than a coin, so noise has nothing to destroy here."]
        )
    lost = {row["name"]: row for row in gains.iter_rows(named=True)}
    half = (base["value"] - 0.5) / 2
    for row in others:
        kind = "random noise" if "random" in row["name"] else "systematic error"
        gain, kept = lost[row["name"]], max(0.0, (row["value"] - 0.5) / (2 * half))
        told = f"**Whether {kind} is survived cannot be told.**"
        if gain["low"] > -half:
            told = f"**{capital(kind)} is survived.**"
        elif gain["high"] < -half:
            told = f"**{capital(kind)} is not survived.**"
        said.append(
            f"{told} With {row['name']} the model is right on {with_interval(row)}: "
            f"{signed_points(gain)}. It keeps {percent(kept, 0)} of its lead over a coin."
        )
    return listed(said)


def learning_title(curve: pl.DataFrame) -> str:
    """Where the lines of a learning curve end, for the head of its picture.

    Parameters
    ----------
    curve
        From `learning_curve`.
    """
    last = curve.group_by("series", maintain_order=True).agg(pl.all().sort_by("x").last())
    ends = [
        f"{row['series']} {percent(row['y'])}" for row in last.sort("y", descending=True).to_dicts()
    ]
    return f"With all labels: {'; '.join(ends)}"


def pair_rewards_said(frame: pl.DataFrame, known: int | None) -> str:
    """What the rewards of one pair say, in sentences.

    Parameters
    ----------
    frame
        From `pair_rewards`.
    known
        The known preference, -1, 0, +1, or None.
    """
    for_a = int((frame["margin"] > 0).sum())
    sure = max(abs(c - 0.5) for c in frame["chance"])
    said = f"{for_a} of {len(frame)} models prefer A, {len(frame) - for_a} prefer B."
    if known:
        said += f" Known is {'A' if known > 0 else 'B'}."
    said += f" The surest gives its side {percent(0.5 + sure, 0)}"
    return said + (": all are nearly undecided." if sure < 0.1 else ".")

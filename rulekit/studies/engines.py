"""Whole language models trained from a notebook: pairs and what is to be learned come in, runs go out.

Notebooks 8 and 9 call it where a `config` is named; `fine_tuned_margins` holds models that learned
from different labels beside the frozen encoder and the length of responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.inputs.pairs import split_pairs
from rulekit.inputs.rules import RuleSet
from rulekit.inputs.scores import Scores
from rulekit.labels import Labels, label
from rulekit.selection.estimates import estimate
from rulekit.selection.registry import Selection
from rulekit.studies.gains import accuracy_table, paired_gains
from rulekit.studies.selection_accuracy import length_margin

HELD_OUT = 0.2  # of the prompts
PEOPLE, SUM, RECOMMENDED = "people", "sum", "recommended"  # what a model is taught by
LONGER = "longer response"
_SAID = {
    PEOPLE: "known preferences",
    SUM: "sum of the discrepancies of all rules",
    RECOMMENDED: "all rules, weighted by a few known preferences, soft",
}


def fine_tune(
    pairs: pl.DataFrame,
    target: Labels | Selection | None,
    config: str | Path,
    output: str | Path,
    *,
    rules: RuleSet | None = None,
    known: bool = True,
    processes: int = 1,
    seed: int = 0,
    provenance: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> pl.DataFrame:
    """Train the engine in a process of its own on four fifths of the prompts, and watch it.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    target
        Labels for a reward model, the selected rules for an adapter; of these pairs, by their ids.
        None: the known preferences.
    config
        Name of a preset, or a YAML file.
    output
        Folder of the run; one that was interrupted goes on from its last checkpoint.
    rules
        Those that an adapter names.
    known
        Measure a reward model on the held-out pairs with known preferences; if not, on its labels.
    processes
        One a GPU.
    seed
        Of the split and of the training.
    provenance
        What the model's card says of the data, in words.
    overrides
        Settings in place of the preset's.

    Returns
    -------
    The held-out pairs. The model is in ``output/model``.

    Raises
    ------
    RuntimeError
        If the run did not finish.
    """
    from rulekit.training import follow, launch

    train, held = split_pairs(pairs, HELD_OUT, seed=seed)
    adapter = isinstance(target, Selection)
    part = measured = target
    if target is not None and not adapter:
        seen = pairs["pair_id"].is_in(train["pair_id"].implode()).to_numpy()
        every = target.aligned(pairs)
        part, measured = every.rows(seen), None if known else every.rows(~seen)
    process = launch(
        train,
        part,
        config,
        output=output,
        evaluation=held,
        evaluation_target=measured,
        rules=rules if adapter else None,
        processes=processes,
        provenance=dict(provenance or {}),
        seed=seed,
        **dict(overrides or {}),
    )
    if follow(process, output) != 0:
        raise RuntimeError(f"the run did not finish; the same cell goes on from {output}")
    return held


def teachers(
    pairs: pl.DataFrame, scores: Scores, *, n_labelled: int = 100, seed: int = 0
) -> dict[str, Labels | None]:
    """Labels for the four fifths that `fine_tune` trains on, made without the preferences of the rest.

    Parameters
    ----------
    pairs, scores
        n_pairs pairs and their scores, found by id.
    n_labelled
        Pairs of the four fifths whose preference is looked at to weight the rules.
    seed
        Of the split and of the labelled pairs.

    Returns
    -------
    ``people``: None, which stands for the known preferences; ``sum``: labels by the sum of all
    rules; ``recommended``: soft labels by all rules, weighted. Without known preferences only the
    sum.
    """
    scores = scores.of(pairs)
    known = pairs["preference"].fill_null(0).to_numpy()
    found: dict[str, Labels | None] = {SUM: label(scores)}
    if not known.any():
        return found
    seen = ~_is_held(pairs, seed)
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(seen & (known != 0)))
    preference = np.full(len(pairs), np.nan)  # not looked at
    preference[drawn[:n_labelled]] = known[drawn[:n_labelled]]
    believed = estimate(scores.rows(seen), preference[seen])
    weighted = label(scores, method="weighted", tie="soft", estimates=believed)
    return {PEOPLE: None} | found | {RECOMMENDED: weighted}


def fine_tuned_margins(
    pairs: pl.DataFrame,
    targets: Mapping[str, Labels | None],
    config: str | Path,
    output: str | Path,
    **how,
) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
    """One model for each teacher, and what they say of the held-out fifth.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    targets
        From `teachers`, or some of it.
    config
        Name of a preset, or a YAML file.
    output
        Each run has a folder in it, by the teacher's name; what was interrupted goes on, and what
        has finished is taken as it is.
    how
        For `fine_tune`, its `seed` among it.

    Returns
    -------
    The held-out pairs, and their margins by name: ``longer response``, and for each teacher
    ``trained on`` it and ``encoder, trained on`` it, a head on the frozen encoder.
    """
    from rulekit.training import RewardModel, train_reward

    seed = how.get("seed", 0)
    held_out = _is_held(pairs, seed)
    held, train = (pairs.filter(pl.Series(mask)) for mask in (held_out, ~held_out))
    margins = {LONGER: length_margin(held)}
    for name, target in targets.items():
        folder = Path(output) / name
        told = {"label_method": _SAID.get(name, name)} | dict(how.get("provenance") or {})
        fine_tune(pairs, target, config, folder, **(how | {"provenance": told}))
        margins[f"trained on {name}"] = RewardModel.load(folder / "model").margin(held)
        part = None if target is None else target.aligned(pairs).rows(~held_out)
        margins[f"encoder, trained on {name}"] = train_reward(train, part, seed=seed).margin(held)
    return held, margins


def fine_tuned_gains(
    held: pl.DataFrame, margins: Mapping[str, np.ndarray], truth: np.ndarray | None = None
) -> pl.DataFrame:
    """How often each model is right on the held-out pairs, and how much more often than its floors.

    Parameters
    ----------
    held, margins
        From `fine_tuned_margins`.
    truth
        -1, 0 or +1, (n_pairs,); None: the known preferences.

    Returns
    -------
    A row a name of `margins`: ``name``, ``value``, ``low``, ``high``, ``n``; for a model that was
    trained on a teacher ``over_encoder`` and ``over_length``, the difference on the same pairs to
    the encoder's head of the same teacher and to the longer response, with ``_low`` and ``_high``.
    """
    rows = accuracy_table(held, margins, truth).select("name", "value", "low", "high", "n")
    beside = {"over_encoder": "encoder, {}", "over_length": LONGER}
    for column, floor in beside.items():
        found = {}
        for name in margins:
            if name.startswith("trained on") and len(rows):
                both = {key: margins[key] for key in (name, floor.format(name))}
                found[name] = paired_gains(held, both, floor.format(name), truth).row(0, named=True)
        ends = {"": "value", "_low": "low", "_high": "high"}
        columns = {
            column + end: [found.get(name, {}).get(key) for name in rows["name"]]
            for end, key in ends.items()
        }
        rows = rows.with_columns(pl.Series(c, v, dtype=pl.Float64) for c, v in columns.items())
    return rows


def _is_held(pairs: pl.DataFrame, seed: int) -> np.ndarray:
    """The fifth of the prompts that `fine_tune` holds out, bool (n_pairs,)."""
    _, held = split_pairs(pairs, HELD_OUT, seed=seed)
    return pairs["pair_id"].is_in(held["pair_id"].implode()).to_numpy()

"""A whole language model trained from a notebook: pairs and what is to be learned come in, the run's folder goes out.

Notebooks 8 and 9 call it where a `config` is named.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from rulekit.inputs.pairs import split_pairs
from rulekit.inputs.rules import RuleSet
from rulekit.labels import Labels
from rulekit.selection.registry import Selection

HELD_OUT = 0.2  # of the prompts


def fine_tune(
    pairs: pl.DataFrame,
    target: Labels | Selection,
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
    if not adapter:
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

"""What is to be learned of each pair: labels, probabilities or selections come in, aligned rows go out.

`engine` and the cross-fits call it before anything is tokenised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import check_pairs, prompt_groups, split_pairs
from rulekit.labels import Labels
from rulekit.selection.registry import Selection
from rulekit.training import batches
from rulekit.training.config import TrainingConfig

_APART = 1 << 32  # between the seed of a split and that of a split of its part


@dataclass(frozen=True, eq=False)
class Data:
    """Pairs, and what is to be learned of each, in one order.

    Attributes
    ----------
    pairs
        Canonical frame, n_pairs rows.
    target
        P(A is preferred), (n_pairs,), NaN where there is none; or the rules to be named.
    evidence
        Of each label, (n_pairs,); None where it is not known.
    """

    pairs: pl.DataFrame
    target: np.ndarray | Selection
    evidence: np.ndarray | None = None

    def rows(self, mask: np.ndarray) -> Data:
        """Some of the pairs: a boolean mask, (n_pairs,)."""
        target = self.target
        chosen = target.rows(mask) if isinstance(target, Selection) else target[mask]
        evidence = None if self.evidence is None else self.evidence[mask]
        return Data(self.pairs.filter(pl.Series(mask)), chosen, evidence)


def aligned(
    task: str,
    pairs: pl.DataFrame,
    target: Labels | Selection | np.ndarray | None,
    evidence: np.ndarray | None = None,
    rules: Identity | None = None,
    what: str = "pairs",
) -> Data:
    """Bring targets into the order of the pairs; what they may be, `engine.train` says.

    `rules` are those in whose order a selection is wanted, `what` is what an error calls the frame.

    Raises
    ------
    ValueError
        For pairs that `rulekit.inputs.check_pairs` refuses, a target of the other task, or one that
        is of other pairs or rules.
    """
    try:
        pairs = check_pairs(pairs)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    if task == "adapter":
        if not isinstance(target, Selection):
            raise ValueError(
                f"target is {type(target).__name__}; allowed for an adapter: a Selection, the rules "
                "to be named"
            )
        wanted = replace(rules or Identity(), pair_ids=Identity.of(pairs=pairs).pair_ids)
        target = target.aligned(wanted)
        if target.n_pairs != len(pairs):
            raise ValueError(f"a selection for {target.n_pairs} pairs; allowed: {len(pairs)}")
        return Data(pairs, target)
    if isinstance(target, Selection):
        raise ValueError(
            "target is a Selection; allowed for a reward: Labels, or one number a pair"
        )
    if isinstance(target, Labels):
        labels = target.aligned(pairs)
        evidence = np.abs(labels.margin) if evidence is None else evidence
        target = labels.target
    elif target is None:
        preference = pairs["preference"].cast(pl.Float64).fill_null(0.0).to_numpy()
        target = np.where(preference == 0, np.nan, (preference + 1) / 2)
    target = np.asarray(target, dtype=np.float64)
    evidence = None if evidence is None else np.asarray(evidence, dtype=np.float64)
    for name, values in (("target", target), ("evidence", evidence)):
        if values is not None and values.shape != (len(pairs),):
            raise ValueError(
                f"{name} has shape {values.shape}; allowed: ({len(pairs)},), as the pairs"
            )
    return Data(pairs, target, evidence)


def held_out(data: Data, share: float, seed: int) -> tuple[Data, Data]:
    """What is trained on, and a share of the prompts that is not; as `rulekit.split_pairs`.

    Another draw than that of the same seed there: in what it gave to train on, the prompts that
    this seed holds out would be gone.

    Raises
    ------
    ValueError
        If nothing is held out, or everything.
    """
    try:
        _, held = split_pairs(data.pairs, share, seed=seed + _APART)
    except ValueError as error:
        raise ValueError(f"evaluation_share {share:g}: {error}") from None
    mask = data.pairs["pair_id"].is_in(held["pair_id"].implode()).to_numpy()
    return data.rows(~mask), data.rows(mask)


def shared(pairs: pl.DataFrame, evaluation: pl.DataFrame) -> list[str]:
    """What is to be said of prompts that are trained on and measured on: nothing, or a sentence."""
    both = prompt_groups(evaluation).is_in(prompt_groups(pairs).unique().implode())
    if not (n := int(both.sum())):
        return []
    trained = {(group, *sorted(texts)) for group, *texts in _texts(pairs)}
    same = sum((group, *sorted(texts)) in trained for group, *texts in _texts(evaluation))
    return [
        f"{n} of {len(evaluation)} pairs of evaluation have a prompt that is trained on, {same} of "
        "them with the same responses: their measures say nothing of unseen prompts"
    ]


def _texts(pairs: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    """Prompt group and responses of each pair."""
    sides = (pairs[column].to_list() for column in ("response_a", "response_b"))
    return zip(prompt_groups(pairs).to_list(), *sides, strict=True)


def examples(data: Data, config: TrainingConfig, tokenizer) -> batches.Examples:
    """Tokenised examples of one run, of its task, objective and longest sequence.

    Raises
    ------
    ValueError
        If the objective needs evidence that is not there, or as `batches.preference_examples`.
    """
    max_tokens, cut = config.reading
    if config.task == "adapter":
        return batches.adapter_examples(
            data.pairs, data.target, tokenizer, max_tokens=max_tokens, apart=config.frozen
        )
    if config.objective == "margin" and data.evidence is None:
        raise ValueError(
            "there is no evidence; allowed: with objective 'margin' Labels, or one number a pair, "
            "from a file its column 'evidence'"
        )
    return batches.preference_examples(
        data.pairs,
        data.target,
        tokenizer,
        max_tokens=max_tokens,
        too_long=config.too_long,
        evidence=data.evidence,
        hard=config.objective != "soft",
        cut=cut,
    )

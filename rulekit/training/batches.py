"""Padding-free batches: pairs come in, flat runs of token ids without a single padding token go out.

A step is a uniformly random set of pairs. Within a step, and over all processes, pairs are packed
by length into forward passes of at most `token_budget` tokens and of nearly equal size: no pass
carries padding, and batches are not sorted by length over the epoch, which would tie the
gradient's noise to it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import torch

from rulekit.inputs.pairs import prompt_groups
from rulekit.selection.registry import Selection
from rulekit.training import sequences as reading


@dataclass(frozen=True, eq=False)
class Examples:
    """Tokenised training examples.

    Attributes
    ----------
    sequences
        Token ids of each example: two int32 arrays (response A, response B) for rewards, one for
        the adapter.
    target
        P(A is preferred), (n,), or which rules are to be named, (n, n_rules); float32.
    evidence
        Unsigned evidence of each label, (n,) float32; zeros where an objective takes none.
    names
        What to call each example in a message: its `pair_id`.
    left_out
        Reason → number of pairs that are not among the examples.
    groups
        Prompt of each example, as `rulekit.inputs.prompt_groups` tells them apart.
    truncation
        What was cut, as `rulekit.training.sequences.counted` says; empty if nobody counted.
    """

    sequences: list[tuple[np.ndarray, ...]]
    target: np.ndarray
    evidence: np.ndarray
    names: list[str]
    left_out: dict[str, int] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    truncation: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def tokens(self) -> np.ndarray:
        """Tokens of each example, all of its sequences together, int64 (n,)."""
        return np.array([sum(map(len, group)) for group in self.sequences], dtype=np.int64)

    def __getitem__(self, part: Pass) -> dict:
        """One packed forward pass; see `pack`."""
        return pack(self, part)

    def take(self, rows: Sequence[int]) -> Examples:
        """The examples of these rows, in this order."""
        return Examples(
            [self.sequences[i] for i in rows],
            self.target[rows],
            self.evidence[rows],
            [self.names[i] for i in rows],
            groups=[self.groups[i] for i in rows] if self.groups else [],
        )


@dataclass(frozen=True, eq=False)
class Pass:
    """Which examples share one forward pass, and how much each counts in the step's mean."""

    rows: np.ndarray  # (n,)
    weight: np.ndarray  # (n,), 1 / pairs of the step; 0 for a filler that keeps processes in step


def preference_examples(
    pairs: pl.DataFrame,
    target: np.ndarray,
    tokenizer,
    *,
    max_tokens: int,
    too_long: str = "truncate",
    evidence: np.ndarray | None = None,
    hard: bool = True,
    cut: str = "start",
) -> Examples:
    """Examples for the reward objectives.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    target
        P(A is preferred), (n_pairs,), in [0, 1]; NaN leaves the pair out.
    tokenizer
        With a chat template and a padding token that ends no sequence.
    max_tokens, too_long
        As in `TrainingConfig`.
    evidence
        Evidence of each label, (n_pairs,); its sign is ignored. None is zero.
    hard
        Whether targets must be 0 or 1.
    cut
        As for `rulekit.training.sequences.tokenize`.

    Raises
    ------
    ValueError
        If lengths differ, a target is out of range, evidence is not finite, or nothing is left.
    """
    target = np.asarray(target, dtype=np.float32)
    evidence = np.zeros(len(pairs)) if evidence is None else np.asarray(evidence)
    for name, values in (("target", target), ("evidence", evidence)):
        if values.shape != (len(pairs),):
            raise ValueError(
                f"{name} has shape {values.shape}; allowed: ({len(pairs)},), as the pairs"
            )
    known = ~np.isnan(target)
    allowed = np.isin(target, (0, 1)) if hard else (target >= 0) & (target <= 1)
    if (wrong := np.flatnonzero(known & ~allowed)).size:
        kinds = "0 or 1; objective 'soft' takes shares" if hard else "0 to 1"
        raise ValueError(f"target of row {wrong[0]} is {target[wrong[0]]}; allowed: {kinds}")
    if (wrong := np.flatnonzero(known & ~np.isfinite(evidence))).size:
        raise ValueError(
            f"evidence of row {wrong[0]} is {evidence[wrong[0]]}; allowed: finite numbers"
        )
    sequences, reason, lost = reading.tokenize(pairs, tokenizer, max_tokens, too_long, cut)
    reason[~known] = "no target"
    keep = np.flatnonzero(reason == "")
    left_out = dict(Counter(reason[reason != ""].tolist()))
    if not len(keep):
        raise ValueError(f"no pair is left to train on: {left_out}")
    names, groups = pairs["pair_id"].to_list(), prompt_groups(pairs).to_list()
    return Examples(
        [sequences[i] for i in keep],
        target[keep],
        np.abs(evidence[keep]).astype(np.float32),
        [names[i] for i in keep],
        left_out,
        [groups[i] for i in keep],
        reading.counted(lost[keep], reading.RESPONSES, 2),
    )


def adapter_examples(
    pairs: pl.DataFrame, selection: Selection, tokenizer, *, max_tokens: int, apart: bool = False
) -> Examples:
    """Examples for the adapter: prompt and both responses, and which rules are to be named.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    selection
        The rules to be named, a row a pair.
    tokenizer
        As for `preference_examples`.
    max_tokens
        Longest sequence.
    apart
        Prompt and responses are three sequences, as the frozen encoder reads them, and not one.

    Raises
    ------
    ValueError
        If pairs and selection have different lengths.
    """
    if not isinstance(selection, Selection) or len(pairs) != len(selection.indices):
        raise ValueError(
            f"target is not a Selection for {len(pairs)} pairs; allowed: one row a pair"
        )
    mask = selection.mask().astype(np.float32)
    read = reading.texts_apart if apart else reading.adapter_sequences
    sequences, lost = read(pairs, tokenizer, max_tokens)
    return Examples(
        sequences,
        mask,
        np.zeros(len(mask), np.float32),
        pairs["pair_id"].to_list(),
        groups=prompt_groups(pairs).to_list(),
        truncation=reading.counted(lost, reading.PARTS, 3 if apart else 1),
    )


def pack(examples: Examples, part: Pass) -> dict:
    """One forward pass as tensors.

    Returns
    -------
    dict of

    - ``input_ids``, ``position_ids``: int64 (1, n_tokens); positions start again at 0 with each
      sequence;
    - ``cu_seq_lens_q``, ``cu_seq_lens_k``: int32 (n_sequences + 1,), where sequences begin;
    - ``max_length_q``, ``max_length_k``: the longest sequence;
    - ``target``, ``evidence``, ``weight``: float32, a row an example;
    - ``rows``: the examples' numbers.

    Examples
    --------
    Two pairs, of 3 + 2 and 1 + 2 tokens::

        input_ids     [[a a a b b  c d d]]
        position_ids  [[0 1 2 0 1  0 0 1]]
        cu_seq_lens_q [0 3 5 6 8]
    """
    groups = [examples.sequences[i] for i in part.rows]
    sequences = [ids for group in groups for ids in group]
    lengths = np.array([len(ids) for ids in sequences])
    bounds = torch.from_numpy(np.concatenate([[0], lengths.cumsum()]).astype(np.int32))
    positions = np.concatenate([np.arange(n) for n in lengths])
    longest = int(lengths.max())
    return {
        "input_ids": torch.from_numpy(np.concatenate(sequences).astype(np.int64))[None],
        "position_ids": torch.from_numpy(positions)[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
        "target": torch.from_numpy(examples.target[part.rows]),
        "evidence": torch.from_numpy(examples.evidence[part.rows]),
        "weight": torch.from_numpy(part.weight.astype(np.float32)),
        "rows": part.rows,
    }


def passes(
    rows: np.ndarray, tokens: np.ndarray, budget: int, processes: int = 1
) -> list[list[Pass]]:
    """Deal the examples of one step into forward passes, as many on every process.

    Parameters
    ----------
    rows
        Examples of the step, (n,).
    tokens
        Tokens of every example of the data set, (n_examples,).
    budget
        Most tokens of one pass.
    processes
        Processes that share the step; sharded weights are gathered in each pass, so that all of
        them must make as many.

    Returns
    -------
    For each process its passes. Longest first onto the emptiest pass: close to the fewest passes,
    nearly equal in size.

    Raises
    ------
    ValueError
        If one example alone is over the budget.
    """
    if (largest := int(tokens[rows].max())) > budget:
        raise ValueError(f"an example has {largest} tokens; allowed: {budget}, the token budget")
    order = rows[np.argsort(-tokens[rows], kind="stable")]
    each = max(1, math.ceil(int(tokens[rows].sum()) / (budget * processes)))
    while True:
        load = np.zeros(each * processes, dtype=np.int64)
        dealt: list[list[int]] = [[] for _ in load]
        for row in order:
            emptiest = int(load.argmin())
            dealt[emptiest].append(int(row))
            load[emptiest] += tokens[row]
        if load.max() <= budget:
            break
        each += 1
    share = 1 / len(rows)
    filler = Pass(order[-1:], np.zeros(1))
    made = [Pass(np.array(part), np.full(len(part), share)) if part else filler for part in dealt]
    return [made[process::processes] for process in range(processes)]


class Steps:
    """The optimiser steps of an epoch, each a list of this process's forward passes.

    A batch sampler: the order is a function of seed and epoch alone, so that a resumed run finds
    the same steps.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        pairs_per_step: int,
        budget: int,
        seed: int,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.tokens, self.pairs_per_step, self.budget = tokens, pairs_per_step, budget
        self.seed, self.process, self.processes = seed, process, processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.tokens) / self.pairs_per_step)

    def __iter__(self) -> Iterator[list[Pass]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.tokens))
        for start in range(0, len(order), self.pairs_per_step):
            rows = order[start : start + self.pairs_per_step]
            yield passes(rows, self.tokens, self.budget, self.processes)[self.process]


def in_order(tokens: np.ndarray, budget: int, process: int = 0, processes: int = 1) -> list[Pass]:
    """Forward passes over all examples for evaluation, this process's share."""
    return passes(np.arange(len(tokens)), tokens, budget, processes)[process]

"""One pass for many continuations of one text: token trees come in, last logits go out.

A `Tree` is a prefix and the suffixes that may follow it: a conversation and its rules, or a rule
and its conversations. Its tokens are laid out in one row, the prefix once, and every token keeps
the position that it has in the sequence prefix + suffix, so that all layers but attention run on
the row as it is. Attention lets a token see its own prefix and the earlier tokens of its own
suffix. `LocalJudge` calls this; the model stays as it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from rulekit.judges.local.tree_attention import LAYOUT, NAME, WAYS, Layout, Span, Unsupported

_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Tree:
    """A text and its continuations: token ids of the prefix (≥ 1) and of each suffix (≥ 1 each)."""

    prefix: list[int]
    suffixes: list[list[int]]


@dataclass(frozen=True)
class Branch:
    """A part of one pass: suffixes `start` to `stop` of a tree, with or without its prefix.

    A tree that does not fit one pass goes on in the next: its prefix's keys and values are kept
    (`keep`) and the later branch comes without the prefix's tokens.
    """

    tree: int
    start: int
    stop: int
    prefix: bool
    keep: bool


def plan_passes(trees: list[Tree], tokens_per_batch: int) -> list[list[Branch]]:
    """Divide trees into passes of at most `tokens_per_batch` tokens, each prefix run once.

    A single suffix (with its prefix, if it is the first) may exceed the budget: it runs alone.
    """
    passes: list[list[Branch]] = []
    room = 0
    for t, tree in enumerate(trees):
        start, prefix = 0, True
        while start < len(tree.suffixes):
            cost = len(tree.prefix) if prefix else 0
            if not passes or (room < cost + len(tree.suffixes[start]) and room < tokens_per_batch):
                passes.append([])
                room = tokens_per_batch
            stop = start
            while stop < len(tree.suffixes):
                longer = cost + len(tree.suffixes[stop])
                if longer > room and stop > start:
                    break
                cost, stop = longer, stop + 1
            passes[-1].append(Branch(t, start, stop, prefix, keep=stop < len(tree.suffixes)))
            room -= cost
            start, prefix = stop, False
    return passes


@torch.inference_mode()
def run(
    model,
    trees: list[Tree],
    tokens_per_batch: int,
    reduce: Callable[[torch.Tensor], torch.Tensor],
    attention: str = "grouped",
) -> Iterator[tuple[Branch, torch.Tensor]]:
    """Rate trees pass by pass.

    Parameters
    ----------
    model
        A transformers causal language model whose attention goes through the library's
        attention interface (see `refusal`).
    trees
        What to run.
    tokens_per_batch
        Upper bound of a pass, in tokens.
    reduce
        Called with the last logits of a pass, float32 (n_suffixes, vocabulary); what it returns
        is split by branch. Logits of all suffixes of a large run would not fit in memory.
    attention
        `grouped`: a few suffixes at a time beside their prefix, on any device; `flex`:
        flex_attention over the whole row with a block mask, compiled on a GPU.

    Yields
    ------
    Each branch with its rows of what `reduce` returned.

    Raises
    ------
    ValueError
        For an unknown attention.
    Unsupported
        If a layer does something that a packed row cannot show.
    """
    if attention not in WAYS:
        raise ValueError(f"unknown attention {attention!r}; allowed: {', '.join(WAYS)}")
    device = model.get_input_embeddings().weight.device
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for branches in plan_passes(trees, tokens_per_batch):
        layout = _lay_out(trees, branches, device, attention, kept)
        with _implementation(model, NAME):
            token = LAYOUT.set(layout)
            try:
                logits = model(
                    input_ids=layout.ids[None],
                    position_ids=layout.position[None],
                    use_cache=False,
                    logits_to_keep=layout.last,
                ).logits[0]
            finally:
                LAYOUT.reset(token)
        n_layers = model.config.get_text_config().num_hidden_layers
        if len(layout.layers) != n_layers:
            raise Unsupported(f"{len(layout.layers)} of {n_layers} layers are attention")
        kept = layout.kept
        parts = reduce(logits.float()).split([b.stop - b.start for b in branches])
        yield from zip(branches, parts, strict=True)


@torch.inference_mode()
def run_separately(
    model,
    sequences: list[list[int]],
    tokens_per_batch: int,
    reduce: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """What `reduce` makes of the last logits of each whole sequence, without sharing anything.

    The reference that `run` is checked against, and the way for models that `run` cannot serve.
    Sequences of like length share a batch of at most `tokens_per_batch` tokens. They are padded
    right: no token sees what comes after it, so that neither mask nor positions are needed.
    """
    device = model.get_input_embeddings().weight.device
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    batches: list[list[int]] = []
    for i in order:  # ascending, so the newest sequence is the longest of its batch
        if not batches or (len(batches[-1]) + 1) * len(sequences[i]) > tokens_per_batch:
            batches.append([])
        batches[-1].append(i)
    found: dict[int, torch.Tensor] = {}
    for batch in batches:
        length = len(sequences[batch[-1]])
        ids = [sequences[i] + [0] * (length - len(sequences[i])) for i in batch]
        ends = sorted({len(sequences[i]) - 1 for i in batch})
        keep = torch.tensor(ends, device=device)
        logits = model(
            input_ids=torch.tensor(ids, device=device), use_cache=False, logits_to_keep=keep
        ).logits
        last = torch.tensor([ends.index(len(sequences[i]) - 1) for i in batch], device=device)
        rows = torch.arange(len(batch), device=device)
        found.update(zip(batch, reduce(logits[rows, last].float()), strict=True))
    return torch.stack([found[i] for i in range(len(sequences))])


def refusal(model) -> str:
    """Why `run` cannot serve this model; empty if nothing speaks against it.

    `run` replaces the attention of every layer by full or sliding-window attention over the packed
    row. What a layer does beside that (chunks, recurrence) would see the suffixes in a row.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - _LAYERS
    if kinds:
        return f"it has layers of type {', '.join(sorted(kinds))}"
    if getattr(config, "attention_chunk_size", None):
        return "its attention sees the text in chunks"
    return "" if model._can_set_attn_implementation() else "its attention cannot be replaced"


@contextlib.contextmanager
def _implementation(model, name: str):
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _lay_out(trees, branches, device, attention, before) -> Layout:
    ids, position, tree_of, segment, last, spans = [], [], [], [], [], []
    for branch in branches:
        tree = trees[branch.tree]
        first = len(ids)
        if branch.prefix:
            ids += tree.prefix
            position += range(len(tree.prefix))
            segment += [0] * len(tree.prefix)
        span = Span(branch.tree, slice(first, len(ids)), [], branch.keep)
        for s in range(branch.start, branch.stop):
            suffix = tree.suffixes[s]
            span.suffixes.append(slice(len(ids), len(ids) + len(suffix)))
            ids += suffix
            position += range(len(tree.prefix), len(tree.prefix) + len(suffix))
            segment += [s + 1] * len(suffix)
            last.append(len(ids) - 1)
        tree_of += [branch.tree] * (len(ids) - first)
        spans.append(span)
    tensors = [torch.tensor(x, device=device) for x in (ids, position, tree_of, segment, last)]
    longest = max(position) + 1
    return Layout(*tensors, spans, attention, longest, before if not branches[0].prefix else {})

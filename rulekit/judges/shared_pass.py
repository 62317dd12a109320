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
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache

import torch
from torch.nn import functional

ATTENTIONS = ("grouped", "flex")
_NAME = "rulekit_shared_pass"
_GROUP_TOKENS = 256  # suffix tokens that share one masked product; see tests/benchmarks
_LAYOUT: ContextVar[_Layout] = ContextVar("layout")


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


def plan(trees: list[Tree], tokens_per_batch: int) -> list[list[Branch]]:
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
        attention interface (`supports`).
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
    """
    if attention not in ATTENTIONS:
        raise ValueError(f"unknown attention {attention!r}; allowed: {', '.join(ATTENTIONS)}")
    device = model.get_input_embeddings().weight.device
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for branches in plan(trees, tokens_per_batch):
        layout = _lay_out(trees, branches, device, attention, kept)
        with _implementation(model, _NAME):
            token = _LAYOUT.set(layout)
            try:
                logits = model(
                    input_ids=layout.ids[None],
                    position_ids=layout.position[None],
                    use_cache=False,
                    logits_to_keep=layout.last,
                ).logits[0]
            finally:
                _LAYOUT.reset(token)
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
    Sequences of like length share a batch of at most `tokens_per_batch` tokens, padded left.
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
        pads = [length - len(sequences[i]) for i in batch]
        ids = torch.tensor([[0] * p + sequences[i] for p, i in zip(pads, batch, strict=True)])
        extra = {}
        if any(pads):
            column = torch.arange(length)
            real = column >= torch.tensor(pads)[:, None]
            position = (column - torch.tensor(pads)[:, None]).clamp(min=0)
            extra = {"attention_mask": real.long().to(device), "position_ids": position.to(device)}
        logits = model(input_ids=ids.to(device), use_cache=False, logits_to_keep=1, **extra).logits[
            :, -1
        ]
        found.update(zip(batch, reduce(logits.float()), strict=True))
    return torch.stack([found[i] for i in range(len(sequences))])


def supports(model) -> bool:
    """Whether the model lets its attention be replaced, which `run` needs."""
    return bool(model._can_set_attn_implementation())


@contextlib.contextmanager
def _implementation(model, name: str):
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@dataclass
class _Span:
    """Where one branch lies in the row: its prefix (empty if kept from before) and its suffixes."""

    tree: int
    prefix: slice
    suffixes: list[slice]
    keep: bool


@dataclass
class _Layout:
    """One pass: the row, for every token its place in its tree, and where the branches lie.

    `segment` is 0 in a prefix and counts suffixes from 1; together with `tree` and `position` it
    says who sees whom. `kept` holds keys and values by layer: on entry those of the prefix that
    an earlier pass ran, on leaving those that the next pass needs.
    """

    ids: torch.Tensor  # (n_tokens,)
    position: torch.Tensor  # (n_tokens,)
    tree: torch.Tensor  # (n_tokens,)
    segment: torch.Tensor  # (n_tokens,)
    last: torch.Tensor  # (n_suffixes,)
    spans: list[_Span]
    attention: str
    before: dict[int, tuple[torch.Tensor, torch.Tensor]]
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    masks: dict = field(default_factory=dict)


def _lay_out(trees, branches, device, attention, before) -> _Layout:
    ids, position, tree_of, segment, last, spans = [], [], [], [], [], []
    for branch in branches:
        tree = trees[branch.tree]
        first = len(ids)
        if branch.prefix:
            ids += tree.prefix
            position += range(len(tree.prefix))
            segment += [0] * len(tree.prefix)
        span = _Span(branch.tree, slice(first, len(ids)), [], branch.keep)
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
    return _Layout(*tensors, spans, attention, before if not branches[0].prefix else {})


def _attend(
    module,
    query: torch.Tensor,  # (1, n_heads, n_tokens, head_dim)
    key: torch.Tensor,  # (1, n_kv_heads, n_tokens, head_dim)
    value: torch.Tensor,
    attention_mask,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_,
) -> tuple[torch.Tensor, None]:
    """Attention over a packed row: the function that transformers calls in every layer."""
    layout = _LAYOUT.get()
    stored = layout.before.get(module.layer_idx)
    if (tail := layout.spans[-1]).keep:
        layout.kept[module.layer_idx] = (
            (key[:, :, tail.prefix].clone(), value[:, :, tail.prefix].clone())
            if tail.prefix.stop > tail.prefix.start
            else stored
        )
    attend = _flex if layout.attention == "flex" else _grouped
    out = attend(layout, query, key, value, stored, scaling, sliding_window, softcap)
    return out.transpose(1, 2), None


def _grouped(layout, query, key, value, stored, scaling, window, softcap):
    """Each prefix by itself, then a few suffixes at a time beside their prefix."""
    repeat = query.shape[1] // key.shape[1]
    if repeat > 1:  # heads that share keys: as transformers' own attention does
        key, value = (x.repeat_interleave(repeat, dim=1) for x in (key, value))
    out = torch.empty_like(query)
    for s, span in enumerate(layout.spans):
        if span.prefix.stop > span.prefix.start:
            q, k, v = (x[:, :, span.prefix] for x in (query, key, value))
            n = q.shape[2]
            mask = None
            if (window is not None and n > window) or softcap is not None:
                mask = layout.masks.get((s, window))
                if mask is None:
                    position = torch.arange(n, device=query.device)
                    visible = _causal(position, position, window)
                    mask = layout.masks[s, window] = _additive(visible, query.dtype)
            out[:, :, span.prefix] = _product(q, k, v, mask, scaling, softcap)
            prefix_key, prefix_value = k, v
        else:
            prefix_key, prefix_value = (x.repeat_interleave(repeat, dim=1) for x in stored)
        n_prefix = prefix_key.shape[2]
        seen = 0 if window is None else max(0, n_prefix - window + 1)  # the first suffix token's
        groups = _groups(span.suffixes)
        room = max(rows.stop - rows.start for rows in groups)
        # The prefix is copied once; every group then overwrites the rows behind it.
        keys, values = (_with_room(x[:, :, seen:], room) for x in (prefix_key, prefix_value))
        for g, rows in enumerate(groups):
            mask = layout.masks.get((s, g, window))
            if mask is None:
                visible = _suffix_mask(
                    layout.position[rows], layout.segment[rows], seen, n_prefix, window
                )
                mask = layout.masks[s, g, window] = _additive(visible, query.dtype)
            end = n_prefix - seen + rows.stop - rows.start
            keys[:, :, n_prefix - seen : end] = key[:, :, rows]
            values[:, :, n_prefix - seen : end] = value[:, :, rows]
            q, k, v = query[:, :, rows], keys[:, :, :end], values[:, :, :end]
            out[:, :, rows] = _product(q, k, v, mask, scaling, softcap)
    return out


def _groups(suffixes: list[slice]) -> list[slice]:
    """Neighbouring suffixes as slices of about `_GROUP_TOKENS` tokens, at least one suffix each."""
    groups: list[slice] = []
    for s in suffixes:
        if groups and s.stop - groups[-1].start <= _GROUP_TOKENS:
            groups[-1] = slice(groups[-1].start, s.stop)
        else:
            groups.append(s)
    return groups


def _suffix_mask(position, segment, seen: int, n_prefix: int, window: int | None) -> torch.Tensor:
    """Who of a group of suffix tokens sees which prefix token and which of the group."""
    prefix = torch.arange(seen, n_prefix, device=position.device)
    key_position = torch.cat([prefix, position])
    own = torch.cat([torch.ones_like(prefix, dtype=torch.bool).expand(len(position), -1),
                     segment[:, None] == segment[None]], dim=1)  # fmt: skip
    return own & _causal(position, key_position, window)


def _causal(query_position, key_position, window: int | None) -> torch.Tensor:
    distance = query_position[:, None] - key_position[None]
    mask = distance >= 0
    return mask if window is None else mask & (distance < window)


def _additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """0 where visible, else -∞: made once a pass, where a boolean mask is converted every layer."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
        ~visible, float("-inf")
    )


def _with_room(prefix: torch.Tensor, room: int) -> torch.Tensor:
    """A copy of (1, n_heads, n_prefix, head_dim) with `room` unset rows behind the prefix."""
    batch, heads, n, width = prefix.shape
    larger = prefix.new_empty(batch, heads, n + room, width)
    larger[:, :, :n] = prefix
    return larger


def _product(q, k, v, mask, scaling, softcap):
    """Softmax attention; without a mask, causal. With a soft cap in float32, as Gemma 2 has it."""
    if softcap is None:
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling
        )
    weight = (q @ k.mT) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    weight = softcap * torch.tanh(weight / softcap)
    weight = weight + mask
    return torch.softmax(weight, -1, dtype=torch.float32).to(q.dtype) @ v


def _flex(layout, query, key, value, stored, scaling, window, softcap):
    """One flex_attention call over the row, behind it the prefix kept from an earlier pass."""
    flex_attention, create_block_mask = _flex_functions(query.device.type)
    tree, segment, position = layout.tree, layout.segment, layout.position
    if stored is not None:
        n = stored[0].shape[2]
        key, value = (torch.cat([x, y], dim=2) for x, y in zip((key, value), stored, strict=True))
        tree = torch.cat([tree, tree.new_full((n,), layout.spans[0].tree)])
        segment = torch.cat([segment, segment.new_zeros(n)])
        position = torch.cat([position, torch.arange(n, device=position.device)])
    mask = layout.masks.get(window)
    if mask is None:

        def visible(b, h, q, k):
            distance = position[q] - position[k]
            same = (tree[q] == tree[k]) & ((segment[k] == 0) | (segment[k] == segment[q]))
            near = same & (distance >= 0)
            return near if window is None else near & (distance < window)

        mask = layout.masks[window] = create_block_mask(
            visible, None, None, query.shape[2], key.shape[2], device=query.device
        )

    def capped(score, b, h, q, k):
        return softcap * torch.tanh(score / softcap)

    return flex_attention(
        query, key, value, score_mod=None if softcap is None else capped, block_mask=mask,
        scale=scaling, enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip


@cache
def _flex_functions(device: str):
    """flex_attention and its mask builder: compiled on a GPU, plain and slow elsewhere."""
    from torch.nn.attention import flex_attention as module

    functions = module.flex_attention, module.create_block_mask
    if device == "cuda":
        return tuple(torch.compile(f, dynamic=True) for f in functions)
    return functions


def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)


_register()

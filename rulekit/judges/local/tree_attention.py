"""Attention over packed token trees: every token sees its own prefix and its own suffix.

The row and its layout come in with the queries, keys and values of one layer; the attention's output
goes out. `shared_pass` lays the rows out and has transformers call `attend` in every layer.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache

import torch
from torch.nn import functional

WAYS = ("grouped", "flex")
NAME = "rulekit_tree_attention"  # in transformers' registry
LAYOUT: ContextVar[Layout] = ContextVar("layout")  # of the pass that runs
_IGNORED = {  # of what a model hands to its attention: nothing that changes it
    "dropout",
    "is_causal",
    "position_ids",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
}
_GROUP_TOKENS = 256  # suffix tokens that share one masked product; see tests/benchmarks
_ROWS = 512  # queries that meet a prefix at once: their scores stay in a core's cache


class Unsupported(Exception):
    """The model does something that a packed row cannot show; the message says what."""


@dataclass
class Span:
    """Where one branch lies in the row: its prefix (empty if kept from before) and its suffixes."""

    tree: int
    prefix: slice
    suffixes: list[slice]
    keep: bool


@dataclass
class Layout:
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
    spans: list[Span]
    attention: str
    longest: int  # tokens of the longest sequence, prefix and suffix
    before: dict[int, tuple[torch.Tensor, torch.Tensor]]
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    masks: dict = field(default_factory=dict)  # what all layers share, made once
    layers: set[int] = field(default_factory=set)  # whose attention has been called


def attend(
    module,
    query: torch.Tensor,  # (1, n_heads, n_tokens, head_dim)
    key: torch.Tensor,  # (1, n_kv_heads, n_tokens, head_dim)
    value: torch.Tensor,
    attention_mask,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **more,
) -> tuple[torch.Tensor, None]:
    """Attention over a packed row: the function that transformers calls in every layer."""
    unknown = [n for n, v in more.items() if v is not None and n not in _IGNORED]
    if unknown:
        raise Unsupported(f"its attention takes {', '.join(unknown)}")
    layout = LAYOUT.get()
    layout.layers.add(module.layer_idx)
    stored = layout.before.get(module.layer_idx)
    if (tail := layout.spans[-1]).keep:
        layout.kept[module.layer_idx] = (
            (key[:, :, tail.prefix].clone(), value[:, :, tail.prefix].clone())
            if tail.prefix.stop > tail.prefix.start
            else stored
        )
    if sliding_window is not None and sliding_window > layout.longest:
        sliding_window = None  # wide enough to see everything
    way = _flex if layout.attention == "flex" else _grouped
    out = way(layout, query, key, value, stored, scaling, sliding_window, softcap)
    return out.transpose(1, 2), None


def _grouped(layout, query, key, value, stored, scaling, window, softcap):
    """Each prefix by itself, then its suffixes beside it."""
    out = query.new_empty(*query.shape[:3], value.shape[-1])
    plain = window is None and softcap is None and query.shape[-1] == value.shape[-1]
    suffixes = _cascade if plain and query.device.type == "cpu" else _masked
    for s, span in enumerate(layout.spans):
        prefix = stored
        if span.prefix.stop > span.prefix.start:
            prefix = tuple(x[:, :, span.prefix] for x in (key, value))
            mask = _prefix_mask(layout, s, window, softcap, query)
            q = query[:, :, span.prefix]
            whole = (_for_each_head(x, query) for x in prefix)
            out[:, :, span.prefix] = _product(q, *whole, mask, scaling, softcap)
        suffixes(layout, s, query, key, value, prefix, out, scaling, window, softcap)
    return out


def _for_each_head(x: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Keys or values repeated for the heads that share them: as transformers' own attention does."""
    repeat = query.shape[1] // x.shape[1]
    return x if repeat == 1 else x.repeat_interleave(repeat, dim=1)


def _prefix_mask(layout, s: int, window, softcap, query):
    """The mask of a prefix, None where it is plainly causal."""
    span = layout.spans[s].prefix
    n = span.stop - span.start
    if softcap is None and (window is None or n <= window):
        return None
    mask = layout.masks.get((s, window))
    if mask is None:
        position = torch.arange(n, device=query.device)
        visible = _causal(position, position, window)
        mask = layout.masks[s, window] = _additive(visible, query.dtype)
    return mask


def _cascade(layout, s, query, key, value, prefix, out, scaling, window, softcap) -> None:
    """All suffix tokens over the prefix without a mask, each suffix over itself, then merged.

    Attention over two sets of keys is the mean of the attentions over each, weighted by the sums
    of their exponentials: o = σ(l₁ - l₂) o₁ + (1 - σ(l₁ - l₂)) o₂, l the logarithms of the sums.
    """
    suffixes = layout.spans[s].suffixes
    rows = slice(suffixes[0].start, suffixes[-1].stop)
    padded, real, shape = _padded_rows(layout, s)

    def batch(x):  # (1, n_heads, n_tokens, d) → (n_suffixes, n_heads, longest, d)
        heads, width = x.shape[1], x.shape[3]
        return x[0].transpose(0, 1)[padded].view(*shape, heads, width).transpose(1, 2)

    own = [batch(x) for x in (query, key, value)]
    if query.dtype == torch.bfloat16:
        over_prefix, sum_prefix = _over_prefix(query[:, :, rows], *prefix, scaling)
        own, sum_own = _over_own(*own, scaling)
    else:
        whole = (_for_each_head(x, query) for x in prefix)
        over_prefix, sum_prefix = _flash_cpu(query[:, :, rows], *whole, False, scaling)
        own = [_for_each_head(x, query) for x in own]
        own, sum_own = _flash_cpu(*own, True, scaling)
    width = out.shape[1], out.shape[3]
    own = own.transpose(1, 2).reshape(-1, *width)[real]  # (n_tokens, n_heads, d)
    sum_own = sum_own.transpose(1, 2).reshape(-1, width[0])[real]
    share = torch.sigmoid(sum_prefix[0].T - sum_own)[..., None]
    merged = torch.lerp(own.float(), over_prefix[0].transpose(0, 1).float(), share)
    out[:, :, rows] = merged.to(out.dtype).transpose(0, 1)


def _over_prefix(query, key, value, scaling) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention to all keys, and the logarithms of its sums, by bfloat16 products.

    Heads that share keys are rows of one product. torch's own kernel multiplies in float32 on most
    processors, at a quarter of the speed.

    Parameters
    ----------
    query
        bfloat16 (1, n_heads, n_tokens, d).
    key, value
        bfloat16 (1, n_kv_heads, n_prefix, d).
    scaling
        Of the scores; None: d to the power of -1/2.

    Returns
    -------
    Attention, float32 (1, n_heads, n_tokens, d), and float32 (1, n_heads, n_tokens).
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    heads, d, n_prefix = key.shape[1], query.shape[-1], key.shape[2]
    rows = query[0].reshape(heads, -1, d)
    out = torch.empty(rows.shape, dtype=torch.float32)
    sums = torch.empty(*rows.shape[:2], 1, dtype=torch.float32)
    half = query.new_empty(min(_ROWS, rows.shape[1]), n_prefix)  # written again and again
    full = half.float()
    for head in range(heads):
        keys, values = key[0, head].T, value[0, head]
        for part in range(0, rows.shape[1], _ROWS):
            here = rows[head, part : part + _ROWS]
            n, to = len(here), slice(part, part + _ROWS)
            score = full[:n].copy_(torch.mm(here, keys, out=half[:n]))
            highest = score.amax(-1, keepdim=True)
            weight = torch.mul(score.sub_(highest), scaling, out=half[:n]).exp_()
            total = weight.sum(-1, keepdim=True, dtype=torch.float32)
            torch.div(torch.mm(weight, values), total, out=out[head, to])
            torch.add(highest * scaling, total.log(), out=sums[head, to])
    return out.view(query.shape), sums.view(query.shape[:3])


def _over_own(query, key, value, scaling) -> tuple[torch.Tensor, torch.Tensor]:
    """As `_over_prefix` for suffixes beside each other, (n_suffixes, n_heads, longest, d), causal."""
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    n, heads, longest, d = query.shape
    rows = query.reshape(n * key.shape[1], -1, d)  # of all heads that share keys
    keys, values = (x.reshape(n * key.shape[1], longest, d) for x in (key, value))
    score = torch.bmm(rows, keys.mT).float().view(len(rows), -1, longest, longest)
    later = torch.ones(longest, longest, dtype=torch.bool).triu(1)
    score = score.mul_(scaling).masked_fill_(later, float("-inf"))
    highest = score.amax(-1, keepdim=True)
    weight = score.sub_(highest).to(query.dtype).exp_()
    total = weight.sum(-1, keepdim=True, dtype=torch.float32)
    out = torch.bmm(weight.view(len(rows), -1, longest), values).view(n, heads, longest, d)
    total, highest = (x.reshape(n, heads, longest, 1) for x in (total, highest))
    return out.float() / total, (highest + total.log())[..., 0]


def _padded_rows(layout, s: int) -> tuple[torch.Tensor, torch.Tensor, tuple[int, int]]:
    """Rows of a span's suffixes as a batch padded right, which of them are real, and its shape.

    A pad stands behind its suffix, so that under a causal mask no real token sees it.
    """
    found = layout.masks.get(("padded", s))
    if found is None:
        suffixes = layout.spans[s].suffixes
        start = torch.tensor([x.start for x in suffixes])[:, None]
        length = torch.tensor([x.stop - x.start for x in suffixes])[:, None]
        place = torch.arange(int(length.max()))[None]
        real = place < length
        padded = torch.where(real, start + place, start)
        found = padded.flatten(), real.flatten().nonzero().flatten(), tuple(real.shape)
        layout.masks["padded", s] = found
    return found


def _flash_cpu(q, k, v, causal: bool, scaling):
    """Attention and the logarithms of its sums, (1, n_heads, n_tokens): no public name gives both."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, causal, scale=scaling
    )


def _masked(layout, s, query, key, value, prefix, out, scaling, window, softcap) -> None:
    """A few suffixes at a time beside their prefix, under a mask: with windows and soft caps."""
    span = layout.spans[s]
    key, value, *prefix = (_for_each_head(x, query) for x in (key, value, *prefix))
    n_prefix = prefix[0].shape[2]
    seen = 0 if window is None else max(0, n_prefix - window + 1)  # the first suffix token's
    groups = _groups(span.suffixes)
    room = max(rows.stop - rows.start for rows in groups)
    # The prefix is copied once; every group then overwrites the rows behind it.
    keys, values = (_with_room(x[:, :, seen:], room) for x in prefix)
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
    own = torch.cat(
        [
            torch.ones_like(prefix, dtype=torch.bool).expand(len(position), -1),
            segment[:, None] == segment[None],
        ],
        dim=1,
    )
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
    if stored is not None:
        key, value = (torch.cat([x, y], dim=2) for x, y in zip((key, value), stored, strict=True))
    mask = layout.masks.get(window)
    if mask is None:
        visible = _visible(layout, 0 if stored is None else stored[0].shape[2], window)
        mask = layout.masks[window] = create_block_mask(
            visible, None, None, query.shape[2], key.shape[2], device=query.device
        )

    def capped(score, b, h, q, k):
        return softcap * torch.tanh(score / softcap)

    return flex_attention(
        query,
        key,
        value,
        score_mod=None if softcap is None else capped,
        block_mask=mask,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _visible(layout, n_stored: int, window: int | None):
    """Who sees whom in the row and, behind it, in a prefix of `n_stored` tokens kept from before."""
    tree, segment, position = layout.tree, layout.segment, layout.position
    if n_stored:
        tree = torch.cat([tree, tree.new_full((n_stored,), layout.spans[0].tree)])
        segment = torch.cat([segment, segment.new_zeros(n_stored)])
        position = torch.cat([position, torch.arange(n_stored, device=position.device)])

    def visible(b, h, q, k):
        distance = position[q] - position[k]
        same = (tree[q] == tree[k]) & ((segment[k] == 0) | (segment[k] == segment[q]))
        near = same & (distance >= 0)
        return near if window is None else near & (distance < window)

    return visible


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

    AttentionInterface.register(NAME, attend)


_register()

"""Token trees in one differentiable pass: a conversation is read once for all its rules.

Trees as `rulekit.judges.local` lays them out for rating come in, the tensors of a packed row go out;
`language_judge` trains on them. `attend` is the attention, which transformers calls in every layer:
plain products with gradients, where rating has kernels without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from rulekit.judges.local.shared_pass import Tree

NAME = "rulekit_tree_passes"  # in transformers' registry
_IGNORED = {  # of what a model hands to its attention: nothing that changes it
    "is_causal",
    "position_ids",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
}


@dataclass(frozen=True, eq=False)
class TreeRow:
    """Where the trees of one pass lie in its row, and the row itself.

    Attributes
    ----------
    ids, position
        Token ids and the place of each in its sequence, prefix and suffix, int64 (n_tokens,).
    last
        Where each suffix ends, int64 (n_suffixes,).
    prefixes
        Of each tree the slice of its prefix.
    padded
        Of each tree the tokens of its suffixes as a batch padded right, int64 (n_suffixes,
        longest); a pad repeats the suffix's first token, and no real token sees it.
    real
        Of each tree which of the flattened `padded` are no pads, int64.
    """

    ids: torch.Tensor
    position: torch.Tensor
    last: torch.Tensor
    prefixes: list[slice]
    padded: list[torch.Tensor]
    real: list[torch.Tensor]

    def to(self, device: torch.device | str) -> TreeRow:
        """The same on a device."""
        one = (x.to(device) for x in (self.ids, self.position, self.last))
        many = ([x.to(device) for x in xs] for xs in (self.padded, self.real))
        return TreeRow(*one, self.prefixes, *many)

    def inputs(self) -> dict:
        """What a causal language model of transformers takes, its attention being `NAME`."""
        return {
            "input_ids": self.ids[None],
            "position_ids": self.position[None],
            "logits_to_keep": self.last,
            "use_cache": False,
            "tree_row": self,
        }


def lay_out(trees: Sequence[Tree]) -> TreeRow:
    """One row of trees: each prefix once, its suffixes behind it.

    Parameters
    ----------
    trees
        At least one; a prefix and every suffix have a token or more.

    Examples
    --------
    A prefix ``a a a`` with the suffixes ``b b`` and ``c``::

        ids       a a a b b c
        position  0 1 2 3 4 3
        last              4 5
    """
    ids, position, last, prefixes, padded, real = [], [], [], [], [], []
    for tree in trees:
        first, n = len(ids), len(tree.prefix)
        prefixes.append(slice(first, first + n))
        ids += tree.prefix
        position += range(n)
        starts = []
        for suffix in tree.suffixes:
            starts.append(len(ids))
            ids += suffix
            position += range(n, n + len(suffix))
            last.append(len(ids) - 1)
        start = torch.tensor(starts)[:, None]
        length = torch.tensor([len(s) for s in tree.suffixes])[:, None]
        place = torch.arange(int(length.max()))[None]
        here = place < length
        padded.append(torch.where(here, start + place, start))
        real.append(here.flatten().nonzero().flatten())
    row = (torch.tensor(x) for x in (ids, position, last))
    return TreeRow(*row, prefixes, padded, real)


def attend(
    module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask=None,
    *,
    tree_row: TreeRow | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **more,
) -> tuple[torch.Tensor, None]:
    """Attention over a row of trees: a token sees its own prefix and the earlier tokens of its suffix.

    Parameters
    ----------
    module
        The attention layer.
    query
        (1, n_heads, n_tokens, head_dim).
    key, value
        (1, n_key_heads, n_tokens, head_dim); n_key_heads divides n_heads.
    attention_mask
        Not looked at: the row says who sees whom.
    tree_row
        From `lay_out`.
    scaling, dropout, sliding_window, softcap
        Of the model.
    more
        What else the model hands in; what would change the attention is refused.

    Returns
    -------
    (1, n_tokens, n_heads, head_dim) and None in place of the weights.

    Raises
    ------
    ValueError
        If the row is missing, or the layer does something that a row of trees cannot show.
    """
    unknown = [n for n, v in more.items() if v is not None and n not in _IGNORED]
    if tree_row is None or unknown or dropout:
        told = "dropout" if dropout else ", ".join(unknown) or "no row of trees"
        raise ValueError(
            f"{type(module).__name__}: its attention takes {told}; allowed: layers of full or "
            "sliding-window attention without dropout, called with a row of trees"
        )
    repeat = query.shape[1] // key.shape[1]
    if repeat > 1:
        key, value = (x.repeat_interleave(repeat, dim=1) for x in (key, value))
    query, key = query.to(value.dtype), key.to(value.dtype)  # autocast leaves rotated ones exact
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    parts = []
    for prefix, padded, real in zip(tree_row.prefixes, tree_row.padded, tree_row.real, strict=True):
        own = tuple(x[:, :, prefix] for x in (query, key, value))
        parts.append(_causal(*own, scaling, sliding_window, softcap)[0].transpose(0, 1))
        batch = tuple(x[0].transpose(0, 1)[padded].transpose(1, 2) for x in (query, key, value))
        out = _suffixes(*batch, *own[1:], scaling, sliding_window, softcap)
        parts.append(out.transpose(1, 2).flatten(0, 1)[real])
    return torch.cat(parts)[None], None  # every part (n_tokens, n_heads, head_dim)


def _causal(q, k, v, scaling, window, softcap):
    """A prefix over itself."""
    n = q.shape[2]
    if softcap is None and (window is None or n <= window):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling)
    place = torch.arange(n, device=q.device)
    hidden = _hidden(place[:, None] - place[None], window)
    return _softmax(_scores(q, k, scaling, softcap), hidden, v.dtype) @ v


def _suffixes(q, k, v, prefix_k, prefix_v, scaling, window, softcap):
    """Suffixes (n, n_heads, longest, head_dim) over the prefix of all and each over itself."""
    n, heads, longest, width = q.shape
    p = prefix_k.shape[2]
    rows = q.transpose(0, 1).reshape(1, heads, n * longest, width)  # one product for all suffixes
    over = _scores(rows, prefix_k, scaling, softcap)
    over = over.view(heads, n, longest, p).transpose(0, 1)
    scores = torch.cat([over, _scores(q, k, scaling, softcap)], dim=-1)
    place = torch.arange(longest, device=q.device)
    seen = torch.cat([torch.arange(p, device=q.device), p + place])
    weight = _softmax(scores, _hidden(p + place[:, None] - seen[None], window), v.dtype)
    shared = weight[..., :p].transpose(0, 1).reshape(1, heads, n * longest, p) @ prefix_v
    shared = shared.view(heads, n, longest, -1).transpose(0, 1)
    return shared + weight[..., p:] @ v


def _scores(q, k, scaling, softcap):
    scores = (q @ k.mT) * scaling
    return scores if softcap is None else softcap * torch.tanh(scores / softcap)


def _hidden(distance: torch.Tensor, window: int | None) -> torch.Tensor:
    """Which keys a query does not see, by how far they lie behind it."""
    hidden = distance < 0
    return hidden if window is None else hidden | (distance >= window)


def _softmax(scores, hidden, dtype):
    scores = scores.float().masked_fill(hidden, float("-inf"))
    return scores.softmax(-1).to(dtype)


def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


_register()

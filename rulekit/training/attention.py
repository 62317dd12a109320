"""Attention over a flat run of sequences: each token sees its own sequence and no other.

Registered with transformers under the name `segments`; the model hands in the boundaries as
`cu_seq_lens_q`, the keyword that its flash-attention path takes as well.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from transformers import AttentionInterface
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

NAME = "segments"


def choose(requested: str, device: torch.device | str) -> str:
    """The attention implementation for packed batches on a device: `requested`, unless ``auto``."""
    if requested != "auto":
        return requested
    if torch.device(device).type == "cuda":
        if is_flash_attn_3_available():
            return "flash_attention_3"
        if is_flash_attn_2_available():
            return "flash_attention_2"
    return NAME


def segment_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    *,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """Softmax attention inside each sequence of a flat batch.

    Parameters
    ----------
    module
        The attention layer; its `is_causal` says whether a token sees later ones.
    query
        (1, n_heads, n_tokens, head_dim).
    key, value
        (1, n_key_heads, n_tokens, head_dim); n_key_heads divides n_heads.
    cu_seq_lens_q
        First token of each sequence and, last, n_tokens: int32 (n_sequences + 1,).
    max_length_q
        Length of the longest sequence.
    scaling, dropout, sliding_window, is_causal
        Of the model.

    Returns
    -------
    (1, n_tokens, n_heads, head_dim) and None in place of the weights.

    Raises
    ------
    ValueError
        If the boundaries are missing, or the model asks for something that cannot be done here.
    """
    if cu_seq_lens_q is None:
        raise ValueError(
            "attention 'segments' needs cu_seq_lens_q, the boundaries of the sequences"
        )
    for unsupported in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(unsupported) is not None:
            raise ValueError(
                f"attention 'segments' does not support {unsupported}, which "
                f"{type(module).__name__} uses; allowed: another value of `attention`"
            )
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16) and dropout == 0.0:
        out = _varlen(query, key, value, cu_seq_lens_q, max_length_q, scaling, causal, sliding_window)  # fmt: skip
        return out, None
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    bounds = cu_seq_lens_q.tolist()
    parts = []
    for start, end in pairwise(bounds):
        q, k, v = (x[:, :, start:end] for x in (query, key, value))
        mask = None
        if sliding_window is not None and end - start > sliding_window:
            mask = _window(end - start, sliding_window, causal, query.device)
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                q, k, v, mask, dropout, is_causal=causal and mask is None, scale=scaling
            )
        )
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _window(n: int, width: int, causal: bool, device: torch.device) -> torch.Tensor:
    """Which earlier tokens, at most width - 1 back, each token sees: bool (n, n)."""
    back = torch.arange(n, device=device)[:, None] - torch.arange(n, device=device)
    return (back < width) & (back >= 0 if causal else back > -width)


def _varlen(query, key, value, bounds, longest, scaling, causal, sliding_window) -> torch.Tensor:
    """PyTorch's own variable-length flash kernel, for GPUs without the flash-attn package."""
    from torch.nn.attention.varlen import varlen_attn

    back = -1 if sliding_window is None else sliding_window - 1
    window = (back, 0) if causal else (back, back)
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    return varlen_attn(
        q, k, v, bounds, bounds, longest, longest,
        scale=scaling, window_size=window, enable_gqa=q.shape[1] != k.shape[1],
    ).unsqueeze(0)  # fmt: skip


AttentionInterface.register(NAME, segment_attention)

"""Attention over a flat run of sequences: each token sees its own sequence and no other.

Registered with transformers under the name `segments`; the model hands in the boundaries as
`cu_seq_lens_q`, the keyword that its flash-attention path takes as well.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import torch
from transformers import AttentionInterface, AutoModelForSequenceClassification, PreTrainedConfig
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

NAME = "segments"
BY_BOUNDARIES = (NAME, "flash_attention_2", "flash_attention_3")
# Transformers masks packed rows of decoders only; flex attention does not train on a CPU.
BY_MASK = ("sdpa", "eager", "flex_attention")


def choose(
    requested: str, device: torch.device | str, described: PreTrainedConfig | None = None
) -> str:
    """The attention implementation for packed batches on a device: `requested`, unless ``auto``.

    Parameters
    ----------
    requested
        ``auto``, one of `BY_BOUNDARIES`, or for a decoder one of `BY_MASK` (``flex_attention`` on
        a GPU).
    device
        Where the model will run.
    described
        Configuration of the model. Without it `BY_MASK` is refused: a bidirectional model would
        let the sequences of a packed row see each other, and give other rewards.

    Raises
    ------
    ValueError
        If the name is unknown, or does not keep the sequences of this model apart.
    """
    on_gpu = torch.device(device).type == "cuda"
    allowed = ["auto", *BY_BOUNDARIES]
    if requested not in allowed and described is not None and _is_causal(described):
        allowed += BY_MASK if on_gpu else BY_MASK[:2]
    if requested not in allowed:
        raise ValueError(
            f"attention {requested!r} is unknown, or does not keep the sequences of this model's "
            f"packed rows apart; allowed: {', '.join(allowed)}"
        )
    if requested != "auto":
        return requested
    if on_gpu:
        if is_flash_attn_3_available():
            return "flash_attention_3"
        if is_flash_attn_2_available():
            return "flash_attention_2"
    return NAME


def _is_causal(described: PreTrainedConfig) -> bool:
    """Whether no token sees a later one, by the model's own layers; nothing is allocated."""
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(described)
    known = [m.is_causal for m in model.modules() if hasattr(m, "is_causal")]
    return bool(known) and all(known)


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
    attention_mask
        Not looked at: the boundaries say who sees whom.
    cu_seq_lens_q
        First token of each sequence and, last, n_tokens: int32 (n_sequences + 1,).
    max_length_q
        Length of the longest sequence.
    scaling, dropout, sliding_window, is_causal
        Of the model.
    kwargs
        What else the model hands in; `softcap`, `s_aux` and `position_bias` are refused.

    Returns
    -------
    (1, n_tokens, n_heads, head_dim), in the type of `value`, and None in place of the weights.

    Raises
    ------
    ValueError
        If the boundaries are missing, or the model asks for something that cannot be done here.

    Notes
    -----
    PyTorch's variable-length flash kernel where it can be used, otherwise one call a sequence.
    Under autocast rotary positions leave query and key in float32 beside a value in bfloat16, so
    both take the value's type.
    """
    if cu_seq_lens_q is None:
        raise ValueError(
            "attention 'segments' needs cu_seq_lens_q, the boundaries of the sequences"
        )
    for unsupported in ("softcap", "s_aux", "position_bias"):
        if kwargs.get(unsupported) is not None:
            raise ValueError(
                f"attention 'segments' does not support {unsupported}, which "
                f"{type(module).__name__} uses; allowed: 'flash_attention_2', or for a decoder "
                f"{', '.join(map(repr, BY_MASK))}, where they know it"
            )
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    query, key = query.to(value.dtype), key.to(value.dtype)
    if sliding_window is not None and max_length_q is not None and max_length_q <= sliding_window:
        sliding_window = None  # no sequence is longer
    attend = _one_by_one
    if dropout == 0.0 and max_length_q is not None and _has_kernel(query, sliding_window):
        attend = _varlen
    out = attend(
        query, key, value, cu_seq_lens_q, max_length_q, scaling, dropout, causal, sliding_window
    )
    return out, None


def _one_by_one(query, key, value, bounds, longest, scaling, dropout, causal, width):
    """One call of PyTorch's attention a sequence; shapes as in `segment_attention`."""
    key, value = _spread(query, key, value)
    parts = []
    for start, end in pairwise(bounds.tolist()):
        q, k, v = (x[:, :, start:end] for x in (query, key, value))
        mask = None
        if width is not None and end - start > width:
            mask = _window(end - start, width, causal, query.device)
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                q, k, v, mask, dropout, is_causal=causal and mask is None, scale=scaling
            )
        )
    return torch.cat(parts, dim=2).transpose(1, 2)


def _spread(query, key, value) -> tuple[torch.Tensor, torch.Tensor]:
    """Key and value with as many heads as the query."""
    groups = query.shape[1] // key.shape[1]
    if groups == 1:
        return key, value
    return key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)


def _window(n: int, width: int, causal: bool, device: torch.device) -> torch.Tensor:
    """Which earlier tokens, at most width - 1 back, each token sees: bool (n, n)."""
    back = torch.arange(n, device=device)[:, None] - torch.arange(n, device=device)
    return (back < width) & (back >= 0 if causal else back > -width)


# The variable-length kernel ----------------------------------------------------------------------


@cache
def _kernel() -> tuple[Callable, frozenset[str]] | None:
    """PyTorch's variable-length flash kernel and its arguments' names; None before torch 2.10.

    It grew: `is_causal` alone in 2.10; `scale` and `window_size` in its place in 2.11;
    `enable_gqa` from 2.12.
    """
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn, frozenset(inspect.signature(varlen_attn).parameters)


def _has_kernel(query: torch.Tensor, width: int | None) -> bool:
    """Whether the kernel takes such a query; on a GPU in half precision says once why it does not."""
    if not _on_gpu_in_half(query):
        return False
    head_dim = query.shape[-1]
    if _kernel() is None:
        reason = f"torch {torch.__version__} has no variable-length attention (2.10 has)"
    elif torch.cuda.get_device_capability(query.device) < (8, 0):
        reason = "flash attention needs a GPU of compute capability 8.0 or more"
    elif head_dim % 8 or head_dim > 256:
        reason = f"flash attention takes no heads of {head_dim} numbers"
    elif width is not None and "window_size" not in _kernel()[1]:
        reason = f"torch {torch.__version__} has no sliding window in it (2.11 has)"
    else:
        return True
    _say_once(reason)
    return False


def _on_gpu_in_half(query: torch.Tensor) -> bool:
    return query.is_cuda and query.dtype in (torch.float16, torch.bfloat16)


@cache
def _say_once(reason: str) -> None:
    warnings.warn(
        f"attention 'segments' makes one call a sequence: {reason}; flash-attn would be faster",
        stacklevel=2,
    )


def _varlen(query, key, value, bounds, longest, scaling, dropout, causal, width) -> torch.Tensor:
    """All sequences in one call of the kernel, whichever of its signatures this torch has."""
    call, names = _kernel()
    settings = {}
    if "enable_gqa" in names:
        settings["enable_gqa"] = query.shape[1] != key.shape[1]
    else:
        key, value = _spread(query, key, value)
    if "window_size" in names:
        back = -1 if width is None else width - 1
        settings["window_size"] = (back, 0) if causal else (back, back)
    else:
        settings["is_causal"] = causal
    if "scale" in names:
        settings["scale"] = scaling
    elif scaling is not None:  # the kernel divides by the root of head_dim
        factor = scaling * query.shape[-1] ** 0.5
        query = query if abs(factor - 1) < 1e-6 else query * factor
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    return call(q, k, v, bounds, bounds, longest, longest, **settings).unsqueeze(0)


AttentionInterface.register(NAME, segment_attention)

"""What becomes of a transformer's layers before it is trained: computed again, compiled.

`models` and `language_judge` call it on a model that was read.
"""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from transformers import PreTrainedModel


def recompute(model: PreTrainedModel, first: Literal["all"] | int) -> None:
    """Compute the activations of the first so many layers again in the backward pass.

    Parameters
    ----------
    model
        A transformer.
    first
        Number of layers, or ``all``; 0 changes nothing.
    """
    if first == 0:
        return
    # The name that transformers 5 began with, and the one that it goes on with.
    old = model.gradient_checkpointing_enable
    getattr(model, "activation_checkpointing_enable", old)({"use_reentrant": False})
    if first != "all":
        for layer in _layers(model)[first:]:
            layer.gradient_checkpointing = False


def compile_in_place(model: PreTrainedModel, device: torch.device | str) -> None:
    """Compile each layer for passes of any length; the names of its weights stay.

    Parameters
    ----------
    model
        A transformer.
    device
        Where it will run; where nothing can be compiled for it, that is said in a warning.
    """
    try:
        torch.compile(lambda x: x.sin() + 1, dynamic=True)(torch.ones(8, device=device))
    except (RuntimeError, ImportError, OSError) as error:  # no Triton, no C compiler for it
        reason = str(error).splitlines()[0]
        warnings.warn(f"layers are not compiled, steps take longer: {reason}", stacklevel=2)
        return
    for layer in _layers(model):
        layer.compile(dynamic=True)


def _layers(model: PreTrainedModel) -> list[torch.nn.Module]:
    """First to last."""
    found = [m for m in model.modules() if hasattr(m, "gradient_checkpointing") and m is not model]
    return [m for m in found if type(m).__name__.endswith(("Layer", "Block"))]

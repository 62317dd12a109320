"""Sharded training: weights, gradients and optimiser states split over the processes of torchrun.

PyTorch's `fully_shard`, block by block, on GPUs and on CPUs alike; whole weights and sharded
optimiser states come out for a checkpoint and go back in.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

_OPTIMIZER = "optimizer_sharded"


def shard(model: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """Split a model's parameters over all processes, each block gathered only while it runs.

    Parameters
    ----------
    model
        On the CPU, the same on every process; the device gets one block after the other, and keeps
        its part.
    device
        Of this process.

    Returns
    -------
    The same model, its parameters sharded.
    """
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    names = set(getattr(model, "_no_split_modules", None) or ())
    blocks = [m for m in model.modules() if type(m).__name__ in names]
    for module in [*blocks, model]:
        fully_shard(module, mesh=mesh)
    return model


def whole_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """All weights, whole, on the CPU of the first process; every process must call it."""
    return get_model_state_dict(
        model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )


def load_weights(model: torch.nn.Module, checkpoint: str | Path) -> None:
    """Put a checkpoint's whole weights into a sharded model."""
    state: dict = {}
    for file in sorted(Path(checkpoint).glob("*.safetensors")):
        state |= load_file(file)
    wanted = get_model_state_dict(model).keys()
    state = {_key(name, wanted): weight for name, weight in state.items()}
    set_model_state_dict(model, state, options=StateDictOptions(full_state_dict=True, strict=False))


def _key(name: str, wanted) -> str:
    """The name of a weight in the model: peft leaves the adapter's name out of its files."""
    if name in wanted:
        return name
    stem, last = name.rsplit(".", 1)
    for candidate in (f"{stem}.default.{last}", f"{stem}.modules_to_save.default.{last}"):
        if candidate in wanted:
            return candidate
    raise ValueError(f"the checkpoint holds {name!r}, which the model does not have")


def save_optimizer(model, optimizer, checkpoint: str | Path) -> None:
    """Write each process's part of the optimiser's states."""
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    state = get_optimizer_state_dict(model, optimizer, options=options)
    dcp.save({"optimizer": state}, checkpoint_id=Path(checkpoint) / _OPTIMIZER)


def load_optimizer(model, optimizer, checkpoint: str | Path) -> None:
    """Read what `save_optimizer` wrote, also with another number of processes."""
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    state = {"optimizer": get_optimizer_state_dict(model, optimizer, options=options)}
    dcp.load(state, checkpoint_id=Path(checkpoint) / _OPTIMIZER)
    set_optimizer_state_dict(model, optimizer, state["optimizer"], options=options)

"""AdamW for bfloat16 weights and states, with updates rounded up or down at random.

Rounded to the nearest, an update smaller than 1/512 of its weight is lost, and a second moment
that moves by a thousandth a step never moves. Rounded at random in proportion, both are right on
average, at half the memory of float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache

import torch

_SLICE = 1 << 24  # elements


def round_at_random(value: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """float32 → bfloat16, up or down with the probability that makes the mean exact.

    Parameters
    ----------
    value
        float32 of any shape; infinities and NaN stay what they are.
    generator
        Of the random bits; None takes the global one, which checkpoints keep.

    Notes
    -----
    A bfloat16 is the upper half of a float32. Adding 16 uniform random bits to the lower half
    carries into the upper one with probability (lower half) / 2¹⁶.
    """
    bits = torch.empty_like(value, dtype=torch.int32).random_(0, 1 << 16, generator=generator)
    return _round(value, bits.masked_fill_(value.isnan(), 0)).to(torch.bfloat16)


def _round(value: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """float32 that bfloat16 holds; `bits` are 16 random ones an element.

    They are 0 for NaN, which a carry would turn into a number.
    """
    return ((value.view(torch.int32) + bits) & -65536).view(torch.float32)


class StochasticAdamW(torch.optim.Optimizer):
    """AdamW whose bfloat16 weights and states are rounded at random; float32 ones are exact.

    Parameters
    ----------
    params
        Parameters or groups; each step's arithmetic is in float32.
    lr, betas, eps, weight_decay
        As in `torch.optim.AdamW`.
    state_dtype
        ``torch.float32`` or ``torch.bfloat16``: 8 or 4 bytes a parameter for both moments.

    Raises
    ------
    ValueError
        For another `state_dtype`.

    Notes
    -----
    One draw of 16 bits an element rounds weight and both moments: each is right on average, which
    is all that is needed, although their errors go together.

    Memory that one update moves, in bytes a bfloat16 parameter with bfloat16 states:

    - compiled, as on a GPU with Triton: 14. Weight, gradient and moments are read, weight and
      moments are written, 2 bytes each; everything between stays in registers.
    - one operation after the other: 204, in float32. Gradient 6, first moment 18, second 30, step
      54, random bits 18, three roundings 26 each. Weight decay adds 8.

    Both compute the same function. Their random bits differ, so a run goes on to the same bits
    where it is resumed on the same kind of machine.

    References
    ----------
    I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        state_dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        if state_dtype not in (torch.float32, torch.bfloat16):
            raise ValueError(
                f"state_dtype is {state_dtype}; allowed: torch.float32, torch.bfloat16"
            )
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )
        self.state_dtype = state_dtype

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)
        return loss

    def _update(self, p: torch.Tensor, group: dict) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)  # as torch.optim keeps it
            state["exp_avg"] = torch.zeros_like(p, dtype=self.state_dtype)
            state["exp_avg_sq"] = torch.zeros_like(p, dtype=self.state_dtype)
        state["step"] += 1
        parts = [_local(x).view(-1) for x in (p, p.grad, state["exp_avg"], state["exp_avg_sq"])]
        step, (beta1, beta2) = int(state["step"]), group["betas"]
        root = (1 - beta2**step) ** 0.5
        # Tensors: a compiled update would be compiled again for each new number.
        changing = torch.tensor(
            [
                group["lr"] * root / (1 - beta1**step),
                group["eps"] * root,
                1 - group["lr"] * group["weight_decay"],
            ],
            dtype=torch.float32,
        ).to(parts[0].device, non_blocking=True)
        update = update_on(parts[0].device)
        # In slices: the float32 copies of an 8B model's embedding would take 10 GB.
        for slices in zip(*(part.split(_SLICE) for part in parts), strict=True):
            # `data`: for views, what they are views of would be compiled in.
            plain = (part.data for part in slices)
            update(*plain, *changing.unbind(), beta1, beta2, group["weight_decay"] != 0)

    def load_state_dict(self, state_dict: dict) -> None:
        """Restore; states keep their own type, which torch would make that of the weights."""
        super().load_state_dict(state_dict)
        saved = [i for group in state_dict["param_groups"] for i in group["params"]]
        mine = [p for group in self.param_groups for p in group["params"]]
        for number, p in zip(saved, mine, strict=True):
            for name in ("exp_avg", "exp_avg_sq"):
                if number in state_dict["state"]:
                    exact = state_dict["state"][number][name]
                    self.state[p][name] = exact.to(p.device, self.state_dtype, copy=True)


def adamw(
    weight: torch.Tensor,
    gradient: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    rate: torch.Tensor,
    floor: torch.Tensor,
    keep: torch.Tensor,
    beta1: float,
    beta2: float,
    decays: bool,
) -> None:
    """One update in float32, stored in each tensor's own type: the reference of the compiled one.

    Parameters
    ----------
    weight, gradient, first, second
        (n,); weight and the two moments are changed.
    rate, floor, keep
        Float32 (): lr √(1 - β₂ᵗ) / (1 - β₁ᵗ), eps √(1 - β₂ᵗ), 1 - lr · decay.
    beta1, beta2
        Shares of the moments that stay.
    decays
        Whether `keep` is not 1.

    Notes
    -----
    m ← β₁ m + (1 - β₁) g, v ← β₂ v + (1 - β₂) g², w ← keep w - rate m / (√v + floor).
    """
    g = gradient.float()
    m = first.float().lerp(g, 1 - beta1)
    v = second.float().mul(beta2).addcmul(g, g, value=1 - beta2)
    w = weight.float()
    if decays:
        w = w * keep
    w = w - rate * m / (v.sqrt() + floor)
    bits = None
    if torch.bfloat16 in (weight.dtype, first.dtype):
        bits = torch.randint(0, 1 << 16, w.shape, dtype=torch.int32, device=w.device)
        bits = bits.masked_fill(w.isnan(), 0)  # where a moment is NaN, so is the weight
    for stored, exact in ((weight, w), (first, m), (second, v)):
        stored.copy_(_round(exact, bits) if stored.dtype == torch.bfloat16 else exact)


def update_on(device: torch.device) -> Callable:
    """`adamw`, compiled on a GPU."""
    return _compiled() if device.type == "cuda" else adamw


@cache
def _compiled() -> Callable:
    """`adamw` as one kernel for the GPU, or itself, announced once, where it cannot be compiled."""
    fast = torch.compile(adamw, dynamic=True, fullgraph=True)
    try:
        _try_out(fast)
    except (RuntimeError, ImportError, OSError) as error:  # no Triton, no C compiler for it
        warnings.warn(
            f"the optimiser's update is not compiled, steps take longer: {str(error).splitlines()[0]}",
            stacklevel=2,
        )
        return adamw
    return fast


def _try_out(update: Callable) -> None:
    """One update of something small on the GPU; the random numbers of the run stay where they are."""
    device = torch.device("cuda", torch.cuda.current_device())
    with torch.random.fork_rng(devices=[device]):
        parts = [torch.ones(64, dtype=torch.bfloat16, device=device) for _ in range(4)]
        numbers = torch.ones(3, device=device).unbind()
        with torch.no_grad():
            update(*parts, *numbers, 0.9, 0.999, False)
        torch.cuda.synchronize()


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a sharded tensor."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor

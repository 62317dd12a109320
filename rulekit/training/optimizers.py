"""AdamW for bfloat16 weights and states, with updates rounded up or down at random.

Rounded to the nearest, an update smaller than 1/512 of its weight is lost, and a second moment
that moves by a thousandth a step never moves. Rounded at random in proportion, both are right on
average, at half the memory of float32.
"""

from __future__ import annotations

from collections.abc import Callable

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
    bits = value.contiguous().view(torch.int32)
    noise = torch.randint(
        0, 1 << 16, bits.shape, dtype=torch.int32, device=bits.device, generator=generator
    )
    rounded = ((bits + noise) & -65536).view(torch.float32)
    return torch.where(torch.isfinite(value), rounded, value).to(torch.bfloat16)


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
        parts = map(_local, (p, p.grad, state["exp_avg"], state["exp_avg_sq"]))
        # In slices: the float32 copies of an 8B model's embedding would take 10 GB.
        for weight, gradient, first, second in zip(
            *(part.view(-1).split(_SLICE) for part in parts), strict=True
        ):
            _adamw(weight, gradient, first, second, int(state["step"]), group)

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


def _adamw(weight, gradient, first, second, step: int, group: dict) -> None:
    """One slice's update in float32, stored in each tensor's own type."""
    beta1, beta2 = group["betas"]
    g = gradient.float()
    m = first.float().lerp_(g, 1 - beta1)
    v = second.float().mul_(beta2).addcmul_(g, g, value=1 - beta2)
    w = weight.float() * (1 - group["lr"] * group["weight_decay"])
    denominator = (v / (1 - beta2**step)).sqrt_() + group["eps"]
    w -= group["lr"] / (1 - beta1**step) * m / denominator
    for stored, exact in ((weight, w), (first, m), (second, v)):
        stored.copy_(round_at_random(exact) if stored.dtype == torch.bfloat16 else exact)


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a sharded tensor."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor

"""Seconds inside the steps of a trainer, and the matrix peak of a device."""

from __future__ import annotations

import time

import torch
from transformers import TrainerCallback

from rulekit.throughput.random_models import device


class Clock(TrainerCallback):
    """Seconds inside of each step: on the wall, or with `cpu` those that the processor gave to us."""

    cpu = False

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, *args, **kwargs):
        wait()
        self.begun = self.now()

    def on_step_end(self, *args, **kwargs):
        wait()
        self.seconds.append(self.now() - self.begun)

    def now(self) -> float:
        return time.process_time() if self.cpu else time.perf_counter()


def wait() -> None:
    """Until the device has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def rate(seconds: list[float], tokens: int, skip: int = 0) -> float:
    """Tokens a second; the first `skip` steps warm up and their share of tokens goes with them."""
    return tokens * (len(seconds) - skip) / len(seconds) / sum(seconds[skip:])


def matrix_peak(n: int) -> float:
    """Bfloat16 operations a second of a square product of n, the best of twenty."""
    a, b = (torch.randn(n, n, device=device(), dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        wait()
        begun = time.perf_counter()
        a @ b
        wait()
        best = min(best, time.perf_counter() - begun)
    return 2 * n**3 / best


def peak_memory_gb() -> float | None:
    """Most memory of the GPU that was in use at once, in GB (10⁹ bytes); None on a CPU."""
    if not torch.cuda.is_available():
        return None
    return round(torch.cuda.max_memory_allocated() / 1e9, 1)

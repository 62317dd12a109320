"""What watches a run: metrics as JSON lines, a progress bar, and the signals that ask it to stop."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import torch
from tqdm.auto import tqdm
from transformers import TrainerCallback

METRICS = "metrics.jsonl"


class MetricsFile(TrainerCallback):
    """Appends one JSON object a log to ``metrics.jsonl``; a resumed run drops what it will redo."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / METRICS

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
        kept = [line for line in lines if _step(line) <= state.global_step]
        self.path.write_text("".join(kept))

    def on_log(self, args, state, control, logs=None, **kwargs):
        if state.is_world_process_zero and logs:
            row = {"step": state.global_step, "time": round(time.time(), 3), **logs}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):  # a line cut short by a crash
        return float("inf")


class ProgressBar(TrainerCallback):
    """A bar with loss, accuracy and tokens a second; silent where nobody looks."""

    bar: tqdm | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                unit="step",
                disable=None,
                mininterval=1,
            )

    def on_step_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        names = ("loss", "accuracy", "margin", "tokens_per_second")
        if self.bar is not None and logs:
            self.bar.set_postfix({n: f"{logs[n]:.3g}" for n in names if n in logs})

    def on_train_end(self, args, state, control, **kwargs):
        if self.bar is not None:
            self.bar.close()


class StopOnSignal(TrainerCallback):
    """After SIGTERM or SIGINT: finish the step, save a checkpoint, stop. `asked` says so.

    A context manager around the training: the former handlers come back afterwards.

    Notes
    -----
    A signal more than `PATIENCE` seconds after the first does not wait for the step. One that
    comes sooner is the same request: ``torchrun`` hands on to its processes what they may have
    got already. It kills them 30 seconds later, which an 8B model's step and checkpoint can
    exceed: set TORCH_ELASTIC_SHUTDOWN_TIMEOUT=600 for it, as `rulekit.training.start` does, and
    give whatever sends the signal as long before it kills.
    """

    SIGNALS = (signal.SIGTERM, signal.SIGINT)
    PATIENCE = 2.0  # seconds

    def __init__(self) -> None:
        self.asked = False
        self._since = 0.0
        self._former: dict = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # in the background of a shell
                    self._former[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _ask(self, number, frame) -> None:
        if not self.asked:
            self.asked, self._since = True, time.monotonic()
        elif time.monotonic() - self._since > self.PATIENCE:
            self.__exit__()
            signal.raise_signal(number)

    def on_step_end(self, args, state, control, **kwargs):
        if args.world_size > 1:  # a signal may reach one process alone; saving takes all of them
            flag = torch.tensor(float(self.asked), device=args.device)
            torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MAX)
            self.asked = bool(flag.item())
        if self.asked:
            control.should_save = True
            control.should_training_stop = True
        return control

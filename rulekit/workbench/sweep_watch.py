"""A sweep that is planned, started and watched from the workbench: its name and parameters come in.

The sweep is a process of its own, which a lost kernel does not take with it; what it has done is read
from its folder. `run_browser_widget` shows it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
from great_tables import GT

from rulekit import runs
from rulekit.runs.found import is_run, is_sweep
from rulekit.runs.sweep_file import values_of
from rulekit.tables import table

_WAIT = 120.0  # seconds for the folder of a sweep that was just started
_LINES = 5  # of what it says, shown when it failed


class SweepWatch:
    """One sweep.

    Parameters
    ----------
    what
        Name or file of a sweep, a recipe or a notebook; empty: none yet.
    parameters
        A line each: a name and its values, such as ``k 1,3,5`` or ``seed 0:5``.
    folder
        Where its folder is made; beside it, if this is a run or a sweep.
    """

    def __init__(self, what: str, parameters: str, folder: str | Path) -> None:
        folder = Path(folder)
        inside = is_run(folder) or is_sweep(folder)
        self.what, self.parameters = what, parameters
        self.folder = folder.resolve().parent if inside else folder
        self.sweep: Path | None = None  # its own folder, once it has one
        self._process: subprocess.Popen | None = None
        self._lines: list[str] = []
        self._told = threading.Event()

    def names(self) -> list[str]:
        """What can be swept by its name."""
        return [*runs.sweeps(), *runs.recipes()]

    def given(self) -> list[tuple[str, str]]:
        """Names and values as `rulekit sweep -p` takes them.

        Raises
        ------
        ValueError
            For a line without a value.
        """
        found = []
        for line in filter(None, map(str.strip, self.parameters.splitlines())):
            name, _, value = line.partition(" ")
            if not value.strip():
                raise ValueError(f"{line!r} has no value; allowed: a line such as k 1,3,5")
            found.append((name, value.strip()))
        return found

    def plan_table(self) -> GT:
        """What would run, how long and at what cost, as `rulekit.runs.plan_sweep` says."""
        self._check()
        swept = {name: values_of(value) for name, value in self.given()}
        plan = runs.plan_sweep(self.what, parameters=swept)
        told = plan.summary()
        calls = [(f"judge calls, {judge}", f"{n:,}") for judge, n in told["judge_calls"].items()]
        rows = [
            ("runs", f"{told['runs']:,}"),
            ("steps in them", f"{told['steps']:,}"),
            ("of these to run, shared ones once", f"{told['to_run']:,}"),
            ("time on one core", runs.duration(told["seconds"])),
            *(calls or [("judge calls", "none")]),
        ]
        frame = pl.DataFrame(rows, schema=["what", "how much"], orient="row")
        return table(frame, f"The sweep {self.what}, if it is started")

    def start(self, wait: bool = True) -> Path | None:
        """Start it; returns its folder, or None where it is not waited for.

        Parameters
        ----------
        wait
            Wait until it has a folder, and return that.

        Raises
        ------
        RuntimeError
            If it ends without one.
        ValueError
            If no sweep is named, or one is running.
        """
        self._check()
        if self.running():
            raise ValueError("a sweep is running; allowed: to stop it first")
        words = [w for name, value in self.given() for w in ("-p", name, value)]
        command = [sys.executable, "-m", "rulekit", "sweep", self.what, *words]
        self.sweep, self._lines = None, []
        self._told.clear()
        self._process = subprocess.Popen(
            [*command, "--runs", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # interrupting a cell does not end it
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        if not wait:
            return None
        self._told.wait(_WAIT)
        if self.sweep is None:
            raise RuntimeError(f"the sweep did not begin: {self.said()}")
        return self.sweep

    def stop(self) -> None:
        """Interrupt it, as Ctrl-C does: what is done stays, and it can be resumed."""
        if self.running():
            self._process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Wait until the process that was started here has ended; returns its exit status."""
        status = self._process.wait()
        self._reader.join()
        return status

    def running(self) -> bool:
        """Whether the process that was started here still works."""
        return self._process is not None and self._process.poll() is None

    def state(self) -> runs.SweepState | None:
        """How far it is; None before it has a folder."""
        if self.sweep is None or not (self.sweep / "sweep.json").is_file():
            return None
        return runs.sweep_state(self.sweep)

    def said(self) -> str:
        """The last lines that it printed."""
        if self._process is not None and self.sweep is None and self.running():
            return "it is being prepared …"
        return " ".join(self._lines[-_LINES:])

    def _check(self) -> None:
        if not self.what:
            raise ValueError(f"no sweep is named; allowed: {', '.join(self.names())}, or a file")

    def _read(self, process: subprocess.Popen) -> None:
        for line in process.stdout:
            self._lines = [*self._lines[-50:], line.rstrip()]
            _, arrow, path = line.rpartition("→ ")
            if self.sweep is None and arrow and (Path(path.strip()) / "sweep.json").is_file():
                self.sweep = Path(path.strip())
                self._told.set()
        process.stdout.close()
        process.wait()
        self._told.set()


def state_view(state: runs.SweepState) -> GT:
    """How far a sweep is, a row a run: those that failed first, then those at work."""
    frame = state.frame()
    order = pl.col("status").replace_strict({"failed": 0, "running": 1, "done": 2}, default=3)
    return table(frame.sort(order, maintain_order=True).head(20), str(state))

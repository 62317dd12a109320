"""Where tasks are done: in processes of this machine, made by a `template`.

Tasks go in, their outcomes come out in the order in which they end. `execution` and `sweeping` use it;
`cluster` has the same for several machines.
"""

from __future__ import annotations

import ast
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from rulekit.runs.kernel import FORKS

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
# Libraries whose import starts nothing that a fork would lose.
_HARMLESS = {
    "altair",
    "great_tables",
    "IPython",
    "matplotlib",
    "numba",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "scipy",
    "sklearn",
    "torch",
}


class Processes:
    """A process for each task, on this machine.

    Parameters
    ----------
    notebooks
        Paths of the notebooks that will be executed: what they import is loaded once.
    at_once
        How many tasks will be running together; cores are shared among them. None leaves threads
        as they are.
    environment
        More variables for the processes.
    """

    def __init__(
        self,
        notebooks: Iterable[Path] = (),
        at_once: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._told = tempfile.TemporaryDirectory(prefix="rulekit-outcomes-")
        self._preload = sorted({name for path in notebooks for name in imports(path)})
        self._env = os.environ | headless() | (environment or {})
        if at_once is not None:
            share = str(max(1, cores() // at_once))
            self._env = dict.fromkeys(_THREADS, share) | self._env
        self._numbers: dict[int, object] = {}
        self._count, self._rest = 0, b""
        self._process: subprocess.Popen | None = None

    def start(self, key: object, task: dict) -> None:
        """Begin a task; `wait` will give its outcome under the key."""
        if self._process is None:
            self._begin()
        self._count += 1
        self._numbers[self._count] = key
        task = task | {"told": str(Path(self._told.name) / f"{self._count}.json")}
        self._say({"number": self._count, "task": task})

    def wait(self, seconds: float) -> list[tuple[object, dict]]:
        """Keys and outcomes of the tasks that have ended, after some seconds at most.

        An outcome has at least ``status``; where the process broke off, ``broken`` says how.
        """
        if self._process is None:
            return []
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return []
        got = os.read(self._process.stdout.fileno(), 65536)
        if not got:
            return self._lost()
        *lines, self._rest = (self._rest + got).split(b"\n")
        told = [json.loads(line) for line in lines]
        return [self._outcome(one["number"], one["exit"]) for one in told if "number" in one]

    def close(self) -> None:
        """End what is running, the interrupted kernels last, and everything that was started."""
        process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        self._told.cleanup()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        words = [sys.executable, "-P", "-m", "rulekit.runs.template", json.dumps(self._preload)]
        self._process = subprocess.Popen(
            words if FORKS else [*words[:-1], "[]"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._env,
            start_new_session=True,  # Ctrl-C is for whoever waits here
            bufsize=0,
        )

    def _say(self, told: dict) -> None:
        try:
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
        except BrokenPipeError:
            return  # `wait` will tell

    def _outcome(self, number: int, status: int) -> tuple[object, dict]:
        path = Path(self._told.name) / f"{number}.json"
        log = Path(f"{path}.log")
        said = log.read_text(errors="replace").strip() if log.is_file() else ""
        if path.is_file():
            outcome = json.loads(path.read_text(encoding="utf-8"))
            path.unlink()
        else:
            how = f"signal {-status}" if status < 0 else f"status {status}"
            outcome = {"status": "broken", "broken": how, "said": said[-2000:]}
        log.unlink(missing_ok=True)
        return self._numbers.pop(number), outcome

    def _lost(self) -> list[tuple[object, dict]]:
        """The template itself has ended: what was running is lost, and the next task begins anew."""
        self._process.stdin.close()
        self._process.stdout.close()
        status = self._process.wait()
        self._process, self._rest = None, b""
        return [self._outcome(number, status) for number in list(self._numbers)]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def headless() -> dict[str, str]:
    """Variables that every kernel of a run gets."""
    given = {"RULEKIT_HEADLESS": "1"}
    if data := os.environ.get("RULEKIT_DATA"):
        given["RULEKIT_DATA"] = str(Path(data).expanduser().resolve())
    return given


def imports(notebook: Path) -> set[str]:
    """What a notebook imports and may be loaded before it runs: modules, and names of the kit.

    Names of the kit are ``rulekit:NAME`` or ``rulekit:ROOM.NAME``; getting one loads what is behind.
    """
    found: set[str] = set()
    kit: set[str] = set()
    trees = [tree for source in code_cells(notebook) if (tree := parsed(source)) is not None]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            for name in node.names:
                found |= {name.name} if _is_harmless(name.name) else set()
                kit |= {name.asname or "rulekit"} if name.name == "rulekit" else set()
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module.split(".")[0] == "rulekit":
                found |= {f"{node.module}:{name.name}" for name in node.names}
            elif _is_harmless(node.module):
                found.add(node.module)
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Attribute):
            path = ast.unparse(node).split(".")
            if path[0] in kit and all(part.isidentifier() for part in path[1:]):
                found.add(f"rulekit:{'.'.join(path[1:3])}")
    return found


def code_cells(notebook: Path) -> list[str]:
    """Sources of the code cells."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]


def parsed(source: str) -> ast.Module | None:
    """The syntax tree of a cell; None if it is no plain Python."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def _is_harmless(module: str) -> bool:
    return module.split(".")[0] in _HARMLESS

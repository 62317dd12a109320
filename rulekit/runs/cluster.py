"""Where tasks are done: in processes of several machines, which Ray finds.

The same as `workers`, for a cluster. `sweeping` imports it only where Ray is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rulekit.runs.workers import Processes, headless


class RayWorkers:
    """An actor a worker, spread over the nodes of the cluster; each makes a process for each task.

    Parameters
    ----------
    notebooks
        Paths of the notebooks that will be executed, which all nodes have to see.
    at_once
        Number of actors, of one core each; None: as many as the cluster has cores.

    Raises
    ------
    ModuleNotFoundError
        If Ray is not installed.
    """

    def __init__(self, notebooks: Iterable[Path], at_once: int | None = None) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "ray is not installed; allowed: pip install 'rulekit[ray]', or --on processes"
            ) from None
        self._ray, self._own = ray, not ray.is_initialized()
        if self._own:
            address = None if os.environ.get("RAY_ADDRESS") else _running_cluster()
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        self.at_once = at_once or max(1, int(ray.cluster_resources().get("CPU", 1)))
        actor = ray.remote(num_cpus=1, scheduling_strategy="SPREAD", max_restarts=0)(_Actor)
        paths = [str(path) for path in notebooks]
        variables = headless() | {
            name: os.environ[name] for name in ("RULEKIT_CACHE",) if name in os.environ
        }
        self._idle = [actor.remote(paths, variables) for _ in range(self.at_once)]
        self._make = lambda: actor.remote(paths, variables)
        self._busy: dict = {}  # what will be the outcome → key, actor

    def start(self, key: object, task: dict) -> None:
        """Begin a task; `wait` will give its outcome under the key."""
        actor = self._idle.pop()
        self._busy[actor.do.remote(task)] = key, actor

    def wait(self, seconds: float) -> list[tuple[object, dict]]:
        """Keys and outcomes of the tasks that have ended, after some seconds at most."""
        ended, _ = self._ray.wait(list(self._busy), timeout=seconds)
        found = []
        for reference in ended:
            key, actor = self._busy.pop(reference)
            try:
                outcome = self._ray.get(reference)
            except self._ray.exceptions.RayError as error:  # its node is gone
                outcome = {"status": "broken", "broken": type(error).__name__, "said": ""}
                actor = self._make()
            self._idle.append(actor)
            found.append((key, outcome))
        return found

    def close(self) -> None:
        """End what is running, and the actors; a cluster that was begun here ends too."""
        actors = [*self._idle, *(actor for _, actor in self._busy.values())]
        self._idle, self._busy = [], {}
        for actor in actors:
            self._ray.kill(actor)
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()


class _Actor:
    """Has a template of its own, and does one task at a time."""

    def __init__(self, notebooks: list[str], variables: dict[str, str]) -> None:
        import ray

        node = {"RULEKIT_NODE": ray.get_runtime_context().get_node_id()}
        self._processes = Processes(map(Path, notebooks), None, variables | node)

    def do(self, task: dict) -> dict:
        """The outcome of a task."""
        self._processes.start(None, task)
        while not (ended := self._processes.wait(60)):
            pass
        return ended[0][1]


def _running_cluster() -> str | None:
    """``auto`` where this machine belongs to a cluster that runs; None begins one of its own."""
    import ray

    try:
        return "auto" if ray._private.services.find_gcs_addresses() else None
    except AttributeError:
        return None

"""A sweep on a Ray cluster of two nodes, which the test starts on this machine."""

import json
import socket
from contextlib import ExitStack

import pytest

from rulekit import runs
from tests.runs.notebooks import chain

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'rulekit[ray]'")
PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)


def node() -> dict:
    """Settings of a small node; its ports are chosen here, for it waits only seconds for others to."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        ports = {name: s.getsockname()[1] for name, s in zip(PORTS, held, strict=True)}
    return {
        "num_cpus": 1,
        "object_store_memory": 80 * 2**20,
        "include_dashboard": False,
        "include_log_monitor": False,
        **ports,
    }


def start():
    """A cluster of two nodes; None if none starts, as Ray gives up after 30 seconds."""
    from ray.cluster_utils import Cluster

    for _ in range(2):
        cluster = Cluster()
        try:
            cluster.add_node(**node())
            cluster.add_node(**node())
        except Exception:  # ray raises it as it is
            cluster.shutdown()
        else:
            return cluster
    return None


@pytest.fixture
def two_nodes(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    if (cluster := start()) is None:
        pytest.skip("Ray starts no node in the 30 seconds that it allows: this machine is too busy")
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_steps_are_spread_over_the_nodes_shared_and_a_failure_stays_alone(two_nodes, tmp_path):
    said = []
    given = {"parameters": {"k": [1, 2, 3, 9]}, "runs": tmp_path / "runs"}
    folder = runs.sweep(str(chain(tmp_path)), **given, on="ray", say=said.append)
    state = runs.sweep_state(folder)
    assert state.counts == {"done": 3, "failed": 1, "running": 0, "waiting": 0}
    assert "k-9: use, cell 5: ValueError: k is 9" in said
    steps = [json.loads(p.read_text()) for p in folder.glob("steps/*/step.json")]
    assert len(steps) == 5
    assert len({step["node"] for step in steps}) == 2
    assert (folder / "runs" / "k-3" / "report.html").is_file()
    assert ray.is_initialized()  # it was not the sweep that began it

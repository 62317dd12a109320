"""Real model servers on loopback for the tests of judges: started, waited for, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(
    command: Sequence[str], port: int, log: Path, patience: float, **environment: str
) -> Iterator[str]:
    """Run a server until the block ends; gives the root of its protocol.

    Raises
    ------
    RuntimeError
        If it ends, or does not answer within `patience` seconds; the message ends with its log.
    """
    settings = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""} | environment
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=settings)
    try:
        _wait(process, f"http://127.0.0.1:{port}/health", log, patience)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen, url: str, log: Path, patience: float) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"the server is not up:\n{log.read_text()[-2000:]}")


@contextmanager
def transformers_server(model: Path, log: Path) -> Iterator[str]:
    """`transformers serve`: sampled answers, one a request, no log-probabilities."""
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model),
               "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]  # fmt: skip
    with running(command, port, log, 90.0) as url:
        yield url


@contextmanager
def vllm_server(vllm: str, model: Path, log: Path) -> Iterator[str]:
    """vLLM, as its command `vllm` starts it; log-probabilities and a prefix cache."""
    port = free_port()
    command = [vllm, "serve", str(model), "--served-model-name", str(model), "--host", "127.0.0.1",
               "--port", str(port), "--dtype", "float32", "--max-model-len", "2048",
               "--enforce-eager", "--enable-prompt-tokens-details"]  # fmt: skip
    with running(
        command, port, log, 400.0, VLLM_CPU_KVCACHE_SPACE="1", VLLM_NO_USAGE_STATS="1"
    ) as url:
        yield url


@contextmanager
def llama_server(binary: str, gguf: Path, log: Path) -> Iterator[str]:
    """The server of llama.cpp; log-probabilities and a prefix cache."""
    port = free_port()
    # One thread: threads of its own wait in spin locks, which starves them on a busy machine.
    # Its usual half-precision attention and cache shift probabilities by up to 0.01.
    command = [binary, "-m", str(gguf), "--host", "127.0.0.1", "--port", str(port), "-c", "8192",
               "-np", "2", "-t", "1", "--jinja", "-ctk", "f32", "-ctv", "f32", "-fa", "off"]  # fmt: skip
    with running(command, port, log, 60.0) as url:
        yield url

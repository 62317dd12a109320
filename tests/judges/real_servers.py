"""Real model servers on loopback for the tests of judges: started, waited for, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_TRIES = 3  # another process may take the port before the server does


class NotUp(RuntimeError):
    """The server ended, or does not answer; the message ends with its log."""


def free_port() -> int:
    """A loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(
    command: Callable[[int], Sequence[str]], log: Path, patience: float, **environment: str
) -> Iterator[str]:
    """Run the server of `command(port)` until the block ends; gives the root of its protocol.

    Raises
    ------
    NotUp
        If it ends with each of the ports tried, or does not answer within `patience` seconds.
    """
    settings = os.environ | {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""} | environment
    for left in reversed(range(_TRIES)):
        port = free_port()
        with log.open("w") as out:
            process = subprocess.Popen(
                command(port), stdout=out, stderr=subprocess.STDOUT, env=settings
            )
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log, patience)
            yield f"http://127.0.0.1:{port}/v1"
            return
        except NotUp:
            if not left or process.poll() is None:
                raise
        finally:
            _end(process)


def _wait(process: subprocess.Popen, url: str, log: Path, patience: float) -> None:
    end = time.monotonic() + patience
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                if process.poll() is None:  # or else it is another process that answers
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise NotUp(f"the server is not up:\n{log.read_text()[-2000:]}")


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def transformers_server(model: Path, log: Path) -> Iterator[str]:
    """`transformers serve`: sampled answers, one a request, no log-probabilities."""
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model)]
    command += ["--host", "127.0.0.1", "--device", "cpu", "--port"]
    with running(lambda port: [*command, str(port)], log, 300.0) as url:
        yield url


@contextmanager
def vllm_server(vllm: str, model: Path, log: Path) -> Iterator[str]:
    """vLLM, as its command `vllm` starts it; log-probabilities and a prefix cache."""
    options = "--host 127.0.0.1 --dtype float32 --max-model-len 2048 --enforce-eager"
    command = [vllm, "serve", str(model), "--served-model-name", str(model), *options.split()]
    command += ["--enable-prompt-tokens-details", "--port"]
    quietly = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with running(lambda port: [*command, str(port)], log, 900.0, **quietly) as url:
        yield url


@contextmanager
def llama_server(binary: str, gguf: Path, log: Path) -> Iterator[str]:
    """The server of llama.cpp; log-probabilities and a prefix cache."""
    # One thread: threads of its own wait in spin locks, which starves them on a busy machine.
    # Its usual half-precision attention and cache shift probabilities by up to 0.01.
    options = "--host 127.0.0.1 -c 8192 -np 2 -t 1 --jinja -ctk f32 -ctv f32 -fa off --port"
    command = [binary, "-m", str(gguf), *options.split()]
    with running(lambda port: [*command, str(port)], log, 300.0) as url:
        yield url

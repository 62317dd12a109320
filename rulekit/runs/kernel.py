"""Kernels that are forked from a process with the libraries loaded, and talk through files alone.

`step` forks one before anything else, then lets papermill execute a notebook in it. A fork begins
with the modules that its parent had imported and nothing else: no notebook has ever run there.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_core.paths import jupyter_runtime_dir
from traitlets import Unicode, default

FORKS = sys.platform == "linux"  # elsewhere system libraries do not survive a fork
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Forked:
    """A child that becomes a kernel once it is told the file of its connection.

    Has what `LocalProvisioner` asks of a `subprocess.Popen`.
    """

    stdin = stdout = stderr = None

    def __init__(self) -> None:
        read, self._write = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if not self.pid:
            os.close(self._write)
            _become_kernel(read)
        os.close(read)

    def connect(self, connection_file: str) -> None:
        """Let it begin, in the folder and with the variables of this process as they are now."""
        told = {"file": connection_file, "folder": str(Path.cwd()), "variables": dict(os.environ)}
        with os.fdopen(self._write, "w", encoding="utf-8") as pipe:
            json.dump(told, pipe)

    def poll(self) -> int | None:
        """Exit status, or None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Exit status, once it has ended."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("kernel", timeout)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


class _Provisioner(LocalProvisioner):
    """Takes the child that waits in place of starting a process."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict:
        self.process = self.parent.forked
        self.pid, self.pgid = self.process.pid, None
        self.process.connect(self.parent.connection_file)
        return self.connection_info


class KernelManager(AsyncKernelManager):
    """Manager of a kernel that nobody else on the machine can connect to: by files, not by ports.

    Attributes
    ----------
    forked
        The child that is to be the kernel; None starts a process.
    """

    transport = Unicode("ipc")
    forked: Forked | None = None

    @default("connection_file")
    def _file_in_the_folder_of_this_process(self) -> str:
        return str(Path(jupyter_runtime_dir()) / "kernel.json")

    async def _async_pre_start_kernel(self, **kw: Any) -> tuple:
        if self.forked is not None and self.provisioner is None:
            self.provisioner = _Provisioner(parent=self, kernel_spec=self.kernel_spec)
        return await super()._async_pre_start_kernel(**kw)


def die_with_parent() -> None:
    """Be killed when the parent ends, however it ends."""
    if FORKS:
        ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)


def _become_kernel(read: int) -> None:
    """Be a kernel, in a forked child; never returns."""
    status = 1
    try:
        die_with_parent()
        for number in (signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for finalizer in list(weakref.finalize._registry):
            finalizer.atexit = False  # its temporary folder is the parent's
        with os.fdopen(read, encoding="utf-8") as pipe:
            told = pipe.read()
        if told:
            told = json.loads(told)
            os.chdir(told["folder"])
            os.environ.update(told["variables"])
            _own_randomness()
            _run(told["file"])
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        os._exit(status)


def _own_randomness() -> None:
    """Random numbers that nobody seeded differ between kernels, as in processes started anew."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()


def _run(connection_file: str) -> None:
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance(
        argv=["-f", connection_file, "--HistoryManager.enabled=False", "--log-level=ERROR"]
    )

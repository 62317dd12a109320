"""A process that has loaded the libraries and makes a process for every task: a fork of itself.

Tasks come in on stdin, a line of JSON each; a line goes out on stdout for each that has ended.
`workers` starts it. It runs no notebook itself, so that a fork has what an import leaves and no more.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from rulekit.files import write_json
from rulekit.runs import kernel, shared, step

_GRACE = 5  # seconds for a kernel to keep what it has, once it is interrupted
_ALWAYS = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "papermill",
    "papermill.execute",
    "nbclient",
    "rulekit.runs.report",
    "rulekit.runs.pages",
)


def notebook(
    name: str, notebook: str, parameters: dict, folder: str, nth: int, forked=None
) -> dict:
    """Execute one notebook of a run in the run's folder."""
    os.chdir(folder)
    return step.execute(Path(notebook), name, parameters, Path(folder), nth=nth, forked=forked)


TASKS = {"notebook": notebook, "step": shared.execute_step, "run": shared.assemble}


def main() -> None:
    """Serve until stdin ends; then end every task."""
    if len(sys.argv) > 2:  # a task alone, in a process that was not forked
        _perform(json.loads(sys.argv[2]), None)
        return
    for name in [*_ALWAYS, *json.loads(sys.argv[1])]:
        _load(name)
    _warm()
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    _serve(out)


def _load(name: str) -> None:
    """Import a module, or a name of the kit that loads what is behind it."""
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            if not hasattr(found, part):  # a module that its room does not name
                importlib.import_module(f"{found.__name__}.{part}")
            found = getattr(found, part)
    except Exception:  # the notebook that needs it will say so
        return


def _warm() -> None:
    """Make a page of nothing, so that what that compiles is compiled once for all tasks."""
    import nbformat

    from rulekit.runs import pages

    new = nbformat.v4
    output = new.new_output("execute_result", {"text/plain": "1", "text/html": "<p>1</p>"})
    cell = new.new_code_cell("import os  # x\nf'{1}' + \"2\"", outputs=[output])
    made = pages.page(new.new_notebook(cells=[new.new_markdown_cell("# A\n`b` $c$"), cell]), "a")
    pages.document(made.title, [pages.without_title(made)])


def _serve(out: int) -> None:
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    running: dict[int, tuple[int, str]] = {}  # process → task, its temporary folder
    rest, open_ = b"", True
    _answer(out, {"ready": os.getpid()})
    deadline, outcomes = None, set()
    while open_ or running:
        readable, _, _ = select.select([0, woken] if open_ else [woken], [], [], 1)
        if woken in readable:
            os.read(woken, 4096)
        if 0 in readable:
            got = os.read(0, 65536)
            *lines, rest = (rest + got).split(b"\n")
            for told in map(json.loads, lines):
                outcomes |= {Path(told["task"]["told"]).parent} if "task" in told else set()
                _obey(told, running, (0, out, woken, wake))
            if not got:
                open_, deadline = False, time.monotonic() + 2 * _GRACE
                for pid in running:
                    os.kill(pid, signal.SIGTERM)
        if deadline is not None and time.monotonic() > deadline:
            for pid in running:
                _end_group(pid)
        _reap(running, out)
    for folder in outcomes:  # whoever asked may have been killed
        shutil.rmtree(folder, ignore_errors=True)


def _obey(told: dict, running: dict[int, tuple[int, str]], own: tuple[int, ...]) -> None:
    if "stop" in told:
        for pid, (number, _) in running.items():
            if number == told["stop"]:
                os.kill(pid, signal.SIGTERM)
        return
    folder = tempfile.mkdtemp(prefix="rulekit-")
    sys.stderr.flush()
    if kernel.FORKS:
        pid = os.fork()
        if not pid:
            _be_the_task(told["task"], folder, own)
    else:
        words = [
            sys.executable,
            "-P",
            "-m",
            "rulekit.runs.template",
            "[]",
            json.dumps(told["task"]),
        ]
        env = os.environ | {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder}
        pid = subprocess.Popen(words, env=env, start_new_session=True).pid
    running[pid] = told["number"], folder


def _reap(running: dict[int, tuple[int, str]], out: int) -> None:
    """Tell of the tasks that have ended, and end what they have left behind."""
    for pid, (number, folder) in list(running.items()):
        if hasattr(os, "waitid"):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            _end_group(pid)  # its number is not given anew before it is waited for
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        del running[pid]
        _answer(out, {"number": number, "exit": os.waitstatus_to_exitcode(status)})


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _answer(out: int, told: dict) -> None:
    try:
        os.write(out, json.dumps(told).encode() + b"\n")
    except BrokenPipeError:  # whoever asked is gone; stdin has ended as well
        return


def _be_the_task(task: dict, folder: str, not_mine: tuple[int, ...]) -> None:
    """Do a task in a fork; never returns."""
    status = 1
    try:
        for end in not_mine:
            os.close(end)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        kernel.die_with_parent()
        os.environ["IPYTHONDIR"] = os.environ["JUPYTER_RUNTIME_DIR"] = folder
        tempfile.tempdir = None
        os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: 0
        log = os.open(f"{task['told']}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        _perform(task, kernel.Forked() if task["do"] != "run" else None)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _perform(task: dict, forked: kernel.Forked | None) -> None:
    """Do a task and write what came out to the file that it names."""
    _give_up_when_told(forked)
    own = {k: v for k, v in task.items() if k not in ("do", "told")}
    write_json(task["told"], TASKS[task["do"]](forked=forked, **own))


def _give_up_when_told(forked: kernel.Forked | None) -> None:
    """On SIGTERM interrupt the kernel, so that it keeps what it has, and end soon."""

    def end(*_: object) -> None:
        if forked is not None:
            forked.kill()
        os._exit(1)

    def give_up(*_: object) -> None:
        step.give_up()
        signal.signal(signal.SIGALRM, end)
        signal.alarm(_GRACE)
        if forked is not None:
            forked.send_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, give_up)


if __name__ == "__main__":
    main()

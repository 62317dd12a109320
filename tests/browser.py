"""A real browser without a network, and a real JupyterLab on loopback, as fixtures of all tests."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TOKEN = "only-on-loopback"


@pytest.fixture(scope="module")
def browser():
    """Chromium, which finds no host but this machine.

    Gone after each module: Playwright keeps an event loop running in the thread that began it.
    """
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
        )
        yield found
        found.close()


@pytest.fixture
def view(browser):
    """Opens a file, or an address on loopback, and gives the page; what it asked for is kept."""
    contexts = []

    def opened(where, width: int = 1000, dark: bool = False):
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        shown = context.new_page()
        shown.asked = []  # addresses that are neither this file nor on loopback
        shown.on("request", lambda r: _is_near(r.url) or shown.asked.append(r.url))
        shown.goto(where.as_uri() if isinstance(where, Path) else where, wait_until="load")
        return shown

    yield opened
    for context in contexts:
        context.close()


def _is_near(address: str) -> bool:
    return address.startswith(("file:", "data:", "blob:", "http://127.0.0.1", "ws://127.0.0.1"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab of its own: its folder, and the address of a notebook in it by name."""
    folder = tmp_path_factory.mktemp("lab")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        name: str(folder / ".jupyter" / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}"),
        *("--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None"),
        f"--LabApp.workspaces_dir={folder / '.jupyter' / 'workspaces'}",
        f"--LabApp.user_settings_dir={folder / '.jupyter' / 'settings'}",
    ]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/status?token={TOKEN}", server, folder / "server.log")
        yield folder, lambda name: f"{address}/doc/tree/{name}?token={TOKEN}"
    finally:
        _end(server)


def _end(server: subprocess.Popen) -> None:
    """End the server and its kernels: they are a process group of their own."""
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


def _wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")

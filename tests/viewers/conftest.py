"""A real browser without a network, a real JupyterLab on loopback, and a notebook with charts."""

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

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.viewers.texts import HOSTILE

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
TOKEN = "only-on-loopback"

CELLS = [
    new_markdown_cell("# Charts\n\nThe mean $\\bar x$ of nothing."),
    new_code_cell(
        "import altair as alt\nimport polars as pl\n\nimport rulekit as rk\n\n"
        "shares = pl.DataFrame({'name': ['all', 'five'], 'value': [0.6, 0.7],"
        " 'low': [0.5, 0.6], 'high': [0.7, 0.8]})\n"
        "rk.plots.accuracy(shares, 'A chart of the kit')"
    ),
    new_code_cell(
        "alt.Chart(shares, title='A chart by hand').mark_bar().encode(x='value', y='name')"
    ),
    new_code_cell(
        f"hostile = {HOSTILE!r}\n"
        "rk.tables.responses('What?', hostile, 'plain', label='B is preferred')"
    ),
    new_code_cell(
        "from IPython.display import Markdown\n\n"
        "Markdown(f'- **{rk.tables.in_markdown(hostile[80:320])}** is a rule')"
    ),
    new_code_cell(
        "rk.tables.table(pl.DataFrame({'text': [hostile, 'plain'], 'share': [0.25, 0.5]}),"
        " hostile[:60], note=hostile[:60], percent=['share'], mark=pl.col('share') > 0.3)"
    ),
]


@pytest.fixture(scope="session")
def browser():
    """Chromium, which finds no host but this machine."""
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
def charts() -> nbformat.NotebookNode:
    """A notebook with charts, tables and hostile texts, not yet run."""
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = new_notebook(cells=CELLS, metadata=about)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


@pytest.fixture(scope="session")
def executed(charts, tmp_path_factory) -> Path:
    """The same as papermill leaves it."""
    folder = tmp_path_factory.mktemp("papermill")
    nbformat.write(charts, folder / "before.ipynb")
    papermill.execute_notebook(
        str(folder / "before.ipynb"), str(folder / "executed.ipynb"), progress_bar=False
    )
    return folder / "executed.ipynb"


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

"""The pairs of the kit with their recorded ratings, and a notebook in a real JupyterLab."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import rulekit as rk

CELLS_DRAWN = "n => window.jupyterapp?.shell.currentWidget?.content?.widgets?.length >= n"
KERNEL_IDLE = (
    "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
)


@pytest.fixture(scope="session")
def rated():
    """Pairs, rules and scores of the kit."""
    pairs, rules = rk.load_pairs("embedded"), rk.RuleSet.load("embedded")
    return pairs, rules, rk.annotate(pairs, rules, rk.judge("recorded"), progress=False)


@pytest.fixture
def in_lab(view, lab):
    """`in_lab(name, *cells)`: a page of JupyterLab on which these cells have been started.

    The page has `errors`, what came to its console; `in_lab.reload(page)` opens it again.
    """

    def opened(name: str, *cells: str, dark: bool = False):
        folder, address = lab
        about = {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
        notebook = new_notebook(cells=[new_code_cell(c) for c in cells], metadata=about)
        nbformat.write(notebook, folder / f"{name}.ipynb")
        page = view(address(f"{name}.ipynb"), width=1300, dark=dark)
        page.errors = []
        page.on("console", lambda m: m.type == "error" and page.errors.append(m.text))
        page.on("pageerror", lambda e: page.errors.append(str(e)))
        page.wait_for_function(CELLS_DRAWN, arg=len(cells), timeout=60_000)
        theme = f"JupyterLab {'Dark' if dark else 'Light'}"  # another test may have left the other
        page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: '{theme}'}})")
        page.wait_for_function(KERNEL_IDLE, timeout=60_000)
        page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
        return page

    def reload(page):
        page.evaluate("jupyterapp.commands.execute('docmanager:save')")
        page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
        page.reload(wait_until="load")
        page.wait_for_function(CELLS_DRAWN, arg=1, timeout=60_000)

    opened.reload = reload
    return opened

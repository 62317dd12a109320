"""A notebook with charts, tables and hostile texts, before and after papermill."""

from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.viewers.texts import HOSTILE

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

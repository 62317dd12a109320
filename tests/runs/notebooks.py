"""Small notebooks of one's own for the tests of runs and sweeps."""

from __future__ import annotations

from pathlib import Path

import nbformat


def write(path: Path, parameters: str, *cells: str) -> Path:
    """Write a notebook with a parameters cell and these code cells."""
    new = nbformat.v4
    first = new.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    body = [new.new_code_cell(source) for source in cells]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    notebook = new.new_notebook(
        cells=[new.new_markdown_cell(f"# {path.stem}"), first, *body],
        metadata={"kernelspec": kernel},
    )
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    nbformat.write(notebook, path)
    return path


def chain(folder: Path) -> Path:
    """A recipe of two notebooks; the second fails for k = 9 as long as there is no file `mended`.

    The first leaves a token, new at every execution, and a list; the second reads the token, adds to
    the list in place, and tells what it finds in memory that it has not put there.
    """
    write(
        folder / "prepare.ipynb",
        "n: int = 2  # rows\nk: int = 5  # not used here\nartefacts: str = ''  # folder",
        "import uuid\nfrom pathlib import Path\nimport rulekit as rk",
        "Path(artefacts, 'token.txt').write_text(uuid.uuid4().hex)\n"
        "Path(artefacts, 'list.txt').write_text('n' * n)\n"
        "rk.runs.save_metrics(artefacts, 'prepare', {'n': n})",
    )
    write(
        folder / "use.ipynb",
        "k: int = 5  # a number\nseed: int = 0  # of nothing\nartefacts: str = ''  # folder",
        "import os\nfrom pathlib import Path\nimport numpy as np\nimport rulekit as rk",
        f"if k == 9 and not Path({str(folder / 'mended')!r}).exists():\n"
        "    raise ValueError(f'k is {k}')",
        "with Path(artefacts, 'list.txt').open('a') as file:\n    file.write('k')\n"
        "np.leak = getattr(np, 'leak', 0) + 1\nos.environ['LEAK'] = os.environ.get('LEAK', '') + 'x'\n"
        "found = {'k': k, 'share': 10 / k, 'seed': seed, 'leak': np.leak, 'variable': os.environ['LEAK'],\n"
        "         'token': Path(artefacts, 'token.txt').read_text(),\n"
        "         'list': Path(artefacts, 'list.txt').read_text(), 'chance': np.random.rand()}\n"
        "rk.runs.save_metrics(artefacts, 'use', found)\nfound",
    )
    recipe = folder / "chain.yaml"
    recipe.write_text("name: chain\nsteps:\n- {notebook: prepare.ipynb}\n- {notebook: use.ipynb}\n")
    return recipe

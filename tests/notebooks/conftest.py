"""A recipe is executed once for all tests that read its results."""

import os
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock

from rulekit import runs


@pytest.fixture(scope="session")
def executed(tmp_path_factory):
    """`executed(recipe, **parameters)`: the folder of its run, made by the worker that asks first."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of the session, which the workers share

    def run(recipe: str, **parameters) -> Path:
        name = Path(recipe).stem
        told = base / f"recipe-{name}.txt"
        with FileLock(f"{told}.lock"), pytest.MonkeyPatch.context() as patch:
            if not told.exists():
                patch.setenv("RULEKIT_HEADLESS", "1")  # a run sets it for good
                folder = runs.run(
                    recipe, parameters=parameters, runs=base / f"recipe-{name}", say=lambda _: None
                )
                told.write_text(str(folder))
        return Path(told.read_text())

    return run


@pytest.fixture(scope="session")
def conclusion():
    """`conclusion(folder, notebook)`: what stands below the heading 'Conclusion' of an executed notebook."""

    def read(folder: Path, notebook: str) -> str:
        cells = nbformat.read(folder / f"notebooks/{notebook}.ipynb", as_version=4).cells
        (at,) = [i for i, c in enumerate(cells) if c.source.startswith("## Conclusion")]
        cell = next(c for c in cells[at:] if c.cell_type == "code")
        return cell.outputs[0].data["text/markdown"]

    return read

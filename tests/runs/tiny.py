"""A small notebook of one's own, and a sweep of it: six runs that are done, and one that failed."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

import rulekit as rk

PARAMETERS = """k: int = 3  # rules
seed: int = 0  # of chance
note: str = "as it is"  # never given
artefacts: str = ""  # folder"""
WORK = """import json
from pathlib import Path

import numpy as np
import polars as pl

if k == 9:
    raise ValueError("nine is too many")
rng = np.random.default_rng(seed)
known = np.where(np.arange(60) % 3 == 0, -1, 1)
luck = rng.random(60)
right = luck < 0.4 + 0.15 * k  # the more rules, the more pairs are right, on the same luck
told = Path(artefacts) / "metrics" / "tiny.json"
told.parent.mkdir(parents=True, exist_ok=True)
rows = [{"name": n, "k": k, "value": float(right.mean()) + i} for i, n in enumerate(("a", "b"))]
told.write_text(json.dumps({"accuracy": float(right.mean()), "rows": rows, "hash": "0a1b", "ks": [1, k]}))
frame = pl.DataFrame({"pair_id": [f"p{i}" for i in range(60)], "margin": np.where(right, known, -known) * luck})
groups = [f"prompt {i // 3}" for i in range(60)]
frame.with_columns(prompt=pl.Series(groups), known=pl.Series(known)).write_parquet(Path(artefacts) / "label.parquet")"""


def tiny_notebook(folder: Path) -> Path:
    """The notebook, in a folder."""
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [new_code_cell(PARAMETERS), new_code_cell(WORK)]
    cells[0].metadata["tags"] = ["parameters"]
    path = folder / "tiny.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=about), path)
    return path


def tiny_sweep(folder: Path) -> Path:
    """A sweep of it: k 1 and 3 on three seeds, and k 9, which fails."""
    notebook = tiny_notebook(folder)
    words = folder / "tiny.yaml"
    words.write_text(
        f"name: tiny\nnotebook: {notebook}\nblocks:\n"
        "  - grid: {k: [1, 3], seed: 0:3}\n  - grid: {k: 9}\n"
    )
    return rk.runs.sweep(str(words), runs=folder / "runs", say=lambda line: None)

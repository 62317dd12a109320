"""Folders as runs leave them, with made-up outputs: harmless ones and hostile ones."""

import json
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from rulekit.runs import save_notes
from rulekit.runs.report import write_report
from tests.viewers.texts import HOSTILE, SHOWN

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
EVIL = (
    "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"
    "<img src='http://example.org/a.png'><a href='javascript:window.hit=1' onclick='hit()'>go</a>"
    "<svg onload='window.hit = 1'></svg><iframe src='http://example.org'></iframe>"
    "<style>body { display: none }</style><form action='http://example.org'><input></form>"
    "<p style='position: fixed; inset: 0; background: url(http://example.org/b.png)'>kept</p>"
)


def shown(data: dict, metadata: dict | None = None):
    return new_output("display_data", data, metadata=metadata or {})


def cell(*outputs, source: str = "x = 1", **metadata):
    return new_code_cell(source, outputs=list(outputs), metadata=metadata)


def make_run(folder: Path) -> Path:
    """A run's folder with two executed notebooks."""
    results = new_notebook(
        cells=[
            new_markdown_cell("# 6. What came *out*?\n\nIt is $\\sigma(m)$ for $m < 0$."),
            cell(source="pairs = 'mine'", tags=["parameters"]),
            cell(source="y = 2"),
            cell(shown({"text/markdown": "**Found.** And $x^2$."}), source="z = 3"),
            cell(
                shown({"image/png": PIXEL}, {"image/png": {"alt": "Chart: two bars.", "width": 7}})
            ),
            cell(
                new_output("stream", name="stderr", text="a.py:1: UserWarning: few pairs\n  go()\n")
            ),
            cell(
                new_output("stream", name="stdout", text="right: it is B"),
                source="answer = 'B'",
                tags=["solution"],
            ),
            new_markdown_cell("## Exercises\n\nCount the pairs."),
            cell(new_output("stream", name="stdout", text="not answered yet"), tags=["exercise"]),
        ]
    )
    first = new_notebook(cells=[new_markdown_cell("# 1. Rules"), cell(source="print(1)")])
    (folder / "notebooks").mkdir(parents=True)
    for name, notebook in (("01_rules", first), ("10_results", results)):
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    told = {
        "recipe": "mine",
        "steps": [
            {"notebook": "01_rules", "parameters": {"pairs": "/data/my.jsonl", "k": 3}},
            {"notebook": "10_results", "parameters": {"pairs": "/data/my.jsonl", "k": 5}},
        ],
        "started": "2026-01-02T03:04:05+00:00",
        "versions": {"rulekit": "0.1.0"},
        "command": ["rulekit", "run", "mine.yaml"],
    }
    (folder / "provenance.json").write_text(json.dumps(told))
    metrics = {"01_rules": {"n_pairs": 1234, "n_rules": 12, "rules_hash": "0123456789abcdef"}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def make_hostile(run: Path) -> Path:
    """A report of a run whose every kind of output is hostile."""
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"# {SHOWN[0]}\n\n{EVIL}"),
            cell(new_output("stream", name="stdout", text=f"{HOSTILE}\n1 %\r100 %\n")),
            cell(new_output("stream", name="stderr", text=f"{HOSTILE}UserWarning: {HOSTILE}")),
            cell(shown({"text/plain": HOSTILE}), source=f"text = {HOSTILE!r}"),
            cell(shown({"text/html": EVIL, "text/plain": "x"})),
            cell(shown({"text/markdown": EVIL, "text/plain": "x"})),
            cell(
                shown({"image/png": PIXEL, "text/plain": HOSTILE}, {"image/png": {"alt": HOSTILE}})
            ),
            cell(shown({"image/svg+xml": f"<svg xmlns='http://www.w3.org/2000/svg'>{EVIL}</svg>"})),
            cell(shown({"text/latex": f"$${HOSTILE}$$"})),
            cell(shown({"application/javascript": "window.hit = 1", "text/plain": "script"})),
            cell(new_output("error", ename="E", evalue=HOSTILE, traceback=[HOSTILE])),
        ]
    )
    nbformat.write(notebook, run / "notebooks" / "10_results.ipynb")
    told = json.loads((run / "provenance.json").read_text())
    told["recipe"] = told["command"][0] = HOSTILE
    (run / "provenance.json").write_text(json.dumps(told))
    save_notes(run / "artefacts", "x", [EVIL, HOSTILE])
    return write_report(run)

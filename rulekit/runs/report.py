"""The report of a run: its folder comes in, one file that a browser shows without a network goes out.

`execution` calls `write_report` when a run ends, and `write_page` after each notebook.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rulekit.files import write_atomically
from rulekit.runs.records import collect_notes

if TYPE_CHECKING:
    from rulekit.runs.pages import Page

LARGEST = 4_500_000  # characters of all pages together
_PICTURE = re.compile(r'<figure class="wide"><img [^>]*></figure>')
_WORDS = re.compile(r'\balt="([^"]*)"')
FIRST = "10_results"  # the page that a reader opens first
_COUNTED = {  # figure of a step: what it counts, and the parameter that says where from
    "n_pairs": ("pairs", "pairs"),
    "n_known": ("with a known preference", "labels"),
    "n_rules": ("rules", "rules"),
}
_WARNING = re.compile(r"^.*\b\w*Warning: .*$", re.M)


def write_report(folder: str | Path) -> Path:
    """Make `report.html` of the executed notebooks of a run.

    It stands alone: no network, no script, all pictures inside but for what would make it larger
    than 5 MB. It has the run's notes at its top,
    the page of results first, the code folded, and at its end where everything comes from.

    Parameters
    ----------
    folder
        A run's folder, as `run` leaves it.

    Returns
    -------
    Path of the file.

    Raises
    ------
    FileNotFoundError
        If no notebook of the run has been executed.
    """
    from rulekit.runs import pages  # nbconvert takes its time to load

    folder = Path(folder)
    told = _read(folder / "provenance.json")
    notebooks = _executed(folder, told)
    if not notebooks:
        raise FileNotFoundError(f"no executed notebook in {folder / 'notebooks'}")
    content = {path.stem: _notebook(path) for path in notebooks}
    html = pages.document(
        f"Report: {told.get('recipe', folder.name)}",
        _lightened([pages.page(notebook, name) for name, notebook in content.items()]),
        about=[line for line in _about(told, _read(folder / "metrics.json")) if line],
        notes=collect_notes(folder),
        provenance=list(_facts(told)),
        warnings=list(dict.fromkeys(w for nb in content.values() for w in _warnings(nb))),
    )
    return _write(folder / "report.html", html)


def write_page(notebook: str | Path, html: str | Path) -> Path:
    """Make an HTML page of one executed notebook, which needs no network either.

    Parameters
    ----------
    notebook
        Path of the executed notebook.
    html
        Path of the page.

    Returns
    -------
    Path of the page.
    """
    from rulekit.runs import pages

    made = pages.page(_notebook(Path(notebook)), Path(html).stem)
    return _write(html, pages.document(made.title, [pages.without_title(made)]))


def _lightened(made: list[Page]) -> list[Page]:
    """The pages without their largest pictures, if all together were too much for one file."""
    found = sorted((p for page in made for p in _PICTURE.findall(page.body)), key=len)
    while found and sum(len(page.body) for page in made) > LARGEST:
        picture = found.pop()
        words = _WORDS.search(picture)[1]
        told = f'<p class="about">A picture of {len(picture) / 1e6:.1f} MB is left out. {words}</p>'
        made = [replace(page, body=page.body.replace(picture, told)) for page in made]
    return made


def _write(path: str | Path, html: str) -> Path:
    return write_atomically(path, lambda p: p.write_text(html, encoding="utf-8"))


def _notebook(path: Path):
    import nbformat

    return nbformat.read(path, as_version=4)


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _executed(folder: Path, told: dict) -> list[Path]:
    """The results first, then in the order of the recipe."""
    there = {p.stem: p for p in sorted((folder / "notebooks").glob("*.ipynb"))}
    order = [Path(step["notebook"]).stem for step in told.get("steps", [])]

    def place(name: str) -> tuple[bool, int, str]:
        stem = re.sub(r"-\d+$", "", name)
        return stem != FIRST, order.index(stem) if stem in order else len(order), name

    return [there[name] for name in sorted(there, key=place)]


def _warnings(notebook) -> Iterator[str]:
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                yield from (found.strip() for found in _WARNING.findall(output["text"]))


def _about(told: dict, metrics: dict) -> Iterator[str]:
    """What the run is of, in a line each, for the top of the report."""
    given = {k: Path(str(v)).name for k, v in _common(told.get("steps", [])).items() if v}
    found = {k: v for step in metrics.values() for k, v in step.items() if k in _COUNTED}
    parts = []
    for size, (name, source) in _COUNTED.items():
        if size in found:
            origin = f" from {given[source]}" if source in given else ""
            parts.append(f"{found[size]:,} {name}{origin}")
    parts += [f"{k} {given[k]}" for k in ("judge", "ratings") if k in given]
    rule_set = next((s["rules_hash"] for s in metrics.values() if s.get("rules_hash")), "")
    yield ", ".join(parts + ([f"rule set {rule_set[:10]}"] if rule_set else []))
    started = str(told.get("started", ""))[:16].replace("T", " ")
    version = told.get("versions", {}).get("rulekit")
    commit = str(told.get("git_commit") or "")[:10]
    parts = [
        f"recipe {told['recipe']}" if "recipe" in told else "",
        f"run of {started} UTC" if started else "",
        f"rulekit {version}" if version else "",
        f"commit {commit}" if commit else "",
    ]
    yield ", ".join(part for part in parts if part)


def _common(steps: list[dict]) -> dict:
    """Parameters that every step which has them has with the same value."""
    found: dict[str, list] = {}
    for step in steps:
        for name, value in (step.get("parameters") or {}).items():
            found.setdefault(name, []).append(value)
    return {k: v[0] for k, v in found.items() if all(other == v[0] for other in v)}


def _facts(told: dict) -> Iterator[tuple[str, str]]:
    """Names and values of the provenance; what all steps share is said once."""
    for name, value in told.items():
        title = name.replace("_", " ")
        if name == "steps":
            common = _common(value)
            yield "notebooks", ", ".join(Path(step["notebook"]).stem for step in value)
            yield "parameters", _listed(common) or "as they are in the notebooks"
            for step in value:
                own = {k: v for k, v in (step.get("parameters") or {}).items() if k not in common}
                if own:
                    yield f"parameters of {Path(step['notebook']).stem}", _listed(own)
        elif name == "command" and isinstance(value, list):
            yield name, " ".join(map(str, value))
        elif name == "versions":
            yield title, ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, dict):
            yield title, _listed(value)
        elif value is not None:
            yield title, _shown(value)


def _listed(values: dict) -> str:
    return "\n".join(f"{name}: {_shown(value)}" for name, value in values.items())


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

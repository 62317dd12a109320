"""What is in a file of pairs: a path or a name comes in, counts of what was read and refused go out.

`rulekit data describe` prints it. A bad row never ends it; it is counted, with its first place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rulekit.files import resource
from rulekit.inputs.folders import files_of
from rulekit.inputs.layouts import EQUAL
from rulekit.inputs.pairs import conversation, prompt_text
from rulekit.inputs.readers import read_rows
from rulekit.inputs.several_responses import pairs_of_ratings
from rulekit.inputs.sources import SOURCES, load
from rulekit.inputs.turns import RowError

_QUANTILES = {"min": 0, "q25": 0.25, "median": 0.5, "q75": 0.75, "max": 1}


@dataclass(frozen=True)
class FileRead:
    """One file: its rows, those refused, the layouts recognised (name → rows), its columns."""

    file: str
    rows: int
    refused: int
    layouts: dict[str, int]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """Why rows were refused: the first message, how many for the same reason, where the first is."""

    reason: str
    rows: int
    first: str


@dataclass(frozen=True)
class Description:
    """What `describe` found.

    Attributes
    ----------
    name
        The path or the name that was described.
    files
        What was read, file by file.
    rows
        Rows of all files.
    refused
        Why rows were refused, the most frequent reason first.
    pairs, prompts
        Pairs formed, and different prompts among them.
    words
        Lengths in words of `prompt`, `response_a` and `response_b`: min, q25, median, q75, max.
    longer
        Pairs in which response `a`, response `b` or `neither` has more words.
    longer_preferred
        Share of the pairs with a preference and another length whose longer response is preferred,
        NaN without any.
    preferences
        Pairs in which `a` or `b` is preferred, `tie`, `unknown`.
    duplicates
        Pairs beyond the first with the same prompt and responses: `exact` in the same order,
        `exchanged` in the other; `equal_responses`, rows refused because both are the same text.
    conflicts
        Groups of such pairs whose known preferences contradict each other.
    alone
        Rated responses that are the only one of their prompt and so form no pair.
    """

    name: str
    files: tuple[FileRead, ...]
    rows: int
    refused: tuple[Refusal, ...]
    pairs: int
    prompts: int
    words: dict[str, dict[str, float]]
    longer: dict[str, int]
    longer_preferred: float
    preferences: dict[str, int]
    duplicates: dict[str, int]
    conflicts: int
    alone: int

    def as_json(self) -> dict:
        """The same as values that JSON can hold; null for a share of nothing."""
        values = asdict(self)
        values["files"] = [f | {"columns": list(f["columns"])} for f in values["files"]]
        values["refused"] = list(values["refused"])
        if np.isnan(self.longer_preferred):
            values["longer_preferred"] = None
        return values

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def describe(path: str | Path) -> Description:
    """What is in files of pairs, or in a named data set: layouts, lengths, duplicates, refusals.

    Parameters
    ----------
    path
        As for `rulekit.load_pairs`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a folder holds several data sets, or the named one holds no pairs.
    """
    if path in SOURCES and path != "embedded":
        pairs = load(str(path))
        read = FileRead(str(path), len(pairs), 0, {"pairs": len(pairs)}, tuple(pairs.columns))
        return _described(str(path), [read], [], pairs.to_dicts(), 0)
    files = files_of(resource("data/pairs.jsonl") if path == "embedded" else path)
    return _of_files(str(path), files)


def _of_files(name: str, files: list[Path]) -> Description:
    read_of = {
        file: {"rows": 0, "refused": 0, "layouts": Counter(), "columns": {}} for file in files
    }
    pairs: list[dict] = []
    rated: list[dict] = []
    refused: dict[str, list] = {}  # kind → [message, rows, first place]

    def refuse(error: ValueError, place: str, rows: int = 1) -> None:
        kind = getattr(error, "kind", str(error))
        refused.setdefault(kind, [str(error), 0, place])[1] += rows

    for row in read_rows(files):
        file = read_of[row.file]
        file["rows"] += bool(row.where)
        file["columns"] |= dict.fromkeys(row.columns)
        if row.error is not None:
            file["refused"] += 1
            refuse(row.error, ", ".join(filter(None, (str(row.file), row.where))))
        else:
            file["layouts"][row.layout] += 1
        (rated if row.layout == "ratings" else pairs).extend(row.rows)
    try:
        formed, alone = pairs_of_ratings(rated)
    except RowError as error:
        formed, alone = [], 0
        refuse(error, name, len(rated))
    reads = [
        FileRead(str(file), r["rows"], r["refused"], dict(r["layouts"]), tuple(r["columns"]))
        for file, r in read_of.items()
    ]
    reasons = sorted((Refusal(*r) for r in refused.values()), key=lambda r: -r.rows)
    return _described(name, reads, reasons, pairs + formed, alone)


def _described(
    name: str, files: list[FileRead], refused: list[Refusal], pairs: list[dict], alone: int
) -> Description:
    prompts = [conversation(row["prompt"]) for row in pairs]
    words = {
        "prompt": [len(prompt_text(row["prompt"]).split()) for row in pairs],
        "response_a": [len(row["response_a"].split()) for row in pairs],
        "response_b": [len(row["response_b"].split()) for row in pairs],
    }
    difference = np.subtract(words["response_a"], words["response_b"])  # (n_pairs,)
    known = [row["preference"] for row in pairs]
    signed = np.array([np.nan if p is None else p for p in known], float)
    told = (np.nan_to_num(signed) != 0) & (difference != 0)
    agree = np.sign(difference[told]) == signed[told]
    exact, exchanged, conflicts = _repeated(prompts, pairs)
    return Description(
        name=name,
        files=tuple(files),
        rows=sum(f.rows for f in files),
        refused=tuple(refused),
        pairs=len(pairs),
        prompts=len(set(prompts)),
        words={part: _quantiles(lengths) for part, lengths in words.items()},
        longer={
            "a": int((difference > 0).sum()),
            "b": int((difference < 0).sum()),
            "neither": int((difference == 0).sum()),
        },
        longer_preferred=float(agree.mean()) if len(agree) else float("nan"),
        preferences={
            said: known.count(value)
            for said, value in (("a", 1), ("b", -1), ("tie", 0), ("unknown", None))
        },
        duplicates={
            "exact": exact,
            "exchanged": exchanged,
            "equal_responses": sum(r.rows for r in refused if r.reason.startswith(EQUAL)),
        },
        conflicts=conflicts,
        alone=alone,
    )


def _quantiles(lengths: list[int]) -> dict[str, float]:
    if not lengths:
        return {}
    return {name: float(np.quantile(lengths, at)) for name, at in _QUANTILES.items()}


def _repeated(prompts: list[str], pairs: list[dict]) -> tuple[int, int, int]:
    """Pairs seen before in the same order, in the other, and groups that contradict themselves."""
    first: dict[tuple, str] = {}
    said: dict[tuple, set[int]] = {}
    exact = exchanged = 0
    for prompt, row in zip(prompts, pairs, strict=True):
        a, b = row["response_a"], row["response_b"]
        key = (prompt, *sorted((a, b)))
        exact += first.setdefault(key, a) == a and key in said
        exchanged += first[key] != a
        known = said.setdefault(key, set())
        if row["preference"] is not None:
            known.add(row["preference"] * (1 if first[key] == a else -1))
    return exact, exchanged, sum(len(known) > 1 for known in said.values())


def _lines(found: Description) -> list[str]:
    """The description as lines to read."""
    of = f"{_counted(found.pairs, 'pair')} of {_counted(found.prompts, 'prompt')}"
    lines = [f"{found.name}: {of}, {_counted(found.rows, 'row')}"]
    for file in found.files:
        layouts = ", ".join(
            f"{_counted(n, 'row')} of layout {name}" for name, n in file.layouts.items()
        )
        refused = f"; {file.refused:,} refused" if file.refused else ""
        lines.append(f"  {file.file}: {layouts or 'no layout recognised'}{refused}")
    if columns := dict.fromkeys(c for file in found.files for c in file.columns):
        lines.append(f"  columns: {_few(list(columns))}")
    if found.pairs:
        lines.append("words          min    25 %  median    75 %     max")
        for part, at in found.words.items():
            lines.append(f"  {part:<10}" + "".join(f"{at[q]:>8,.0f}" for q in _QUANTILES))
        longer, known = found.longer, found.preferences
        lines.append(
            f"longer: a in {longer['a']:,}, b in {longer['b']:,}, neither in {longer['neither']:,}"
        )
        lines.append(
            f"preferred: a in {known['a']:,}, b in {known['b']:,}; tie {known['tie']:,}, "
            f"unknown {known['unknown']:,}"
        )
        if not np.isnan(found.longer_preferred):
            lines.append(f"  the longer response is preferred in {found.longer_preferred:.0%}")
    again = found.duplicates
    lines.append(
        f"duplicates: {again['exact']:,} exact, {again['exchanged']:,} with exchanged responses; "
        f"{found.conflicts:,} with contradicting preferences"
    )
    if found.alone:
        lines.append(f"rated responses alone with their prompt, in no pair: {found.alone:,}")
    lines.append(f"refused: {sum(r.rows for r in found.refused):,}")
    lines += [f"  {r.rows:,} × {r.reason} (first: {r.first})" for r in found.refused]
    return lines


def _few(columns: list[str]) -> str:
    shown = [c if c.isprintable() else repr(c) for c in map(str, columns[:20])]
    shown = ", ".join(c if len(c) <= 40 else f"{c[:39]}…" for c in shown)
    return shown + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")


def _counted(n: int, thing: str) -> str:
    return f"{n:,} {thing}{'' if n == 1 else 's'}"

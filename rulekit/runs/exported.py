"""Frames for a paper or a page: a frame comes in, Markdown or LaTeX goes out.

`rulekit compare -o` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from rulekit.tables import visible


def markdown_table(frame: pl.DataFrame, digits: int = 3) -> str:
    """A frame as a table in Markdown: numbers to the right, texts as they are.

    Parameters
    ----------
    frame
        The rows.
    digits
        Decimals of broken numbers.
    """
    if frame.is_empty() and not frame.columns:
        return ""
    right = [kind.is_numeric() for kind in frame.dtypes]
    head = [_in_cell(name, _MARKDOWN) for name in frame.columns]
    rule = ["---:" if number else "---" for number in right]
    body = [[_in_cell(v, _MARKDOWN) for v in row] for row in _written(frame, digits)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *body]) + "\n"


def latex_table(frame: pl.DataFrame, digits: int = 3) -> str:
    """A frame as a LaTeX tabular with the lines of booktabs.

    Parameters
    ----------
    frame
        The rows.
    digits
        Decimals of broken numbers.
    """
    columns = "".join("r" if kind.is_numeric() else "l" for kind in frame.dtypes)
    head, *body = (
        " & ".join(_in_cell(v, _LATEX) for v in row) + r" \\"
        for row in [frame.columns, *_written(frame, digits)]
    )
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


_MARKDOWN = {ord(c): f"\\{c}" for c in "\\`*_{}[]<>|~$"}
_LATEX = {ord(c): f"\\{c}" for c in "&%$#_{}"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("−"): "$-$",
    ord("–"): "--",
}


def _in_cell(value: object, signs: Mapping[int, str]) -> str:
    return " ".join(visible(value).split()).translate(signs)


def _written(frame: pl.DataFrame, digits: int) -> list[list[str]]:
    """The cells as texts, a missing value a dash."""
    rows = []
    for row in frame.iter_rows():
        cells = []
        for value in row:
            if value is None or value != value:
                cells.append("–")
            elif isinstance(value, float):
                cells.append(f"{value:,.{digits}f}".replace("-", "−"))
            elif isinstance(value, int) and not isinstance(value, bool):
                cells.append(f"{value:,}".replace("-", "−"))
            else:
                cells.append("yes" if value is True else "no" if value is False else str(value))
        rows.append(cells)
    return rows

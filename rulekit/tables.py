"""Short tables of values for notebooks: a head and rows come in, HTML goes out.

`RuleSet`, `Scores`, `Selection`, `Labels` and `Estimates` show themselves through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

SHOWN = 6  # rows of a table before it says how many more there are
_LOOKED_AT = 10_000


def html_table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], n_rows: int
) -> str:
    """A table as HTML, every text escaped.

    Parameters
    ----------
    caption
        What the table shows.
    head
        Names of the columns.
    rows
        The rows to show, a value a column.
    n_rows
        Rows that there are; those not shown are counted in a last line.
    """
    rows = [[escape(str(value)) for value in row] for row in rows]
    body = [f"<tr>{''.join(f'<td>{value}</td>' for value in row)}</tr>" for row in rows]
    if n_rows > len(rows):
        body.append(f'<tr><td colspan="{len(head)}">… {n_rows - len(rows):,} more</td></tr>')
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return (
        f'<table class="rulekit"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{names}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def evenly_spaced(n: int) -> slice:
    """Rows that a summary of n rows looks at: all of them, or at most 10,000 evenly spaced ones."""
    return slice(None, None, -(-n // _LOOKED_AT) or 1)

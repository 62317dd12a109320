"""The map of redundancy: what rules share comes in, cells in the order of a clustering go out.

`HeatMap` shows them as a square that answers to the mouse and to keys; the static picture is
`rulekit.plots.redundancy`. The rule explorer has both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import altair as alt
import anywidget
import numpy as np
import polars as pl
import traitlets
from great_tables import GT

from rulekit.information import redundancy_matrix
from rulekit.plots import redundancy
from rulekit.tables import table

_CELLS = 5_000  # of the map, what a chart takes
_TRIANGLE = 70  # rules from which on half of the map is drawn
_HERE = Path(__file__).parent


def map_order(shared: np.ndarray) -> np.ndarray:
    """Rows of the rules so that those that share much stand together, by hierarchical clustering.

    Parameters
    ----------
    shared
        What each two rules share, in [0, 1], (n_rules, n_rules).
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(shared) < 3:
        return np.arange(len(shared))
    tree = linkage(squareform(1 - shared, checks=False), "average", optimal_ordering=True)
    return leaves_list(tree)


def map_cells(ids: Sequence[str], shared: np.ndarray, votes: np.ndarray) -> pl.DataFrame:
    """Two rules a row, in the order of `map_order`.

    Parameters
    ----------
    ids
        Of the n_rules rules.
    shared
        As for `map_order`.
    votes
        Of the rules, (n_pairs, n_rules), for the bits that they share.

    Returns
    -------
    Columns row and column (places in the map), rule, other, value (of the larger entropy), bits. Of
    more than 70 rules one half of the map, and the largest 5,000 of its cells.
    """
    n, order = len(ids), map_order(shared)
    bits = redundancy_matrix(votes)
    rows, columns = np.nonzero(np.tri(n, k=-1) if n > _TRIANGLE else ~np.eye(n, dtype=bool))
    i, j = order[rows], order[columns]
    names = pl.Series(list(ids), dtype=pl.String)
    found = pl.DataFrame(
        {
            "row": rows,
            "column": columns,
            "rule": names.gather(i),
            "other": names.gather(j),
            "value": shared[i, j],
            "bits": bits[i, j],
        }
    )
    return found if len(found) <= _CELLS else found.top_k(_CELLS, by="value")


def map_picture(cells: pl.DataFrame, n_rules: int) -> alt.Chart:
    """The map as a chart, the two rules that share most in its title.

    Parameters
    ----------
    cells
        From `map_cells`.
    n_rules
        Length of a side, 2 or more.
    """
    first = cells.sort("value", descending=True).row(0, named=True)
    title = (
        f"Redundancy, rules that share stand together: {first['rule']} and {first['other']} "
        f"share most, {first['value']:.0%}"
    )
    return redundancy(cells.select("row", "column", "value"), title, n_rules)


def couples_table(cells: pl.DataFrame) -> GT:
    """The rules that share most, by name.

    Parameters
    ----------
    cells
        From `map_cells`.
    """
    half = cells.filter(pl.col("row") > pl.col("column"))
    return table(
        half.sort("value", descending=True).head(10).select("rule", "other", "value", "bits"),
        "The couples that share most",
        percent=["value"],
        names={"other": "and", "value": "of the larger entropy"},
    )


class HeatMap(anywidget.AnyWidget):
    """A square of cells: the pointer or the arrow keys name two rules, a click or Enter chooses one.

    Its traits are ``label`` for screen readers, ``names`` of the rules by place, ``cells`` (row,
    column, value) and ``chosen``, the place of the row that is marked, -1 for none. `on_choose`
    takes a function of the place of a row.
    """

    _esm = _HERE / "heat.js"
    _css = _HERE / "elements.css"
    label = traitlets.Unicode().tag(sync=True)
    names = traitlets.List().tag(sync=True)
    cells = traitlets.List().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)

    def on_choose(self, act: Callable[[int], None]) -> None:
        """Call a function of the place of every row that is chosen."""
        self.on_msg(lambda _, content, __: act(int(content["row"])))

    def show(self, names: Sequence[str], cells: pl.DataFrame) -> None:
        """Show these cells.

        Parameters
        ----------
        names
            Of the rules in the order of the places.
        cells
            Columns row, column, value, as `map_cells` gives them.
        """
        self.names = list(names)
        self.cells = [
            list(c) for c in cells.select("row", "column", pl.col("value").round(4)).rows()
        ]

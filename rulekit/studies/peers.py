"""The kit beside its peers: what the benchmarks print comes in, ratios and a sentence go out.

Notebook 18 shows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from rulekit.studies.phrases import listed

# benchmark → (name of a ratio, pattern whose last group is the ratio and whose first tell of what)
_PATTERNS = {
    "selection": (
        "selection: {}",
        r"^  (numpy argpartition|torch\.topk|loop over pairs).*?([\d.]+) × rulekit$",
    ),
    "information": ("information: {}", r"MB   (.+?)(?:, scaled.*)?\n +ratio +([\d.]+) ×"),
    "local_judge": (
        "judge: {} tokens, {}",
        r"^ +([\d,]+)  (conversation_first) +float32 +[\d.]+ +([\d.]+)",
    ),
    "training": ("training: {}", r"^rulekit / (.+): ([\d.]+) \("),
}


def peer_ratios(printed: Mapping[str, str]) -> pl.DataFrame:
    """How many times the kit's time its peers take, read from what the benchmarks print.

    Parameters
    ----------
    printed
        Benchmark → its output; those that were not run may be missing or empty.

    Returns
    -------
    Columns ``against`` and ``times``.
    """
    rows = []
    for benchmark, (name, pattern) in _PATTERNS.items():
        for *what, ratio in re.findall(pattern, printed.get(benchmark, ""), re.M):
            rows.append((name.format(*what), float(ratio)))
    return pl.DataFrame(rows, schema={"against": pl.String, "times": float}, orient="row")


def speed_findings(ratios: pl.DataFrame) -> str:
    """Where the kit is faster than its peers and where it is not, in sentences made of the ratios.

    Parameters
    ----------
    ratios
        From `peer_ratios`.

    Returns
    -------
    Markdown. Each ratio is of one run; within a tenth of 1 it counts as level.
    """
    if ratios.is_empty():
        return listed(["No benchmark was run."])
    groups = {"faster": pl.col("times") > 1.1, "slower": pl.col("times") < 0.9}
    groups["level (within a tenth)"] = pl.col("times").is_between(0.9, 1.1)
    said = []
    for word, which in groups.items():
        rows = ratios.filter(which).sort("times", descending=True).iter_rows(named=True)
        told = "; ".join(f"{row['against']} ({row['times']:,.1f} times)" for row in rows)
        if told:
            said.append(f"The kit is {word}: {told}.")
    said.append("Each figure is of one run on this machine; work beside it moves every ratio.")
    return listed(said)

"""The page of `rulekit bench gpu`: figures of each case beside what they are measured against."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from rulekit import tables
from rulekit.files import write_atomically
from rulekit.runs.pages import Page, document
from rulekit.throughput.cases import CASES

# case: the one whose tokens (or responses) a second it is divided by
AGAINST = {
    "rating": "rating-one-by-one",
    "full": "trl",
    "full-fewest": "trl",
    "full-compiled": "trl",
    "lora": "trl-lora",
    "lora-fewest": "trl-lora",
}
_COLUMNS = {
    "tokens_per_second": "tokens/s",
    "share_of_peak": "share of the matrix peak",
    "seconds_a_step": "seconds a step",
    "peak_memory_gb": "memory, GB",
    "planned_gb": "planned, GB",
    "responses_per_second": "responses/s",
}


def measured(found: dict) -> pl.DataFrame:
    """A row a case: what was measured, its status and figures, times the peer's speed."""
    rows = []
    for name, case in CASES.items():
        result = found["cases"].get(name, {"status": "not measured"})
        row = {"case": name, "what": case.what, "status": result["status"]}
        row |= {column: result.get(column) for column in _COLUMNS}
        other = found["cases"].get(AGAINST.get(name, ""), {})
        unit = "responses_per_second" if name == "rating" else "tokens_per_second"
        known = result.get(unit) and other.get(unit)
        row["times"] = result[unit] / other[unit] if known else None
        row["reason"] = result.get("reason", "")
        rows.append(row)
    figures = dict.fromkeys([*_COLUMNS, "times"], pl.Float64)
    return pl.DataFrame(rows, schema_overrides=figures, infer_schema_length=None)


def write_page(found: dict, path: str | Path) -> Path:
    """Write what `bench_gpu` returns as one HTML page that needs no network."""
    frame = measured(found)
    peak = found["cases"].get("peak", {}).get("peak_tflops")
    memory = f", {found['memory_gb']} GB" if found["memory_gb"] else ""
    about = [
        f"{found['device']}{memory}, torch {found['torch']}, model: {found['size']}, random weights",
        f"largest bfloat16 matrix product: {peak:,.1f} TFLOP/s" if peak else "",
    ]
    speeds = tables.table(
        frame.drop("reason"),
        "What was measured",
        note="Tokens are those of the texts, padding not counted. The share of the peak leaves "
        "recomputation out. 'Times' is the speed over the peer's: one pass a rule, or TRL's "
        "trainer with dynamic padding. 'Planned' is what --plan says beforehand.",
        names=_COLUMNS | {"times": "times the peer"},
        percent=("share_of_peak",),
    )
    parts = [speeds.as_raw_html()]
    reasons = frame.filter(pl.col("reason") != "").select("case", "status", "reason")
    if len(reasons):
        parts.append(tables.table(reasons, "What was not measured, and why").as_raw_html())
    page = Page("gpu", "Figures", "\n".join(parts))
    html = document("Rating and training on a GPU", [page], about=[line for line in about if line])
    return write_atomically(path, lambda p: p.write_text(html, encoding="utf-8"))

"""The notebook that compares the selectors runs whole, on less of everything."""

import json

import nbformat
import polars as pl
import pytest

import rulekit as rk

pytestmark = pytest.mark.slow

SMALL = {
    "labelled": [0, 30],
    "ks": [3],
    "n_reference": 200,
    "n_test": 100,
    "n_gaps": 300,
    "seeds": 2,
    "splits": 2,
    "real_data": False,
}


@pytest.fixture(scope="module")
def folder(executed):
    return executed("comparison", **SMALL)


def test_the_notebook_compares_every_selector_in_every_world(folder):
    table = pl.read_parquet(folder / "artefacts/comparison_simulated.parquet")
    assert set(table["selector"]) == {*rk.selectors(), "log_odds, known"}
    assert table["regime"].n_unique() == 5
    ratings = pl.read_parquet(folder / "artefacts/comparison_ratings.parquet")
    assert set(ratings["data"]) == {"embedded"}
    fixed = ratings.filter(pl.col("selector") == "static")
    assert set(fixed["rated"]) == {5.0}  # chosen on the training side, with labels or without


def test_the_notebook_concludes_that_rating_five_rules_loses_on_the_embedded_corpus(
    folder, conclusion
):
    said = conclusion(folder, "15_comparison")
    assert (
        "`frugal`, which has 5 rules rated, weighted, against the sum of all rules: below" in said
    )
    assert "`frugal`, which has 5 rules rated, summed, against the sum of all rules: below" in said
    assert "`dawid_skene` is" in said


def test_the_notebook_tells_the_default_selector_the_calibration_and_the_audit(folder):
    found = json.loads((folder / "metrics.json").read_text())["15_comparison"]
    gaps = found["adaptive_gaps"]
    assert len(gaps) == 10
    assert all(row["over_plain_se"] is not None for row in gaps)
    assert {row["label"] for row in found["calibration"]} == {
        "sum",
        "majority",
        "weighted",
        "dawid_skene",
    }
    missed = [row["missed"] for row in found["audit_errors"]]
    assert missed == sorted(missed, reverse=True)
    cells = nbformat.read(folder / "notebooks/15_comparison.ipynb", as_version=4).cells
    assert any("image/png" in o.get("data", {}) for c in cells for o in c.get("outputs", []))

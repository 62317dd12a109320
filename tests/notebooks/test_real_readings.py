"""The notebook on real readings runs on both data sets, and says what its figures allow."""

import json

import polars as pl
import pytest


@pytest.mark.slow
@pytest.mark.real_data
def test_the_recipe_runs_on_both_data_sets_and_keeps_its_frames(real_data, executed, conclusion):
    folder = executed("real")
    metrics = json.loads((folder / "metrics.json").read_text())
    hh, xstest = metrics["19_real_readings"], metrics["19_real_readings-2"]
    assert (hh["source"], xstest["source"]) == ("hh-read", "xstest-read")
    assert "beside" in hh
    assert "beside" not in xstest
    for source in ("hh-read", "xstest-read"):
        table = pl.read_parquet(folder / f"artefacts/{source}_agreement.parquet")
        every = table.row(by_predicate=pl.col("name") == "sum of all rules", named=True)
        assert every["low"] > 0.5
        grid = pl.read_parquet(folder / f"artefacts/{source}_grid.parquet")
        assert set(grid["k"]) == {1, 3, 5, 10, 20, 50, 100}
        assert grid.filter(pl.col("k") == 100)["over_all"].abs().max() < 1e-9
    said = conclusion(folder, "19_real_readings")
    assert "more than people would" in said
    assert "compared by an LLM" in said
    assert "compared by an LLM" not in conclusion(folder, "19_real_readings-2")
    assert "03_selection" in metrics

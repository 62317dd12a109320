"""The notebook on a judge's quality runs whole and keeps its figures, its table and its curve."""

import json

import polars as pl
import pytest
import yaml


@pytest.mark.slow
def test_the_notebook_measures_a_judge_and_what_rating_less_costs(executed, conclusion, tmp_path):
    recipe = tmp_path / "quality.yaml"
    settings = {"split": "validation", "store": str(tmp_path / "ratings")}
    steps = [{"notebook": "17_judge_quality", "parameters": settings}]
    recipe.write_text(yaml.safe_dump({"name": "quality", "steps": steps}))
    folder = executed(str(recipe))
    found = json.loads((folder / "metrics.json").read_text())["17_judge_quality"]
    assert found["relevant_auc"]["value"] > found["relevant_auc"]["reference"] == 0.5
    table = pl.read_parquet(folder / "artefacts/judge_quality.parquet")
    assert set(found) - {"seconds"} == set(table.filter(pl.col("rule") == "all")["figure"])
    curve = pl.read_parquet(folder / "artefacts/cost_curve.parquet")
    assert "`encoder` ranks which rules matter better than chance" in conclusion(
        folder, "17_judge_quality"
    )
    assert set(curve["order"]) == {"Rule Adapter", "random"}

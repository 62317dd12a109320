"""The notebook on the judge runs and tells networks, calibration and agreement."""

import json

import polars as pl
import pytest


@pytest.mark.slow
def test_the_notebook_runs_and_tells_designs_calibration_and_agreement(executed, conclusion):
    folder = executed("judge", networks=["frozen"], rules_every=10, real_data=False)
    found = json.loads((folder / "metrics.json").read_text())["16_judge"]
    assert [row["network"] for row in found["networks"]] == ["each rule's frequency", "frozen"]
    assert found["test"]["n_responses"] == 144
    assert found["test"]["relevant_auc"] > found["test"]["floor_relevant_auc"]
    assert 0 <= found["test"]["satisfied_calibration_error"] < 0.3
    assert len(found["reader_agreement"]) == 13
    assert "above each rule's own frequency" in conclusion(folder, "16_judge")
    assert pl.read_parquet(folder / "artefacts/judge_reliability.parquet").height > 10

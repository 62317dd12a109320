"""The notebook of policy optimisation runs whole, and claims no more than its few steps show."""

import json

import pytest


@pytest.mark.slow
def test_the_notebook_trains_a_small_policy_against_a_saved_reward(executed, conclusion, smollm2):
    pytest.importorskip("trl")
    folder = executed("grpo", model=str(smollm2), steps=1)
    found = json.loads((folder / "metrics.json").read_text())["20_grpo"]
    assert found["gap"] < 1e-4
    assert len(found["steps"]) == 1
    said = conclusion(folder, "20_grpo")
    assert "cannot tell that from chance" in said

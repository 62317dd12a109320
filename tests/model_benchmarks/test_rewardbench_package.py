"""Equal to the package `rewardbench` 0.1.4, item by item, where an environment with it is named."""

import os

import pytest

from tests.benchmarks.rewardbench import compared, odd_model, small_model


@pytest.fixture
def python():
    """Of an environment of its own: it pins a transformers that this kit cannot run on."""
    if not (path := os.environ.get("RULEKIT_REWARDBENCH")):
        pytest.skip(
            "needs rewardbench 0.1.4: set RULEKIT_REWARDBENCH to the python of its own venv"
        )
    return path


def test_the_same_wins_on_the_same_items(python, real_data, tmp_path):
    told = compared(python, small_model(tmp_path / "model"), 20)
    assert told["same_wins_imitation"] == told["same_wins_kit"] == told["items"] == 40
    assert told["largest_difference_kit"] < 1e-5


def test_a_second_beginning_and_system_prompts_are_imitated_and_differ_from_the_kit(
    python, real_data, tmp_path
):
    told = compared(python, odd_model(tmp_path / "odd"), 10, system=True)
    assert told["same_wins_imitation"] == told["items"]
    assert told["largest_difference_imitation"] < 1e-5 < 0.01 < told["largest_difference_kit"]

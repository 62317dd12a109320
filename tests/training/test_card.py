"""The card of a trained model, and its example run as it stands."""

import re

import numpy as np
import pytest

from rulekit.training.config import TrainingConfig
from rulekit.training.engine import train
from tests.training.helpers import settings, some_pairs


def test_the_card_names_the_real_encoder_by_its_digest(tmp_path):
    from rulekit.encoder import SHA256
    from rulekit.training.card import write_card

    told = {"metrics": {}, "n_train": 1, "left_out": {}, "provenance": {}, "n_labels": 1}
    card = write_card(tmp_path, TrainingConfig(), **told).read_text()
    assert "# Reward model from `sentence-transformers/all-MiniLM-L6-v2`" in card
    assert "base_model: sentence-transformers/all-MiniLM-L6-v2\n" in card
    assert f"all-MiniLM-L6-v2, sha256 {SHA256}" in card


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", "float32"), ("bf16-stochastic", "bfloat16")]
)
def test_the_example_of_the_card_gives_the_rewards_that_the_kit_gives(
    base, precision, dtype, tmp_path
):
    """In bfloat16 to 1 % of a reward and 0.02, as the card says; in float32 to 1e-5."""
    config = settings(base, precision=precision, epochs=4, learning_rate=5e-3)
    pairs = some_pairs(24)
    done = train(config, pairs, output=tmp_path / "run")
    card = (done.model_folder / "README.md").read_text()
    assert f"dtype=torch.{dtype})" in card
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    kit, found = done.rewards(pairs), np.empty((24, 2))
    for row, pair in enumerate(pairs.iter_rows(named=True)):
        for side, name in enumerate(("response_a", "response_b")):
            given = {"folder": done.model_folder, "prompt": pair["prompt"], "response": pair[name]}
            exec(code, given)
            found[row, side] = given["logits"].item()
    allowed = 1e-5 if dtype == "float32" else 0.01 * np.abs(kit) + 0.02
    print(
        f"{dtype}: largest difference {np.abs(found - kit).max():.1e}, rewards to {np.abs(kit).max():.1f}"
    )
    assert (np.abs(found - kit) <= allowed).all()
    assert kit.std() > 0.2

"""The card of a trained model, and its example run as it stands."""

import re

import numpy as np
import pytest

from rulekit.files import sha256_file
from rulekit.training.config import TrainingConfig
from rulekit.training.engine import train
from rulekit.training.reward_model import RewardModel
from tests.training.helpers import make_model, settings, some_pairs


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
    done = train(pairs, config=config, output=tmp_path / "run")
    card = (done.model_folder / "README.md").read_text()
    assert f"dtype=torch.{dtype})" in card
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    kit, found = RewardModel.load(done.model_folder).rewards(pairs), np.empty((24, 2))
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


def test_a_card_holds_no_path_of_this_machine_and_prints_names_as_text(tmp_path):
    """Front matter, headings and lists stay what they are, whatever files and rules are called."""
    base = make_model(tmp_path / "<b>my`base`")
    data = tmp_path / "pairs *new*.jsonl"
    data.write_text("{}")
    told = {
        "data": str(data),
        "rule_set": f"{tmp_path}/rules.yaml, abc123",
        "selector": "a\n---\n# title\n<script>alert(1)</script> [x](y) __init__ max_discrepancy",
        "note": "see https://example.org/a/b and ~/private/run",
    }
    config = settings(base, max_steps=1, train=str(data))
    done = train(some_pairs(8), config=config, output=tmp_path / "run", provenance=told)
    card = (done.model_folder / "README.md").read_text()
    assert str(tmp_path) not in card
    assert "/private" not in card
    lines = card.splitlines()
    digest = sha256_file(data)
    assert rf"- data: pairs \*new\*.jsonl, sha256 {digest}" in lines
    assert "- rule set: rules.yaml, abc123" in lines
    assert "- note: see https://example.org/a/b and run" in lines
    assert (
        r"- selector: a --- # title &lt;script&gt;alert(1)&lt;/script&gt; \[x\](y) \_\_init\_\_ "
        "max_discrepancy"
    ) in lines
    assert f"- train: `pairs *new*.jsonl, sha256 {digest}`" in lines
    assert "# Reward model from `` <b>my`base` ``" in lines
    weights = sha256_file(base / "model.safetensors")
    assert rf"- base model: &lt;b&gt;my\`base\`, sha256 {weights}" in lines
    assert lines.count("---") == 2
    assert not any(line.startswith("base_model") for line in lines)
    for name in ("config.json", "rulekit.json", "tokenizer_config.json"):
        assert str(tmp_path) not in (done.model_folder / name).read_text()

"""The engine against another trainer and against a planted reward."""

import json

import numpy as np
import polars as pl
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rulekit.training import batches
from rulekit.training.engine import train
from rulekit.training.reward_model import RewardModel
from tests.training.helpers import WORDS, engine_parts, make_model, settings, some_pairs


def test_the_loss_trajectory_is_that_of_trl(base, tmp_path):
    """The same small Llama, pairs and order; TRL tokenises the chats itself and pads."""
    import datasets
    import trl

    pairs = some_pairs(32)
    config = settings(
        base,
        epochs=2,
        pairs_per_step=8,
        center=0.01,
        schedule="linear",
        warmup=2,
        weight_decay=0.01,
    )
    target = (np.arange(32) % 3 > 0).astype(float)
    train(pairs, target, config, output=tmp_path / "ours")
    ours = [json.loads(line) for line in (tmp_path / "ours" / "metrics.jsonl").open()]

    _, _, examples = engine_parts(config, pairs)
    steps, order = batches.Steps(examples.tokens, 8, config.token_budget, config.seed), []
    for epoch in (0, 1):
        steps.set_epoch(epoch)
        order += [row for step in steps for part in step for row in part.rows]
    rows = []
    for row in order:
        pair = pairs.row(row, named=True)
        chats = [
            [
                {"role": "user", "content": pair["prompt"]},
                {"role": "assistant", "content": pair[side]},
            ]
            for side in ("response_a", "response_b")
        ]
        chosen, rejected = chats if target[row] == 1 else chats[::-1]
        rows.append({"chosen": chosen, "rejected": rejected})
    trainer = trl.RewardTrainer(
        AutoModelForSequenceClassification.from_pretrained(base),
        trl.RewardConfig(
            output_dir=str(tmp_path / "trl"),
            per_device_train_batch_size=8,
            num_train_epochs=1,
            train_sampling_strategy="sequential",
            learning_rate=config.learning_rate,
            weight_decay=0.01,
            lr_scheduler_type="linear",
            warmup_steps=2,
            center_rewards_coefficient=0.01,
            bf16=False,
            gradient_checkpointing=False,
            logging_steps=1,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(base),
    )
    trainer.train()
    theirs = trainer.state.log_history
    for name in ("loss", "grad_norm", "margin", "learning_rate"):
        found = [row[name] for row in ours if "loss" in row]
        expected = [row[name] for row in theirs if "loss" in row]
        assert len(found) == 8
        print(f"{name}: largest difference {np.abs(np.subtract(found, expected)).max():.1e}")
        assert found == pytest.approx(expected, abs=1e-4), name
    assert found[-1] != found[0]


@pytest.mark.parametrize(
    "objective", ["bradley_terry", pytest.param("soft", marks=pytest.mark.slow)]
)
def test_a_planted_linear_reward_is_learned_to_within_its_bayes_accuracy(objective, tmp_path):
    """Each word has a worth, a response the sum; labels are drawn from Bradley and Terry's model."""
    rng = np.random.default_rng(0)
    worth = rng.normal(size=len(WORDS)) * 1.2
    n, n_test = 3000, 600
    words = rng.integers(len(WORDS), size=(n + n_test, 2, 5))
    margin = (worth[words[:, 0]] - worth[words[:, 1]]).sum(axis=1)
    p = 1 / (1 + np.exp(-margin))
    pairs = pl.DataFrame(
        [
            {
                "pair_id": str(i),
                "prompt": "thanks",
                "preference": 1,
                "response_a": " ".join(WORDS[j] for j in a),
                "response_b": " ".join(WORDS[j] for j in b),
            }
            for i, (a, b) in enumerate(words)
        ]
    )
    target = p if objective == "soft" else (rng.random(len(p)) < p).astype(float)
    done = train(
        pairs[:n],
        target[:n],
        settings(
            make_model(tmp_path / "base", num_hidden_layers=1),
            objective=objective,
            epochs=2,
            pairs_per_step=32,
            token_budget=2048,
            learning_rate=4e-3,
        ),
        output=tmp_path / "run",
    )
    model = RewardModel.load(done.model_folder)
    found = model.margin(pairs[n:])
    truth = p[n:]
    accuracy = np.where(found > 0, truth, 1 - truth).mean()  # expected over the labels' draw
    bayes = np.maximum(truth, 1 - truth).mean()
    assert 0.8 < bayes < 0.95
    print(f"{objective}: accuracy {accuracy:.4f}, Bayes {bayes:.4f}")
    assert accuracy > bayes - 0.02
    assert np.corrcoef(found, margin[n:])[0, 1] > 0.95
    plain = AutoModelForSequenceClassification.from_pretrained(done.model_folder)
    tokenizer = AutoTokenizer.from_pretrained(done.model_folder)
    chats = [
        [{"role": "user", "content": "thanks"}, {"role": "assistant", "content": text}]
        for text in pairs["response_a"][n : n + 20]
    ]
    inputs = tokenizer.apply_chat_template(
        chats, padding=True, return_tensors="pt", return_dict=True
    )
    rewards = plain(**inputs).logits.detach().numpy()[:, 0]
    assert rewards == pytest.approx(model.rewards(pairs[n:])[:20, 0], abs=1e-5)

"""Packed rows against padded models, the order of steps, and pairs that are left out."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rulekit.training import batches, models
from tests.training.helpers import (
    CONFIGS,
    engine_parts,
    make_model,
    make_tokenizer,
    packed_gradients,
    settings,
    some_pairs,
)


@pytest.mark.parametrize(
    ("kind", "pad"),
    [
        *((kind, "<pad>") for kind in CONFIGS),
        ("llama", "</s>"),
        ("qwen2", "</s>"),
        ("bert", "</s>"),
        ("llama", None),
        ("qwen3", None),
    ],
)
def test_packed_rewards_and_gradients_equal_those_of_a_padded_model(kind, pad, tmp_path):
    """Whatever the padding side, the padding token (its own, the end of text, none) and the batch."""
    folder = make_model(tmp_path / "model", kind, pad)
    config = settings(folder)
    model, tokenizer, examples = engine_parts(config, some_pairs(7))
    rewards, gradients = packed_gradients(model, examples, config, budget=256)
    again, _ = packed_gradients(model, examples, config, budget=128)
    torch.testing.assert_close(again, rewards, atol=1e-5, rtol=0)
    assert rewards.std() > 5e-3

    models.save_plain(model, tokenizer, tmp_path / "plain")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "plain")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "plain")
    plain.train()  # gradients need it; the files' dropout is set to zero below
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    sides = ["right"] if kind == "bert" else ["right", "left"]  # absolute positions
    for side in sides:
        for size in (1, 5):
            theirs.padding_side = side
            plain.zero_grad()
            padded = torch.full((len(examples), 2), torch.nan)
            for start in range(0, len(examples), size):
                rows = range(start, min(start + size, len(examples)))
                ids = [s.tolist() for i in rows for s in examples.sequences[i]]
                out = plain(**theirs.pad({"input_ids": ids}, return_tensors="pt")).logits.view(
                    -1, 2
                )
                padded[list(rows)] = out.detach()
                sign = 2 * torch.from_numpy(examples.target[list(rows)]) - 1
                loss = -torch.nn.functional.logsigmoid(sign * (out[:, 0] - out[:, 1])).sum()
                (loss / len(examples)).backward()
            torch.testing.assert_close(padded, rewards, atol=1e-5, rtol=0)
            for name, weight in plain.named_parameters():
                expected = gradients.get(name, torch.zeros_like(weight))
                torch.testing.assert_close(
                    weight.grad, expected, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
                )


def test_the_saved_tokenizer_alone_gives_the_same_sequences(tmp_path):
    folder = make_model(tmp_path / "model", pad="</s>")
    config = settings(folder)
    pairs = some_pairs(3)
    model, tokenizer, examples = engine_parts(config, pairs)
    models.save_plain(model, tokenizer, tmp_path / "plain")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "plain")
    assert theirs.pad_token_id != theirs.eos_token_id
    for row, pair in enumerate(pairs.iter_rows(named=True)):
        chat = [
            {"role": "user", "content": pair["prompt"]},
            {"role": "assistant", "content": pair["response_b"]},
        ]
        found = theirs.apply_chat_template(chat, tokenize=True, return_dict=True)["input_ids"]
        assert found == examples.sequences[row][1].tolist()
    text = (tmp_path / "plain" / "config.json").read_text()
    assert "segments" not in text
    assert "rulekit" not in text


def test_packing_shows_real_tensors_and_uses_every_example_once():
    ids = [np.array(x, dtype=np.int32) for x in ([1, 2, 3], [4, 5], [6], [7, 8])]
    examples = batches.Examples(
        [(ids[0], ids[1]), (ids[2], ids[3])],
        np.array([1, 0], np.float32),
        np.zeros(2, np.float32),
        ["p", "q"],
    )
    part = batches.Pass(np.array([0, 1]), np.full(2, 0.5))
    batch = batches.pack(examples, part)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 0, 1]]
    assert batch["cu_seq_lens_q"].tolist() == [0, 3, 5, 6, 8]
    assert (batch["max_length_q"], batch["cu_seq_lens_q"].dtype) == (3, torch.int32)


@pytest.mark.parametrize("processes", [1, 3])
def test_steps_are_random_repeatable_within_budget_and_full(processes):
    rng = np.random.default_rng(0)
    tokens = rng.integers(20, 400, 997)
    samplers = [batches.Steps(tokens, 64, 1024, 5, p, processes) for p in range(processes)]
    epochs = []
    for epoch in (0, 1):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        steps = list(zip(*samplers, strict=True))
        assert steps[0][0][0].rows.tolist() == next(iter(samplers[0]))[0].rows.tolist()
        seen = []
        for step in steps:
            assert len({len(parts) for parts in step}) == 1  # as many passes on every process
            for part in (part for parts in step for part in parts):
                assert tokens[part.rows].sum() <= 1024
                seen.extend(part.rows[part.weight > 0])
            total = sum(part.weight.sum() for parts in step for part in parts)
            assert total == pytest.approx(1.0)
        assert sorted(seen) == list(range(997))
        epochs.append(seen)
        means = [
            tokens[np.concatenate([p.rows for parts in step for p in parts])].mean()
            for step in steps[:-1]
        ]
        assert np.std(means) < 2.5 * tokens.std() / 8  # lengths are not sorted over the steps
        filled = [tokens[p.rows].sum() for step in steps[:-1] for parts in step for p in parts]
        assert np.mean(filled) > 0.8 * 1024
    assert epochs[0] != epochs[1]
    with pytest.raises(ValueError, match="allowed: 300, the token budget"):
        list(batches.Steps(tokens, 64, 300, 5))


def test_pairs_that_cannot_teach_are_left_out_and_counted(tmp_path):
    tokenizer = make_tokenizer("<pad>")
    pairs = some_pairs(6)
    long = "please " * 60
    pairs = pairs.with_columns(
        response_a=pl.Series([f"kind {long}", f"rude {long}", *pairs["response_a"][2:]]),
        response_b=pl.Series([f"rude {long}", *pairs["response_b"][1:]]),
    )
    target = np.array([1, 1, np.nan, 1, 1, 0])
    cut = batches.preference_examples(pairs, target, tokenizer, max_tokens=48)
    assert cut.left_out == {"equal once cut": 1, "no target": 1}
    assert cut.names == ["p1", "p3", "p4", "p5"]
    assert max(map(len, cut.sequences[0])) == 48
    assert cut.sequences[0][0][0] == tokenizer.bos_token_id
    dropped = batches.preference_examples(pairs, target, tokenizer, max_tokens=48, too_long="drop")
    assert dropped.left_out == {"too long": 1, "equal once cut": 1, "no target": 1}
    for bad, message in (
        (np.full(6, 0.7), "objective 'soft'"),
        (np.full(6, np.nan), "no pair is left"),
        (np.ones(5), "target has shape"),
    ):
        with pytest.raises(ValueError, match=message):
            batches.preference_examples(pairs, bad, tokenizer, max_tokens=48)
    tokenizer.pad_token = "</s>"
    with pytest.raises(ValueError, match="ends in the padding token"):
        batches.preference_examples(pairs, target, tokenizer, max_tokens=48)

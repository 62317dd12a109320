"""Heads on a frozen language model: their states, what they learn, and the folder that keeps them."""

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

import rulekit as rk
from rulekit.training import cross_fit_rewards, frozen_language, load_config, train_reward
from tests.training.helpers import make_model, some_pairs

SIDES = ("response_a", "response_b")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), num_hidden_layers=8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RULEKIT_CACHE", str(tmp_path / "cache"))


def settings(folder, **fields):
    given = {"frozen": True, "model": str(folder), "objective": "soft", "l2": 0.1}
    return load_config(given | {"evaluation_share": 0.0, "max_tokens": 64} | fields)


@pytest.mark.parametrize("kind", ["llama", "qwen3", "mistral"])
def test_states_are_the_mean_of_a_plain_pass_over_the_responses_tokens(kind, tmp_path):
    folder = make_model(tmp_path / "m", kind, num_hidden_layers=8)
    pairs = some_pairs(12)
    states = frozen_language.response_states(pairs, settings(folder, token_budget=128))
    assert states.layers == (3, 6)
    assert states.values.shape == (12, 2, 2, 32)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    for i, (prompt, *both) in enumerate(pairs.select("prompt", *SIDES).iter_rows()):
        turn = [{"role": "user", "content": prompt}]
        n = len(tokenizer.apply_chat_template(turn)["input_ids"])
        for side, response in enumerate(both):
            whole = [*turn, {"role": "assistant", "content": response}]
            ids = tokenizer.apply_chat_template(whole, return_tensors="pt")["input_ids"]
            with torch.inference_mode():
                hidden = model(ids, output_hidden_states=True).hidden_states
            plain = np.stack([hidden[k][0, n:].mean(dim=0).numpy() for k in states.layers])
            assert states.values[i, side] == pytest.approx(
                plain, abs=float(1e-4 * np.abs(plain).max())
            )


def test_a_response_has_one_state_whatever_it_stands_beside(small):
    pairs = some_pairs(6)
    other = pairs.with_columns(response_b=pl.lit("never"), pair_id=pl.col("pair_id") + "'")
    found = frozen_language.response_states(pairs, settings(small)).values[:, 0]
    beside = frozen_language.response_states(other, settings(small)).values[:, 0]
    assert found == pytest.approx(beside, abs=1e-5)
    prompt = other.with_columns(prompt=pl.lit("please"))
    assert not np.allclose(
        found, frozen_language.response_states(prompt, settings(small)).values[:, 0]
    )


def test_texts_that_are_too_long_keep_their_responses(small):
    pairs = some_pairs(4).with_columns(prompt=pl.lit("never kind please " * 40))
    short = frozen_language.response_states(pairs, settings(small, max_tokens=32)).values
    assert np.isfinite(short).all()
    shifted = pairs.with_columns(prompt=pl.lit("no thanks " + "never kind please " * 40))
    same = frozen_language.response_states(shifted, settings(small, max_tokens=32)).values
    assert short == pytest.approx(same, abs=1e-5)


def test_states_are_read_once_and_those_of_other_weights_are_others(small, tmp_path):
    pairs = some_pairs(8)
    first = frozen_language.response_states(pairs[:6], settings(small)).values
    (store,) = (tmp_path / "cache" / "states").iterdir()
    before = store.stat().st_mtime_ns
    again = frozen_language.response_states(pairs[2:6], settings(small, layer=6))
    assert np.array_equal(again.values[:, :, 0], first[2:, :, 1])
    assert store.stat().st_mtime_ns == before
    frozen_language.response_states(pairs, settings(small))
    assert store.stat().st_mtime_ns > before
    changed = make_model(tmp_path / "m", num_hidden_layers=8, seed=1)
    assert not np.allclose(
        frozen_language.response_states(pairs[:6], settings(changed)).values, first
    )


def test_a_head_learns_a_planted_word_and_its_folder_says_the_same(small, tmp_path):
    pairs = some_pairs(80)
    model = train_reward(
        pairs[:60], config=settings(small), output=tmp_path / "run", evaluation=pairs[60:]
    )
    assert model.metrics["accuracy"] > 0.9
    margin = model.margin(pairs[60:])
    swapped = pairs[60:].rename({"response_a": "response_b", "response_b": "response_a"})
    assert model.margin(swapped) == pytest.approx(-margin, abs=1e-6)
    model.save(tmp_path / "copy")
    assert np.array_equal(rk.RewardModel.load(tmp_path / "copy").margin(pairs[60:]), margin)
    assert "frozen" in (tmp_path / "copy" / "README.md").read_text()


def test_a_head_refuses_other_weights_of_its_model(tmp_path):
    folder = make_model(tmp_path / "m", num_hidden_layers=8)
    model = train_reward(some_pairs(20), config=settings(folder), output=tmp_path / "run")
    weights = load_file(folder / "model.safetensors")
    save_file({k: v * 1.01 for k, v in weights.items()}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"other weights than those that .* was fitted on"):
        rk.RewardModel.load(model.folder).margin(some_pairs(3))
    (model.folder / "head.npz").write_bytes(b"no head")
    with pytest.raises(ValueError, match="no head on a language model"):
        rk.RewardModel.load(model.folder)


def test_the_layer_is_the_one_of_least_loss_inside_what_is_trained_on(small):
    pairs, config = some_pairs(60), settings(small)
    states = frozen_language.response_states(pairs, config)
    head = frozen_language.fit_states(states, np.ones(60), pairs, config.l2)
    assert head.layer == min(head.losses, key=head.losses.get)
    assert set(head.losses) == {3, 6}
    given = frozen_language.response_states(pairs, settings(small, layer=2))
    assert frozen_language.fit_states(given, np.ones(60), pairs, config.l2).layer == 2
    with pytest.raises(ValueError, match="layer is 8; allowed: 1 to 7"):
        frozen_language.response_states(pairs, settings(small, layer=8))


def test_cross_fitting_sees_no_pair_of_the_prompt(small):
    pairs = some_pairs(60)
    margin = cross_fit_rewards(pairs, config=settings(small))
    assert (margin > 0).mean() > 0.85
    noise = np.random.default_rng(0).integers(0, 2, 60).astype(float)
    lost = cross_fit_rewards(pairs, noise, config=settings(small))
    assert 0.2 < ((lost > 0) == (noise > 0.5)).mean() < 0.75  # in-sample it would be near 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": "adapter"}, "task 'adapter'; allowed: 'minilm', or task 'reward'"),
        ({"objective": "margin"}, "allowed: 'soft' or 'bradley_terry'"),
        ({"epochs": 2}, "epochs: not used .* on a frozen model; allowed: .*layer"),
    ],
)
def test_what_a_frozen_model_does_not_do_is_refused(small, fields, message):
    with pytest.raises(ValueError, match=message):
        settings(small, **fields)

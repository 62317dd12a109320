"""Heads on the frozen encoder: what they learn, and the plain folder that says the same."""

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import rulekit as rk
from rulekit.encoder import Encoder
from rulekit.training import frozen, train_adapter, train_reward

TOPICS = (
    *("train", "garden", "printer", "recipe", "loan", "cat", "roof"),
    *("bus", "exam", "piano", "visa", "oven", "river", "novel"),
)


@pytest.fixture(scope="module")
def polite() -> pl.DataFrame:
    """Polite answers are A and preferred; every other one is longer."""
    rows = [
        {
            "pair_id": t,
            "prompt": f"the {t}",
            "preference": 1,
            "response_a": f"Thank you for asking kindly about the {t}. "
            + "I am glad to help. " * (i % 2),
            "response_b": f"Stop bothering me with the {t}, you fool.",
        }
        for i, t in enumerate(TOPICS)
    ]
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def model(polite):
    return train_reward(polite[:10])


def test_a_head_learns_a_planted_reward_and_judges_unseen_topics_right(polite, model):
    assert (model.margin(polite[10:]) > 0).all()
    rude = polite[10:].rename({"response_a": "response_b", "response_b": "response_a"})
    held = train_reward(polite[:10], evaluation=polite[10:]).metrics
    assert (held["accuracy"], held["n"]) == (1.0, 4)
    assert held["margin"] == pytest.approx(model.margin(polite[10:]).mean(), rel=1e-3)
    assert (model.margin(rude) < 0).all()


def test_the_folder_gives_the_rewards_of_the_fit(polite, model):
    """Packed here, padded by transformers itself: the fit's margins to 1e-3, each other's to 1e-5."""
    head = frozen.fit_reward(frozen.response_vectors(polite[:10]), np.ones(10), l2=30.0)
    expected = frozen.response_vectors(polite) @ head  # (n_pairs, 2)
    packed = model.rewards(polite)
    assert packed == pytest.approx(expected, abs=float(1e-3 * np.abs(expected).max()))
    difference = np.subtract(*packed.T) - np.subtract(*expected.T)
    assert np.abs(difference).max() < 1e-3 * np.abs(np.subtract(*expected.T)).mean()
    plain = AutoModelForSequenceClassification.from_pretrained(model.folder)
    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    chats = [
        [{"role": "user", "content": p}, {"role": "assistant", "content": a}]
        for p, a in polite.select("prompt", "response_a").iter_rows()
    ]
    inputs = tokenizer.apply_chat_template(
        chats, padding=True, return_tensors="pt", return_dict=True
    )
    assert (inputs["attention_mask"] == 0).any()
    with torch.inference_mode():
        found = plain(**inputs).logits[:, 0].numpy()
    assert found == pytest.approx(packed[:, 0], abs=1e-5)
    half = AutoModelForSequenceClassification.from_pretrained(model.folder, dtype=torch.float16)
    with torch.inference_mode():
        found = half(**inputs).logits[:, 0].float().numpy()
    assert found == pytest.approx(packed[:, 0], abs=float(0.02 * np.abs(packed).max()))


def test_the_prompt_is_not_read_and_a_long_response_is_cut_at_its_end_as_the_encoder_cuts(
    polite, model
):
    other = polite.with_columns(prompt=pl.lit("something else"))
    assert (model.rewards(other) == model.rewards(polite)).all()
    long = polite[:1].with_columns(
        response_a=pl.lit("Thank you. " * 100 + "the end"),
        response_b=pl.lit("Thank you. " * 100 + "You fool. " * 200),
    )
    rewards = model.rewards(long)[0]
    assert rewards[0] == pytest.approx(rewards[1], abs=1e-6)
    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    text = long["response_a"][0]
    assert len(tokenizer(text, truncation=True)["input_ids"]) == 256
    head = frozen.fit_reward(frozen.response_vectors(polite[:10]), np.ones(10), l2=30.0)
    expected = (frozen.response_vectors(long) @ head)[0]
    assert rewards == pytest.approx(expected, rel=1e-2)
    card = (model.folder / "README.md").read_text()
    assert "reads the response alone" in card
    assert "were cut at their end" in card


def test_soft_and_missing_targets_are_taken_and_bad_ones_refused(polite):
    target = np.where(np.arange(14) % 3 == 0, np.nan, 0.8)
    assert train_reward(polite, target).margin(polite).mean() > 0
    for given, message in (
        ([1, 0], "target has shape"),
        (np.full(14, 2.0), "allowed: 0 to 1"),
        (np.full(14, np.nan), "no pair is left to train on"),
    ):
        with pytest.raises(ValueError, match=message):
            train_reward(polite, given)
    with pytest.raises(ValueError, match="allowed: 0 or 1"):
        train_reward(polite, target, objective="bradley_terry")
    for settings in ({"l2": 0.0}, {"nonsense": 3}, {"max_tokens": 64}, {"task": "adapter"}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            train_reward(polite, **settings)


def test_settings_beside_a_config_are_used(polite):
    """A ridge penalty of a million leaves no reward."""
    flat = train_reward(polite, config="encoder-frozen", l2=1e6)
    assert np.abs(flat.margin(polite)).max() < 1e-3


def test_an_adapter_beats_random_on_unseen_prompts_and_ignores_sides():
    pairs = rk.load_pairs("embedded")
    rules, scores = rk.sources.load_ratings("embedded")
    chosen = rk.select(scores, 5)
    probabilities = rk.training.cross_fit_adapter(pairs, chosen)
    figures, table = rk.studies.adapter_report(pairs, scores, probabilities)
    assert figures["recall_at_k"] > 3 * figures["random_recall_at_k"]
    assert set(table["name"]) == {"oracle", "rule_adapter", "random"}
    adapter = train_adapter(pairs, chosen)
    swapped = pairs.rename({"response_a": "response_b", "response_b": "response_a"})
    assert adapter.probabilities(pairs) == pytest.approx(adapter.probabilities(swapped), abs=1e-5)
    assert adapter.identity.rules_hash == rules.hash
    again = train_adapter(pairs, chosen, seed=1)
    assert (again.model.weight == adapter.model.weight).all()


def test_cross_fitted_rewards_are_of_models_that_have_not_seen_the_prompt(polite):
    """The same as a model trained on the other folds, to the precision of the folder."""
    from rulekit.inputs.pairs import folds

    fold = pl.Series(folds(polite, 2, seed=3))
    found = rk.training.cross_fit_rewards(polite, None, 2, seed=3, l2=5.0)
    for f in (0, 1):
        held = polite.filter(fold == f)
        expected = train_reward(polite.filter(fold != f), l2=5.0).margin(held)
        assert found[(fold == f).to_numpy()] == pytest.approx(expected, rel=5e-3)
    assert Encoder.load().model.config.num_hidden_layers == 6  # the encoder itself is as it was

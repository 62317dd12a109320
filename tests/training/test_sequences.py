"""Texts that are too long: what is cut of them, and that it is said."""

import json

import numpy as np
import polars as pl
import pytest

import rulekit as rk
from rulekit.training import frozen, sequences, train_adapter, train_reward
from tests.training.helpers import make_tokenizer, settings, some_pairs


def pair(prompt: str, a: str, b: str) -> pl.DataFrame:
    columns = {"pair_id": "p", "prompt": prompt, "response_a": a, "response_b": b, "preference": 1}
    return pl.DataFrame({name: [value] for name, value in columns.items()})


def read(frame: pl.DataFrame, max_tokens: int) -> tuple[str, list[int]]:
    """What an adapter reads of a pair, as text, and what each part lost."""
    tokenizer = make_tokenizer("<pad>")
    found, lost = sequences.adapter_sequences(frame, tokenizer, max_tokens)
    return tokenizer.decode(found[0][0]), lost[0].tolist()


def words(word: str, n: int) -> str:
    return " ".join([word] * n)


def test_the_prompt_of_an_adapters_text_loses_its_beginning_first():
    frame = pair(f"never {words('people', 60)} thanks", words("kind", 20), words("rude", 10))
    whole, lost = read(frame, 1000)
    assert lost == [0, 0, 0]
    text, lost = read(frame, 95)
    assert lost[0] > 20
    assert lost[1:] == [0, 0]
    assert text.startswith("<s>")
    assert "never" not in text
    assert text.endswith(whole[whole.index("thanks") :])


@pytest.mark.parametrize("sides", ["as they are", "exchanged"])
@pytest.mark.parametrize(
    ("n_first", "n_second", "kept"), [(80, 80, None), (200, 80, None), (80, 5, 5), (5, 80, 5)]
)
def test_both_responses_of_an_adapters_text_keep_as_many_tokens(n_first, n_second, kept, sides):
    a, b = words("kind", n_first), words("rude", n_second)
    a, b = (a, b) if sides == "as they are" else (b, a)
    text, lost = read(pair(words("people", 30), a, b), 90)
    counts = text.count("kind"), text.count("rude")
    assert "people" not in text
    assert "Response 1: kind" in text
    assert "\n\nResponse 2: rude" in text
    assert text.endswith("</s>")
    assert lost == [lost[0], n_first - counts[0], n_second - counts[1]]
    if kept is None:
        assert abs(counts[0] - counts[1]) <= 1
        assert counts[0] > 15
    else:
        assert min(counts) == kept
        assert max(counts) > 30


def test_a_text_is_cut_to_the_longest_length_also_where_nothing_but_the_frame_would_fit():
    tokenizer = make_tokenizer("<pad>")
    for max_tokens in range(8, 120, 7):
        for frame in (pair("people", words("kind", 50), "no"), some_pairs(4, longest=60)):
            found, lost = sequences.adapter_sequences(frame, tokenizer, max_tokens)
            whole, _ = sequences.adapter_sequences(frame, tokenizer, 10_000)
            for (ids,), (uncut,), row in zip(found, whole, lost, strict=True):
                assert len(ids) == min(max_tokens, len(uncut))
                assert row.sum() == len(uncut) - len(ids)


def test_what_was_cut_stands_in_measures_result_and_card(base, tmp_path):
    pairs, held = some_pairs(12, longest=30), some_pairs(5, seed=7, longest=30)
    config = settings(base, max_tokens=24, max_steps=1)
    model = train_reward(pairs, config=config, evaluation=held, output=tmp_path / "reward")
    tokenizer = make_tokenizer("<pad>")
    for name, frame in (("train", pairs), ("evaluation", held)):
        _, _, lost = sequences.tokenize(frame, tokenizer, 24, "truncate")
        truncation = json.loads((tmp_path / "reward" / "result.json").read_text())["truncation"]
        assert truncation[name] == sequences.counted(lost, sequences.RESPONSES, 2)
        assert truncation[name]["sequences"] == 2 * len(frame)
        assert 0 < truncation[name]["truncated"] <= 2 * len(frame)
        card = (model.folder / "README.md").read_text()
        cut = f"{truncation[name]['truncated']} of {2 * len(frame)} sequences of {name} were cut"
        assert f"- {cut} and lost {truncation[name]['tokens_cut']} tokens (response a: " in card
    assert model.metrics["truncated"] == truncation["evaluation"]["truncated"]
    assert model.metrics["tokens_cut"] == truncation["evaluation"]["tokens_cut"]


@pytest.mark.parametrize("kind", ["frozen", "engine"])
def test_what_an_adapter_loses_is_told_for_prompt_and_responses(base, tmp_path, kind):
    long = {"prompt": words("people", 400), "response_a": words("kind", 300)}
    pairs = some_pairs(12).with_columns(
        pl.when(pl.col("pair_id") == "p3").then(pl.lit(text)).otherwise(pl.col(name)).alias(name)
        for name, text in long.items()
    )
    rules = rk.RuleSet.from_texts(["It is kind.", "It is rude."])
    identity = rk.inputs.Identity.of(rules, pairs)
    chosen = rk.Selection(np.arange(12)[:, None] % 2, "x", 2, identity=identity)
    config = {"epochs": 2} if kind == "frozen" else settings(base, max_tokens=120, max_steps=1)
    given = {"preset": "encoder-frozen"} if kind == "frozen" else {}
    config = given | config if kind == "frozen" else config
    train_adapter(pairs, chosen, config, evaluation_share=0.0, output=tmp_path / "run")
    found = json.loads((tmp_path / "run" / "result.json").read_text())["truncation"]["train"]
    assert found["sequences"] == (36 if kind == "frozen" else 12)
    assert found["truncated"] == (2 if kind == "frozen" else 1)
    assert found["prompt_truncated"] == 1
    side = "first" if pairs["response_b"][3] > "kind" else "second"
    other = {"first": "second", "second": "first"}[side]
    assert found[f"{side}_response_truncated"] == 1
    assert found[f"{side}_response_tokens_cut"] > 40
    assert found[f"{other}_response_tokens_cut"] == 0
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert f"(prompt: {found['prompt_tokens_cut']} in 1; first response: " in card


def test_data_that_a_frozen_adapter_reads_alike_has_one_digest_and_other_data_has_another():
    tokenizer = frozen.load_tokenizer("adapter")
    long = words("people", 300)
    frames = [
        pair(long, "kind", "rude"),
        pair(f"{long} no", "kind", "rude"),
        pair(f"no {long}", "kind", "rude"),
        pair(long, "kind no", "rude"),
    ]
    found = [sequences.texts_apart(frame, tokenizer, 256)[0][0] for frame in frames]
    same = [
        all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True)) for other in found
    ]
    assert same == [True, True, False, False]

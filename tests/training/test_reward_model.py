"""A reward model is a plain folder: trained, saved, loaded, the same for every config."""

import gc
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import rulekit as rk
from rulekit.labels import Labels
from rulekit.training import RewardModel, train_reward
from rulekit.training.callbacks import MetricsFile
from rulekit.training.plain_model import NOTE
from tests.training.helpers import make_model, settings, some_pairs


def labels_of(pairs: pl.DataFrame, preference: np.ndarray, tie: str = "abstain") -> Labels:
    """Labels of one rule whose discrepancy is the preference."""
    scores = rk.Scores.from_discrepancy(
        preference[:, None].astype(float), pair_ids=pairs["pair_id"].to_list()
    )
    return rk.label(scores, rk.select(scores, 1), tie=tie)


@pytest.fixture(scope="module")
def model(base, tmp_path_factory):
    """Of the engine; sequences over 24 tokens were cut in training."""
    config = settings(base, max_steps=3, max_tokens=24, evaluation_share=0.2)
    return train_reward(some_pairs(24), None, config, output=tmp_path_factory.mktemp("run"))


def padded_rewards(folder, pairs: pl.DataFrame) -> np.ndarray:
    """Rewards of the first responses from transformers alone, (n_pairs,)."""
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chats = [
        [{"role": "user", "content": p}, {"role": "assistant", "content": a}]
        for p, a in pairs.select("prompt", "response_a").iter_rows()
    ]
    inputs = tokenizer.apply_chat_template(
        chats, padding=True, return_tensors="pt", return_dict=True
    )
    with torch.inference_mode():
        return plain(**inputs).logits[:, 0].numpy()


def test_a_saved_model_gives_the_same_rewards_here_in_transformers_and_in_another_process(
    model, tmp_path
):
    pairs, long = some_pairs(8, seed=1, longest=3), some_pairs(8, seed=1, longest=60)
    back = RewardModel.load(model.save(tmp_path / "saved"))
    assert back.metrics == model.metrics
    assert back.metrics["n"] > 0
    assert (back.rewards(long) == model.rewards(long)).all()
    assert padded_rewards(back.folder, pairs) == pytest.approx(back.rewards(pairs)[:, 0], abs=1e-5)
    long.write_parquet(tmp_path / "pairs.parquet")
    code = (
        "import sys, polars as pl, torch; torch.set_num_threads(1)\n"
        "from rulekit.training import RewardModel\n"
        "print(RewardModel.load(sys.argv[1]).margin(pl.read_parquet(sys.argv[2])).tolist())"
    )
    given = [str(back.folder), str(tmp_path / "pairs.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", code, *given], capture_output=True, text=True, check=True
    )
    assert eval(done.stdout) == pytest.approx(model.margin(long).tolist(), abs=1e-6)
    (back.folder / NOTE).unlink()  # which says that 24 tokens are read
    assert np.abs(RewardModel.load(back.folder).rewards(long) - model.rewards(long)).max() > 1e-3


def test_a_folder_that_others_made_is_read_and_one_that_is_no_reward_model_is_refused(tmp_path):
    theirs = RewardModel.load(make_model(tmp_path / "theirs"))
    pairs = some_pairs(6)
    assert theirs.metrics == {}
    assert theirs.rewards(pairs)[0, 0] == pytest.approx(
        padded_rewards(theirs.folder, pairs[:1])[0], abs=1e-5
    )
    assert theirs.rewards(pairs[:0]).shape == (0, 2)
    with pytest.raises(
        FileNotFoundError, match=r"holds no config.json; allowed: .* such as .*run/model"
    ):
        RewardModel.load(tmp_path_of_run(tmp_path, theirs.folder))
    (theirs.folder / NOTE).write_text('{"max_tokens": "many"}')
    with pytest.raises(ValueError, match=r"rulekit.json: max_tokens: "):
        RewardModel.load(theirs.folder)
    (theirs.folder / NOTE).write_text('{"task": "adapter"}')
    with pytest.raises(ValueError, match="holds an adapter; allowed: a reward model"):
        RewardModel.load(theirs.folder)


def tmp_path_of_run(folder, model):
    """A run's folder around a model."""
    (folder / "run").mkdir()
    (folder / "run" / "model").symlink_to(model)
    return folder / "run"


def test_a_model_gives_way_to_another_and_nothing_else_does(model, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="something else than a model"):
        model.save(tmp_path / "notes")
    make_model(tmp_path / "other", seed=5)
    (tmp_path / "empty").mkdir()
    for name in ("other", "empty", "new/below"):
        folder = model.save(tmp_path / name)
        assert {p.name for p in folder.iterdir()} == {p.name for p in model.folder.iterdir()}
    assert model.save(model.folder) == model.folder
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["below"]


def test_labels_are_found_by_the_ids_of_their_pairs(base, tmp_path):
    pairs = some_pairs(16)
    preference = np.where(np.arange(16) % 3 == 0, -1, 1)
    preference[5] = 0
    labels = labels_of(pairs, preference)
    rows = {}
    for name, given in (
        ("as they are", labels),
        ("reversed", labels.rows(np.arange(16)[::-1])),
        ("tie dropped", labels_of(pairs, preference, tie="drop")),
        ("probabilities", np.where(preference == 0, np.nan, preference > 0)),
    ):
        config = settings(base, max_steps=2)
        made = train_reward(pairs, given, config, output=tmp_path / name)
        rows[name] = made.rewards(pairs)
        assert "1 pairs left out: no target" in (made.folder / "README.md").read_text()
    for name, found in rows.items():
        assert (found == rows["as they are"]).all(), name
    with pytest.raises(ValueError, match="'p8' is not in it"):
        train_reward(pairs[:8], labels, settings(base), output=tmp_path / "other")
    with pytest.raises(ValueError, match="target is a Selection"):
        train_reward(pairs, rk.Selection(np.zeros((16, 1), int), "x", 1), settings(base))


def test_labels_bring_the_evidence_of_the_margin_objective_and_held_out_ones_are_aligned_too(
    base, tmp_path
):
    pairs, held = some_pairs(8), some_pairs(5, seed=1).with_columns(pair_id="h" + pl.col("pair_id"))
    labels, of_held = (labels_of(frame, np.full(len(frame), 0.5)) for frame in (pairs, held))
    given = {"objective": "margin", "max_steps": 1}
    model = train_reward(
        pairs,
        labels,
        settings(base),
        evaluation=held,
        evaluation_labels=of_held.rows(np.arange(5)[::-1]),
        **given,
    )
    assert model.metrics["n"] == 5
    margin = torch.from_numpy(model.margin(held))
    expected = torch.nn.functional.softplus(0.5 - margin).mean().item()
    assert model.metrics["loss"] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match=r"there is no evidence; allowed: .* Labels"):
        train_reward(pairs, np.ones(8), settings(base), **given)
    for wrong in ({"evaluation_labels": of_held}, {"evaluation": held, "evaluation_share": 0.1}):
        with pytest.raises(ValueError, match=r"evaluation.*; allowed: "):
            train_reward(pairs, labels, settings(base), **wrong)


def test_a_run_that_a_signal_stops_says_so_and_the_same_call_goes_on(base, tmp_path, monkeypatch):
    former = MetricsFile.on_log

    def on_log(self, args, state, control, logs=None, **kwargs):
        former(self, args, state, control, logs=logs, **kwargs)
        if state.global_step == 1 and "loss" in logs:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(MetricsFile, "on_log", on_log)
    config = settings(base, max_steps=4)
    with pytest.raises(RuntimeError, match=r"stopped; the same call goes on from .*run"):
        train_reward(some_pairs(16), None, config, output=tmp_path / "run")
    with pytest.raises(RuntimeError, match="stopped; nothing is left: name an output"):
        train_reward(some_pairs(16), None, config)
    monkeypatch.undo()
    made = train_reward(some_pairs(16), None, config, output=tmp_path / "run")
    whole = train_reward(some_pairs(16), None, config, output=tmp_path / "whole")
    assert (made.rewards(some_pairs(4)) == whole.rewards(some_pairs(4))).all()


def test_a_temporary_folder_lives_as_long_as_its_model(base):
    made = train_reward(some_pairs(8), None, settings(base, max_steps=1))
    run = made.folder.parent
    assert made.folder.is_dir()
    assert not (run / "checkpoints").exists()
    del made
    gc.collect()
    assert not run.exists()


@pytest.mark.slow
def test_the_encoder_is_fine_tuned_by_its_preset_and_reads_the_prompt(tmp_path):
    pairs = rk.load_pairs("embedded")
    short = pairs.filter(pl.col("response_a").str.len_chars() < 300)[:48]
    output = tmp_path / "run"
    made = train_reward(short, None, "encoder-cpu", output=output, max_tokens=96, seed=1)
    again = train_reward(short, None, "encoder-cpu", output=output, max_tokens=96, seed=1)
    assert again.metrics == made.metrics
    back = RewardModel.load(output / "model")
    assert (back.margin(short[:4]) == made.margin(short[:4])).all()
    other = short[:4].with_columns(prompt=pl.col("prompt").reverse())
    assert np.abs(back.rewards(other) - back.rewards(short[:4])).max() > 1e-4
    with pytest.raises(ValueError, match="another data_sha256, seed"):
        train_reward(short, None, "encoder-cpu", output=output, max_tokens=96, seed=2)

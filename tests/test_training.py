"""The training engine: packed batches against padded models, objectives, survival, known answers."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from rulekit.cli import main
from rulekit.measures import adapter_metrics, cluster_interval
from rulekit.training import batches, models, objectives
from rulekit.training.callbacks import MetricsFile, StopOnSignal
from rulekit.training.config import PRESETS, TrainingConfig, load_config
from rulekit.training.engine import TrainedModel, train
from rulekit.training.evaluation import adapter_intervals
from rulekit.training.launcher import curves, follow, read_metrics
from rulekit.training.memory_plan import FOUR_BITS, activation_bytes, plan
from rulekit.training.optimizers import StochasticAdamW, round_at_random
from rulekit.training.trainer import PackedTrainer

CHAT = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{{ eos_token }}{% endfor %}"
)
WORDS = [
    "the",
    "a",
    "kind",
    "rude",
    "answer",
    "helps",
    "hurts",
    "people",
    "with",
    "care",
    "and",
    "no",
    "thanks",
    "please",
    "never",
    "always",
]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
CONFIGS = {
    "llama": (LlamaConfig, {"num_key_value_heads": 2}),
    "qwen2": (Qwen2Config, {"num_key_value_heads": 2}),
    "qwen3": (Qwen3Config, {"num_key_value_heads": 2, "head_dim": 8}),
    "mistral": (MistralConfig, {"num_key_value_heads": 2, "sliding_window": 8}),
    "bert": (BertConfig, {"hidden_dropout_prob": 0.1}),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny matrices: a second thread only waits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_tokenizer(pad: str | None) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on the spot, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<pad>"]
    raw.train_from_iterator(
        [" ".join(WORDS)] * 20,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special if pad == "<pad>" else special[:-1],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token=pad
    )
    tokenizer.chat_template = CHAT
    return tokenizer


def make_model(folder, kind="llama", pad="<pad>", seed=0, **settings):
    """A small model from its configuration and its tokenizer, written to a folder."""
    tokenizer = make_tokenizer(pad)
    config_class, own = CONFIGS[kind]
    torch.manual_seed(seed)
    config = config_class(
        **(SIZES | own | settings),
        vocab_size=len(tokenizer),
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = AutoModelForSequenceClassification.from_config(config)
    for name, weight in model.named_parameters():  # of a trained model's size: rewards differ
        if weight.ndim > 1 and "score" not in name:
            weight.data.mul_(40.0 if "embed" in name else 6.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def some_pairs(n, seed=0, longest=9) -> pl.DataFrame:
    rng = np.random.default_rng(seed)

    def text():
        return " ".join(rng.choice(WORDS, rng.integers(1, longest)))

    rows = [
        {
            "pair_id": f"p{i}",
            "prompt": text(),
            "response_a": f"{text()} yes",
            "response_b": f"{text()} no",
            "preference": 1,
        }
        for i in range(n)
    ]
    return pl.DataFrame(rows)


def settings(folder, **fields) -> TrainingConfig:
    """Small and quick; what a test is about it sets itself."""
    small = {
        "model": str(folder),
        "max_tokens": 64,
        "token_budget": 256,
        "pairs_per_step": 4,
        "learning_rate": 1e-3,
        "evaluation_share": 0.0,
    }
    return TrainingConfig(**(small | fields))


def engine_parts(config, pairs, labels=("reward",)):
    tokenizer = models.load_tokenizer(config)
    model = models.load_model(config, tokenizer, list(labels))
    target = (np.arange(len(pairs)) % 3 > 0).astype(float)
    examples = batches.preference_examples(
        pairs, target, tokenizer, max_tokens=config.max_tokens, too_long=config.too_long
    )
    return model, tokenizer, examples


def packed_gradients(model, examples, config, budget):
    """Rewards (n, 2) and gradients of one step over all examples."""
    model.zero_grad()
    rewards = torch.full((len(examples), 2), torch.nan)
    rows = np.arange(len(examples))
    for part in batches.passes(rows, examples.tokens, budget)[0]:
        batch = batches.pack(examples, part)
        logits = model(**models.packed_inputs(batch))
        rewards[part.rows] = logits.detach().view(-1, 2)
        (objectives.losses(logits, batch, config) * batch["weight"]).sum().backward()
    return rewards, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("task", ["reward", "adapter"])
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_serves_both_tasks_and_every_field_is_documented(preset, task, tmp_path):
    config = load_config(preset, task=task)
    (tmp_path / "run.yaml").write_text(f"preset: {preset}\ntask: {task}\n")
    assert load_config(tmp_path / "run.yaml") == config
    assert load_config({"preset": preset}, task=task) == config
    if task == "adapter":
        with pytest.raises(ValueError, match="belong to task 'reward'"):
            load_config(preset, task=task, center=0.1)
    named = {line.strip() for line in TrainingConfig.__doc__.splitlines()}
    documented = {name for line in named for name in line.split(", ")}
    assert set(TrainingConfig.model_fields) <= documented
    assert load_config(config, epochs=3, seed=None).epochs == 3


def test_the_authors_hold_nothing_out():
    assert load_config("paper-8b").evaluation_share == 0


def test_a_yaml_file_starts_from_its_preset_and_an_unknown_key_is_an_error(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("preset: h200-8b\nlora: {rank: 8}\nmax_steps: 7\n")
    config = load_config(file, seed=3)
    assert (config.lora.rank, config.max_steps, config.seed, config.center) == (8, 7, 3, 0.01)
    for text, message in (
        ("learning_rat: 1", "unknown setting 'learning_rat'; allowed: 'learning_rate', "),
        ("lora: {rnk: 8}", "unknown setting 'lora.rnk'; allowed: 'lora.rank', "),
        ("epochs: [1", "run.yaml: .* allowed: YAML"),
        ("3", "holds int; allowed: a mapping"),
        ("{random_weights: true, lora: {quantize: true}}", "random_weights with lora.quantize"),
        ("preset: h100", "allowed: encoder-cpu"),
        ("token_budget: 100", "at least 2048"),
        ("warmup: 1.5", "whole steps"),
        ("{precision: bf16-stochastic, optimizer_states: int8}", "round at random"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_config(file)
    with pytest.raises(ValueError, match=r"allowed: encoder-cpu.* or a .yaml file"):
        load_config("paper")


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


def test_objectives_equal_their_formulas():
    rng = np.random.default_rng(0)
    a, b, evidence = (torch.from_numpy(rng.normal(size=50).astype(np.float32)) for _ in range(3))
    logits = torch.stack([a, b], dim=1).reshape(-1, 1)
    soft = torch.from_numpy(rng.random(50).astype(np.float32))
    hard, evidence = soft.round(), evidence.abs()
    log_sigmoid = torch.nn.functional.logsigmoid
    chosen, rejected = torch.where(hard > 0, a, b), torch.where(hard > 0, b, a)
    cases = (
        ({}, hard, -log_sigmoid(chosen - rejected)),
        (
            {"objective": "margin", "margin_scale": 0.5},
            hard,
            -log_sigmoid(chosen - rejected - 0.5 * evidence),
        ),
        ({"objective": "soft"}, soft, -soft * log_sigmoid(a - b) - (1 - soft) * log_sigmoid(b - a)),
        ({"center": 0.1}, hard, -log_sigmoid(chosen - rejected) + 0.1 * (a + b) ** 2),
    )
    for fields, target, expected in cases:
        found = objectives.losses(
            logits,
            {"target": target, "evidence": evidence},
            TrainingConfig(**fields, token_budget=2048),
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    far = torch.tensor([[-2000.0], [2000.0]])
    batch = {"target": torch.ones(1), "evidence": torch.zeros(1)}
    assert objectives.losses(far, batch, TrainingConfig()).item() == 4000.0
    many = torch.from_numpy(rng.normal(size=(7, 5)).astype(np.float32))
    target = (many > 0.3).float()
    p = torch.sigmoid(many)
    expected = -(target * p.log() + (1 - target) * (1 - p).log()).mean(1)
    adapter = TrainingConfig(task="adapter")
    torch.testing.assert_close(objectives.losses(many, {"target": target}, adapter), expected)


# Runs ------------------------------------------------------------------------------------------


def weights(folder) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def assert_bit_equal(a, b):
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    for name, weight in first.items():
        assert torch.equal(weight, second[name]), name


def forget_after(folder, step: int) -> None:
    """Bring a run's folder back to when its checkpoint of this step was the newest."""
    shutil.rmtree(folder / "model")
    for checkpoint in (folder / "checkpoints").glob("checkpoint-*"):
        if int(checkpoint.name.split("-")[1]) > step:
            shutil.rmtree(checkpoint)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("llama", {}),
        ("bert", {"dropout": True}),
        ("llama", {"precision": "bf16-stochastic"}),
        ("llama", {"optimizer_states": "bf16", "schedule": "linear"}),
    ],
)
def test_a_resumed_run_ends_in_the_same_bits(kind, fields, tmp_path):
    """In the middle of the first epoch and of the second, and between; with dropout and rounding."""
    config = settings(
        make_model(tmp_path / "base", kind), epochs=2, save_every=2, keep_checkpoints=9, **fields
    )
    pairs = some_pairs(16)  # 4 steps an epoch
    whole = train(config, pairs, output=tmp_path / "whole")
    rows = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").open()]
    for step in (2, 4, 6):
        again = tmp_path / f"again{step}"
        shutil.copytree(tmp_path / "whole", again)
        forget_after(again, step)
        resumed = train(config, pairs, output=again)
        assert_bit_equal(resumed.model_folder, whole.model_folder)
        found = [json.loads(line) for line in (again / "metrics.jsonl").open()]
        assert [r["loss"] for r in found if "loss" in r] == [r["loss"] for r in rows if "loss" in r]
    assert not torch.equal(
        weights(whole.model_folder)["classifier.weight" if kind == "bert" else "score.weight"],
        weights(tmp_path / "base")["classifier.weight" if kind == "bert" else "score.weight"],
    )


def test_a_run_does_not_go_on_from_another_ones_checkpoint(tmp_path):
    config = settings(make_model(tmp_path / "base"), max_steps=2, save_every=1)
    train(config, some_pairs(8), output=tmp_path / "run")
    for changed, pairs in (
        ("learning_rate", some_pairs(8)),
        ("data_sha256", some_pairs(8, seed=1)),
    ):
        fields = {"learning_rate": 1e-4} if changed == "learning_rate" else {}
        with pytest.raises(ValueError, match=f"another {changed}"):
            train(config, pairs, output=tmp_path / "run", **fields)
    train(config, some_pairs(8), output=tmp_path / "run", learning_rate=1e-4, resume=False)


def test_training_does_not_depend_on_the_token_budget_or_on_recomputation(tmp_path):
    folder = make_model(tmp_path / "base")
    models_ = {}
    for name, fields in {
        "wide": {"token_budget": 2000},
        "narrow": {"token_budget": 128},
        "again": {"checkpointed_layers": "all"},
        "half": {"checkpointed_layers": 1},
    }.items():
        done = train(
            settings(folder, max_steps=4, **fields), some_pairs(16), output=tmp_path / name
        )
        models_[name] = weights(done.model_folder)
    for name in ("narrow", "again", "half"):
        for key, weight in models_["wide"].items():
            torch.testing.assert_close(models_[name][key], weight, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def command_line_run(tmp_path_factory):
    """Folder with a model, pairs and the settings of a run of 40 steps."""
    from rulekit.files import write_atomically

    folder = tmp_path_factory.mktemp("cli")
    make_model(folder / "base")
    write_atomically(folder / "pairs.jsonl", some_pairs(32).write_ndjson)
    (folder / "run.yaml").write_text(
        f"{{preset: encoder-cpu, model: {folder / 'base'}, train: {folder / 'pairs.jsonl'}, max_tokens: 64,"
        " token_budget: 256, pairs_per_step: 8, epochs: 20, evaluation_share: 0.2}\n"
    )
    return folder


def command(folder, output, *more) -> list[str]:
    return ["train", "reward", "--config", str(folder / "run.yaml"), "--output", str(output), *more]


def test_sigterm_saves_exits_and_the_run_goes_on_to_the_same_bits(
    command_line_run, tmp_path, capsys
):
    code = "import sys, torch; torch.set_num_threads(1); from rulekit.cli import main; sys.exit(main(sys.argv[1:]))"
    long = ("-p", "max_steps", "300", "-p", "save_every", "0")
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command(command_line_run, tmp_path / "run", *long)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    try:
        wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 3, process)
        process.send_signal(signal.SIGTERM)
        out, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143, error
    assert "run again to go on" in error.splitlines()[-1]
    assert "LOAD REPORT" not in error  # quiet when headless
    assert "it/s" not in error
    assert "parameters" in out  # the plan
    saved = list((tmp_path / "run" / "checkpoints").glob("checkpoint-*"))
    assert len(saved) == 1
    assert not (tmp_path / "run" / "model").exists()
    for output in ("run", "whole"):
        assert main(command(command_line_run, tmp_path / output, *long)) == 0
    assert "accuracy" in capsys.readouterr().out
    assert_bit_equal(tmp_path / "run" / "model", tmp_path / "whole" / "model")


def wait_for(condition, process=None, seconds=240):
    """Until it holds; a process that ends before, or a long time, is a failure."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_saves_and_stops_and_its_echo_is_the_same_request(
    number, tmp_path, monkeypatch
):
    config = settings(make_model(tmp_path / "base"), epochs=2)
    handler = signal.getsignal(number)
    former = MetricsFile.on_log

    def on_log(self, args, state, control, logs=None, **kwargs):
        former(self, args, state, control, logs=logs, **kwargs)
        if state.global_step == 3 and "loss" in logs:
            signal.raise_signal(number)
            signal.raise_signal(number)  # torchrun hands on what its processes got already

    monkeypatch.setattr(MetricsFile, "on_log", on_log)
    done = train(config, some_pairs(16), output=tmp_path / "run", save_every=0)
    assert done.stopped
    assert signal.getsignal(number) is handler
    (saved,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert saved.name in ("checkpoint-3", "checkpoint-4")  # logs come behind the end of a step
    monkeypatch.undo()
    assert not train(config, some_pairs(16), output=tmp_path / "run").stopped
    whole = train(config, some_pairs(16), output=tmp_path / "whole")
    assert_bit_equal(tmp_path / "run" / "model", whole.model_folder)


def test_a_later_signal_does_not_wait_for_the_step(monkeypatch):
    with StopOnSignal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        monkeypatch.setattr(StopOnSignal, "PATIENCE", 0.0)
        time.sleep(0.01)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_run_leaves_a_checkpoint_every_tenth_and_at_its_end(tmp_path):
    folder = make_model(tmp_path / "base")
    for save_every, expected in (
        (None, {2, 4, 6, 8, 10, 12, 14, 16, 18, 20}),
        (0, {20}),
        (15, {15, 20}),
    ):
        config = settings(folder, epochs=5, save_every=save_every, keep_checkpoints=99)
        train(config, some_pairs(16), output=tmp_path / str(save_every))
        found = (tmp_path / str(save_every) / "checkpoints").iterdir()
        assert {int(p.name.split("-")[1]) for p in found} == expected


def test_the_same_call_returns_the_finished_run_and_measures_anew_on_other_pairs(
    tmp_path, monkeypatch
):
    config = settings(make_model(tmp_path / "base"), epochs=2)
    given = {"output": tmp_path / "run", "evaluation": some_pairs(9, seed=1)}
    first = train(config, some_pairs(16), **given)
    stamps = {p.name: p.stat().st_mtime_ns for p in first.model_folder.iterdir()}
    monkeypatch.setattr(PackedTrainer, "train", lambda *a, **k: pytest.fail("trained again"))
    again = train(config, some_pairs(16), **given)
    assert again.metrics == first.metrics
    assert {p.name: p.stat().st_mtime_ns for p in first.model_folder.iterdir()} == stamps
    other = train(config, some_pairs(16), **given | {"evaluation": some_pairs(12, seed=2)})
    assert other.metrics["n"] == 12
    for fields, message in (({"learning_rate": 1e-4}, "another learning_rate"),):
        shutil.rmtree(tmp_path / "run" / "checkpoints", ignore_errors=True)
        with pytest.raises(ValueError, match=message):
            train(config, some_pairs(16), **given, **fields)
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        train(config, some_pairs(16), **given, resume=False)
    assert not (tmp_path / "run" / "result.json").exists()


@contextlib.contextmanager
def no_room_for(n_bytes: int):
    """A real limit on the size of files stands for a full disk."""
    resource = pytest.importorskip("resource")  # not on Windows
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_at_the_very_end_leaves_the_checkpoint_to_go_on_from(tmp_path, monkeypatch):
    config = settings(make_model(tmp_path / "base"), max_steps=3)
    former = models.save_plain

    def save_plain(*given):
        with no_room_for(20_000):
            return former(*given)

    monkeypatch.setattr(models, "save_plain", save_plain)
    with pytest.raises(
        OSError, match=r"the final model could not be written .* checkpoint of step 3"
    ):
        train(config, some_pairs(8), output=tmp_path / "run")
    assert not {".model", "model", "result.json"} & {p.name for p in (tmp_path / "run").iterdir()}
    assert (tmp_path / "run" / "checkpoints" / "checkpoint-3").is_dir()
    monkeypatch.undo()
    monkeypatch.setattr(PackedTrainer, "train", lambda *a, **k: pytest.fail("trained again"))
    train(config, some_pairs(8), output=tmp_path / "run")
    monkeypatch.undo()
    assert_bit_equal(
        tmp_path / "run" / "model",
        train(config, some_pairs(8), output=tmp_path / "whole").model_folder,
    )


def test_a_full_disk_leaves_the_last_good_checkpoint(
    command_line_run, tmp_path, monkeypatch, capsys
):
    """From the second checkpoint on."""
    former = PackedTrainer._save_checkpoint

    def save(self, model, trial):
        full = no_room_for(20_000) if self.state.global_step == 6 else contextlib.nullcontext()
        with full:
            former(self, model, trial)

    monkeypatch.setattr(PackedTrainer, "_save_checkpoint", save)
    run = command(
        command_line_run, tmp_path / "run", "-p", "save_every", "3", "-p", "max_steps", "9"
    )
    assert main(run) == 1
    assert "the checkpoint of step 6 could not be written" in capsys.readouterr().err
    home = tmp_path / "run" / "checkpoints"
    assert [p.name for p in home.iterdir()] == ["checkpoint-3"]
    monkeypatch.undo()
    assert main(run) == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_a_loss_or_gradient_that_is_not_finite_stops_with_the_pairs_named(tmp_path):
    folder = make_model(tmp_path / "base")
    pairs = some_pairs(12)
    config = settings(folder, save_every=1, pairs_per_step=2, schedule="constant", warmup=0)
    model, tokenizer, examples = engine_parts(config, pairs)
    word = tokenizer("zebra", add_special_tokens=False)["input_ids"][0]
    bad = 7
    a, b = examples.sequences[bad]
    examples.sequences[bad] = (np.concatenate([a[:-1], [word], a[-1:]]).astype(np.int32), b)
    with torch.no_grad():
        model.get_input_embeddings().weight[word] = torch.nan
    before = {n: p.clone() for n, p in model.named_parameters()}
    trainer = PackedTrainer(config, model, tokenizer, examples, None, tmp_path / "run")
    with pytest.raises(
        FloatingPointError, match=r"loss of step \d+ is not finite; pairs: p7\. "
    ) as told:
        trainer.train()
    step = trainer.state.global_step  # of the last good one
    assert step > 0
    good = tmp_path / "run" / "checkpoints" / f"checkpoint-{step}"
    assert str(good) in str(told.value)
    saved = weights(good)
    for name, weight in model.named_parameters():  # the step that failed has changed nothing
        assert torch.equal(weight.nan_to_num(), saved[name].nan_to_num()), name
        assert torch.isfinite(weight).all() or "embed" in name
    assert not torch.equal(saved["score.weight"], before["score.weight"])

    model, tokenizer, examples = engine_parts(config, pairs)
    before = {n: p.clone() for n, p in model.named_parameters()}
    model.score.weight.register_hook(lambda g: g * torch.inf)
    trainer = PackedTrainer(config, model, tokenizer, examples, None, tmp_path / "other")
    with pytest.raises(
        FloatingPointError, match=r"gradient of step 1 is not finite.* no checkpoint yet"
    ):
        trainer.train()
    assert all(torch.equal(p, before[n]) for n, p in model.named_parameters())


def test_the_public_function_reaches_the_engine_by_a_preset(tmp_path):
    import rulekit as rk

    folder = make_model(tmp_path / "base")
    pairs = some_pairs(30)
    done = rk.training.train_reward_model(
        pairs, np.ones(30), "encoder-cpu", output=tmp_path / "run", model=str(folder), max_steps=1
    )
    assert done.margin(pairs).shape == (30,)
    card = (done.model_folder / "README.md").read_text()
    for expected in (
        "data sha256: ",
        "evaluation sha256: ",
        "rule set: not stated",
        "95 % interval",
        "## Limits",
        "learning_rate: `5e-05`",
    ):
        assert expected in card
    assert callable(rk.training.plan)


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
def test_the_example_of_the_card_gives_the_rewards_that_the_kit_gives(precision, dtype, tmp_path):
    """In bfloat16 to 1 % of a reward and 0.02, as the card says; in float32 to 1e-5."""
    config = settings(
        make_model(tmp_path / "base"), precision=precision, epochs=4, learning_rate=5e-3
    )
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


def test_an_adapters_intervals_are_over_prompts():
    """Copies of a pair under its prompt add nothing; under prompts of their own they seem to."""
    rng = np.random.default_rng(0)
    target = np.argsort(np.argsort(rng.random((120, 12)), axis=1), axis=1) < 3
    scores = rng.random((120, 12)) + 0.3 * target
    groups = [f"prompt {i // 2}" for i in range(120)]
    found = adapter_intervals(scores, target, 3, groups)
    again = adapter_intervals(
        *(np.repeat(x, 4, axis=0) for x in (scores, target)), 3, list(np.repeat(groups, 4))
    )
    for name, interval in found.items():
        assert again[name] == pytest.approx(interval)
    measures = adapter_metrics(scores, target, 3)
    for name, (low, high) in found.items():
        assert low < measures[name] < high
    named = np.argsort(np.argsort(-scores, axis=1), axis=1) < 3
    recall = (named & target).sum(1) / 3
    assert found["recall_at_k"] == pytest.approx(cluster_interval(recall, groups), abs=0.01)
    alone = adapter_intervals(
        *(np.repeat(x, 4, axis=0) for x in (scores, target)), 3, [str(i) for i in range(480)]
    )
    for name, (low, high) in alone.items():
        assert high - low < 0.7 * (found[name][1] - found[name][0])


@pytest.mark.parametrize("fields", [{"objective": "margin", "margin_scale": 2.0}, {"center": 0.05}])
def test_margin_and_centring_run_from_files_with_a_column_of_evidence(fields, tmp_path, capsys):
    folder = make_model(tmp_path / "base")
    rng = np.random.default_rng(0)
    frames = {"train": some_pairs(24), "held": some_pairs(10, seed=1)}
    for name, frame in frames.items():
        frames[name] = frame.with_columns(evidence=rng.random(len(frame)))
        frames[name].write_parquet(tmp_path / f"{name}.parquet")
    config = settings(
        folder,
        train=str(tmp_path / "train.parquet"),
        epochs=6,
        evaluation=str(tmp_path / "held.parquet"),
        **fields,
    )
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    run = ["train", "reward", "--config", str(tmp_path / "run.yaml"), "--output"]
    assert main([*run, str(tmp_path / "run")]) == 0, capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    curve = [row["loss"] for row in rows if "loss" in row]
    assert curve[-1] < 0.7 * curve[0]
    done = TrainedModel(tmp_path / "run", config)
    rewards = torch.from_numpy(done.rewards(frames["held"]))
    evidence = torch.tensor(frames["held"]["evidence"].to_list())
    margin = rewards[:, 0] - rewards[:, 1] - (2.0 * evidence if "objective" in fields else 0)
    expected = torch.nn.functional.softplus(-margin) + fields.get("center", 0) * rewards.sum(1) ** 2
    result = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert result["loss"] == pytest.approx(expected.mean().item(), abs=1e-5)
    if "objective" in fields:
        frames["held"].drop("evidence").write_parquet(tmp_path / "held.parquet")
        assert main([*run, str(tmp_path / "other")]) == 2
        assert "evaluation_evidence is None; allowed: " in capsys.readouterr().err


@pytest.mark.parametrize("checkpointed", [0, "all", 1])
def test_planned_activations_are_those_that_autograd_keeps(checkpointed, tmp_path):
    folder = make_model(tmp_path / "m", hidden_size=128, intermediate_size=448, num_hidden_layers=4)
    config = settings(folder, checkpointed_layers=checkpointed)
    model, _, examples = engine_parts(config, some_pairs(40))
    batch = batches.pack(examples, batches.Pass(np.arange(40), np.full(40, 1 / 40)))
    kept, weights_at = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

    def note(x):
        storage = x.untyped_storage()
        if storage.data_ptr() not in weights_at:
            kept[storage.data_ptr()] = (
                storage.nbytes(),
                x,
            )  # the reference keeps the address taken
        return x

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        model(**models.packed_inputs(batch))
    found = sum(size for size, _ in kept.values()) / batch["input_ids"].shape[1]
    planned = activation_bytes(model.config, config)
    if checkpointed:  # one more layer is whole while it is computed again
        bare = model.config.to_dict() | {"num_hidden_layers": 1}
        planned -= activation_bytes(type(model.config)(**bare), settings(folder)) - 12 * 128
    assert found == pytest.approx(planned, rel=0.2)


def test_a_plan_counts_the_8b_model_and_refuses_what_cannot_fit(tmp_path):
    eight = {
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    LlamaConfig(**eight).save_pretrained(tmp_path)
    config = load_config("h200-8b", model=str(tmp_path), device_memory_gb=141)
    found = plan(config, np.full(640, 500))
    assert found.parameters == 7_504_928_768  # 8.03 billion without the output matrix of the LM
    assert found.weights_gb == pytest.approx(2 * 7.505, rel=1e-3)
    assert found.gradients_gb == found.weights_gb
    assert found.optimizer_gb == pytest.approx(4 * 7.505, rel=1e-3)
    assert found.steps == 10
    assert found.flops == pytest.approx(6 * 6.98e9 * 640 * 500, rel=0.02)
    assert found.check() is found
    assert 60 < found.total_gb < 100
    whole = load_config(config, precision="float32", optimizer_states="float32")
    with pytest.raises(ValueError, match=r"needs about 1\d\d.* GB and the device has 141.0 GB"):
        plan(whole).check()
    lora = plan(load_config(config, lora={"rank": 16}))
    assert lora.trainable == 41_943_040 + 4096
    assert lora.total_gb < found.total_gb - 40
    with pytest.raises(ValueError, match="allowed: less"):
        train(
            settings(make_model(tmp_path / "m"), device_memory_gb=0.01),
            some_pairs(8),
            output=tmp_path / "r",
        )


def test_a_plan_of_the_8b_model_is_what_one_counts_by_hand(tmp_path):
    """With a head of one logit: 7,504,928,768 parameters."""
    hidden, inner, keys, layers, vocabulary = 4096, 14_336, 1024, 32, 128_256
    embedding = vocabulary * hidden
    linear = layers * (2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * inner)
    norms = (2 * layers + 1) * hidden
    total = embedding + linear + norms + hidden
    assert (total, linear) == (7_504_928_768, 6_979_321_856)
    matrices = 16 * layers * (2 * (hidden + hidden) + 2 * (hidden + keys) + 3 * (hidden + inner))
    assert matrices == 41_943_040
    eight = {
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    LlamaConfig(**eight).save_pretrained(tmp_path)

    def planned(processes=1, **fields):
        config = load_config("h200-8b", model=str(tmp_path), device_memory_gb=141, **fields)
        found = plan(config, processes=processes)
        return (
            found.parameters,
            found.weights_gb * 1e9,
            found.gradients_gb * 1e9,
            found.optimizer_gb * 1e9,
        )

    def close(*bytes_):
        return (total, *(pytest.approx(x, rel=1e-9) for x in bytes_))

    trained = matrices + hidden
    block = (total - embedding) / layers
    assert planned() == close(2 * total, 2 * total, 4 * total)
    # float32 weights, and a bfloat16 copy of all that is multiplied
    assert planned(precision="bf16") == close(
        4 * total + 2 * (total - embedding), 4 * total, 4 * total
    )
    # each process a copy, and the gradients once more in the buckets that are exchanged
    assert planned(processes=8) == close(2 * total, 4 * total, 4 * total)
    assert planned(processes=8, fsdp=True) == close(
        2 * total / 8 + 2 * (embedding + 2 * block), 2 * total / 8, 4 * total / 8
    )
    assert planned(lora={"rank": 16}) == close(2 * total + 2 * trained, 2 * trained, 4 * trained)
    # a fixed base's copies are made anew with its layers
    assert planned(lora={"rank": 16}, precision="bf16") == close(
        4 * total + 4 * trained + 2 * (total - embedding) / layers, 4 * trained, 4 * trained
    )
    four_bits = linear * (1 / 2 + 1 / 64 + 4 / 64 / 256)
    assert planned(lora={"quantize": True}) == close(
        four_bits + 2 * (total - linear) + 2 * trained, 2 * trained, 4 * trained
    )


# Against others and against the truth -----------------------------------------------------------


def test_the_loss_trajectory_is_that_of_trl(tmp_path):
    """The same small Llama, pairs and order; TRL tokenises the chats itself and pads."""
    import datasets
    import trl

    folder = make_model(tmp_path / "base")
    pairs = some_pairs(32)
    config = settings(
        folder,
        epochs=2,
        pairs_per_step=8,
        center=0.01,
        schedule="linear",
        warmup=2,
        weight_decay=0.01,
    )
    target = (np.arange(32) % 3 > 0).astype(float)
    train(config, pairs, target, output=tmp_path / "ours")
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
        AutoModelForSequenceClassification.from_pretrained(folder),
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
        processing_class=AutoTokenizer.from_pretrained(folder),
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


@pytest.mark.parametrize("objective", ["bradley_terry", "soft"])
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
        settings(
            make_model(tmp_path / "base", num_hidden_layers=1),
            objective=objective,
            epochs=2,
            pairs_per_step=32,
            token_budget=2048,
            learning_rate=4e-3,
        ),
        pairs[:n],
        target[:n],
        output=tmp_path / "run",
    )
    found = done.margin(pairs[n:])
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
    assert rewards == pytest.approx(done.rewards(pairs[n:])[:20, 0], abs=1e-5)


# Memory ----------------------------------------------------------------------------------------


def test_rounding_at_random_is_right_on_average_and_keeps_what_bfloat16_can_hold():
    generator = torch.Generator().manual_seed(0)
    value = torch.tensor([1.0, 1.001, -3.1415927, 1e-30, 0.0, 2.0**-133, torch.inf, -torch.inf])
    many = round_at_random(value.expand(20_000, -1), generator).double()
    spacing = torch.tensor([0, 2.0**-7, 2.0**-6])  # of bfloat16 around the first three
    error = (many[:, :3].mean(0) - value[:3]).abs()
    assert (error <= 4 * spacing / (2 * 20_000**0.5)).all()
    assert (many[:, 0] == 1).all()
    assert set(many[:, 1].unique().tolist()) == {1.0, 1.0 + 2**-7}
    assert many[0, 6:].tolist() == [np.inf, -np.inf]
    assert torch.isnan(round_at_random(torch.tensor([torch.nan]))).all()


def test_small_updates_arrive_with_random_rounding_and_are_lost_without():
    """Updates of 1e-4 on a weight of 1, where bfloat16 steps by 1/128."""
    ends = {}
    for name, optimizer in {
        "exact": torch.optim.AdamW,
        "nearest": torch.optim.AdamW,
        "random": StochasticAdamW,
    }.items():
        torch.manual_seed(0)
        dtype = torch.float32 if name == "exact" else torch.bfloat16
        weight = torch.nn.Parameter(torch.ones(4096, dtype=dtype))
        steps = optimizer([weight], lr=1e-4, weight_decay=0.0)
        for _ in range(200):
            weight.grad = torch.ones_like(weight)
            steps.step()
        ends[name] = weight.float().mean().item()
    assert ends["exact"] == pytest.approx(0.98, abs=1e-4)
    assert ends["nearest"] == 1.0
    assert ends["random"] == pytest.approx(0.98, abs=1e-3)


@pytest.mark.parametrize(
    "fields",
    [
        {"precision": "bf16-stochastic", "optimizer_states": "bf16"},
        {"precision": "bf16-stochastic"},
        {"precision": "bf16"},
        {"optimizer_states": "bf16"},
    ],
)
def test_reduced_precision_learns_what_float32_learns(fields, tmp_path):
    folder = make_model(tmp_path / "base")
    pairs = some_pairs(48)
    common = {"epochs": 4, "pairs_per_step": 8, "token_budget": 1024, "learning_rate": 3e-3}
    curves = []
    for name, more in (("exact", {}), ("reduced", fields)):
        train(settings(folder, **common, **more), pairs, output=tmp_path / name)
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").open()]
        curves.append([row["loss"] for row in rows if "loss" in row])
    assert curves[0][-1] < 0.3 * curves[0][0]
    assert np.abs(np.subtract(*curves)).max() < 0.05


def test_our_adamw_in_float32_is_adamw():
    torch.manual_seed(0)
    start = torch.randn(300)
    ends = []
    for optimizer, more in (
        (torch.optim.AdamW, {}),
        (StochasticAdamW, {"state_dtype": torch.float32}),
    ):
        weight = torch.nn.Parameter(start.clone())
        steps = optimizer([weight], lr=1e-2, weight_decay=0.1, **more)
        for i in range(20):
            weight.grad = torch.sin(weight.detach() * (i + 1))
            steps.step()
        ends.append(weight.detach())
    torch.testing.assert_close(*ends, atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match=r"allowed: torch\.float32"):
        StochasticAdamW([torch.nn.Parameter(start)], state_dtype=torch.float16)


def test_lora_trains_little_resumes_and_leaves_a_plain_merged_model(tmp_path):
    folder = make_model(tmp_path / "base")
    config = settings(
        folder, lora={"rank": 4}, epochs=2, save_every=2, keep_checkpoints=9, learning_rate=1e-2
    )
    pairs = some_pairs(16)
    model, _, examples = engine_parts(config, pairs)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == plan(config).trainable < 6000
    rewards, gradients = packed_gradients(model, examples, config, budget=256)
    assert any("score" in name for name in gradients)

    whole = train(config, pairs, output=tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    forget_after(tmp_path / "again", 2)
    assert_bit_equal(
        train(config, pairs, output=tmp_path / "again").model_folder, whole.model_folder
    )
    names = weights(whole.model_folder).keys()
    assert names == weights(folder).keys()
    plain = AutoModelForSequenceClassification.from_pretrained(whole.model_folder).eval()
    ids = torch.from_numpy(examples.sequences[0][0].astype(np.int64))[None]
    assert plain(ids).logits.item() == pytest.approx(whole.rewards(pairs)[0, 0], abs=1e-5)
    assert abs(plain(ids).logits.item() - rewards[0, 0].item()) > 1e-3


@pytest.mark.parametrize("quantize", [False, True])
def test_low_rank_matrices_have_the_type_of_the_weights_and_learn_in_bfloat16(quantize, tmp_path):
    folder = make_model(tmp_path / "base", hidden_size=64, intermediate_size=128)
    pairs = some_pairs(48)
    common = {
        "epochs": 4,
        "pairs_per_step": 8,
        "token_budget": 1024,
        "learning_rate": 3e-3,
        "lora": {"rank": 4, "quantize": quantize},
        "checkpointed_layers": 1,
    }
    curves = []
    for precision, dtype in (("float32", torch.float32), ("bf16-stochastic", torch.bfloat16)):
        config = settings(folder, **common, precision=precision)
        model, _, _ = engine_parts(config, pairs)
        assert {p.dtype for p in model.parameters() if p.requires_grad} == {dtype}
        layers = model.base_model.model.model.layers
        assert [layer.gradient_checkpointing for layer in layers] == [True, False]
        assert all(
            not p.requires_grad
            for n, p in model.named_parameters()
            if "lora" not in n and "score" not in n
        )
        train(config, pairs, output=tmp_path / precision)
        rows = [json.loads(line) for line in (tmp_path / precision / "metrics.jsonl").open()]
        curves.append([row["loss"] for row in rows if "loss" in row])
    assert curves[0][-1] < 0.5 * curves[0][0]
    assert np.abs(np.subtract(*curves)).max() < 0.1


def test_a_model_trained_in_4_bits_is_saved_whole_with_its_matrices_merged(tmp_path):
    import bitsandbytes

    folder = make_model(tmp_path / "base", hidden_size=64, intermediate_size=128)
    config = settings(
        folder,
        lora={"rank": 4, "quantize": True},
        precision="bf16-stochastic",
        epochs=4,
        save_every=3,
        keep_checkpoints=9,
        learning_rate=1e-2,
    )
    pairs = some_pairs(16)
    model, _, _ = engine_parts(config, pairs)
    held = [m for m in model.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(held) == 14
    kept = 0
    for layer in held:
        scales = layer.weight.quant_state
        kept += sum(x.nbytes for x in (layer.weight.data, scales.absmax, scales.state2.absmax))
    n = sum(2 * layer.weight.nelement() for layer in held)  # two to a byte
    assert kept == pytest.approx(n * FOUR_BITS, rel=0.02)
    assert model.get_input_embeddings().weight.dtype == torch.bfloat16
    assert not isinstance(model.score, bitsandbytes.nn.Linear4bit)

    whole = train(config, pairs, output=tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    forget_after(tmp_path / "again", 3)
    again = train(config, pairs, output=tmp_path / "again")
    assert_bit_equal(again.model_folder, whole.model_folder)
    saved = json.loads((whole.model_folder / "config.json").read_text())
    assert "quantization_config" not in saved
    assert saved["dtype"] == "bfloat16"
    last = tmp_path / "whole" / "checkpoints" / "checkpoint-16"
    from safetensors.torch import load_file

    learned = load_file(last / "adapter_model.safetensors")
    base, merged = weights(folder), weights(whole.model_folder)
    assert merged.keys() == base.keys()
    name = "model.layers.0.mlp.up_proj"
    a, b = (learned[f"base_model.model.{name}.lora_{x}.weight"].float() for x in "AB")
    change = 32.0 / 4 * b @ a  # alpha / rank
    assert change.abs().max() > 0.01
    exact = base[f"{name}.weight"].bfloat16().float() + change
    found = merged[f"{name}.weight"].float()
    assert ((found - exact).abs() <= exact.abs() / 100 + 1e-3).all()
    plain = AutoModelForSequenceClassification.from_pretrained(whole.model_folder)
    assert plain.dtype == torch.bfloat16
    assert (whole.margin(pairs) > 0).mean() > 0.8
    assert "had the base in 4 bits" in (whole.model_folder / "README.md").read_text()


def test_a_package_that_is_missing_is_named_before_anything_is_read(tmp_path, monkeypatch, capsys):
    import importlib.util

    former = importlib.util.find_spec
    for fields, package in (
        ({"lora": {"rank": 2}}, "peft"),
        ({"optimizer_states": "int8"}, "bitsandbytes"),
        ({"lora": {"quantize": True}}, "bitsandbytes"),
    ):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, p=package: None if name == p else former(name)
        )
        with pytest.raises(ValueError, match=rf"needs the package {package}: .*rulekit\[gpu\]"):
            train(settings("no such model", **fields), some_pairs(4), output=tmp_path / "run")
    some_pairs(4).write_ndjson(tmp_path / "pairs.jsonl")
    options = ["-p", "train", str(tmp_path / "pairs.jsonl"), "-p", "lora", "{quantize: true}"]
    assert main(["train", "reward", *options]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pip install 'rulekit[gpu]'" in error


# Adapter ---------------------------------------------------------------------------------------


def test_the_engine_trains_an_adapter_that_names_planted_rules(tmp_path):
    """Rule j is to be named where word j occurs; the plain folder gives the same logits."""
    from rulekit.selection.selectors import Selection

    rng = np.random.default_rng(0)
    named = np.sort(np.argsort(rng.random((400, 6)), axis=1)[:, :2], axis=1)  # two rules a pair
    rows = [
        {
            "pair_id": str(i),
            "prompt": "people",
            "preference": 1,
            "response_a": WORDS[a],
            "response_b": f"{WORDS[b]} no",
        }
        for i, (a, b) in enumerate(named)
    ]
    pairs, selection = pl.DataFrame(rows), Selection(named, "planted", 6)
    config = settings(
        make_model(tmp_path / "base"),
        task="adapter",
        epochs=12,
        pairs_per_step=20,
        k=2,
        token_budget=1024,
        learning_rate=4e-3,
        evaluation_share=0.0,
    )
    ids = [f"rule-{j}" for j in range(6)]
    done = train(
        config,
        pairs[:300],
        Selection(named[:300], "planted", 6),
        output=tmp_path / "run",
        evaluation=pairs[300:],
        evaluation_target=Selection(named[300:], "planted", 6),
        rule_ids=ids,
    )
    assert done.metrics["micro_f1"] > 0.95
    swapped = pairs.rename({"response_a": "response_b", "response_b": "response_a"})
    assert done.probabilities(swapped[300:]) == pytest.approx(
        done.probabilities(pairs[300:]), abs=1e-6
    )
    plain = AutoModelForSequenceClassification.from_pretrained(done.model_folder)
    assert plain.config.id2label == dict(enumerate(ids))
    assert plain.config.problem_type == "multi_label_classification"
    with pytest.raises(ValueError, match="not a Selection"):
        train(config, pairs[:3], selection, output=tmp_path / "x")


def test_the_command_line_trains_an_adapter_from_a_column_of_rules(tmp_path, capsys):
    import rulekit as rk

    rules = rk.RuleSet.from_texts(["It is kind.", "It is rude.", "It helps."])
    (tmp_path / "rules.yaml").write_text(
        "rules:\n" + "".join(f"- {{id: {r.id}, text: {r.text}, category: c}}\n" for r in rules)
    )
    named = [[rules.ids[i % 3], rules.ids[(i + 1) % 3]] for i in range(12)]
    some_pairs(12).with_columns(rules=pl.Series(named)).write_ndjson(tmp_path / "pairs.jsonl")
    folder = make_model(tmp_path / "base")
    (tmp_path / "run.yaml").write_text(
        f"{{model: {folder}, train: {tmp_path / 'pairs.jsonl'}, rules: {tmp_path / 'rules.yaml'}, k: 2,"
        " max_tokens: 64, token_budget: 256, max_steps: 1, evaluation_share: 0.3}\n"
    )
    run = [
        "train",
        "adapter",
        "--config",
        str(tmp_path / "run.yaml"),
        "--output",
        str(tmp_path / "run"),
    ]
    assert main([*run, "--plan"]) == 0
    assert not (tmp_path / "run").exists()
    assert main(run) == 0
    assert "micro_f1" in capsys.readouterr().out
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert rules.hash in card
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    assert list(plain.config.label2id) == list(rules.ids)
    some_pairs(12).write_ndjson(tmp_path / "pairs.jsonl")
    assert main(run) == 2
    assert "a column 'rules'" in capsys.readouterr().err
    assert main(["train", "reward", "-p", "learning_rte", "1"]) == 2
    assert "learning_rte" in capsys.readouterr().err


def test_the_command_line_names_what_is_wrong_in_one_line(tmp_path, capsys):
    some_pairs(8).write_ndjson(tmp_path / "pairs.jsonl")
    (tmp_path / "bad.yaml").write_text("epochs: [1\n")
    (tmp_path / "list.json").write_text("[1]")
    base = ["-p", "train", str(tmp_path / "pairs.jsonl"), "--output", str(tmp_path / "run")]
    for options, message in (
        (["-p", "lora", "{rank: 1"], "-p lora: "),
        (["--config", str(tmp_path / "bad.yaml")], "bad.yaml: "),
        (
            ["-p", "model", str(tmp_path / "nowhere")],
            f"model '{tmp_path}/nowhere' is no folder; allowed: ",
        ),
        (["-p", "learning_rte", "1"], "unknown setting 'learning_rte'; allowed: 'learning_rate', "),
        (
            ["--provenance", str(tmp_path / "list.json")],
            "list.json holds list; allowed: a JSON object",
        ),
        (["-p", "task", "adapter"], "-p task is 'adapter'"),
    ):
        assert main(["train", "reward", *base, *options]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert len(error) < 400


def test_a_model_that_neither_the_disk_nor_the_hub_has_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        FileNotFoundError, match=r"model 'nobody/nothing' could not be read .*; allowed: 'minilm'"
    ):
        models.load_tokenizer(settings("nobody/nothing"))
    with pytest.raises(FileNotFoundError, match="model 'no such model' could not be read"):
        models.load_tokenizer(settings("no such model"))


def test_null_on_the_command_line_unsets_and_none_in_python_leaves(tmp_path, capsys):
    folder = make_model(tmp_path / "base")
    some_pairs(8).write_ndjson(tmp_path / "pairs.jsonl")
    config = settings(folder, lora={"rank": 2}, train=str(tmp_path / "pairs.jsonl"), max_steps=1)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_config(tmp_path / "run.yaml", lora=None).lora is not None
    assert load_config(tmp_path / "run.yaml", unset=["lora"]).lora is None
    run = [
        "train",
        "reward",
        "--config",
        str(tmp_path / "run.yaml"),
        "--output",
        str(tmp_path / "r"),
    ]
    assert main([*run, "-p", "lora", "null"]) == 0
    assert "lora: null" in (tmp_path / "r" / "config.yaml").read_text()


def test_a_first_run_from_a_base_without_a_head_is_quiet(tmp_path, caplog, capfd):
    from transformers import LlamaModel
    from transformers.utils import logging

    folder = make_model(tmp_path / "base")
    LlamaModel.from_pretrained(folder).save_pretrained(folder)
    capfd.readouterr()
    caplog.clear()
    level = logging.get_verbosity()
    models.load_model(settings(folder), models.load_tokenizer(settings(folder)), ["reward"])
    assert "LOAD REPORT" not in caplog.text + "".join(capfd.readouterr())
    assert logging.get_verbosity() == level
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    lost = next(name for name in state if "up_proj" in name)
    del state[lost]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"weights missing: .*up_proj.*; allowed: only the head"):
        models.load_model(settings(folder), models.load_tokenizer(settings(folder)), ["reward"])


def test_the_rule_text_adapter_names_rules_it_never_saw(tmp_path):
    """Of the rules about a pair's topic some are held out in training and still found."""
    import rulekit as rk

    topics = [
        "cats",
        "trains",
        "recipes",
        "guns",
        "medicine",
        "money",
        "gardens",
        "music",
        "exams",
        "travel",
    ]
    forms = [
        "The response mentions {}.",
        "It gives advice about {}.",
        "It warns of dangers of {}.",
        "It asks a question about {}.",
    ]
    rules = rk.RuleSet.from_texts([form.format(topic) for topic in topics for form in forms])
    rows = [
        {
            "pair_id": f"{t}{i}",
            "prompt": f"{opening} {t}?",
            "preference": 1,
            "response_a": f"{t.capitalize()} are a fine subject, number {i}.",
            "response_b": f"I cannot talk about {t}.",
        }
        for t in topics
        for i, opening in enumerate(("What about", "Tell me more of", "Do you know"))
    ]
    pairs = pl.DataFrame(rows)
    about = np.array(
        [[4 * topics.index(t) + f for f in range(4)] for t in topics for _ in range(3)]
    )
    from rulekit.selection.selectors import Selection

    planted = Selection(about, "planted", len(rules))
    report = rk.training.held_out_rules_report(pairs, planted, rules)
    found = {row["name"]: row for row in report.iter_rows(named=True)}
    for name in ("unseen rules", "unseen rules, within a pair", "seen rules"):
        assert found[name]["value"] > 0.9
    for row in found.values():
        assert row["low"] <= row["value"] <= row["high"] <= 1
    copies = pairs.with_columns(pair_id=pl.format("{}-", "pair_id"))
    twice = rk.training.held_out_rules_report(
        pl.concat([pairs, copies]), Selection(np.concatenate([about, about]), "planted", 40), rules
    )
    widths = [frame["high"][3] - frame["low"][3] for frame in (report, twice)]
    assert widths[1] == pytest.approx(widths[0])  # of the similarity: copies are the same prompts
    adapter = rk.training.train_rule_text_adapter(pairs, planted, rules, epochs=100)
    back = rk.training.RuleTextAdapter.load(adapter.save(tmp_path / "a.npz"))
    new = rk.RuleSet.from_texts(["It names a kind of piano.", "It speaks of pistols."])
    assert (back.logits(pairs, new) == adapter.logits(pairs, new)).all()
    assert adapter.probabilities(pairs, new).shape == (30, 2)
    assert adapter.select(pairs, rules, 3).k == 3
    with pytest.raises(ValueError, match="selection is of 40 rules"):
        rk.training.train_rule_text_adapter(pairs, planted, new)


def is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


DRIVER = """
import sys
import polars as pl
from rulekit.training.launcher import follow, launch

folder, base = sys.argv[1:3]
frames = [pl.read_parquet(f"{folder}/{name}.parquet") for name in ("labelled", "held")]
process = launch(
    "reward", "encoder-cpu", folder + "/run", *frames, model=base, objective="margin", max_tokens=64,
    token_budget=256, pairs_per_step=8, max_steps=300, revision=None,
    provenance={"data": "words", "rule_set": "abc123", "label_method": "sum", "selector": "top 5"},
)
print(process.pid, flush=True)
follow(process, folder + "/run", every=0.1)
"""


def test_a_kernel_that_is_interrupted_and_killed_leaves_its_run_to_finish(tmp_path):
    """Both signals go to its whole process group, as Jupyter sends them."""
    (tmp_path / "driver.py").write_text(DRIVER)
    for name, seed in (("labelled", 0), ("held", 1)):
        frame = some_pairs(32, seed=seed).with_columns(evidence=pl.lit(0.5))
        frame.write_parquet(tmp_path / f"{name}.parquet")
    driver = subprocess.Popen(
        [
            sys.executable,
            str(tmp_path / "driver.py"),
            str(tmp_path),
            str(make_model(tmp_path / "base")),
        ],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    run = tmp_path / "run"
    line = driver.stdout.readline()
    assert line, driver.communicate()[1]
    number = int(line)
    try:
        wait_for(lambda: len(read_metrics(run)) >= 3, driver)
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(timeout=60) != 0
        with contextlib.suppress(ProcessLookupError):  # nobody else is in the group
            os.killpg(driver.pid, signal.SIGKILL)
        wait_for(lambda: (run / "result.json").exists() or not is_alive(number))
    finally:
        driver.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    metrics = read_metrics(run)
    assert metrics["loss"].drop_nulls().len() == 300
    card = (run / "model" / "README.md").read_text()
    for line in ("data: words", "rule set: abc123", "label method: sum", "selector: top 5"):
        assert f"- {line}\n" in card


def test_metrics_are_read_while_they_are_written_and_drawn(command_line_run, tmp_path):
    assert read_metrics(tmp_path).is_empty()
    assert main(command(command_line_run, tmp_path / "run", "-p", "max_steps", "3")) == 0
    metrics = read_metrics(tmp_path / "run")
    assert metrics["loss"].drop_nulls().len() == 3
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    assert read_metrics(tmp_path / "run").equals(metrics)
    panels = curves(metrics).to_dict()["concat"]
    titles = [panel["encoding"]["y"]["title"] for panel in panels]
    assert titles == [
        "loss",
        "accuracy",
        "margin (reward units)",
        "learning rate",
        "tokens a second",
    ]
    assert follow(subprocess.Popen([sys.executable, "-c", "exit(3)"]), tmp_path, every=0.2) == 3


def test_tensorboard_files_are_written_when_asked_for(tmp_path):
    config = settings(make_model(tmp_path / "base"), max_steps=1, tensorboard=True)
    train(config, some_pairs(4), output=tmp_path / "run")
    assert list((tmp_path / "run").rglob("events.out.tfevents.*"))


# Several processes -----------------------------------------------------------------------------

WORKER = """
import os, shutil, sys
from pathlib import Path
import polars as pl
import torch
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from rulekit.training.engine import train
from rulekit.training.trainer import PackedTrainer

torch.set_num_threads(1)
folder, pairs = Path(sys.argv[1]), pl.read_ndjson(sys.argv[2])
former = PackedTrainer.training_step
def step(self, model, inputs, n=None):
    if self.config.fsdp:
        assert all(isinstance(p.data, DTensor) for p in model.parameters()), "not sharded"
    else:
        assert isinstance(model, DistributedDataParallel), "not wrapped"
    return former(self, model, inputs, n)
PackedTrainer.training_step = step
rounded = {"precision": "bf16-stochastic", "fsdp": True}
for name, fields in (("exact", {"fsdp": True}), ("ddp", {}), ("lora", {"fsdp": True, "lora": {"rank": 4}}),
                     ("rounded", rounded), ("again", rounded)):
    done = train(folder / "run.yaml", pairs, output=folder / name, save_every=2, keep_checkpoints=9, token_budget=128, **fields)
    again = train(folder / "run.yaml", pairs, output=folder / name, token_budget=128, **fields)
    assert again.metrics == done.metrics or os.environ["RANK"] != "0"
    torch.distributed.barrier()
    if os.environ["RANK"] == "0" and name == "rounded":
        shutil.copytree(folder / "rounded/checkpoints/checkpoint-2", folder / "again/checkpoints/checkpoint-2")
    torch.distributed.barrier()
"""


@pytest.mark.slow
def test_two_processes_give_the_one_process_result_and_resume_to_the_same_bits(tmp_path):
    """gloo on loopback, sharded or not; the worker asserts that it really is the one or the other."""
    (tmp_path / "worker.py").write_text(WORKER)
    pairs = some_pairs(32)
    pairs.write_ndjson(tmp_path / "pairs.jsonl")
    make_model(tmp_path / "base")
    (tmp_path / "run.yaml").write_text(
        f"{{preset: encoder-cpu, model: {tmp_path / 'base'}, max_tokens: 64, token_budget: 1024,"
        " pairs_per_step: 8, learning_rate: 0.001, evaluation_share: 0.2}\n"
    )
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            "2",
            "--standalone",
            str(tmp_path / "worker.py"),
            str(tmp_path),
            str(tmp_path / "pairs.jsonl"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        out, _ = process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out[-3000:]
    for one, several in (({}, ("exact", "ddp")), ({"lora": {"rank": 4}}, ("lora",))):
        alone = tmp_path / f"one-{several[0]}"
        train(tmp_path / "run.yaml", pairs, output=alone, **one)
        for name in several:
            for key, weight in weights(alone / "model").items():
                found = weights(tmp_path / name / "model")[key]
                torch.testing.assert_close(found, weight, atol=1e-5, rtol=0)
            metrics = [read_metrics(folder) for folder in (tmp_path / name, alone)]
            for column in ("loss", "grad_norm", "accuracy", "eval_loss", "eval_accuracy"):
                found, expected = (m[column].drop_nulls().to_numpy() for m in metrics)
                assert found == pytest.approx(expected, rel=1e-4, abs=1e-6), (name, column)
                assert len(found) == (1 if "eval" in column else 4)
    assert_bit_equal(tmp_path / "again" / "model", tmp_path / "rounded" / "model")
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "rounded" / "model")

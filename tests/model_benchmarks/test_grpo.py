"""A saved reward model is a reward in TRL's GRPO as it is: same rewards as here, and they rise."""

import numpy as np
import pytest
import torch

from rulekit import benchmarks
from tests.training.helpers import SIZES, make_tokenizer

trl = pytest.importorskip("trl")


@pytest.mark.filterwarnings("ignore")
def test_rewards_are_those_of_the_kit_and_rise(rewards, tmp_path):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, LlamaConfig

    tokenizer = make_tokenizer("<pad>")
    torch.manual_seed(0)
    named = {n: getattr(tokenizer, n) for n in ("pad_token_id", "bos_token_id", "eos_token_id")}
    policy = AutoModelForCausalLM.from_config(
        LlamaConfig(**SIZES, vocab_size=len(tokenizer), **named)
    )
    policy.save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    prompts = ["kind answer", "rude people", "help me please", "no thanks"]
    asked = [[{"role": "user", "content": text}] for text in prompts * 40]
    trainer = trl.GRPOTrainer(
        model=str(tmp_path / "policy"),
        reward_funcs=str(rewards[0]),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path / "run"),
            per_device_train_batch_size=16,
            num_generations=8,
            max_completion_length=6,
            max_steps=40,
            learning_rate=5e-3,
            logging_steps=1,
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_list([{"prompt": p} for p in asked]),
    )
    seen = []
    plain = trainer._calculate_rewards

    def kept(inputs, prompts, completions, *more):
        found = plain(inputs, prompts, completions, *more)
        seen.append((prompts, completions, found[:, 0].tolist()))
        return found

    trainer._calculate_rewards = kept
    trainer.train()
    prompts, completions, theirs = seen[0]
    questions = [(p, (c[0]["content"],)) for p, c in zip(prompts, completions, strict=True)]
    assert benchmarks.scorer(rewards[0]).read(questions).scores == pytest.approx(theirs, abs=1e-5)
    means = [np.mean(found) for _, _, found in seen]
    assert np.mean(means[-8:]) > np.mean(means[:8]) + 0.1

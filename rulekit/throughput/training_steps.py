"""Steps of the kit's trainer and of TRL's on the same pairs in the same order, each with its seconds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from rulekit.throughput.clock import Clock
from rulekit.throughput.random_models import MAX_TOKENS, device
from rulekit.training import batches, load_config, models


def rulekit_steps(
    folder: Path, examples: batches.Examples, **fields
) -> tuple[list[float], list[dict]]:
    """Seconds of each step of the kit's trainer, and the rows of its log.

    Parameters
    ----------
    folder
        Of the model; with `random_weights` only its configuration is read.
    examples
        Pairs as tokens.
    fields
        Of `TrainingConfig`.
    """
    with tempfile.TemporaryDirectory() as output:
        trainer, clock = trainer_of(folder, examples, output, save_every=0, **fields)
        trainer.args.save_strategy = "no"  # a checkpoint of 8B takes 46 GB
        trainer.train()
    return clock.seconds, [row for row in trainer.state.log_history if "loss" in row]


def trainer_of(folder: Path, examples: batches.Examples, output: str | Path, **fields):
    """The kit's trainer of a model's folder, and the clock that is in it."""
    from rulekit.training.trainer import PackedTrainer

    given = {"model": str(folder), "max_tokens": MAX_TOKENS, "evaluation_share": 0.0}
    config, clock = load_config(given | fields), Clock()
    tokenizer = models.load_tokenizer(config)
    with device():  # 8B random weights take minutes on a CPU
        model = models.load_model(config, tokenizer, ["reward"], device())
    return PackedTrainer(config, model, tokenizer, examples, None, output, [clock]), clock


def order_of(examples: batches.Examples, pairs: int, budget: int) -> list[int]:
    """The order in which the kit's trainer takes the examples."""
    steps = batches.Steps(examples.tokens, pairs, budget, seed=0)
    return [int(row) for step in steps for part in step for row in part.rows]


def trl_steps(
    folder: Path,
    examples: batches.Examples,
    pairs: int,
    budget: int,
    *,
    half: bool = False,
    passes: int = 1,
    lora_rank: int | None = None,
    **fields,
) -> list[float]:
    """Seconds of each step of TRL's trainer on the same pairs in the same order.

    Parameters
    ----------
    folder, examples
        As above.
    pairs, budget
        Pairs of a step and tokens of a pass of the kit's trainer, which decide the order.
    half
        Train bfloat16 weights from a configuration and compute activations again.
    passes
        Forward passes of a step.
    lora_rank
        Train low-rank matrices of this rank instead of all weights.
    fields
        Of `trl.RewardConfig`.
    """
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig
    from transformers.trainer_callback import PrinterCallback
    from trl import RewardConfig, RewardTrainer

    names = ("chosen_ids", "rejected_ids")
    rows = [
        dict(zip(names, (ids.tolist() for ids in examples.sequences[i]), strict=True))
        for i in order_of(examples, pairs, budget)
    ]
    if half:
        described = LlamaConfig.from_pretrained(folder)
        with device():
            model = AutoModelForSequenceClassification.from_config(described, dtype=torch.bfloat16)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    lora = None
    if lora_rank:
        from peft import LoraConfig

        lora = LoraConfig(
            task_type="SEQ_CLS", r=lora_rank, lora_alpha=32, target_modules="all-linear"
        )
    clock = Clock()
    with tempfile.TemporaryDirectory() as output:
        trainer = RewardTrainer(
            model,
            RewardConfig(
                output_dir=output,
                per_device_train_batch_size=pairs // passes,
                gradient_accumulation_steps=passes,
                num_train_epochs=1,
                train_sampling_strategy="sequential",
                bf16=half,
                gradient_checkpointing=half,
                use_cpu=device().type != "cuda",
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                max_length=MAX_TOKENS,
                logging_steps=1,
                **fields,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(folder),
            callbacks=[clock],
            peft_config=lora,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.seconds

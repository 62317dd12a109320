"""The training loop: transformers' Trainer, fed with packed steps and made to survive.

What differs from it: a step is a list of packed passes whose weighted losses add up to the mean
over the step's pairs; a loss or gradient that is not finite stops the run and names the pairs; a
checkpoint appears under its name only once all of it is on disk; a signal saves and stops.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path

import numpy as np
import torch
from transformers import Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback, TrainerState
from transformers.trainer_utils import rotate_checkpoints

from rulekit.training.batches import Examples, Steps, in_order, pack
from rulekit.training.config import TrainingConfig
from rulekit.training.evaluation import held_out_metrics
from rulekit.training.models import packed_inputs
from rulekit.training.objectives import losses
from rulekit.training.run_folder import CHECKPOINTS, newest_checkpoint

_NEVER = 1 << 40  # steps


class PackedTrainer(Trainer):
    """Trains a model from `rulekit.training.models.load_model` on `Examples`.

    Parameters
    ----------
    config
        Settings of the run.
    model, tokenizer
        From `rulekit.training.models`.
    examples, evaluation
        Tokenised examples; `evaluation` may be None.
    output
        Folder of the run; checkpoints go into ``checkpoints`` below it.
    callbacks
        Further callbacks of transformers.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model,
        tokenizer,
        examples: Examples,
        evaluation: Examples | None,
        output: str | Path,
        callbacks=(),
    ) -> None:
        self.config, self.examples, self.evaluation = config, examples, evaluation
        self.output = Path(output)
        self._checkpoint_folder: Path | None = None  # set while a checkpoint is being written
        self._window = _Window()
        args = arguments(config, self.output, evaluation is not None)
        self.sharded = config.fsdp and args.world_size > 1
        super().__init__(
            model=model,
            args=args,
            train_dataset=examples,
            eval_dataset=evaluation,
            processing_class=tokenizer,
            data_collator=list,
            callbacks=list(callbacks),
        )
        self.remove_callback(PrinterCallback)
        if self.sharded:
            from rulekit.training import sharding

            self._sharding = sharding
            sharding.shard(self.model, self.args.device)
            # The Trainer then neither moves nor wraps the model.
            self.is_distributed_loading_by_transformers = True
            self.place_model_on_device = False

    def _move_model_to_device(self, model, device: torch.device) -> None:
        """Leave a model that will be sharded on the CPU: it need not fit on one device."""
        if not self.sharded:
            super()._move_model_to_device(model, device)

    # Steps ---------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> torch.utils.data.DataLoader:
        steps = Steps(
            self.examples.tokens,
            self.config.pairs_per_step,
            self.config.token_budget,
            self.config.seed,
            self.args.process_index,
            self.args.world_size,
        )
        return _StepLoader(self.examples, batch_sampler=steps, collate_fn=list)

    def training_step(self, model, inputs: list[dict], num_items_in_batch=None) -> torch.Tensor:
        """Forward and backward of all passes of a step; returns the mean loss over its pairs."""
        model.train()
        total, processes = 0.0, self.args.world_size
        for number, batch in enumerate(inputs):
            last = number == len(inputs) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                batch = _on(batch, self.args.device)
                logits, each = self.losses_of(model, batch)
                # Gradients are averaged over processes, whereas the weights sum to 1 over all.
                loss = (each * batch["weight"]).sum() * processes
                self.accelerator.backward(loss)
            total = total + loss.detach()
            self._window.add(batch, logits.detach(), each.detach(), self.config)
        self._step_names = [self.examples.names[i] for batch in inputs for i in batch["rows"]]
        if not torch.isfinite(total):
            self._refuse(
                "loss", [n for n, bad in self._window.last_step(inputs, self.examples) if bad]
            )
        self._window.end_step()
        return total

    def losses_of(self, model, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of a pass that lies on the device, and the loss of each of its examples, (n,)."""
        with self.compute_loss_context_manager():
            logits = model(**packed_inputs(batch, self.args.device))
        return logits, losses(logits.float(), batch, self.config)

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if not torch.isfinite(torch.as_tensor(norm)):
            self._refuse("gradient", self._step_names)
        return norm

    def _refuse(self, what: str, names: list[str]) -> None:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        newest = newest_checkpoint(self.output)
        good = f"the last good checkpoint is {newest}" if newest else "there is no checkpoint yet"
        raise FloatingPointError(
            f"the {what} of step {self.state.global_step + 1} is not finite; pairs: {shown}. The "
            f"weights of step {self.state.global_step} are untouched by it; {good}"
        )

    def create_optimizer(self, model=None):
        if self.optimizer is not None:
            return self.optimizer
        model = model or self.model
        if needs_own_optimizer(self.config):
            from rulekit.training.optimizers import StochasticAdamW

            decayed = set(self.get_decay_parameter_names(model))
            named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
            groups = [
                {
                    "params": [p for n, p in named if n in decayed],
                    "weight_decay": self.args.weight_decay,
                },
                {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0},
            ]
            states = torch.bfloat16 if self.config.optimizer_states == "bf16" else torch.float32
            self.optimizer = StochasticAdamW(
                groups, lr=self.args.learning_rate, betas=self.config.betas, state_dtype=states
            )
        else:
            super().create_optimizer(model)
        # A group without parameters (biases, under LoRA) cannot be restored from a sharded state.
        self.optimizer.param_groups[:] = [g for g in self.optimizer.param_groups if g["params"]]
        return self.optimizer

    def floating_point_ops(self, inputs) -> float:
        return 0.0  # counted from the real tokens by the benchmark, not from padded shapes

    # Logs ----------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= self._window.read(self.args.device, self.args.world_size)
            if torch.cuda.is_available():
                logs["peak_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        super().log(logs)

    def predict_logits(self, examples: Examples) -> np.ndarray:
        """Logits of all examples, (n_examples, 2) rewards or (n_examples, n_rules)."""
        model, args = self.model_wrapped, self.args
        if model is self.model and args.world_size == 1:
            model = self._wrap_model(model, training=False).to(args.device)
        was_training = model.training
        model.eval()
        found = []
        for part in in_order(
            examples.tokens, self.config.token_budget, args.process_index, args.world_size
        ):
            batch = pack(examples, part)
            with torch.no_grad(), self.compute_loss_context_manager():
                logits = model(**packed_inputs(batch, args.device))
            found.append((part.rows, logits.float().view(len(part.rows), -1).cpu().numpy()))
        model.train(was_training)
        if args.world_size > 1:
            everyone: list = [None] * args.world_size
            torch.distributed.all_gather_object(everyone, found)
            found = [piece for process in everyone for piece in process]
        out = np.empty((len(examples), found[0][1].shape[1]), dtype=np.float32)
        for rows, logits in found:
            out[rows] = logits
        return out

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        """Loss and accuracy with a 95 % interval on the held-out examples."""
        metrics = held_out_metrics(
            self.predict_logits(self.evaluation), self.evaluation, self.config
        )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    # Checkpoints ---------------------------------------------------------------------------------

    def _get_output_dir(self, trial) -> str:
        return str(self._checkpoint_folder or self.output / CHECKPOINTS)

    def _save_checkpoint(self, model, trial) -> None:
        """Write beside the good checkpoints, then rename: a full disk costs only the new one."""
        home = self.output / CHECKPOINTS
        self._checkpoint_folder = staging = home / ".writing"
        main = self.args.should_save
        if main:
            shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        try:
            super()._save_checkpoint(model, trial)
        except Exception as error:  # safetensors raises a class of its own for a full disk
            if main:
                shutil.rmtree(staging, ignore_errors=True)
            raise OSError(
                f"the checkpoint of step {self.state.global_step} could not be written to {home} "
                f"({error}); the last complete one is untouched"
            ) from error
        finally:
            self._checkpoint_folder = None
        self.accelerator.wait_for_everyone()
        if main:
            target = home / f"checkpoint-{self.state.global_step}"
            shutil.rmtree(target, ignore_errors=True)
            (staging / target.name).rename(target)
            staging.rmdir()
            rotate_checkpoints(str(home), self.config.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        if not self.sharded:
            return super().save_model(output_dir, _internal_call)
        state = self._sharding.whole_state(self.model)
        if self.args.should_save:
            self._save(output_dir, state_dict=state)
        return None

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.sharded:
            return super()._save_optimizer_and_scheduler(output_dir)
        self._sharding.save_optimizer(self.model, self.optimizer.optimizer, output_dir)
        if self.args.should_save:
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")
        return None

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model=None) -> None:
        if self.sharded:
            self._sharding.load_weights(self.model, resume_from_checkpoint)
        elif self.config.lora:  # the Trainer would load them as a new adapter, in float32
            import peft

            state = peft.load_peft_weights(resume_from_checkpoint, device="cpu")
            peft.set_peft_model_state_dict(self.model, state)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if not self.sharded or checkpoint is None:
            return super()._load_optimizer_and_scheduler(checkpoint)
        self._sharding.load_optimizer(self.model, self.optimizer.optimizer, checkpoint)
        scheduler = torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True)
        return self.lr_scheduler.load_state_dict(scheduler)

    def take_up(self, checkpoint: str) -> None:
        """Put in the weights and the state of a checkpoint behind which there is nothing to train."""
        self._load_from_checkpoint(checkpoint)
        self.state = TrainerState.load_from_json(str(Path(checkpoint) / TRAINER_STATE_NAME))

    def whole_state(self) -> dict[str, torch.Tensor] | None:
        """All weights of a sharded model; None of a model that every process has whole."""
        return self._sharding.whole_state(self.model) if self.sharded else None


def needs_own_optimizer(config: TrainingConfig) -> bool:
    """Whether updates or states are rounded at random."""
    return config.precision == "bf16-stochastic" or config.optimizer_states == "bf16"


def arguments(config: TrainingConfig, output: Path, evaluates: bool) -> TrainingArguments:
    """The Trainer's arguments for a run."""
    reports = []
    if config.tensorboard:
        reports = ["tensorboard"]
    every = {"eval": config.evaluate_every if evaluates else 0, "logging": config.log_every}
    # With the strategy `steps` the last one always leaves a checkpoint; below 1 it is a share.
    between = 0.1 if config.save_every is None else config.save_every or _NEVER
    strategies = {"save_strategy": "steps", "save_steps": between}
    for name, steps in every.items():
        strategies[f"{name}_strategy"] = "steps" if steps else "no"
        if steps:
            strategies[f"{name}_steps"] = steps
    return TrainingArguments(
        output_dir=str(output / CHECKPOINTS),
        per_device_train_batch_size=config.pairs_per_step,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        adam_beta1=config.betas[0],
        adam_beta2=config.betas[1],
        max_grad_norm=config.max_grad_norm,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(
            config.schedule, config.schedule
        ),
        warmup_steps=int(config.warmup) if config.warmup >= 1 else config.warmup,
        bf16=config.precision == "bf16",
        optim="adamw_bnb_8bit" if config.optimizer_states == "int8" else "adamw_torch",
        use_cpu=not torch.cuda.is_available(),
        seed=config.seed,
        report_to=reports,
        disable_tqdm=True,
        remove_unused_columns=False,
        logging_nan_inf_filter=False,
        accelerator_config={"dispatch_batches": False},
        ddp_find_unused_parameters=False,
        **strategies,
    )


class _StepLoader(torch.utils.data.DataLoader):
    """Hands the epoch on to the sampler, which orders the steps by it."""

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)


class _Window:
    """Sums over the steps since the last log: pairs, right ones, margins, tokens, seconds."""

    def __init__(self) -> None:
        self.sums, self.started = torch.zeros(4), time.perf_counter()
        self._bad: list[torch.Tensor] = []

    def add(self, batch: dict, logits: torch.Tensor, each: torch.Tensor, config) -> None:
        real = batch["weight"] > 0
        found = torch.zeros(4, device=each.device)
        found[0] = real.sum()
        found[3] = batch["input_ids"].shape[1] if bool(real.any()) else 0
        if config.task == "reward":
            a, b = logits.view(-1, 2).unbind(dim=1)
            signed = (a - b) * torch.sign(batch["target"] - 0.5)
            found[1] = ((torch.sign(signed) + 1) / 2)[real].sum()
            found[2] = signed[real].sum()
        self.sums = self.sums.to(found.device) + found
        self._bad.append(~torch.isfinite(each))

    def last_step(self, inputs: list[dict], examples: Examples):
        """(name, whether its loss is not finite) of each example of the step."""
        for batch, bad in zip(inputs, self._bad, strict=True):
            for row, wrong in zip(batch["rows"], bad.tolist(), strict=True):
                yield examples.names[row], wrong

    def end_step(self) -> None:
        self._bad = []

    def read(self, device: torch.device, processes: int) -> dict[str, float]:
        sums = self.sums.to(device)
        if processes > 1:
            torch.distributed.all_reduce(sums)
        pairs, right, margin, tokens = sums.tolist()
        seconds = time.perf_counter() - self.started
        self.__init__()
        found = {"tokens_per_second": tokens / seconds, "tokens": int(tokens)}
        if right or margin:
            found |= {"accuracy": right / pairs, "margin": margin / pairs}
        return found


def _on(batch: dict, device: torch.device) -> dict:
    return {
        k: v.to(device, non_blocking=True) if torch.is_tensor(v) else v for k, v in batch.items()
    }

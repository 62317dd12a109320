"""The training loop of a language-model judge: the kit's packed trainer over token trees."""

from __future__ import annotations

import numpy as np
import torch

from rulekit.training.batches import in_order
from rulekit.training.language_judge_losses import answer_losses, rating_measures
from rulekit.training.trainer import PackedTrainer
from rulekit.training.tree_passes import NAME


class LanguageJudgeTrainer(PackedTrainer):
    """Trains a causal model on `JudgeExamples`.

    Parameters
    ----------
    given
        Settings, model, tokenizer, examples, folder and callbacks, as for `PackedTrainer`.
    spellings
        Token ids with which each answer can begin.
    """

    def __init__(self, *given, spellings: dict[str, list[int]]) -> None:
        self.spellings = spellings
        self._seen: list[tuple[np.ndarray, list[np.ndarray]]] = []  # since the last log
        super().__init__(*given)
        self.model.set_attn_implementation(NAME)

    def losses_of(self, model, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
        """As the parent's; what is predicted before it is learned is kept for the log."""
        row = batch["row"].to(self.args.device)
        with self.compute_loss_context_manager():
            logits = model(**row.inputs()).logits[0]
        targets = [t.to(self.args.device) for t in batch["targets"]]
        each, logs = answer_losses(logits.float(), targets, self.spellings)
        if bool((batch["weight"] > 0).any()):
            kept = [t.numpy() for t in batch["targets"]]
            self._seen.append((logs.detach().float().cpu().numpy(), kept))
        return logits, each

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs and self._seen:
            found = rating_measures(
                np.concatenate([x for x, _ in self._seen]), [t for _, ts in self._seen for t in ts]
            )
            logs |= {k: v for k, v in found.items() if not k.endswith(("_low", "_high"))}
            logs["ratings"] = sum(len(t) for _, ts in self._seen for t in ts)
            self._seen = []
        super().log(logs, start_time)

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval"):
        """Loss and areas under the curve on the held-out ratings."""
        model, args, examples = self.model, self.args, self.evaluation
        model.set_attn_implementation(NAME)
        was_training = model.training
        model.eval()
        found: list[tuple[np.ndarray, np.ndarray, float]] = []
        for part in in_order(
            examples.tokens, self.config.token_budget, args.process_index, args.world_size
        ):
            batch = examples[part]
            with torch.no_grad(), self.compute_loss_context_manager():
                logits = model(**batch["row"].to(args.device).inputs()).logits[0]
            targets = [t.to(args.device) for t in batch["targets"]]
            each, logs = answer_losses(logits.float(), targets, self.spellings)
            found.append((part.rows, logs.cpu().numpy(), each.cpu().numpy()))
        model.train(was_training)
        if args.world_size > 1:
            everyone: list = [None] * args.world_size
            torch.distributed.all_gather_object(everyone, found)
            found = [piece for process in everyone for piece in process]
        measures = {
            "loss": float(np.concatenate([e for _, _, e in found]).mean()),
            "n": examples.n_ratings,
        }
        targets = [examples.target[i] for rows, _, _ in found for i in rows]
        measures |= rating_measures(np.concatenate([x for _, x, _ in found]), targets)
        measures = {f"{metric_key_prefix}_{name}": value for name, value in measures.items()}
        self.log(measures)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, measures
        )
        return measures

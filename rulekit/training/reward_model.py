"""Reward model: a scalar head on the encoder, trained with the Bradley–Terry loss on labelled pairs.

With `layers=0` the encoder is frozen and the head is a convex fit on cached vectors, seconds on a
laptop; with more, the top layers are fine-tuned together with the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from rulekit.encoder import MAX_TOKENS, Encoder
from rulekit.encoder import folder as encoder_folder
from rulekit.files import write_atomically
from rulekit.inputs.pairs import folds
from rulekit.training.config import TrainingConfig

if TYPE_CHECKING:
    from rulekit.training.engine import TrainedModel


class RewardModelConfig(BaseModel):
    """Settings of a reward model; an unknown key is an error.

    Attributes
    ----------
    layers
        How many of the encoder's top layers are fine-tuned, 0 (frozen) to 6.
    l2
        Ridge penalty on the head when the encoder is frozen, positive.
    epochs, batch_size, learning_rate, weight_decay
        Of AdamW when layers are fine-tuned; batch_size in pairs.
    seed
        Of initialisation and order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: int = Field(0, ge=0, le=6)
    l2: float = Field(30.0, gt=0)
    epochs: int = Field(1, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(5e-5, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class RewardModel:
    """Reward of a response: a scalar, only differences between responses to one prompt mean anything."""

    network: object  # torch.nn.Module: encoder with a scalar head, or the head alone
    config: RewardModelConfig

    def rewards(self, responses: list[str]) -> np.ndarray:
        """Reward of each response, (n_responses,)."""
        import torch

        with torch.inference_mode():
            if self.config.layers == 0:
                return self.network(_frozen(responses)).squeeze(-1).numpy()
            parts = [self.network(responses[i : i + 32]) for i in range(0, len(responses), 32)]
        return torch.cat(parts).numpy()

    def margin(self, pairs: pl.DataFrame) -> np.ndarray:
        """reward(A) - reward(B) of each pair, (n_pairs,)."""
        a, b = (self.rewards(pairs[c].to_list()) for c in ("response_a", "response_b"))
        return a - b

    def save(self, path: str | Path) -> Path:
        """Write weights and configuration as one file, atomically."""
        import torch

        content = {"config": self.config.model_dump(), "weights": self.network.state_dict()}
        return write_atomically(path, lambda p: torch.save(content, p))

    @classmethod
    def load(cls, path: str | Path) -> RewardModel:
        """Read what `save` wrote."""
        import torch

        content = torch.load(path, weights_only=True)
        config = RewardModelConfig(**content["config"])
        network = _head(config.seed) if config.layers == 0 else _network(config)
        network.load_state_dict(content["weights"])
        return cls(network.eval(), config)


def train_reward_model(
    pairs: pl.DataFrame,
    target,
    config: RewardModelConfig | TrainingConfig | str | None = None,
    *,
    output: str | Path | None = None,
    **settings,
) -> RewardModel | TrainedModel:
    """Train on pairs with the Bradley–Terry loss.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    target
        P(the first response is preferred), (n_pairs,), in [0, 1]: hard labels are 1 and 0, soft
        labels between; NaN leaves the pair out.
    config, settings
        A `RewardModelConfig`, or its fields: the encoder here. A `TrainingConfig`, the name of a
        preset or a YAML file, with fields overridden: the engine, any model (see
        `rulekit.training.train`, which takes more arguments).
    output
        Folder of the engine's run.

    Returns
    -------
    A model with `margin`, from the encoder or from the engine.

    Raises
    ------
    ValueError
        If the lengths differ, a target is out of range or no pair has one.

    Notes
    -----
    Minimises -t log σ(r_A - r_B) - (1 - t) log σ(r_B - r_A) over the pairs.

    References
    ----------
    R. A. Bradley, M. E. Terry, "Rank analysis of incomplete block designs", Biometrika (1952).
    """
    if isinstance(config, TrainingConfig | str):
        from rulekit.training.engine import train

        if output is None:
            raise ValueError("output is None; allowed: the folder of the engine's run")
        return train(config, pairs, target, output=output, **settings)
    config = config or RewardModelConfig(**settings)
    target = np.asarray(target, dtype=np.float64)
    if target.shape != (len(pairs),):
        raise ValueError(f"target has shape {target.shape}; allowed: ({len(pairs)},), as the pairs")
    known = ~np.isnan(target)
    if ((target[known] < 0) | (target[known] > 1)).any():
        raise ValueError("target holds values outside of [0, 1]")
    if not known.any():
        raise ValueError("no pair has a target; every label is a tie")
    pairs, target = pairs.filter(pl.Series(known)), target[known]
    fit = _fit_frozen if config.layers == 0 else _fine_tune
    return RewardModel(fit(pairs, target, config).eval(), config)


def cross_fit_rewards(
    pairs: pl.DataFrame,
    target,
    n_folds: int = 5,
    config: RewardModelConfig | None = None,
    **settings,
) -> np.ndarray:
    """Margin of each pair from a reward model that has not seen its prompt, (n_pairs,).

    Parameters
    ----------
    pairs, target
        As for `train_reward_model`.
    n_folds
        Models trained, each on the prompts of all other folds.
    config, settings
        A `RewardModelConfig`, or its fields; its seed divides the prompts too.
    """
    config = config or RewardModelConfig(**settings)
    fold, target = (
        np.array(folds(pairs, n_folds, config.seed)),
        np.asarray(target, dtype=np.float64),
    )
    out = np.empty(len(pairs))
    for f in range(n_folds):
        train, test = pl.Series(fold != f), pl.Series(fold == f)
        model = train_reward_model(pairs.filter(train), target[fold != f], config)
        out[fold == f] = model.margin(pairs.filter(test))
    return out


def _frozen(responses: list[str]):
    import torch

    vectors = Encoder.load().embed(responses)
    return torch.from_numpy(vectors * np.sqrt(np.float32(vectors.shape[1])))


def _head(seed: int):
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Linear(Encoder.load().model.config.hidden_size, 1, bias=False)


def _fit_frozen(pairs: pl.DataFrame, target: np.ndarray, config: RewardModelConfig):
    """Ridge-penalised logistic regression on differences of vectors, without an intercept."""
    import torch
    from sklearn.linear_model import LogisticRegression

    a, b = (_frozen(pairs[c].to_list()).numpy() for c in ("response_a", "response_b"))
    x = (a - b).astype(np.float64)
    # A soft target is both classes, each with its share: the loss sums over pairs, the penalty is
    # l2 for their mean.
    fit = LogisticRegression(
        C=1 / (config.l2 * len(x)), fit_intercept=False, tol=1e-8, max_iter=1000
    )
    fit.fit(
        np.concatenate([x, x]),
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    head = _head(config.seed)
    head.weight.data = torch.from_numpy(fit.coef_).float()
    return head.requires_grad_(False)


def _network(config: RewardModelConfig):
    """The encoder with mean pooling and a scalar head; only the top layers are trainable."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    class ScalarHead(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = AutoModel.from_pretrained(encoder_folder(), add_pooling_layer=False)
            self.head = torch.nn.Linear(self.encoder.config.hidden_size, 1, bias=False)
            self.tokenizer = AutoTokenizer.from_pretrained(encoder_folder())

        def forward(self, texts: list[str]):
            inputs = self.tokenizer(
                texts, truncation=True, max_length=MAX_TOKENS, padding=True, return_tensors="pt"
            )
            hidden = self.encoder(**inputs).last_hidden_state  # (n_texts, length, dim)
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            return self.head((hidden * mask).sum(1) / mask.sum(1)).squeeze(-1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = ScalarHead()
    network.encoder.requires_grad_(False)
    for layer in network.encoder.encoder.layer[-config.layers :]:
        layer.requires_grad_(True)
    return network


def _fine_tune(pairs: pl.DataFrame, target: np.ndarray, config: RewardModelConfig):
    import torch
    from tqdm.auto import tqdm

    network = _network(config).train()
    trainable = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trainable, lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-len(pairs) // config.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, steps, pct_start=0.1
    )
    a, b = pairs["response_a"].to_list(), pairs["response_b"].to_list()
    t = torch.as_tensor(target, dtype=torch.float32)
    order = torch.Generator().manual_seed(config.seed)
    with torch.random.fork_rng(devices=[]), tqdm(total=steps, unit="step", mininterval=10) as bar:
        torch.manual_seed(config.seed)  # dropout
        for _ in range(config.epochs):
            for batch in torch.randperm(len(a), generator=order).split(config.batch_size):
                rewards = network([a[i] for i in batch] + [b[i] for i in batch])
                margin = rewards[: len(batch)] - rewards[len(batch) :]
                loss = torch.nn.functional.binary_cross_entropy_with_logits(margin, t[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
    return network.requires_grad_(False)

"""Heads on the frozen encoder, fitted in seconds: rewards and a Rule Adapter.

Pairs with targets come in, a linear head goes out. The head of a reward model is written as a plain
folder too, a ``BertForSequenceClassification`` with the encoder's mean pooling as one more layer.
`engine` calls it where the settings say `frozen`.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from rulekit.encoder import MAX_TOKENS, Encoder
from rulekit.files import write_atomically
from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import prompt_text
from rulekit.training import models
from rulekit.training.batches import Examples
from rulekit.training.config import TrainingConfig
from rulekit.training.evaluation import held_out_metrics
from rulekit.training.plain_model import Note

ADAPTER = "adapter.npz"
# Renders the response alone, as the encoder reads it: the prompt is not looked at.
RESPONSE_TEMPLATE = "{{ cls_token }}{{ messages[-1]['content'] }}{{ sep_token }}"
_MEAN = 2.0**14  # of the mean beside the token it is added to; a larger one overflows in float16
_LINEAR = 2.0**-10  # tanh(x) is x to 1e-5 of itself where the pooled values are this small


def load_tokenizer(task: str):
    """The encoder's tokenizer; for rewards with a chat template of the last message alone."""
    tokenizer = AutoTokenizer.from_pretrained(Encoder.load().path)
    if task == "reward":
        tokenizer.chat_template = RESPONSE_TEMPLATE
        tokenizer.model_max_length = MAX_TOKENS
    else:
        tokenizer.chat_template = models.PLAIN_TEMPLATE
    return tokenizer


# Rewards ------------------------------------------------------------------------------------------


def response_vectors(pairs: pl.DataFrame) -> np.ndarray:
    """Encoder vectors of both responses, float64 (n_pairs, 2, dim), of mean 0 and variance 1."""
    sides = [Encoder.load().embed(pairs[c].to_list()) for c in ("response_a", "response_b")]
    both = np.stack(sides, axis=1).astype(np.float64)
    both -= both.mean(axis=-1, keepdims=True)
    return both / both.std(axis=-1, keepdims=True)


def fit_reward(vectors: np.ndarray, target: np.ndarray, l2: float) -> np.ndarray:
    """Ridge-penalised logistic regression on differences of vectors, without an intercept.

    Parameters
    ----------
    vectors
        From `response_vectors`, (n_pairs, 2, dim).
    target
        P(A is preferred), (n_pairs,), in [0, 1].
    l2
        Ridge penalty for the mean loss of a pair.

    Returns
    -------
    The head, float64 (dim,).

    Notes
    -----
    Minimises the mean of -t log σ(r_A - r_B) - (1 - t) log σ(r_B - r_A), plus l2 / 2 · |w|².
    """
    from sklearn.linear_model import LogisticRegression

    x = vectors[:, 0] - vectors[:, 1]
    # A soft target is both classes, each with its share: the loss sums over pairs, the penalty is
    # l2 for their mean.
    fit = LogisticRegression(C=1 / (l2 * len(x)), fit_intercept=False, tol=1e-8, max_iter=1000)
    fit.fit(
        np.concatenate([x, x]),
        np.repeat([1, 0], len(x)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    return fit.coef_[0]


def reward_network(head: np.ndarray):
    """The encoder with the head on its pooled vectors, as transformers' own class.

    Parameters
    ----------
    head
        From `fit_reward`, (dim,).

    Returns
    -------
    A ``BertForSequenceClassification`` whose logit is head · v, with v the mean over all tokens,
    centred and divided by its standard deviation: to about 1e-4 of a reward.

    Raises
    ------
    ValueError
        If the encoder in place of the kit's own is of another kind.

    Notes
    -----
    That class pools the first token. One more layer puts the mean there: query and key are 0, so
    that all tokens count alike, value is the identity, and beside the mean, many times enlarged,
    the token that it is added to vanishes. The layer's normalisation centres the sum and divides it
    by its standard deviation; its second half adds nothing. The pooler's tanh gets values so small
    that it is linear.
    """
    encoder = Encoder.load()
    layers = encoder.model.config.num_hidden_layers + 1
    config = AutoConfig.from_pretrained(
        encoder.path, num_hidden_layers=layers, id2label={0: "reward"}, label2id={"reward": 0}
    )
    if config.model_type != "bert":
        raise ValueError(f"RULEKIT_ENCODER names a {config.model_type}; allowed: a bert")
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    state = {k: v for k, v in encoder.model.state_dict().items() if not k.startswith("pooler")}
    model.base_model.load_state_dict(state, strict=False)
    added, one = model.base_model.encoder.layer[-1], torch.eye(config.hidden_size)
    with torch.no_grad():
        for part in (added, model.base_model.pooler, model.classifier):
            for weight in part.parameters():
                weight.zero_()
        added.attention.self.value.weight.copy_(one)
        added.attention.output.dense.weight.copy_(_MEAN * one)
        added.attention.output.LayerNorm.weight.fill_(1.0)
        added.output.LayerNorm.weight.fill_(1.0)
        model.base_model.pooler.dense.weight.copy_(_LINEAR * one)
        model.classifier.weight.copy_(torch.from_numpy(head / _LINEAR)[None])
    return model.eval()


# Rules --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A layer on the vectors of a pair, one logit a rule."""

    weight: np.ndarray  # (n_rules, 3 dim)
    bias: np.ndarray  # (n_rules,)

    def logits(self, pairs: pl.DataFrame) -> np.ndarray:
        """Log-odds that a rule is among the selected, (n_pairs, n_rules)."""
        return features(pairs) @ self.weight.T + self.bias


def features(pairs: pl.DataFrame) -> np.ndarray:
    """Encoder vectors of a pair, (n_pairs, 3 dim): prompt, mean and distance of the responses.

    Which response is called A cannot matter: the set of rules on which two responses differ does
    not depend on it.
    """
    encoder = Encoder.load()
    prompt = encoder.embed([prompt_text(p) for p in pairs["prompt"].to_list()])
    a, b = (encoder.embed(pairs[c].to_list()) for c in ("response_a", "response_b"))
    return np.concatenate([prompt, (a + b) / 2, np.abs(a - b)], axis=1) * np.float32(
        np.sqrt(prompt.shape[1])
    )


def fit_adapter(x: np.ndarray, mask: np.ndarray, config: TrainingConfig) -> LinearHead:
    """Fit the head to the rules that a selector chose, by multi-label binary cross-entropy.

    Parameters
    ----------
    x
        From `features`, (n_pairs, 3 dim).
    mask
        Which rules are to be named, bool (n_pairs, n_rules).
    config
        Full batches of AdamW: `epochs` of them, `learning_rate`, `weight_decay`.

    Returns
    -------
    The head.
    """
    x, y = torch.from_numpy(x), torch.from_numpy(mask).float()
    weight = torch.zeros(y.shape[1], x.shape[1], requires_grad=True)
    bias = torch.logit(y.mean(0).clamp(1e-3, 1 - 1e-3)).requires_grad_()
    groups = [
        {"params": [weight], "weight_decay": config.weight_decay},
        {"params": [bias], "weight_decay": 0.0},
    ]
    steps = int(config.epochs)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        logits = torch.nn.functional.linear(x, weight, bias)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return LinearHead(weight.detach().numpy(), bias.detach().numpy())


def write_adapter(path: Path, head: LinearHead, rules: Identity, metrics: dict) -> Path:
    """Write a head with the rules that it names and its held-out measures as .npz, atomically."""
    content = {"weight": head.weight, "bias": head.bias}
    content |= {"rules": np.str_(rules.as_json()), "metrics": np.str_(json.dumps(metrics))}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # numpy would add an ending to another name
            np.savez(file, **content)

    return write_atomically(path, write)


def read_adapter(path: Path) -> tuple[LinearHead, Identity, dict]:
    """Head, rules and measures that `write_adapter` wrote.

    Raises
    ------
    ValueError
        If the file is another one.
    """
    try:
        with np.load(path) as file:
            head = LinearHead(file["weight"], file["bias"])
            return head, Identity.from_json(str(file["rules"])), json.loads(str(file["metrics"]))
    except (KeyError, TypeError, ValueError, AttributeError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"{path}: no Rule Adapter; allowed: what RuleAdapter.save wrote") from None


# Of a run -----------------------------------------------------------------------------------------


def fit(config: TrainingConfig, pairs: pl.DataFrame, examples: Examples) -> np.ndarray | LinearHead:
    """The head of a run's task; `examples` are of these pairs, those that are left out missing."""
    pairs = pairs.filter(pl.col("pair_id").is_in(examples.names))
    if config.task == "adapter":
        return fit_adapter(features(pairs), examples.target > 0.5, config)
    target = examples.target.astype(np.float64)
    return fit_reward(response_vectors(pairs), target, config.l2)


def held_out(
    head: np.ndarray | LinearHead, config: TrainingConfig, pairs: pl.DataFrame, examples: Examples
) -> dict[str, float]:
    """Held-out measures of a head; arguments as of `fit`."""
    pairs = pairs.filter(pl.col("pair_id").is_in(examples.names))
    adapter = isinstance(head, LinearHead)
    logits = head.logits(pairs) if adapter else response_vectors(pairs) @ head
    return held_out_metrics(logits.astype(np.float32), examples, config)


def write(folder: Path, head: np.ndarray | LinearHead, note: Note, config: TrainingConfig) -> None:
    """Write what `fit` gave under these settings into a new folder."""
    if isinstance(head, LinearHead):
        write_adapter(folder / ADAPTER, head, note.identity, note.metrics)
    else:
        models.save_plain(reward_network(head), load_tokenizer("reward"), folder)
        note.write(folder)

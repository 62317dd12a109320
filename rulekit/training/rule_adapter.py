"""Rule Adapter: names the k rules of a pair from its texts alone, before anything is rated.

Pairs and the rules selected for them come in, an adapter goes out. Notebooks train it;
`rulekit.rating.annotate_adaptive` rates what it names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.encoder import Encoder
from rulekit.files import write_atomically
from rulekit.inputs.pairs import folds, prompt_text
from rulekit.inputs.rules import RuleSet
from rulekit.selection.registry import Selection


@dataclass(frozen=True, eq=False)
class RuleAdapter:
    """Multi-label classifier over encoder vectors: features (n_pairs, 3 dim) → logits (n_pairs, n_rules)."""

    weight: np.ndarray  # (n_rules, 3 dim)
    bias: np.ndarray  # (n_rules,)
    rules_hash: str = ""  # `RuleSet.hash` of the rules in their order; empty where not known

    def probabilities(self, pairs: pl.DataFrame) -> np.ndarray:
        """P(rule is among the selected) for each pair and rule, (n_pairs, n_rules)."""
        return 1 / (1 + np.exp(-(features(pairs) @ self.weight.T + self.bias)))

    def select(self, pairs: pl.DataFrame, k: int = 5) -> Selection:
        """The k rules of largest probability, best first; ties to the lowest position."""
        return top_rules(self.probabilities(pairs), k)

    def save(self, path: str | Path, rules: RuleSet | None = None) -> Path:
        """Write as .npz, atomically; with the rules it names, so that no others are taken for them."""
        content = {
            "weight": self.weight,
            "bias": self.bias,
            "rules_hash": np.str_(self.rules_hash if rules is None else rules.hash),
        }
        return write_atomically(path, lambda p: np.savez(p, **content))

    @classmethod
    def load(cls, path: str | Path) -> RuleAdapter:
        """Read what `save` wrote."""
        with np.load(path) as file:
            of = str(file["rules_hash"]) if "rules_hash" in file else ""
            return cls(file["weight"], file["bias"], of)


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


def train_rule_adapter(
    pairs: pl.DataFrame,
    selection: Selection,
    *,
    epochs: int = 50,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.1,
    seed: int = 0,
) -> RuleAdapter:
    """Fit the adapter to the rules that a selector chose, by multi-label binary cross-entropy.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    selection
        The rules to be named, such as those of maximum discrepancy, (n_pairs, k).
    epochs, learning_rate, weight_decay
        Full-batch AdamW on the linear layer.
    seed
        Of the initial weights.

    Returns
    -------
    The adapter, which does not know its rules' hash until it is saved with them.

    Raises
    ------
    ValueError
        If pairs and selection have different lengths.

    References
    ----------
    X. Li et al., arXiv 2501.15453: a sequence classifier with one logit a rule and multi-label
    BCE; here on frozen vectors instead of a 3B language model.
    """
    import torch

    if len(pairs) != len(selection.indices):
        raise ValueError(
            f"{len(pairs)} pairs, {len(selection.indices)} selections; allowed: as many"
        )
    x = torch.from_numpy(features(pairs))
    y = torch.from_numpy(selection.mask()).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = torch.nn.Linear(x.shape[1], y.shape[1])
    prior = y.mean(0).clamp(1e-3, 1 - 1e-3)
    torch.nn.init.zeros_(layer.weight)
    layer.bias.data = torch.logit(prior)
    groups = [
        {"params": [layer.weight], "weight_decay": weight_decay},
        {"params": [layer.bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(layer(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return RuleAdapter(layer.weight.detach().numpy(), layer.bias.detach().numpy())


def cross_fit_adapter(
    pairs: pl.DataFrame, selection: Selection, n_folds: int = 5, seed: int = 0, **settings
) -> np.ndarray:
    """Probabilities of each pair from an adapter that has not seen its prompt, (n_pairs, n_rules).

    Parameters
    ----------
    pairs, selection, settings
        As for `train_rule_adapter`.
    n_folds
        Adapters trained, each on the prompts of all other folds.
    seed
        Of folds and fits.
    """
    fold = np.array(folds(pairs, n_folds, seed))
    out = np.empty((len(pairs), selection.n_rules))
    for f in range(n_folds):
        train = np.flatnonzero(fold != f)
        chosen = Selection(selection.indices[train], selection.method, selection.n_rules)
        adapter = train_rule_adapter(pairs[train], chosen, seed=seed, **settings)
        out[fold == f] = adapter.probabilities(pairs.filter(pl.Series(fold == f)))
    return out


def top_rules(probabilities: np.ndarray, k: int) -> Selection:
    """The k most probable rules of each pair as a selection, best first; ties to the lowest position.

    Parameters
    ----------
    probabilities
        Of each rule, (n_pairs, n_rules).
    k
        Rules per pair, 1 to n_rules.

    Raises
    ------
    ValueError
        For a k out of range.
    """
    n_rules = probabilities.shape[1]
    if not 1 <= k <= n_rules:
        raise ValueError(f"k is {k}; allowed: 1 to {n_rules}")
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return Selection(order.astype(np.int32), "rule_adapter", n_rules)

"""Rule Adapter that reads the rules: scores any rule by its text, also one it never saw in training.

For prototyping a rule set: a new rule needs no ratings and no retraining, at a price in accuracy
that `held_out_rules_report` measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.encoder import Encoder
from rulekit.evaluate import auc
from rulekit.files import write_atomically
from rulekit.pairs import folds
from rulekit.rules import RuleSet
from rulekit.select import Selection
from rulekit.training.rule_adapter import features, top_rules


@dataclass(frozen=True, eq=False)
class RuleTextAdapter:
    """Diagonal bilinear form between the vectors of a pair and of a rule's text.

    Attributes
    ----------
    weight
        How much each dimension of the encoder counts where prompt, responses' mean and responses'
        distance meet the rule, (3, dim).
    direction
        What makes a rule likely whatever the pair, (dim,).
    bias
        A number.
    """

    weight: np.ndarray  # (3, dim)
    direction: np.ndarray  # (dim,)
    bias: float

    def logits(self, pairs: pl.DataFrame, rules: RuleSet) -> np.ndarray:
        """Log-odds that a rule is among the selected, (n_pairs, n_rules)."""
        x = features(pairs).reshape(len(pairs), 3, -1)  # (n_pairs, 3, dim)
        e = rule_vectors(rules)
        return (x * self.weight).sum(axis=1) @ e.T + e @ self.direction + self.bias

    def probabilities(self, pairs: pl.DataFrame, rules: RuleSet) -> np.ndarray:
        """P(rule is among the selected) for each pair and rule, (n_pairs, n_rules)."""
        return 1 / (1 + np.exp(-self.logits(pairs, rules)))

    def select(self, pairs: pl.DataFrame, rules: RuleSet, k: int = 5) -> Selection:
        """The k rules of largest probability, best first; ties to the lowest position."""
        return top_rules(self.logits(pairs, rules), k)

    def save(self, path: str | Path) -> Path:
        """Write as .npz, atomically."""
        return write_atomically(
            path,
            lambda p: np.savez(p, weight=self.weight, direction=self.direction, bias=self.bias),
        )

    @classmethod
    def load(cls, path: str | Path) -> RuleTextAdapter:
        """Read what `save` wrote."""
        with np.load(path) as file:
            return cls(file["weight"], file["direction"], float(file["bias"]))


def rule_vectors(rules: RuleSet) -> np.ndarray:
    """Encoder vectors of the rules' texts, scaled as those of the pairs, (n_rules, dim)."""
    vectors = Encoder.load().embed(list(rules.texts))
    return vectors * np.float32(np.sqrt(vectors.shape[1]))


def train_rule_text_adapter(
    pairs: pl.DataFrame,
    selection: Selection,
    rules: RuleSet,
    *,
    epochs: int = 300,
    learning_rate: float = 3e-3,
    weight_decay: float = 1.0,
    seed: int = 0,
) -> RuleTextAdapter:
    """Fit the adapter to the rules that a selector chose, by multi-label binary cross-entropy.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    selection
        The rules to be named, (n_pairs, k), of `rules`.
    rules
        The rule set; its texts are read, its order and ids do not matter.
    epochs, learning_rate, weight_decay
        Full-batch AdamW.
    seed
        For the interface: the fit starts at zero and draws nothing.

    Raises
    ------
    ValueError
        If pairs, selection and rules do not belong together.
    """
    if len(pairs) != len(selection.indices):
        raise ValueError(
            f"{len(pairs)} pairs, {len(selection.indices)} selections; allowed: as many"
        )
    if selection.n_rules != len(rules):
        raise ValueError(f"selection is of {selection.n_rules} rules, rules has {len(rules)}; allowed: as many")  # fmt: skip
    return _fit(features(pairs), rule_vectors(rules), selection.mask(), epochs, learning_rate, weight_decay)  # fmt: skip


def _fit(x: np.ndarray, e: np.ndarray, mask: np.ndarray, epochs, learning_rate, weight_decay):
    """x (n_pairs, 3 dim), e (n_rules, dim), mask (n_pairs, n_rules)."""
    import torch

    x, e = torch.from_numpy(x).view(len(x), 3, -1), torch.from_numpy(e)
    y = torch.from_numpy(mask).float()
    weight = torch.zeros(3, e.shape[1], requires_grad=True)
    direction = torch.zeros(e.shape[1], requires_grad=True)
    bias = torch.logit(y.mean().clamp(1e-3, 1 - 1e-3)).requires_grad_()
    groups = [{"params": [weight, direction], "weight_decay": weight_decay},
              {"params": [bias], "weight_decay": 0.0}]  # fmt: skip
    optimizer = torch.optim.AdamW(groups, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        logits = (x * weight).sum(dim=1) @ e.T + e @ direction + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return RuleTextAdapter(weight.detach().numpy(), direction.detach().numpy(), bias.item())


def held_out_rules_report(
    pairs: pl.DataFrame, selection: Selection, rules: RuleSet, n_folds: int = 5, seed: int = 0, **settings
) -> dict[str, float]:  # fmt: skip
    """How well rules are named that were in no training pair, on prompts that were not either.

    Every (pair, rule) is scored once, by an adapter that saw neither the prompt nor the rule.

    Returns
    -------
    dict of

    - ``auc``, ``auc_low``, ``auc_high``: area under the curve of selected against other (pair,
      rule) cells, with `rulekit.evaluate.auc`'s interval, which takes cells as independent;
    - ``seen_auc``: the same for rules seen in training, on unseen prompts;
    - ``similarity_auc``: for the cosine of prompt and rule text, which needs no training;
    - ``within_pair_auc``: mean over the pairs of each one's own area, which a rule that is chosen
      often cannot raise more than one of the others'; of unseen rules.
    """
    x, e, mask = features(pairs), rule_vectors(rules), selection.mask()
    pair_fold = np.array(folds(pairs, n_folds, seed))
    rule_fold = np.random.default_rng(seed).permutation(len(rules)) % n_folds
    fit = {"epochs": 300, "learning_rate": 3e-3, "weight_decay": 1.0} | settings
    unseen, seen = np.empty(mask.shape), np.empty(mask.shape)
    blocks = x.reshape(len(x), 3, -1)
    for p in range(n_folds):
        test = pair_fold == p
        whole = _fit(x[~test], e, mask[~test], **fit)
        seen[test] = _apply(whole, blocks[test], e)
        for r in range(n_folds):
            held = rule_fold == r
            part = _fit(x[~test], e[~held], mask[~test][:, ~held], **fit)
            unseen[np.ix_(test, held)] = _apply(part, blocks[test], e[held])
    similarity = blocks[:, 0] @ e.T
    value, low, high = auc(unseen.ravel(), mask.ravel())
    within = [
        auc(unseen[i], mask[i])[0] for i in range(len(mask)) if 0 < mask[i].sum() < len(rules)
    ]
    return {
        "auc": value,
        "auc_low": low,
        "auc_high": high,
        "seen_auc": auc(seen.ravel(), mask.ravel())[0],
        "similarity_auc": auc(similarity.ravel(), mask.ravel())[0],
        "within_pair_auc": float(np.mean(within)),
        "n_pairs": len(pairs),
        "n_rules": len(rules),
    }


def _apply(adapter: RuleTextAdapter, blocks: np.ndarray, e: np.ndarray) -> np.ndarray:
    return (blocks * adapter.weight).sum(axis=1) @ e.T + e @ adapter.direction + adapter.bias

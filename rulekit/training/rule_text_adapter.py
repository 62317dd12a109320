"""Rule Adapter that reads the rules: scores any rule by its text, also one it never saw in training.

For prototyping a rule set: a new rule needs no ratings and no retraining, at a price in accuracy
that `held_out_rules_report` measures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import watched, write_atomically
from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import folds, prompt_groups
from rulekit.inputs.rules import RuleSet
from rulekit.measures import auc, auc_resampled, bootstrap, mean_interval
from rulekit.selection.registry import Selection
from rulekit.training.config import TrainingConfig
from rulekit.training.rule_adapter import top_rules
from rulekit.training.rule_text_reader import TextReader, text_reader

FIT = {"epochs": 60, "learning_rate": 1e-2, "weight_decay": 1.0}
_RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class RuleTextAdapter:
    """Diagonal bilinear form between the vectors of a pair and of a rule's text.

    Attributes
    ----------
    weight
        How much each dimension counts where a block of the pair meets the rule, (n_blocks, dim):
        of the encoder prompt, responses' mean and responses' distance, of a language model the
        last two.
    direction
        What makes a rule likely whatever the pair, (dim,).
    bias
        A number.
    reader
        What gives the vectors.
    """

    weight: np.ndarray  # (n_blocks, dim)
    direction: np.ndarray  # (dim,)
    bias: float
    reader: TextReader = field(default_factory=TextReader)

    def logits(self, pairs: pl.DataFrame, rules: RuleSet) -> np.ndarray:
        """Log-odds that a rule is among the selected, (n_pairs, n_rules)."""
        return _apply(self, self.reader.blocks(pairs), self.reader.rules(rules))

    def probabilities(self, pairs: pl.DataFrame, rules: RuleSet) -> np.ndarray:
        """P(rule is among the selected) for each pair and rule, (n_pairs, n_rules)."""
        return 1 / (1 + np.exp(-self.logits(pairs, rules)))

    def select(self, pairs: pl.DataFrame, rules: RuleSet, k: int = 5) -> Selection:
        """The k rules of largest probability for each of the pairs; as `top_rules`."""
        return top_rules(self.logits(pairs, rules), k, Identity.of(rules, pairs))

    def save(self, path: str | Path) -> Path:
        """Write as .npz, atomically."""
        content = {"weight": self.weight, "direction": self.direction, "bias": self.bias}
        return write_atomically(path, lambda p: np.savez(p, **content, **self.reader.told()))

    @classmethod
    def load(cls, path: str | Path) -> RuleTextAdapter:
        """Read what `save` wrote."""
        with np.load(path) as file:
            form = file["weight"], file["direction"], float(file["bias"])
            return cls(*form, TextReader.of(file))


def train_rule_text_adapter(
    pairs: pl.DataFrame,
    rules: RuleSet,
    selection: Selection,
    config: TrainingConfig | str | Path | dict | None = None,
    *,
    epochs: int = FIT["epochs"],
    learning_rate: float = FIT["learning_rate"],
    weight_decay: float = FIT["weight_decay"],
) -> RuleTextAdapter:
    """Fit the adapter to the rules that a selector chose, by multi-label binary cross-entropy.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    rules
        The rules that may be named; their texts are read.
    selection
        The rules to be named, found by the ids of pairs and rules, (n_pairs, k).
    config
        A frozen language model that reads pairs and rules, such as ``smollm2-frozen``; None is the
        encoder.
    epochs, learning_rate, weight_decay
        Of AdamW on full batches.

    Returns
    -------
    An adapter for any rules.

    Raises
    ------
    ValueError
        If pairs, selection and rules do not belong together, or the settings are of another kind.
    """
    mask, reader = _mask(pairs, rules, selection), text_reader(pairs, rules, config)
    with _one_thread():
        form = reader.blocks(pairs), reader.rules(rules)
        fitted = _fit(*form, mask, epochs, learning_rate, weight_decay)
    return replace(fitted, reader=reader)


def _mask(pairs: pl.DataFrame, rules: RuleSet, selection: Selection) -> np.ndarray:
    """Which rules are to be named, (n_pairs, n_rules), in the order of pairs and rules."""
    selection = selection.aligned(Identity.of(rules, pairs))
    if (selection.n_pairs, selection.n_rules) != (len(pairs), len(rules)):
        raise ValueError(
            f"selection is of {selection.n_pairs} pairs and {selection.n_rules} rules; allowed: "
            f"{len(pairs)} and {len(rules)}"
        )
    return selection.mask()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices of this size gain nothing from a second thread, and wait for it where cores are shared."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit(x: np.ndarray, e: np.ndarray, mask: np.ndarray, epochs, learning_rate, weight_decay):
    """x (n_pairs, n_blocks, dim), e (n_rules, dim), mask (n_pairs, n_rules)."""
    import torch

    x, e = torch.from_numpy(np.float32(x)), torch.from_numpy(np.float32(e))
    y = torch.from_numpy(mask).float()
    weight = torch.zeros(x.shape[1], e.shape[1], requires_grad=True)
    direction = torch.zeros(e.shape[1], requires_grad=True)
    bias = torch.logit(y.mean().clamp(1e-3, 1 - 1e-3)).requires_grad_()
    groups = [
        {"params": [weight, direction], "weight_decay": weight_decay},
        {"params": [bias], "weight_decay": 0.0},
    ]
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
    pairs: pl.DataFrame,
    rules: RuleSet,
    selection: Selection,
    n_folds: int = 5,
    *,
    config: TrainingConfig | str | Path | dict | None = None,
    seed: int = 0,
    **settings,
) -> pl.DataFrame:
    """How well rules are named that were in no training pair, on prompts that were not either.

    Every (pair, rule) is scored once, by an adapter that saw neither the prompt nor the rule.

    Parameters
    ----------
    pairs, rules, selection
        As for `train_rule_text_adapter`.
    n_folds
        Of the prompts, and of the rules: n_folds² + n_folds fits.
    config
        As for `train_rule_text_adapter`.
    seed
        Of folds and resamples.
    settings
        Of the fit, in place of `FIT`.

    Returns
    -------
    A row a measure: ``name``, ``value``, and ``low``, ``high``, a 95 % percentile bootstrap interval
    over prompts. Each is an area under the curve of selected against other (pair, rule) cells:

    - ``unseen rules``: of the rules held out;
    - ``unseen rules, within a pair``: mean over the pairs of each one's own area, which a rule
      that is chosen often cannot raise more than one of the others'; of rules held out;
    - ``seen rules``: of rules seen in training, on unseen prompts;
    - ``text similarity``: of the cosine of prompt (of a language model: responses) and rule text,
      which needs no training.
    """
    mask = _mask(pairs, rules, selection)
    logits = held_out_rules_logits(
        pairs, rules, selection, n_folds, config=config, seed=seed, **settings
    )
    unseen, seen, similarity = (logits[name] for name in ("unseen", "seen", "similarity"))
    _, group = np.unique(prompt_groups(pairs).to_numpy(), return_inverse=True)
    own = np.array(
        [
            auc(u, m)[0] if 0 < m.sum() < len(m) else np.nan
            for u, m in zip(unseen, mask, strict=True)
        ]
    )
    known = ~np.isnan(own)
    within = (float(own[known].mean()), *mean_interval(own[known], group[known], bounds=(0, 1)))
    rows = [
        ("unseen rules", *_auc_by_group(unseen, mask, group, seed)),
        ("unseen rules, within a pair", *within),
        ("seen rules", *_auc_by_group(seen, mask, group, seed)),
        ("text similarity", *_auc_by_group(similarity, mask, group, seed)),
    ]
    return pl.DataFrame(rows, schema=["name", "value", "low", "high"], orient="row")


def held_out_rules_logits(
    pairs: pl.DataFrame,
    rules: RuleSet,
    selection: Selection,
    n_folds: int = 5,
    *,
    config: TrainingConfig | str | Path | dict | None = None,
    seed: int = 0,
    **settings,
) -> dict[str, np.ndarray]:
    """Logits of every (pair, rule) by adapters that saw neither the prompt nor, in one case, the rule.

    Parameters
    ----------
    pairs, rules, selection, n_folds, config, seed, settings
        As for `held_out_rules_report`.

    Returns
    -------
    Of shape (n_pairs, n_rules): ``unseen``, of rules in no training pair; ``seen``, of rules seen in
    training, on unseen prompts; ``similarity``, the product of the pair's first block and the rule.
    """
    reader, mask = text_reader(pairs, rules, config), _mask(pairs, rules, selection)
    x, e = reader.blocks(pairs), reader.rules(rules)
    pair_fold = np.array(folds(pairs, n_folds, seed))
    rule_fold = np.random.default_rng(seed).permutation(len(rules)) % n_folds
    unseen, seen = _held_out_logits(x, e, mask, pair_fold, rule_fold, FIT | settings)
    return {"unseen": unseen, "seen": seen, "similarity": x[:, 0] @ e.T}


def _held_out_logits(x, e, mask, pair_fold, rule_fold, fit: dict) -> tuple[np.ndarray, np.ndarray]:
    """Logits of unseen and of seen rules on unseen prompts, (n_pairs, n_rules) each."""
    from tqdm.auto import tqdm

    unseen, seen = np.empty(mask.shape), np.empty(mask.shape)
    n_folds = int(rule_fold.max()) + 1
    bar = tqdm(total=n_folds * (n_folds + 1), unit="fit", disable=not watched())
    with bar, _one_thread():
        for p in range(n_folds):
            test = pair_fold == p
            whole = _fit(x[~test], e, mask[~test], **fit)
            seen[test] = _apply(whole, x[test], e)
            bar.update()
            for r in range(n_folds):
                held = rule_fold == r
                part = _fit(x[~test], e[~held], mask[~test][:, ~held], **fit)
                unseen[np.ix_(test, held)] = _apply(part, x[test], e[held])
                bar.update()
    return unseen, seen


def _auc_by_group(scores: np.ndarray, mask: np.ndarray, group: np.ndarray, seed: int):
    """Area under the curve over all cells and its interval over groups of rows: (value, low, high)."""
    value = auc(scores.ravel(), mask.ravel())[0]
    cells = np.repeat(group, mask.shape[1])
    area = auc_resampled(scores.ravel(), mask.ravel())
    low, high = bootstrap(area, cells, resamples=_RESAMPLES, seed=seed)
    return value, float(low), float(high)


def _apply(adapter: RuleTextAdapter, blocks: np.ndarray, e: np.ndarray) -> np.ndarray:
    return (blocks * adapter.weight).sum(axis=1) @ e.T + e @ adapter.direction + adapter.bias

"""Rule Adapters: name the k rules of a pair from its texts alone, before anything is rated.

Pairs and the rules selected for them come in, an adapter goes out, a linear head on the frozen
encoder or a whole model. `rulekit.annotate` rates only what it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.inputs.identity import Identity
from rulekit.inputs.pairs import folds
from rulekit.selection.registry import Selection
from rulekit.training import engine, frozen, targets
from rulekit.training.config import TrainingConfig, load_config
from rulekit.training.frozen import LinearHead
from rulekit.training.plain_model import PlainModel


@dataclass(frozen=True, eq=False)
class RuleAdapter:
    """Multi-label classifier of pairs, one logit a rule.

    Attributes
    ----------
    model
        What gives the logits: a layer on the encoder's vectors, or a plain model folder.
    identity
        The rules that it names, with the digests of their texts.
    metrics
        Held-out measures of its training; empty if there are none.
    """

    model: LinearHead | PlainModel
    identity: Identity
    metrics: dict = field(default_factory=dict)

    def probabilities(self, pairs: pl.DataFrame) -> np.ndarray:
        """P(rule is among the selected) for each pair and rule, (n_pairs, n_rules)."""
        return 1 / (1 + np.exp(-self.model.logits(pairs).astype(np.float64)))

    def select(self, pairs: pl.DataFrame, k: int = 5) -> Selection:
        """The k rules of largest probability, best first; ties to the lowest position."""
        named = replace(self.identity, pair_ids=Identity.of(pairs=pairs).pair_ids)
        return top_rules(self.model.logits(pairs), k, named)

    def save(self, path: str | Path) -> Path:
        """Write a linear adapter as one .npz file, a model as a folder: all of it or nothing."""
        if isinstance(self.model, PlainModel):
            return self.model.save(path)
        return frozen.write_adapter(Path(path), self.model, self.identity, self.metrics)

    @classmethod
    def load(cls, path: str | Path) -> RuleAdapter:
        """Read what `save` wrote, or the model folder of a run.

        Raises
        ------
        FileNotFoundError
            If there is no such file or folder.
        ValueError
            If it holds no Rule Adapter.
        """
        path = Path(path).expanduser()
        if (path / frozen.ADAPTER).is_file():
            path = path / frozen.ADAPTER
        if not path.is_dir():
            if not path.is_file():
                raise FileNotFoundError(
                    f"no such file: {path}; allowed: what RuleAdapter.save wrote"
                )
            return cls(*frozen.read_adapter(path))
        model = PlainModel(path)
        if not model.has_note or model.note.task != "adapter":
            raise ValueError(f"{path}: no Rule Adapter; allowed: what RuleAdapter.save wrote")
        return cls(model, model.note.identity, model.note.metrics)


def train_adapter(
    pairs: pl.DataFrame,
    selection: Selection,
    config: TrainingConfig | str | Path | dict | None = None,
    *,
    output: str | Path | None = None,
    evaluation: pl.DataFrame | None = None,
    evaluation_selection: Selection | None = None,
    provenance: dict | None = None,
    resume: bool = True,
    **settings,
) -> RuleAdapter:
    """Train an adapter to name the rules that a selector chose, by multi-label cross-entropy.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    selection
        The rules to be named, such as those of maximum discrepancy, (n_pairs, k); its pairs are
        found by their ids.
    config, settings
        ``encoder-frozen``, the default: a linear layer on the vectors of the offline encoder, in
        seconds. Otherwise as for `train_reward`.
    output
        Folder of the run; None takes a temporary one, gone with the returned adapter.
    evaluation, evaluation_selection
        Held-out pairs and the rules to be named; None holds out `evaluation_share` of the prompts.
    provenance, resume
        As for `train_reward`.

    Returns
    -------
    The adapter, which knows the rules that the selection is of.

    Raises
    ------
    ValueError
        For a selection of other pairs, bad settings, or an `output` of another run.
    RuntimeError
        If SIGTERM or SIGINT stopped the run.

    References
    ----------
    X. Li et al., arXiv 2501.15453: a sequence classifier with one logit a rule and multi-label
    BCE.
    """
    if settings.setdefault("task", "adapter") != "adapter":
        raise ValueError(f"task is {settings['task']!r}; allowed: 'adapter'")
    return engine.trained(
        RuleAdapter.load,
        pairs,
        selection,
        config,
        output=output,
        evaluation=evaluation,
        evaluation_target=evaluation_selection,
        provenance=provenance,
        resume=resume,
        **settings,
    )


def cross_fit_adapter(
    pairs: pl.DataFrame,
    selection: Selection,
    n_folds: int = 5,
    *,
    config: TrainingConfig | str | Path | dict | None = None,
    seed: int = 0,
    **settings,
) -> np.ndarray:
    """Probabilities of each pair from an adapter that has not seen its prompt, (n_pairs, n_rules).

    Parameters
    ----------
    pairs, selection, config, settings
        As for `train_adapter`; on the frozen encoder nothing is written.
    n_folds
        Adapters trained, each on the prompts of all other folds.
    seed
        Of the folds and of each fit.
    """
    given = {"task": "adapter", "evaluation_share": 0.0} | settings
    config = load_config(config, **given, seed=seed)
    data = targets.aligned("adapter", pairs, selection)
    fold = np.array(folds(pairs, n_folds, seed))
    out = np.empty((len(pairs), selection.n_rules))
    x = frozen.features(pairs) if config.frozen else None
    for f in range(n_folds):
        test, seen = fold == f, data.rows(fold != f)
        if config.frozen:
            head = frozen.fit_adapter(x[fold != f], seen.target.mask(), config)
            out[test] = 1 / (1 + np.exp(-(x[test] @ head.weight.T + head.bias)))
        else:
            adapter = engine.trained(RuleAdapter.load, seen.pairs, seen.target, config, output=None)
            out[test] = adapter.probabilities(pairs.filter(pl.Series(test)))
    return out


def top_rules(probabilities: np.ndarray, k: int, identity: Identity | None = None) -> Selection:
    """The k most probable rules of each pair as a selection, best first; ties to the lowest position.

    Parameters
    ----------
    probabilities
        Of each rule, or any scale in their order, (n_pairs, n_rules).
    k
        Rules per pair, 1 to n_rules.
    identity
        The rules and pairs that they are of.

    Raises
    ------
    ValueError
        For a k out of range.
    """
    n_rules = probabilities.shape[1]
    if not 1 <= k <= n_rules:
        raise ValueError(f"k is {k}; allowed: 1 to {n_rules}")
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return Selection(
        order.astype(np.int32), "rule_adapter", n_rules, identity=identity or Identity()
    )

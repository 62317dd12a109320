"""Reward models: pairs with labels come in, a plain model folder that scores responses goes out.

`train_reward` trains one, from a head on the frozen encoder to 8B; every one is the same
`RewardModel`. `engine` does the work.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.inputs.pairs import folds
from rulekit.labels import Labels
from rulekit.training import engine, frozen, frozen_language, targets
from rulekit.training.config import TrainingConfig, load_config
from rulekit.training.plain_model import PlainModel


class RewardModel:
    """Reward of a response behind its prompt; only differences between responses to one prompt count.

    A plain folder that `AutoModelForSequenceClassification` and `AutoTokenizer` load, read here by
    packed passes. One on the frozen encoder reads the response alone: its chat template leaves the
    prompt out. One on a frozen language model is a head and the name of the model, which only this
    class reads.

    Parameters
    ----------
    folder
        With the model; one that others made needs a single logit, and a chat template unless
        ``Role: text`` will do.

    Attributes
    ----------
    folder
        Where the model lies.
    metrics
        Held-out measures of its training; empty if there are none.

    Raises
    ------
    FileNotFoundError
        If there is no model in the folder.
    ValueError
        If it is no reward model.
    """

    def __init__(self, folder: str | Path) -> None:
        states = (Path(folder).expanduser() / frozen_language.HEAD).is_file()
        self._model = frozen_language.StatesModel(folder) if states else PlainModel(folder)
        if self._model.note.task != "reward":
            raise ValueError(f"{folder} holds an adapter; allowed: a reward model")
        if (n := self._model.n_labels) != 1:
            raise ValueError(f"{folder} gives {n} logits; allowed: 1, the reward")

    @property
    def folder(self) -> Path:
        return self._model.folder

    @property
    def metrics(self) -> dict:
        return self._model.note.metrics

    def rewards(self, pairs: pl.DataFrame) -> np.ndarray:
        """Rewards of both responses of each pair, float32 (n_pairs, 2)."""
        return self._model.logits(pairs)

    def margin(self, pairs: pl.DataFrame) -> np.ndarray:
        """reward(A) - reward(B) of each pair, float32 (n_pairs,)."""
        both = self.rewards(pairs)
        return both[:, 0] - both[:, 1]

    def save(self, folder: str | Path) -> Path:
        """Copy the model to a new or empty folder, or in place of another model: all of it or nothing."""
        return self._model.save(folder)

    @classmethod
    def load(cls, folder: str | Path) -> RewardModel:
        """The model in a folder; arguments and errors as of the class."""
        return cls(folder)

    def __repr__(self) -> str:
        told = ""
        if "accuracy" in self.metrics:
            value, low, high = (self.metrics[f"accuracy{end}"] for end in ("", "_low", "_high"))
            told = f", held-out accuracy {value:.3f} [{low:.3f}, {high:.3f}]"
        return f"RewardModel({self.folder}{told})"


def train_reward(
    pairs: pl.DataFrame,
    labels: Labels | np.ndarray | None = None,
    config: TrainingConfig | str | Path | dict | None = None,
    *,
    output: str | Path | None = None,
    evaluation: pl.DataFrame | None = None,
    evaluation_labels: Labels | np.ndarray | None = None,
    provenance: dict | None = None,
    resume: bool = True,
    **settings,
) -> RewardModel:
    """Train a reward model with the Bradley–Terry loss.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    labels
        `Labels`, found by the ids of their pairs: one without a label, such as a tie that was
        dropped, is left out. Or P(A is preferred), (n_pairs,), in [0, 1], NaN leaves a pair out.
        None takes the column `preference`.
    config, settings
        ``encoder-frozen``, the default: a head on the vectors of the offline encoder, in seconds,
        which reads responses and not prompts. ``smollm2-frozen``: a head on the states of a small
        language model, one pass over the texts. ``encoder-cpu``, ``smollm2-reward``, ``llama-1b``,
        ``paper-8b``, ``h200-8b``, a YAML file or a `TrainingConfig`: the model is fine-tuned. Fields of
        `TrainingConfig` given beside it take the place of its own; one that the run would not look
        at is refused.
    output
        Folder of the run; None takes a temporary one, gone with the returned model.
    evaluation, evaluation_labels
        Held-out pairs and their labels as above; None holds out `evaluation_share` of the prompts.
    provenance
        For the model card: `data`, `rule_set`, `label_method`, `selector`, …
    resume
        Go on from what the same call left in `output`; False begins anew.

    Returns
    -------
    The model, the same class for every config.

    Raises
    ------
    ValueError
        For labels of other pairs or out of range, no label at all, bad settings, or an `output` of
        another run.
    RuntimeError
        If SIGTERM or SIGINT stopped the run.

    Notes
    -----
    Minimises -t log σ(r_A - r_B) - (1 - t) log σ(r_B - r_A) over the pairs, t = P(A is preferred).

    References
    ----------
    R. A. Bradley, M. E. Terry, "Rank analysis of incomplete block designs", Biometrika (1952).
    """
    if settings.setdefault("task", "reward") != "reward":
        raise ValueError(f"task is {settings['task']!r}; allowed: 'reward'")
    return engine.trained(
        RewardModel,
        pairs,
        labels,
        config,
        output=output,
        evaluation=evaluation,
        evaluation_target=evaluation_labels,
        provenance=provenance,
        resume=resume,
        **settings,
    )


def cross_fit_rewards(
    pairs: pl.DataFrame,
    labels: Labels | np.ndarray | None = None,
    n_folds: int = 5,
    *,
    config: TrainingConfig | str | Path | dict | None = None,
    seed: int = 0,
    **settings,
) -> np.ndarray:
    """Margin of each pair from a reward model that has not seen its prompt, (n_pairs,).

    Parameters
    ----------
    pairs, labels, config, settings
        As for `train_reward`; on a frozen model nothing is written but its states into the cache.
    n_folds
        Models trained, each on the prompts of all other folds.
    seed
        Of the folds and of each fit.
    """
    config = load_config(
        config, **{"task": "reward", "evaluation_share": 0.0} | settings, seed=seed
    )
    data = targets.aligned("reward", pairs, labels)
    fold, out = np.array(folds(pairs, n_folds, seed)), np.empty(len(pairs))
    margins = frozen_margins(pairs, config) if config.frozen else None
    known = ~np.isnan(data.target)
    for f in range(n_folds):
        test, seen = fold == f, (fold != f) & known
        if margins is not None:
            out[test] = margins(data.target, seen)[test]
        else:
            part = data.rows(seen)
            model = engine.trained(RewardModel, part.pairs, part.target, config, output=None)
            out[test] = model.margin(pairs.filter(pl.Series(test)))
    return out


def frozen_margins(
    pairs: pl.DataFrame, config: TrainingConfig
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """What fits a head on a frozen model to some pairs and gives the margins of all.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows; they are read once, whatever is fitted.
    config
        Settings of a frozen reward model.

    Returns
    -------
    A function of targets P(A is preferred), (n_pairs,), and of the pairs to learn from, a mask
    (n_pairs,), that gives float (n_pairs,).
    """
    if config.reads_states:
        states = frozen_language.response_states(pairs, config)

        def margins(target: np.ndarray, seen: np.ndarray) -> np.ndarray:
            part, of = states.rows(seen), pairs.filter(pl.Series(seen))
            head = frozen_language.fit_states(part, target[seen], of, config.l2, config.seed)
            return np.subtract(*head.rewards(states).T)

        return margins
    vectors = frozen.response_vectors(pairs)

    def margins_of_vectors(target: np.ndarray, seen: np.ndarray) -> np.ndarray:
        head = frozen.fit_reward(vectors[seen], target[seen], config.l2)
        return (vectors[:, 0] - vectors[:, 1]) @ head

    return margins_of_vectors

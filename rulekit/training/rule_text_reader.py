"""What an adapter that reads rules sees: vectors of pairs and of rules' texts, from one frozen model.

Pairs or rules come in, blocks of numbers of mean 0 and variance 1 go out. `rule_text_adapter` fits
its form to them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.encoder import Encoder
from rulekit.inputs.rules import RuleSet
from rulekit.training import frozen_language
from rulekit.training.config import TrainingConfig, load_config
from rulekit.training.frozen import features

_ASKED = "State one rule that a good response keeps."  # a rule stands behind it as a response does


@dataclass(frozen=True, eq=False)
class TextReader:
    """A frozen model that reads pairs and rules.

    Attributes
    ----------
    config
        Settings of a frozen language model with its layer; None is the kit's encoder.
    centre, spread
        Of the states of a language model, what is taken off and divided by, float32 (3, dim): of the
        responses' mean, of their distance, of the rules. None for the encoder, whose vectors have
        unit length.
    """

    config: TrainingConfig | None = None
    centre: np.ndarray | None = None
    spread: np.ndarray | None = None

    def blocks(self, pairs: pl.DataFrame) -> np.ndarray:
        """What is seen of pairs, float32 (n_pairs, n_blocks, dim).

        Of the encoder prompt, mean and distance of the responses, of a language model mean and
        distance: its states have the prompt in them.
        """
        if self.config is None:
            return features(pairs).reshape(len(pairs), 3, -1)
        found = _pair_states(pairs, self.config)
        return (found - self.centre[:2]) / self.spread[:2]

    def rules(self, rules: RuleSet) -> np.ndarray:
        """What is seen of rules, float32 (n_rules, dim)."""
        if self.config is None:
            vectors = Encoder.load().embed(list(rules.texts))
            return vectors * np.float32(np.sqrt(vectors.shape[1]))
        return (_rule_states(rules, self.config) - self.centre[2]) / self.spread[2]

    def told(self) -> dict[str, np.ndarray]:
        """All of it as arrays, for a file."""
        if self.config is None:
            return {}
        config = np.str_(json.dumps(self.config.applied()))
        return {"config": config, "centre": self.centre, "spread": self.spread}

    @classmethod
    def of(cls, file: dict[str, np.ndarray]) -> TextReader:
        """What `told` gave."""
        if "config" not in file:
            return cls()
        return cls(load_config(json.loads(str(file["config"]))), file["centre"], file["spread"])


def text_reader(
    pairs: pl.DataFrame, rules: RuleSet, config: TrainingConfig | str | Path | dict | None
) -> TextReader:
    """The reader of some settings, its scales taken from pairs and rules.

    Parameters
    ----------
    pairs, rules
        What an adapter is trained on; only texts are looked at.
    config
        A frozen language model, such as ``smollm2-frozen``; without a layer the one at three
        quarters of those that can be chosen. None is the encoder.

    Raises
    ------
    ValueError
        For settings of another kind.
    """
    if config is None:
        return TextReader()
    settings = load_config(config)
    if not settings.reads_states:
        raise ValueError(
            f"config {config!r} is no frozen language model; allowed: such as 'smollm2-frozen', or "
            "None, the encoder"
        )
    layers = frozen_language.candidate_layers(settings)
    settings = settings.model_copy(update={"layer": layers[3 * (len(layers) - 1) // 4]})
    parts = [*_pair_states(pairs, settings).transpose(1, 0, 2), _rule_states(rules, settings)]
    spread = np.stack([part.std(axis=0) for part in parts])
    centre = np.stack([part.mean(axis=0) for part in parts])
    return TextReader(settings, centre, np.where(spread > 0, spread, 1))


def _pair_states(pairs: pl.DataFrame, config: TrainingConfig) -> np.ndarray:
    """Mean and distance of both responses' states, float32 (n_pairs, 2, dim)."""
    a, b = frozen_language.response_states(pairs, config).values[:, :, 0].transpose(1, 0, 2)
    return np.stack([(a + b) / 2, np.abs(a - b)], axis=1)


def _rule_states(rules: RuleSet, config: TrainingConfig) -> np.ndarray:
    """States of the rules' texts, each read as a response, float32 (n_rules, dim)."""
    texts = list(rules.texts)
    frame = pl.DataFrame({"prompt": [_ASKED] * len(texts), "response_a": texts})
    frame = frame.with_columns(
        pl.format("{}", pl.int_range(pl.len())).alias("pair_id"),
        pl.col("response_a").reverse().alias("response_b"),
    )
    return frozen_language.response_states(frame, config).values[:, 0, 0]

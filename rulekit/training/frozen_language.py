"""Heads on a frozen language model: rewards from the states of its responses, one pass and a fit.

Pairs come in. One pass over each, the prompt read once for both responses, gives the mean state of
each response at several layers, kept in the cache folder; out goes a ridge-penalised Bradley–Terry
head on one layer, which cross-validation inside the pairs it is fitted to chooses. `engine` and
`reward_model` call it where the settings say `frozen` of another model than the encoder.
"""

from __future__ import annotations

import functools
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from transformers import AutoConfig, AutoModel

from rulekit.files import sha256, sha256_file, watched, write_atomically
from rulekit.inputs.pairs import folds, messages
from rulekit.judges.local.shared_pass import Tree
from rulekit.training import models, state_cache, tree_passes
from rulekit.training import sequences as reading
from rulekit.training.batches import Examples
from rulekit.training.config import TrainingConfig, load_config
from rulekit.training.evaluation import held_out_metrics
from rulekit.training.frozen import fit_reward
from rulekit.training.plain_model import NOTE, Note, copied

HEAD = "head.npz"
_DEEPEST = 0.8  # of the layers; those behind turn to the next token
_EVERY = 3  # the layers to choose from lie so far apart
_FOLDS = 5  # of the prompts, to choose one


@dataclass(frozen=True, eq=False)
class States:
    """Mean states of responses at some layers of a model.

    Attributes
    ----------
    values
        float32 (n_pairs, 2, n_layers, dim).
    layers
        What the third axis is of: blocks passed, from 1.
    """

    values: np.ndarray
    layers: tuple[int, ...]

    def at(self, layer: int) -> np.ndarray:
        """Those of one layer, float64 (n_pairs, 2, dim)."""
        return self.values[:, :, self.layers.index(layer)].astype(np.float64)

    def rows(self, keep: np.ndarray) -> States:
        """Those of some pairs, a mask or indices (n,)."""
        return States(self.values[keep], self.layers)


@dataclass(frozen=True, eq=False)
class StateHead:
    """A linear reward on the mean state of a response at one layer.

    Attributes
    ----------
    layer
        Blocks that a state has passed.
    weight
        float64 (dim,).
    losses
        Layer → cross-validated loss of a pair, of those it was chosen from; empty for a given one.
    """

    layer: int
    weight: np.ndarray
    losses: dict[int, float]

    def rewards(self, states: States) -> np.ndarray:
        """Rewards of both responses of each pair, float64 (n_pairs, 2)."""
        return states.at(self.layer) @ self.weight


# States -------------------------------------------------------------------------------------------


def candidate_layers(config: TrainingConfig) -> tuple[int, ...]:
    """Layers whose states are read: the one that is given, or every third up to four fifths."""
    depth = models.read(AutoConfig, config).get_text_config().num_hidden_layers
    if config.layer is not None:
        if not 1 <= config.layer < depth:
            raise ValueError(f"layer is {config.layer}; allowed: 1 to {depth - 1}")
        return (config.layer,)
    last = max(1, int(_DEEPEST * depth))
    return tuple(range(_EVERY, last + 1, _EVERY)) or (last,)


def response_states(pairs: pl.DataFrame, config: TrainingConfig) -> States:
    """Mean states of both responses of each pair behind its prompt.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    config
        Model, revision, precision, longest sequence, and the layer or None.

    Returns
    -------
    The states, each response read once and kept in the cache folder.

    Raises
    ------
    ValueError
        For a layer that the model does not have.
    FileNotFoundError
        If the model cannot be found.

    Notes
    -----
    The mean is over all tokens behind the prompt, those that end the turn included. Texts that are
    too long lose the beginning of the prompt, as in training.
    """
    layers, trees = candidate_layers(config), _trees(pairs, config)
    of = f"{_digest(config)} {_dtype(config)}"
    keys = [[_keys(tree.prefix, suffix, layers) for suffix in tree.suffixes] for tree in trees]
    known = state_cache.read(of, [key for tree in keys for row in tree for key in row])
    missing = [i for i, tree in enumerate(keys) if any(k not in known for r in tree for k in r)]
    if missing:
        for rows, values in _passes(missing, trees, config, layers):
            flat = [key for i in rows for row in keys[i] for key in row]
            fresh = dict(zip(flat, values.reshape(len(flat), -1), strict=True))
            state_cache.write(of, fresh)
            known |= fresh
    values = [[[known[key] for key in row] for row in tree] for tree in keys]
    return States(np.array(values, np.float32), layers)


def _keys(prefix: list[int], suffix: list[int], layers: tuple[int, ...]) -> list[bytes]:
    """Of a text, where its response begins, and each layer."""
    text = sha256(f"{prefix} {suffix}")
    return [bytes.fromhex(sha256(f"{text} {layer}")) for layer in layers]


def _trees(pairs: pl.DataFrame, config: TrainingConfig) -> list[Tree]:
    """Of each pair the prompt's tokens and those of both responses behind it."""
    tokenizer = models.load_tokenizer(config)
    turns = [messages(prompt) for prompt in pairs["prompt"].to_list()]
    chats = {"opening": turns}
    for column in reading.RESPONSES:
        answers = [{"role": "assistant", "content": text} for text in pairs[column].to_list()]
        chats[column] = [[*turn, answer] for turn, answer in zip(turns, answers, strict=True)]
    ids = []
    for name, conversations in chats.items():
        texts = tokenizer.apply_chat_template(
            conversations, tokenize=False, add_generation_prompt=name == "opening"
        )
        ids.append(tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])
    return [_tree(*one, config.max_tokens) for one in zip(*ids, strict=True)]


def _tree(opening: list[int], a: list[int], b: list[int], max_tokens: int) -> Tree:
    """The tokens that all three begin with, and what follows them in both responses."""
    alike = [x == y == z for x, y, z in zip(opening, a[:-1], b[:-1], strict=False)]
    n = max(1, (*alike, False).index(False))
    suffixes = [ids[n:][: max_tokens - 1] for ids in (a, b)]
    room = max_tokens - max(map(len, suffixes))
    return Tree(reading.shortened(np.array(opening[:n]), room).tolist(), suffixes)


def _passes(rows: list[int], trees: list[Tree], config: TrainingConfig, layers: tuple[int, ...]):
    """Rows and the mean states of their responses, pass by pass: float32 (n, 2, n_layers, dim)."""
    from tqdm.auto import tqdm

    model = _first_blocks(config, max(layers) + 1)  # behind the last block a model norms its states
    tokens = {i: len(trees[i].prefix) + sum(map(len, trees[i].suffixes)) for i in rows}
    rows = sorted(rows, key=lambda i: -tokens[i])  # pairs of like lengths in one pass
    with tqdm(total=len(rows), unit="pair", disable=not watched()) as bar:
        while rows:
            size = max(1, config.token_budget // tokens[rows[0]])
            part, rows = rows[:size], rows[size:]
            yield part, _means(model, [trees[i] for i in part], layers)
            bar.update(len(part))


def _first_blocks(config: TrainingConfig, depth: int):
    """The model up to a block, reading token trees."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    described = models.read(AutoConfig, config).get_text_config()
    described.num_hidden_layers = depth
    if getattr(described, "layer_types", None):
        described.layer_types = described.layer_types[:depth]
    with models.without_report():
        model = models.read(
            AutoModel,
            config,
            config=described,
            dtype=_dtype(config),
            attn_implementation=tree_passes.NAME,
        )
    return model.eval().to(device)


@torch.inference_mode()
def _means(model, trees: list[Tree], layers: tuple[int, ...]) -> np.ndarray:
    """Mean states of the responses, float32 (n_trees, 2, n_layers, dim)."""
    row = tree_passes.lay_out(trees).to(model.device)
    inputs = row.inputs() | {"output_hidden_states": True}
    inputs.pop("logits_to_keep")
    hidden = model(**inputs).hidden_states  # before the first block, and behind each
    sizes = [len(suffix) for tree in trees for suffix in tree.suffixes]
    ends = [end + 1 for end in row.last.tolist()]
    means = [
        torch.stack([hidden[k][0, end - size : end].float().mean(dim=0) for k in layers])
        for end, size in zip(ends, sizes, strict=True)
    ]
    return torch.stack(means).cpu().numpy().reshape(len(trees), 2, len(layers), -1)


def _dtype(config: TrainingConfig) -> torch.dtype:
    """Of the weights: nothing is learned in them, so that bfloat16 needs no float32 beside it."""
    return torch.float32 if config.precision == "float32" else torch.bfloat16


def _digest(config: TrainingConfig) -> str:
    """What the states of a model belong to."""
    folder = Path(models.path_of(config.model))
    weights = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    if not weights:
        return f"{config.model} {config.revision}"
    return " ".join(_file_digest(file, file.stat().st_mtime_ns) for file in weights)


@functools.cache
def _file_digest(file: Path, _mtime: int) -> str:
    return sha256_file(file)


# Heads --------------------------------------------------------------------------------------------


def fit_states(
    states: States, target: np.ndarray, pairs: pl.DataFrame, l2: float, seed: int = 0
) -> StateHead:
    """A head on the layer whose cross-validated loss is smallest.

    Parameters
    ----------
    states
        From `response_states`, of n_pairs pairs.
    target
        P(A is preferred), (n_pairs,), in [0, 1].
    pairs
        Canonical frame, n_pairs rows: pairs of one prompt stay in one fold.
    l2
        Ridge penalty for the mean loss of a pair, the numbers of a state divided by the spread of
        their differences.
    seed
        Of the folds.

    Returns
    -------
    The head, fitted to all pairs.
    """
    losses: dict[int, float] = {}
    if len(states.layers) > 1:
        fold = np.array(folds(pairs, _FOLDS, seed))
        losses = {
            layer: _held_out_loss(states.at(layer), target, fold, l2) for layer in states.layers
        }
    layer = min(losses, key=losses.__getitem__) if losses else states.layers[0]
    return StateHead(layer, _fit_layer(states.at(layer), target, l2), losses)


def _fit_layer(both: np.ndarray, target: np.ndarray, l2: float) -> np.ndarray:
    """Weights on the states of one layer, (dim,)."""
    spread = (both[:, 0] - both[:, 1]).std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return fit_reward(both / spread, target, l2) / spread


def _held_out_loss(both: np.ndarray, target: np.ndarray, fold: np.ndarray, l2: float) -> float:
    """Mean loss of a pair whose prompt the head has not seen."""
    margin = np.empty(len(target))
    for f in np.unique(fold):
        test = fold == f
        head = _fit_layer(both[~test], target[~test], l2)
        margin[test] = (both[test, 0] - both[test, 1]) @ head
    loss = target * np.logaddexp(0, -margin) + (1 - target) * np.logaddexp(0, margin)
    return float(loss.mean())


# Of a run -----------------------------------------------------------------------------------------


def fit(config: TrainingConfig, pairs: pl.DataFrame, examples: Examples) -> StateHead:
    """The head of a run; `examples` are of these pairs, those that are left out missing."""
    pairs = pairs.filter(pl.col("pair_id").is_in(examples.names))
    target = examples.target.astype(np.float64)
    return fit_states(response_states(pairs, config), target, pairs, config.l2, config.seed)


def held_out(
    head: StateHead, config: TrainingConfig, pairs: pl.DataFrame, examples: Examples
) -> dict[str, float]:
    """Held-out measures of a head; arguments as of `fit`."""
    pairs = pairs.filter(pl.col("pair_id").is_in(examples.names))
    states = response_states(pairs, config.model_copy(update={"layer": head.layer}))
    return held_out_metrics(head.rewards(states).astype(np.float32), examples, config)


def write(folder: Path, head: StateHead, note: Note, config: TrainingConfig) -> None:
    """Write what `fit` gave into a new folder: the head, and which model it sits on."""
    told = {
        "config": config.applied() | {"layer": head.layer},
        "losses": {str(layer): loss for layer, loss in head.losses.items()},
        "weights": _digest(config),
    }

    def content(temporary: Path) -> None:
        with temporary.open("wb") as file:  # numpy would add an ending to another name
            np.savez(file, weight=head.weight, told=np.str_(json.dumps(told)))

    write_atomically(folder / HEAD, content)
    note.write(folder)


class StatesModel:
    """A folder that `write` made: rewards from the states of the model that it names.

    Parameters
    ----------
    folder
        With the head.

    Raises
    ------
    ValueError
        If its files are others.
    """

    n_labels = 1

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        try:
            self.note = Note.model_validate_json((self.folder / NOTE).read_bytes())
            with np.load(self.folder / HEAD) as file:
                weight, told = file["weight"], json.loads(str(file["told"]))
            self._config = load_config(told["config"])
        except (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile):
            raise ValueError(
                f"{self.folder}: no head on a language model; allowed: what a frozen run left"
            ) from None
        losses = {int(layer): loss for layer, loss in told["losses"].items()}
        self.head, self._weights = StateHead(self._config.layer, weight, losses), told["weights"]

    def logits(self, pairs: pl.DataFrame) -> np.ndarray:
        """Rewards of both responses of each pair, float32 (n_pairs, 2).

        Raises
        ------
        ValueError
            If the model of that name has other weights now.
        """
        if _digest(self._config) != self._weights:
            raise ValueError(
                f"{self._config.model} has other weights than those that {self.folder} was fitted "
                "on; allowed: the same"
            )
        return self.head.rewards(response_states(pairs, self._config)).astype(np.float32)

    def save(self, folder: str | Path) -> Path:
        """Copy the head to another folder: all of it or nothing."""
        return copied(self.folder, folder, HEAD)

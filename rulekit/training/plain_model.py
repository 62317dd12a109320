"""Plain model folders, read by packed passes: pairs come in, logits go out.

The folder is one that `AutoModelForSequenceClassification` and `AutoTokenizer` load. Beside their
files the kit keeps ``rulekit.json``: what has to be known to read pairs as in training.
`reward_model` and `rule_adapter` read through it.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from rulekit import loading
from rulekit.files import write_json
from rulekit.inputs.identity import Identity
from rulekit.training import attention, batches, models
from rulekit.training import sequences as reading

NOTE = "rulekit.json"
_ENDLESS = 1 << 30  # tokenizers without a limit state 10³⁰


class Note(BaseModel):
    """What ``rulekit.json`` says of a model.

    Attributes
    ----------
    task
        ``reward`` or ``adapter``.
    max_tokens, cut
        Longest sequence, and where a longer one is cut: at its ``start``, behind the first token, or
        at its ``end``, before the last.
    token_budget, attention
        As in `TrainingConfig`.
    metrics
        Held-out measures of the run.
    rule_ids, rule_digests
        An adapter's rules, as `rulekit.inputs.Identity` has them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["reward", "adapter"] = "reward"
    max_tokens: int = Field(_ENDLESS, ge=2)
    cut: Literal["start", "end"] = "start"
    token_budget: int = Field(16_384, ge=1)
    attention: str = "auto"
    metrics: dict = Field(default_factory=dict)
    rule_ids: tuple[str, ...] | None = None
    rule_digests: tuple[str, ...] | None = None

    @property
    def identity(self) -> Identity:
        """The rules that the logits are of."""
        return Identity(self.rule_ids, self.rule_digests)

    def write(self, folder: Path) -> None:
        """Put the note beside the files of a model."""
        write_json(folder / NOTE, self.model_dump(mode="json"))


class PlainModel:
    """A folder with a sequence classifier; its weights are read when they are first needed.

    Parameters
    ----------
    folder
        With ``config.json``, weights and tokenizer.

    Raises
    ------
    FileNotFoundError
        If there is no model in the folder.
    ValueError
        If its ``rulekit.json`` cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        if not (self.folder / "config.json").is_file():
            inner = self.folder / "model"
            hint = f", such as {inner}" if (inner / "config.json").is_file() else ""
            raise FileNotFoundError(
                f"{self.folder} holds no config.json; allowed: a folder with a model{hint}"
            )
        told = self.folder / NOTE
        self.has_note = told.is_file()
        try:
            self.note = Note.model_validate_json(told.read_bytes()) if self.has_note else Note()
        except ValidationError as error:
            what = error.errors()[0]
            raise ValueError(
                f"{told}: {'.'.join(map(str, what['loc']))}: {what['msg']}; allowed: what rulekit "
                "wrote there, or no such file"
            ) from None

    @cached_property
    def _parts(self) -> tuple:
        """Model, tokenizer and device."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        described = AutoConfig.from_pretrained(self.folder)
        chosen = attention.choose(self.note.attention, device, described)
        with loading.ALONE:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                self.folder, attn_implementation=chosen, output_loading_info=True
            )
        if report["missing_keys"]:
            lacking = ", ".join(sorted(map(str, report["missing_keys"]))[:3])
            raise ValueError(f"{self.folder}: weights missing: {lacking}; allowed: a whole model")
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        tokenizer.chat_template = tokenizer.chat_template or models.PLAIN_TEMPLATE
        return models.read_packed(model.eval().to(device)), tokenizer, device

    @property
    def n_labels(self) -> int:
        """Logits of a sequence."""
        return AutoConfig.from_pretrained(self.folder).num_labels

    def _longest(self) -> int:
        """Tokens that are read uncut: as many as in training, or all that model and tokenizer take."""
        if self.has_note:
            return self.note.max_tokens
        model, tokenizer, _ = self._parts
        limit = getattr(model.config, "max_position_embeddings", None) or _ENDLESS
        return min(limit, tokenizer.model_max_length, _ENDLESS)

    def logits(self, pairs: pl.DataFrame) -> np.ndarray:
        """Logits of each pair: float32 (n_pairs, 2) rewards, or (n_pairs, n_rules).

        Parameters
        ----------
        pairs
            Canonical frame.
        """
        _, tokenizer, _ = self._parts
        if self.note.task == "reward":
            sequences, _, _ = reading.tokenize(
                pairs, tokenizer, self._longest(), "truncate", self.note.cut
            )
        else:
            sequences, _ = reading.adapter_sequences(pairs, tokenizer, self._longest())
        per_pair = self.n_labels * (2 if self.note.task == "reward" else 1)
        return self._read(sequences).reshape(len(pairs), per_pair)

    def conversation_logits(
        self, conversations: list[list[dict[str, str]]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits of conversations whose last message is a response, and how much of them was cut.

        Parameters
        ----------
        conversations
            Lists of chat messages.

        Returns
        -------
        logits
            float32 (n_conversations, n_labels).
        lost
            Tokens cut of each, int64 (n_conversations,); by default from the start of the prompt.
        """
        _, tokenizer, _ = self._parts
        whole = reading.token_ids(conversations, tokenizer)
        short = [reading.shortened(ids, self._longest(), self.note.cut) for ids in whole]
        lost = np.array([len(a) - len(b) for a, b in zip(whole, short, strict=True)], np.int64)
        return self._read([(ids,) for ids in short]), lost

    def _read(self, sequences: list[tuple[np.ndarray, ...]]) -> np.ndarray:
        """Logits of every sequence in packed passes, float32 (n_sequences of all, n_labels)."""
        model, tokenizer, device = self._parts
        models.refuse_larger_tokenizer(model, tokenizer, self.folder, sequences)
        n, each = len(sequences), len(sequences[0]) if sequences else 1
        blank = np.zeros(n, np.float32)
        examples = batches.Examples(sequences, blank, blank, [""] * n)
        out = np.empty((n, each, model.config.num_labels), dtype=np.float32)
        if n:
            budget = max(self.note.token_budget, int(examples.tokens.max()))
            for part in batches.in_order(examples.tokens, budget):
                inputs = models.packed_inputs(batches.pack(examples, part), device)
                with torch.inference_mode():
                    out[part.rows] = model(**inputs).view(len(part.rows), each, -1).cpu().numpy()
        return out.reshape(n * each, model.config.num_labels)

    def save(self, folder: str | Path) -> Path:
        """Copy the model to another folder: all of it or nothing.

        Parameters
        ----------
        folder
            A new or empty one, or one with a model, which gives way.

        Raises
        ------
        FileExistsError
            If it holds something else.
        """
        return copied(self.folder, folder, "config.json")


def copied(source: Path, folder: str | Path, sign: str) -> Path:
    """Copy a model's folder: all of it or nothing.

    Parameters
    ----------
    source
        What is copied.
    folder
        A new or empty one, or one with a model, which gives way.
    sign
        The file that a folder with a model has.

    Raises
    ------
    FileExistsError
        If it holds something else.
    """
    target = Path(folder).expanduser().resolve()
    if target == source:
        return target
    occupied = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    if occupied and not (target / sign).is_file():
        raise FileExistsError(
            f"{target} holds something else than a model; allowed: a new or empty folder"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as staging:
        shutil.copytree(source, Path(staging) / "new")
        if target.exists():
            target.rename(Path(staging) / "old")
        (Path(staging) / "new").rename(target)
    return target

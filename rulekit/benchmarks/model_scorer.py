"""Reward models of any origin, read by packed or padded passes: conversations come in, rewards go out.

A folder or a name on the hub that `AutoModelForSequenceClassification` loads. Nothing is guessed: a
model without a chat template, or whose head would be new, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from rulekit import loading
from rulekit.benchmarks.contract import Question, Scored
from rulekit.files import sha256
from rulekit.models import path as folder_of
from rulekit.training import attention, batches, models, sequences
from rulekit.training.plain_model import NOTE, PlainModel

_DTYPES = {"saved": "auto", "float32": torch.float32, "bfloat16": torch.bfloat16}
_ENDLESS = 1 << 30  # tokenizers without a limit state 10³⁰
_WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")


@dataclass(frozen=True)
class Reading:
    """How a model reads conversations.

    Attributes
    ----------
    template
        Empty: the model's own. ``plain`` (``User: … Assistant: …``), a file with a Jinja template,
        or the template itself, for a model that has none or should have another.
    max_tokens
        Longest conversation; a longer one loses the start of its prompt behind the first token.
        None: as in training, or all that model and tokenizer take.
    precision
        Of the weights: as ``saved``, ``float32`` or ``bfloat16``.
    attention
        As in `TrainingConfig`.
    layout
        ``packed``: passes without padding. ``padded``: rows of equal length.
    batch
        Conversations a pass; None: as many as `token_budget` holds.
    padding_side
        Of ``padded``.
    token_budget
        Most tokens of a pass.
    imitate
        ``rewardbench``: as the package of that name reads, `imitation` says how.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    template: str = ""
    max_tokens: int | None = None
    precision: Literal["saved", "float32", "bfloat16"] = "saved"
    attention: str = "auto"
    layout: Literal["packed", "padded"] = "packed"
    batch: int | None = None
    padding_side: Literal["right", "left"] = "right"
    token_budget: int = 16_384
    imitate: Literal["", "rewardbench"] = ""

    def __post_init__(self) -> None:
        known = {
            "precision": tuple(_DTYPES),
            "layout": ("packed", "padded"),
            "padding_side": ("right", "left"),
            "imitate": ("", "rewardbench"),
        }
        for name, allowed in known.items():
            if getattr(self, name) not in allowed:
                said = ", ".join(map(repr, allowed))
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed: {said}")
        for name, least in {"max_tokens": 2, "batch": 1, "token_budget": 1}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}; allowed: {least} or more")


class ModelScorer:
    """A reward model as a scorer; its weights are read when they are first needed.

    Parameters
    ----------
    model
        Folder, or name on the hub.
    reading
        How it reads.

    Raises
    ------
    FileNotFoundError
        If it is no folder with a model and the hub does not give it.
    ValueError
        For a causal language model, an adapter, more than one logit, or no chat template.
    """

    pairwise = False
    part = 256

    def __init__(self, model: str | Path, reading: Reading | None = None) -> None:
        self.name, self.reading = str(model), reading or Reading()
        self.folder = _folder(model)
        self.note = PlainModel(self.folder).note if (self.folder / NOTE).is_file() else None
        self._described = AutoConfig.from_pretrained(self.folder)
        _refuse_no_reward_model(self.name, self._described, self.note)
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.tokenizer.chat_template = _template(self.reading.template, self.tokenizer, self.name)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def identity(self) -> str:
        told = [repr(replace(self.reading, token_budget=1)), self.tokenizer.chat_template]
        told.append(str(self.longest))
        for file in sorted(p for p in self.folder.iterdir() if p.is_file()):
            about = file.stat()
            large = file.suffix in _WEIGHTS
            content = f"{about.st_size} {about.st_mtime_ns}" if large else sha256(file.read_bytes())
            told.append(f"{file.name} {content}")
        return f"model {self.folder.name} {sha256(chr(0).join(told))[:32]}"

    @property
    def longest(self) -> int:
        """Tokens that are read uncut.

        Raises
        ------
        ValueError
            If more are asked for than the model takes.
        """
        limit = getattr(self._described, "max_position_embeddings", None) or _ENDLESS
        asked = self.reading.max_tokens
        if asked is not None and asked > limit:
            raise ValueError(f"max_tokens is {asked}; allowed: {limit}, the model's limit")
        trained = self.note.max_tokens if self.note else self.tokenizer.model_max_length
        return int(min(limit, trained)) if asked is None else asked

    @cached_property
    def model(self):
        """The model, its forward replaced by one for packed passes.

        Raises
        ------
        ValueError
            If weights are missing, such as those of a head that would be new.
        """
        chosen = attention.choose(self.reading.attention, self.device, self._described)
        with loading.ALONE:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                self.folder,
                attn_implementation=chosen,
                dtype=_DTYPES[self.reading.precision],
                output_loading_info=True,
            )
        if lacking := sorted(map(str, report["missing_keys"])):
            raise ValueError(
                f"{self.name}: weights missing: {', '.join(lacking[:3])}; they would start at random; "
                "allowed: a reward model with its head"
            )
        return models.read_packed(model.eval().to(self.device))

    def token_ids(self, questions: Sequence[Question]) -> list[np.ndarray]:
        """Token ids of whole conversations under the chat template, int32 arrays."""
        return sequences.token_ids([_turns(q) for q in questions], self.tokenizer)

    def read(self, questions: Sequence[Question]) -> Scored:
        """Rewards of responses behind their prompts.

        Parameters
        ----------
        questions
            Prompts, and tuples of one response.
        """
        if self.reading.imitate:
            from rulekit.benchmarks.imitation import as_rewardbench

            return as_rewardbench(self, questions)
        whole = self.token_ids(questions)
        cut = self.note.cut if self.note else "start"
        short = [sequences.shortened(ids, self.longest, cut) for ids in whole]
        lost = np.array([len(a) - len(b) for a, b in zip(whole, short, strict=True)], np.int64)
        of_response = np.zeros(len(whole), np.int64)
        for row in np.flatnonzero(lost):
            text = questions[row][1][0]
            size = len(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
            spare = 0 if cut == "end" else max(0, len(whole[row]) - size - 2)
            of_response[row] = min(size, max(0, lost[row] - spare))
        models.refuse_larger_tokenizer(self.model, self.tokenizer, self.name, [(i,) for i in short])
        scores = self._rewards(short)
        return Scored(scores, lost, of_response, int(sum(map(len, short))))

    def _rewards(self, ids: list[np.ndarray]) -> np.ndarray:
        blank = np.zeros(len(ids), np.float32)
        examples = batches.Examples([(s,) for s in ids], blank, blank, [""] * len(blank))
        out = np.empty(len(ids))
        padded = self.reading.layout == "padded"
        for rows in self._passes(examples.tokens):
            with torch.inference_mode():
                if padded:
                    found = self._padded([ids[i] for i in rows])
                else:
                    part = batches.Pass(rows, blank[rows])
                    batch = models.packed_inputs(batches.pack(examples, part), self.device)
                    found = self.model(**batch)
            out[rows] = found.float().view(-1).cpu().numpy()
        return out

    def _passes(self, tokens: np.ndarray) -> Iterator[np.ndarray]:
        if not len(tokens):
            return
        if self.reading.batch is not None:
            for start in range(0, len(tokens), self.reading.batch):
                yield np.arange(start, min(start + self.reading.batch, len(tokens)))
        elif self.reading.layout == "padded":
            order, start = np.argsort(-tokens, kind="stable"), 0
            while start < len(order):
                n = max(1, self.reading.token_budget // int(tokens[order[start]]))
                yield order[start : start + n]
                start += n
        else:
            budget = max(self.reading.token_budget, int(tokens.max()))
            for part in batches.in_order(tokens, budget):
                yield part.rows

    def _padded(self, rows: list[np.ndarray]) -> torch.Tensor:
        """Rewards of one padded pass, read behind each row's own last token."""
        if self.model.config._attn_implementation in attention.BY_BOUNDARIES:
            self.model.set_attn_implementation("sdpa")
        longest, pad = max(map(len, rows)), self.tokenizer.pad_token_id or 0
        ids = torch.full((len(rows), longest), pad)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for row, tokens in enumerate(rows):
            left = self.reading.padding_side == "left"
            at = slice(longest - len(tokens), longest) if left else slice(0, len(tokens))
            ids[row, at] = torch.from_numpy(tokens.astype(np.int64))
            mask[row, at] = 1
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        ids, mask, positions = (x.to(self.device) for x in (ids, mask, positions))
        hidden = self.model.base_model(
            input_ids=ids, attention_mask=mask, position_ids=positions
        ).last_hidden_state
        bounds = torch.nn.functional.pad(mask.sum(dim=1).cumsum(0), (1, 0))
        return models.reward_reader(self.model)(self.model, hidden[mask.bool()], bounds)

    def facts(self) -> dict:
        """Model, its settings, and which attention ran."""
        used = self.model.config._attn_implementation
        kernel = ""
        if used == attention.NAME:
            half = self.device == "cuda" and self.model.dtype != torch.float32
            kernel = ", the variable-length kernel" if half else ", one call a sequence"
        return {
            "model": self.name,
            "folder": str(self.folder),
            "attention": used + kernel,
            "precision": str(self.model.dtype).removeprefix("torch."),
            "device": torch.cuda.get_device_name() if self.device == "cuda" else "cpu",
            "layout": "padded left" if self.reading.imitate else self.reading.layout,
            "max_tokens": self.longest,
            "template": "its own" if not self.reading.template else self.reading.template[:80],
            "imitates": self.reading.imitate,
        }


def _turns(question: Question) -> list[dict[str, str]]:
    return [*question[0], {"role": "assistant", "content": question[1][0]}]


def _folder(model: str | Path) -> Path:
    """The folder itself, or where the hub's files of this name lie."""
    local = Path(folder_of(model)).expanduser()
    if (local / "config.json").is_file():
        return local.resolve()
    if local.is_dir():
        PlainModel(local)  # says what is missing
    if str(model).count("/") != 1 or str(model).startswith((".", "/", "~")):
        raise FileNotFoundError(
            f"model {str(model)!r} is no folder; allowed: a folder with a model, the name of one on "
            "the hub, or the URL of a server's route"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(model), ignore_patterns=["*.gguf", "*.onnx", "*.h5"]))
    except Exception as error:  # of the network or the hub, each of its own kind
        raise FileNotFoundError(
            f"model {str(model)!r}: no such folder here, and the hub cannot be reached or does not "
            f"give it ({type(error).__name__}); allowed: a folder with a model"
        ) from error


def _refuse_no_reward_model(name: str, described, note) -> None:
    if note is not None and note.task != "reward":
        raise ValueError(f"{name} holds an adapter; allowed: a reward model")
    kinds = described.architectures or ()
    if any("CausalLM" in kind or "ConditionalGeneration" in kind for kind in kinds):
        raise ValueError(
            f"{name} is a language model ({kinds[0]}): as a reward model its head would be new, and "
            "its scores chance; allowed: a sequence classifier with one logit"
        )
    if described.num_labels != 1:
        raise ValueError(f"{name} gives {described.num_labels} logits; allowed: 1, the reward")


def _template(asked: str, tokenizer, name: str) -> str:
    if not asked:
        if tokenizer.chat_template is None:
            raise ValueError(
                f"{name} has no chat template, and which one it was trained with cannot be guessed; "
                "allowed: --template plain, a file with one, or the template itself"
            )
        return tokenizer.chat_template
    if asked == "plain":
        return models.PLAIN_TEMPLATE
    if "{{" in asked or "{%" in asked:
        return asked
    path = Path(asked).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"template {asked!r} is no file; allowed: 'plain', a file, or a Jinja template"
        )
    return path.read_text(encoding="utf-8")

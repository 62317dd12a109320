"""Which files a path names: a file, a folder, a data set's folder or a glob comes in, files go out.

`readers` and `description` call `files_of`. Data sets that `datasets` saved, or that were cloned
from a hub, say themselves which files are theirs.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

ENDINGS = (
    ".jsonl",
    ".jsonl.gz",
    ".ndjson",
    ".json",
    ".json.gz",
    ".parquet",
    ".csv",
    ".tsv",
    ".arrow",
)
_ABOUT = ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json")


def files_of(path: str | Path) -> list[Path]:
    """The files that a path, a folder or a glob names, in the order of their names.

    Parameters
    ----------
    path
        A file; a folder, whose files are read with those of the folders in it; or a glob of either.
        In the folder of a saved data set its ``state.json`` names the files, in one with a
        ``README.md`` of a hub the `configs` at its head do.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a folder holds several data sets, or a file about it cannot be read.
    """
    text = str(path)
    if not text.strip() or "\0" in text:
        raise ValueError(f"the path is {text!r}; allowed: a file, a folder or a glob")
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = _of_folder(path)
        what = f"no file of pairs in the folder {text}; allowed endings: {', '.join(ENDINGS)}"
    else:
        try:
            matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"{text}: no glob ({error}); allowed: * ? [] and ** alone") from None
        found = [f for m in matches if m.is_dir() for f in _of_folder(m)]
        found = [m for m in matches if m.is_file() and _has_pairs(m)] or found
        what = f"no such file: {text}"
        if matches and not found:
            what = f"{text}: no file of pairs; allowed endings: {', '.join(ENDINGS)}"
    if not found:
        raise FileNotFoundError(what)
    return found


def _has_pairs(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and path.name not in _ABOUT


def _of_folder(folder: Path) -> list[Path]:
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json", "splits")
        return [file for split in splits for file in _of_folder(folder / str(split))]
    if (folder / "state.json").is_file():
        entries = _json(folder / "state.json", "_data_files")
        names = [e.get("filename") if isinstance(e, dict) else None for e in entries]
        missing = [n for n in names if not isinstance(n, str) or not (folder / n).is_file()]
        missing += [n for n in names if isinstance(n, str) and Path(n).name != n]
        if missing:
            raise FileNotFoundError(
                f"{folder}: state.json names {missing[0]!r}, which is no file of this folder"
            )
        return [folder / name for name in names]
    named = _of_hub(folder)
    if named is not None:
        return named
    every = sorted(p for p in folder.rglob("*") if p.is_file() and _has_pairs(p))
    return [p for p in every if not any(q.startswith(".") for q in p.relative_to(folder).parts)]


def _json(path: Path, key: str) -> list:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from None
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"{path}: no list {key!r} in it; allowed: what `save_to_disk` writes")
    return found


def _of_hub(folder: Path) -> list[Path] | None:
    """Files that the head of a hub's README names; None where it names none."""
    readme = folder / "README.md"
    if not readme.is_file():
        return None
    text = readme.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---"):
        return None
    try:
        head = yaml.safe_load(text.split("\n---", 1)[0].removeprefix("---"))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None  # a README of one's own; its folder is read as any other
    configs = head.get("configs") if isinstance(head, dict) else None
    files_by = {}
    for config in configs if isinstance(configs, list) else []:
        if isinstance(config, dict) and (files := _of_config(folder, config.get("data_files"))):
            files_by[str(config.get("config_name", "default")), bool(config.get("default"))] = files
    if not files_by:
        return None
    preferred = [files for (_, default), files in files_by.items() if default]
    if len(files_by) > 1 and len(preferred) != 1:
        names = "; ".join(f"{n}: {f[0].relative_to(folder)}" for (n, _), f in files_by.items())
        raise ValueError(
            f"{folder} holds {len(files_by)} data sets; allowed: a path or glob of one ({names})"
        )
    return preferred[0] if preferred else next(iter(files_by.values()))


def _of_config(folder: Path, data_files: object) -> list[Path]:
    """Files of one configuration: a pattern, a list of them, or a list of {split, path}."""
    entries = data_files if isinstance(data_files, list) else [data_files]
    if isinstance(data_files, dict):
        entries = list(data_files.values())
    patterns = []
    for entry in entries:
        given = entry.get("path") if isinstance(entry, dict) else entry
        patterns += given if isinstance(given, list) else [given]
    found: dict[Path, None] = {}
    for pattern in patterns:
        if not isinstance(pattern, str) or not pattern or ".." in pattern or ":" in pattern:
            continue  # elsewhere, so none of this folder's
        try:
            matches = sorted(folder.glob(pattern.lstrip("/")))
        except (ValueError, NotImplementedError) as error:
            raise ValueError(f"{folder}: README.md names {pattern!r}: {error}") from None
        found |= dict.fromkeys(p for p in matches if p.is_file())
    return [p for p in found if _has_pairs(p)]

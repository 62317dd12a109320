"""Published files of benchmarks come in, items in one form go out.

An item: `item` (its id), `subset`, `group` (its prompt), `prompt` (chat messages), `responses`
(right ones first) and `n_right`. `evaluation` has a model score them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import polars as pl

from rulekit.inputs.pairs import messages

ENDINGS = (".json", ".json.gz", ".jsonl", ".jsonl.gz", ".parquet", ".arrow")
SCHEMA = {
    "item": pl.String,
    "subset": pl.String,
    "group": pl.String,
    "prompt": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
    "responses": pl.List(pl.String),
    "n_right": pl.Int64,
}
SPLITS = {"rewardbench": "filtered", "rewardbench-2": "test", "judgebench": "gpt"}
_DOMAINS = ("safety-refuse", "safety-response", "safety", "chat", "code", "math")


def read_items(
    benchmark: str, path: str | Path | Sequence[Path], *, skip_invalid: bool = False
) -> pl.DataFrame:
    """Items of a benchmark from a file or folder in its published layout.

    Parameters
    ----------
    benchmark
        One of `LAYOUTS`.
    path
        A file, a folder whose files are all read (of a snapshot of the hub only those of the
        published split), or several.
    skip_invalid
        Leave out rows that cannot be read, with a warning that says how many and why.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or none in the folder.
    ValueError
        Naming file, row and what is allowed.
    """
    if benchmark not in LAYOUTS:
        raise ValueError(f"unknown benchmark {benchmark!r}; allowed: {', '.join(LAYOUTS)}")
    read, rows, reasons = LAYOUTS[benchmark], [], []
    paths = [path] if isinstance(path, str | Path) else list(path)
    files = [f for one in paths for f in _files(Path(one).expanduser(), SPLITS.get(benchmark, ""))]
    for file in files:
        for number, record in enumerate(_records(file)):
            try:
                found = read(record, file)
                _check(found)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
                if not skip_invalid:
                    raise ValueError(f"{file}, row {number}: {reason}") from None
                reasons.append(reason)
                continue
            found["item"] = str(number if found["item"] is None else found["item"])
            rows.append(found)
    if reasons:
        warnings.warn(f"{path}: {len(reasons)} rows skipped, first: {reasons[0]}", stacklevel=2)
    if not rows:
        raise ValueError(f"{path}: no items of {benchmark} in it")
    for row in rows:
        row["prompt"] = messages(row["prompt"])
        row["group"] = _digest(row["prompt"])
    seen: set[tuple[str, str]] = set()
    for row in rows:
        key = row["subset"], row["item"]
        if key in seen:
            raise ValueError(f"{path}: item {row['item']!r} of {row['subset']!r} occurs twice")
        seen.add(key)
    return pl.DataFrame([[row[name] for name in SCHEMA] for row in rows], SCHEMA, orient="row")


def pair_items(pairs: pl.DataFrame, subset: str = "") -> pl.DataFrame:
    """Pairs with a known strict preference as items, as of `read_items`.

    Parameters
    ----------
    pairs
        Canonical frame.
    subset
        Name of a text column that gives each item's subset; empty: all are of one.

    Raises
    ------
    ValueError
        If no pair has a known strict preference, or there is no such column.
    """
    if subset and subset not in pairs.columns:
        raise ValueError(f"no column {subset!r}; allowed: {', '.join(pairs.columns)}")
    known = pairs.filter(pl.col("preference").is_in([1, -1]))
    if not len(known):
        raise ValueError("no pair has a known strict preference; allowed: one or more")
    rows = []
    for row in known.iter_rows(named=True):
        both = [row["response_a"], row["response_b"]]
        prompt = messages(row["prompt"])
        responses = both if row["preference"] > 0 else both[::-1]
        of = str(row[subset]) if subset else "all"
        rows.append((row["pair_id"], of, _digest(prompt), prompt, responses, 1))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _check(row: dict) -> None:
    responses, n = row["responses"], row["n_right"]
    if not isinstance(row["prompt"], str | list) or not row["prompt"]:
        raise ValueError("the prompt is empty; allowed: a string or chat messages")
    if not 1 <= n < len(responses):
        raise ValueError(
            f"{n} right of {len(responses)} responses; allowed: some right, some wrong"
        )
    if not all(isinstance(r, str) for r in responses):
        raise ValueError("a response is no string; allowed: strings")


def _digest(prompt: list) -> str:
    text = json.dumps(prompt, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _files(path: Path, split: str) -> list[Path]:
    if path.is_file():
        return [path]
    found = [p for p in sorted(path.rglob("*")) if p.name.lower().endswith(ENDINGS)]
    if not found:
        raise FileNotFoundError(f"no file of a benchmark: {path}; endings: {', '.join(ENDINGS)}")
    return [p for p in found if split and p.name.lower().startswith(split)] or found


def _records(path: Path) -> Iterator[dict]:
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise ValueError(f"{path}: unknown format; allowed endings: {', '.join(ENDINGS)}")
    if name.endswith(".parquet"):
        yield from pl.read_parquet(path).iter_rows(named=True)
    elif name.endswith(".arrow"):
        yield from pl.read_ipc_stream(path).iter_rows(named=True)
    else:
        opener = gzip.open if name.endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8-sig") as file:
            try:
                if ".jsonl" in name:
                    yield from (json.loads(line) for line in file if line.strip())
                else:
                    yield from _listed(json.load(file), path)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}: not valid JSON ({error})") from None


def _listed(content: object, path: Path) -> list:
    if not isinstance(content, list):
        raise ValueError(f"{path}: holds no list of items; allowed: a JSON list, or JSON lines")
    return content


# One reader a layout -----------------------------------------------------------------------------


def _rewardbench(record: dict, file: Path) -> dict:
    """`id`, `subset`, `prompt`, `chosen`, `rejected`: strings."""
    return {
        "item": record.get("id"),
        "subset": record["subset"],
        "prompt": record["prompt"],
        "responses": [_text(record["chosen"]), _text(record["rejected"])],
        "n_right": 1,
    }


def _rewardbench2(record: dict, file: Path) -> dict:
    """`id`, `subset`, `prompt`, `chosen` and `rejected` as lists."""
    return _lists(record, record["subset"])


def _rm_bench(record: dict, file: Path) -> dict:
    """`id`, `prompt`, three `chosen`, three `rejected`; the domain as a column or by the file's name."""
    domain = record.get("domain") or next((d for d in _DOMAINS if d in file.name.lower()), None)
    if domain not in _DOMAINS:
        raise ValueError(
            f"the domain is {domain!r}; allowed: a column 'domain' or a file's name with one of "
            + ", ".join(_DOMAINS)
        )
    return _lists(record, domain)


def _rmb(record: dict, file: Path) -> dict:
    """Pairs (`chosen`, `reject`) or best-of-n (`bon_best`, `loser_list`) behind `conversation_input`."""
    prompt = [{"role": m["role"], "content": m["content"]} for m in record["conversation_input"]]
    pair = "chosen" in record
    best = record["chosen" if pair else "bon_best"]
    others = [record["reject"]] if pair else record["loser_list"]
    category = record["category_path"].partition("_set/")[2] or record["category_path"]
    return {
        "item": record.get("pair_uid" if pair else "bon_uid"),
        "subset": f"{'pairwise' if pair else 'bon'}/{category.lower()}",
        "prompt": prompt,
        "responses": [best["answer"], *(o["answer"] for o in others)],
        "n_right": 1,
    }


def _judgebench(record: dict, file: Path) -> dict:
    """`question`, `response_A`, `response_B` and a `label` of ``A>B`` or ``B>A``."""
    if record["label"] not in ("A>B", "B>A"):
        raise ValueError(f"label is {record['label']!r}; allowed: 'A>B' or 'B>A'")
    both = [record["response_A"], record["response_B"]]
    return {
        "item": record["pair_id"],
        "subset": record["source"],
        "prompt": record["question"],
        "responses": both if record["label"] == "A>B" else both[::-1],
        "n_right": 1,
    }


def _xstest(record: dict, file: Path) -> dict:
    """As `_any`; the two models that answered are part of an item's name."""
    models = [record[n] for n in ("chosen_model", "rejected_model") if record.get(n)]
    found = _any(record, file)
    if found["item"] is not None:
        found["item"] = ":".join([str(found["item"]), *models])
    return found


def _any(record: dict, file: Path) -> dict:
    """`prompt`, `chosen` and `rejected`, strings or lists; optionally `id` and `subset`.

    Or `chosen` and `rejected` as whole dialogues of chat messages, which differ in the last one.
    """
    subset = str(record.get("subset") or "all")
    whole = [record[name] for name in ("chosen", "rejected")]
    if not all(isinstance(x, list) and x and isinstance(x[0], dict) for x in whole):
        return _lists(record, subset)
    prompt, other = ([(m["role"], m["content"]) for m in x[:-1]] for x in whole)
    if prompt != other:
        raise ValueError("chosen and rejected begin otherwise; allowed: one prompt, two responses")
    return {
        "item": record.get("id"),
        "subset": subset,
        "prompt": [{"role": role, "content": content} for role, content in prompt],
        "responses": [_text(x[-1]["content"]) for x in whole],
        "n_right": 1,
    }


def _lists(record: dict, subset: str) -> dict:
    right, wrong = (
        [_text(v) for v in (record[name] if isinstance(record[name], list) else [record[name]])]
        for name in ("chosen", "rejected")
    )
    return {
        "item": record.get("id"),
        "subset": subset,
        "prompt": record["prompt"],
        "responses": right + wrong,
        "n_right": len(right),
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a response is {str(value)[:40]!r}; allowed: strings")
    return value


LAYOUTS: dict[str, Callable[[dict, Path], dict]] = {
    "rewardbench": _rewardbench,
    "rewardbench-2": _rewardbench2,
    "rm-bench": _rm_bench,
    "rmb": _rmb,
    "judgebench": _judgebench,
    "xstest": _xstest,
    "file": _any,
}

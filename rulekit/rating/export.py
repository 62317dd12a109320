"""Ratings as Parquet and as a Hugging Face data set folder, written with memory that stays flat.

Pairs and rules, or all that a store holds, come in, files go out. ``rulekit annotate --export`` and
``rulekit store export`` call it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import write_atomically
from rulekit.inputs.pairs import prompt_text
from rulekit.inputs.rules import RuleSet
from rulekit.rating.store import KEY, Store, in_hex, keys, response_key, rule_key

_RESPONSES = 20_000  # responses a row group
_TABLES = {
    "ratings": "one row a rating: response_id, rule_id, P(no), P(irrelevant), P(yes), "
    "score = P(yes) - P(no), relevance = 1 - P(irrelevant), answer_mass (the probability of the "
    "three answers together before they were made to sum to 1; null where the judge does not tell)",
    "responses": "one row a response: response_id, prompt, response (null where they are not kept; "
    "both as a JSON list where the judge compared two)",
    "pairs": "one row a pair: pair_id, response_id_a, response_id_b, comparison_id (null unless the "
    "judge compared the two), preference (+1 the first, -1 the second, 0 a tie, null unknown)",
    "rules": "one row a rule: rule_id, text, category, weight",
}


def write_ratings(
    responses: np.ndarray, rules: RuleSet, store: Store, path: str | Path, *, judge: str
) -> int:
    """Write the stored ratings of some responses as one Parquet file, atomically.

    Parameters
    ----------
    responses
        Keys, (n_responses,), as `rulekit.rating.store.response_key` makes them.
    rules
        The rules to write.
    store
        Where they are.
    path
        The file.
    judge
        Whose they are: an identity.

    Returns
    -------
    The number of rows. Columns: response_id (hexadecimal key), rule_id, p_no, p_irrelevant,
    p_yes, score, relevance, answer_mass (null where the judge does not tell); what is not rated
    has no row.

    Raises
    ------
    ValueError
        If the judge has no ratings in the store.
    """
    rule_keys = keys([rule_key(t) for t in rules.texts])
    return _write_ratings(responses, rule_keys, rules.ids, store, path, _whose(store, judge))


def write_dataset(
    pairs: pl.DataFrame,
    rules: RuleSet,
    store: Store,
    folder: str | Path,
    *,
    judge: str,
    figures: Mapping[str, object] | None = None,
) -> Path:
    """Write pairs, rules and their ratings as a folder that `datasets.load_dataset` reads.

    Parameters
    ----------
    pairs, rules
        What was rated.
    store
        The ratings.
    folder
        Made if it is not there; its tables and its card are replaced.
    judge
        Whose ratings: an identity.
    figures
        Further lines of the card, such as how many responses were cut.

    Returns
    -------
    The folder: `README.md` (the card, which names judge and rule set) and `data/*.parquet`, each
    a configuration: ``load_dataset(folder, "ratings")``.

    Raises
    ------
    ValueError
        If the judge has no ratings in the store.
    """
    rated = set(in_hex(store.responses(_whose(store, judge))))
    names = ("response_id_a", "response_id_b", "comparison_id")
    ids: dict[str, list] = {name: [] for name in names}
    texts: dict[bytes, tuple] = {}
    for prompt, *sides in pairs["prompt", "response_a", "response_b"].iter_rows():
        for name, response in zip(names, (*sides, tuple(sides)), strict=True):
            key = response_key(prompt, response)
            there = name != "comparison_id" or key.hex() in rated
            ids[name].append(key.hex() if there else None)
            if there:
                texts[key] = (prompt, response)
    tables = {
        "pairs": pl.DataFrame(
            {"pair_id": pairs["pair_id"], **ids, "preference": pairs["preference"]},
            schema_overrides=dict.fromkeys(names, pl.String),
        ),
        "rules": _rules(rules.ids, rules.texts, rules.categories, [float(r.weight) for r in rules]),
    }
    rule_keys = keys([rule_key(t) for t in rules.texts])
    responses = keys(list(texts)), list(texts.values())
    figures = {"Rule set, SHA-256": rules.hash, **(figures or {})}
    return _write_folder(folder, tables, responses, rule_keys, store, judge, figures)


def write_stored(store: Store, folder: str | Path, *, judge: str | None = None) -> Path:
    """Write all that a judge has rated as such a folder, without pairs, which a store does not know.

    Parameters
    ----------
    store
        The ratings and, as far as they are kept, the texts.
    folder
        As for `write_dataset`.
    judge
        Whose ratings: an identity; may be left out where the store has one judge.

    Returns
    -------
    The folder, as `write_dataset` gives it. A rule that was not noted, or whose id another rule has
    too, has its key in its id.

    Raises
    ------
    ValueError
        If the judge is not in the store, or not said and there are several.
    """
    judge = _whose(store, judge)
    rules = store.rules()
    names = [name for _, name, _ in rules]
    ids = [
        name if name and names.count(name) == 1 else f"{name or 'rule'}-{key[:8]}"
        for key, name, _ in rules
    ]
    empty = [None] * len(rules)
    tables = {"rules": _rules(ids, [text for *_, text in rules], empty, empty)}
    responses = store.responses(judge)
    texts = [t or (None, None) for t in store.kept_texts(responses)]
    rule_keys = keys([bytes.fromhex(key) for key, *_ in rules])
    return _write_folder(folder, tables, (responses, texts), rule_keys, store, judge, {})


def _whose(store: Store, judge: str | None) -> str:
    """The judge, if it has ratings; the only one that has, if None."""
    judges = store.judges()
    if judge is None and len(judges) == 1:
        return judges[0]
    if judge not in judges:
        said = "no judge is named" if judge is None else f"judge {judge!r} has no ratings"
        raise ValueError(f"{store.path}: {said}; allowed: {', '.join(map(repr, judges)) or 'none'}")
    return judge


def _write_folder(
    folder: str | Path,
    tables: dict[str, pl.DataFrame],
    responses: tuple[np.ndarray, Sequence[tuple]],
    rule_keys: np.ndarray,
    store: Store,
    judge: str,
    figures: Mapping[str, object],
) -> Path:
    folder, (names, texts) = Path(folder), responses
    columns = {
        "response_id": in_hex(names),
        "prompt": [p if p is None else prompt_text(p) for p, _ in texts],
        "response": [
            json.dumps(r, ensure_ascii=False) if isinstance(r, tuple) else r for _, r in texts
        ],
    }
    tables = {**tables, "responses": pl.DataFrame(columns, dict.fromkeys(columns, pl.String))}
    counts = {name: len(table) for name, table in tables.items()}
    for name in _TABLES:
        path = folder / "data" / f"{name}.parquet"
        if name in tables:
            write_atomically(path, tables[name].write_parquet)
        elif name == "ratings":
            ids = tables["rules"]["rule_id"].to_list()
            counts[name] = _write_ratings(names, rule_keys, ids, store, path, judge)
        else:
            path.unlink(missing_ok=True)  # of a folder that is written anew
    card = _card(counts, judge, figures)
    write_atomically(folder / "README.md", lambda p: p.write_text(card, encoding="utf-8"))
    return folder


def _write_ratings(
    responses: np.ndarray,
    rule_keys: np.ndarray,
    ids: Sequence[str],
    store: Store,
    path: str | Path,
    judge: str,
) -> int:
    import pyarrow.parquet as pq

    responses = np.unique(np.asarray(responses, KEY))
    rows = 0

    def write(temporary: Path) -> None:
        nonlocal rows
        nothing = _ratings(keys([]), np.zeros((0, len(ids), 4), np.float32), ids)
        schema = nothing.to_arrow().schema
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for start in range(0, len(responses), _RESPONSES):
                block = responses[start : start + _RESPONSES]
                p = store.get(judge, block, rule_keys)
                table = _ratings(block, p, ids).to_arrow()
                rows += len(table)
                writer.write_table(table.cast(schema))

    write_atomically(path, write)
    return rows


def _ratings(responses: np.ndarray, p: np.ndarray, ids: Sequence[str]) -> pl.DataFrame:
    row, column = np.nonzero(~np.isnan(p[..., 0]))
    p = p[row, column]
    named = {
        "response_id": pl.Series(in_hex(responses), dtype=pl.String).gather(row),
        "rule_id": pl.Series(ids, dtype=pl.String).gather(column),
    }
    values = {name: p[:, i] for i, name in enumerate(("p_no", "p_irrelevant", "p_yes"))}
    derived = {
        "score": p[:, 2] - p[:, 0],
        "relevance": 1 - p[:, 1],
        "answer_mass": pl.Series(p[:, 3]).fill_nan(None),
    }
    return pl.DataFrame(named | values | derived)


def _rules(ids, texts, categories, weights) -> pl.DataFrame:
    columns = {"rule_id": ids, "text": texts, "category": categories, "weight": weights}
    return pl.DataFrame(columns, {**dict.fromkeys(columns, pl.String), "weight": pl.Float64})


# Card --------------------------------------------------------------------------------------------

_LOCAL_PATH = re.compile(
    r"""(?<![\w:/.])(?:~|[A-Za-z]:|\.{1,2})?[/\\](?:[^\s/\\"'`,;]+[/\\]+)+([^\s/\\"'`,;]*)"""
)


def _card(counts: Mapping[str, int], judge: str, figures: Mapping[str, object]) -> str:
    configs = "\n".join(
        f"- config_name: {name}\n  data_files: data/{name}.parquet"
        + ("\n  default: true" if name == "ratings" else "")
        for name in _TABLES
        if name in counts
    )
    tables = "\n".join(
        f"- `{n}` ({counts[n]:,} rows): {told}." for n, told in _TABLES.items() if n in counts
    )
    said = "\n".join(f"- {_quoted(name)}: {_quoted(value)}" for name, value in figures.items())
    return f"""---
configs:
{configs}
tags:
- preference
- safety
- rulekit
---

# Ratings of responses under {counts["rules"]:,} rules

Made by rulekit.

{tables}

Judge: {_quoted(judge)}

{said}

The texts may hold harmful content; their licence is that of the data set they come from.

```python
from datasets import load_dataset

ratings = load_dataset("path/of/this/folder", "ratings", split="train")
```
"""


def _quoted(value: object) -> str:
    """Any text as Markdown that shows it on one line and obeys nothing in it, without local paths."""
    text = _LOCAL_PATH.sub(r"\1", " ".join(str(value).split())) or " "
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in (text[0], text[-1]) else ""
    return f"{fence}{space}{text}{space}{fence}"

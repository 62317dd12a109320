"""Ratings as Parquet and as a Hugging Face data set folder, written with memory that stays flat.

A store, keys or pairs, and rules come in, files go out. ``rulekit annotate --export`` calls it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.files import write_atomically
from rulekit.inputs.pairs import prompt_text
from rulekit.inputs.rules import RuleSet
from rulekit.rating.sorted_parts import KEY, keys
from rulekit.rating.store import Store, response_key, rule_key

_RESPONSES = 20_000  # responses a row group
_TABLES = {
    "ratings": "one row a rating: response_id, rule_id, P(no), P(irrelevant), P(yes), "
    "score = P(yes) - P(no), relevance = 1 - P(irrelevant), answer_mass (the probability of the "
    "three answers together before they were made to sum to 1; null where the judge does not tell)",
    "responses": "one row a response: response_id, prompt, response",
    "pairs": "one row a pair: pair_id, response_id_a, response_id_b, preference "
    "(+1 the first, -1 the second, 0 a tie, null unknown)",
    "rules": "one row a rule: rule_id, text, category, weight",
}


def write_ratings(path: str | Path, store: Store, responses: np.ndarray, rules: RuleSet) -> int:
    """Write the stored ratings of some responses as one Parquet file, atomically.

    Parameters
    ----------
    path
        The file.
    store
        Where they are.
    responses
        Keys, (n_responses,), as `rulekit.rating.store.response_key` makes them.
    rules
        The rules to write.

    Returns
    -------
    The number of rows. Columns: response_id (hexadecimal key), rule_id, p_no, p_irrelevant,
    p_yes, score, relevance, answer_mass (null where the judge does not tell); what is not rated
    has no row.
    """
    import pyarrow.parquet as pq

    responses = np.unique(np.asarray(responses, KEY))  # the order of the store
    rows = 0

    def write(temporary: Path) -> None:
        nonlocal rows
        schema = (
            _ratings(keys([]), np.zeros((0, len(rules), 4), np.float32), rules).to_arrow().schema
        )
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for block, p in _blocks(store, responses, rules):
                table = _ratings(block, p, rules).to_arrow()
                rows += len(table)
                writer.write_table(table.cast(schema))

    write_atomically(path, write)
    return rows


def write_dataset(
    folder: str | Path,
    pairs: pl.DataFrame,
    rules: RuleSet,
    store: Store,
    figures: Mapping[str, object] | None = None,
) -> Path:
    """Write pairs, rules and their ratings as a folder that `datasets.load_dataset` reads.

    Parameters
    ----------
    folder
        Made if it is not there; its tables and its card are replaced.
    pairs, rules
        What was rated.
    store
        The ratings.
    figures
        Further lines of the card, such as how many responses were cut.

    Returns
    -------
    The folder: `README.md` (the card, which names judge and rule set) and `data/*.parquet`, each
    a configuration: ``load_dataset(folder, "ratings")``.
    """
    folder = Path(folder)
    sides = {"a": [], "b": []}
    texts: dict[bytes, tuple[str, str]] = {}
    for row in pairs.select("prompt", "response_a", "response_b").iter_rows():
        for side, response in zip("ab", row[1:], strict=True):
            key = response_key(row[0], response)
            texts[key] = (prompt_text(row[0]), response)
            sides[side].append(key.hex())
    prompts, responses = zip(*texts.values(), strict=True)
    ids = [key.hex() for key in texts]
    tables = {
        "responses": pl.DataFrame({"response_id": ids, "prompt": prompts, "response": responses}),
        "pairs": pl.DataFrame(
            {
                "pair_id": pairs["pair_id"],
                "response_id_a": sides["a"],
                "response_id_b": sides["b"],
                "preference": pairs["preference"],
            }
        ),
        "rules": pl.DataFrame(
            {
                "rule_id": rules.ids,
                "text": rules.texts,
                "category": rules.categories,
                "weight": [float(r.weight) for r in rules],
            }
        ),
    }
    counts = {}
    for name, table in tables.items():
        write_atomically(folder / "data" / f"{name}.parquet", table.write_parquet)
        counts[name] = len(table)
    path = folder / "data" / "ratings.parquet"
    counts["ratings"] = write_ratings(path, store, keys(list(texts)), rules)
    card = _card(counts, rules, store.identity, figures or {})
    write_atomically(folder / "README.md", lambda p: p.write_text(card, encoding="utf-8"))
    return folder


def _blocks(
    store: Store, responses: np.ndarray, rules: RuleSet
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rule_keys = keys([rule_key(t) for t in rules.texts])
    for start in range(0, len(responses), _RESPONSES):
        block = responses[start : start + _RESPONSES]
        yield block, store.get_with_mass(block, rule_keys)


def _ratings(responses: np.ndarray, p: np.ndarray, rules: RuleSet) -> pl.DataFrame:
    row, column = np.nonzero(~np.isnan(p[..., 0]))
    p = p[row, column]
    # `tobytes` and slicing: an item of an S16 array has lost its trailing zero bytes.
    data = responses.tobytes()
    ids = [data[i : i + 16].hex() for i in range(0, len(data), 16)]
    named = {
        "response_id": pl.Series(ids, dtype=pl.String).gather(row),
        "rule_id": pl.Series(rules.ids, dtype=pl.String).gather(column),
    }
    values = {name: p[:, i] for i, name in enumerate(("p_no", "p_irrelevant", "p_yes"))}
    derived = {
        "score": p[:, 2] - p[:, 0],
        "relevance": 1 - p[:, 1],
        "answer_mass": pl.Series(p[:, 3]).fill_nan(None),
    }
    return pl.DataFrame(named | values | derived)


def _card(counts: Mapping, rules: RuleSet, identity: str, figures: Mapping) -> str:
    configs = "\n".join(
        f"- config_name: {name}\n  data_files: data/{name}.parquet"
        + ("\n  default: true" if name == "ratings" else "")
        for name in _TABLES
    )
    tables = "\n".join(f"- `{name}` ({counts[name]:,} rows): {_TABLES[name]}." for name in _TABLES)
    said = "".join(f"\n- {name}: {value}" for name, value in figures.items())
    return f"""---
configs:
{configs}
tags:
- preference
- safety
- rulekit
---

# Ratings of responses under {len(rules)} rules

Made by `rulekit annotate`.

{tables}

Judge: `{identity}`

Rule set: sha256 `{rules.hash}` over the texts in order.
{said}

The texts may hold harmful content; their licence is that of the data set they come from.

```python
from datasets import load_dataset

ratings = load_dataset("path/of/this/folder", "ratings", split="train")
```
"""

"""Files of preference pairs in any common layout come in, checked canonical rows go out.

Notebooks and the command line call `load_pairs`; `rulekit.inputs.labelled_responses` reads its rows through
`records` too.
"""

from __future__ import annotations

import gzip
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import polars as pl

from rulekit.files import sha256
from rulekit.inputs.pairs import COLUMNS, MESSAGES, check_pairs, messages, prompt_text

LAYOUTS = {
    "pairs": "prompt, response_a, response_b, optionally preference and pair_id",
    "preference": "chosen, rejected, optionally prompt (strings, chat messages, or 'Human:' dialogues)",
    "ranking": "prompt, responses (a list of {id, text}), ranking (their ids, best first)",
}
_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}
_ROLES = {"system", "user", "assistant"}


def load_pairs(path: str | Path, *, skip_invalid: bool = False) -> pl.DataFrame:
    """Read preference pairs from JSONL, Parquet or CSV (JSONL also gzipped).

    The layout is found from the columns: ``response_a``/``response_b`` with ``preference``;
    Hugging Face ``chosen``/``rejected`` with or without ``prompt``, as strings, chat messages or
    ``\\n\\nHuman: … \\n\\nAssistant: …`` dialogues (chosen becomes A, preference +1); or ranked
    responses, one row a prompt, which become all pairs of the prompt.

    Parameters
    ----------
    path
        The file; the ending names the format.
    skip_invalid
        Leave rows out that cannot be used, with a warning that counts them by reason, instead
        of refusing the file.

    Returns
    -------
    The canonical frame, in the order of the file; without a `pair_id` a pair is named by the
    number of its row, from 0.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For an unknown ending or layout, and, unless `skip_invalid`, for the first row that
        cannot be used: the message names file, line or row, column and what is allowed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    rows: list[dict] = []
    reasons: Counter[str] = Counter()
    total = 0
    for where, record in records(path):
        total += 1
        try:
            if isinstance(record, ValueError):
                raise record
            for row in _rows(record):
                row["pair_id"] = str(total - 1 if row.get("pair_id") is None else row["pair_id"])
                rows.append(row)
        except ValueError as error:
            if not skip_invalid:
                raise ValueError(f"{path}, {where}: {error}") from None
            reasons[str(error)] += 1
    if reasons:
        why = "; ".join(f"{n} × {reason}" for reason, n in reasons.most_common())
        warnings.warn(
            f"{path.name}: {reasons.total()} of {total} rows skipped: {why}", stacklevel=2
        )
    if not rows:
        raise ValueError(f"{path}: no pairs in it")
    try:
        return check_pairs(_frame(rows))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def records(path: Path) -> Iterator[tuple[str, dict | ValueError]]:
    """(where, record) for each row; a line that cannot be parsed comes as the error."""
    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz", ".ndjson")):
        opener = gzip.open if name.endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"line {number}", _parse(line)
    elif name.endswith((".parquet", ".csv")):
        if name.endswith(".csv"):
            frame = pl.read_csv(
                path, infer_schema_length=None, schema_overrides={"pair_id": pl.String}
            )
        else:
            frame = pl.read_parquet(path)
        for number, record in enumerate(frame.iter_rows(named=True)):
            yield f"row {number}", record
    else:
        raise ValueError(
            f"{path}: unknown format; allowed endings: .jsonl, .jsonl.gz, .ndjson, .parquet, .csv"
        )


def _parse(line: str) -> dict | ValueError:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        return ValueError(f"not valid JSON ({error.msg} at column {error.colno})")
    return record if isinstance(record, dict) else ValueError("not a JSON object")


def _rows(record: dict) -> list[dict]:
    """The canonical rows of one record; `ValueError` says what is wrong with it."""
    if {"response_a", "response_b"} <= record.keys():
        rows = [{**record, "prompt": record.get("prompt"), "preference": record.get("preference")}]
    elif {"chosen", "rejected"} <= record.keys():
        rows = [_chosen_rejected(record)]
    elif {"responses", "ranking"} <= record.keys():
        rows = _ranked(record)
    else:
        layouts = "; ".join(LAYOUTS.values())
        raise ValueError(f"columns {sorted(record)} are of no known layout; allowed: {layouts}")
    for row in rows:
        row["prompt"] = _check_prompt(row["prompt"])
        for column in ("response_a", "response_b"):
            if not isinstance(row[column], str) or not row[column].strip():
                raise ValueError(f"column {column!r} is empty; allowed: a non-empty string")
        if row["response_a"] == row["response_b"]:
            raise ValueError("the two responses are equal; allowed: two different responses")
        if row["preference"] not in (1, 0, -1, None) or isinstance(row["preference"], bool):
            raise ValueError(
                f"column 'preference' is {row['preference']!r}; allowed: +1, 0, -1 or null"
            )
    return rows


def _chosen_rejected(record: dict) -> dict:
    chosen, rejected = (_turns(record[c], c) for c in ("chosen", "rejected"))
    if record.get("prompt") is not None:
        prompt = record["prompt"]
        given = messages(_check_prompt(prompt))
        chosen, rejected = (
            t[len(given) :] if t[: len(given)] == given else t for t in (chosen, rejected)
        )
    else:
        shared = next(
            (i for i, (c, r) in enumerate(zip(chosen, rejected, strict=False)) if c != r),
            min(len(chosen), len(rejected)),
        )
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
        if not prompt:
            raise ValueError(
                "there is no column 'prompt', and chosen and rejected begin differently; allowed: "
                "dialogues that share at least their first user turn"
            )
        if len(prompt) == 1 and prompt[0]["role"] == "user":
            prompt = prompt[0]["content"]
    extra = {k: v for k, v in record.items() if k not in {"chosen", "rejected", "prompt"}}
    return extra | {
        "prompt": prompt,
        "response_a": _continuation(chosen),
        "response_b": _continuation(rejected),
        "preference": 1,
    }


def _turns(value: object, column: str) -> list[dict[str, str]]:
    """Chosen or rejected as messages: a chat, a 'Human:' dialogue, or one bare answer."""
    if isinstance(value, str):
        parts = _TURN.split(value)
        if len(parts) > 1 and not parts[0].strip():
            return [
                {"role": _ROLE[speaker], "content": text.strip()}
                for speaker, text in zip(parts[1::2], parts[2::2], strict=True)
            ]
        return [{"role": "assistant", "content": value}]
    if isinstance(value, list):
        return _check_messages(value, column)
    raise ValueError(f"column {column!r} is {value!r:.40}; allowed: a string or chat messages")


def _continuation(turns: list[dict[str, str]]) -> str:
    """What follows the prompt as one response; a longer continuation keeps its speakers."""
    if len(turns) == 1:
        return turns[0]["content"]
    return prompt_text(turns).removeprefix("Assistant: ") if turns else ""


def _ranked(record: dict) -> list[dict]:
    """One row with n ranked responses becomes n(n-1)/2 pairs, sides in the order of the file."""
    responses, ranking = record["responses"], record["ranking"]
    try:
        texts = {r["id"]: r["text"] for r in responses}
    except (TypeError, KeyError):
        raise ValueError("column 'responses': allowed: a list of {id, text}") from None
    if len(texts) != len(responses) or len(texts) < 2:
        raise ValueError("column 'responses': allowed: two or more, with unique ids")
    if sorted(map(str, ranking)) != sorted(map(str, texts)):
        raise ValueError(
            f"column 'ranking' is {ranking!r}; allowed: every id of {list(texts)} once, best first"
        )
    extra = {k: v for k, v in record.items() if k not in {"responses", "ranking"}}
    if all({"satisfies", "violates"} <= r.keys() for r in responses):
        extra["annotations"] = [
            {k: r[k] for k in ("id", "satisfies", "violates")} for r in responses
        ]
    name = record.get("prompt_id", sha256(json.dumps(record["prompt"]))[:12])
    return [
        extra
        | {
            "pair_id": f"{name}:{a}-{b}",
            "response_id_a": f"{name}:{a}",
            "response_id_b": f"{name}:{b}",
            "response_a": texts[a],
            "response_b": texts[b],
            "preference": 1 if ranking.index(a) < ranking.index(b) else -1,
        }
        for a, b in combinations(texts, 2)
    ]


def _check_prompt(prompt: object) -> str | list[dict[str, str]]:
    if isinstance(prompt, str) and prompt.strip():
        return prompt
    if isinstance(prompt, list) and prompt:
        return _check_messages(prompt, "prompt")
    raise ValueError("column 'prompt' is empty; allowed: a non-empty string or list of messages")


def _check_messages(value: list, column: str) -> list[dict[str, str]]:
    for turn in value:
        if not (
            isinstance(turn, dict)
            and turn.get("role") in _ROLES
            and isinstance(turn.get("content"), str)
        ):
            raise ValueError(
                f"column {column!r} holds {turn!r:.60}; allowed: messages with a role of "
                f"{sorted(_ROLES)} and a string content"
            )
    if any(a["role"] == b["role"] == "system" for a, b in pairwise(value)):
        raise ValueError(f"column {column!r} holds two system messages in a row; allowed: one")
    return [{"role": t["role"], "content": t["content"]} for t in value]


def _frame(rows: list[dict]) -> pl.DataFrame:
    chat = any(not isinstance(row["prompt"], str) for row in rows)
    names = list(dict.fromkeys((*COLUMNS, *(k for row in rows for k in row))))
    schema = {
        "pair_id": pl.String,
        "response_a": pl.String,
        "response_b": pl.String,
        "preference": pl.Int8,
        "prompt": MESSAGES if chat else pl.String,
    }
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name == "prompt" and chat:
            values = [messages(v) for v in values]
        columns[name] = pl.Series(name, values, dtype=schema.get(name), strict=name in schema)
    return pl.DataFrame(columns)

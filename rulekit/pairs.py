"""Preference pairs as one Polars frame: files of any common layout come in, checked rows go out.

The canonical columns are `pair_id`, `prompt`, `response_a`, `response_b`, `preference`
(+1 the first response is preferred, -1 the second, 0 a tie, null unknown). `prompt` is a
string column, or a list of `{role, content}` messages if any prompt of the file is a chat.
Further columns of the file are kept.
"""

from __future__ import annotations

import gzip
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise
from pathlib import Path

import polars as pl

from rulekit.files import sha256

COLUMNS = ("pair_id", "prompt", "response_a", "response_b", "preference")
LAYOUTS = {
    "pairs": "prompt, response_a, response_b, optionally preference and pair_id",
    "preference": "chosen, rejected, optionally prompt (strings, chat messages, or 'Human:' dialogues)",
    "ranking": "prompt, responses (a list of {id, text}), ranking (their ids, best first)",
}
_MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
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


def check_pairs(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame in canonical column order and types, or say what is wrong with it.

    Raises
    ------
    ValueError
        Naming the column, the row (from 0) and what is allowed: a missing column, a duplicate
        `pair_id`, an empty prompt or response, two equal responses, a preference other than
        +1, 0, -1 or null.
    """
    missing = [c for c in COLUMNS if c not in frame.columns]
    if missing:
        raise ValueError(f"column {missing[0]!r} is missing; a frame of pairs has {COLUMNS}")
    for column in ("pair_id", "response_a", "response_b"):
        if frame[column].dtype != pl.String:
            raise ValueError(f"column {column!r} is {frame[column].dtype}; allowed: strings")
        empty = frame[column].str.strip_chars().fill_null("") == ""
        _refuse(empty, column, "is empty; allowed: a non-empty string")
    _refuse(~frame["pair_id"].is_first_distinct(), "pair_id", "occurs twice; allowed: unique ids")
    _refuse(
        frame["response_a"] == frame["response_b"],
        "response_b",
        "equals response_a; allowed: two different responses",
    )
    prompt = frame["prompt"]
    if prompt.dtype == pl.String:
        blank = prompt.str.strip_chars().fill_null("") == ""
    elif prompt.dtype == _MESSAGES:
        blank = prompt.list.len().fill_null(0) == 0
    else:
        raise ValueError(f"column 'prompt' is {prompt.dtype}; allowed: strings or chat messages")
    _refuse(blank, "prompt", "is empty; allowed: a non-empty string or list of messages")
    preference = frame["preference"]
    if not (preference.dtype.is_integer() or preference.dtype == pl.Null):
        raise ValueError(f"column 'preference' is {preference.dtype}; allowed: +1, 0, -1 or null")
    wrong = preference.is_not_null() & ~preference.is_in([1, 0, -1])
    _refuse(wrong, "preference", "is out of range; allowed: +1, 0, -1 or null")
    extra = [c for c in frame.columns if c not in COLUMNS]
    return frame.with_columns(pl.col("preference").cast(pl.Int8)).select(*COLUMNS, *extra)


def messages(prompt: str | list[dict]) -> list[dict[str, str]]:
    """A prompt as chat messages: a string becomes one user message."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


def prompt_text(prompt: str | list[dict]) -> str:
    """A prompt as one text: a single user message bare, a dialogue with its speakers named."""
    turns = messages(prompt)
    if len(turns) == 1 and turns[0]["role"] == "user":
        return turns[0]["content"]
    return "\n\n".join(f"{t['role'].capitalize()}: {t['content']}" for t in turns)


def conversation(prompt: str | list[dict]) -> str:
    """Canonical JSON of a prompt's messages: what tells one conversation from another.

    A text is one user's message, also where it looks like the transcript of a dialogue.
    """
    return json.dumps([[turn["role"], turn["content"]] for turn in messages(prompt)])


def prompt_groups(pairs: pl.DataFrame) -> pl.Series:
    """The group of each pair, equal for prompts that must never be split apart.

    Prompts belong together when their first user message is the same up to case and spacing,
    so that two stages of one dialogue cannot fall on both sides of a split.
    """

    def key(prompt: str | list[dict]) -> str:
        first = next((t for t in messages(prompt) if t["role"] == "user"), messages(prompt)[0])
        return sha256(" ".join(first["content"].lower().split()))[:16]

    return pl.Series("group", [key(p) for p in pairs["prompt"].to_list()], dtype=pl.String)


def split_pairs(
    pairs: pl.DataFrame, fractions: Mapping[str, float] | None = None, seed: int = 0
) -> pl.DataFrame:
    """Add a column `split` that keeps all pairs of one prompt together.

    The split of a prompt depends on its text and the seed alone, so that a data set which grows
    never moves a prompt from one split to another.

    Parameters
    ----------
    pairs
        Canonical frame.
    fractions
        Name → share of the prompts; positive, summing to 1. Default 60/20/20 train, validation
        and test. Shares are met on average, not exactly.
    seed
        Another seed gives another split.

    Raises
    ------
    ValueError
        If the shares are not positive or do not sum to 1.
    """
    fractions = fractions or {"train": 0.6, "validation": 0.2, "test": 0.2}
    if min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-9:
        raise ValueError(f"fractions are {dict(fractions)}; allowed: positive, with sum 1")
    names, edges, edge = list(fractions), [], 0.0
    for share in fractions.values():
        edges.append(edge := edge + share)

    def split_of(group: str) -> str:
        position = int(sha256(f"{seed}:{group}")[:13], 16) / 16**13  # in [0, 1)
        return next((n for n, e in zip(names, edges, strict=True) if position < e), names[-1])

    splits = [split_of(g) for g in prompt_groups(pairs)]
    return pairs.with_columns(pl.Series("split", splits, dtype=pl.String))


def folds(pairs: pl.DataFrame, n_folds: int = 5, seed: int = 0) -> list[int]:
    """Fold number of each pair for cross-fitting, prompts kept together and folds of equal size.

    Raises
    ------
    ValueError
        If there are fewer prompts than folds.
    """
    groups = prompt_groups(pairs).to_list()
    order = sorted(set(groups), key=lambda g: sha256(f"{seed}:{g}"))
    if not 2 <= n_folds <= len(order):
        raise ValueError(f"n_folds is {n_folds}; allowed: 2 to {len(order)}, the number of prompts")
    fold_of = {g: i % n_folds for i, g in enumerate(order)}
    return [fold_of[g] for g in groups]


# Files to records ------------------------------------------------------------------------------


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


# Records to rows -------------------------------------------------------------------------------


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
        "prompt": _MESSAGES if chat else pl.String,
    }
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        if name == "prompt" and chat:
            values = [messages(v) for v in values]
        columns[name] = pl.Series(name, values, dtype=schema.get(name), strict=name in schema)
    return pl.DataFrame(columns)


def _refuse(bad: pl.Series, column: str, problem: str) -> None:
    rows = bad.fill_null(False).arg_true()
    if len(rows):
        more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
        raise ValueError(f"column {column!r}, row {rows[0]}{more} {problem}")

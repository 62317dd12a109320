"""Files of preference pairs in any common layout come in, checked canonical rows go out.

`sources.load_pairs`, which knows data sets by name, calls `read_pairs`;
`rulekit.inputs.labelled_responses` reads its rows through `records` too.
"""

from __future__ import annotations

import gzip
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import polars as pl

from rulekit.files import sha256
from rulekit.inputs.pairs import (
    COLUMNS,
    MESSAGES,
    check_pairs,
    lone_surrogate,
    messages,
    prompt_text,
)

LAYOUTS = {
    "pairs": "prompt, response_a, response_b, optionally preference and pair_id",
    "preference": "chosen, rejected, optionally prompt (strings, chat messages, or 'Human:' dialogues)",
    "ranking": "prompt, responses (a list of {id, text}), ranking (their ids, best first)",
}
ENDINGS = (".jsonl", ".jsonl.gz", ".ndjson", ".parquet", ".csv", ".arrow")
_TEXTS = ("pair_id", "prompt", "response_a", "response_b", "chosen", "rejected", "response", "rule")
_PROMPTS = ("question", "instruction", "query", "input")  # what others call a prompt
_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLE = {"Human": "user", "Assistant": "assistant"}
_ROLES = {"system", "user", "assistant"}


def read_pairs(
    path: str | Path | Sequence[str | Path], *, skip_invalid: bool = False
) -> pl.DataFrame:
    """Read preference pairs from one file or several; as `rulekit.load_pairs`, without names.

    Parameters
    ----------
    path
        A file, a folder, a glob, or a list of files.
    skip_invalid
        As for `rulekit.load_pairs`.

    Raises
    ------
    FileNotFoundError, ValueError
        As for `rulekit.load_pairs`.
    """
    files = _files(path) if isinstance(path, str | Path) else [Path(p) for p in path]
    rows: list[dict] = []
    reasons: Counter[str] = Counter()
    total = 0
    for file in files:
        for where, record in records(file):
            total += 1
            try:
                if isinstance(record, ValueError):
                    raise record
                for row in _rows(record):
                    row["pair_id"] = str(
                        total - 1 if row.get("pair_id") is None else row["pair_id"]
                    )
                    rows.append(row)
            except ValueError as error:
                if not skip_invalid:
                    raise ValueError(f"{file}, {where}: {error}") from None
                reasons[str(error)] += 1
    named = str(files[0] if len(files) == 1 else path)
    if reasons:
        why = "; ".join(f"{n} × {reason}" for reason, n in reasons.most_common())
        warnings.warn(f"{named}: {reasons.total()} of {total} rows skipped: {why}", stacklevel=3)
    if not rows:
        raise ValueError(f"{named}: no pairs in it")
    try:
        return check_pairs(_frame(rows))
    except ValueError as error:
        raise ValueError(f"{named}: {error}") from None


def _files(path: str | Path) -> list[Path]:
    """The files that a path, a folder or a glob names, in the order of their names."""
    text = str(path)
    path = Path(text).expanduser()
    if path.is_file():
        return [path]
    if path.is_dir():
        found = [p for p in sorted(path.rglob("*")) if p.name.lower().endswith(ENDINGS)]
        what = f"no file of pairs in the folder {text}; allowed endings: {', '.join(ENDINGS)}"
    else:
        pattern = str(path.relative_to(path.anchor))
        found = [p for p in sorted(Path(path.anchor).glob(pattern)) if p.is_file()]
        what = f"no such file: {text}"
    if not found:
        raise FileNotFoundError(what)
    return found


def records(path: Path) -> Iterator[tuple[str, dict | ValueError]]:
    """(where, record) for each row; a line that cannot be parsed comes as the error.

    Raises
    ------
    ValueError
        Naming the file, if its ending is unknown or its content is not of that format.
    """
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        raise ValueError(f"{path}: unknown format; allowed endings: {', '.join(ENDINGS)}")
    try:
        if name.endswith((".jsonl", ".jsonl.gz", ".ndjson")):
            opener = gzip.open if name.endswith(".gz") else open
            with opener(path, "rt", encoding="utf-8-sig") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield f"line {number}", _parse(line)
            return
        if name.endswith(".arrow"):
            frame = pl.read_ipc_stream(path)
        else:
            frame = _read_csv(path) if name.endswith(".csv") else pl.read_parquet(path)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"{path}: not UTF-8 (byte {byte:#x}); allowed: a file in UTF-8") from None
    except (pl.exceptions.PolarsError, gzip.BadGzipFile, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise ValueError(f"{path}: not readable by its ending ({reason})") from None
    for number, record in enumerate(frame.iter_rows(named=True)):
        yield f"row {number}", record


def _read_csv(path: Path) -> pl.DataFrame:
    """A table separated by what its head is separated by, its texts as texts also if numerals."""
    text = path.read_bytes().decode("utf-8-sig")
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    texts = dict.fromkeys(_TEXTS, pl.String)
    return pl.read_csv(
        text.encode(), separator=separator, infer_schema_length=None, schema_overrides=texts
    )


def _parse(line: str) -> dict | ValueError:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        return ValueError(f"not valid JSON ({error.msg} at column {error.colno})")
    return record if isinstance(record, dict) else ValueError("not a JSON object")


def _rows(record: dict) -> list[dict]:
    """The canonical rows of one record; `ValueError` says what is wrong with it."""
    for column, value in record.items():
        if told := next(filter(None, map(lone_surrogate, _texts([column, value]))), ""):
            raise ValueError(f"column {column!r} {told}")
    if "prompt" not in record and (other := [n for n in _PROMPTS if n in record]):
        raise ValueError(f"there is no column 'prompt' but {other[0]!r}; allowed: rename it to it")
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
        if row["preference"] is not None:
            row["preference"] = int(row["preference"])
    return rows


def _texts(value: object) -> Iterator[str]:
    """All texts of a JSON value, the names in it too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        parts = (*value, *value.values()) if isinstance(value, dict) else value
        for part in parts:
            yield from _texts(part)


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
    scores = [record.get(f"score_{side}") for side in ("chosen", "rejected")]
    tied = None not in scores and scores[0] == scores[1]
    return extra | {
        "prompt": prompt,
        "response_a": _continuation(chosen),
        "response_b": _continuation(rejected),
        "preference": 0 if tied else 1,
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

"""Scores of many questions, part by part: each is asked once, and what is on disk is not asked again."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from rulekit.benchmarks.contract import Question, Scorer
from rulekit.files import sha256, watched, write_atomically

_SCHEMA = {
    "question": pl.String,
    "score": pl.Float64,
    "lost": pl.Int64,
    "response_lost": pl.Int64,
    "first": pl.Float64,
}


def score_questions(
    scorer: Scorer, questions: Sequence[Question], folder: Path | None = None, title: str = ""
) -> tuple[pl.DataFrame, dict]:
    """Scores of questions, in their order.

    Parameters
    ----------
    scorer
        Who scores.
    questions
        Each different one is asked once.
    folder
        Where each part is written as soon as it is scored; None keeps nothing.
    title
        Of the progress bar.

    Returns
    -------
    Columns question (a hash), score, lost, response_lost and first (null where the scorer cannot
    tell); and what it took: questions asked and found on disk, tokens, seconds.
    """
    from tqdm.auto import tqdm

    keys = [_key(question) for question in questions]
    different = dict(zip(keys, questions, strict=True))
    kept = _kept(folder, scorer.identity)
    open_ = sorted((k for k in different if k not in kept), key=lambda k: _size(different[k]))
    tokens, seconds = 0, 0.0
    bar = tqdm(total=len(open_), desc=title, unit="response", disable=not watched())
    with bar:
        for start in range(0, len(open_), scorer.part):
            part, begin = open_[start : start + scorer.part], time.perf_counter()
            found = scorer.read([different[k] for k in part])
            seconds, tokens = seconds + time.perf_counter() - begin, tokens + found.tokens
            columns = (part, found.scores, found.lost, found.response_lost, found.first)
            frame = pl.DataFrame(dict(zip(_SCHEMA, columns, strict=True)), schema=_SCHEMA)
            if folder is not None:
                name = f"{sha256(''.join(part))[:16]}.parquet"
                write_atomically(_of(folder, scorer.identity) / name, frame.write_parquet)
            kept |= {row[0]: row for row in frame.iter_rows()}
            bar.update(len(part))
    took = {
        "questions": len(different),
        "asked": len(open_),
        "found": len(different) - len(open_),
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(tokens / seconds, 1) if seconds and tokens else None,
    }
    return pl.DataFrame([kept[k] for k in keys], schema=_SCHEMA, orient="row"), took


def _kept(folder: Path | None, identity: str) -> dict[str, tuple]:
    """Rows on disk by their question."""
    if folder is None:
        return {}
    rows = {}
    for path in sorted(_of(folder, identity).glob("*.parquet")):
        for row in (
            pl.scan_parquet(path, schema=_SCHEMA, missing_columns="insert").collect().iter_rows()
        ):
            if np.isfinite(row[1]):
                rows[row[0]] = row
    return rows


def _of(folder: Path, identity: str) -> Path:
    return folder / sha256(identity)[:16]


def _key(question: Question) -> str:
    prompt, responses = question
    text = json.dumps([[[t["role"], t["content"]] for t in prompt], list(responses)])
    return sha256(text)[:32]


def _size(question: Question) -> int:
    return sum(len(t["content"]) for t in question[0]) + sum(map(len, question[1]))

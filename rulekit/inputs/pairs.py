"""Preference pairs as one Polars frame: its columns, what is allowed in them, and its splits.

The canonical columns are `pair_id`, `prompt`, `response_a`, `response_b`, `preference`
(+1 the first response is preferred, -1 the second, 0 a tie, null unknown). `prompt` is a
string column, or a list of `{role, content}` messages if any prompt of the file is a chat.
Further columns are kept. `rulekit.inputs.readers` makes such frames from files.
"""

from __future__ import annotations

import json

import polars as pl

from rulekit.files import sha256

COLUMNS = ("pair_id", "prompt", "response_a", "response_b", "preference")
MESSAGES = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


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
    elif prompt.dtype == MESSAGES:
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
    return dialogue(turns)


def dialogue(prompt: str | list[dict]) -> str:
    """A prompt as one text, every turn with its speaker: ``User: …``, a blank line between turns."""
    return "\n\n".join(f"{t['role'].capitalize()}: {t['content']}" for t in messages(prompt))


def conversation(prompt: str | list[dict]) -> str:
    """Canonical JSON of a prompt's messages: what tells one conversation from another.

    A text is one user's message, also where it looks like the transcript of a dialogue.
    """
    return json.dumps([[turn["role"], turn["content"]] for turn in messages(prompt)])


def lone_surrogate(text: str) -> str:
    """What is wrong with a text that holds half a character; empty for one that a file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate); allowed: whole characters"
    return ""


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
    pairs: pl.DataFrame, test: float = 0.2, *, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two frames, to train on and to test on; all pairs of one prompt stay together.

    On which side a prompt falls depends on its text and the seed alone, so that a data set which
    grows never moves a prompt to the other side.

    Parameters
    ----------
    pairs
        Canonical frame.
    test
        Share of the prompts to test on, above 0 and below 1; met on average, not exactly.
    seed
        Another seed gives another split. To split a part again, take another one: with the same,
        a prompt falls where it fell before.

    Returns
    -------
    The pairs to train on and those to test on, each in the order of the frame.

    Raises
    ------
    ValueError
        If the share is out of range, or one side would be empty.
    """
    if not 0 < test < 1:
        raise ValueError(f"test is {test!r}; allowed: above 0, below 1")

    def position(group: str) -> float:  # in [0, 1)
        return int(sha256(f"{seed}:{group}")[:13], 16) / 16**13

    groups = prompt_groups(pairs)
    held = pl.Series([position(g) >= 1 - test for g in groups], dtype=pl.Boolean)
    if not held.any() or held.all():
        side = "to test on" if not held.any() else "to train on"
        raise ValueError(
            f"no pair is left {side}: test {test:g} of {groups.n_unique()} prompts, seed {seed}; "
            "allowed: another seed, another share, or more prompts"
        )
    return pairs.filter(~held), pairs.filter(held)


def folds(pairs: pl.DataFrame, n_folds: int = 5, seed: int = 0) -> list[int]:
    """Fold number of each pair for cross-fitting, prompts kept together and folds of equal size.

    Parameters
    ----------
    pairs
        Canonical frame.
    n_folds
        Number of folds, at most that of prompts.
    seed
        Another seed gives other folds.

    Returns
    -------
    0 to n_folds - 1, (n_pairs,).

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


def _refuse(bad: pl.Series, column: str, problem: str) -> None:
    rows = bad.fill_null(False).arg_true()
    if len(rows):
        more = f" (and {len(rows) - 1} more rows)" if len(rows) > 1 else ""
        raise ValueError(f"column {column!r}, row {rows[0]}{more} {problem}")

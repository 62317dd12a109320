"""Texts as token ids: pairs come in, sequences of at most `max_tokens` go out, and what was cut of them.

`batches` packs them to train on, `plain_model` reads them as in training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from rulekit.inputs.pairs import messages, prompt_text

RESPONSES = ("response_a", "response_b")
PARTS = ("prompt", "first_response", "second_response")  # of an adapter's text


def tokenize(
    pairs: pl.DataFrame, tokenizer, max_tokens: int, too_long: str, cut: str = "start"
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """Token ids of both responses of each pair behind its prompt, and why a pair is unusable.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    tokenizer
        With a chat template.
    max_tokens, too_long
        As in `TrainingConfig`.
    cut
        Where a longer sequence is cut: at its ``start``, behind the first token, or at its ``end``,
        before the last.

    Returns
    -------
    sequences
        (response A, response B) of each pair, int32 arrays.
    reason
        Empty string, or why the pair cannot be trained on, (n_pairs,) objects: ``too long``, or
        ``equal once cut`` for two sequences without a difference left, which have no gradient.
    lost
        Tokens that were cut of each, of `RESPONSES`, int64 (n_pairs, 2).
    """
    prompts, both = pairs["prompt"].to_list(), []
    for column in RESPONSES:
        turns = [
            [*messages(prompt), {"role": "assistant", "content": response}]
            for prompt, response in zip(prompts, pairs[column].to_list(), strict=True)
        ]
        both.append(token_ids(turns, tokenizer))
    reason = np.full(len(pairs), "", dtype=object)
    lost = np.zeros((len(pairs), 2), dtype=np.int64)
    sequences = []
    for row, whole in enumerate(zip(*both, strict=True)):
        if max(map(len, whole)) > max_tokens and too_long == "drop":
            reason[row] = "too long"
        a, b = (shortened(ids, max_tokens, cut) for ids in whole)
        if np.array_equal(a, b):
            reason[row] = "equal once cut"
        lost[row] = len(whole[0]) - len(a), len(whole[1]) - len(b)
        sequences.append((a, b))
    return sequences, reason, lost


def token_ids(conversations: list[list[dict[str, str]]], tokenizer) -> list[np.ndarray]:
    """Token ids of each conversation under the tokenizer's chat template, int32 arrays.

    Raises
    ------
    ValueError
        If a sequence ends in the padding token, which a padded model would read over.
    """
    if not conversations:
        return []
    return _ids_of(tokenizer.apply_chat_template(conversations, tokenize=False), tokenizer)


def _ids_of(texts: list[str], tokenizer) -> list[np.ndarray]:
    """Token ids of rendered conversations, int32 arrays."""
    found = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    pad = tokenizer.pad_token_id
    for row, ids in enumerate(found):
        if not ids or ids[-1] == pad:
            raise ValueError(
                f"conversation {row} ends in the padding token {tokenizer.pad_token!r} or is empty; "
                "allowed: a chat template whose last token is another one"
            )
    return [np.asarray(ids, dtype=np.int32) for ids in found]


def shortened(ids: np.ndarray, max_tokens: int, cut: str = "start") -> np.ndarray:
    """At most `max_tokens` ids: the first, which models lean on, and the last ones; or the first ones.

    Arguments are those of `tokenize`, `ids` an int32 array.
    """
    if len(ids) <= max_tokens:
        return ids
    if cut == "end":
        return np.concatenate([ids[: max_tokens - 1], ids[-1:]])
    return np.concatenate([ids[:1], ids[1 - max_tokens :]])


def adapter_sequences(
    pairs: pl.DataFrame, tokenizer, max_tokens: int
) -> tuple[list[tuple[np.ndarray]], np.ndarray]:
    """Token ids of prompt and both responses of each pair, one int32 array a pair.

    The responses stand in alphabetical order, so that which of them is called A cannot matter. Of a
    text that is too long the prompt loses its beginning first, behind the first token. Where that
    is not enough, both responses keep as many tokens, the first ones of each; one that needs fewer
    leaves the rest to the other.

    Parameters
    ----------
    pairs
        Canonical frame, n_pairs rows.
    tokenizer
        With a chat template.
    max_tokens
        Longest sequence.

    Returns
    -------
    sequences
        Of each pair one.
    lost
        Tokens that were cut of each of `PARTS`, int64 (n_pairs, 3).
    """
    turns, contents = [], []
    for prompt, a, b in pairs.select("prompt", *RESPONSES).iter_rows():
        first, second = sorted((a, b))
        opening = f"Response 1: {first}"
        contents.append((opening, f"{opening}\n\nResponse 2: ", second.rstrip()))
        both = f"{opening}\n\nResponse 2: {second}"
        turns.append([*messages(prompt), {"role": "assistant", "content": both}])
    lost = np.zeros((len(turns), 3), dtype=np.int64)
    if not turns:
        return [], lost
    texts = tokenizer.apply_chat_template(turns, tokenize=False)
    sequences = _ids_of(texts, tokenizer)
    for row, ids in enumerate(sequences):
        if len(ids) > max_tokens:
            bounds = _bounds(texts[row], contents[row], ids, tokenizer)
            sequences[row], lost[row] = _cut_alike(ids, bounds, max_tokens)
    return [(ids,) for ids in sequences], lost


def _bounds(text: str, content: tuple[str, str, str], ids: np.ndarray, tokenizer) -> list[int]:
    """Where in the ids the prompt ends, the first response begins and ends, and the second one.

    All is prompt where the template does not leave the responses as they are.
    """
    opening, both, second = content
    at = text.rfind(both)
    if at < 0:
        return [len(ids)] * 5
    begins = at + len("Response 1:")
    ends = [at, begins, at + len(opening), at + len(both) - 1, at + len(both) + len(second)]
    before = [text[:end] for end in ends]
    counts = [len(x) for x in tokenizer(before, add_special_tokens=False, verbose=False).input_ids]
    # Up to a token beside the truth, where a token reaches over the place.
    return np.clip(np.maximum.accumulate(counts), 1, len(ids) - 1).tolist()


def _cut_alike(
    ids: np.ndarray, bounds: Sequence[int], max_tokens: int
) -> tuple[np.ndarray, list[int]]:
    """At most `max_tokens` ids as `adapter_sequences` says, and the tokens that each part lost."""
    label, begin, end, again, stop = bounds
    over = len(ids) - max_tokens
    of_prompt = min(over, label - 1)
    sizes = [end - begin, stop - again]
    room = sum(sizes) - (over - of_prompt)  # for both
    if room < 0 or label == len(ids):  # all else alone is too long, or nothing else was found
        return shortened(ids, max_tokens), [over, 0, 0]
    first = min(sizes[0], max((room + 1) // 2, room - sizes[1]))
    kept = [first, room - first]
    parts = [ids[:1], ids[1 + of_prompt : begin + kept[0]], ids[end : again + kept[1]], ids[stop:]]
    lost = [of_prompt, sizes[0] - kept[0], sizes[1] - kept[1]]
    return np.concatenate(parts), lost


def texts_apart(
    pairs: pl.DataFrame, tokenizer, max_tokens: int
) -> tuple[list[tuple[np.ndarray, ...]], np.ndarray]:
    """Token ids of prompt and responses of each pair, each by itself and cut at its end.

    Arguments and results are those of `adapter_sequences`, with three int32 arrays a pair; this is
    what a head on the frozen encoder reads.
    """
    if not len(pairs):
        return [], np.zeros((0, 3), dtype=np.int64)
    sides = [pairs[column].to_list() for column in RESPONSES]
    ordered = [sorted(both) for both in zip(*sides, strict=True)]
    texts = [[prompt_text(p) for p in pairs["prompt"].to_list()]]
    texts += [list(side) for side in zip(*ordered, strict=True)]
    found = [tokenizer(side, verbose=False)["input_ids"] for side in texts]
    whole = [[np.asarray(ids, dtype=np.int32) for ids in row] for row in zip(*found, strict=True)]
    sequences = [tuple(shortened(ids, max_tokens, "end") for ids in row) for row in whole]
    sizes = [np.array([[len(ids) for ids in row] for row in rows]) for rows in (whole, sequences)]
    return sequences, sizes[0] - sizes[1]


def counted(lost: np.ndarray, names: Sequence[str], sequences: int) -> dict[str, int]:
    """How much was cut.

    Parameters
    ----------
    lost
        Tokens that each part of an example lost, (n_examples, n_parts).
    names
        Of the parts: `RESPONSES` or `PARTS`.
    sequences
        Sequences of an example: one, or as many as it has parts.

    Returns
    -------
    ``sequences``, those ``truncated``, ``tokens_cut`` of them, and the last two for each part, such
    as ``prompt_truncated``.
    """
    cut = lost if sequences == len(names) else lost.sum(axis=1, keepdims=True)
    found = {
        "sequences": sequences * len(lost),
        "truncated": int((cut > 0).sum()),
        "tokens_cut": int(lost.sum()),
    }
    for name, column in zip(names, lost.T, strict=True):
        found |= {
            f"{name}_truncated": int((column > 0).sum()),
            f"{name}_tokens_cut": int(column.sum()),
        }
    return found

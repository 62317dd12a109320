"""Does a score depend on how it is read? The same conversations come in, read in many ways.

One row a way goes out, with the largest difference to a reading one by one.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl
import torch

from rulekit.benchmarks.contract import Question
from rulekit.benchmarks.model_scorer import ModelScorer

BATCHES = (1, 2, 3, 64)
WITHIN = 1e-5  # float32, of scores around 1


def check_scores(
    scorer: ModelScorer, questions: list[Question], *, precisions: tuple[str, ...] = ("float32",)
) -> pl.DataFrame:
    """Scores of the same conversations in every layout, batch size and padding side.

    Parameters
    ----------
    scorer
        A reward model.
    questions
        Of different lengths, two or more.
    precisions
        Of the weights: ``float32``, ``bfloat16``.

    Returns
    -------
    Columns precision, layout, padding, batch, attention, `largest` and `mean` (absolute differences
    to one conversation a pass), `spread` (standard deviation of the scores), `flips` (neighbours in
    the list whose order differs), `within` (largest ≤ 1e-5 · the larger of 1 and the largest
    |score|; null in bfloat16, where a spread is stated).

    Raises
    ------
    ValueError
        If there are fewer than two questions.
    """
    if len(questions) < 2:
        raise ValueError(f"{len(questions)} conversations; allowed: two or more")
    rows = []
    for precision in precisions:
        base = replace(scorer.reading, precision=precision, imitate="", layout="packed", batch=1)
        reader = ModelScorer(scorer.folder, base)
        truth = reader.read(questions).scores
        ways = [("packed", "none", b) for b in (*BATCHES, None)]
        ways += [("padded", side, b) for side, b in product(("right", "left"), BATCHES)]
        for layout, side, batch in ways:
            padding = "right" if side == "none" else side
            reader.reading = replace(base, layout=layout, padding_side=padding, batch=batch)
            if layout == "padded":
                reader.model.set_attn_implementation("sdpa")
            found = reader.read(questions).scores
            rows.append(_row(precision, layout, side, batch, reader, found, truth))
        rows.append(
            _row(
                precision, "their own class", "right", 3, reader, _theirs(reader, questions), truth
            )
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _row(precision, layout, side, batch, reader, found, truth) -> dict:
    gap = np.abs(found - truth)
    allowed = WITHIN * max(1.0, float(np.abs(truth).max()))
    return {
        "precision": precision,
        "layout": layout,
        "padding": side,
        "batch": batch,
        "attention": reader.model.config._attn_implementation,
        "largest": float(gap.max()),
        "mean": float(gap.mean()),
        "spread": float(truth.std()),
        "flips": int((np.diff(found) * np.diff(truth) < 0).sum()),
        "within": bool(gap.max() <= allowed) if precision == "float32" else None,
    }


def _theirs(reader: ModelScorer, questions: list[Question]) -> np.ndarray:
    """Scores as transformers' own class gives them: padded right, read by its padding token."""
    ids = [i[-reader.longest :].tolist() for i in reader.token_ids(questions)]
    model, pad, out = reader.model, reader.tokenizer.pad_token_id, []
    for start in range(0, len(ids), 3 if pad is not None else 1):
        part = ids[start : start + (3 if pad is not None else 1)]
        longest = max(map(len, part))
        rows = torch.tensor([x + [pad or 0] * (longest - len(x)) for x in part])
        mask = torch.tensor([[1] * len(x) + [0] * (longest - len(x)) for x in part])
        with torch.inference_mode():
            found = type(model).forward(
                model, input_ids=rows.to(reader.device), attention_mask=mask.to(reader.device)
            )
        out += found.logits.float().view(-1).tolist()
    return np.array(out)

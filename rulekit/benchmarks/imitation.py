"""As the package `rewardbench` 0.1.4 reads: the same questions come in, its scores go out.

What it does otherwise than this kit, and is done here: the roles of a prompt alternate by their
place, so that a system prompt is given to the user; the tokenizer adds its special tokens to a text
that has them, and a second beginning is masked, not taken out; rows are padded on the left, positions
counted from the padding; nothing is cut; the reward is read where the model's own class reads it.
What is not done here: weights in 8 bits (its default, except for names with Llama-3) and its float16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from rulekit.benchmarks.contract import Question, Scored

BATCH = 8  # its default


def as_rewardbench(scorer, questions: Sequence[Question]) -> Scored:
    """Rewards of responses, one pass a batch, in the order given.

    Parameters
    ----------
    scorer
        A `ModelScorer`.
    questions
        Prompts, and tuples of one response.
    """
    model, tokenizer = scorer.model, scorer.tokenizer
    model.set_attn_implementation("sdpa")
    pad = tokenizer.pad_token_id
    pad = tokenizer.eos_token_id if pad is None else pad
    if model.config.pad_token_id is None:
        model.config.pad_token_id = pad
    batch, out, tokens = scorer.reading.batch or BATCH, [], 0
    for start in range(0, len(questions), batch):
        turns = [_alternating(q) for q in questions[start : start + batch]]
        texts = tokenizer.apply_chat_template(turns, tokenize=False)
        ids = [tokenizer(text, verbose=False).input_ids for text in texts]
        rows, mask = _left(ids, pad, tokenizer.bos_token_id)
        with torch.inference_mode():
            found = type(model).forward(
                model, input_ids=rows.to(scorer.device), attention_mask=mask.to(scorer.device)
            )
        out += found.logits.float().view(-1).tolist()
        tokens += sum(map(len, ids))
    nothing = np.zeros(len(out), np.int64)
    return Scored(np.array(out), nothing, nothing, tokens)


def _alternating(question: Question) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": t["content"]} for i, t in enumerate(question[0])]
    return [*turns, {"role": "assistant", "content": question[1][0]}]


def _left(ids: list[list[int]], pad: int, begin: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, ids))
    rows = torch.tensor([[pad] * (longest - len(x)) + x for x in ids])
    mask = torch.tensor([[0] * (longest - len(x)) + [1] * len(x) for x in ids])
    if begin is not None:
        for row, x in enumerate(ids):
            if x[:2] == [begin, begin]:
                mask[row, longest - len(x)] = 0
    return rows, mask

"""What a language-model judge is taught: logits where answers are due come in, losses and measures go out.

`language_judge_trainer` calls both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from rulekit.judges.prompts import ANSWERS
from rulekit.measures import auc


def answer_losses(
    logits: torch.Tensor, targets: Sequence[torch.Tensor], spellings: dict[str, list[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss of each example of a pass, and the log-probability of each answer.

    Parameters
    ----------
    logits
        Where answers are due, float32 (n_suffixes, vocabulary), in the order of trees and rules.
    targets
        Of each example (n_rules, 3), or (n_rules,) of a pair, which has two trees.
    spellings
        Token ids with which each answer can begin.

    Returns
    -------
    (n_examples,), and (n_suffixes, 3): log of the probability of no, irrelevant, yes.

    Notes
    -----
    With p(a) the probability, among all tokens, of one that begins answer a, a rating costs
    -Σ t(a) ln p(a). A discrepancy δ costs the cross-entropy of (1 + δ) / 2 and σ(l₁ - l₂), with l =
    ln p(yes) - ln p(no) of either response: Bradley–Terry with soft labels. An example's loss is the
    mean over its rules.
    """
    each = torch.stack([logits[:, spellings[a]].logsumexp(-1) for a in ANSWERS], -1)
    each = each - logits.logsumexp(-1, keepdim=True)
    found, start = [], 0
    for target in targets:
        n = len(target)
        if target.ndim == 2:
            found.append(-(target * each[start : start + n]).sum(-1).mean())
            start += n
        else:
            odds = (each[start : start + 2 * n, 2] - each[start : start + 2 * n, 0]).view(2, n)
            right = (1 + target) / 2
            found.append(functional.binary_cross_entropy_with_logits(odds[0] - odds[1], right))
            start += 2 * n
    return torch.stack(found), each


def rating_measures(logs: np.ndarray, targets: Sequence[np.ndarray]) -> dict[str, float]:
    """Areas under the curve of answers against what was recorded, with 95 % intervals by rating.

    Parameters
    ----------
    logs
        Log-probabilities of no, irrelevant, yes, (n_suffixes, 3).
    targets
        As for `answer_losses`.

    Returns
    -------
    ``satisfied_auc`` of ln p(yes) - ln p(no), where a rule is relevant and decided; ``relevant_auc`` of
    p(irrelevant); ``sign_auc`` of the difference of two responses; each with ``_low`` and ``_high``,
    where both outcomes occur.
    """
    odds = logs[:, 2] - logs[:, 0]
    kinds: dict[str, list] = {"satisfied": [], "relevant": [], "sign": []}
    start = 0
    for target in targets:
        n = len(target)
        if target.ndim == 1:
            here = odds[start : start + n] - odds[start + n : start + 2 * n]
            kinds["sign"].append((here, np.sign(target)))
            start += 2 * n
            continue
        side = np.sign(target[:, 2] - target[:, 0])
        kinds["satisfied"].append((odds[start : start + n], side))
        apart = np.where(target[:, 1] > 0.5, -1.0, 1.0)
        kinds["relevant"].append((-logs[start : start + n, 1], apart))
        start += n
    figures = {}
    for name, parts in kinds.items():
        if not parts:
            continue
        score, side = (np.concatenate(x) for x in zip(*parts, strict=True))
        score, truth = score[side != 0], side[side != 0] > 0
        if 0 < truth.sum() < len(truth):
            ends = dict(zip(("", "_low", "_high"), auc(score, truth), strict=True))
            figures |= {f"{name}_auc{end}": float(x) for end, x in ends.items()}
    return figures

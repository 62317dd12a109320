"""Training objectives: rewards or logits of a packed pass come in, a loss for each example goes out.

`trainer` calls `losses`, which picks the objective by its name in the settings.
"""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from rulekit.training.config import TrainingConfig


def bradley_terry(
    a: torch.Tensor, b: torch.Tensor, target: torch.Tensor, evidence: torch.Tensor, scale: float
) -> torch.Tensor:
    """-t log σ(a - b) - (1 - t) log σ(b - a), each of shape (n,).

    With t in {0, 1} the Bradley–Terry loss; with t = P(A is preferred) the same for soft labels.

    References
    ----------
    R. A. Bradley, M. E. Terry, "Rank analysis of incomplete block designs", Biometrika (1952).
    """
    return binary_cross_entropy_with_logits(a - b, target, reduction="none")


def margin(
    a: torch.Tensor, b: torch.Tensor, target: torch.Tensor, evidence: torch.Tensor, scale: float
) -> torch.Tensor:
    """-log σ(chosen - rejected - scale · evidence), each of shape (n,); target in {0, 1}.

    References
    ----------
    H. Touvron et al., "Llama 2", arXiv 2307.09288, section 3.2.2.
    """
    return softplus(scale * evidence - (2 * target - 1) * (a - b))


def centering(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(a + b)², (n,): adds nothing to a pair's margin, draws its two rewards around zero.

    References
    ----------
    J. Eisenstein et al., "Helping or herding?", arXiv 2312.09244, equation 2.
    """
    return (a + b) ** 2


def multi_label(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy, mean over the rules: (n, n_rules) twice → (n,)."""
    return binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1)


OBJECTIVES = {"bradley_terry": bradley_terry, "margin": margin, "soft": bradley_terry}


def losses(logits: torch.Tensor, batch: dict, config: TrainingConfig) -> torch.Tensor:
    """Loss of each example of a packed pass, (n,).

    Parameters
    ----------
    logits
        (2 n, 1), responses A and B of a pair behind each other; or (n, n_rules) for an adapter.
    batch
        `target` and `evidence` as `pack` gives them, on the logits' device.
    config
        Names the objective.
    """
    if config.task == "adapter":
        return multi_label(logits, batch["target"])
    a, b = logits.view(-1, 2).unbind(dim=1)
    loss = OBJECTIVES[config.objective](
        a, b, batch["target"], batch["evidence"], config.margin_scale
    )
    return loss + config.center * centering(a, b) if config.center else loss

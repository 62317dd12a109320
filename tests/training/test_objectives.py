"""Each objective against its formula."""

import numpy as np
import torch

from rulekit.training import objectives
from rulekit.training.config import TrainingConfig


def test_objectives_equal_their_formulas():
    rng = np.random.default_rng(0)
    a, b, evidence = (torch.from_numpy(rng.normal(size=50).astype(np.float32)) for _ in range(3))
    logits = torch.stack([a, b], dim=1).reshape(-1, 1)
    soft = torch.from_numpy(rng.random(50).astype(np.float32))
    hard, evidence = soft.round(), evidence.abs()
    log_sigmoid = torch.nn.functional.logsigmoid
    chosen, rejected = torch.where(hard > 0, a, b), torch.where(hard > 0, b, a)
    cases = (
        ({}, hard, -log_sigmoid(chosen - rejected)),
        (
            {"objective": "margin", "margin_scale": 0.5},
            hard,
            -log_sigmoid(chosen - rejected - 0.5 * evidence),
        ),
        ({"objective": "soft"}, soft, -soft * log_sigmoid(a - b) - (1 - soft) * log_sigmoid(b - a)),
        ({"center": 0.1}, hard, -log_sigmoid(chosen - rejected) + 0.1 * (a + b) ** 2),
    )
    for fields, target, expected in cases:
        found = objectives.losses(
            logits,
            {"target": target, "evidence": evidence},
            TrainingConfig(**fields, token_budget=2048),
        )
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    far = torch.tensor([[-2000.0], [2000.0]])
    batch = {"target": torch.ones(1), "evidence": torch.zeros(1)}
    assert objectives.losses(far, batch, TrainingConfig()).item() == 4000.0
    many = torch.from_numpy(rng.normal(size=(7, 5)).astype(np.float32))
    target = (many > 0.3).float()
    p = torch.sigmoid(many)
    expected = -(target * p.log() + (1 - target) * (1 - p).log()).mean(1)
    adapter = TrainingConfig(task="adapter")
    torch.testing.assert_close(objectives.losses(many, {"target": target}, adapter), expected)

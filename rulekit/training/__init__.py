"""Training: the Rule Adapter, which names the rules of a pair, and the reward model.

`train_reward_model` and `train_rule_adapter` fit heads on the frozen encoder in seconds; `train` is
the engine for everything larger, from the fine-tuned encoder to an 8B model on many GPUs. It loads
torch and transformers on first use.
"""

import importlib
import sys
import types

from rulekit.training.config import LoraConfig, TrainingConfig, load_config
from rulekit.training.reward_model import RewardModelConfig, cross_fit_rewards, train_reward_model
from rulekit.training.rule_adapter import RuleAdapter, cross_fit_adapter, train_rule_adapter

_LAZY = {
    "RuleTextAdapter": "rule_text_adapter",
    "TrainedModel": "run",
    "curves": "progress",
    "follow": "progress",
    "held_out_rules_report": "rule_text_adapter",
    "launch": "progress",
    "plan": "plan",
    "read_metrics": "progress",
    "start": "progress",
    "train": "run",
    "train_rule_text_adapter": "rule_text_adapter",
}

__all__ = [
    "LoraConfig",
    "RewardModelConfig",
    "RuleAdapter",
    "RuleTextAdapter",
    "TrainedModel",
    "TrainingConfig",
    "cross_fit_adapter",
    "cross_fit_rewards",
    "curves",
    "follow",
    "held_out_rules_report",
    "launch",
    "load_config",
    "plan",
    "read_metrics",
    "start",
    "train",
    "train_reward_model",
    "train_rule_adapter",
    "train_rule_text_adapter",
]


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module 'rulekit.training' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"rulekit.training.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


class _Package(types.ModuleType):
    """Keeps `rulekit.training.plan` the function; its module stays importable by its path."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _LAZY and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

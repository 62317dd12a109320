"""Training: the Rule Adapter, which names the rules of a pair, and the reward model."""

from rulekit.training.reward_model import RewardModelConfig, cross_fit_rewards, train_reward_model
from rulekit.training.rule_adapter import RuleAdapter, cross_fit_adapter, train_rule_adapter

__all__ = [
    "RewardModelConfig",
    "RuleAdapter",
    "cross_fit_adapter",
    "cross_fit_rewards",
    "train_reward_model",
    "train_rule_adapter",
]

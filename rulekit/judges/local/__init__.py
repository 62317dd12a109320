"""A causal language model on this machine: all rules of a response in one shared pass.

Conversations and rules come in, probabilities go out. Open `judge` first; `shared_pass` and
`tree_attention` are how the conversation is read once, `tokens` finds the answers' tokens.
"""

from rulekit.judges.local.judge import LocalJudge

__all__ = ["LocalJudge"]

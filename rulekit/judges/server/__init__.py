"""A language model behind any OpenAI-compatible server.

Conversations and rules come in, probabilities go out. Open `judge` first; `client` sends requests,
`answers` reads replies, `spending` keeps the budget.
"""

from rulekit.judges.server.client import Limits
from rulekit.judges.server.judge import ServerJudge
from rulekit.judges.server.spending import Prices, Spending

__all__ = ["Limits", "Prices", "ServerJudge", "Spending"]
